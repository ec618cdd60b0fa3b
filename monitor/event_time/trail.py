"""`Trail`: where in an input a restart would have to begin to read again."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from monitor.wire.table import NO_TIME


class Trail:
    """Remembers of one input's rows those whose own time exceeds that of all rows before them: the lowest row
    with own time >= any `keep` is among them."""

    def __init__(self) -> None:
        self._top = NO_TIME
        self._steps: deque[NDArray[np.int64]] = deque()

    def add(self, offset: NDArray[np.int64], own: NDArray[np.int64], bound_before: NDArray[np.int64]) -> None:
        """Rows in offset order, all later than those already here."""
        tops = np.maximum.accumulate(np.concatenate(([self._top], own)))
        rising = np.flatnonzero(tops[1:] > tops[:-1])
        if len(rising):
            self._steps.append(np.stack((own[rising], offset[rising], bound_before[rising])))
            self._top = int(tops[-1])

    def lowest(self, keep: int) -> tuple[int, int] | None:
        """Offset of the lowest row with own time >= `keep` and the bound before it; None where there is none.

        `keep` never falls: what lies before it is forgotten.
        """
        while self._steps and self._steps[0][0, -1] < keep:
            self._steps.popleft()
        if not self._steps:
            return None
        step = self._steps[0]
        first = int(step[0].searchsorted(keep))
        self._steps[0] = step[:, first:]
        return int(step[1, first]), int(step[2, first])
