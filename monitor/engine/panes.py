"""Panes: the state of slices of event time, merged over tasks and into coarser slices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

SECOND_NS = 1_000_000_000
LADDER_NS = tuple(s * SECOND_NS for s in (1, 5, 60, 1800, 43_200))
"""Pane lengths; each divides the next, so every coarser pane is whole finer ones."""

PANES_PER_WINDOW = 48


def pane_length(window_ns: int) -> int:
    """The longest pane of the ladder that cuts a window into at least 48.

    5 m: 5 s, 1 h: 1 min, 24 h: 30 min, 30 d: 12 h; 1 s for windows shorter than 48 s.
    """
    return max((p for p in LADDER_NS if p * PANES_PER_WINDOW <= window_ns), default=LADDER_NS[0])


@dataclass(frozen=True, slots=True)
class Kind:
    """How one pane statistic begins, is read back, and how a window is made of its panes.

    `empty(length_ns)`, `decode(bytes, length_ns)`: the length is the pane's, since samples depend on it.
    `join(panes)`: the statistic over a window of at least one pane; panes are left as they are.
    """

    empty: Callable[[int], Any]
    decode: Callable[[bytes, int], Any]
    join: Callable[[Sequence[Any]], Any]


class PaneBytes(msgspec.Struct, frozen=True, array_like=True):
    """An encoded pane: statistics by key, and per input the smallest and largest offset in it."""

    statistics: dict[str, bytes]
    offsets: dict[str, tuple[int, int]]


Offsets = dict[str, tuple[int, int]]


def cover(offsets: Offsets, more: Mapping[str, tuple[int, int]]) -> None:
    """Widen the smallest and largest offsets by input."""
    for name, (low, high) in more.items():
        mine = offsets.get(name)
        offsets[name] = (low, high) if mine is None else (min(mine[0], low), max(mine[1], high))


@dataclass(slots=True)
class Pane:
    """Mergeable statistics of one slice of event time; a statistic that saw nothing may be absent."""

    kinds: Mapping[str, Kind]
    length_ns: int
    statistics: dict[str, Any] = field(default_factory=dict)
    offsets: Offsets = field(default_factory=dict)

    def statistic(self, key: str) -> Any:
        """The statistic to update, begun when first needed."""
        found = self.statistics.get(key)
        if found is None:
            found = self.statistics[key] = self.kinds[key].empty(self.length_ns)
        return found

    def merge(self, other: Pane) -> None:
        """Add another task's pane of the same slice, or a finer pane of a part of this one."""
        for key, statistic in other.statistics.items():
            self.statistic(key).merge(statistic)
        cover(self.offsets, other.offsets)

    def encode(self, keys: Iterable[str] | None = None) -> PaneBytes:
        """Canonical bytes of all statistics, or of those named."""
        chosen = sorted(self.statistics if keys is None else set(keys) & self.statistics.keys())
        return PaneBytes(
            {key: self.statistics[key].to_bytes() for key in chosen}, dict(sorted(self.offsets.items()))
        )

    @staticmethod
    def decode(data: PaneBytes, kinds: Mapping[str, Kind], length_ns: int) -> Pane:
        """The pane back; statistics that the configuration no longer knows are left out."""
        statistics = {k: kinds[k].decode(v, length_ns) for k, v in data.statistics.items() if k in kinds}
        return Pane(kinds, length_ns, statistics, dict(data.offsets))
