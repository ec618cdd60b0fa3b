"""`Lifecycle`: the orders of a partition task, from execution reports with the semantics of FIX.

Reports in folding order go in, what they changed comes out. Terminal is not final: what no longer holds is
taken back by a row of the opposite sign, so that sums over any time hold. Knows neither money nor streams.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from monitor.errors import StateError
from monitor.trading.names import normal
from monitor.trading.orders import (
    ENDS,
    FILLED,
    NEVER,
    REJECTED,
    Changes,
    Order,
    OrderReport,
    acknowledge,
    count,
    measured,
    row,
    tell,
    whole,
)


@dataclass(frozen=True, slots=True)
class LifecycleRules:
    """`order_types`: names that are told apart, in normal form; any other is the one after the last.

    `repeat_within_ns`: between an order and the symbol's next one that repeats it. Of each symbol at most
    `open_limit` open orders are remembered, and `ended_limit` ended ones for `horizon_ns` after their end.
    """

    order_types: tuple[str, ...] = ("market", "limit", "ioc", "stop")
    repeat_within_ns: int = 1_000_000_000
    open_limit: int = 10_000
    ended_limit: int = 1_000
    horizon_ns: int = 86_400_000_000_000


_Key = tuple[str | None, str]
_Signature = tuple[str | None, str | None, Decimal | None, Decimal | None]


class _Symbol:
    """Orders of one symbol, the oldest first; ended ones in the order in which they ended. `last`: effective
    time, and side, type, quantity and limit price, of its previous new order."""

    __slots__ = ("ended", "last", "open")

    def __init__(self) -> None:
        self.open: dict[_Key, Order] = {}
        self.ended: OrderedDict[_Key, Order] = OrderedDict()
        self.last: tuple[int, _Signature] | None = None


class Lifecycle:
    """The orders of one partition task.

    What is remembered of a symbol depends on its reports and their effective times alone.
    """

    def __init__(self, rules: LifecycleRules) -> None:
        self._rules = rules
        self._horizon = rules.horizon_ns
        self._types = {name: place for place, name in enumerate(rules.order_types)}
        self._symbols: dict[str, _Symbol] = {}
        self._round: deque[str] = deque()
        """Symbols in the order in which `sweep` comes to them."""
        self._next = 0
        self._dirty: dict[int, Order] = {}
        self._gone: set[int] = set()
        self._placed: set[str] = set()
        """Symbols whose last new order changed since `records` was last asked."""

    def __len__(self) -> int:
        """Orders remembered."""
        return sum(len(symbol.open) + len(symbol.ended) for symbol in self._symbols.values())

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
        changes.reports += 1
        symbol = self._symbols.get(report.symbol) or self._symbol(report.symbol)
        key = (report.account, report.order_id)
        order = symbol.open.get(key)
        before = None
        if order is None and symbol.ended:
            self._expire(symbol, eff_ns)
            order = symbol.ended.get(key)
            if order is not None and kind == "new" and order.new_ns != NEVER:
                # An id that is used again, as by venues that number the orders of a day.
                self._forget(symbol, key, order)
                order = None
            elif order is not None:
                before = row(order)
        begun = order is None
        if order is None:
            order = self._begin(symbol, key, report, changes)
        self._dirty[order.number] = order
        placed = False
        if kind == "new":
            if order.new_ns == NEVER:
                placed = True
                changes.found += not begun
                self._place(symbol, order, report, ts_ns, eff_ns, changes)
        else:
            if order.ordered is None:
                order.ordered = report.quantity
            if kind == "ack":
                acknowledge(order, ts_ns, changes)
            else:
                count(order, report, kind, ts_ns, changes)
                if kind in ENDS or (order.place == NEVER and order.filled and whole(order)):
                    self._end(symbol, key, order, report, ts_ns, eff_ns, changes)
        if order.place != NEVER:
            tell(before, row(order), changes)
        return order, placed

    def _symbol(self, name: str) -> _Symbol:
        symbol = self._symbols.get(name)
        if symbol is None:
            symbol = self._symbols[name] = _Symbol()
            self._round.append(name)
        return symbol

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
        if name is None:
            return len(self._types)
        place = self._types.get(name)
        return self._types.get(normal(name), len(self._types)) if place is None else place

    def _place(
        self,
        symbol: _Symbol,
        order: Order,
        report: OrderReport,
        ts_ns: int,
        eff_ns: int,
        changes: Changes,
    ) -> None:
        """Its `new`, which may come after other reports of it."""
        changes.new += 1
        order.new_ns = ts_ns
        side, named, quantity = report.side, report.order_type, report.quantity
        if named is not None:
            order.order_type = self._type(named)
        if quantity is not None:
            order.ordered = quantity
        if order.ack_ns != NEVER:
            changes.acks.append(order.ack_ns - ts_ns)
        if order.done_ns != NEVER:
            changes.fills.append(order.done_ns - ts_ns)
        last = symbol.last
        signature = (side, named, quantity, report.limit_price)
        symbol.last = (eff_ns, signature)
        self._placed.add(order.symbol)
        if last is not None and eff_ns - last[0] <= self._rules.repeat_within_ns and signature == last[1]:
            changes.repeated += side is not None and quantity is not None

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
        order.state = state = ENDS.get(report.kind, FILLED)
        if state == FILLED:
            if order.done_ns == NEVER:
                order.done_ns = ts_ns
                if order.new_ns != NEVER:
                    changes.fills.append(ts_ns - order.new_ns)
        elif state == REJECTED and not order.rejected:
            order.rejected = True
            changes.rejects.append((report.reason, order.new_ns != NEVER))
        if order.place != NEVER:
            return
        order.place, order.ended_ns = self._next, eff_ns
        self._next += 1
        del symbol.open[key]
        symbol.ended[key] = order
        if state != REJECTED and not measured(order):
            changes.unmeasured += 1
        if len(symbol.ended) > self._rules.ended_limit:
            oldest = next(iter(symbol.ended))
            self._forget(symbol, oldest, symbol.ended[oldest])

    def _expire(self, symbol: _Symbol, eff_ns: int) -> None:
        """Forget what ended before the horizon. Nothing is looked for among ended orders before this."""
        until = eff_ns - self._horizon
        while symbol.ended:
            order = next(iter(symbol.ended.values()))
            if order.ended_ns >= until:
                return
            self._forget(symbol, (order.account, order.order_id), order)

    def _forget(self, symbol: _Symbol, key: _Key, order: Order) -> None:
        del (symbol.open if order.place == NEVER else symbol.ended)[key]
        self._dirty.pop(order.number, None)
        self._gone.add(order.number)

    def sweep(self, eff_ns: int) -> None:
        """Forget what is beyond the horizon of one symbol, the next in turn: symbols that are reported of no
        more take no memory. What `apply` says does not depend on it."""
        if not self._round:
            return
        name = self._round.popleft()
        symbol = self._symbols[name]
        self._expire(symbol, eff_ns)
        last = symbol.last
        if symbol.open or symbol.ended or (last and eff_ns - last[0] <= self._rules.repeat_within_ns):
            self._round.append(name)
        else:
            del self._symbols[name]
            self._placed.add(name)

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out: dict[str, bytes | None] = {f"order/{number}": None for number in sorted(self._gone)}
        for number, order in sorted(self._dirty.items()):
            out[f"order/{number}"] = msgspec.msgpack.encode(order)
        for name in sorted(self._placed):
            symbol = self._symbols.get(name)
            out[f"last/{name}"] = msgspec.msgpack.encode(symbol.last) if symbol is not None else None
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
                    self._symbol(name).last = msgspec.msgpack.decode(data, type=tuple[int, _Signature])
            except msgspec.MsgspecError as error:
                raise StateError(f"state of orders, record {key!r}, cannot be read: {error}") from error
        for order in sorted(orders, key=_rank):
            symbol, known = self._symbol(order.symbol), (order.account, order.order_id)
            (symbol.open if order.place == NEVER else symbol.ended)[known] = order
            self._next = max(self._next, order.number + 1, order.place + 1)


def _rank(order: Order) -> int:
    return order.number if order.place == NEVER else order.place
