"""`BlockCorrelation`: how alike neighbouring blocks of a sequence are, about the levels that they had.

Knows no loss and no test.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError

LIMIT = 0.2
"""Above it blocks depend on each other."""

FEWEST_PAIRS = 20
"""With fewer pairs of neighbours the correlation says nothing: its standard error is above 0.22."""

LONGEST = 1000
"""Blocks that count: a week of ten minutes."""

_FORM = "<f8"
_ROUNDING = 1e-12
"""Relative to the largest value: what differs less does not vary."""


class BlockCorrelation:
    """The correlation of neighbours among the last 1,000 values, about the means before and after one change.

    r = (sum (x_t - m_t)(x_{t-1} - m_{t-1}) / pairs) / (sum (x_t - m_t)^2 / n), m_t being the mean of
    the values before the likeliest change of level, or of those from it on: the cut that takes most off the
    sum of squares. About one mean for all, a change of level would look like correlation, and silence a test
    at the very change that it is there to find; a level that comes and goes, like days that differ, still
    raises r.

    >>> alike, changed = BlockCorrelation(), BlockCorrelation()
    >>> for value in [1.0, 1.2, 1.4, 1.6, 1.4, 1.2] * 10: alike.take(value)
    >>> for value in [1.0, 2.0, 2.0, 1.0, 2.0] * 8 + [9.0, 8.0] * 20: changed.take(value)
    >>> round(alike.lag1, 2), alike.dependent, round(changed.lag1, 2), changed.dependent
    (0.45, True, -0.81, False)
    """

    __slots__ = ("_lag1", "_values")

    def __init__(self) -> None:
        self._values: list[float] = []
        """NaN where one or more values are missing."""
        self._lag1: float | None = None

    def take(self, value: float) -> None:
        """The next value, finite."""
        self._append(value)
        self._lag1 = _lag1(np.array(self._values))

    def skip(self) -> None:
        """A value is missing: the next one is no neighbour of the last."""
        if self._values and self._values[-1] == self._values[-1]:
            self._append(float("nan"))

    def _append(self, value: float) -> None:
        self._values.append(value)
        del self._values[:-LONGEST]

    @property
    def lag1(self) -> float | None:
        """r; None below `FEWEST_PAIRS` pairs, 0 where nothing varies."""
        return self._lag1

    @property
    def dependent(self) -> bool:
        """Whether r is above `LIMIT`."""
        return self._lag1 is not None and self._lag1 > LIMIT

    def to_bytes(self) -> bytes:
        """The values, exactly: little-endian 64-bit floats."""
        return np.array(self._values, _FORM).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> BlockCorrelation:
        """What `to_bytes` gave.

        Raises:
            StateError: not whole numbers of floats.
        """
        correlation = cls()
        try:
            correlation._values = np.frombuffer(data, _FORM).tolist()
        except ValueError as error:
            raise StateError(f"correlation of blocks: {error}") from error
        correlation._lag1 = _lag1(np.array(correlation._values))
        return correlation


def _lag1(values: NDArray[np.float64]) -> float | None:
    """r of values, NaN where one is missing."""
    there = ~np.isnan(values)
    paired = there[1:] & there[:-1]
    pairs = int(paired.sum())
    if pairs < FEWEST_PAIRS:
        return None
    rest = np.full(values.size, np.nan)
    rest[there] = _without_levels(values[there])
    spread = float(np.mean(rest[there] ** 2))
    if spread <= (_ROUNDING * float(np.abs(values[there]).max())) ** 2:
        return 0.0
    return float(np.sum((rest[1:] * rest[:-1])[paired])) / pairs / spread


def _without_levels(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values less the mean before, or after, the cut that takes most off the sum of squares."""
    n = values.size
    away = values - values.mean()
    sums, sizes = np.cumsum(away)[:-1], np.arange(1, n)
    cut = int(np.argmax(sums**2 / (sizes * (n - sizes)))) + 1
    return np.concatenate([part - part.mean() for part in (away[:cut], away[cut:])])
