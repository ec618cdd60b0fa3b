"""`Order`: one order as execution reports tell of it, and how each report moves it.

Knows neither money nor other orders. A fill, a bust and a correction each move the filled quantity by what
they say, so that it does not depend on their order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Context, Decimal
from enum import IntEnum
from typing import Protocol

import msgspec

from monitor.trading.report import Report

_EXACT = Context(prec=200)
_add, _subtract = _EXACT.add, _EXACT.subtract
_ZERO = Decimal(0)
NEVER = -1
"""The time of what did not happen."""


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


FILLED, REJECTED = State.FILLED.value, State.REJECTED.value
ENDS = {
    "fill": FILLED,
    "cancel": State.CANCELLED.value,
    "expire": State.EXPIRED.value,
    "reject": REJECTED,
}
_FILLS = ("partial_fill", "fill")
NO_ORDERS = ("position", "cash")
"""Kinds of report that are about no order."""


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
    new_ns: int = NEVER
    ack_ns: int = NEVER
    done_ns: int = NEVER
    ordered: Decimal | None = None
    filled: Decimal = _ZERO
    gap: Decimal = _ZERO
    stated_ns: int = NEVER
    accepted: bool = False
    rejected: bool = False
    state: int = State.OPEN
    ended_ns: int = NEVER
    place: int = NEVER
    mid: float = math.nan


class Ended(msgspec.Struct, frozen=True, gc=False):
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


def acknowledge(order: Order, ts_ns: int, changes: Changes) -> None:
    """Its first acknowledgement counts."""
    if order.ack_ns == NEVER:
        order.ack_ns = ts_ns
        if order.new_ns != NEVER:
            changes.acks.append(ts_ns - order.new_ns)
    _accept(order, changes)


def _accept(order: Order, changes: Changes) -> None:
    if not order.accepted:
        order.accepted = True
        changes.accepted += 1


def count(order: Order, report: OrderReport, kind: str, ts_ns: int, changes: Changes) -> None:
    """Move the quantity filled, and hold it against what reports state of it.

    What is stated holds as of its time: a report from before it is among what it counts.
    """
    newest = ts_ns >= order.stated_ns
    was = gap = order.gap
    move = _moved(report, kind)
    if move:
        order.filled = _add(order.filled, move)
        if not newest:
            gap = _subtract(gap, move)
    if kind in _FILLS:
        _accept(order, changes)
    if newest:
        stated = report.cum_quantity
        whole = order.ordered if kind == "fill" else None
        if whole is not None and (stated is None or stated < whole):
            stated = whole
        if stated is not None:
            gap = _subtract(stated, order.filled)
            if ts_ns == order.stated_ns and kind in _FILLS:
                # Of two fills at one time the one that counts more stands, whichever came first.
                gap = max(gap, _subtract(was, move))
        if stated is not None or (move and order.stated_ns != NEVER):
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
    return _ZERO if old is None else _subtract(quantity, old)


def whole(order: Order) -> bool:
    """Whether nothing of it is left unfilled."""
    return order.ordered is not None and order.filled >= order.ordered


def measured(order: Order) -> bool:
    """Whether enough is known of it for a share of it to be filled."""
    return order.new_ns != NEVER and order.ordered is not None and order.ordered > 0


def row(order: Order) -> Ended | None:
    """What counts of an ended order; None where it was rejected, or too little is known of it."""
    ordered = order.ordered
    if order.state == REJECTED or ordered is None or not measured(order):
        return None
    filled = order.filled
    amount = float(ordered)
    # The conversion of decimals takes its time, and most orders are filled whole.
    return Ended(
        1, order.order_type, amount, amount if filled == ordered else float(filled), filled >= ordered
    )


def tell(before: Ended | None, after: Ended | None, changes: Changes) -> None:
    """What was said of an ended order gives way to what holds now."""
    if before == after:
        return
    if before is not None:
        changes.ended.append(msgspec.structs.replace(before, sign=-1))
    if after is not None:
        changes.ended.append(after)
