"""`Counts`: named counters. Error rates, event rates and fates are ratios of them; it knows none of these."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from monitor.stats.integer_counts import IntegerCounts


class Counts(IntegerCounts[tuple[str, ...]]):
    """Counters by name, in the order of `spec`.

    >>> counts = Counts(("ok", "error", "timeout"))
    >>> counts.update("ok", 97); counts.update("error", 2); counts.update("timeout")
    >>> counts["ok"], counts.total(["error", "timeout"])
    (97, 3)
    """

    __slots__ = ()

    @staticmethod
    def _size(spec: tuple[str, ...]) -> int:
        return len(spec)

    def update(self, name: str, by: int = 1) -> None:
        """Add `by` (not negative) to one counter."""
        if by < 0:
            raise ValueError(f"counter {name}: counts only rise, got {by}")
        self._vector[self.spec.index(name)] += by

    def update_all(self, by: NDArray[np.int64]) -> None:
        """Add a vector of non-negative increments, (names,) in the order of `spec`."""
        if (by < 0).any():
            raise ValueError(f"counters {self.spec}: counts only rise, got {by.tolist()}")
        self._vector += by

    def __getitem__(self, name: str) -> int:
        return int(self._vector[self.spec.index(name)])

    def total(self, names: Iterable[str]) -> int:
        """Sum of some counters."""
        return sum(self[name] for name in names)

    def places(self, names: Iterable[str]) -> list[int]:
        """Where some counters stand in `spec`."""
        return [self.spec.index(name) for name in names]
