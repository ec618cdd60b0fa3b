"""95 % intervals and effective sample sizes of shares, quantiles and means over the panes of a window.

Rows of a stream depend on each other, so that `n` of them say less than `n` draws would. How much less is
seen in how far the panes scatter. Integers by pane come in; floats are formed here, in the panes' order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, stdtrit

LEAST_PANES = 8
"""Fewer panes say nothing about how they scatter: rows then count as independent."""

Z_95 = 1.959963984540054

_BLOCKS = 15
_MOST_CORRELATION = 0.97
_EXACT_N = 1_000_000
_TAIL = 0.025


class Interval(NamedTuple):
    """`low`, `high`: 95 % bounds, None where there is none; `n_eff`: independent rows that say as much."""

    n_eff: float
    low: float | None
    high: float | None


class Scatter(NamedTuple):
    """`design_effect`: variance over panes by that of independent rows, 1 to n; `freedom`: degrees of freedom
    that estimate has, infinite where nothing was estimated."""

    design_effect: float
    freedom: float

    def rows(self, n: int) -> float:
        """Independent rows whose normal interval is as wide as Student's with `freedom`."""
        if math.isinf(self.freedom):
            return n / self.design_effect
        t = float(stdtrit(self.freedom, 1 - _TAIL))
        return n / self.design_effect * (Z_95 / t) ** 2


INDEPENDENT = Scatter(1.0, math.inf)


def scatter(residuals: Sequence[float], n: int, variance: float) -> Scatter:
    """How far panes scatter, from the sums over each, in order, of what its rows differ from the mean of `n`.

    Design effect `D = m / (m - 1) sum(e^2) / (n variance) f / g`: the variance of the ratio estimator, panes
    being its clusters, over that of independent rows of `variance`. `f = (1 + r) / (1 - r) - 2 r (1 - r^m) /
    (m (1 - r)^2)` is what a correlation `r` of neighbours makes of the variance of a mean of m, and
    `g = 1 - (f - 1) / (m - 1)` what it takes from the variance seen around that mean. `r` is the lag-1
    correlation freed of its bias, (m r + 1) / (m - 4); 0 below 2 / sqrt(m), where it is not significant. `D`
    is taken of the panes and of 15 blocks of them, whose correlation the noise of counts does not hide; the
    larger one counts.

    With fewer than 8 panes, or no variance, rows count as independent.

    >>> scatter([3.0, -3.0] * 6, 1200, 0.09)
    Scatter(design_effect=1.0909090909090908, freedom=11.0)
    >>> round(scatter([5.0] * 30 + [-5.0] * 30, 6000, 0.25).design_effect)
    259

    Source: Cochran, Sampling Techniques (1977), 6.3 and 9; Rao and Scott, Biometrics 48 (1992); Kendall,
    Biometrika 41 (1954) for the bias; Law and Kelton, Simulation Modeling (batch means).
    """
    if len(residuals) < LEAST_PANES or variance <= 0.0 or n == 0:
        return INDEPENDENT
    length = len(residuals) // _BLOCKS
    found = _scattered(residuals, n, variance)
    if length > 1:
        first = len(residuals) - length * (_BLOCKS - 1)
        ends = [0, *range(first, len(residuals) + 1, length)]
        sums = [math.fsum(residuals[a:b]) for a, b in pairwise(ends)]
        found = max(found, _scattered(sums, n, variance))
    return found if found.design_effect > 1.0 else INDEPENDENT


