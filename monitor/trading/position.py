"""`Position` and `Book`: average-cost positions by symbol with cash per currency, in exact integers.

Shared by the ledger and the paper broker, so that real and paper money obey the same arithmetic. Knows
neither reports nor quotes.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

VERSION = 1


class Line(msgspec.Struct, array_like=True):
    """A `Position` as stored; money as decimal text of money units, which outgrow 64 bits."""

    version: int
    quantity: str
    cost: str
    realised: str
    cash: dict[str, str]
    fees: dict[str, str]
    transfers: dict[str, str]


class Position:
    """One symbol's line in a book.

    `quantity` in lots, signed. `cost`: money paid for the open quantity (negative for a short: its proceeds).
    `realised`: profit of closed quantity before fees. `cash`, `fees` and `transfers` per currency: all cash
    that moved (fees and transfers included), fees paid (rebates negative), capital brought in. At all times
    cash = realised - cost - fees + transfers + other cash reports.
    """

    __slots__ = ("cash", "cost", "fees", "quantity", "realised", "transfers")

    def __init__(self) -> None:
        self.quantity = 0
        self.cost = 0
        self.realised = 0
        self.cash: dict[str, int] = {}
        self.fees: dict[str, int] = {}
        self.transfers: dict[str, int] = {}

    def trade(self, lots: int, paid: int) -> None:
        """Buy (`lots` > 0, `paid` its price) or sell (`lots` < 0, `paid` minus the proceeds).

        Against an open position it closes `closed` lots, which releases `cost * closed // |quantity|` (floor;
        the remainder stays in the position, so that the last close releases everything), and what is left of
        a trade through zero opens a new position with its share of `paid`.
        """
        held = self.quantity
        self.quantity = held + lots
        if held == 0 or lots == 0 or (held > 0) == (lots > 0):
            self.cost += paid
            return
        closed = min(abs(lots), abs(held))
        closing = paid * closed // abs(lots)
        released = self.cost * closed // abs(held)
        self.realised -= closing + released
        self.cost += paid - closing - released

    def restate(self, lots: int, cost: int) -> int:
        """Take over a stated position; returns the cash that this brings: cash + cost stays what it was, so
        no profit is invented."""
        freed = self.cost - cost
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
        )

    @classmethod
    def decode(cls, line: Line) -> Position:
        """The inverse of `encode`."""
        position = cls()
        position.quantity, position.cost = int(line.quantity), int(line.cost)
        position.realised = int(line.realised)
        position.cash = {k: int(v) for k, v in line.cash.items()}
        position.fees = {k: int(v) for k, v in line.fees.items()}
        position.transfers = {k: int(v) for k, v in line.transfers.items()}
        return position


class Book:
    """Positions by symbol, with running totals per currency and a note of what changed."""

    def __init__(self) -> None:
        self.lines: dict[str, Position] = {}
        self.cash: dict[str, int] = {}
        self.fees: dict[str, int] = {}
        self.transfers: dict[str, int] = {}
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

    def trade(self, symbol: str, lots: int, paid: int, currency: str) -> None:
        """Trade at `paid` money units of `currency` (see `Position.trade`)."""
        line = self.line(symbol)
        line.trade(lots, paid)
        self._receive(line, -paid, currency)
        self._moved(symbol, line)

    def charge(self, symbol: str, fee: int, currency: str) -> None:
        """Pay a fee (negative: a rebate)."""
        line = self.line(symbol)
        _add(line.fees, currency, fee)
        _add(self.fees, currency, fee)
        self._receive(line, -fee, currency)
        self.dirty.add(symbol)

    def receive(self, symbol: str, amount: int, currency: str, *, transfer: bool) -> None:
        """Cash that is no trade: funding, dividends; capital where `transfer`."""
        line = self.line(symbol)
        if transfer:
            _add(line.transfers, currency, amount)
            _add(self.transfers, currency, amount)
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
            ):
                for currency, amount in part.items():
                    _add(totals, currency, amount)

    def _receive(self, line: Position, amount: int, currency: str) -> None:
        _add(line.cash, currency, amount)
        _add(self.cash, currency, amount)

    def _moved(self, symbol: str, line: Position) -> None:
        self.dirty.add(symbol)
        if line.quantity:
            self.open.add(symbol)
        else:
            self.open.discard(symbol)


def _add(totals: dict[str, int], currency: str, amount: int) -> None:
    totals[currency] = totals.get(currency, 0) + amount
