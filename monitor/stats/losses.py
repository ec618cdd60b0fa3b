"""Losses of single predictions against their labels; their means over a window are metrics.

Elementwise and the same whatever stands beside a value: no NumPy logarithm, whose last bit may hang on the
place in the array.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

LEAST_PROBABILITY = 1e-15
"""Log loss takes no probability nearer to 0 or 1."""

_LARGEST = 1e150

Floats = NDArray[np.float64]


def brier(probability: Floats, label: Floats) -> Floats:
    """Brier score: mean of (p - y)^2, y = 0 or 1; 0 to 1, 0.25 for always saying 0.5.

    Mean over all labelled rows of the window, exact. Rows with p outside [0, 1] or another label are counted
    as `unusable` in `label_coverage` and enter no metric. Interval from the scatter of panes
    (`mean_interval`).

    >>> brier(np.array([0.8, 0.8]), np.array([1.0, 0.0])).round(2).tolist()
    [0.04, 0.64]

    Source: Brier, Monthly Weather Review 78 (1950).
    """
    return np.square(probability - label)


def log_loss(probability: Floats, label: Floats) -> Floats:
    """Log loss: mean of -ln p of the class that came true, in nats; ln 2 = 0.693 for always saying 0.5.

    p is clipped to [1e-15, 1 - 1e-15]; how many were is `clipped` in `extra`: one such row among a thousand
    costs up to 0.035. Rows and interval as of `brier`.

    >>> log_loss(np.array([0.5, 1.0, 0.0]), np.array([1.0, 1.0, 1.0])).round(3).tolist()
    [0.693, 0.0, 34.539]

    Source: Good, Rational Decisions, J. Royal Stat. Soc. B 14 (1952).
    """
    p = np.clip(probability, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    loss: Floats = np.abs(xlogy(1.0, np.where(label == 1.0, p, 1.0 - p)))
    return loss


def clipped(probability: Floats) -> int:
    """How many probabilities `log_loss` clips."""
    low, high = LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY
    return int(np.count_nonzero((probability < low) | (probability > high)))


def squared_error(prediction: Floats, label: Floats) -> Floats:
    """RMSE: root of the mean of (prediction - label)^2, in the units of the label; of `return` models.

    The mean is exact over all labelled rows; its interval (`mean_interval`) goes through the root. Errors
    beyond 1e75 are NaN here and counted as `left_out`: their squares' squares have no sum.

    >>> squared_error(np.array([0.02, -0.01]), np.array([0.01, 0.01])).round(6).tolist()
    [0.0001, 0.0004]
    """
    with np.errstate(over="ignore"):
        squares = np.square(prediction - label)
    squares[squares > _LARGEST] = np.nan
    return squares


def confidence(probability: Floats) -> Floats:
    """Confidence: mean of max(p, 1 - p) over all predictions, labelled or not; 0.5 to 1.

    How sure the model is, not how right. Probabilities outside [0, 1] are left out. Interval as of `brier`.

    >>> confidence(np.array([0.2, 0.9])).tolist()
    [0.8, 0.9]
    """
    return np.maximum(probability, 1.0 - probability)


def signs(prediction: Floats, label: Floats) -> NDArray[np.int64]:
    """Sign accuracy: share of labelled rows on which prediction and label have one sign; of `return` models.

    Rows on which either is zero have no direction: they are not in the share, and counted as `zeros` in
    `extra`. Wilson's interval on the rows that the scatter of panes leaves.

    Returns:
        Counts (3,): same sign, opposite sign, either is zero.

    >>> signs(np.array([0.1, -0.2, 0.3, 0.0]), np.array([1.0, -1.0, -1.0, 1.0])).tolist()
    [2, 1, 1]
    """
    zero = (prediction == 0.0) | (label == 0.0)
    agree = np.count_nonzero(~zero & ((prediction > 0.0) == (label > 0.0)))
    zeros = np.count_nonzero(zero)
    return np.array([agree, zero.size - zeros - agree, zeros], np.int64)
