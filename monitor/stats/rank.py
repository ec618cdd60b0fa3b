"""Spearman's rank correlation of two models' answers, on the sample of a window."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.stats.estimate import Estimate, Status
from monitor.stats.sample import WindowSample

LEAST_PAIRS = 3
"""Fewer pairs of a symbol say nothing about order."""

_MOST_PAIRS = 3_000_000
"""Of one group: beyond, sums of squared ranks, n(n^2 - 1)/3, leave int64."""

_Z_95 = 1.959963984540054


class _Group(NamedTuple):
    n: int
    rho: float
    """NaN where either side is constant."""


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Spearman's rho of n finite pairs, ties at their average rank; NaN where a side is constant or n < 2.

    `rho = sum(A B) / sqrt(sum(A^2) sum(B^2))` with A, B = twice the rank less n + 1: integers, so that all
    sums are exact and the result does not depend on the order of the pairs.

    >>> spearman(np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 30.0, 20.0, 40.0]))
    0.8

    Source: Kendall, Rank Correlation Methods (1948), chapter 3; equals scipy.stats.spearmanr.
    """
    return _by_group(np.zeros(a.size, np.int64), a, b)[0].rho if a.size else math.nan


def rank_correlation(sample: WindowSample, from_ns: int, to_ns: int, *, pooled: bool = False) -> Estimate:
    """Spearman's rho within each symbol, averaged by number of pairs: `sum(n_s rho_s) / sum(n_s)`.

    `pooled` ranks all symbols together instead: symbols of different levels then agree by their levels
    alone, which flatters a worthless model. No unit, -1 to 1; on a cut sample an estimate of the window's.

    Symbols with fewer than 3 pairs, or on which either side is constant, have no rho and are left out;
    `n` = `n_eff` = pairs that the value rests on. Where no symbol has 3 pairs: `insufficient`; where each
    that has them is constant on a side: `unknown`, since agreement with a constant is neither good nor bad.

    Interval: 95 %, by Fisher's z with variance `(1 + rho^2/2) / (n - 3 s)` for s symbols (Bonett and Wright,
    Psychometrika 65, 2000), pairs taken as independent; none at rho = +-1 or n <= 3 s. `extra`: `exact`
    (nothing was cut), else also `standard_error` = `(1 - rho^2) sqrt((1 + rho^2/2) / (n - 3 s))`; `scope`,
    `pairs_seen`, `non_finite`, `symbols`, `symbols_left_out`, `pairs_left_out`.
    """
    pairs = sample.pairs
    group = np.zeros(len(pairs), np.int64)
    if not pooled:
        _, group = np.unique(pairs.symbol_key, return_inverse=True)
    groups = _by_group(group, pairs.a, pairs.b)
    large = [g for g in groups if g.n >= LEAST_PAIRS]
    used = [g for g in large if not math.isnan(g.rho)]
    n = sum(g.n for g in used)
    extra: dict[str, float | int | str] = {
        "exact": sample.exact,
        "scope": "pooled" if pooled else "within",
        "pairs_seen": sample.seen,
        "non_finite": sample.non_finite,
        "symbols": len(used),
        "symbols_left_out": len(groups) - len(used),
        "pairs_left_out": len(pairs) - n,
    }
    if not used:
        status = Status.UNKNOWN if large else Status.INSUFFICIENT
        return Estimate(value=None, n=0, status=status, from_ns=from_ns, to_ns=to_ns, n_eff=0.0, extra=extra)
    rho = math.fsum(g.n * g.rho for g in used) / n
    low = high = None
    freedom = n - 3 * len(used)
    if freedom > 0 and abs(rho) < 1.0:
        z_error = math.sqrt((1 + rho * rho / 2) / freedom)
        low = math.tanh(math.atanh(rho) - _Z_95 * z_error)
        high = math.tanh(math.atanh(rho) + _Z_95 * z_error)
        if not sample.exact:
            extra["standard_error"] = (1 - rho * rho) * z_error
    return Estimate(
        value=rho,
        n=n,
        status=Status.OK,
        from_ns=from_ns,
        to_ns=to_ns,
        n_eff=float(n),
        low=low,
        high=high,
        extra=extra,
    )


def _by_group(group: NDArray[np.int64], a: NDArray[np.float64], b: NDArray[np.float64]) -> list[_Group]:
    """Spearman's rho within each group, in the order of the group numbers."""
    if not group.size:
        return []
    together = np.argsort(group, kind="stable")
    group = group[together]
    starts = np.nonzero(np.diff(group, prepend=-1))[0]
    sizes = np.diff(starts, append=group.size)
    if sizes.max() > _MOST_PAIRS:
        raise ValueError(f"rank correlation: {sizes.max()} pairs in a group, at most {_MOST_PAIRS}")
    rank_a = _centred_ranks(group, starts, sizes, a[together])
    rank_b = _centred_ranks(group, starts, sizes, b[together])
    both = np.add.reduceat(rank_a * rank_b, starts).tolist()
    squares_a = np.add.reduceat(rank_a * rank_a, starts).tolist()
    squares_b = np.add.reduceat(rank_b * rank_b, starts).tolist()
    return [
        _Group(n, _rho(*sums)) for n, *sums in zip(sizes.tolist(), both, squares_a, squares_b, strict=True)
    ]


def _rho(both: int, squares_a: int, squares_b: int) -> float:
    if not squares_a or not squares_b:
        return math.nan
    # The quotient of Python integers is correctly rounded: perfect agreement is 1.0, not nearly.
    return math.copysign(math.sqrt(both * both / (squares_a * squares_b)), both)


def _centred_ranks(
    group: NDArray[np.int64], starts: NDArray[np.int64], sizes: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Twice the average rank within the group, less the group's size + 1."""
    order = np.lexsort((values, group))
    ordered = values[order]
    new = np.empty(values.size, bool)
    new[1:] = ordered[1:] != ordered[:-1]
    new[starts] = True
    first = np.nonzero(new)[0]
    after = np.append(first[1:], values.size)
    centre = np.repeat(2 * starts + sizes, sizes)
    ranks = np.empty(values.size, np.int64)
    ranks[order] = np.repeat(first + after, after - first) - centre
    return ranks
