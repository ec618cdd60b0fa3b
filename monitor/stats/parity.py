"""`Parity`: whether a recorded answer is the one that comes out again, within a tolerance; knows no model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.stats.differences import abs_difference
from monitor.stats.estimate import Estimate
from monitor.stats.pair_counts import PairCounts, share
from monitor.stats.rank import rhos
from monitor.stats.sample import WindowSample


class Tolerance(NamedTuple):
    """Answers agree where `|recorded - again| <= absolute + relative |recorded|`."""

    absolute: float
    relative: float


class Parity(PairCounts[Tolerance]):
    """Counts of recorded answers that came out again, and the largest difference; a pane statistic.

    A pair is the answer recorded and what came out again; `within` the tolerance.

    >>> parity = Parity(Tolerance(1e-5, 1e-5))
    >>> parity.update(np.array([1.0, 1.0, np.nan]), np.array([1.00001, 1.1, 1.0]))
    >>> parity.n, parity.within, parity.non_finite
    (2, 1, 1)
    """

    kinds = ("within",)
    __slots__ = kinds

    within: int

    def _count(self, a: NDArray[np.float64], b: NDArray[np.float64], apart: NDArray[np.float64]) -> None:
        with np.errstate(over="ignore"):
            allowed = self.spec.absolute + self.spec.relative * np.abs(a)
        self.within += int(np.count_nonzero(apart <= allowed))


def serving_parity(panes: Sequence[Parity], from_ns: int, to_ns: int) -> Estimate:
    """Share of production's recorded answers that the monitor's own scoring repeats within the tolerance.

    Exact over all answers of the window; a fraction, 1 where training and serving agree. Anything less is a
    skew of features, preprocessing or model between what production served and what its log says. Interval:
    Wilson's, on the rows that the scatter of the panes leaves. No answer recorded: `insufficient`. `extra`:
    `largest_difference`, `absolute`, `relative` (the tolerance), `non_finite`.
    """
    extra = {
        "largest_difference": max(pane.largest for pane in panes),
        **panes[0].spec._asdict(),
        "non_finite": sum(pane.non_finite for pane in panes),
    }
    return share(panes, [pane.within for pane in panes], from_ns, to_ns, extra)


def serving_difference(sample: WindowSample, q: float, from_ns: int, to_ns: int) -> Estimate:
    """The quantile `q` of `|recorded - again|`, on the sample of a window, by `abs_difference`.

    `extra` also holds `rank_correlation`, Spearman's rho of all recorded answers and their repetition, None
    where a side is constant: a skew that keeps the order hurts a ranking strategy little.
    """
    found = abs_difference(sample, q, from_ns, to_ns)
    rho = next(iter(rhos(sample.ranks(pooled=True))), math.nan)
    extra = {**found.extra, "rank_correlation": None if math.isnan(rho) else rho}
    return msgspec.structs.replace(found, extra=extra)
