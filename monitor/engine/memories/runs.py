"""Runs of rows in which the values of a column stand still, and how long they do. Arrays only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LOW_BITS = np.int64(32)
_LOW = np.int64((1 << 32) - 1)


def filled(
    x: NDArray[np.float64],
    nulls: NDArray[np.bool_],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    before: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Each null replaced by the symbol's value before it, NaN where there never was one.

    And by symbol and column the place in `x`, flat, that its last value came from: that of the symbol's first
    row, though null, where it is older than these rows.
    """
    x = x.copy()
    x[starts] = np.where(nulls[starts], before, x[starts])
    nulls = nulls.copy()
    nulls[starts] = False
    holes = nulls.ravel()
    places = np.flatnonzero(holes)
    index = np.zeros(x.size, np.int64)
    index[places] = np.arange(places.size)
    source = places - x.shape[1]
    while (waiting := holes[source]).any():
        # To where the row before has found its value, or looks for it: twice as far each time.
        source[waiting] = source[index[source[waiting]]]
    flat = x.reshape(-1)
    flat[places] = flat[source]
    final = ends[:, None] * x.shape[1] + np.arange(x.shape[1])
    hollow = nulls[ends]
    final[hollow] = source[index[final[hollow]]]
    return x, final


class Runs:
    """Runs of rows in which a value stands still, by column; what comes between two changes.

    `same`, (n, columns), with at least one True: values that equal the one before; `nulls` of the same shape
    are passed over. Rows are sorted by symbol, then time; symbols begin at `starts`. `t` (n,); `was`,
    (symbols, columns), are the times of the last change before these rows.
    """

    def __init__(
        self,
        same: NDArray[np.bool_],
        nulls: NDArray[np.bool_] | None,
        starts: NDArray[np.int64],
        t: NDArray[np.int64],
        was: NDArray[np.int64],
    ) -> None:
        rows, self._columns = same.shape
        self._rows, self._t, self._was = rows, t, was
        self._stands = same if nulls is None else same | nulls
        # By column, then row.
        self._places = np.flatnonzero(self._stands.T.ravel())
        row = self._places % rows
        leads = np.zeros(rows, np.bool_)
        leads[starts] = True
        begins = leads[row]
        begins[0] = True
        begins[1:] |= self._places[1:] != self._places[:-1] + 1
        self._first = np.flatnonzero(begins)
        self._column, self._row = np.divmod(self._places[self._first], rows)
        self._clock = t - t.min()
        if nulls is None:
            self._weights = np.diff(self._first, append=row.size)
            self._passed = np.add.reduceat(self._clock[row], self._first)
        else:
            counts = same.T.ravel()[self._places].astype(np.int64)
            self._weights = np.add.reduceat(counts, self._first)
            self._passed = np.add.reduceat(counts * self._clock[row], self._first)
        self._inherited = np.flatnonzero(leads[self._row])
        self._symbol = np.searchsorted(starts, self._row[self._inherited], side="right") - 1

    def ages(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sum by column, over rows that are the same, of the time since the change, high and low 32 bits.

        Sums of times since the first of these rows stay within int64; what lies before counts by product.
        """
        since = self._clock[self._row - 1]
        since[self._inherited] = 0
        high, low = (np.zeros(self._columns, np.int64) for _ in range(2))
        np.add.at(low, self._column, self._passed - since * self._weights)
        column, weights = self._column[self._inherited], self._weights[self._inherited]
        before = self._t.min() - self._was[self._symbol, column]
        np.add.at(high, column, (before >> _LOW_BITS) * weights)
        np.add.at(low, column, (before & _LOW) * weights)
        return high, low

    def changed(self, ends: NDArray[np.int64], otherwise: NDArray[np.int64]) -> NDArray[np.int64]:
        """By symbol and column when the value of its last row, at `ends`, changed; `otherwise` where that row
        is itself a change."""
        since = self._t[self._row - 1]
        since[self._inherited] = self._was[self._symbol, self._column[self._inherited]]
        symbols, columns = np.nonzero(self._stands[ends])
        at = columns * self._rows + ends[symbols]
        changed = otherwise.copy()
        changed[symbols, columns] = since[np.searchsorted(self._places[self._first], at, side="right") - 1]
        return changed
