"""All books of a deployment by their definitions, row by row, and what they were worth at every instant."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from trading.reference_books import UNIT, Amounts, ReferenceLedger
from trading.reference_market import Broker, Quote, ReferenceMarks, ReferencePaper, decimal_text

from monitor.trading.units import InstrumentUnits
from monitor.wire.messages import ExecutionReport

REAL = "role=active,fills=real"
FILLS = ("fill", "partial_fill")


def paper_of(role: str) -> str:
    """The name of a role's paper book."""
    return f"role={role},fills=paper"


@dataclass(frozen=True)
class Worth:
    """A book at an instant; all money since it began. `held`: quantities; `trips`: ended, won, lost."""

    profit: Fraction
    fees: Fraction
    traded: Fraction
    gross: Fraction
    net: Fraction
    trips: tuple[int, int, int]
    held: Mapping[str, Fraction]


NOTHING = Worth(*(Fraction(0) for _ in range(5)), (0, 0, 0), {})


@dataclass(frozen=True)
class Moment:
    """The books at an instant, all rows before it folded. `marks`: money of one unit of each symbol;
    `traded`: symbols that a book has traded."""

    at: int
    books: Mapping[str, Worth]
    marks: Mapping[str, Fraction]
    traded: frozenset[str]


@dataclass
class ReferenceDesk:
    """All money ends in dollars: that of another currency at the mark of its symbol in `fx`, rounded half
    even once; fees and turnover at the mark of the instant at which they were first seen. `moments`: at the
    instants that were asked for, in order."""

    instruments: Sequence[InstrumentUnits]
    broker: Broker
    roles: Sequence[str] = ("active", "shadow")
    fx: Mapping[str, str] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.units = {units.symbol: units for units in self.instruments}
        self.marks = ReferenceMarks(self.instruments)
        self.real = ReferenceLedger(self.instruments)
        self.papers = {role: ReferencePaper(self.instruments, self.broker) for role in self.roles}
        self._instants: list[int] = []
        self._flows: dict[tuple[str, str], tuple[Amounts, Fraction]] = {}
        self._contradicted: dict[str, tuple[Fraction, Fraction]] = {}
        self._stated: Amounts = defaultdict(Fraction)

    def ask(self, instants: Iterable[int]) -> None:
        """Moments to keep; before any row."""
        self._instants = sorted(instants, reverse=True)

    def pass_to(self, at: int) -> None:
        """Time passes: all rows before `at` have come."""
        while self._instants and self._instants[-1] <= at:
            self.moments.append(self._moment(self._instants.pop()))

    def feature(
        self,
        at: int,
        symbol: str,
        quote: Quote | None,
        predictions: Mapping[str, float | None],
        volume: float | None = None,
    ) -> None:
        """A feature row at its effective time."""
        self.pass_to(at)
        fresh = self.marks.quote(symbol, at, quote)
        self.counted["unfit"] += not fresh
        for role, paper in self.papers.items():
            paper.row(symbol, at, quote if fresh else None, predictions[role], volume)

    def order(self, at: int, report: ExecutionReport) -> None:
        """An execution report of the deployment at its effective time."""
        self.pass_to(at)
        symbol, own = report.symbol, self.units[report.symbol].currency
        breaks, held = self.real.breaks[symbol], self.real.lines[symbol].quantity
        cash = self.real.cash[own]
        counted = self.real.apply(report, at)
        if self.real.breaks[symbol] > breaks:
            lots, money = self._contradicted.get(symbol, (Fraction(0), Fraction(0)))
            lots += self.real.lines[symbol].quantity - held
            self._contradicted[symbol] = lots, money + self.real.cash[own] - cash
        if counted and report.kind in FILLS:
            assert report.last_price is not None
            before = self.marks.marks[report.symbol].value
            self.marks.fill(report.symbol, Fraction(report.last_price))
            self.counted["confirmed"] += before != self.marks.marks[report.symbol].value

    @property
    def books(self) -> dict[str, ReferenceLedger | ReferencePaper]:
        """By name."""
        return {REAL: self.real, **{paper_of(role): paper for role, paper in self.papers.items()}}

    def rate(self, currency: str) -> Fraction:
        """Dollars for one of a currency; 0 without a mark."""
        if currency == "USD":
            return Fraction(1)
        return self.marks.marks[self.fx[currency]].value or Fraction(0)

    def dollars(self, amounts: Mapping[str, Fraction]) -> Fraction:
        """Money of all currencies."""
        whole = Fraction(0)
        for currency, amount in amounts.items():
            converted = amount * self.rate(currency)
            whole += converted if currency == "USD" else round(converted / UNIT) * UNIT
        return whole

    def worth_of_one(self, symbol: str) -> Fraction:
        """A unit at its mark, in money of its currency; 0 without a mark."""
        return (self.marks.marks[symbol].value or Fraction(0)) * Fraction(self.units[symbol].multiplier)

    def _moment(self, at: int) -> Moment:
        for symbol, (quantity, money) in list(self._contradicted.items()):
            if self.marks.marks[symbol].value is None:
                held = self.real.lines[symbol].quantity
                if held * (held - quantity) >= 0 and abs(held) <= abs(held - quantity):
                    # Gone before there was a price: at what it cost.
                    del self._contradicted[symbol]
                continue
            del self._contradicted[symbol]
            self._stated[self.units[symbol].currency] += quantity * self.worth_of_one(symbol) + money
        traded = {symbol for book in self.books.values() for symbol in book.dealt}
        marks = {
            symbol: self.worth_of_one(symbol) * self.rate(units.currency)
            for symbol, units in self.units.items()
            if self.marks.marks[symbol].value is not None
        }
        worths = {name: self._worth(name, book) for name, book in self.books.items()}
        return Moment(at, worths, marks, frozenset(traded))

    def _worth(self, name: str, book: ReferenceLedger | ReferencePaper) -> Worth:
        net, gross = self._values(book)
        trips = [(line.ended, line.won, line.lost) for line in book.lines.values()]
        return Worth(
            profit=self.dollars(book.cash) + self.dollars(net) - self._brought_in(name, book),
            fees=self._flowed(name, "fees", book.fees),
            traded=self._flowed(name, "traded", book.traded),
            gross=self.dollars(gross),
            net=self.dollars(net),
            trips=(sum(t[0] for t in trips), sum(t[1] for t in trips), sum(t[2] for t in trips)),
            held=book.positions,
        )

    def _brought_in(self, name: str, book: ReferenceLedger | ReferencePaper) -> Fraction:
        """Transfers, and what contradicting positions changed, as of the next instant."""
        stated = self._stated if name == REAL else {}
        amounts = {c: book.transfers.get(c, 0) + stated.get(c, 0) for c in {*book.transfers, *stated}}
        return self._flowed(name, "transfers", {c: Fraction(amount) for c, amount in amounts.items()})

    def _values(self, book: ReferenceLedger | ReferencePaper) -> tuple[Amounts, Amounts]:
        """Positions at their marks, net and gross, by currency."""
        net: Amounts = defaultdict(Fraction)
        gross: Amounts = defaultdict(Fraction)
        for symbol, quantity in book.positions.items():
            value = quantity * self.worth_of_one(symbol)
            net[self.units[symbol].currency] += value
            gross[self.units[symbol].currency] += abs(value)
        return net, gross

    def _flowed(self, name: str, what: str, amounts: Mapping[str, Fraction]) -> Fraction:
        before, worth = self._flows.get((name, what), ({}, Fraction(0)))
        worth += self.dollars({c: amount - before.get(c, 0) for c, amount in amounts.items()})
        self._flows[name, what] = dict(amounts), worth
        return worth

    def report(self) -> dict[str, Any]:
        """The books as `report.json` says them."""
        return {name: self._said(book) for name, book in self.books.items()}

    def _said(self, book: ReferenceLedger | ReferencePaper) -> dict[str, Any]:
        positions, cash = {}, self.dollars(book.cash)
        equity = cash + self.dollars(self._values(book)[0])
        for symbol, quantity in book.positions.items():
            mark = self.marks.marks[symbol]
            assert mark.value is not None
            positions[symbol] = {
                "quantity": decimal_text(quantity),
                "mark": decimal_text(mark.value),
                "mark_ts_ns": mark.ts_ns,
                "multiplier": decimal_text(Fraction(self.units[symbol].multiplier)),
            }
        money = {"cash": decimal_text(cash), "equity": decimal_text(equity)}
        return {"currency": "USD", **money, "status": "ok", "positions": positions}
