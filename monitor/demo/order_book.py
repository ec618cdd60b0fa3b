"""Real order events -> a clean book: best bid and offer and the depth behind them, never crossed.

The events are the BTC/USD sample that the package `ob-analytics` installs (extra `sample`): 314,057 order
events of 30 minutes. Only its data is read, at run time, from the path that its public function names.
Replayed naively the book comes out crossed nearly throughout, for three reasons, each answered here:

- market orders stand in the events as limit orders at price 0 or 999,999,999: left out;
- between the snapshot at the start and the first live event some orders were filled or cancelled unseen, and
  would rest for ever: a snapshot order that a later order has crossed for `PATIENCE_MS` is gone, evicted;
- an incoming order that takes liquidity is announced before it is matched: while it crosses, it is held
  beside the book.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SAMPLE_EVENTS = 314_057
TICK_USD = 1
"""The sample's price grid: every price is a whole dollar."""

LOTS_PER_COIN = 100_000_000
LEVELS = 20
PATIENCE_MS = 250
"""On the sample anything from 50 ms to 5 s evicts the same two orders; 0 evicts thousands that do rest."""

_MARKET_ORDER_PRICE = 999_999_999


@dataclass(frozen=True, slots=True)
class OrderEvents:
    """Order events by exchange time.

    `order_id` (n,) int64; `exchange_ms`, `received_ms` (n,) int64 since the Unix epoch; `price` (n,) int64
    in ticks; `volume` (n,) int64 in lots; `created`, `deleted` (n,) bool (neither: changed); `is_bid`
    (n,) bool.
    """

    order_id: NDArray[np.int64]
    exchange_ms: NDArray[np.int64]
    received_ms: NDArray[np.int64]
    price: NDArray[np.int64]
    volume: NDArray[np.int64]
    created: NDArray[np.bool_]
    deleted: NDArray[np.bool_]
    is_bid: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.order_id)


def read_events(path: Path | None = None) -> OrderEvents:
    """The sample's order events; `path` names another file of the same columns.

    Raises:
        ModuleNotFoundError: the extra `sample` is not installed.
    """
    from pyarrow import csv

    if path is None:
        import ob_analytics

        path = ob_analytics.sample_csv_path()
    table = csv.read_csv(str(path))
    action = table["action"].to_numpy()
    return OrderEvents(
        order_id=table["id"].to_numpy(),
        exchange_ms=table["exchange_timestamp"].to_numpy(),
        received_ms=table["timestamp"].to_numpy(),
        price=np.rint(table["price"].to_numpy() / TICK_USD).astype(np.int64),
        volume=np.rint(table["volume"].to_numpy() * LOTS_PER_COIN).astype(np.int64),
        created=action == "created",
        deleted=action == "deleted",
        is_bid=table["direction"].to_numpy() == "bid",
    )


@dataclass(frozen=True, slots=True)
class BookStates:
    """The book after each order event that changed its best `LEVELS` levels.

    `ts_ms` (n,) int64 ascending, often equal; `bid_price`, `ask_price` (n, LEVELS) int64 ticks, best first;
    `bid_volume`, `ask_volume` (n, LEVELS) int64 lots. `flow` (n, 4) int64: orders placed on the bid, on the
    ask, taken off the bid, off the ask since the row before. `evicted`: snapshot orders found to be gone.
    """

    ts_ms: NDArray[np.int64]
    bid_price: NDArray[np.int64]
    bid_volume: NDArray[np.int64]
    ask_price: NDArray[np.int64]
    ask_volume: NDArray[np.int64]
    flow: NDArray[np.int64]
    evicted: int

    def __len__(self) -> int:
        return len(self.ts_ms)