def _scattered(residuals: Sequence[float], n: int, variance: float) -> Scatter:
    m = len(residuals)
    squares = math.fsum(e * e for e in residuals)
    if squares == 0.0:
        return INDEPENDENT
    products = math.fsum(a * b for a, b in pairwise(residuals))
    r = (products / squares * m + 1) / (m - 4)
    r = min(r, _MOST_CORRELATION) if r >= 2 / math.sqrt(m) else 0.0
    inflation = (1 + r) / (1 - r) - 2 * r * (1 - r**m) / (m * (1 - r) ** 2)
    seen = max(1 - (inflation - 1) / (m - 1), 0.2)
    effect = m / (m - 1) * squares / (n * variance) * inflation / seen
    return Scatter(min(max(effect, 1.0), float(n)), max(m / inflation - 1, 2.0))


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `n` independent rows; `n` need not be whole.

    >>> [round(bound, 4) for bound in wilson(0.5, 10)]
    [0.2366, 0.7634]

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927); Brown, Cai, DasGupta, Statistical Science 16 (2001).
    """
    zz = Z_95 * Z_95 / n
    centre = (share + zz / 2) / (1 + zz)
    half = math.sqrt(share * (1 - share) * zz + zz * zz / 4) / (1 + zz)
    return (0.0 if share == 0.0 else centre - half), (1.0 if share == 1.0 else centre + half)


def share_interval(events: NDArray[np.int64], totals: NDArray[np.int64]) -> Interval:
    """Interval of `sum(events) / sum(totals)`, (panes,) counts each: Wilson's, with the rows that panes
    leave.

    >>> [round(x, 5) for x in share_interval(np.full(60, 1), np.full(60, 100))]
    [6000.0, 0.00778, 0.01285]

    Raises:
        ValueError: there is no row.
    """
    n, share, found = _share(events, totals)
    low, high = wilson(share, found.rows(n))
    return Interval(n / found.design_effect, low, high)


def _share(events: NDArray[np.int64], totals: NDArray[np.int64]) -> tuple[int, float, Scatter]:
    n = int(totals.sum())
    if n == 0:
        raise ValueError("no row has no share")
    share = int(events.sum()) / n
    residuals: list[float] = (events - share * totals).tolist()
    return n, share, scatter(residuals, n, share * (1 - share))


class RankBounds(NamedTuple):
    """Order statistics, from 1 to n, between which a quantile lies in 95 %; None where no row bounds it."""

    n_eff: float
    low: int | None
    high: int | None


def quantile_ranks(q: float, below: NDArray[np.int64], totals: NDArray[np.int64]) -> RankBounds:
    """Ranks of the interval of the quantile `q`; `below`, (panes,), counts rows not above the quantile found.

    The ranks `l`, `u` with `P(B < l) <= 2.5 %` and `P(B < u) >= 97.5 %`, B binomial with `q` and the rows
    that the panes leave, stretched to the rows there are. Any distribution.

    >>> quantile_ranks(0.5, np.array([50]), np.array([100]))
    RankBounds(n_eff=100.0, low=40, high=61)

    Source: David and Nagaraja, Order Statistics (2003), 7.1.
    """
    n, _, found = _share(below, totals)
    rows = max(1, math.floor(found.rows(n)))
    low = _binomial_quantile(_TAIL, rows, q)
    high = _binomial_quantile(1 - _TAIL, rows, q) + 1
    return RankBounds(
        n / found.design_effect,
        max(1, low * n // rows) if low else None,
        -(-high * n // rows) if high <= rows else None,
    )


def _binomial_quantile(level: float, n: int, q: float) -> int:
    """The smallest k with `P(B <= k) >= level`; to within one of it beyond a million rows."""
    z = math.copysign(Z_95, level - 0.5)
    spread = math.sqrt(n * q * (1 - q))
    guess = n * q + z * spread + (1 - 2 * q) * (z * z - 1) / 6 - 0.5
    k = min(max(math.ceil(guess), 0), n)
    if n > _EXACT_N:
        return k
    while k > 0 and _binomial(k - 1, n, q) >= level:
        k -= 1
    while k < n and _binomial(k, n, q) < level:
        k += 1
    return k


def _binomial(k: int, n: int, q: float) -> float:
    """P(B <= k), 0 <= k < n."""
    return float(betainc(n - k, k + 1, 1 - q))


def mean_interval(
    sums: Sequence[float] | NDArray[np.int64], totals: NDArray[np.int64], variance: float
) -> Interval:
    """Interval of the mean `sum(sums) / sum(totals)` of rows of `variance`, by pane sums and numbers of rows.

    Mean +- 1.96 sqrt(variance / rows), rows being those that the panes leave. Units as of `sums`. No bounds
    where there is a single row.

    >>> [round(x, 3) for x in mean_interval([10.0, 14.0] * 6, np.full(12, 4), 1.0)]
    [44.0, 2.668, 3.332]

    Raises:
        ValueError: there is no row.
    """
    n = int(totals.sum())
    if n == 0:
        raise ValueError("no row has no mean")
    values = [float(x) for x in sums]
    mean = math.fsum(values) / n
    residuals = [x - mean * m for x, m in zip(values, totals.tolist(), strict=True)]
    found = scatter(residuals, n, variance)
    if n == 1:
        return Interval(1.0, None, None)
    half = Z_95 * math.sqrt(variance / found.rows(n))
    return Interval(n / found.design_effect, mean - half, mean + half)
