"""How long the values of a column stand still from row to row. Arrays only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LOW_BITS = np.int64(32)
_LOW = np.int64((1 << 32) - 1)


def fill(
    x: NDArray[np.float64],
    nulls: NDArray[np.bool_],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    before: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Replace each null in `x` by the symbol's value before it, NaN where there never was one.

    Says which symbols and columns, (symbols, columns), end in a null, and of each such the place in `x`,
    flat, that its last value came from: of the symbol's first row, though null, where it is older than these
    rows.
    """
    width = x.shape[1]
    np.copyto(first := x[starts], before, where=nulls[starts])
    x[starts] = first
    hollow = nulls[ends]
    nulls = nulls.copy()
    nulls[starts] = False
    holes = nulls.ravel()
    places = np.flatnonzero(holes)
    index = np.empty(x.size, np.int64)
    index[places] = np.arange(places.size)
    source = places - width
    while (waiting := holes[source]).any():
        # To where the row before has found its value, or looks for it: twice as far each time.
        source[waiting] = source[index[source[waiting]]]
    flat = x.reshape(-1)
    flat[places] = flat[source]
    symbols, columns = np.nonzero(hollow)
    final = ends[symbols] * width + columns
    deep = holes[final]
    final[deep] = source[index[final[deep]]]
    return hollow, final


class Runs:
    """Since when the value of each row stands still, by column.

    `same`, (n, columns): values that equal the one before; `nulls` of the same shape are passed over. Rows
    are sorted by symbol, then time; symbols begin at `starts`. `t` (n,); `was`, (symbols, columns), are the
    times of the last change before these rows.
    """

    def __init__(
        self,
        same: NDArray[np.bool_],
        nulls: NDArray[np.bool_] | None,
        starts: NDArray[np.int64],
        t: NDArray[np.int64],
        was: NDArray[np.int64],
    ) -> None:
        # By column, then row, as all below.
        self._same = None if nulls is None else same.T
        self._starts, self._t, self._was = starts, t, was.T
        # An odd number is twice the row of the last change and one, an even one twice the symbol's first row:
        # there was none yet in these rows.
        stands = np.ascontiguousarray((same if nulls is None else same | nulls).T)
        number = 2 * np.arange(len(t)) + 1
        less = number.copy()
        less[starts] = 1
        self._since = number - stands * less
        np.maximum.accumulate(self._since, axis=1, out=self._since)

    def ages(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sum by column, over rows that are the same, of the time since the change, high and low 32 bits.

        Sums of times since the first of these rows stay within int64; what lies before counts by product.
        """
        begin = self._t.min()
        clock = self._t - begin
        times = np.zeros(2 * clock.size, np.int64)
        times[1::2] = clock
        inherited = ~self._since & 1
        if self._same is None:
            low = clock.sum() - times.take(self._since).sum(axis=1)
        else:
            low = ((clock - times.take(self._since)) * self._same).sum(axis=1)
            inherited *= self._same
        weights = np.add.reduceat(inherited, self._starts, axis=1)
        before = begin - self._was
        high = ((before >> _LOW_BITS) * weights).sum(axis=1)
        low += ((before & _LOW) * weights).sum(axis=1)
        return high, low

    def changed(self, ends: NDArray[np.int64]) -> NDArray[np.int64]:
        """By symbol and column when the value of its last row, at `ends`, changed."""
        since = self._since[:, ends]
        return np.where(since & 1, self._t[since >> 1], self._was).T
