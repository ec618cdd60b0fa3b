"""`Lifecycle`: the states of orders from execution reports, with the semantics of FIX: terminal is not final.

Reports in folding order go in, what they changed comes out; what no longer holds is taken back by a row of
the opposite sign, so that sums over any time hold. Knows neither money nor streams. A fill, a bust and a
correction each move the filled quantity by what they say, so that it does not depend on their order.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from enum import IntEnum
from typing import NamedTuple, Protocol

import msgspec

from monitor.errors import StateError
from monitor.trading.report import Report

_EXACT = Context(prec=200)
_ZERO = Decimal(0)
_NEVER = -1


class OrderReport(Report, Protocol):
    """What an execution report says of its order, beside its economics."""

    @property
    def order_id(self) -> str: ...
    @property
    def order_type(self) -> str | None: ...
    @property
    def limit_price(self) -> Decimal | None: ...
    @property
    def cum_quantity(self) -> Decimal | None: ...


class State(IntEnum):
    """How an order ended, by its last report that ends one."""

    OPEN = 0
    FILLED = 1
    CANCELLED = 2
    EXPIRED = 3
    REJECTED = 4


_ENDS = {
    "fill": State.FILLED,
    "cancel": State.CANCELLED,
    "expire": State.EXPIRED,
    "reject": State.REJECTED,
}
_FILLS = ("partial_fill", "fill")
NO_ORDERS = ("position", "cash")
"""Kinds of report that are about no order."""


@dataclass(frozen=True, slots=True)
class LifecycleRules:
    """`order_types`: names that are told apart, in lower case; any other is the one after the last.

    `repeat_within_ns`: between an order and the symbol's next one that repeats it. Of each symbol at most
    `open_limit` open orders are remembered, and `ended_limit` ended ones for `horizon_ns` after their end.
    """

    order_types: tuple[str, ...] = ("market", "limit", "ioc", "stop")
    repeat_within_ns: int = 1_000_000_000
    open_limit: int = 10_000
    ended_limit: int = 1_000
    horizon_ns: int = 86_400_000_000_000


class Order(msgspec.Struct, array_like=True, gc=False):
    """One order as reported so far; times in ns of the reports themselves, -1 where there was none.

    `number`: rank by first report; `place`: rank by end. `ordered`: quantity as its `new` states it, else the
    first report that does. `filled`: sum of its executions; `gap`: how much more that should be by the newest
    statement (as of `stated_ns`) of what is filled. `mid`: for the caller to keep what the market stood at
    when it came, NaN until then.
    """

    number: int
    symbol: str
    account: str | None
    order_id: str
    order_type: int
    new_ns: int = _NEVER
    ack_ns: int = _NEVER
    done_ns: int = _NEVER
    ordered: Decimal | None = None
    filled: Decimal = _ZERO
    gap: Decimal = _ZERO
    stated_ns: int = _NEVER
    accepted: bool = False
    rejected: bool = False
    state: int = State.OPEN
    ended_ns: int = _NEVER
    place: int = _NEVER
    mid: float = math.nan


class Ended(NamedTuple):
    """An order that ended, other than by a reject: `sign` 1; or -1, taking back what was said of it before.

    `order_type`: its place among the names; quantities in units; `whole`: nothing of it is left unfilled.
    """

    sign: int
    order_type: int
    ordered: float
    filled: float
    whole: bool


@dataclass(slots=True)
class Changes:
    """What reports changed. `acks`, `fills`: ns from `new` to the first `ack`, and to when all was filled."""

    reports: int = 0
    new: int = 0
    repeated: int = 0
    """New orders that repeat the symbol's order before them."""
    unknown: int = 0
    """Orders whose first report is not their `new`."""
    found: int = 0
    """Of these, those whose `new` came after all."""
    accepted: int = 0
    """Orders acknowledged or filled for the first time."""
    gaps: int = 0
    """Reports that widen the gap between the quantity filled as stated and as known."""
    closed: int = 0
    """Reports that close such a gap."""
    beyond: int = 0
    """Reports by which more is known to be filled than stated, or still more."""
    forgotten: int = 0
    """Open orders beyond the limit: what is reported of them later is of an unknown order."""
    unmeasured: int = 0
    """Orders that ended without their `new` or their quantity being known."""
    acks: list[int] = field(default_factory=list)
    fills: list[int] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    rejects: list[tuple[str | None, bool]] = field(default_factory=list)
    """Once an order: the reason as written, and whether its `new` is known."""


_Key = tuple[str | None, str]


class _Last(NamedTuple):
    """A symbol's previous new order."""

    ts_ns: int
    side: str | None
    order_type: str | None
    quantity: Decimal | None
    limit_price: Decimal | None


class _Symbol:
    """Orders of one symbol, the oldest first; ended ones in the order in which they ended."""

    __slots__ = ("ended", "last", "open")

    def __init__(self) -> None:
        self.open: OrderedDict[_Key, Order] = OrderedDict()
        self.ended: OrderedDict[_Key, Order] = OrderedDict()
        self.last: _Last | None = None


