"""Markouts: how the mid moved after trades, seen from the side that traded. Arrays; knows no book."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BPS = 10_000


def markouts(
    side: NDArray[np.int8], price: NDArray[np.float64], mid: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Markout of a trade at time t with price p: 1e4 x side x (mid as of t + horizon - p) / p, in bps.

    Positive: the price moved the way of the trade, or it was bought below and sold above the mid; a maker who
    is picked off sees his shrink with the horizon, and an impatient taker starts below zero by the half
    spread. Fees are left out. NaN where price or mid is missing or not positive.

    Args:
        side: (n,) int8, +1 of a purchase, -1 of a sale.
        price: (n,) per unit, as paid.
        mid: (n,) of the same instrument, the last one at or before t + horizon.

    >>> markouts(np.array([1, -1], np.int8), np.array([100.0, 100.0]), np.array([100.02, 100.02])).round(9)
    array([ 2., -2.])

    Source: Harris, Trading and Exchanges (2003), 14; of a maker it is half the realized spread of Huang and
    Stoll, J. Financial Economics 41 (1996).
    """
    sound = (price > 0.0) & (mid > 0.0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = np.where(sound, side * ((mid - price) / price) * BPS, np.nan)
    return found
