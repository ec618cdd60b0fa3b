"""The Kolmogorov-Smirnov distance: from binned counts with a certified bound, and exact from samples.

Knows nothing of how far it wanders by chance: that is `calibration`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


def binned_ks(
    reference: NDArray[np.float64], live: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`(D_b, U)` for rows of masses by bin, missing values left out, each (rows, bins): `D_b <= D <= U`.

    `D_b = max_j |G_j - F_j|` over the edges, F and G being the shares of reference and live values below an
    edge. Inside a bin, with L and R = G - F at its left and right end and p, q its shares, G - F can reach at
    most `min(L + q, R + p)`, and at least `max(L - p, R - q)`: so U is certain, whatever lies in the bins. It
    is not the tightest where a bin holds a single value (there D = D_b). A row without mass is 0 throughout.

    >>> distance, bound = binned_ks(np.array([[50.0, 50.0]]), np.array([[25.0, 75.0]]))
    >>> float(distance[0]), float(bound[0])
    (0.25, 0.75)

    Source: Kolmogorov (1933), Smirnov (1948); the bound follows from F and G rising.
    """
    return distance_and_bound(law_of(reference), law_of(live))


class Law(NamedTuple):
    """Rows of masses by bin as shares: of each bin, and of all bins `below` its right end, exactly 1 from the
    last filled one on; and the mass `up_to` there. Each (rows, bins)."""

    shares: NDArray[np.float64]
    below: NDArray[np.float64]
    up_to: NDArray[np.float64]


def law_of(mass: NDArray[np.float64]) -> Law:
    """The shares of masses by bin, missing values left out, (rows, bins)."""
    up_to = np.cumsum(mass, axis=1)
    total = np.where(up_to[:, -1:] > 0, up_to[:, -1:], 1.0)
    return Law(mass / total, up_to / total, up_to)


def distance(reference: Law, live: Law) -> NDArray[np.float64]:
    """`D_b` of `binned_ks` alone."""
    return _largest(live.below - reference.below)


def distance_and_bound(reference: Law, live: Law) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`binned_ks` of shares that are known."""
    p, q = reference.shares, live.shares
    right = live.below - reference.below
    reached = _largest(right)
    left = np.zeros_like(right)
    left[:, 1:] = right[:, :-1]
    above = np.minimum(left + q, right + p).max(axis=1)
    below = np.minimum(p - left, q - right).max(axis=1)
    return reached, np.minimum(1.0, np.maximum(reached, np.maximum(above, below)))


def _largest(apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the edges between bins."""
    return np.asarray(np.abs(apart[:, :-1]).max(axis=1, initial=0.0), np.float64)


def exact_ks(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Two-sample distance `D = sup_x |F(x) - G(x)|` of values (n,) and (m,), ties and infinities right.

    NaN are left out; None where a side then has no value.

    >>> exact_ks(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 2.0])) == 1 / 3
    True
    >>> exact_ks(np.full(9, 5.0), np.full(4, 5.0))
    0.0

    Source: Smirnov (1948); equal to `scipy.stats.ks_2samp(first, second).statistic`.
    """
    first, second = np.sort(first[~np.isnan(first)]), np.sort(second[~np.isnan(second)])
    n, m = first.size, second.size
    if not n or not m:
        return None
    both = np.concatenate((first, second))
    # In whole numbers, so that equal shares differ by exactly nothing.
    apart = np.searchsorted(first, both, side="right") * m - np.searchsorted(second, both, side="right") * n
    return int(np.abs(apart).max()) / (n * m)