class Lifecycle:
    """The orders of one partition task.

    What is remembered of a symbol depends on its reports and their effective times alone.
    """

    def __init__(self, rules: LifecycleRules) -> None:
        self._rules = rules
        self._types = {name: place for place, name in enumerate(rules.order_types)}
        self._symbols: dict[str, _Symbol] = {}
        self._ended: OrderedDict[int, Order] = OrderedDict()
        """Ended orders of all symbols by number, in the order in which they ended."""
        self._next = 0
        self._dirty: dict[int, Order] = {}
        self._gone: set[int] = set()
        self._placed: set[str] = set()
        """Symbols with a new order since `records` was last asked."""

    def __len__(self) -> int:
        """Orders remembered."""
        return len(self._ended) + sum(len(symbol.open) for symbol in self._symbols.values())

    def apply(self, report: OrderReport, ts_ns: int, eff_ns: int, changes: Changes) -> tuple[Order, bool]:
        """Fold one report of an order: none of `NO_ORDERS`, none that was folded before.

        Args:
            ts_ns: time of the report itself: latencies run between these.
            eff_ns: effective time, which never falls.
            changes: what it changes is added here.

        Returns:
            The order, and whether this report is the `new` that it counts from.
        """
        kind = report.kind
        if self._ended:
            self._expire(eff_ns)
        symbol = self._symbols.get(report.symbol)
        if symbol is None:
            symbol = self._symbols[report.symbol] = _Symbol()
        key = (report.account, report.order_id)
        order = symbol.open.get(key) or symbol.ended.get(key)
        if order is not None and kind == "new" and _NEVER not in (order.place, order.new_ns):
            # An id that is used again, as by venues that number the orders of a day.
            self._forget(symbol, key, order)
            order = None
        begun = order is None
        if order is None:
            order = self._begin(symbol, key, report, changes)
        changes.reports += 1
        self._dirty[order.number] = order
        before = _row(order) if order.place != _NEVER else None
        placed = kind == "new" and order.new_ns == _NEVER
        if placed:
            changes.found += not begun
            self._place(symbol, order, report, ts_ns, changes)
        elif order.ordered is None:
            order.ordered = report.quantity
        if kind == "ack":
            _acknowledge(order, ts_ns, changes)
        elif kind != "new":
            _count(order, report, kind, ts_ns, changes)
            if kind in _ENDS or (order.place == _NEVER and order.filled and _whole(order)):
                self._end(symbol, key, order, report, ts_ns, eff_ns, changes)
        if order.place != _NEVER:
            _tell(before, _row(order), changes)
        return order, placed

    def _begin(self, symbol: _Symbol, key: _Key, report: OrderReport, changes: Changes) -> Order:
        order_type = self._type(report.order_type)
        order = Order(self._next, report.symbol, report.account, report.order_id, order_type)
        self._next += 1
        symbol.open[key] = order
        changes.unknown += report.kind != "new"
        if len(symbol.open) > self._rules.open_limit:
            changes.forgotten += 1
            oldest = next(iter(symbol.open))
            self._forget(symbol, oldest, symbol.open[oldest])
        return order

    def _type(self, name: str | None) -> int:
        others = len(self._types)
        return others if name is None else self._types.get(name.lower(), others)

    def _place(
        self, symbol: _Symbol, order: Order, report: OrderReport, ts_ns: int, changes: Changes
    ) -> None:
        """Its `new`, which may come after other reports of it."""
        changes.new += 1
        order.new_ns = ts_ns
        if report.order_type is not None:
            order.order_type = self._type(report.order_type)
        if report.quantity is not None:
            order.ordered = report.quantity
        if order.ack_ns != _NEVER:
            changes.acks.append(order.ack_ns - ts_ns)
        if order.done_ns != _NEVER:
            changes.fills.append(order.done_ns - ts_ns)
        last = symbol.last
        new = symbol.last = _Last(ts_ns, report.side, report.order_type, report.quantity, report.limit_price)
        self._placed.add(report.symbol)
        if last is not None and None not in (new.side, new.quantity) and new[1:] == last[1:]:
            changes.repeated += abs(ts_ns - last.ts_ns) <= self._rules.repeat_within_ns

    def _end(
        self,
        symbol: _Symbol,
        key: _Key,
        order: Order,
        report: OrderReport,
        ts_ns: int,
        eff_ns: int,
        changes: Changes,
    ) -> None:
        order.state = _ENDS.get(report.kind, State.FILLED)
        if order.state == State.REJECTED and not order.rejected:
            order.rejected = True
            changes.rejects.append((report.reason, order.new_ns != _NEVER))
        elif order.state == State.FILLED and order.done_ns == _NEVER:
            order.done_ns = ts_ns
            if order.new_ns != _NEVER:
                changes.fills.append(ts_ns - order.new_ns)
        if order.place != _NEVER:
            return
        order.place, order.ended_ns = self._next, eff_ns
        self._next += 1
        del symbol.open[key]
        symbol.ended[key] = self._ended[order.number] = order
        if _row(order) is None and order.state != State.REJECTED:
            changes.unmeasured += 1
        if len(symbol.ended) > self._rules.ended_limit:
            oldest = next(iter(symbol.ended))
            self._forget(symbol, oldest, symbol.ended[oldest])

    def _expire(self, eff_ns: int) -> None:
        """Forget what ended before the horizon. What is found later does not depend on when this is done,
        since every report begins with it."""
        until = eff_ns - self._rules.horizon_ns
        while self._ended:
            order = next(iter(self._ended.values()))
            if order.ended_ns >= until:
                return
            self._forget(self._symbols[order.symbol], (order.account, order.order_id), order)

    def _forget(self, symbol: _Symbol, key: _Key, order: Order) -> None:
        if order.place == _NEVER:
            del symbol.open[key]
        else:
            del symbol.ended[key], self._ended[order.number]
        self._dirty.pop(order.number, None)
        self._gone.add(order.number)

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out: dict[str, bytes | None] = {f"order/{number}": None for number in sorted(self._gone)}
        for number, order in sorted(self._dirty.items()):
            out[f"order/{number}"] = msgspec.msgpack.encode(order)
        for name in sorted(self._placed):
            out[f"last/{name}"] = msgspec.msgpack.encode(self._symbols[name].last)
        self._gone.clear()
        self._dirty.clear()
        self._placed.clear()
        return out

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from all records that stand.

        Raises:
            StateError: one cannot be read.
        """
        orders: list[Order] = []
        for key, data in records.items():
            part, _, name = key.partition("/")
            try:
                if part == "order":
                    orders.append(msgspec.msgpack.decode(data, type=Order))
                elif part == "last":
                    self._symbol(name).last = msgspec.msgpack.decode(data, type=_Last)
            except msgspec.MsgspecError as error:
                raise StateError(f"state of orders, record {key!r}, cannot be read: {error}") from error
        for order in sorted(orders, key=_rank):
            symbol, known = self._symbol(order.symbol), (order.account, order.order_id)
            if order.place == _NEVER:
                symbol.open[known] = order
            else:
                symbol.ended[known] = self._ended[order.number] = order
            self._next = max(self._next, order.number + 1, order.place + 1)

    def _symbol(self, name: str) -> _Symbol:
        return self._symbols.setdefault(name, _Symbol())


def _rank(order: Order) -> int:
    return order.number if order.place == _NEVER else order.place


def _acknowledge(order: Order, ts_ns: int, changes: Changes) -> None:
    if order.ack_ns == _NEVER:
        order.ack_ns = ts_ns
        if order.new_ns != _NEVER:
            changes.acks.append(ts_ns - order.new_ns)
    _accept(order, changes)


def _accept(order: Order, changes: Changes) -> None:
    if not order.accepted:
        order.accepted = True
        changes.accepted += 1


def _count(order: Order, report: OrderReport, kind: str, ts_ns: int, changes: Changes) -> None:
    """Move the quantity filled, and hold it against what reports state of it.

    What is stated holds as of its time: a report from before it is among what it counts.
    """
    newest = ts_ns >= order.stated_ns
    was = gap = order.gap
    move = _moved(report, kind)
    if move:
        order.filled = _EXACT.add(order.filled, move)
        if not newest:
            gap = _EXACT.subtract(gap, move)
    if kind in _FILLS:
        _accept(order, changes)
    if newest:
        stated = report.cum_quantity
        whole = order.ordered if kind == "fill" else None
        if whole is not None and (stated is None or stated < whole):
            stated = whole
        if stated is not None:
            gap = _EXACT.subtract(stated, order.filled)
            if ts_ns == order.stated_ns and kind in _FILLS:
                # Of two fills at one time the one that counts more stands, whichever came first.
                gap = max(gap, _EXACT.subtract(was, move))
        if stated is not None or (move and order.stated_ns != _NEVER):
            order.stated_ns = ts_ns
    if gap != was:
        order.gap = gap
        changes.gaps += gap > max(was, _ZERO)
        changes.closed += gap <= 0 < was
        changes.beyond += gap < min(was, _ZERO)


def _moved(report: OrderReport, kind: str) -> Decimal:
    """By how much a report changes the quantity filled."""
    quantity = report.last_quantity
    if quantity is None:
        return _ZERO
    if kind in _FILLS:
        return quantity
    if kind == "bust":
        return quantity.copy_negate()
    old = report.undoes.last_quantity if kind == "correct" and report.undoes is not None else None
    return _ZERO if old is None else _EXACT.subtract(quantity, old)


def _whole(order: Order) -> bool:
    return order.ordered is not None and order.filled >= order.ordered


def _row(order: Order) -> Ended | None:
    """What counts of an ended order; None where it was rejected, or too little is known of it."""
    ordered = order.ordered
    if order.state == State.REJECTED or order.new_ns == _NEVER or ordered is None or ordered <= 0:
        return None
    return Ended(1, order.order_type, float(ordered), float(order.filled), order.filled >= ordered)


def _tell(before: Ended | None, after: Ended | None, changes: Changes) -> None:
    if before == after:
        return
    if before is not None:
        changes.ended.append(before._replace(sign=-1))
    if after is not None:
        changes.ended.append(after)
