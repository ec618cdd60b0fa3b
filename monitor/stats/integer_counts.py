"""`IntegerCounts`: a vector of counts that merges by addition, and its compact bytes.

Histograms, named counters and bin counts are such vectors; what the positions mean is theirs to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError

SpecT = TypeVar("SpecT")

_LONGEST_VARINT = 10

_ABREAST = 16
"""Rows that `by_column` takes as one: NumPy is slow on short rows."""


def encode_counts(counts: NDArray[np.int64]) -> bytes:
    """Non-negative counts as LEB128 varints, runs of zeros folded.

    Tokens: `2 * count` for a non-zero count, `2 * length + 1` for the run of zeros before it; zeros at the
    end are left out.

    >>> encode_counts(np.array([0, 0, 0, 5, 70, 0])).hex()
    '070a8c01'
    """
    (places,) = np.nonzero(counts)
    if not places.size:
        return b""
    tokens = np.empty((places.size, 2), np.uint64)
    gaps = np.diff(places, prepend=-1) - 1
    tokens[:, 0] = 2 * gaps + 1
    tokens[:, 1] = counts[places].astype(np.uint64) << np.uint64(1)
    keep = np.ones(tokens.shape, bool)
    keep[:, 0] = gaps > 0
    return encode_varints(tokens[keep])


def decode_counts(data: bytes, size: int) -> NDArray[np.int64]:
    """The `size` counts that `encode_counts` gave.

    Raises:
        StateError: cut bytes, or more counts than `size`.
    """
    counts = np.zeros(size, np.int64)
    tokens = decode_varints(data)
    is_run = (tokens & np.uint64(1)).astype(bool)
    halves = (tokens >> np.uint64(1)).astype(np.int64)
    if is_run.any() and halves[is_run].max() > size:
        raise StateError(f"counts: a run of zeros is longer than the {size} places of the vector")
    places = np.cumsum(np.where(is_run, halves, 1)) - 1
    if places.size and places[-1] >= size:
        raise StateError(f"counts: bytes hold {places[-1] + 1} places, the vector has {size}")
    counts[places[~is_run]] = halves[~is_run]
    return counts


def encode_varints(values: NDArray[np.uint64]) -> bytes:
    """Numbers as LEB128 varints."""
    shifts = np.arange(_LONGEST_VARINT, dtype=np.uint64) * np.uint64(7)
    groups = values[:, None] >> shifts
    used = groups > 0
    used[:, 0] = True
    octets = (groups & np.uint64(0x7F)).astype(np.uint8)
    octets[:, :-1] |= used[:, 1:].astype(np.uint8) << 7
    return octets[used].tobytes()


def decode_varints(data: bytes) -> NDArray[np.uint64]:
    """The numbers that `encode_varints` gave.

    Raises:
        StateError: cut bytes, or a number beyond 64 bits.
    """
    octets = np.frombuffer(data, np.uint8)
    if not octets.size:
        return np.empty(0, np.uint64)
    last = octets < 0x80
    if not last[-1]:
        raise StateError("counts: the last number is cut")
    ends = np.nonzero(last)[0]
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST_VARINT:
        raise StateError("counts: a number is longer than 64 bits")
    place = np.arange(octets.size) - np.repeat(starts, lengths)
    parts = (octets & 0x7F).astype(np.uint64) << (place * 7).astype(np.uint64)
    return np.bitwise_or.reduceat(parts, starts)


class IntegerCounts(Generic[SpecT]):
    """Non-negative int64 counts in fixed places, fixed by a specification; a pane statistic."""

    __slots__ = ("_vector", "spec")

    def __init__(self, spec: SpecT) -> None:
        self.spec = spec
        self._vector = np.zeros(self._size(spec), np.int64)

    @staticmethod
    def _size(spec: SpecT) -> int:
        """Number of places that the specification asks for."""
        raise NotImplementedError

    def merge(self, other: Self) -> None:
        """Add the counts of `other`, which has an equal specification."""
        if self.spec != other.spec:
            raise ValueError(f"{type(self).__name__}: statistics of different specifications do not merge")
        self._vector += other._vector

    def copy(self) -> Self:
        """An independent statistic with the same counts."""
        twin = type(self)(self.spec)
        twin._vector[:] = self._vector
        return twin

    def sum(self, counts: NDArray[np.int64]) -> Self:
        """The statistic of the same specification whose counts are the sum of `counts`, (any, places)."""
        whole = type(self)(self.spec)
        whole._vector[:] = counts.sum(axis=0)
        return whole

    def to_bytes(self) -> bytes:
        """Varints with runs of zeros folded; equal counts give equal bytes."""
        return encode_counts(self._vector)

    @classmethod
    def from_bytes(cls, data: bytes, spec: SpecT) -> Self:
        """The statistic whose `to_bytes` gave `data`.

        Raises:
            StateError: the bytes do not fit the specification.
        """
        statistic = cls(spec)
        statistic._vector[:] = decode_counts(data, statistic._vector.size)
        return statistic

    @property
    def empty(self) -> bool:
        """True while all counts are zero."""
        return not self._vector.any()


def stacked(statistics: Sequence[IntegerCounts[Any]]) -> NDArray[np.int64]:
    """The counts of at least one statistic of one specification, (statistics, places)."""
    return np.array([statistic._vector for statistic in statistics])


def by_column(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """True ones by column, (n, columns) -> (columns,), of fewer than 4,096 rows; quicker than NumPy's count.

    >>> by_column(np.arange(60).reshape(20, 3) % 2 == 0).tolist()
    [10, 10, 10]
    """
    n, width = flags.shape
    most = n - n % _ABREAST
    rows = flags[:most].view(np.uint8).reshape(-1, _ABREAST * width)
    sums = np.add.reduce(rows, axis=0, dtype=np.uint8)
    total = sums.reshape(_ABREAST, width).sum(axis=0, dtype=np.int64)
    if most < n:
        total += np.count_nonzero(flags[most:], axis=0)
    return np.asarray(total, np.int64)
