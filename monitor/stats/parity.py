"""`Parity`: whether a recorded answer is the one that comes out again, within a tolerance; knows no model."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError
from monitor.stats.agreement import distances
from monitor.stats.differences import abs_difference
from monitor.stats.estimate import Estimate, Status
from monitor.stats.intervals import share_interval
from monitor.stats.rank import rhos
from monitor.stats.sample import WindowSample


class Tolerance(NamedTuple):
    """Answers agree where `|recorded - again| <= absolute + relative |recorded|`."""

    absolute: float
    relative: float


class Parity:
    """Counts of recorded answers that came out again, and the largest difference; a pane statistic.

    >>> parity = Parity(Tolerance(1e-5, 1e-5))
    >>> parity.update(np.array([1.0, 1.0, np.nan]), np.array([1.00001, 1.1, 1.0]))
    >>> parity.n, parity.within, parity.non_finite
    (2, 1, 1)
    """

    __slots__ = ("largest", "n", "non_finite", "spec", "within")

    def __init__(self, spec: Tolerance) -> None:
        self.spec = spec
        self.n = self.within = self.non_finite = 0
        self.largest = 0.0

    def update(self, recorded: NDArray[np.float64], again: NDArray[np.float64]) -> None:
        """Take n recorded answers and what came out again, (n,) each; non-finite ones are counted apart."""
        finite = np.isfinite(recorded) & np.isfinite(again)
        if not finite.all():
            self.non_finite += int(finite.size - np.count_nonzero(finite))
            recorded, again = recorded[finite], again[finite]
        if not recorded.size:
            return
        apart = distances(recorded, again)
        self.n += apart.size
        with np.errstate(over="ignore"):
            allowed = self.spec.absolute + self.spec.relative * np.abs(recorded)
        self.within += int(np.count_nonzero(apart <= allowed))
        self.largest = max(self.largest, float(apart.max()))

    def merge(self, other: Self) -> None:
        """Add what `other` counted with the same tolerance."""
        if self.spec != other.spec:
            raise ValueError("parity: statistics of different tolerances do not merge")
        self.n += other.n
        self.within += other.within
        self.non_finite += other.non_finite
        self.largest = max(self.largest, other.largest)

    def copy(self) -> Self:
        """An independent statistic with the same counts."""
        twin = type(self)(self.spec)
        twin.merge(self)
        return twin

    @property
    def empty(self) -> bool:
        """True while nothing came."""
        return not self.n and not self.non_finite

    def to_bytes(self) -> bytes:
        """Three counts and the largest difference, little-endian."""
        return _LAYOUT.pack(self.n, self.within, self.non_finite, self.largest)

    @classmethod
    def from_bytes(cls, data: bytes, spec: Tolerance) -> Self:
        """The statistic whose `to_bytes` gave `data`.

        Raises:
            StateError: bytes of another length.
        """
        parity = cls(spec)
        try:
            parity.n, parity.within, parity.non_finite, parity.largest = _LAYOUT.unpack(data)
        except struct.error as error:
            raise StateError(f"parity: {error}") from error
        return parity


_LAYOUT = struct.Struct("<QQQd")


def serving_parity(panes: Sequence[Parity], from_ns: int, to_ns: int) -> Estimate:
    """Share of production's recorded answers that the monitor's own scoring repeats within the tolerance.

    Exact over all answers of the window; a fraction, 1 where training and serving agree. Anything less is a
    skew of features, preprocessing or model between what production served and what its log says. Interval:
    Wilson's, on the rows that the scatter of the panes leaves. No answer recorded: `insufficient`. `extra`:
    `largest_difference`, `absolute`, `relative` (the tolerance), `non_finite`.
    """
    n = sum(pane.n for pane in panes)
    within = [pane.within for pane in panes]
    interval = share_interval(np.array(within), np.array([pane.n for pane in panes])) if n else None
    return Estimate(
        value=sum(within) / n if n else None,
        n=n,
        status=Status.OK if n else Status.INSUFFICIENT,
        from_ns=from_ns,
        to_ns=to_ns,
        n_eff=interval.n_eff if interval else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        extra={
            "largest_difference": max(pane.largest for pane in panes),
            **panes[0].spec._asdict(),
            "non_finite": sum(pane.non_finite for pane in panes),
        },
    )


def serving_difference(sample: WindowSample, q: float, from_ns: int, to_ns: int) -> Estimate:
    """The quantile `q` of `|recorded - again|`, on the sample of a window, by `abs_difference`.

    `extra` also holds `rank_correlation`, Spearman's rho of all recorded answers and their repetition, None
    where a side is constant: a skew that keeps the order hurts a ranking strategy little.
    """
    found = abs_difference(sample, q, from_ns, to_ns)
    rho = next(iter(rhos(sample.ranks(pooled=True))), math.nan)
    extra = {**found.extra, "rank_correlation": None if math.isnan(rho) else rho}
    return msgspec.structs.replace(found, extra=extra)
