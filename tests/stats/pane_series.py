"""Pane counts of a known share: independent, clustered, or carried from pane to pane."""

from __future__ import annotations

import numpy as np


def levels(rng: np.random.Generator, panes: int, correlation: float) -> np.ndarray:
    """A stationary AR(1) series of unit variance."""
    steps = rng.normal(size=panes)
    series = np.empty(panes)
    series[0] = steps[0]
    for i in range(1, panes):
        series[i] = correlation * series[i - 1] + np.sqrt(1 - correlation**2) * steps[i]
    return series


def events_and_totals(
    rng: np.random.Generator, panes: int, rows: int, share: float, sd: float, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Poisson numbers of rows, binomial events whose odds move by `sd` (in logits) with the level."""
    totals = np.maximum(rng.poisson(rows, panes), 1)
    logits = np.log(share / (1 - share)) + sd * levels(rng, panes, correlation)
    return rng.binomial(totals, 1 / (1 + np.exp(-logits))), totals


def true_share(share: float, sd: float) -> float:
    """The mean share of `events_and_totals`, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    logits = np.log(share / (1 - share)) + sd * nodes
    return float((weights / (1 + np.exp(-logits))).sum() / weights.sum())
