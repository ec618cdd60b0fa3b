"""`Rings`: the closed panes of a deployment, merged over its tasks, and the windows made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from monitor.engine.panes import Kind, Offsets, Pane, cover, pane_length
from monitor.stats.counts import Counts

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WindowView:
    """The panes of one window at one instant: `[from_ns, to_ns)`, closed ones and the open one; and all
    sequences, by key.

    `starts`: of the panes; each ends where the next begins, or with its length, the last with the window.
    `filled_ns`: since when it can hold rows: later than `from_ns` while the deployment is younger than the
    window. `whole`: it holds all rows that there were; not while it reaches back to before the statistics
    were begun anew. `lasting`: counters over the whole life of the deployment, by key.
    """

    kinds: Mapping[str, Kind]
    panes: tuple[Pane, ...]
    starts: tuple[int, ...]
    from_ns: int
    to_ns: int
    filled_ns: int
    whole: bool = True
    sequences: Mapping[str, Any] = field(default_factory=dict)
    lasting: Mapping[str, Counts] = field(default_factory=dict)
    _joined: dict[str, Any] = field(default_factory=dict)
    _made: dict[tuple[str, Callable[..., Any]], Any] = field(default_factory=dict)
    _once: dict[Callable[..., Any], Any] = field(default_factory=dict)

    def once(self, make: Callable[[WindowView], T]) -> T:
        """What `make` makes of the window; made once for all metrics that ask with the same function."""
        if make not in self._once:
            self._once[make] = make(self)
        made: T = self._once[make]
        return made

    def statistic(self, key: str) -> Any | None:
        """The statistic over the whole window; None when no pane has it."""
        if key not in self._joined:
            found = [p.statistics[key] for p in self.panes if key in p.statistics]
            self._joined[key] = self.kinds[key].join(found) if found else None
        return self._joined[key]

    def by_pane(self, key: str, make: Callable[[list[Any]], T]) -> T | None:
        """What `make` makes of the statistics of the panes that have it, in order; None when none has.

        Made once for all metrics that ask with the same function.
        """
        if (key, make) not in self._made:
            found = [p.statistics[key] for p in self.panes if key in p.statistics]
            self._made[key, make] = make(found) if found else None
        made: T | None = self._made[key, make]
        return made

    @property
    def offsets(self) -> Offsets:
        """Smallest and largest offset by input of the rows in the window."""
        total: Offsets = {}
        for pane in self.panes:
            cover(total, pane.offsets)
        return dict(sorted(total.items()))


class Rings:
    """One ring of closed panes by pane length; keys of a ring are the panes' starts.

    `since`: evidence before it does not count; `begun`: the deployment's first row, to the tick; `anew`: rows
    before it are missing, since a changed configuration began the statistics anew.

    Memory: the longest window / pane length of each ring (at most 30 x 48) and one, whatever the event rate.
    A deployment of 32 features, one shadow and windows of 5 m, 1 h, 24 h and 30 d holds 232 panes of up to
    70 kB: with everything on 16 MB of state and 40 MB of memory; a third of it are the pairs of `rank_k`.
    """

    def __init__(self, kinds: Mapping[str, Kind], windows_ns: Iterable[int]) -> None:
        self._kinds = kinds
        self._longest: dict[int, int] = {}
        for window in windows_ns:
            length = pane_length(window)
            self._longest[length] = max(window, self._longest.get(length, 0))
        self._rings: dict[int, dict[int, Pane]] = {length: {} for length in sorted(self._longest)}
        self._changed: set[tuple[int, int]] = set()
        self.since: int | None = None
        self.begun: int | None = None
        self.anew: int | None = None

    def add(self, start: int, pane: Pane) -> None:
        """A finest pane that starts at `start`, merged over the tasks that closed it together."""
        if self.since is not None and start < self.since:
            return
        for length, ring in self._rings.items():
            key = start // length * length
            if key not in ring:
                ring[key] = Pane(self._kinds, length)
            ring[key].merge(pane)
            self._changed.add((length, key))

    def restart(self, since: int) -> None:
        """Evidence before `since` (a finest pane's start) no longer counts."""
        self.since = since
        for length, ring in self._rings.items():
            for key in [key for key in ring if key < since]:
                del ring[key]
                self._changed.add((length, key))

    def window(self, window_ns: int, to_ns: int, opened: Pane | None) -> WindowView:
        """Closed panes plus the open one, at `to_ns`: spans between the window and one pane more."""
        length = pane_length(window_ns)
        start = to_ns // length * length - window_ns
        if self.since is not None:
            start = max(start, self.since)
        ring = self._rings[length]
        # After a restart a coarse pane may begin before `since`, but holds nothing older.
        lowest = start // length * length
        starts = [key for key in sorted(ring) if lowest <= key < to_ns]
        panes = [ring[key] for key in starts]
        if opened is not None:
            panes.append(opened)
            starts.append(to_ns // opened.length_ns * opened.length_ns)
        from_ns = min(start, to_ns)
        filled = from_ns if self.begun is None else min(max(from_ns, self.begun), to_ns)
        whole = self.anew is None or from_ns >= self.anew
        return WindowView(self._kinds, tuple(panes), tuple(starts), from_ns, to_ns, filled, whole)

    def drop(self, now: int) -> None:
        """Forget panes that no window reaches any more."""
        for length, ring in self._rings.items():
            oldest = now // length * length - self._longest[length]
            for key in [key for key in ring if key < oldest]:
                del ring[key]
                self._changed.add((length, key))

    def changed(self) -> dict[tuple[int, int], Pane | None]:
        """Panes (by length and start) changed since the last call; None = dropped."""
        out = {(length, key): self._rings[length].get(key) for length, key in sorted(self._changed)}
        self._changed.clear()
        return out

    def restore(self, length: int, key: int, pane: Pane) -> None:
        """Put back a pane read from the state; one of a length no longer configured is left out."""
        if length in self._rings:
            self._rings[length][key] = pane
