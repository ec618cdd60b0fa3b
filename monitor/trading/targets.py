"""From predictions to target positions, as fractions of the paper quantity; whole batches at once.

Knows neither quotes nor positions. A prediction wants no position at its neutral value: 0, of a probability
0.5 (the same for skill and agreement).
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray


class Sign(msgspec.Struct, frozen=True):
    """Long where the prediction lies more than `threshold` above `neutral`, short where as much below, flat
    between.

    >>> Sign(threshold=0.1, neutral=0.5).of(np.array([0.7, 0.55, 0.2, np.nan]))
    array([ 1.,  0., -1., nan])
    """

    threshold: float = 0.0
    neutral: float = 0.0

    def of(self, prediction: NDArray[np.float64]) -> NDArray[np.float64]:
        """Targets (n,) within [-1, 1] of predictions (n,); NaN, no decision, where there is none."""
        value = prediction - self.neutral if self.neutral else prediction
        return _between(value, -self.threshold, self.threshold)


class Linear(msgspec.Struct, frozen=True):
    """clip((prediction - `neutral`) / `scale`, -1, 1); flat within `threshold` of `neutral`.

    >>> Linear(scale=2.0).of(np.array([1.0, -5.0, 0.0]))
    array([ 0.5, -1. ,  0. ])
    """

    scale: float
    threshold: float = 0.0
    neutral: float = 0.0

    def of(self, prediction: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `Sign.of`."""
        value = prediction - self.neutral
        found = np.clip(value / self.scale, -1.0, 1.0)
        found[np.abs(value) <= self.threshold] = 0.0
        return found


class Quantile(msgspec.Struct, frozen=True):
    """Long above `upper`, short below `lower`: quantiles of a role's own predictions, frozen beforehand.

    >>> Quantile(lower=-0.3, upper=0.5).of(np.array([0.5, 0.6, -0.4]))
    array([ 0.,  1., -1.])
    """

    lower: float
    upper: float

    def of(self, prediction: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `Sign.of`."""
        return _between(prediction, self.lower, self.upper)


Target = Sign | Linear | Quantile


def _between(value: NDArray[np.float64], lower: float, upper: float) -> NDArray[np.float64]:
    found = (value > upper).astype(np.float64)
    found -= value < lower
    found[np.isnan(value)] = np.nan
    return found
