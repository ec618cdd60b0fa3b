"""`Position` and `Book`: average-cost positions by symbol with cash per currency, in exact integers.

Shared by the ledger and the paper broker, so that real and paper money obey the same arithmetic. Knows
neither reports nor quotes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import msgspec

VERSION = 3

Amounts = defaultdict[str, int]
"""Money by currency, 0 where there is none."""

Trips = tuple[int, int, int]
"""Round trips that ended, those won, those lost; the rest came out at exactly zero."""


class Line(msgspec.Struct, array_like=True):
    """A `Position` as stored; money as decimal text of money units, which outgrow 64 bits."""

    version: int
    quantity: str
    cost: str
    realised: str
    cash: dict[str, str]
    fees: dict[str, str]
    transfers: dict[str, str]
    traded: dict[str, str]
    trip: str
    trips: Trips


class Position:
    """One symbol's line in a book.

    `quantity` in lots, signed. `cost`: money paid for the open quantity (negative for a short: its proceeds).
    `realised`: profit of closed quantity before fees. `cash`, `fees` and `transfers` per currency: all cash
    that moved (fees and transfers included), fees paid (rebates negative), capital brought in. At all times
    cash = realised - cost - fees + transfers + other cash reports. `traded`: |paid| of all trades that stand.

    A round trip goes from flat to flat or through zero; `trip` is the money of the running one so far (cash
    of its trades less their fees), `trips` how those that ended came out. A trade through zero ends one and
    begins the next, its fee shared out by lots. What is undone or corrected moves the money of the running
    trip, and ends none: trips that ended stay counted, and one that it leaves flat is not counted, since its
    trades were others than those that stand. A stated position that is flat or turned drops the running trip
    likewise.
    """

    __slots__ = ("cash", "cost", "fees", "quantity", "realised", "traded", "transfers", "trip", "trips")

    def __init__(self) -> None:
        self.quantity = 0
        self.cost = 0
        self.realised = 0
        self.cash: Amounts = defaultdict(int)
        self.fees: Amounts = defaultdict(int)
        self.transfers: Amounts = defaultdict(int)
        self.traded: Amounts = defaultdict(int)
        self.trip = 0
        self.trips: Trips = (0, 0, 0)

    def trade(self, lots: int, paid: int, fee: int = 0) -> None:
        """Buy (`lots` > 0, `paid` its price) or sell (`lots` < 0, `paid` minus the proceeds).

        Against an open position it closes `closed` lots, which releases `cost * closed // |quantity|` (floor;
        the remainder stays in the position, so that the last close releases everything), and what is left of
        a trade through zero opens a new position with its share of `paid`. `fee`: of the trade, in the same
        currency, for the round trip alone; `fee * closed // |lots|` of it closes.
        """
        closing = self._shift(lots, paid)
        if closing is None:
            self.trip -= paid + fee
            return
        left = self.quantity
        if left and (left > 0) != (lots > 0):
            self.trip -= paid + fee
            return
        closing_fee = fee * (abs(lots) - abs(left)) // abs(lots)
        net = self.trip - closing - closing_fee
        ended, won, lost = self.trips
        self.trips = (ended + 1, won + (net > 0), lost + (net < 0))
        self.trip = closing + closing_fee - paid - fee

    def amend(self, lots: int, paid: int, fee: int = 0) -> None:
        """Take back (or put in the place of what was taken back) a trade; no round trip ends. `settle` ends
        the amendments of one report."""
        self._shift(lots, paid)
        self.trip -= paid + fee

    def settle(self) -> None:
        """All of a report is amended: what it left flat is no running trip."""
        if not self.quantity:
            self.trip = 0

    def _shift(self, lots: int, paid: int) -> int | None:
        """Quantity, cost and realised profit after a trade; its share of `paid` that closes, None where all
        of it opens."""
        held = self.quantity
        self.quantity = held + lots
        if held == 0 or lots == 0 or (held > 0) == (lots > 0):
            self.cost += paid
            return None
        closed = min(abs(lots), abs(held))
        closing = paid * closed // abs(lots)
        released = self.cost * closed // abs(held)
        self.realised -= closing + released
        self.cost += paid - closing - released
        return closing

    def restate(self, lots: int, cost: int) -> int:
        """Take over a stated position; returns the cash that this brings: cash + cost stays what it was, so
        no profit is invented."""
        freed = self.cost - cost
        runs_on = self.quantity * lots > 0
        self.trip = self.trip + freed if runs_on else -cost
        self.quantity, self.cost = lots, cost
        return freed

    def encode(self) -> Line:
        """The stored form."""
        return Line(
            VERSION,
            str(self.quantity),
            str(self.cost),
            str(self.realised),
            {k: str(v) for k, v in sorted(self.cash.items())},
            {k: str(v) for k, v in sorted(self.fees.items())},
            {k: str(v) for k, v in sorted(self.transfers.items())},
            {k: str(v) for k, v in sorted(self.traded.items())},
            str(self.trip),
            self.trips,
        )

    @classmethod
    def decode(cls, line: Line) -> Position:
        """The inverse of `encode`."""
        position = cls()
        position.quantity, position.cost = int(line.quantity), int(line.cost)
        position.realised = int(line.realised)
        position.cash.update({k: int(v) for k, v in line.cash.items()})
        position.fees.update({k: int(v) for k, v in line.fees.items()})
        position.transfers.update({k: int(v) for k, v in line.transfers.items()})
        position.traded.update({k: int(v) for k, v in line.traded.items()})
        position.trip, position.trips = int(line.trip), line.trips
        return position


class Book:
    """Positions by symbol, with running totals per currency and a note of what changed."""

    def __init__(self) -> None:
        self.lines: dict[str, Position] = {}
        self.cash: Amounts = defaultdict(int)
        self.fees: Amounts = defaultdict(int)
        self.transfers: Amounts = defaultdict(int)
        self.traded: Amounts = defaultdict(int)
        self.trips: Trips = (0, 0, 0)
        self.open: set[str] = set()
        self.dirty: set[str] = set()

    def line(self, symbol: str) -> Position:
        """The line of a symbol, opened flat where there was none."""
        line = self.lines.get(symbol)
        if line is None:
            line = self.lines[symbol] = Position()
        return line

    def quantity(self, symbol: str) -> int:
        """Lots held."""
        line = self.lines.get(symbol)
        return line.quantity if line is not None else 0

    def trade(
        self, symbol: str, lots: int, paid: int, currency: str, fee: int = 0, fee_currency: str = ""
    ) -> None:
        """Trade at `paid` money units of `currency` (see `Position.trade`), for a fee (negative: a rebate) of
        `fee_currency`, where it is none of `currency`: it is no money of the round trip then."""
        line = self.lines.get(symbol) or self.line(symbol)
        before = line.trips
        apart = fee_currency not in ("", currency)
        line.trade(lots, paid, 0 if apart else fee)
        if line.trips is not before:
            self._tally(line.trips, before)
        self._exchange(symbol, line, paid, abs(paid), currency, fee, fee_currency if apart else currency)

    def amend(
        self, symbol: str, lots: int, paid: int, traded: int, currency: str, fee: int, fee_currency: str
    ) -> None:
        """Take back a trade, `traded` < 0, or put its new terms in its place (see `Position.amend`)."""
        line = self.line(symbol)
        line.amend(lots, paid, fee if fee_currency == currency else 0)
        self._exchange(symbol, line, paid, traded, currency, fee, fee_currency)

    def settle(self, symbol: str) -> None:
        """All of a report is amended (see `Position.settle`)."""
        self.line(symbol).settle()

    def receive(self, symbol: str, amount: int, currency: str, *, transfer: bool) -> None:
        """Cash that is no trade: funding, dividends; capital where `transfer`."""
        line = self.line(symbol)
        if transfer:
            line.transfers[currency] += amount
            self.transfers[currency] += amount
        self._receive(line, amount, currency)
        self.dirty.add(symbol)

    def restate(self, symbol: str, lots: int, cost: int, currency: str) -> None:
        """Take over a stated position (see `Position.restate`)."""
        line = self.line(symbol)
        self._receive(line, line.restate(lots, cost), currency)
        self._moved(symbol, line)

    def put(self, lines: Mapping[str, Position]) -> None:
        """Start from stored lines."""
        for symbol, line in lines.items():
            self.lines[symbol] = line
            if line.quantity:
                self.open.add(symbol)
            for totals, part in (
                (self.cash, line.cash),
                (self.fees, line.fees),
                (self.transfers, line.transfers),
                (self.traded, line.traded),
            ):
                for currency, amount in part.items():
                    totals[currency] += amount
            self._tally(line.trips, (0, 0, 0))

    def _exchange(
        self,
        symbol: str,
        line: Position,
        paid: int,
        traded: int,
        currency: str,
        fee: int,
        fee_currency: str,
    ) -> None:
        if fee:
            line.fees[fee_currency] += fee
            self.fees[fee_currency] += fee
            if fee_currency == currency:
                paid += fee
            else:
                self._receive(line, -fee, fee_currency)
        line.cash[currency] -= paid
        self.cash[currency] -= paid
        line.traded[currency] += traded
        self.traded[currency] += traded
        self._moved(symbol, line)

    def _tally(self, now: Trips, before: Trips) -> None:
        ended, won, lost = self.trips
        self.trips = (ended + now[0] - before[0], won + now[1] - before[1], lost + now[2] - before[2])

    def _receive(self, line: Position, amount: int, currency: str) -> None:
        line.cash[currency] += amount
        self.cash[currency] += amount

    def _moved(self, symbol: str, line: Position) -> None:
        self.dirty.add(symbol)
        if line.quantity:
            self.open.add(symbol)
        else:
            self.open.discard(symbol)
