"""`ExactSums`: sums of float64 columns without any rounding, so that no order and no batch changes a bit.

Losses, edges and their squares are such columns; it knows none of these.
"""

from __future__ import annotations

import math
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError
from monitor.stats.exact_sum import UNIT_BITS, exact_sum, mean_of

_ROWS = 1 << 25
"""Rows that `exact_sum` takes at a time."""


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    n: int
    left_out: int
    sums: list[tuple[int, bytes]]
    """Zero bytes at the low end, then the others, little-endian with sign."""


class ExactSums:
    """Sums of the columns named by `spec` over all rows whose values are all finite; a pane statistic.

    Rows with a value that is not finite are counted in `left_out` and enter no sum.

    >>> sums = ExactSums(("loss", "square"))
    >>> sums.update(np.array([[0.1, 0.01], [1e300, 1.0], [-1e300, 1.0], [np.nan, 1.0]]))
    >>> sums.n, sums.left_out, sums.mean("loss") == 0.1 / 3, round(sums.mean("square"), 3)
    (3, 1, True, 0.67)
    """

    __slots__ = ("_sums", "left_out", "n", "spec")

    def __init__(self, spec: tuple[str, ...]) -> None:
        self.spec = spec
        self.n = 0
        self.left_out = 0
        self._sums = [0] * len(spec)

    def update(self, rows: NDArray[np.float64]) -> None:
        """Add the rows of a matrix, (n, columns) float64."""
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            rows = rows[finite]
            self.left_out += finite.size - len(rows)
        self.n += len(rows)
        for start in range(0, len(rows), _ROWS):
            for column in range(len(self.spec)):
                self._sums[column] += exact_sum(rows[start : start + _ROWS, column])

    def sum(self, name: str) -> float:
        """The sum of a column, correctly rounded; infinite where it leaves the range of floats."""
        total = self._sums[self.spec.index(name)]
        try:
            return total / (1 << UNIT_BITS)
        except OverflowError:
            return math.inf if total > 0 else -math.inf

    def mean(self, name: str) -> float:
        """The mean of a column, correctly rounded; NaN without rows."""
        return mean_of(self._sums[self.spec.index(name)], self.n) if self.n else math.nan

    def variance(self, name: str, square: str) -> float:
        """Population variance, from the sums of a column and of its squares; NaN without rows.

        The difference is taken before anything is rounded; squares that were rounded one by one may make it
        negative by as much, which counts as 0.
        """
        if not self.n:
            return math.nan
        total, squares = self._sums[self.spec.index(name)], self._sums[self.spec.index(square)]
        above = (squares * self.n << UNIT_BITS) - total * total
        try:
            return max(0, above) / (self.n * self.n << 2 * UNIT_BITS)
        except OverflowError:
            return math.inf

    def merge(self, other: Self) -> None:
        """Add the sums of `other`, which has an equal specification."""
        if self.spec != other.spec:
            raise ValueError("exact sums: statistics of different columns do not merge")
        self.n += other.n
        self.left_out += other.left_out
        self._sums = [mine + theirs for mine, theirs in zip(self._sums, other._sums, strict=True)]

    def copy(self) -> Self:
        """An independent statistic with the same sums."""
        twin = type(self)(self.spec)
        twin.n, twin.left_out, twin._sums = self.n, self.left_out, list(self._sums)
        return twin

    @property
    def empty(self) -> bool:
        """True while no row was given."""
        return not (self.n or self.left_out)

    def to_bytes(self) -> bytes:
        """MessagePack of counts and sums; equal states give equal bytes."""
        return msgspec.msgpack.encode(_Stored(self.n, self.left_out, [_packed(s) for s in self._sums]))

    @classmethod
    def from_bytes(cls, data: bytes, spec: tuple[str, ...]) -> Self:
        """The statistic whose `to_bytes` gave `data`.

        Raises:
            StateError: the bytes do not fit the specification.
        """
        try:
            stored = msgspec.msgpack.decode(data, type=_Stored)
        except msgspec.MsgspecError as error:
            raise StateError(f"exact sums: {error}") from error
        if len(stored.sums) != len(spec):
            raise StateError(f"exact sums: bytes hold {len(stored.sums)} columns, wanted are {len(spec)}")
        sums = cls(spec)
        sums.n, sums.left_out = stored.n, stored.left_out
        sums._sums = [int.from_bytes(data, "little", signed=True) << 8 * low for low, data in stored.sums]
        return sums


def _packed(total: int) -> tuple[int, bytes]:
    if not total:
        return 0, b""
    low = ((total & -total).bit_length() - 1) // 8
    total >>= 8 * low
    return low, total.to_bytes(total.bit_length() // 8 + 1, "little", signed=True)