class _Side:
    """Resting volume by price; prices ascend by `rank`, best first (bids are ranked by negative price)."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.ranks: list[int] = []
        self.volume: dict[int, int] = {}
        self.orders: dict[int, dict[int, int]] = {}

    def best(self) -> int | None:
        return self.sign * self.ranks[0] if self.ranks else None

    def add(self, order_id: int, price: int, volume: int) -> None:
        rank = self.sign * price
        if rank not in self.volume:
            insort(self.ranks, rank)
            self.volume[rank] = 0
            self.orders[rank] = {}
        self.volume[rank] += volume
        self.orders[rank][order_id] = volume

    def remove(self, order_id: int, price: int) -> None:
        rank = self.sign * price
        self.volume[rank] -= self.orders[rank].pop(order_id)
        if not self.orders[rank]:
            del self.orders[rank], self.volume[rank], self.ranks[bisect_left(self.ranks, rank)]

    def top(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        ranks = self.ranks[:LEVELS]
        return tuple(self.sign * r for r in ranks), tuple(self.volume[r] for r in ranks)


@dataclass(slots=True)
class _Held:
    """An order that crosses the book and waits beside it."""

    order_id: int
    is_bid: bool
    price: int
    volume: int
    since_ms: int


class OrderBook:
    """The book of one instrument, event by event; what it shows is never crossed."""

    def __init__(self) -> None:
        self.bids, self.asks = _Side(-1), _Side(1)
        self.evicted = 0
        self._resting: dict[int, tuple[bool, int]] = {}
        self._held: deque[_Held] = deque()

    def place(self, order_id: int, is_bid: bool, price: int, volume: int, now_ms: int) -> None:
        """A new order: rests, or is held while it crosses."""
        if self._crosses(is_bid, price):
            self._held.append(_Held(order_id, is_bid, price, volume, now_ms))
        else:
            self._rest(order_id, is_bid, price, volume)

    def take_off(self, order_id: int) -> bool:
        """An order is filled or cancelled; False when it was never seen."""
        known = self._resting.pop(order_id, None)
        if known is not None:
            is_bid, price = known
            (self.bids if is_bid else self.asks).remove(order_id, price)
            return True
        held = [h for h in self._held if h.order_id == order_id]
        for order in held:
            self._held.remove(order)
        return bool(held)

    def settle(self, now_ms: int) -> None:
        """Lets held orders rest that cross no more, or that have outlived what they cross."""
        for order in list(self._held):
            if self._crosses(order.is_bid, order.price):
                if now_ms - order.since_ms < PATIENCE_MS:
                    continue
                self._evict(order.is_bid, order.price)
            self._held.remove(order)
            self._rest(order.order_id, order.is_bid, order.price, order.volume)

    def _rest(self, order_id: int, is_bid: bool, price: int, volume: int) -> None:
        (self.bids if is_bid else self.asks).add(order_id, price, volume)
        self._resting[order_id] = (is_bid, price)

    def _crosses(self, is_bid: bool, price: int) -> bool:
        best = (self.asks if is_bid else self.bids).best()
        if best is None:
            return False
        return price >= best if is_bid else price <= best

    def _evict(self, is_bid: bool, price: int) -> None:
        other = self.asks if is_bid else self.bids
        while self._crosses(is_bid, price):
            best = other.best()
            assert best is not None
            for order_id in list(other.orders[other.sign * best]):
                self.take_off(order_id)
                self.evicted += 1


def replay_book(events: OrderEvents) -> BookStates:
    """The book's states from the first live event on.

    Raises:
        ValueError: a state is crossed, or the events are not by exchange time.
    """
    if np.any(np.diff(events.exchange_ms) < 0):
        raise ValueError("order events: exchange time goes back; sort them by exchange_timestamp")
    snapshot_ms, final_ms = int(events.exchange_ms[0]), int(events.exchange_ms[-1])
    limit = (events.price > 0) & (events.price < _MARKET_ORDER_PRICE)
    live = events.exchange_ms < final_ms  # at the last instant the recorder deletes all that still rests
    rows = np.flatnonzero(limit & live)
    columns = (
        events.order_id[rows].tolist(),
        events.exchange_ms[rows].tolist(),
        events.price[rows].tolist(),
        events.volume[rows].tolist(),
        events.created[rows].tolist(),
        events.deleted[rows].tolist(),
        events.is_bid[rows].tolist(),
    )
    book = OrderBook()
    states: list[tuple[int, ...]] = []
    shown: tuple[object, object] | None = None
    flow = [0, 0, 0, 0]

    def show(now_ms: int) -> None:
        nonlocal shown
        book.settle(now_ms)
        bids, asks = book.bids.top(), book.asks.top()
        if (bids, asks) == shown or min(len(bids[0]), len(asks[0])) < LEVELS:
            return
        states.append((now_ms, *bids[0], *bids[1], *asks[0], *asks[1], *flow))
        shown = (bids, asks)
        flow[:] = [0, 0, 0, 0]

    for order_id, now_ms, price, volume, created, deleted, is_bid in zip(*columns, strict=True):
        known = False if created else book.take_off(order_id)
        if deleted:
            flow[2 if is_bid else 3] += known
        elif created or known:
            book.place(order_id, is_bid, price, volume, now_ms)
            flow[0 if is_bid else 1] += created
        if now_ms != snapshot_ms:
            show(now_ms)
    table = np.array(states, np.int64)
    cuts = np.cumsum([1, LEVELS, LEVELS, LEVELS, LEVELS])
    ts, bid_price, bid_volume, ask_price, ask_volume, flows = np.split(table, cuts, axis=1)
    if np.any(bid_price[:, 0] >= ask_price[:, 0]):
        raise ValueError("the cleaned book is crossed")
    return BookStates(ts[:, 0], bid_price, bid_volume, ask_price, ask_volume, flows, book.evicted)
