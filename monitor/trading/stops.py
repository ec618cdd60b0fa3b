"""`Stops`: targets that caps keep a book from reaching, and the quotes at which they leave enough of them.
Knows neither books nor orders.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.trading.marks import Quotes
from monitor.trading.paper_rules import Room

_NOWHERE = Room(side=1, mid=-1, now=-1, later=-1, turns_ns=0)


class Stops:
    """Stopped targets in lots by symbol index (`wishes`; read only), each with its `Room`, which holds while
    the position does."""

    __slots__ = ("_rooms", "wishes")

    def __init__(self) -> None:
        self.wishes: dict[int, int] = {}
        self._rooms = np.zeros((0, len(Room._fields)), np.int64)

    def extend(self, symbols: int) -> None:
        """Append more symbols, without stopped targets."""
        self._rooms = np.concatenate([self._rooms, np.full((symbols, len(_NOWHERE)), _NOWHERE)])

    def put(self, code: int, wish: int, room: Room) -> None:
        """A target is stopped."""
        self.wishes[code] = wish
        self._rooms[code] = room

    def drop(self, code: int) -> None:
        """None is, any more."""
        if self.wishes.pop(code, None) is not None:
            self._rooms[code] = _NOWHERE

    def leave(self, quotes: Quotes, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some `priced` rows at which caps leave enough of what is stopped in their symbol."""
        side, mid, now, later, turns_ns = self._rooms[quotes.symbol[rows]].T
        bid, ask = quotes.bid[rows], quotes.ask[rows]
        fits = np.abs(bid + ask) <= mid
        fits &= np.abs(np.where(side > 0, ask, bid)) <= np.where(quotes.ts[rows] < turns_ns, now, later)
        found: NDArray[np.int64] = rows[fits]
        return found
