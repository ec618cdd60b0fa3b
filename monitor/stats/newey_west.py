"""Newey-West: standard errors of means over panes whose rows overlap in time by a known span.

Where the span is not known, `intervals` reads it from the panes. Knows neither predictions nor returns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.stats.intervals import LEAST_PANES

PANES_PER_LAG = 3
"""Fewer panes than three times the lag and one cannot show a variance at that lag."""


def enough(panes: int, lag: int) -> bool:
    """Whether so many panes can tell a standard error with that lag."""
    return panes >= max(LEAST_PANES, PANES_PER_LAG * (lag + 1))


def lag_panes(overlap_ns: int, pane_ns: int) -> int:
    """Panes over which values overlap: ceil(`overlap_ns` / `pane_ns`).

    >>> lag_panes(60_050_000_000, 5_000_000_000)
    13
    """
    return -(-overlap_ns // pane_ns)


def newey_west(values: NDArray[np.float64], lag: int) -> float:
    """Standard error of the mean of m values in order of time that are correlated up to `lag` steps.

    sqrt(S / m), S = g_0 + 2 sum_l (1 - l / (lag + 1)) g_l, g_l = sum_t u_t u_{t+l} / (m - 1), u = deviations
    from the mean. Bartlett's weights keep S from being negative.

    >>> round(newey_west(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]), 1), 6)
    1.10397

    Source: Newey and West, Econometrica 55 (1987).
    """
    m = values.size
    deviations = values - math.fsum(values.tolist()) / m
    total = math.fsum((deviations * deviations).tolist())
    for step in range(1, min(lag, m - 1) + 1):
        weight = 1.0 - step / (lag + 1.0)
        total += 2.0 * weight * math.fsum((deviations[:-step] * deviations[step:]).tolist())
    return math.sqrt(max(0.0, total) / (m - 1) / m)


def ratio_error(above: Sequence[float], below: Sequence[float], lag: int) -> float | None:
    """Standard error of sum(above) / sum(below), by pane in order of time; None with too few panes.

    By linearisation: that of the mean of u_i = above_i - ratio below_i, over the mean of `below`.

    >>> ratio_error([1.0, 2.0], [4.0, 4.0], 0) is None
    True

    Source: Cochran, Sampling Techniques (1977), 6.3, with the variance of Newey and West.
    """
    if not enough(len(above), lag):
        return None
    counts = np.array(below, np.float64)
    total = math.fsum(below)
    residuals = np.array(above, np.float64) - math.fsum(above) / total * counts
    return newey_west(residuals, lag) * len(above) / total
