"""How many independent values a dependent series is worth. Knows no metric."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def effective_size(series: NDArray[np.float64]) -> float:
    """Independent values that have the same variance of the mean as n values in order of time; at most n.

    `n_eff = n g_0 / (g_0 + 2 sum g_k)`, g_k the autocovariance at lag k, summed over pairs of lags (2 m, 2
    m + 1) while their sum is positive and no larger than the one before: beyond, there is only noise.
    Series of several symbols may stand one after the other: products across the seams have no expectation.

    >>> effective_size(np.array([1.0, -1.0, 1.0, -1.0])), effective_size(np.array([2.0, 2.0, -2.0, -2.0]))
    (4.0, 2.6666666666666665)

    Source: initial monotone sequence, Geyer, Practical Markov chain Monte Carlo, Statistical Science 7
    (1992).
    """
    n = series.size
    centred = series - series.mean() if n else series
    if n < 2 or not centred.any():
        return float(n)
    centred = centred / np.abs(centred).max()
    spectrum = np.fft.rfft(centred, 1 << (2 * n - 1).bit_length())
    covariance = np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[: n - n % 2]
    paired = covariance[0::2] + covariance[1::2]
    ends = np.flatnonzero(paired <= 0)
    sequence = np.minimum.accumulate(paired[: ends[0]] if ends.size else paired)
    long_run = 2 * float(sequence.sum()) - float(covariance[0])
    return float(n) * min(1.0, float(covariance[0]) / long_run) if long_run > 0 else float(n)
