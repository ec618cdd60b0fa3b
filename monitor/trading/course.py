"""`Course`: the rows of a slice as a walk from event to event needs them. Knows neither books nor orders."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Course:
    """Rows of a slice grouped by symbol, for a walk from event to event: `at` ns, `wish` in lots, and by row
    the first from it on with a quote (`quotes`), that is tradable (`trades`), that decides (`decides`), and
    after one that decides the first that decides otherwise (`differs`). They may lie beyond the symbol: a
    search ends at `end`. `asks` (n,): a row decides and has a quote."""

    at: list[int]
    wish: list[float]
    quotes: list[int]
    trades: list[int]
    decides: list[int]
    differs: list[int]
    asks: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        at: NDArray[np.int64],
        wish: NDArray[np.float64],
        priced: NDArray[np.bool_],
        tradable: NDArray[np.bool_],
        decided: NDArray[np.bool_],
    ) -> Course:
        """From columns (n,)."""
        n = len(at)
        rows = np.arange(n)
        differs = np.full(n, n)
        deciding = np.flatnonzero(decided)
        if len(deciding):
            wishes = wish[deciding]
            turns = np.append(np.where(wishes[1:] != wishes[:-1], deciding[1:], n), n)
            differs[deciding] = _from_here_on(turns)
        trades = _from_here_on(np.where(tradable, rows, n)).tolist()
        return cls(
            at.tolist(),
            wish.tolist(),
            trades if tradable is priced else _from_here_on(np.where(priced, rows, n)).tolist(),
            trades,
            _from_here_on(np.where(decided, rows, n)).tolist(),
            differs.tolist(),
            decided & priced,
        )

    def asking(self, since_ns: int, start: int, end: int) -> NDArray[np.int64]:
        """All rows of `start` to `end` that decide at a quote from `since_ns` on."""
        start = bisect_left(self.at, since_ns, start, end)
        return start + np.flatnonzero(self.asks[start:end])

    def quote(self, since_ns: int, start: int, end: int) -> int:
        """The first with a quote from `since_ns` on; `end` or more: none."""
        row = bisect_left(self.at, since_ns, start, end)
        return self.quotes[row] if row < end else end

    def tradable(self, since_ns: int, start: int, end: int) -> int:
        """Likewise, with a quote that gives a lot at least."""
        row = bisect_left(self.at, since_ns, start, end)
        return self.trades[row] if row < end else end

    def other(self, wish: int, since_ns: int, start: int, end: int) -> int:
        """The first that decides on anything else than `wish`, likewise."""
        row = bisect_left(self.at, since_ns, start, end)
        if row >= end:
            return end
        row = self.decides[row]
        return self.differs[row] if row < end and self.wish[row] == wish else row


def _from_here_on(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smallest from each place on."""
    return np.minimum.accumulate(rows[::-1])[::-1]
