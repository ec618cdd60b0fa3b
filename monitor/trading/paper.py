"""`PaperBook`: what a role's signals would have earned, by a paper broker of marketable orders.

A prediction wants a target position. Where it is not the one held, and the holding time has passed, an order
is placed; from `latency` later on it fills on the quotes of its symbol that renew the accepted mark, at once
or, where participation is capped, in parts. Knows quotes and predictions, neither reports nor models.

Targets are made for whole slices, and which symbols have an order to place or a fill is found for all of them
at once; Python walks from event to event of these alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError
from monitor.trading.course import Course
from monitor.trading.marks import Quotes
from monitor.trading.paper_rules import HOUR_NS, Caps, Charges, PaperRules, Participation, enough
from monitor.trading.position import VERSION, Book, Line, Position
from monitor.trading.stops import Stops
from monitor.trading.targets import Sign, Target
from monitor.trading.trades import Capped, PaperOrder, Trade
from monitor.trading.units import InstrumentUnits

_SIGN = Sign()
_WHOLE = Capped(0)
# Flags of an enumeration take as long as all else of an event.
_EXPOSURE, _TURNOVER, _PARTICIPATION = (int(flag) for flag in Capped)
_NEVER = np.iinfo(np.int64).max
_ALWAYS = np.iinfo(np.int64).min


class Order(msgspec.Struct, array_like=True):
    """An order in flight or resting. `wish`: the position that was decided on, in lots; `target`: what caps
    left of it; `filled`: lots so far, not signed; `met`: it came to a quote that it might trade on."""

    wish: int
    target: int
    due_ns: int
    filled: int = 0
    capped: int = 0
    met: bool = False


class _Stored(msgspec.Struct, array_like=True):
    line: Line
    free_ns: int
    order: Order | None
    hour: int
    traded: str
    stopped: int | None = None


class PaperBook:
    """The book `{role, paper}` of one partition task; `number`: its index in `BookSet.names`.

    A row first fills what is due, then decides. A decision that differs from that of an order which has
    reached the market, once the holding time has passed, ends the order, filled or not, and places another if
    it is not the position held. An order without latency may fill on the row that places it; a row fills a
    book once. A target that caps kept an order from is stopped: it is ordered again at a quote at which they
    leave `enough` of it, or once another one was wanted.
    """

    def __init__(
        self,
        instruments: Sequence[InstrumentUnits],
        rules: PaperRules,
        role: str,
        number: int = 1,
        target: Target = _SIGN,
    ) -> None:
        self.book = Book()
        self.role = role
        self._number = number
        self._target = target
        self._rules = rules
        self._charges = Charges(rules)
        self._caps = Caps(rules) if rules.capped else None
        self._participation = None if rules.share is None else Participation(rules.share)
        self._instruments: list[InstrumentUnits] = []
        self._orders: dict[int, Order] = {}
        self._hours: dict[int, tuple[int, int]] = {}
        self._stops = Stops()
        # By symbol: `_against` is the wish of the order, or the one that is stopped, else the position held;
        # `_open` is when the next decision may come; `_least` is a volume that gives a lot, `_heeds` the
        # least that matters to the order. Lots as float64 are exact (`MAX_LOTS`).
        self._lots = np.zeros(0)
        self._least = np.zeros(0)
        self._heeds = np.zeros(0)
        self._against = np.zeros(0)
        self._due = np.zeros(0, np.int64)
        self._free = np.zeros(0, np.int64)
        self._open = np.zeros(0, np.int64)
        self.extend(instruments)

    def extend(self, instruments: Iterable[InstrumentUnits]) -> None:
        """Append more symbols, flat and without orders.

        Raises:
            ValueError: a quantity is missing, no multiple of the lot size, or too many lots.
        """
        more = list(instruments)
        lots = [float(self._rules.lots(units)) for units in more]
        least = [self._participation.least(units) if self._participation else 0.0 for units in more]
        self._instruments += more
        n = len(more)
        self._lots = np.concatenate([self._lots, np.array(lots, np.float64)])
        self._least = np.concatenate([self._least, np.array(least, np.float64)])
        self._heeds = np.concatenate([self._heeds, np.array(least, np.float64)])
        self._against = np.concatenate([self._against, np.zeros(n)])
        self._due = np.concatenate([self._due, np.full(n, _NEVER)])
        self._free = np.concatenate([self._free, np.full(n, _ALWAYS)])
        self._open = np.concatenate([self._open, np.full(n, _ALWAYS)])
        self._stops.extend(n)

    def fold(
        self,
        quotes: Quotes,
        prediction: NDArray[np.float64],
        volume: NDArray[np.float64] | None = None,
    ) -> tuple[list[Trade], list[PaperOrder]]:
        """Fold a slice of rows; `prediction` and `volume` (n,) in the slice's own order, NaN = none. Any
        slicing gives the same book. Returns what was traded, and the orders that ended, each in order of time
        within a symbol."""
        trades: list[Trade] = []
        ended: list[PaperOrder] = []
        symbol, at = quotes.symbol, quotes.ts
        wish = np.rint(self._target.of(prediction)[quotes.rows] * self._lots[symbol])
        decided = ~np.isnan(wish)
        heeded = tradable = quotes.priced
        shown = None
        if self._participation is not None:
            shown = np.full(len(symbol), np.nan) if volume is None else volume[quotes.rows]
            shown = np.where(np.isfinite(shown), shown, -np.inf)
            tradable = quotes.priced & (shown >= self._least[symbol])
            heeded = quotes.priced & (shown >= self._heeds[symbol])
        hits = heeded & (at >= self._due[symbol])
        deciding = decided & (at >= self._open[symbol])
        hits |= deciding & (wish != self._against[symbol])
        if self._stops.wishes:
            hits[self._stops.leave(quotes, np.flatnonzero(deciding & quotes.priced))] = True
        first = np.flatnonzero(hits)
        if len(first):
            codes = symbol[first]
            first = first[np.concatenate([[True], codes[1:] != codes[:-1]])]
            codes = symbol[first]
            course = Course.of(at, wish, quotes.priced, tradable, decided)
            ends = np.searchsorted(symbol, codes, side="right")
            for code, start, end in zip(codes.tolist(), first.tolist(), ends.tolist(), strict=True):
                self._walk(code, start, end, course, quotes, shown, trades, ended)
        return trades, ended

    def _walk(
        self,
        code: int,
        start: int,
        end: int,
        course: Course,
        quotes: Quotes,
        shown: NDArray[np.float64] | None,
        trades: list[Trade],
        ended: list[PaperOrder],
    ) -> None:
        """One symbol's orders and fills, from row `start` to `end`."""
        fills_from = decides_from = start
        free = int(self._free[code])
        held = self.book.line(self._instruments[code].symbol).quantity
        stopped = self._stops.wishes
        while True:
            order = self._orders.get(code)
            if order is None:
                fill, decide = end, course.other(stopped.get(code, held), free, decides_from, end)
                if code in stopped:
                    again = self._stops.leave(quotes, course.asking(free, decides_from, min(decide, end)))
                    decide = int(again[0]) if len(again) else decide
            else:
                seek = course.tradable if shown is None or _starved(order) else course.quote
                fill = seek(order.due_ns, fills_from, end)
                decide = course.other(order.wish, max(free, order.due_ns), decides_from, end)
            if fill >= end and decide >= end:
                break
            if fill <= decide and order is not None:
                if shown is not None and shown[fill] < self._least[code]:
                    order.capped |= _PARTICIPATION
                    fills_from = fill
                    continue
                held = self._meet(quotes, fill, order, shown, trades, ended)
                free = int(self._free[code])
                fills_from, decides_from = fill + 1, max(decides_from, fill)
            else:
                now = course.at[decide]
                if order is not None:
                    ended.append(self._end(code, now, order, held))
                elif stopped:
                    self._stops.drop(code)
                wanted = int(course.wish[decide])
                if wanted != held:
                    self._orders[code] = Order(wanted, wanted, now + self._rules.latency_ns)
                fills_from, decides_from = max(fills_from, decide), decide + 1
        self.book.dirty.add(self._instruments[code].symbol)
        self._arm(code, held)

    def _meet(
        self,
        quotes: Quotes,
        row: int,
        order: Order,
        shown: NDArray[np.float64] | None,
        trades: list[Trade],
        ended: list[PaperOrder],
    ) -> int:
        """An order meets a quote that gives a lot at least: what caps leave of it fills, as far as the volume
        goes. Returns the lots held then."""
        code, at = int(quotes.symbol[row]), int(quotes.ts[row])
        units = self._instruments[code]
        held = self.book.quantity(units.symbol)
        rest = abs(order.target - held)
        shares = rest
        if self._participation is not None and shown is not None:
            shares = self._participation.lots(units, float(shown[row]))
        side = 1 if order.target > held else -1
        bid, ask = int(quotes.bid[row]), int(quotes.ask[row])
        worth = units.value(1, ask if side > 0 else bid)
        within = left = rest
        hour, traded = at // HOUR_NS, 0
        if self._caps is not None:
            last, money = self._hours.get(code, (hour, 0))
            traded = money if last == hour else 0
            within = self._caps.exposure(held, side, rest, units.value(1, bid + ask) // 2)
            left = self._caps.turnover(traded, within, worth)
        lots = min(left, shares)
        if lots < rest:
            order.capped |= _EXPOSURE if within < rest else 0
            order.capped |= _TURNOVER if left < within else 0
            order.capped |= _PARTICIPATION if lots < left else 0
            order.target = held + side * left
        if not order.met:
            order.met = True
            self._free[code] = at + self._rules.holding_ns
        if lots:
            paid, fee = self._charges.of(side * lots * worth, bare=bool(quotes.bare[row]))
            self.book.trade(units.symbol, side * lots, paid, units.currency, fee)
            trades.append(Trade(self._number, code, at, side * lots, paid, fee))
            order.filled += lots
            held += side * lots
            if self._caps is not None:
                self._hours[code] = (hour, traded + abs(lots * worth))
        if lots == left:
            ended.append(self._end(code, at, order, held))
            if order.wish != held:
                self._stop(code, order.wish, held)
        return held

    def _stop(self, code: int, wish: int, held: int) -> None:
        if self._caps is not None:
            side, hour = 1 if wish > held else -1, self._hours.get(code, (0, 0))
            lots = enough(int(self._lots[code]), abs(wish - held))
            self._stops.put(code, wish, self._caps.room(self._instruments[code], held, side, lots, hour))

    def _end(self, code: int, at: int, order: Order, held: int) -> PaperOrder:
        del self._orders[code]
        rest = abs(order.target - held)
        # What volume delayed, and no more, came whole.
        noted = order.capped if rest else order.capped & ~_PARTICIPATION
        capped = Capped(noted) if noted else _WHOLE
        return PaperOrder(self._number, code, at, order.filled + rest, order.filled, capped)

    def _arm(self, code: int, held: int) -> None:
        """What the search for the next event of a symbol goes by."""
        order, free = self._orders.get(code), int(self._free[code])
        if order is None:
            against = self._stops.wishes.get(code, held)
            self._against[code], self._due[code], self._open[code] = against, _NEVER, free
        else:
            self._against[code], self._due[code] = order.wish, order.due_ns
            self._open[code] = max(free, order.due_ns)
            self._heeds[code] = self._least[code] if _starved(order) else -np.inf

    def records(self, *, dirty_only: bool) -> dict[str, bytes | None]:
        """Stored records `paper/<role>/<symbol>` of all symbols that ever had an order."""
        codes = {units.symbol: code for code, units in enumerate(self._instruments)}
        found: dict[str, bytes | None] = {}
        for symbol in sorted(self.book.dirty if dirty_only else self.book.lines):
            code = codes[symbol]
            hour, traded = self._hours.get(code, (0, 0))
            found[f"paper/{self.role}/{symbol}"] = msgspec.msgpack.encode(
                _Stored(
                    self.book.lines[symbol].encode(),
                    int(self._free[code]),
                    self._orders.get(code),
                    hour,
                    str(traded),
                    self._stops.wishes.get(code),
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
            self._free[code] = stored.free_ns
            if stored.order is not None:
                self._orders[code] = stored.order
            if stored.traded != "0":
                self._hours[code] = stored.hour, int(stored.traded)
            if stored.stopped is not None:
                self._stop(code, stored.stopped, line.quantity)
            self._arm(code, line.quantity)
        self.book.put(lines)


def _starved(order: Order) -> bool:
    """Whether a quote was noted that gave it too little: further ones without a lot tell nothing."""
    return order.capped & _PARTICIPATION != 0
