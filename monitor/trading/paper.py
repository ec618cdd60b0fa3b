"""`PaperBook`: what a role's signals would have earned, by a paper broker of marketable orders.

A prediction sets a target position; where it differs from the position held, and the holding time has passed,
an order is placed; from `latency` later on it fills, whole, on the first quote of its symbol that renews the
accepted mark. Vectorised in rounds: the next event (order or fill) of every symbol at once; Python only where
a book trades. Knows quotes and predictions, neither reports nor models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError
from monitor.trading.marks import Quotes
from monitor.trading.position import VERSION, Book, Line, Position
from monitor.trading.trades import Capped, PaperOrder, Trade
from monitor.trading.units import InstrumentUnits, ratio

_NONE = 2
"""No order in flight, no decision in a row; the other targets are -1, 0 and 1 times the quantity."""

_BPS = 10_000


class PaperRules(msgspec.Struct, frozen=True):
    """The same for every role. Target `sign`: +`quantity` above `threshold`, -`quantity` below -`threshold`,
    flat between; no prediction, no decision. `holding_ns`: from a fill to the next order. `slippage_bps` of
    the price and `fee_bps` of the money paid are both rounded against the book."""

    quantity: Decimal
    threshold: float = 0.0
    holding_ns: int = 1_000_000_000
    latency_ns: int = 50_000_000
    slippage_bps: Decimal = Decimal(0)
    fee_bps: Decimal = Decimal(0)


class _Stored(msgspec.Struct, array_like=True):
    line: Line
    free_ns: int
    wanted: int
    due_ns: int


class PaperBook:
    """The book `{role, paper}` of one partition task; `number`: its index in `BookSet.names`."""

    def __init__(
        self, instruments: Sequence[InstrumentUnits], rules: PaperRules, role: str, number: int = 1
    ) -> None:
        self.book = Book()
        self.role = role
        self._number = number
        self._rules = rules
        self._slippage = _bps(rules.slippage_bps)
        self._fee = _bps(rules.fee_bps)
        self._instruments: list[InstrumentUnits] = []
        self._lots: list[int] = []
        self._held = np.zeros(0, np.int8)
        self._free = np.zeros(0, np.int64)
        self._wanted = np.zeros(0, np.int8)
        self._due = np.zeros(0, np.int64)
        self.extend(instruments)

    def extend(self, instruments: Iterable[InstrumentUnits]) -> None:
        """Append more symbols, flat and without orders.

        Raises:
            ValueError: the quantity is not a multiple of a lot size.
        """
        more = list(instruments)
        self._lots += [units.lots(self._rules.quantity) for units in more]
        self._instruments += more
        n = len(more)
        self._held = np.concatenate([self._held, np.zeros(n, np.int8)])
        self._free = np.concatenate([self._free, np.full(n, np.iinfo(np.int64).min)])
        self._wanted = np.concatenate([self._wanted, np.full(n, _NONE, np.int8)])
        self._due = np.concatenate([self._due, np.zeros(n, np.int64)])

    def fold(self, quotes: Quotes, prediction: NDArray[np.float64]) -> tuple[list[Trade], list[PaperOrder]]:
        """Fold a slice of rows; `prediction` (n,) in the slice's own order, NaN = none. A row first fills
        what is due, then decides; an order without latency may fill on the row that places it, which leaves
        that row nothing to decide. So each round goes on from the row of the last event. Returns what was
        traded, and the orders that ended."""
        trades: list[Trade] = []
        ended: list[PaperOrder] = []
        n = len(quotes.rows)
        value = prediction[quotes.rows]
        target = (value > self._rules.threshold).astype(np.int8)
        target -= value < -self._rules.threshold
        target[np.isnan(value)] = _NONE
        rows = np.arange(n)
        symbol = quotes.symbol
        while True:
            hits = self._next(quotes, target, rows)
            if not len(hits):
                return trades, ended
            self._place_or_fill(quotes, target, hits, trades, ended)
            lengths = np.searchsorted(symbol, symbol[hits], side="right") - hits
            shifts = np.cumsum(lengths) - lengths
            rows = np.arange(int(lengths.sum())) + np.repeat(hits - shifts, lengths)

    def _next(
        self,
        quotes: Quotes,
        target: NDArray[np.int8],
        rows: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Among `rows` (grouped by symbol) the first of each symbol where its order fills, or is placed."""
        symbol, ts, wish = quotes.symbol[rows], quotes.ts[rows], target[rows]
        fills = quotes.priced[rows] & (ts >= self._due[symbol])
        orders = (wish != _NONE) & (wish != self._held[symbol]) & (ts >= self._free[symbol])
        hits = np.flatnonzero(np.where(self._wanted[symbol] != _NONE, fills, orders))
        group = symbol[hits]
        return rows[hits[np.concatenate([[True], group[1:] != group[:-1]])]] if len(hits) else hits

    def _place_or_fill(
        self,
        quotes: Quotes,
        target: NDArray[np.int8],
        hits: NDArray[np.int64],
        trades: list[Trade],
        ended: list[PaperOrder],
    ) -> None:
        """Carry out the next event of some symbols, one row each."""
        symbol = quotes.symbol[hits]
        filling = self._wanted[symbol] != _NONE
        placing = hits[~filling]
        codes = symbol[~filling]
        self._wanted[codes] = target[placing]
        self._due[codes] = quotes.ts[placing] + self._rules.latency_ns
        self.book.dirty.update(self._instruments[code].symbol for code in codes.tolist())
        for row, code in zip(hits[filling].tolist(), symbol[filling].tolist(), strict=True):
            trade = self._fill(
                code,
                int(quotes.ts[row]),
                int(self._wanted[code]),
                int(quotes.bid[row]),
                int(quotes.ask[row]),
            )
            size = abs(trade.lots)
            trades.append(trade)
            ended.append(PaperOrder(self._number, code, trade.eff_ns, size, size, Capped(0)))
        codes = symbol[filling]
        self._held[codes] = self._wanted[codes]
        self._wanted[codes] = _NONE
        self._free[codes] = quotes.ts[hits[filling]] + self._rules.holding_ns

    def _fill(self, code: int, at: int, target: int, bid: int, ask: int) -> Trade:
        """Trade from the position held to `target` times the quantity; `bid`, `ask` in half-ticks."""
        units = self._instruments[code]
        lots = target * self._lots[code] - self.book.quantity(units.symbol)
        paid = units.value(lots, ask if lots > 0 else bid)
        paid += _ceil(abs(paid), self._slippage)
        fee = _ceil(abs(paid), self._fee)
        self.book.trade(units.symbol, lots, paid, units.currency, fee)
        self.book.charge(units.symbol, fee, units.currency)
        return Trade(self._number, code, at, lots, paid, fee)

    def records(self, *, dirty_only: bool) -> dict[str, bytes | None]:
        """Stored records `paper/<role>/<symbol>` of all symbols that ever had an order."""
        codes = {units.symbol: code for code, units in enumerate(self._instruments)}
        found: dict[str, bytes | None] = {}
        for symbol in sorted(self.book.dirty if dirty_only else self.book.lines.keys() | self._ordered()):
            code = codes[symbol]
            found[f"paper/{self.role}/{symbol}"] = msgspec.msgpack.encode(
                _Stored(
                    self.book.line(symbol).encode(),
                    int(self._free[code]),
                    int(self._wanted[code]),
                    int(self._due[code]),
                )
            )
        return found

    def mark_clean(self) -> None:
        """What `records` gave is stored."""
        self.book.dirty.clear()

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Take back stored records, all of symbols known here; keys of other parts are passed over.

        Raises:
            StateError: a record cannot be read.
        """
        codes = {units.symbol: code for code, units in enumerate(self._instruments)}
        lines: dict[str, Position] = {}
        for key, raw in records.items():
            part, _, rest = key.partition("/")
            role, _, symbol = rest.partition("/")
            if part != "paper" or role != self.role:
                continue
            try:
                stored = msgspec.msgpack.decode(raw, type=_Stored)
            except msgspec.MsgspecError as error:
                raise StateError(f"{key} cannot be read: {error}") from error
            if stored.line.version != VERSION:
                raise StateError(f"{key} has version {stored.line.version}, this program reads {VERSION}")
            code = codes[symbol]
            line = lines[symbol] = Position.decode(stored.line)
            self._held[code] = (line.quantity > 0) - (line.quantity < 0)
            self._free[code], self._wanted[code], self._due[code] = (
                stored.free_ns,
                stored.wanted,
                stored.due_ns,
            )
        self.book.put(lines)

    def _ordered(self) -> set[str]:
        return {self._instruments[code].symbol for code in np.flatnonzero(self._wanted != _NONE).tolist()}


def _bps(rate: Decimal) -> tuple[int, int]:
    numerator, denominator = ratio(rate)
    return numerator, denominator * _BPS


def _ceil(amount: int, rate: tuple[int, int]) -> int:
    """`amount` x `rate` as a cost: rounded towards plus infinity, against the book."""
    return -(-amount * rate[0] // rate[1])
