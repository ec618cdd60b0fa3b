"""`PairCounts`: how many pairs of answers there are of each kind, and how far the two of a pair lie apart.

Which kinds there are is for those to say that are built on it; it knows no model.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError
from monitor.stats.estimate import Estimate, Status
from monitor.stats.intervals import share_interval

LARGEST = sys.float_info.max
"""What a difference counts as that no float can hold."""

SpecT = TypeVar("SpecT")


def distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """`|b - a|` of finite pairs; what overflows counts as the largest float."""
    with np.errstate(over="ignore"):
        apart: NDArray[np.float64] = np.minimum(np.abs(b - a), LARGEST)
    return apart


class PairCounts(Generic[SpecT]):
    """Counts of pairs by kind, and the largest difference of all; a pane statistic.

    `n` finite pairs, `non_finite` others, `largest` |b - a|, and a count for each of `kinds`, which may
    overlap.
    """

    kinds: ClassVar[tuple[str, ...]]
    """Names of the attributes that hold their counts, in the order of the bytes."""

    __slots__ = ("largest", "n", "non_finite", "spec")

    n: int
    non_finite: int

    def __init__(self, spec: SpecT) -> None:
        self.spec = spec
        for name in self._counts():
            setattr(self, name, 0)
        self.largest = 0.0

    @classmethod
    def _counts(cls) -> tuple[str, ...]:
        return ("n", *cls.kinds, "non_finite")

    @classmethod
    def _layout(cls) -> str:
        return f"<{len(cls._counts())}Qd"

    def update(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
        """Take n pairs, (n,) each; those that are not finite are counted apart."""
        finite = np.isfinite(a) & np.isfinite(b)
        if not finite.all():
            self.non_finite += int(finite.size - np.count_nonzero(finite))
            a, b = a[finite], b[finite]
        if not a.size:
            return
        apart = distances(a, b)
        self.n += a.size
        self.largest = max(self.largest, float(apart.max()))
        self._count(a, b, apart)

    def _count(self, a: NDArray[np.float64], b: NDArray[np.float64], apart: NDArray[np.float64]) -> None:
        """Count the kinds of finite pairs that lie `apart`, (n,) each."""
        raise NotImplementedError

    def merge(self, other: Self) -> None:
        """Add the pairs of `other`, which has an equal specification."""
        if self.spec != other.spec:
            raise ValueError(f"{type(self).__name__}: statistics of different specifications do not merge")
        for name in self._counts():
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.largest = max(self.largest, other.largest)

    def copy(self) -> Self:
        """An independent statistic of the same pairs."""
        twin = type(self)(self.spec)
        twin.merge(self)
        return twin

    @property
    def empty(self) -> bool:
        """True while no pair came."""
        return not self.n and not self.non_finite

    def to_bytes(self) -> bytes:
        """Counts and the largest difference, little-endian."""
        return struct.pack(self._layout(), *(getattr(self, name) for name in self._counts()), self.largest)

    @classmethod
    def from_bytes(cls, data: bytes, spec: SpecT) -> Self:
        """The statistic whose `to_bytes` gave `data`.

        Raises:
            StateError: bytes of another length.
        """
        statistic = cls(spec)
        try:
            *counts, statistic.largest = struct.unpack(cls._layout(), data)
        except struct.error as error:
            raise StateError(f"{cls.__name__}: {error}") from error
        for name, count in zip(cls._counts(), counts, strict=True):
            setattr(statistic, name, count)
        return statistic


def share(
    panes: Sequence[PairCounts[Any]], chosen: Sequence[int], from_ns: int, to_ns: int, extra: dict[str, Any]
) -> Estimate:
    """Share of the pairs of a window that were `chosen`, a count a pane; exact over all pairs.

    Interval: Wilson's, on the rows that the scatter of the panes leaves (`share_interval`), as is `n_eff`. No
    pair: `insufficient`.
    """
    pairs = [pane.n for pane in panes]
    n = sum(pairs)
    if not n:
        return Estimate(
            value=None, n=0, status=Status.INSUFFICIENT, from_ns=from_ns, to_ns=to_ns, extra=extra
        )
    interval = share_interval(np.array(chosen), np.array(pairs))
    return Estimate(
        value=sum(chosen) / n,
        n=n,
        status=Status.OK,
        from_ns=from_ns,
        to_ns=to_ns,
        n_eff=interval.n_eff,
        low=interval.low,
        high=interval.high,
        extra=extra,
    )
