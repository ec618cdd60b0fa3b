"""`BookSet`: all books of a deployment in one partition task on the same marks: one real, one paper a role.

The one door to this package for the fold of a task; knows rows in folding order, not streams or policies.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError
from monitor.trading.ledger import Applied, Ledger, LedgerRules
from monitor.trading.marks import NO_MARK, Fill, MarkRules, Marks
from monitor.trading.paper import PaperBook
from monitor.trading.paper_rules import PaperRules
from monitor.trading.position import Book, Trips
from monitor.trading.report import Kind, Report
from monitor.trading.targets import Sign, Target
from monitor.trading.trades import PaperOrder, Trade
from monitor.trading.units import InstrumentUnits

ACTIVE = "active"
REAL = "real"
PAPER = "paper"

# Looking up a member of an enumeration takes its time, and every report passes here.
_APPLIED, _BREAK = Applied.APPLIED, Applied.RECONCILIATION_BREAK
_FILLS = (Kind.FILL.value, Kind.PARTIAL_FILL.value)
_POSITION = Kind.POSITION.value


def book_key(role: str, fills: str) -> str:
    """The name of a book: `role=active,fills=real`."""
    return f"role={role},fills={fills}"


class BookView(msgspec.Struct, frozen=True, kw_only=True):
    """A book at an instant, money in 1e-18 by currency; equity = `cash` + `value`, exactly.

    `value` sums quantity x mark over the open positions, `gross` its absolute amounts. `fees` paid are within
    `cash`. `transfers`: capital brought in, with what contradicting position reports changed. `traded`:
    |paid| of all trades that stand; `trips`: round trips that ended, were won, were lost. `gap`: of a paper
    book, |its quantity - the real one| x mark over all symbols. `oldest_mark_ns`: of the open positions.
    `complete` is False where an open position has no mark or a position is unknown: then the sums leave
    something out.
    """

    as_of_ns: int
    cash: dict[str, int]
    value: dict[str, int]
    gross: dict[str, int]
    fees: dict[str, int]
    transfers: dict[str, int]
    traded: dict[str, int]
    trips: Trips
    gap: dict[str, int]
    oldest_mark_ns: int | None
    complete: bool

    def equity(self, currency: str) -> int:
        """Cash and positions of one currency."""
        return self.cash.get(currency, 0) + self.value.get(currency, 0)


class PositionView(msgspec.Struct, frozen=True):
    """An open position: lots, mark in half-ticks and its time; None without a mark."""

    quantity: int
    mark: int | None
    mark_ts_ns: int | None


class Break(NamedTuple):
    """A position that a report contradicted: the report's place in the slice, lots as booked and reported."""

    place: int
    booked: int
    reported: int


Reported = tuple[Report, int, int, int]
"""An execution report, its own time, its effective time and its `wire.keys.execution_key`."""


class Folded(NamedTuple):
    """What a slice did: the outcome of each report, trades that counted (real ones first, then by book) and
    paper orders that ended, in order of time within a book; reported positions that contradicted the
    ledger."""

    applied: list[Applied]
    trades: list[Trade]
    ended: list[PaperOrder]
    breaks: list[Break]


class BookRules(msgspec.Struct, frozen=True):
    """What `books` and `paper` of a deployment's configuration say; `targets` by role, else `Sign()`."""

    ledger: LedgerRules
    marks: MarkRules
    paper: PaperRules
    targets: dict[str, Target] = {}


