"""Area under the ROC curve, exact on a sample of labelled pairs, with DeLong's standard error."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Area(NamedTuple):
    """`value`, NaN where a class is absent; `influence` (n,): how much each row moves it, in the order given,
    of mean 0; `error`: standard error where rows are independent, NaN with fewer than 2 rows of a class."""

    value: float
    error: float
    positives: int
    negatives: int
    influence: NDArray[np.float64]


def area_under_curve(score: NDArray[np.float64], label: NDArray[np.float64]) -> Area:
    """AUC = P(score of a 1 > score of a 0) + P(equal) / 2, over all pairs of n rows with labels 0 and 1.

    The Mann-Whitney form: (R - m (m + 1) / 2) / (m k), R the sum of the average ranks of the m ones among
    all, k zeros; a quotient of integers, rounded once. Error: DeLong's, from the share of the other class
    that each row stands above.

    >>> area_under_curve(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])).value
    0.75

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988).
    """
    ones = label == 1.0
    n, m = int(ones.size), int(np.count_nonzero(ones))
    k = n - m
    if not m or not k:
        return Area(math.nan, math.nan, m, k, np.zeros(n))
    ranks = _twice_ranks(score)
    value = (int(ranks[ones].sum()) - m * (m + 1)) / (2 * m * k)
    of_ones = (ranks[ones] - _twice_ranks(score[ones])) / (2.0 * k) - value
    of_zeros = 1.0 - (ranks[~ones] - _twice_ranks(score[~ones])) / (2.0 * m) - value
    influence = np.empty(n)
    influence[ones], influence[~ones] = of_ones * (n / m), of_zeros * (n / k)
    error = math.nan
    if m > 1 and k > 1:
        squares = [math.fsum((part * part).tolist()) for part in (of_ones, of_zeros)]
        error = math.sqrt(squares[0] / (m - 1) / m + squares[1] / (k - 1) / k)
    return Area(value, error, m, k, influence)


def _twice_ranks(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Twice the average rank of each value, from 2 on."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    after = np.cumsum(count)
    ranks: NDArray[np.int64] = (2 * after - count + 1)[place]
    return ranks
