"""`Staleness`: how often values repeat and how old they are; counts and sums, whoever compared the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from monitor.stats.integer_counts import IntegerCounts, stacked

_PARTS = 5
_LOW_BITS = np.int64(32)
_LOW = np.int64((1 << 32) - 1)


class Staleness(IntegerCounts[int]):
    """Per column (`spec` of them): values present, those compared with the previous one, those equal to it,
    and the sum of ages; a pane statistic.

    `frozen_rate = repeats / compared`, a fraction; `feature_age = sum(time of row - time of last change) /
    present`, seconds. Ages are summed in whole nanoseconds, exactly, in two int64 a column: 2^95 ns in all.
    Both are `insufficient` without a value to tell from; `extra.reference` is what the reference had. A rate
    means something against that alone: a side repeats by its nature, a mid hardly ever.

    >>> staleness = Staleness(1)
    >>> staleness.update(np.array([[4, 3, 2, 1, 705_032_704]]))
    >>> staleness.frozen_rate(0), staleness.mean_age_s(0)
    (0.6666666666666666, 1.25)
    """

    __slots__ = ()

    PARTS = ("present", "compared", "frozen", "age_high", "age_low")
    """In this order, each by column."""

    @staticmethod
    def _size(spec: int) -> int:
        return _PARTS * spec

    def update(self, counts: NDArray[np.int64]) -> None:
        """Add m rows of counts, (m, 5 x columns): `PARTS` one after the other, none negative.

        An age is 2^32 `age_high` + `age_low` ns.
        """
        self._vector += counts.sum(axis=0)
        self._carry()

    def merge(self, other: Self) -> None:
        """Add the counts and sums of `other`, which has as many columns."""
        super().merge(other)
        self._carry()

    @staticmethod
    def joined(panes: Sequence[Staleness]) -> Staleness:
        """What at least one pane holds, all together."""
        total = Staleness(panes[0].spec)
        total._vector += stacked(panes).sum(axis=0)
        total._carry()
        return total

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
