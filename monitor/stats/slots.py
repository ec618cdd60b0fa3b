"""`Slots`: in which slots of time something was asked, and in which something was answered."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError
from monitor.stats.integer_counts import decode_varints, encode_varints

MOST_SLOTS = 1 << 24
"""Between the first and the last; of 10 s: five years."""

_ANSWERED = 2


class Slots:
    """Two sets of slots of `spec` ns since the epoch: those with demand, and among them the answered ones.

    A union of sets is the same however rows were split, so a slot that two panes share counts once in a
    window of both, answered where either saw an answer.

    >>> slots = Slots(10)
    >>> slots.update(np.array([3, 7, 12, 31]), np.array([False, True, False, True]))
    >>> slots.demanded, slots.answered
    (3, 2)

    Two bits a slot from the first to the last in memory, some bytes for each run of equal slots in records.
    """

    __slots__ = ("_answered", "_demanded", "_first", "spec")

    def __init__(self, spec: int) -> None:
        self.spec = spec
        self._first = self._demanded = self._answered = 0

    def update(self, at_ns: NDArray[np.int64], answered: NDArray[np.bool_]) -> None:
        """Rows asked at these times (ns), and whether each was answered."""
        slots = at_ns // self.spec
        asked = np.unique(slots)
        if asked.size:
            first = int(asked[0])
            self._join(first, _bits(asked - first), _bits(np.unique(slots[answered]) - first))

    def _join(self, first: int, demanded: int, answered: int) -> None:
        """Both sets' bits count from the slot `first`, which has demand."""
        if not self._demanded:
            self._first, self._demanded, self._answered = first, demanded, answered
            return
        low = min(first, self._first)
        if max(first, self._first) - low > MOST_SLOTS:
            raise ValueError(f"slots {first} and {self._first} of {self.spec} ns lie too far apart")
        self._demanded = self._demanded << (self._first - low) | demanded << (first - low)
        self._answered = self._answered << (self._first - low) | answered << (first - low)
        self._first = low

    @property
    def demanded(self) -> int:
        """Slots in which something was asked."""
        return self._demanded.bit_count()

    @property
    def answered(self) -> int:
        """Slots in which something was answered."""
        return self._answered.bit_count()

    def blocks(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Slots with demand, in order, cut into at most `most` parts: by part, how many were answered, and
        how many there are."""
        size = self._demanded.bit_length()
        answered = _unpacked(self._answered, size)[_unpacked(self._demanded, size) == 1]
        starts = np.unique(np.arange(most) * answered.size // most)[: answered.size]
        return np.add.reduceat(answered, starts), np.diff(starts, append=answered.size)

    def merge(self, other: Self) -> None:
        """Add the slots of `other`, which are as long."""
        if self.spec != other.spec:
            raise ValueError("Slots: statistics of different specifications do not merge")
        if other._demanded:
            self._join(other._first, other._demanded, other._answered)

    def copy(self) -> Self:
        """An independent statistic with the same slots."""
        twin = type(self)(self.spec)
        twin._first, twin._demanded, twin._answered = self._first, self._demanded, self._answered
        return twin

    def to_bytes(self) -> bytes:
        """Varints: the first slot, then for each run of equal slots three times its length plus its kind."""
        if not self._demanded:
            return b""
        size = self._demanded.bit_length()
        kinds = _unpacked(self._demanded, size) + _unpacked(self._answered, size)
        ends = np.append(np.flatnonzero(np.diff(kinds)), size - 1)
        runs = 3 * np.diff(ends, prepend=-1) + kinds[ends]
        return encode_varints(np.append(self._first, runs).astype(np.uint64))

    @classmethod
    def from_bytes(cls, data: bytes, spec: int) -> Self:
        """The statistic whose `to_bytes` gave `data`.

        Raises:
            StateError: cut bytes, or bytes of something else.
        """
        statistic = cls(spec)
        if data:
            first, *runs = decode_varints(data).tolist()
            lengths = [run // 3 for run in runs]
            if sum(lengths) > MOST_SLOTS:
                raise StateError(f"slots: {sum(lengths)} of them, at most {MOST_SLOTS} are kept")
            kinds = np.repeat([run % 3 for run in runs], lengths)
            statistic._first = first
            statistic._demanded, statistic._answered = _packed(kinds > 0), _packed(kinds == _ANSWERED)
        return statistic

    @property
    def empty(self) -> bool:
        """True while nothing was asked."""
        return not self._demanded


def _bits(places: NDArray[np.int64]) -> int:
    found = 0
    for place in places.tolist():
        found |= 1 << place
    return found


def _unpacked(bits: int, size: int) -> NDArray[np.int64]:
    octets = np.frombuffer(bits.to_bytes(-(-size // 8), "little"), np.uint8)
    return np.unpackbits(octets, count=size, bitorder="little").astype(np.int64)


def _packed(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
