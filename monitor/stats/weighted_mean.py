"""Weighted means over the panes of a window, from exact sums. Knows neither trades nor money."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.stats.exact_sums import ExactSums
from monitor.stats.intervals import Z_95, scatter
from monitor.stats.newey_west import ratio_error

WEIGHTED = ("value", "weight", "weighted", "weight_squared", "weight_weighted", "weighted_squared")
"""Columns of the sums: x, w, w x, w^2, w^2 x, (w x)^2."""

Floats = NDArray[np.float64]


def weighted_rows(values: Floats, weights: Floats) -> Floats:
    """What `ExactSums(WEIGHTED)` takes of values (n,) and their weights: (n, 6).

    >>> weighted_rows(np.array([2.0]), np.array([3.0])).tolist()
    [[2.0, 3.0, 6.0, 9.0, 18.0, 36.0]]
    """
    with np.errstate(over="ignore", invalid="ignore"):
        weighted = weights * values
        columns = (values, weights, weighted, weights * weights, weights * weighted, weighted * weighted)
        return np.column_stack(columns)


class WeightedMean(NamedTuple):
    """`low`, `high`: 95 % bounds, None where there is none; `t` = value / standard error, None where that
    is 0 or unknown."""

    value: float
    n_eff: float
    low: float | None
    high: float | None
    t: float | None


def weighted_mean(sums: ExactSums, panes: Sequence[ExactSums], lag: int) -> WeightedMean | None:
    """Weighted mean: sum(w x) / sum(w); None where all weights are 0.

    Its error is that of a ratio, by linearisation: u = w (x - mean) / mean(w) take the place of the rows.
    `n_eff` = Kish's (sum w)^2 / sum(w^2), over the design effect of the panes: rows of equal weight that say
    as much. Interval: by Newey-West over panes with `lag`, never narrower than of independent rows; where
    panes are too few for that, by their scatter (`intervals`). None of a single row.

    Args:
        sums: of the window, at least one row; `panes`: of its panes, in order of time.
        lag: panes over which values overlap.

    >>> sums = ExactSums(WEIGHTED)
    >>> sums.update(weighted_rows(np.array([1.0, 5.0]), np.array([3.0, 1.0])))
    >>> found = weighted_mean(sums, [sums], 0)
    >>> found.value, found.n_eff
    (2.0, 1.6)

    Source: Cochran, Sampling Techniques (1977), 6.3; Kish, Survey Sampling (1965), 11.7.
    """
    weight, n = sums.sum("weight"), sums.n
    if weight == 0.0:
        return None
    value = sums.sum("weighted") / weight
    squares = sums.sum("weight_squared")
    terms = sums.sum("weighted_squared"), -2.0 * value * sums.sum("weight_weighted"), value * value * squares
    mean_weight = weight / n
    variance = max(0.0, math.fsum(terms)) / n / (mean_weight * mean_weight)
    filled = [pane for pane in panes if pane.n]
    above, below = ([pane.sum(name) for pane in filled] for name in ("weighted", "weight"))
    residuals = [(a - value * b) / mean_weight for a, b in zip(above, below, strict=True)]
    found = scatter(residuals, n, variance)
    kish = weight * weight / squares
    if n == 1:
        return WeightedMean(value, kish, None, None, None)
    effect, error = found.design_effect, math.sqrt(variance / found.rows(n))
    known = ratio_error(above, below, lag)
    if known is not None and known > 0.0:
        # Never better than independent rows.
        error = max(known, math.sqrt(variance / n))
        effect = error * error * n / variance if variance > 0.0 else 1.0
    t = value / error if error > 0.0 else None
    return WeightedMean(value, kish / effect, value - Z_95 * error, value + Z_95 * error, t)
