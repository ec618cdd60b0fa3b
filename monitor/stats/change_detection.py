"""`ChangeDetector`: ADWIN on the means of panes, which says when a stream is no longer what it was.

A sequence: it depends on order and does not merge. Knows no pane and no clock. The detector is river's, which
is imported when the first one is made.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from typing import Any

import numpy as np

from monitor.errors import StateError

PACKAGE = "river"
CALIBRATION = 32
"""Means that fix the scale; no change is found among fewer."""

KEPT = 1024
"""Means that a detector is made of anew, each time it has taken as many again."""

_LARGEST = 10.0
_FORM = "<f8"


def available() -> bool:
    """Whether river is installed; does not import it."""
    return importlib.util.find_spec(PACKAGE) is not None


class ChangeDetector:
    """ADWIN (Bifet & Gavalda 2007) on values of one scale: finite, one a pane.

    ADWIN keeps the longest window in which no two parts differ by more than chance allows at `delta`, and
    drops the older part where they do: that is a change. It is made for values about as large as 1, so each
    is taken as z = (x - mean) / sd, with mean and sd of the first 32 values (more, while they are all
    alike), and within +-10, so that one outlier is no change. It is looked at after every value (`clock=1`).

    Values must be nearly independent: on 100,000 events of AR(0.9) it cries out about 610 times, on the means
    of panes of 50 of the same events never. The state is the values themselves, at most 2,048: after as many,
    a detector is made anew from the last 1,024, whether or not the program was restarted in between.

    >>> detector = ChangeDetector(delta=0.002)
    >>> [i for i in range(120) if detector.take(5 + i % 3 + 4 * (i >= 80))]
    [88]
    """

    __slots__ = ("_adwin", "_alike", "_delta", "_middle", "_scale", "_values")

    def __init__(self, delta: float) -> None:
        self._delta = delta
        self._values: list[float] = []
        self._begin()

    def _begin(self) -> None:
        self._adwin: Any = None
        self._alike = True
        self._middle = self._scale = 0.0

    def take(self, value: float) -> bool:
        """The next value; whether it shows that the stream has changed.

        Raises:
            ValueError: not finite; nothing is taken then.
        """
        if not math.isfinite(value):
            raise ValueError(f"the mean of a pane must be finite, got {value}")
        self._values.append(value)
        changed = self._step(len(self._values))
        if len(self._values) == 2 * KEPT:
            del self._values[:KEPT]
            self._replay()
        return changed

    def skip(self) -> None:
        """A value is missing. ADWIN knows no time: it goes on with the next."""

    def _replay(self) -> None:
        """Make the detector of the kept values; what it finds among them was said before."""
        self._begin()
        for count in range(1, len(self._values) + 1):
            self._step(count)

    def _step(self, count: int) -> bool:
        """Take the last of the first `count` values, or all of them once they give a scale."""
        if self._adwin is not None:
            return self._update(self._values[count - 1])
        self._alike &= self._values[count - 1] == self._values[0]
        if count < CALIBRATION or self._alike:
            return False
        first = np.array(self._values[:count])
        largest = float(np.abs(first).max()) or 1.0
        middle, scale = float((first / largest).mean()), float((first / largest).std())
        if scale <= 1e-12:
            return False
        self._middle, self._scale = middle * largest, scale * largest
        detectors = importlib.import_module(f"{PACKAGE}.drift.adwin")
        self._adwin = detectors.ADWIN(delta=self._delta, clock=1)
        return True in [self._update(value) for value in self._values[:count]]

    def _update(self, value: float) -> bool:
        z = (value - self._middle) / self._scale
        self._adwin.update(min(max(z, -_LARGEST), _LARGEST))
        return bool(self._adwin.drift_detected)

    def to_bytes(self) -> bytes:
        """The values kept: little-endian 64-bit floats."""
        return np.array(self._values, _FORM).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, delta: float) -> ChangeDetector:
        """The detector whose `to_bytes` gave `data`.

        Raises:
            StateError: not whole numbers of floats, or too many.
        """
        detector = cls(delta)
        try:
            detector._values = np.frombuffer(data, _FORM).tolist()
        except ValueError as error:
            raise StateError(f"change detector: {error}") from error
        if len(detector._values) >= 2 * KEPT:
            raise StateError(
                f"change detector: {len(detector._values)} values, it keeps fewer than {2 * KEPT}"
            )
        detector._replay()
        return detector
