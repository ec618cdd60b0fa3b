"""Books by their definitions, in fractions of whole units: no lots, no half-ticks, no rounding, no records.

What is exact in the product must equal these exactly. What it rounds, the cost that a close releases, they
carry on in full, and count how often it was rounded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from monitor.trading.units import InstrumentUnits
from monitor.wire.messages import ExecutionReport, Undoes

UNIT = Fraction(1, 10**18)
"""One money unit."""

EXECUTED = ("fill", "partial_fill", "correct")
"""Kinds of report that bring an execution."""

Amounts = dict[str, Fraction]


def present(amounts: Mapping[str, Fraction]) -> Amounts:
    """Without those that are nothing."""
    return {key: amount for key, amount in amounts.items() if amount}


@dataclass(frozen=True)
class Terms:
    """What an execution did: signed quantity, money paid for it (negative: received), fee."""

    quantity: Fraction
    paid: Fraction
    fee: Fraction
    fee_currency: str

    def alike(self, other: Terms) -> bool:
        """Whether they are the same but for the fee."""
        return (self.quantity, self.paid) == (other.quantity, other.paid)

    @classmethod
    def of(cls, terms: ExecutionReport | Undoes, units: InstrumentUnits) -> Terms:
        assert terms.last_quantity is not None
        assert terms.last_price is not None
        quantity = Fraction(terms.last_quantity) * {"buy": 1, "sell": -1}[terms.side or ""]
        paid = quantity * Fraction(terms.last_price) * Fraction(units.multiplier)
        return cls(quantity, paid, Fraction(terms.fee or 0), terms.fee_currency or units.currency)


@dataclass
class Line:
    """One symbol's position. `trip`: money of the running round trip so far, own fees included; `shared`: it
    began in a trade through zero. `closes` counts trades against the position, `flips` those through zero,
    `near` the round trips whose profit is below what rounding may turn. `rounded`: how often a program that
    keeps cost in whole money units has rounded that of the open position; `slack`: how often that of
    positions whose cost became cash, where a stated position took their place."""

    quantity: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    realised: Fraction = Fraction(0)
    trip: Fraction = Fraction(0)
    ended: int = 0
    won: int = 0
    lost: int = 0
    near: int = 0
    trades: int = 0
    closes: int = 0
    flips: int = 0
    shared: bool = False
    rounded: int = 0
    slack: int = 0

    def trade(self, quantity: Fraction, paid: Fraction, fee: Fraction) -> None:
        """A trade in the course of a round trip."""
        held = self.quantity
        share = self.shift(quantity, paid)
        if not share or ((self.quantity > 0) == (held > 0) and self.quantity):
            self.trip -= paid + fee
            return
        net = self.trip - share * (paid + fee)
        self.ended += 1
        self.won += net > 0
        self.lost += net < 0
        self.near += abs(net) <= 2 * UNIT and (share != 1 or self.shared)
        self.flips += share != 1
        self.shared = share != 1
        self.trip = -(1 - share) * (paid + fee)

    def shift(self, quantity: Fraction, paid: Fraction) -> Fraction:
        """Average cost; the share of the trade that closed."""
        self.trades += 1
        held = self.quantity
        self.quantity += quantity
        if held * quantity >= 0:
            self.cost += paid
            return Fraction(0)
        closed = min(abs(held), abs(quantity))
        share, released = closed / abs(quantity), self.cost * closed / abs(held)
        self.realised -= share * paid + released
        self.cost += (1 - share) * paid - released
        self.closes += 1
        self.rounded = (self.rounded if share == 1 else 0) + 1 if self.quantity else 0
        return share

    def amend(self, terms: Terms, sign: int, fee: Fraction) -> None:
        """Takes back (-1) or puts in the place of what was taken back (1)."""
        self.shift(sign * terms.quantity, sign * terms.paid)
        self.trip -= sign * (terms.paid + fee)


@dataclass
class ReferenceLedger:
    """The real book, report by report in folding order. An id counts once within `horizon_ns`, if any.

    `slack` by currency: money units that cash may be off, where stated positions took the place of others
    whose cost was no whole number of them. Cash is exact where there are none."""

    instruments: Sequence[InstrumentUnits]
    start_flat: bool = True
    horizon_ns: int | None = None
    lines: dict[str, Line] = field(default_factory=lambda: defaultdict(Line))
    cash: Amounts = field(default_factory=lambda: defaultdict(Fraction))
    fees: Amounts = field(default_factory=lambda: defaultdict(Fraction))
    transfers: Amounts = field(default_factory=lambda: defaultdict(Fraction))
    traded: Amounts = field(default_factory=lambda: defaultdict(Fraction))
    slack: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    breaks: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    seen: dict[tuple[str | None, str, str], int] = field(default_factory=dict)
    stated: set[str] = field(default_factory=set)
    came: dict[tuple[str | None, str, str], Terms | None] = field(default_factory=dict)
    feeless: dict[tuple[str | None, str, str], Terms] = field(default_factory=dict)
    in_force: dict[tuple[str | None, str, str], Terms] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    as_of: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: -1))
    moved: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: -1))
    _contained: bool = False

    def __post_init__(self) -> None:
        self.units = {units.symbol: units for units in self.instruments}

    def apply(self, report: ExecutionReport, eff_ns: int) -> bool:
        """Fold one report; False where its id was known: `counted` tells duplicates, which say what was said
        before, from conflicts."""
        key = (report.account, report.symbol, report.exec_id)
        last = self.seen.get(key)
        if last is not None and (self.horizon_ns is None or eff_ns - last <= self.horizon_ns):
            self.counted["duplicates" if self._brought(report) == self.came[key] else "conflicts"] += 1
            return False
        self.seen[key] = eff_ns
        self.came[key] = self._brought(report)
        self.counted[report.kind] += 1
        line = self.lines[report.symbol]
        executed = report.kind in (*EXECUTED, "bust")
        # A stated position holds what happened before it.
        self._contained = executed and report.ts_ns < self.as_of[report.symbol]
        self.counted["contained"] += self._contained
        if executed and not self._contained:
            self.moved[report.symbol] = max(self.moved[report.symbol], report.ts_ns)
        match report.kind:
            case "fill" | "partial_fill" if self._contained:
                self._amend(report, self._arriving(key, self._terms(report)), 1)
                self._settle(line)
            case "fill" | "partial_fill":
                self._book(report, self._arriving(key, self._terms(report)))
            case "bust":
                self._take_back(report, self._terms(report), fee_given=report.fee is not None)
                self._settle(line)
            case "correct":
                assert report.undoes is not None
                old = Terms.of(report.undoes, self.units[report.symbol])
                self._take_back(report, old, fee_given=report.undoes.fee is not None)
                self._amend(report, self._arriving(key, self._terms(report)), 1)
                named = (report.account, report.symbol, report.exec_ref_id or "")
                if named in self.in_force:
                    self.in_force[named] = self._terms(report)
                self._settle(line)
            case "position":
                self._state(report, line)
            case "cash":
                assert report.amount is not None
                assert report.currency is not None
                self.cash[report.currency] += Fraction(report.amount)
                if report.reason == "transfer":
                    self.transfers[report.currency] += Fraction(report.amount)
        return True

    def _terms(self, report: ExecutionReport) -> Terms:
        return Terms.of(report, self.units[report.symbol])

    def _brought(self, report: ExecutionReport) -> Terms | None:
        return self._terms(report) if report.kind in EXECUTED else None

    def _arriving(self, key: tuple[str | None, str, str], terms: Terms) -> Terms:
        """Terms as they count: a bust or correction that came before said no fee, and has taken the rest
        back."""
        self.in_force[key] = terms
        before = self.feeless.get(key)
        if before is not None and before.alike(terms):
            return Terms(terms.quantity, terms.paid, Fraction(0), terms.fee_currency)
        return terms

    def _book(self, report: ExecutionReport, terms: Terms) -> None:
        own = self.units[report.symbol].currency
        self.lines[report.symbol].trade(
            terms.quantity, terms.paid, terms.fee if terms.fee_currency == own else Fraction(0)
        )
        self._money(own, terms, 1)

    def _amend(self, report: ExecutionReport, terms: Terms, sign: int) -> None:
        own = self.units[report.symbol].currency
        if self._contained:
            terms = Terms(Fraction(0), Fraction(0), terms.fee, terms.fee_currency)
        fee = terms.fee if terms.fee_currency == own else Fraction(0)
        self.lines[report.symbol].amend(terms, sign, fee)
        self._money(own, terms, sign)

    def _money(self, own: str, terms: Terms, sign: int) -> None:
        self.cash[own] -= sign * terms.paid
        self.traded[own] += sign * abs(terms.paid)
        self.cash[terms.fee_currency] -= sign * terms.fee
        self.fees[terms.fee_currency] += sign * terms.fee

    def _take_back(self, report: ExecutionReport, terms: Terms, *, fee_given: bool) -> None:
        """What leaves the fee out takes back the one that was paid."""
        key = (report.account, report.symbol, report.exec_ref_id or "")
        if not fee_given:
            known = self.in_force.get(key)
            if known is None:
                self.feeless[key] = terms
            elif known.alike(terms):
                terms = known
        self._amend(report, terms, -1)

    @staticmethod
    def _settle(line: Line) -> None:
        if not line.quantity:
            line.trip = Fraction(0)

    def _state(self, report: ExecutionReport, line: Line) -> None:
        """A stated position: its cost takes the place of the old one, cash + cost stays what it was."""
        assert report.quantity is not None
        assert report.price is not None
        known = self.start_flat or report.symbol in self.stated
        if known and report.ts_ns < max(self.moved[report.symbol], self.as_of[report.symbol]):
            self.counted["outdated"] += 1
            return
        self.as_of[report.symbol] = max(self.as_of[report.symbol], report.ts_ns)
        self.stated.add(report.symbol)
        quantity = Fraction(report.quantity)
        if known and quantity == line.quantity:
            return
        units = self.units[report.symbol]
        cost = quantity * Fraction(report.price) * Fraction(units.multiplier)
        self.breaks[report.symbol] += known
        freed = line.cost - cost
        self.cash[units.currency] += freed
        self.slack[units.currency] += line.rounded
        line.slack += line.rounded
        line.rounded = 0
        line.trip = line.trip + freed if line.quantity * quantity > 0 else -cost
        line.quantity, line.cost = quantity, cost

    @property
    def positions(self) -> Amounts:
        """What is held."""
        return present({symbol: line.quantity for symbol, line in self.lines.items()})

    @property
    def dealt(self) -> set[str]:
        """Symbols that were ever traded."""
        return {symbol for symbol, line in self.lines.items() if line.trades}

    def sum(self, name: str) -> int:
        """Of a count over all lines."""
        return sum(getattr(line, name) for line in self.lines.values())


def standing_totals(
    reports: Iterable[ExecutionReport], instruments: Sequence[InstrumentUnits]
) -> tuple[Amounts, Amounts, Amounts, Amounts]:
    """Positions, cash, fees and turnover of executions that stand in the end."""
    units = {each.symbol: each for each in instruments}
    held, cash, fees, traded = (defaultdict(Fraction) for _ in range(4))
    for report in reports:
        terms = Terms.of(report, units[report.symbol])
        own = units[report.symbol].currency
        held[report.symbol] += terms.quantity
        cash[own] -= terms.paid
        cash[terms.fee_currency] -= terms.fee
        fees[terms.fee_currency] += terms.fee
        traded[own] += abs(terms.paid)
    return present(held), present(cash), present(fees), present(traded)
