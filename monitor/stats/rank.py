"""Rank agreement of two models' answers on the sample of a window: Spearman's rho and Kendall's tau-b."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from monitor.stats.estimate import Estimate, Status
from monitor.stats.kendall import small_variance, taus
from monitor.stats.ranks import LEAST_PAIRS, Ranks
from monitor.stats.sample import WindowSample


class _Agreement(NamedTuple):
    """What a coefficient comes to: the average over groups, and its sampling error on Fisher's scale."""

    value: float
    n: int
    n_eff: float
    groups: int
    z_error: float | None


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Spearman's rho of n finite pairs, ties at their average rank; NaN where a side is constant or n < 2.

    `rho = sum(A B) / sqrt(sum(A^2) sum(B^2))` with A, B = twice the rank less n + 1: integers, so that all
    sums are exact and the result does not depend on the order of the pairs.

    >>> spearman(np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 30.0, 20.0, 40.0]))
    0.8

    Source: Kendall, Rank Correlation Methods (1948), chapter 3; equals scipy.stats.spearmanr.
    """
    return rhos(Ranks.of(None, a, b))[0] if a.size else math.nan


def rhos(ranks: Ranks) -> list[float]:
    """Spearman's rho of each group; NaN where a side is constant."""
    a, b = ranks.centred(ranks.a), ranks.centred(ranks.b)
    sums = zip(ranks.sums(a * b), ranks.sums(a * a), ranks.sums(b * b), strict=True)
    return [_rho(*found) for found in sums]


def _rho(both: int, squares_a: int, squares_b: int) -> float:
    if not squares_a or not squares_b:
        return math.nan
    # The quotient of Python integers is correctly rounded: perfect agreement is 1.0, not nearly.
    return math.copysign(math.sqrt(both * both / (squares_a * squares_b)), both)


def rank_correlation(sample: WindowSample, from_ns: int, to_ns: int, *, pooled: bool = False) -> Estimate:
    """Spearman's rho within each symbol, averaged by number of pairs: `sum(n_s rho_s) / sum(n_s)`.

    `pooled` ranks all symbols together instead: symbols of different levels then agree by their levels
    alone, which flatters a worthless model. No unit, -1 to 1; on a cut sample an estimate of the window's.

    Symbols with fewer than 3 pairs, or on which either side is constant, have no rho and are left out;
    `n` = pairs that the value rests on. Where no symbol has 3 pairs: `insufficient`; where each that has them
    is constant on a side: `unknown`, since agreement with a constant is neither good nor bad.

    `n_eff`: pairs less their dependence in time within symbols (`effective_size` of the influence of each
    pair); pooled, a level that a symbol keeps is such a dependence. Interval: 95 %, on Fisher's scale, with
    the larger of the variance of normal pairs, `(1 + rho^2/2) / (n - 3 s)` for s symbols (Bonett and
    Wright, Psychometrika 65, 2000), and that of the influences, `sum(x_i^2) / (n (1 - rho^2))^2`, which
    holds for any distribution; times n / n_eff, with Student's t of n_eff - 2 degrees of freedom. It covers
    the truth in 90 of 100 where n_eff is 20 to 30, in 95 where it is hundreds; none at rho = +-1, n <= 3 s
    or n_eff <= 2. `extra`: `standard_error` = `(1 - rho^2)` times that of z; `exact` (nothing was cut);
    `scope`, `pairs_seen`, `non_finite`, `symbols`, `symbols_left_out`, `pairs_left_out`.
    """
    ranks = sample.ranks(pooled=pooled)
    values, used, found = rhos(ranks), ranks.ordered, None
    if used:
        sizes = ranks.sizes[used].tolist()
        n, n_eff = sum(sizes), ranks.effective
        rho = math.fsum(m * values[s] for m, s in zip(sizes, used, strict=True)) / n
        z_error, freedom = None, n - 3 * len(used)
        if freedom > 0 and abs(rho) < 1.0:
            seen = math.fsum((ranks.influence**2).tolist()) / (n * (1 - rho * rho)) ** 2
            z_error = math.sqrt(max((1 + rho * rho / 2) / freedom, seen) * n / n_eff)
        found = _Agreement(rho, n, n_eff, len(used), z_error)
    return _estimate(found, sample, ranks, from_ns, to_ns, pooled=pooled)


def kendall_tau(sample: WindowSample, from_ns: int, to_ns: int) -> Estimate:
    """Kendall's tau-b within each symbol, averaged by number of pairs: `sum(n_s tau_s) / sum(n_s)`.

    No unit, -1 to 1: the probability that two answers stand in the same order less that of opposite order.
    It weighs few large disagreements of rank less than Spearman's rho, whose symbols, samples and statuses
    it has.

    `n_eff`: as that of rho. Interval: 95 %, on Fisher's scale with the variance of `taus`,
    distribution-free and right under ties, summed over symbols by `(n_s / n)^2`, over `(1 - tau^2)^2`,
    times n / n_eff, and Student's t as for rho; none at tau = +-1. Of symbols with fewer than 30 pairs each
    has at least the variance that the average has. `extra` as of rho; formula and sources at `kendall`.
    """
    ranks = sample.ranks(pooled=False)
    groups, used, found = taus(ranks), ranks.ordered, None
    if used:
        chosen = [groups[s] for s in used]
        n = sum(g.n for g in chosen)
        tau = math.fsum(g.n * g.tau for g in chosen) / n
        # Three pairs in perfect order say little of their error: the average tells what they may be.
        variances = [max(g.variance, small_variance(g.n, tau)) if g.few else g.variance for g in chosen]
        variance = math.fsum(g.n**2 * v for g, v in zip(chosen, variances, strict=True)) / n**2
        n_eff, z_error = ranks.effective, None
        if abs(tau) < 1.0:
            z_error = math.sqrt(variance * n / n_eff) / (1 - tau * tau)
        found = _Agreement(tau, n, n_eff, len(used), z_error)
    return _estimate(found, sample, ranks, from_ns, to_ns, pooled=False)


def _estimate(
    found: _Agreement | None, sample: WindowSample, ranks: Ranks, from_ns: int, to_ns: int, *, pooled: bool
) -> Estimate:
    extra: dict[str, float | int | str] = {
        "exact": sample.exact,
        "scope": "pooled" if pooled else "within",
        "pairs_seen": sample.seen,
        "non_finite": sample.non_finite,
        "symbols": found.groups if found else 0,
        "symbols_left_out": ranks.sizes.size - (found.groups if found else 0),
        "pairs_left_out": len(ranks) - (found.n if found else 0),
    }
    if found is None:
        large = ranks.sizes.size and ranks.sizes.max() >= LEAST_PAIRS
        status = Status.UNKNOWN if large else Status.INSUFFICIENT
        return Estimate(value=None, n=0, status=status, from_ns=from_ns, to_ns=to_ns, n_eff=0.0, extra=extra)
    low = high = None
    if found.z_error is not None:
        extra["standard_error"] = (1 - found.value**2) * found.z_error
        if found.n_eff > 2:
            # The spread is estimated from as many independent pairs as there are.
            reach = float(stdtrit(found.n_eff - 2, 0.975)) * found.z_error
            centre = math.atanh(found.value)
            low, high = math.tanh(centre - reach), math.tanh(centre + reach)
    return Estimate(
        value=found.value,
        n=found.n,
        status=Status.OK,
        from_ns=from_ns,
        to_ns=to_ns,
        n_eff=found.n_eff,
        low=low,
        high=high,
        extra=extra,
    )
