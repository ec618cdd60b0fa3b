"""The population stability index of two rows of counts, one at a time; `drift` reads many columns at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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
