"""`Evidence`: what all tasks said of panes, merged: rings of closed ones, the open one, windows of both.

Panes of all tasks are merged before panes are joined into windows, so that the number of tasks cannot change
a sample. Knows no metric and no rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from monitor.engine.grid import Grid
from monitor.engine.panes import Kind, Pane, PaneBytes
from monitor.engine.partials import Open, Partial
from monitor.engine.rings import Rings, WindowView
from monitor.engine.scope import Source
from monitor.engine.sequences import SequenceKind, Sequences
from monitor.errors import StateError
from monitor.state.records import read_value
from monitor.stats.counts import Counts

COUNTED = ("fates/", "rejected/", "answers/")
"""Statistics that also count for ever, beyond every window."""

LASTING = ("filter",)
"""Counters that also count beyond changes of the configuration: see `daemon.keeping`."""


class Evidence:
    """Panes of a deployment as of its last folded instant."""

    def __init__(
        self,
        grid: Grid,
        sources: Sequence[Source],
        windows_ns: Sequence[int],
        sequences: Sequence[SequenceKind] = (),
    ) -> None:
        self._grid = grid
        self._kinds: Mapping[str, Kind] = {s.key: s.kind for s in sources}
        self._rings = Rings(self._kinds, windows_ns)
        self.sequences = Sequences(sequences, self._kinds, max(windows_ns))
        self._open: dict[int, Open] = {}
        """By task its open pane: the latest bytes of each statistic, and offsets, as last said."""
        self._closed: dict[str, Counts] = {}
        self._lasting: dict[str, Counts] = {}
        self._at = 0
        self._complete = False
        self._known = True
        self._merged: Pane | None = None
        self._fresh = False
        self._views: dict[tuple[int, int], WindowView] = {}
        self._dirty: set[str] = {"anew"}
        self._heard: set[int] = set()
        """Tasks that have said where they went on after the statistics were begun anew."""

    @property
    def since(self) -> int | None:
        """Rows before this time no longer count in any window; None: all do."""
        return self._rings.since

    def fold(
        self,
        at: int,
        parts: Mapping[int, Sequence[Partial]],
        *,
        known: bool,
        complete: bool = False,
    ) -> bool:
        """Take what tasks said up to `at`; whether any of it was new.

        Args:
            known: no task is missing; the open pane is left out where one is.
            complete: every statistic of the open panes was said as of `at`, whatever its schedule.
        """
        closed: dict[int, Pane] = {}
        changed = False
        for task in sorted(parts):
            for partial in parts[task]:
                changed |= self._fold_one(task, partial, closed)
        for start in sorted(closed):
            self._rings.add(start, closed[start])
        self.sequences.fold(at, closed, known=known)
        if at % self._grid.pane == 0:
            self._rings.drop(at)
        self._fresh &= not changed and self._grid.slot(at) == self._grid.slot(self._at)
        self._at, self._known, self._complete = at, known, complete
        self._views.clear()
        return changed

    def news(self, task: int, partial: Partial) -> bool:
        """Whether a task says anything new: one that has restarted says its open pane again."""
        if partial.closed or partial.open is None:
            return bool(partial.closed)
        return self._open_with(task, partial.open) != self._open.get(task)

    def _fold_one(self, task: int, partial: Partial, closed: dict[int, Pane]) -> bool:
        """Whether it said anything new."""
        if self._rings.anew is not None and task not in self._heard:
            self._begin_anew(partial.at + self._grid.tick)
            self._heard.add(task)
        for start in [said.start for said in (*partial.closed, partial.open) if said is not None]:
            self._begin(start, partial.first)
        for said in partial.closed:
            pane = Pane.decode(said.pane, self._kinds, self._grid.pane)
            if said.start in closed:
                closed[said.start].merge(pane)
            else:
                closed[said.start] = pane
            self._count(pane)
            self._dirty.add("totals")
            for key in LASTING:
                if key in pane.statistics and not pane.statistics[key].empty:
                    _add(pane.statistics[key], self._lasting, key)
                    self._dirty.add(f"lasting/{key}")
            if task in self._open and self._open[task].start == said.start:
                del self._open[task]
                self._dirty.add(f"open/{task}")
        news = self.news(task, partial)
        if partial.open is not None and news:
            self._open[task] = self._open_with(task, partial.open)
            self._dirty.add(f"open/{task}")
        return news

    def _begin(self, start: int, first: int | None) -> None:
        """A pane from `start` on has rows, of a task whose grid starts at `first`, the instant after its
        first row, whatever configuration that row met: these rows are not older than either."""
        begun = start if first is None else max(start, first - self._grid.tick)
        if self._rings.begun is None or begun < self._rings.begun:
            self._rings.begun = begun
            self._dirty.add("begun")

    def _begin_anew(self, at: int) -> None:
        """Rows before `at` were folded under another configuration: they are in no pane."""
        self._rings.anew = max(at, self._rings.anew or at)
        self._dirty.add("anew")

    def _open_with(self, task: int, saying: Open) -> Open:
        """A task's open pane, as known before, with what is said of it now."""
        before = self._open.get(task)
        said = before.pane.statistics if before is not None and before.start == saying.start else {}
        return Open(saying.start, PaneBytes({**said, **saying.pane.statistics}, saying.pane.offsets))

    def restart(self, at: int) -> None:
        """Rows before the next pane after `at` no longer count in any window."""
        self._rings.restart(self._grid.slot(at) + self._grid.pane)
        self.sequences.restart(at)
        self._views.clear()

    def window(self, window_ns: int, every_ns: int) -> WindowView:
        """The window as of the last folded instant, of statistics whose schedule is `every_ns`.

        Between two instants of a schedule the open pane is known as of the earlier one only: the window then
        ends there, or with the last closed pane.
        """
        due = self._at - self._at % every_ns
        to_ns = self._at if self._complete else max(due, self._grid.slot(self._at))
        view = self._views.get((window_ns, to_ns))
        if view is None:
            panes = self._rings.window(window_ns, to_ns, self._opened(to_ns))
            view = self._views[window_ns, to_ns] = replace(
                panes, sequences=self.sequences.standings, lasting=self._lasting
            )
        return view

    def _opened(self, to_ns: int) -> Pane | None:
        """The open finest pane, merged over the tasks; None where it is empty, or before `since`."""
        start = self._grid.slot(self._at)
        if not self._known or to_ns == start or (self.since is not None and start < self.since):
            return None
        if not self._fresh:
            self._merged, self._fresh = self._merge(start), True
        return self._merged

    def _merge(self, start: int) -> Pane | None:
        merged: Pane | None = None
        for task in sorted(self._open):
            opened = self._open[task]
            if opened.start == start:
                pane = Pane.decode(opened.pane, self._kinds, self._grid.pane)
                if merged is None:
                    merged = pane
                else:
                    merged.merge(pane)
        return merged

    @property
    def totals(self) -> dict[str, Counts]:
        """Fates, rejections and answers by key over all time."""
        found = {key: self.counted(key) for key in sorted(self._kinds) if key.startswith(COUNTED)}
        return {key: counts for key, counts in found.items() if counts is not None}

    def counted(self, key: str) -> Counts | None:
        """One of the `COUNTED` over all time, of closed panes and of what is open, as last said; None without
        a row."""
        return self._with_open(key, self._closed)

    def lasting(self, key: str) -> Counts | None:
        """One of the `LASTING`, as `counted`, whatever the configuration was."""
        return self._with_open(key, self._lasting)

    def _with_open(self, key: str, closed: Mapping[str, Counts]) -> Counts | None:
        total = closed[key].copy() if key in closed else None
        for opened in self._open.values():
            if key in opened.pane.statistics:
                more: Counts = self._kinds[key].decode(opened.pane.statistics[key], self._grid.pane)
                if total is None:
                    total = more
                else:
                    total.merge(more)
        return total

    def _count(self, pane: Pane) -> None:
        for key, statistic in pane.statistics.items():
            if key.startswith(COUNTED):
                _add(statistic, self._closed, key)

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out = self.sequences.records()
        for (length, start), pane in self._rings.changed().items():
            out[f"ring/{length}/{start}"] = msgspec.msgpack.encode(pane.encode()) if pane else None
        for key in sorted(self._dirty):
            if key == "totals":
                totals = {name: total.to_bytes() for name, total in sorted(self._closed.items())}
                out[key] = msgspec.msgpack.encode(totals)
            elif key == "begun":
                out[key] = msgspec.msgpack.encode(self._rings.begun)
            elif key == "anew":
                out[key] = msgspec.msgpack.encode((self._rings.anew, sorted(self._heard)))
            elif key.startswith("lasting/"):
                out[key] = msgspec.msgpack.encode(self._lasting[key.removeprefix("lasting/")].to_bytes())
            else:
                opened = self._open.get(int(key.removeprefix("open/")))
                out[key] = msgspec.msgpack.encode(opened) if opened is not None else None
        self._dirty.clear()
        return out

    def restore(self, records: Mapping[str, bytes], at: int | None, since: int | None) -> None:
        """Go on from committed records, as of the instant `at`.

        Raises:
            StateError: a record cannot be read.
        """
        self._at, self._rings.since = at or 0, since
        # Written with the first commit, and under another configuration not among the records.
        if at is not None and "anew" not in records:
            self._begin_anew(at)
        self.sequences.restore(records)
        for key, data in records.items():
            kind, *rest = key.split("/")
            try:
                numbers = [int(number) for number in rest] if kind in ("ring", "open") else []
            except ValueError as error:
                raise StateError(f"state record {key!r} has no key of this program") from error
            if kind == "ring":
                length, start = numbers
                pane = Pane.decode(read_value(PaneBytes, key, data), self._kinds, length)
                self._rings.restore(length, start, pane)
            elif kind == "open":
                self._open[numbers[0]] = read_value(Open, key, data)
            elif kind == "anew":
                self._rings.anew, heard = read_value(tuple[int | None, list[int]], key, data)
                self._heard = set(heard)
            elif kind == "begun":
                self._rings.begun = read_value(int, key, data)
            elif kind == "lasting" and rest[0] in self._kinds:
                self._lasting[rest[0]] = self._kinds[rest[0]].decode(read_value(bytes, key, data), 0)
            elif kind == "totals":
                totals = read_value(dict[str, bytes], key, data)
                self._closed = {k: self._kinds[k].decode(v, 0) for k, v in totals.items() if k in self._kinds}


def _add(counts: Counts, totals: dict[str, Counts], key: str) -> None:
    if key in totals:
        totals[key].merge(counts)
    else:
        totals[key] = counts.copy()
