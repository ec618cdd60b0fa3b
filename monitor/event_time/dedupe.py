"""`Dedupe`: has this key been folded lately? Exact, by two generations of a dictionary; dropped whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.wire.table import NO_TIME


class Dedupe:
    """Keys folded within `window` ns. A key counts with the largest own time it was folded with.

    A row is a duplicate when its key was folded earlier with an own time not older than the row's effective
    time - `window`. Not state: after a restart it is refilled from the log.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._new: dict[int, int] = {}
        self._old: dict[int, int] = {}
        self._since = self._until = NO_TIME

    def __len__(self) -> int:
        """Keys held; those of a generation go together, some time after they can matter."""
        return len(self._new) + len(self._old)

    def judge(
        self, keys: NDArray[np.uint64], own: NDArray[np.int64], eff: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Which rows (in folding order) are duplicates; all rows are remembered."""
        duplicate = np.zeros(len(keys), np.bool_)
        if not len(keys):
            return duplicate
        self._rotate(int(eff[0]), int(eff[-1]))
        fresh = dict(zip(keys.tolist(), own.tolist(), strict=True))
        if len(fresh) == len(keys) and self._unknown(fresh):
            self._new.update(fresh)
            return duplicate
        for row, (key, mine, at) in enumerate(zip(keys.tolist(), own.tolist(), eff.tolist(), strict=True)):
            duplicate[row] = self._remember(key, mine) >= at - self._window
        return duplicate

    def refill(self, keys: NDArray[np.uint64], own: NDArray[np.int64]) -> None:
        """Remember rows that had been folded before a restart."""
        fresh = dict(zip(keys.tolist(), own.tolist(), strict=True))
        if len(fresh) == len(keys) and self._unknown(fresh):
            self._new.update(fresh)
            return
        for key, mine in zip(keys.tolist(), own.tolist(), strict=True):
            self._remember(key, mine)

    def _unknown(self, fresh: dict[int, int]) -> bool:
        return self._new.keys().isdisjoint(fresh) and self._old.keys().isdisjoint(fresh)

    def _remember(self, key: int, own: int) -> int:
        """Returns the largest own time with which the key had been folded; NO_TIME if it had not."""
        seen = self._new.get(key)
        if seen is None:
            seen = self._old.get(key, NO_TIME)
        self._new[key] = max(own, seen)
        return seen

    def _rotate(self, first: int, last: int) -> None:
        # Rows have own time <= the effective time at which they were folded, so a generation can no longer
        # make a duplicate once a window has passed since the last of them.
        if self._since == NO_TIME:
            self._since = first
        elif first - self._since > self._window:
            self._old = self._new if first - self._until <= self._window else {}
            self._new = {}
            self._since = first
        self._until = max(self._until, last)
