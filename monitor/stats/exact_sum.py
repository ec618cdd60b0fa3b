"""Sums of floats that are exact, whatever their order and size: integers in units of the smallest float."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UNIT_BITS = 1074
"""Every finite float64 is a whole multiple of 2^-1074."""

_MANTISSA_BITS, _LOW_BITS = 53, 26


def exact_sum(values: NDArray[np.float64]) -> int:
    """The sum of finite float64 values (n,), n < 2^26, in units of 2^-1074; no rounding and nothing to clip.

    >>> exact_sum(np.array([1e300, 0.1, -1e300])) == exact_sum(np.array([0.1]))
    True

    Source: the long accumulator of Kulisch, Advanced Arithmetic for the Digital Computer (2002).
    """
    if not values.size:
        return 0
    fractions, exponents = np.frexp(values)
    mantissas = np.ldexp(fractions, _MANTISSA_BITS).astype(np.int64)
    lowest = int(exponents.min())
    places = exponents - lowest
    # Whole numbers below 2^53 in all partial sums: exact in floats, in any order.
    high = np.bincount(places, weights=mantissas >> _LOW_BITS)
    low = np.bincount(places, weights=mantissas & ((1 << _LOW_BITS) - 1))
    total = 0
    for place in np.flatnonzero((high != 0) | (low != 0)).tolist():
        part = (int(high[place]) << _LOW_BITS) + int(low[place])
        shift = place + lowest - _MANTISSA_BITS + UNIT_BITS
        # Below the normal range mantissas end in zeros, so that nothing is shifted out.
        total += part << shift if shift >= 0 else part >> -shift
    return total


def mean_of(total: int, n: int) -> float:
    """`total / n` of an exact sum, correctly rounded.

    Raises:
        OverflowError: no float is that large.
    """
    return total / (n << UNIT_BITS)
