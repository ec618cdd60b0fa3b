"""Intervals of rank metrics cover the truth, however dependent, tied or heavy-tailed their pairs are."""

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from monitor.stats.rank import kendall_tau, rank_correlation
from monitor.stats.sample import PairSample

N, TRIALS = 2_000, 800


def heavy(rng, a, b):
    """Student's t with 3 degrees of freedom on both sides at once: large values come together."""
    scale = np.sqrt(3 / rng.chisquare(3, a.size))
    return a * scale, b * scale


# What is merely stretched keeps its ranks; these have other ones than normal pairs.
SHAPES = {
    "normal": lambda rng, a, b: (a, b),
    "tied": lambda rng, a, b: (np.round(a), np.round(b)),
    "heavy": heavy,
}


def sides(rng, phi, r):
    """Two dependent normal series of correlation `r`, each autoregressive with `phi`."""
    steps = rng.standard_normal((2, N)) * math.sqrt(1 - phi * phi)
    x, noise = lfilter([1.0], [1.0, -phi], steps, zi=phi * rng.standard_normal((2, 1)))[0]
    return x, r * x + math.sqrt(1 - r * r) * noise


def window_of(a, b):
    sample = PairSample(N)
    keys = np.arange(N, dtype=np.uint64)
    sample.update(keys, np.arange(N), keys % np.uint64(1), a, b)
    return PairSample.join([sample], N)


@pytest.mark.proof(
    "monitor/stats/rank.py",
    "monitor/stats/ranks.py",
    "monitor/stats/kendall.py",
    "monitor/stats/dependence.py",
)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("phi", [0.0, 0.9, 0.99])
def test_intervals_cover_the_truth(measured, phi, shape):
    rng = np.random.default_rng(91)
    for r in (0.0, 0.8):
        # Ties and tails change the truth: what very many independent pairs say stands for it.
        big = rng.standard_normal((2, 500_000))
        whole = SHAPES[shape](rng, big[0], r * big[0] + math.sqrt(1 - r * r) * big[1])
        for name, coefficient in (("rho", rank_correlation), ("tau", kendall_tau)):
            sample = PairSample(whole[0].size)
            keys = np.arange(whole[0].size, dtype=np.uint64)
            sample.update(keys, np.arange(keys.size), keys % np.uint64(1), *whole)
            truth = coefficient(PairSample.join([sample], keys.size), 0, 1).value
            covered = 0
            for _ in range(TRIALS):
                estimate = coefficient(window_of(*SHAPES[shape](rng, *sides(rng, phi, r))), 0, 1)
                covered += estimate.low <= truth <= estimate.high
            measured[f"{name}, r = {r}"] = covered / TRIALS
            # 2,000 pairs at AR(0.99) are worth 20, which their own dependence shows only roughly.
            assert covered / TRIALS >= (0.88 if phi == 0.99 else 0.92)
