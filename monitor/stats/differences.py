"""Quantiles of how far two answers lie apart, on the sample of a window."""

from __future__ import annotations

import math

import numpy as np

from monitor.stats.estimate import Estimate, Status
from monitor.stats.intervals import quantile_ranks
from monitor.stats.pair_counts import distances
from monitor.stats.sample import WindowSample

_BLOCKS = 30


def abs_difference(sample: WindowSample, q: float, from_ns: int, to_ns: int) -> Estimate:
    """The quantile `q` of `|b - a|`: the smallest sampled difference that a share q of them does not exceed.

    In units of the answers. Exact where nothing was cut (numpy.quantile, method inverted_cdf); else of a
    uniform sample. Interval: the order statistics between which the quantile lies in 95 % of samples
    (`quantile_ranks`), by the scatter of 30 blocks in order of time; a bound that no difference marks is
    None. No pair: `insufficient`. `extra`: `exact`, `pairs_seen`, `non_finite`.

    Source: Hyndman and Fan, Am. Statistician 50 (1996), definition 1.
    """
    pairs = sample.in_time
    apart = distances(pairs.a, pairs.b)
    n = apart.size
    extra = {"exact": sample.exact, "pairs_seen": sample.seen, "non_finite": sample.non_finite}
    if not n:
        return Estimate(
            value=None, n=0, status=Status.INSUFFICIENT, from_ns=from_ns, to_ns=to_ns, extra=extra
        )
    ordered = np.sort(apart)
    value = float(ordered[max(1, math.ceil(q * n)) - 1])
    edges = np.linspace(0, n, min(_BLOCKS, n) + 1).astype(np.int64)[:-1]
    below = np.add.reduceat((apart <= value).astype(np.int64), edges)
    bounds = quantile_ranks(q, below, np.diff(edges, append=n))
    return Estimate(
        value=value,
        n=n,
        status=Status.OK,
        from_ns=from_ns,
        to_ns=to_ns,
        n_eff=bounds.n_eff,
        low=float(ordered[bounds.low - 1]) if bounds.low is not None else None,
        high=float(ordered[min(n, bounds.high) - 1]) if bounds.high is not None else None,
        extra=extra,
    )
