"""Pairs of columns that rank correlations must take: ties, tails, signed zeros, any finite floats."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

N = 3_000

few = st.one_of(st.integers(-3, 3).map(float), st.floats(allow_nan=False, allow_infinity=False))
"""Values of which many are equal, and any others."""


def columns(seed: int) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """By what is special about them, (N,) each side."""
    rng = np.random.default_rng(seed)
    x, noise = rng.standard_normal((2, N))
    return {
        "random": (x, noise),
        "correlated": (x, 0.8 * x + 0.6 * noise),
        "opposed": (x, -x + 0.01 * noise),
        "tied": (np.round(x, 1), np.round(0.5 * x + noise, 1)),
        "tied_on_one_side": (x, np.sign(x)),
        "discrete": (rng.integers(0, 3, N).astype(float), rng.integers(0, 2, N).astype(float)),
        "heavy": (rng.standard_cauchy(N), rng.standard_cauchy(N)),
        "outlier": (np.append(x[:-1], 1e300), np.append(noise[:-1], -1e300)),
        "huge": (x * 1e307, noise * 1e-310),
        "signed_zero": (np.where(x > 0, 0.0, -0.0) + (x > 1), noise),
        "three": (np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])),
    }