class BookSet:
    """Marks, the ledger and a paper book a role. Symbol index = position among the instruments given."""

    def __init__(
        self, instruments: Sequence[InstrumentUnits], roles: Sequence[str], rules: BookRules
    ) -> None:
        self.marks = Marks(instruments, rules.marks)
        self.ledger = Ledger(instruments, rules.ledger, f"{ACTIVE},{REAL}")
        self.papers = {
            role: PaperBook(instruments, rules.paper, role, number, rules.targets.get(role, Sign()))
            for number, role in enumerate(roles, 1)
        }
        self.names = (book_key(ACTIVE, REAL), *(book_key(role, PAPER) for role in roles))
        self._instruments = list(instruments)
        self._index = {units.symbol: code for code, units in enumerate(self._instruments)}
        self._start_flat = rules.ledger.start_flat
        self._known = np.full(len(self._instruments), self._start_flat)
        self._reported = np.zeros(len(self._instruments), bool)

    def extend(self, instruments: Sequence[InstrumentUnits]) -> None:
        """Append symbols that appeared while running."""
        for part in self._parts():
            part.extend(instruments)
        for units in instruments:
            self._index[units.symbol] = len(self._instruments)
            self._instruments.append(units)
        more = len(instruments)
        self._known = np.concatenate([self._known, np.full(more, self._start_flat)])
        self._reported = np.concatenate([self._reported, np.zeros(more, bool)])

    def fold(
        self,
        *,
        symbol: NDArray[np.integer],
        eff: NDArray[np.int64],
        bid: NDArray[np.float64],
        ask: NDArray[np.float64],
        price: NDArray[np.float64],
        predictions: Mapping[str, NDArray[np.float64]],
        volume: NDArray[np.float64] | None = None,
        reports: Sequence[Reported] = (),
        repeats: Collection[int] = (),
    ) -> Folded:
        """Fold a slice: n feature rows (columns (n,), `eff` = effective time, never falling; predictions by
        role and the volume that participation is capped by, NaN = none) and execution reports, whose
        effective times never fall; at equal times features come first. Any slicing
        gives the same books. `repeats`: places of reports whose id was folded before: they are held against
        that, and not folded.
        """
        applied: list[Applied] = []
        trades: list[Trade] = []
        ended: list[PaperOrder] = []
        confirming: list[tuple[Report, int]] = []
        breaks: list[Break] = []
        for place, (report, ts_ns, eff_ns, key) in enumerate(reports):
            if place in repeats:
                applied.append(self.ledger.repeat(report, eff_ns, key))
                continue
            booked = self.ledger.book.quantity(report.symbol) if report.kind == _POSITION else 0
            outcome, filled = self.ledger.apply(report, ts_ns, eff_ns, key)
            applied.append(outcome)
            self._note_standing(report.symbol)
            if filled is not None:
                code = self._index[report.symbol]
                fee = filled.fee if filled.fee_currency == self._instruments[code].currency else 0
                trades.append(Trade(0, code, eff_ns, filled.lots, filled.paid, fee))
            if outcome is _BREAK:
                breaks.append(Break(place, booked, self.ledger.book.quantity(report.symbol)))
            elif outcome is _APPLIED and report.kind in _FILLS:
                confirming.append((report, eff_ns))
        fills: list[Fill] = []
        if confirming:
            places = np.searchsorted(eff, [eff_ns for _, eff_ns in confirming], side="right").tolist()
            for place, (report, _) in zip(places, confirming, strict=True):
                if report.last_price is not None:
                    fills.append(Fill(place, self._index[report.symbol], report.last_price))
        if len(symbol) or fills:
            quotes = self.marks.update(symbol, eff, bid, ask, price, fills)
            for role, paper in self.papers.items():
                more, gone = paper.fold(quotes, predictions[role], volume)
                trades += more
                ended += gone
        return Folded(applied, trades, ended, breaks)

    def books(self) -> dict[str, Book]:
        """Every book by its key, the real one first, then paper by role."""
        held = (self.ledger.book, *(paper.book for paper in self.papers.values()))
        return dict(zip(self.names, held, strict=True))

    def at(self, as_of_ns: int) -> dict[str, BookView]:
        """Every book at the accepted marks; the caller has folded exactly the rows before `as_of_ns`.

        What position reports contradicted since the last instant is settled at these marks."""
        for symbol in self.ledger.unsettled:
            code = self._index[symbol]
            marked = int(self.marks.ts[code]) != NO_MARK
            self.ledger.settle(symbol, int(self.marks.mark[code]) if marked else None)
        real = book_key(ACTIVE, REAL)
        known = bool(self._known[self._reported | (self.marks.ts != NO_MARK)].all())
        return {
            key: self._view(book, as_of_ns, known=known or key != real) for key, book in self.books().items()
        }

    def unstated(self) -> list[str]:
        """The symbols whose position must be known for the real book to be complete, and is not; sorted."""
        wanting = (self._reported | (self.marks.ts != NO_MARK)) & ~self._known
        return sorted(self._instruments[code].symbol for code in np.flatnonzero(wanting).tolist())

    def positions(self) -> dict[str, dict[str, PositionView]]:
        """Open positions by book and symbol, sorted by symbol."""
        return {
            key: {symbol: self._position(book, symbol) for symbol in sorted(book.open)}
            for key, book in self.books().items()
        }

    def records(self, *, dirty_only: bool) -> dict[str, bytes | None]:
        """State records by key, None for a key to delete; with `dirty_only` those since `mark_clean`."""
        found: dict[str, bytes | None] = {}
        for part in self._parts():
            found.update(part.records(dirty_only=dirty_only))
        return found

    def mark_clean(self) -> None:
        """What `records` gave is stored."""
        for part in self._parts():
            part.mark_clean()

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Take back stored records into a new set whose instruments hold all of `symbols_of(records)`.

        Raises:
            StateError: a record cannot be read, or its symbol is not among the instruments.
        """
        missing = symbols_of(records) - self._index.keys()
        if missing:
            raise StateError(
                f"state holds books of {', '.join(sorted(missing))}, which are not among the instruments"
            )
        for part in self._parts():
            part.restore(records)
        for symbol in self.ledger.symbols:
            self._note_standing(symbol)

    def _parts(self) -> list[Marks | Ledger | PaperBook]:
        return [self.marks, self.ledger, *self.papers.values()]

    def _note_standing(self, symbol: str) -> None:
        """Which positions must be known for the real book to be complete: those of all symbols that showed a
        mark or a report, since what was never stated might be held."""
        code = self._index[symbol]
        self._reported[code] = True
        self._known[code] = self.ledger.known_position(symbol)

    def _view(self, book: Book, as_of_ns: int, *, known: bool) -> BookView:
        value: dict[str, int] = {}
        gross: dict[str, int] = {}
        oldest: int | None = None
        complete = known
        for symbol in book.open:
            code = self._index[symbol]
            mark_ts = int(self.marks.ts[code])
            if mark_ts == NO_MARK:
                complete = False
                continue
            units = self._instruments[code]
            worth = units.value(book.lines[symbol].quantity, int(self.marks.mark[code]))
            value[units.currency] = value.get(units.currency, 0) + worth
            gross[units.currency] = gross.get(units.currency, 0) + abs(worth)
            oldest = mark_ts if oldest is None else min(oldest, mark_ts)
        return BookView(
            as_of_ns=as_of_ns,
            cash=_sorted(book.cash),
            value=_sorted(value),
            gross=_sorted(gross),
            fees=_sorted(book.fees),
            transfers=_sorted(self._brought_in(book)),
            traded=_sorted(book.traded),
            trips=book.trips,
            gap={} if book is self.ledger.book else self._gap(book),
            oldest_mark_ns=oldest,
            complete=complete,
        )

    def _brought_in(self, book: Book) -> Mapping[str, int]:
        """Capital that came or went by transfers, and by positions that were stated otherwise than booked."""
        if book is not self.ledger.book or not self.ledger.stated:
            return book.transfers
        total = dict(book.transfers)
        for currency, amount in self.ledger.stated.items():
            total[currency] = total.get(currency, 0) + amount
        return total

    def _gap(self, book: Book) -> dict[str, int]:
        gap: dict[str, int] = {}
        real = self.ledger.book
        for symbol in book.open | real.open:
            code = self._index[symbol]
            apart = book.quantity(symbol) - real.quantity(symbol)
            if apart and int(self.marks.ts[code]) != NO_MARK:
                units = self._instruments[code]
                worth = abs(units.value(apart, int(self.marks.mark[code])))
                gap[units.currency] = gap.get(units.currency, 0) + worth
        return _sorted(gap)

    def _position(self, book: Book, symbol: str) -> PositionView:
        code = self._index[symbol]
        mark_ts = int(self.marks.ts[code])
        quantity = book.lines[symbol].quantity
        if mark_ts == NO_MARK:
            return PositionView(quantity, None, None)
        return PositionView(quantity, int(self.marks.mark[code]), mark_ts)


def symbols_of(keys: Iterable[str]) -> set[str]:
    """The symbols that stored records are about, from their keys: a restart needs instruments for them."""
    found: set[str] = set()
    for key in keys:
        part, _, rest = key.partition("/")
        if part == "marks":
            found.add(rest)
        elif part in ("ledger", "paper"):
            found.add(rest.partition("/")[2])
    return found


def _sorted(amounts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(amounts.items()))
