"""Kendall's tau-b of two models' answers, exact, with its standard error; counts inversions without SciPy."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.stats.ranks import Integers, Ranks, stable_order


class Tau(NamedTuple):
    """Tau-b of one group of n pairs, and the variance of its sampling; NaN where either side is constant."""

    n: int
    tau: float
    variance: float

    @property
    def few(self) -> bool:
        """Whether the variance is that of independent sides, scaled: its own pairs tell too little of it."""
        return self.n < _FEW


_FEW = 30


def kendall(a: NDArray[np.float64], b: NDArray[np.float64]) -> Tau:
    """Kendall's tau-b of n finite pairs, corrected for ties; NaN where a side is constant or n < 2.

    `tau = (C - D) / sqrt((T - Ta)(T - Tb))`: of `T = n (n - 1) / 2` pairs of pairs, C are in the same order
    on both sides and D in opposite order; Ta, Tb are tied in a, in b. All are integers, so that tau does
    not depend on the order of the pairs and perfect agreement is 1.0.

    >>> kendall(np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 30.0, 20.0, 40.0])).tau == 2 / 3
    True

    Source: Kendall, The treatment of ties in ranking problems, Biometrika 33 (1945); D counted as
    inversions, after Knight, JASA 61 (1966). Equals scipy.stats.kendalltau. Variance: see `taus`.
    """
    return taus(Ranks.of(None, a, b))[0] if a.size else Tau(0, math.nan, math.nan)


def taus(ranks: Ranks) -> list[Tau]:
    """Tau-b of each group.

    Variance: by the delta method on `(P, wa, wb)` with `P = sum(d_i)`, `wa = n^2 - sum(r_i)`, `wb = n^2 -
    sum(c_i)`, d_i = concordant less discordant partners of pair i, r_i and c_i = pairs tied with it (itself
    included): `sum((2 w d_i + tau v_i)^2) - n^3 tau^2 (wa + wb)^2`, over `w^4`, with `w = sqrt(wa wb)`,
    `v_i = r_i wb + c_i wa`. It holds for any distribution and any ties (Brown and Benedetti, JASA 72,
    1977). In a group of fewer than 30 it is `(1 - tau^2)^2 2 (2 n + 5) / (9 n (n - 1))`: exact for
    independent sides, and elsewhere what 0.437 / (n - 4) is to Fisher's z (Fieller, Hartley and Pearson,
    Biometrika 44, 1957).
    """
    if not len(ranks):
        return []
    ties_a, ties_b = ranks.a.ties, ranks.b.ties
    together = stable_order(ranks.b.low)
    together = together[stable_order(ranks.a.low[together])]
    alike = _run_lengths(ranks.a.low[together], ranks.b.low[together])
    discordant = _inversions(ranks.b.low[together])
    size = ranks.sizes[ranks.group]
    ties_a, ties_b = ties_a[together], ties_b[together]
    # Sorted by a, groups keep their places: `together` moves pairs within their group only.
    leaning = size - ties_a - ties_b + alike - 2 * discordant
    columns = (leaning, ties_a, ties_b)
    sums = [ranks.sums(column) for column in columns]
    squares = [
        ranks.sums(columns[i] * columns[j]) for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    ]
    return [_tau(n, *found) for n, *found in zip(ranks.sizes.tolist(), *sums, *squares, strict=True)]


def _tau(n: int, p: int, r: int, c: int, dd: int, dr: int, dc: int, rr: int, rc: int, cc: int) -> Tau:
    """Tau from sums over a group of the columns d, r, c and of their products."""
    wa, wb = n * n - r, n * n - c
    if not wa or not wb:
        return Tau(n, math.nan, math.nan)
    # Quotients of Python integers are correctly rounded: perfect agreement is 1.0, not nearly.
    tau = math.copysign(math.sqrt(p * p / (wa * wb)), p)
    if n < _FEW:
        return Tau(n, tau, small_variance(n, tau))
    dv = wb * dr + wa * dc
    vv = wb * wb * rr + 2 * wa * wb * rc + wa * wa * cc
    # With tau = p / w every power of w is even: an integer over an integer.
    w2 = wa * wb
    spread = 4 * w2 * w2 * dd + 4 * w2 * p * dv + p * p * vv - n**3 * p * p * (wa + wb) ** 2
    return Tau(n, tau, max(0, spread) / w2**3)


def small_variance(n: int, tau: float) -> float:
    """Variance of tau over n >= 2 pairs, by its exact value for independent sides without ties."""
    return (1 - tau * tau) ** 2 * 2 * (2 * n + 5) / (9 * n * (n - 1))


def _run_lengths(first: Integers, second: Integers) -> Integers:
    """Of each place the length of the run of equal pairs that it is in."""
    new = np.empty(first.size, bool)
    new[0] = True
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    starts = np.flatnonzero(new)
    lengths = np.diff(starts, append=first.size)
    return np.repeat(lengths, lengths)


def _inversions(keys: Integers) -> Integers:
    """Of each place, how many places form an inversion with it: larger ones before, smaller ones behind.

    From the highest bit down, blocks of equal higher bits are split into zeros and ones, keeping their
    order; the ones that stand before a zero of their block, and the zeros behind a one, are its inversions
    at this bit. The keys' ordinals are made a permutation of 2^k, so that every block is half zeros, half
    ones.
    """
    n = keys.size
    bits = max(1, (n - 1).bit_length())
    full = 1 << bits
    order = stable_order(keys)
    ordinal = np.arange(full)
    ordinal[order] = np.arange(n)
    found = np.zeros(full, np.int64)
    local = np.arange(full)
    for bit in reversed(range(bits)):
        half = 1 << bit
        ones = (ordinal & half) != 0
        at_ones, at_zeros = np.flatnonzero(ones), np.flatnonzero(~ones)
        one, zero = ordinal[at_ones], ordinal[at_zeros]
        # The j-th of its kind at place p of its block has p - j of the other kind before it.
        nth = local[:half]
        before_zero = (at_zeros & (2 * half - 1)).reshape(-1, half) - nth
        before_one = (at_ones & (2 * half - 1)).reshape(-1, half) - nth
        found[zero] += before_zero.ravel()
        found[one] += half - before_one.ravel()
        ordinal = np.stack((zero.reshape(-1, half), one.reshape(-1, half)), axis=1).ravel()
    by_place = np.empty(n, np.int64)
    by_place[order] = found[:n]
    return by_place
