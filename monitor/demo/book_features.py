"""Features of an order book, and what the mid did afterwards: states of the book -> columns for a model.

Causal: a row knows its own instant and earlier ones only; rows of one instant know those before them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.demo.order_book import BookStates

Column = NDArray[np.float64]


def book_features(book: BookStates) -> dict[str, Column]:
    """Columns (n,) float64 by name; NaN until a look back reaches into the data.

    `imbalance_L`: (bid - ask) / (bid + ask) volume of the best L levels, in [-1, 1]. `microprice_bps`: the
    volume-weighted mid against the mid. `gap_*_ticks`: distance of the tenth level from the best. `return_*`:
    change of the mid. `volatility_*_bps`: root of the summed squared mid changes. `order_flow_*`: order flow
    imbalance of the best level (Cont, Kukanov, Stoikov 2014, eq. 4) over the volume that stood there, under
    tanh. `placed_rate_*`, `taken_rate_*`: orders a second. `placing_*`, `taking_*`: their bid less ask share.
    """
    bid, ask = book.bid_price[:, 0].astype(float), book.ask_price[:, 0].astype(float)
    bid_volume, ask_volume = book.bid_volume.astype(float), book.ask_volume.astype(float)
    mid = (bid + ask) / 2
    best_bid, best_ask = bid_volume[:, 0], ask_volume[:, 0]
    microprice = (bid * best_ask + ask * best_bid) / (best_bid + best_ask)
    look = _LookBack(book.ts_ms)
    changes_bps = np.diff(mid, prepend=mid[0]) / mid * 1e4
    flow = book.flow.astype(float)
    placed, taken = flow[:, 0] + flow[:, 1], flow[:, 2] + flow[:, 3]
    depth = best_bid + best_ask
    pressure = _order_flow(bid, ask, best_bid, best_ask)

    columns = {
        f"imbalance_{n}": _balance(bid_volume[:, :n].sum(axis=1), ask_volume[:, :n].sum(axis=1))
        for n in (1, 5, 20)
    }
    columns["microprice_bps"] = (microprice / mid - 1) * 1e4
    columns["spread_ticks"] = ask - bid
    columns["gap_bid_ticks"] = bid - book.bid_price[:, 9]
    columns["gap_ask_ticks"] = book.ask_price[:, 9] - ask
    for seconds in (1, 5, 30):
        columns[f"return_{seconds}s_bps"] = (mid / look.value(mid, seconds) - 1) * 1e4
    columns["volatility_30s_bps"] = np.sqrt(look.sum(changes_bps**2, 30))
    for seconds in (1, 5):
        columns[f"order_flow_{seconds}s"] = np.tanh(look.sum(pressure, seconds) / look.mean(depth, seconds))
    columns["placed_rate_5s"] = look.sum(placed, 5) / 5
    columns["taken_rate_5s"] = look.sum(taken, 5) / 5
    columns["placing_5s"] = _balance(look.sum(flow[:, 0], 5), look.sum(flow[:, 1], 5))
    columns["taking_5s"] = _balance(look.sum(flow[:, 2], 5), look.sum(flow[:, 3], 5))
    return columns


def forward_return_bps(book: BookStates, horizon_s: float) -> Column:
    """What the mid does in the `horizon_s` after a row, in basis points; NaN where the data ends before."""
    mid = (book.bid_price[:, 0] + book.ask_price[:, 0]) / 2
    ahead_ms = book.ts_ms + int(horizon_s * 1000)
    row = np.searchsorted(book.ts_ms, ahead_ms, side="right") - 1
    return np.where(ahead_ms <= book.ts_ms[-1], (mid[row] / mid - 1) * 1e4, np.nan)


class _LookBack:
    """Values and sums over the last seconds, row by row; NaN where the window starts before the data."""

    def __init__(self, ts_ms: NDArray[np.int64]) -> None:
        self._ts_ms = ts_ms

    def _before(self, seconds: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        since_ms = self._ts_ms - seconds * 1000
        row = np.searchsorted(self._ts_ms, since_ms, side="right") - 1
        return np.maximum(row, 0), row >= 0

    def value(self, column: Column, seconds: int) -> Column:
        """The column as it stood `seconds` ago."""
        row, known = self._before(seconds)
        return np.where(known, column[row], np.nan)

    def sum(self, column: Column, seconds: int) -> Column:
        """Over the rows later than `seconds` ago, up to and with this one."""
        row, known = self._before(seconds)
        total = np.cumsum(column)
        return np.where(known, total - total[row], np.nan)

    def mean(self, column: Column, seconds: int) -> Column:
        """Over the same rows, this one always among them."""
        row, known = self._before(seconds)
        total = np.cumsum(column)
        own = np.arange(len(column))
        return np.where(known, (total - total[row]) / np.maximum(own - row, 1), np.nan)


def _balance(bid: Column, ask: Column) -> Column:
    total = bid + ask
    return np.where(
        total > 0, (bid - ask) / np.where(total > 0, total, 1.0), np.where(np.isnan(total), np.nan, 0.0)
    )


def _order_flow(bid: Column, ask: Column, bid_volume: Column, ask_volume: Column) -> Column:
    """Volume that came to the best bid and left the best ask less the reverse, by row; 0 in the first."""
    e = np.zeros(len(bid))
    e[1:] = (
        (bid[1:] >= bid[:-1]) * bid_volume[1:]
        - (bid[1:] <= bid[:-1]) * bid_volume[:-1]
        - (ask[1:] <= ask[:-1]) * ask_volume[1:]
        + (ask[1:] >= ask[:-1]) * ask_volume[:-1]
    )
    return e
