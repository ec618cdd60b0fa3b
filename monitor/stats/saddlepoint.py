"""Tail of a weighted sum of chi-squares, far out: the null law of a PSI of dependent values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

_STEPS = 60
_CLOSE = 1e-6
"""Of the distance to the pole; the answer is flat about the saddlepoint, so it errs by the square of this."""

_NEAR_MEAN = 1e-3
"""Below this many standard deviations from the mean the limit of the formula is used: it cancels there."""


def tail(
    weights: NDArray[np.float64], x: NDArray[np.float64], dof: NDArray[np.float64]
) -> NDArray[np.float64]:
    """P(sum_i weights_i chi2_1 > x chi2_dof / dof) for each row: (rows, k), (rows,), (rows,) -> (rows,).

    Weights that were themselves estimated from `dof` independent blocks are uncertain by a common factor of
    about chi2_dof / dof; with equal weights this is the tail of F(k, dof), with `dof` infinite that of the
    plain sum. Zeros are padding. A row without weight has no spread: 1 where x <= 0, else 0.

    Lugannani and Rice's formula for the saddlepoint s of Y = sum_i w_i chi2 - x chi2_dof / dof at 0:
    `P = Phi(-w) + phi(w) (1/u - 1/w)`, w = sign(s) sqrt(-2 K(s)), u = s sqrt(K''(s)), K the cumulant function
    of Y. Its relative error stays bounded however far out: below 1 % from five equal weights up, +6 % at
    1e-6 and +17 % in the limit for a single one.

    >>> three = tail(np.ones((1, 3)), np.array([20.0]), np.array([np.inf]))
    >>> round(float(three[0] / special.chdtrc(3, 20.0)), 1)
    1.0

    Source: Lugannani and Rice, Adv. Appl. Prob. 12 (1980); Kuonen, Biometrika 86 (1999).
    """
    largest = weights.max(axis=1, initial=0.0)
    answer = np.where(x <= 0.0, 1.0, 0.0)
    rows = np.flatnonzero((largest > 0) & (x > 0))
    if rows.size:
        unit = largest[rows, None]
        answer[rows] = _tail(weights[rows] / unit, x[rows] / unit[:, 0], dof[rows])
    return answer


def _tail(w: NDArray[np.float64], x: NDArray[np.float64], dof: NDArray[np.float64]) -> NDArray[np.float64]:
    """`tail` for positive x and weights scaled to a largest of 1, so that s lies below 1/2."""
    # Of the denominator: share of its weight; nothing where it is certain, and plain x.
    share = x / dof
    double_w, double_share = 2 * w, 2 * share

    def slopes(s: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        left = w / (1 - s[:, None] * double_w)
        right = x / (1 + s * double_share)
        slope = np.add.reduce(left, axis=1) - right
        left *= left
        right *= right
        return slope, 2 * np.add.reduce(left, axis=1) + 2 * right / dof

    # K' rises through zero below s = 1/2. To the right of s are the zeros of what lies below K': its largest
    # weight alone, and all of the weight in one that is their mean, weighted by themselves (Jensen). From the
    # nearer Newton's steps fall to s, as K' is convex but for its small last term.
    total = w.sum(axis=1)
    squares = (w * w).sum(axis=1)
    s = np.minimum(
        (x - 1) / (2 * (x + share)), (x - total) * total / (2 * (squares * x + total * total * share))
    )
    known = np.isinf(dof)
    low = np.where(known, -np.inf, -0.5 / np.where(known, 1.0, share))
    for _ in range(_STEPS):
        slope, curve = slopes(s)
        moved = s - slope / curve
        if np.logical_or.reduce((moved <= low) | (moved >= 0.5)):
            moved = np.where(moved <= low, (s + low) / 2, np.where(moved >= 0.5, (s + 0.5) / 2, moved))
        change, s = np.abs(moved - s), moved
        if np.logical_and.reduce(change <= _CLOSE * (0.5 - s)):
            break
    logs = -0.5 * special.log1p(-s[:, None] * double_w).sum(axis=1)
    logs -= np.where(known, s * x, 0.5 * np.where(known, 0.0, dof) * special.log1p(s * double_share))
    _, curve = slopes(s)
    w_hat = np.sign(s) * np.sqrt(np.maximum(0.0, -2 * logs))
    u_hat = s * np.sqrt(curve)
    near = np.abs(w_hat) < _NEAR_MEAN
    safe_w, safe_u = np.where(near, 1.0, w_hat), np.where(near, 1.0, u_hat)
    # Not by `np.exp`, whose last bits depend on the processor.
    density = special.exp2(-0.5 * w_hat * w_hat / math.log(2)) / math.sqrt(2 * math.pi)
    answer = special.ndtr(-w_hat) + density * (1 / safe_u - 1 / safe_w)
    if near.any():
        variance = 2 * squares + 2 * x * share
        third = 8 * (w**3).sum(axis=1) - 8 * x * share * share
        answer = np.where(near, 0.5 - third / (6 * math.sqrt(2 * math.pi) * variance**1.5), answer)
    return np.asarray(np.minimum(np.maximum(answer, 0.0), 1.0), np.float64)
