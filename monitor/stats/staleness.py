"""`Staleness`: how often values repeat and how old they are; counts and sums, whoever compared the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from monitor.stats.integer_counts import IntegerCounts

_PARTS = 5
_LOW_BITS = np.int64(32)
_LOW = np.int64((1 << 32) - 1)


class Staleness(IntegerCounts[int]):
    """Per column (`spec` of them): values present, those compared with the previous one, those equal to it,
    and the sum of ages; a pane statistic.

    Ages are summed in whole nanoseconds, exactly, in two int64 a column: 2^95 ns in all.

    >>> staleness = Staleness(1)
    >>> staleness.update({"present": 4, "compared": 3, "frozen": 2, "age_high": 1, "age_low": 705_032_704})
    >>> staleness.frozen_rate(0), staleness.mean_age_s(0)
    (0.6666666666666666, 1.25)
    """

    __slots__ = ()

    PARTS = ("present", "compared", "frozen", "age_high", "age_low")

    @staticmethod
    def _size(spec: int) -> int:
        return _PARTS * spec

    def update(self, rows: Mapping[str, Any]) -> None:
        """Add m rows of `PARTS`, each (m, columns); ages are 2^32 `age_high` + `age_low` ns, not negative."""
        shape = (-1, self.spec)
        self._vector += np.concatenate([np.reshape(rows[part], shape).sum(axis=0) for part in self.PARTS])
        self._carry()

    def merge(self, other: Self) -> None:
        """Add the counts and sums of `other`, which has as many columns."""
        super().merge(other)
        self._carry()

    def _carry(self) -> None:
        high, low = self._vector.reshape(_PARTS, -1)[3:]
        high += low >> _LOW_BITS
        low &= _LOW

    def present(self, column: int) -> int:
        """Values that were there."""
        return int(self._vector[column])

    def compared(self, column: int) -> int:
        """Values that had one before them."""
        return int(self._vector[self.spec + column])

    def frozen_rate(self, column: int) -> float:
        """Share of compared values that equalled the previous one; NaN where none was compared."""
        compared = self.compared(column)
        return int(self._vector[2 * self.spec + column]) / compared if compared else float("nan")

    def mean_age_s(self, column: int) -> float:
        """Mean age of the values present, seconds; NaN where there is none."""
        present = self.present(column)
        high, low = int(self._vector[3 * self.spec + column]), int(self._vector[4 * self.spec + column])
        return ((high << 32) + low) / present / 1e9 if present else float("nan")
