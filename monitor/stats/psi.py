"""The population stability index of binned values against a frozen reference."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.stats.estimate import Estimate, Status
from monitor.stats.reference import Distribution

SAMPLES_PER_BIN = 10
"""Live values wanted for each collapsed bin that the reference fills."""


def psi(reference: Sequence[int], live: Sequence[int]) -> float:
    """`PSI = sum_i (q_i - p_i) ln(q_i / p_i)` with add-half (Jeffreys) shares. No unit; 0 = the same.

    `p_i = (r_i + 1/2) / (N + K/2)` of the reference counts `r`, `q_i` likewise of the live ones; K = bins
    that hold anything on either side (a bin empty on both, such as that of missing values where there are
    none, is no bin: so a constant against the same constant is 0 at any two sizes). Finite for any counts.
    Logarithms by `math.log` on scalars: NumPy's depends on the processor.

    >>> psi([500, 500, 0], [50, 50, 0])
    0.0
    >>> round(psi([500, 500, 0], [25, 75, 0]), 3)
    0.269

    Source: Siddiqi, Credit Risk Scorecards (2006); Yurdakul, Statistical Properties of PSI (2018).
    """
    filled = [(r, m) for r, m in zip(reference, live, strict=True) if r or m]
    below_p = sum(r for r, _ in filled) + len(filled) / 2
    below_q = sum(m for _, m in filled) + len(filled) / 2
    terms = []
    for r, m in filled:
        p, q = (r + 0.5) / below_p, (m + 0.5) / below_q
        terms.append((q - p) * math.log(q / p))
    return math.fsum(terms)


def collapse(counts: Sequence[int] | NDArray[np.int64], starts: Sequence[int]) -> list[int]:
    """Counts by bin, missing values last, summed into the groups that begin at `starts`; missing ones apart.

    >>> collapse([1, 2, 3, 4, 9], [0, 2])
    [3, 7, 9]
    """
    counts = np.asarray(counts, np.int64)
    return [*np.add.reduceat(counts[:-1], starts).tolist(), int(counts[-1])]


def psi_estimate(reference: Distribution, live: NDArray[np.int64], from_ns: int, to_ns: int) -> Estimate:
    """PSI of `live`, counts by reference bin with missing values last, (bins + 1,), on at most 16 bins.

    `insufficient` below 10 live values for each collapsed bin that the reference fills. `extra`:
    `bins` (K of `psi`), `reference_n`, `null_rate` (share of missing values) and `psi_excess_iid` =
    max(0, PSI - (K - 1)(1/N + 1/M)), the part above what independent draws of these sizes give on average
    (Yurdakul 2018); on correlated ticks that mean is too small, so it is no p-value.
    """
    before = collapse((*reference.counts, reference.null_count), reference.psi_starts)
    now = collapse(live, reference.psi_starts)
    n = sum(now)
    needed = SAMPLES_PER_BIN * sum(1 for count in before if count)
    if n == 0 or n < needed or reference.n == 0:
        return Estimate(
            value=None,
            n=n,
            status=Status.INSUFFICIENT,
            from_ns=from_ns,
            to_ns=to_ns,
            extra={"n_needed": needed},
        )
    value = psi(before, now)
    bins = sum(1 for r, m in zip(before, now, strict=True) if r or m)
    by_chance = (bins - 1) * (1 / reference.n + 1 / n)
    return Estimate(
        value=value,
        n=n,
        status=Status.OK,
        from_ns=from_ns,
        to_ns=to_ns,
        extra={
            "bins": bins,
            "reference_n": reference.n,
            "null_rate": now[-1] / n,
            "psi_excess_iid": max(0.0, value - by_chance),
        },
    )
