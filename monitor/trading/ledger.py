"""`Ledger`: a real book from execution reports, with the semantics of FIX, in exact integers.

A fill adds its economics, a bust takes away the economics that it repeats, a correction takes away its old
terms and adds its new ones: every report contributes a fixed amount, so cash, quantity, fees and equity do
not depend on the order of arrival. Only the split of profit into realised and open does (average cost is a
path), and so do `position` reports, which state the position at their place in the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from enum import IntEnum

import msgspec

from monitor.errors import StateError
from monitor.trading.executions import (
    SPENT,
    UNDONE,
    Economics,
    Executions,
    amended,
    came_with,
    counting,
    fee_undone,
    is_known,
    standing,
    told,
)
from monitor.trading.position import VERSION, Book, Line, Position
from monitor.trading.report import TRANSFERS, Execution, Kind, Report
from monitor.trading.standing import Standing, StoredStanding
from monitor.trading.units import InstrumentUnits, money_of
from monitor.wire.keys import execution_key

_KINDS = frozenset(kind.value for kind in Kind)
_FILLS = frozenset({Kind.FILL.value, Kind.PARTIAL_FILL.value})
_EXECUTED = _FILLS | {Kind.BUST.value, Kind.CORRECT.value}
_SIDES = {"buy": 1, "sell": -1}


class LedgerRules(msgspec.Struct, frozen=True):
    """`start_flat`: positions are known to be flat before the first report. An execution id is remembered for
    `exec_horizon_ns` of effective time, and at most `exec_limit` of them a symbol, the newest."""

    start_flat: bool = False
    exec_horizon_ns: int = 86_400_000_000_000
    exec_limit: int = 100_000


class Applied(IntEnum):
    """What a report did to the book."""

    APPLIED = 0
    DUPLICATE = 1
    IGNORED = 2
    """A kind that moves neither money nor positions."""
    UNKNOWN_BUST = 3
    """Undoes an execution that is not known and does not repeat its economics. It takes nothing away; should
    that execution still come, it adds nothing. The position is unknown until a `position` report."""
    INVALID = 4
    """Economics that cannot be counted (no price, not a multiple of the lot): nothing is counted, and the
    position is unknown until a `position` report states it."""
    RECONCILIATION_BREAK = 5
    """A `position` report that contradicted a known position, which it took over."""
    UNRECONCILED = 6
    """A bust or correction, applied by the terms that it repeats, of an execution that was not known, or was
    known otherwise."""
    CONFLICT = 7
    """An id that is known, with other economics than it came with, of which nothing is counted."""
    CONTAINED = 8
    """An execution, bust or correction from before the last `position` report, which holds it already: of it
    the fee counts alone."""
    OUTDATED = 9
    """A `position` report of a known position, from before an execution or another such report that came
    before it: it says nothing about what is held now. Of an unknown one it is the best there is, and
    counts."""
    SEVERAL_ACCOUNTS = 10
    """A `position` report of one account, of a symbol that others trade too: it states a part of the
    position, which is unknown from then on. `filter.account` tells accounts apart."""


# Looking up a member of an enumeration takes longer than most of what follows.
_APPLIED, _IGNORED = Applied.APPLIED, Applied.IGNORED
_COUNTED = (
    Applied.APPLIED,
    Applied.RECONCILIATION_BREAK,
    Applied.UNRECONCILED,
    Applied.CONTAINED,
    Applied.OUTDATED,
)


class _Stored(msgspec.Struct, array_like=True):
    line: Line
    standing: StoredStanding


class Ledger:
    """The book `{role, real}` of one partition task."""

    def __init__(self, instruments: Iterable[InstrumentUnits], rules: LedgerRules, name: str) -> None:
        self.book = Book()
        self.name = name
        self._rules = rules
        self._units = {units.symbol: units for units in instruments}
        self._standing: dict[str, Standing] = {}
        self._executions: dict[str, Executions] = {}
        self._touched: set[str] = set()
        self.stated: dict[str, int] = {}
        """Per currency, what contradicting position reports brought in, at the marks of their time."""
        self._unsettled: set[str] = set()

    def extend(self, instruments: Iterable[InstrumentUnits]) -> None:
        """Learn more instruments."""
        self._units.update((units.symbol, units) for units in instruments)

    def known_position(self, symbol: str) -> bool:
        """Whether the position is known: started flat, or stated by a `position` report."""
        standing = self._standing.get(symbol)
        return self._rules.start_flat if standing is None else standing.known

    def standing(self, symbol: str) -> Standing:
        """The symbol's standing; read only."""
        return self._standing.get(symbol) or Standing(self._rules.start_flat)

    @property
    def symbols(self) -> Iterable[str]:
        """Symbols of which a report came."""
        return self._standing.keys()

    def apply(self, report: Report, ts_ns: int, eff_ns: int, key: int) -> tuple[Applied, Economics | None]:
        """Fold one report; each exec id counts once. Returns what it did, and of a fill that moved the
        position its economics.

        Args:
            ts_ns: time of the report itself.
            eff_ns: its effective time, which never falls.
            key: its `wire.keys.execution_key`.

        Raises:
            KeyError: a symbol without an instrument.
        """
        symbol, kind = report.symbol, report.kind
        executions = self._executions.get(symbol)
        if executions is None:
            executions = self._begin(symbol)
        note = executions.get(key, eff_ns)
        if note is not None and is_known(note):
            return self._again(report, note), None
        self._touched.add(symbol)
        if kind not in _KINDS:
            executions.add(key, eff_ns, SPENT)
            return _IGNORED, None
        standing, kept = self._standing[symbol], SPENT
        filled: Economics | None = None
        contained = False
        if kind in _EXECUTED:
            if ts_ns < standing.as_of_ns:
                contained = True
            elif ts_ns > standing.moved_ns:
                standing.moved_ns = ts_ns
            if report.account != standing.account and standing.name(report.account):
                standing.known &= self._rules.start_flat or not standing.of_account
        try:
            if kind in _FILLS:
                units = self._units[symbol]
                economics = _economics(units, report)
                outcome = _APPLIED
                filled = economics if note is None else counting(note, economics)
                if contained and filled is not None:
                    self._amend(symbol, filled, 1, contained=True)
                    self.book.settle(symbol)
                    filled = None
                elif filled is not None:
                    self.book.trade(
                        symbol,
                        filled.lots,
                        filled.paid,
                        units.currency,
                        filled.fee,
                        filled.fee_currency,
                    )
                kept = economics.encode()
            elif kind == Kind.BUST:
                outcome = self._undo(report, report, executions, eff_ns, contained=contained)
                self.book.settle(symbol)
            elif kind == Kind.CORRECT:
                economics = _economics(self._units[symbol], report)
                outcome = self._undo(report, report.undoes, executions, eff_ns, contained=contained)
                counted = counting(note, economics)
                if counted is not None:
                    self._amend(symbol, counted, 1, contained=contained)
                self.book.settle(symbol)
                kept = economics.encode()
                if report.exec_ref_id is not None:
                    self._supersede(report, kept, executions, eff_ns)
            elif kind == Kind.POSITION:
                outcome = self._position(report, ts_ns, standing)
            else:
                outcome = self._cash(report)
        except ValueError:
            outcome = Applied.INVALID
        if contained:
            outcome = Applied.CONTAINED
        elif outcome not in _COUNTED:
            standing.known = False
        if filled is None:
            self.book.dirty.add(symbol)
        executions.add(key, eff_ns, kept)
        return outcome, filled

    def _begin(self, symbol: str) -> Executions:
        executions = Executions(self._rules.exec_horizon_ns, self._rules.exec_limit)
        self._executions[symbol] = executions
        self._standing[symbol] = Standing(self._rules.start_flat)
        self.book.line(symbol)
        self.book.dirty.add(symbol)
        return executions

    def repeat(self, report: Report, eff_ns: int, key: int) -> Applied:
        """What a report that is known to repeat an id says: `DUPLICATE` or `CONFLICT`; changes nothing.

        Raises:
            KeyError: a symbol without an instrument.
        """
        executions = self._executions.get(report.symbol)
        note = None if executions is None else executions.get(key, eff_ns)
        return self._again(report, note) if note is not None and is_known(note) else Applied.DUPLICATE

    def _again(self, report: Report, note: bytes) -> Applied:
        """Holds an id that comes again against what it came with. A retransmission has equal terms."""
        terms = SPENT
        if report.kind in _FILLS or report.kind == Kind.CORRECT:
            with suppress(ValueError):
                terms = _economics(self._units[report.symbol], report).encode()
        return Applied.DUPLICATE if terms == came_with(note) else Applied.CONFLICT

    def _undo(
        self,
        report: Report,
        terms: Execution | None,
        executions: Executions,
        eff_ns: int,
        *,
        contained: bool,
    ) -> Applied:
        """Take away the old terms of the execution that `exec_ref_id` names.

        The report's own account of them counts, since it holds however old the execution is and whichever
        of a chain of corrections `exec_ref_id` means. Memory gives what it leaves out: all, or the fee of
        the same terms, which does not count where they come later.
        """
        symbol, reference = report.symbol, report.exec_ref_id
        key = execution_key(report.account, symbol, reference) if reference is not None else None
        note = executions.get(key, eff_ns) if key is not None else None
        kept = standing(note)
        old, mark = kept, UNDONE
        if terms is not None and None not in (terms.side, terms.last_quantity, terms.last_price):
            old, mark = _economics(self._units[symbol], terms), b""
            if terms.fee is None:
                mark = fee_undone(old)
                old = next((each for each in told(note) if each.alike(old)), old)
        outcome = Applied.APPLIED
        if old != kept or old is None:
            outcome = Applied.UNRECONCILED
        if key is not None and note is None and mark:
            executions.add(key, eff_ns, mark)
        elif key is not None and note is not None and report.kind == Kind.BUST and old == kept is not None:
            executions.add(key, eff_ns, amended(note, SPENT))
        if old is None:
            return Applied.UNKNOWN_BUST
        self._amend(symbol, old, -1, contained=contained)
        return outcome

    def _supersede(self, report: Report, kept: bytes, executions: Executions, eff_ns: int) -> None:
        """Remember a correction's new terms under the id it corrects too: a later bust may name either."""
        key = execution_key(report.account, report.symbol, report.exec_ref_id or "")
        note = executions.get(key, eff_ns)
        if note is not None and standing(note) is not None:
            executions.add(key, eff_ns, amended(note, kept))

    def _position(self, report: Report, ts_ns: int, standing: Standing) -> Applied:
        """A first report states quantity and average cost, and cash becomes what makes cash + cost unchanged
        (minus the cost, where nothing was booked before). A later one that agrees on the quantity changes
        nothing; one that contradicts it is counted, and taken over at its average cost. What that changes in
        equity is neither profit nor loss (`settle`). It holds all that happened before its own time, whenever
        that is reported."""
        symbol = report.symbol
        units = self._units[symbol]
        lots = units.lots(_given(report.quantity, "quantity"))
        standing.name(report.account)
        if standing.several and report.account is not None:
            return Applied.SEVERAL_ACCOUNTS
        if standing.known and ts_ns < max(standing.moved_ns, standing.as_of_ns):
            return Applied.OUTDATED
        standing.as_of_ns = max(standing.as_of_ns, ts_ns)
        standing.of_account = report.account is not None
        self.book.dirty.add(symbol)
        if standing.known and lots == self.book.quantity(symbol):
            return Applied.APPLIED
        cost = units.money(lots, _given(report.price, "price")) if lots else 0
        outcome = Applied.RECONCILIATION_BREAK if standing.known else Applied.APPLIED
        if standing.known:
            line = self.book.line(symbol)
            standing.lots += lots - line.quantity
            standing.cash += line.cost - cost
            self._unsettled.add(symbol)
        standing.known = True
        self.book.restate(symbol, lots, cost, units.currency)
        return outcome

    @property
    def unsettled(self) -> list[str]:
        """Symbols with contradicting position reports that `settle` has not seen yet."""
        return sorted(self._unsettled)

    def settle(self, symbol: str, mark: int | None) -> None:
        """Value at `mark` (half-ticks; None: there is none) what contradicting position reports changed in
        positions and cash: as capital that came or went, so that they make no profit and no drawdown."""
        units = self._units[symbol]
        amount = self._standing[symbol].settle(units, self.book.quantity(symbol), mark)
        if amount is None:
            return
        self.stated[units.currency] = self.stated.get(units.currency, 0) + amount
        self._unsettled.discard(symbol)
        self.book.dirty.add(symbol)

    def _cash(self, report: Report) -> Applied:
        currency = report.currency or self._units[report.symbol].currency
        amount = money_of(_given(report.amount, "amount"))
        transfer = (report.reason or "").strip().lower() in TRANSFERS
        self.book.receive(report.symbol, amount, currency, transfer=transfer)
        return Applied.APPLIED

    def _amend(self, symbol: str, terms: Economics, sign: int, *, contained: bool) -> None:
        """Take back a trade or put one in its place; of one that a stated position contains, the fee."""
        part = 0 if contained else sign
        self.book.amend(
            symbol,
            part * terms.lots,
            part * terms.paid,
            part * abs(terms.paid),
            self._units[symbol].currency,
            sign * terms.fee,
            terms.fee_currency,
        )

    def records(self, *, dirty_only: bool) -> dict[str, bytes | None]:
        """Stored records: `ledger/<name>/<symbol>` and `exec/<name>/<chunk>/<symbol>`; None deletes."""
        found: dict[str, bytes | None] = {}
        for symbol in sorted(self.book.dirty if dirty_only else self.book.lines):
            found[f"ledger/{self.name}/{symbol}"] = msgspec.msgpack.encode(
                _Stored(self.book.lines[symbol].encode(), self._standing[symbol].encode())
            )
        for symbol in sorted(self._touched if dirty_only else self._executions):
            for number, raw in self._executions[symbol].records(dirty_only=dirty_only):
                found[f"exec/{self.name}/{number}/{symbol}"] = raw
        return found

    def mark_clean(self) -> None:
        """What `records` gave is stored."""
        for symbol in self._touched:
            self._executions[symbol].mark_clean()
        self._touched.clear()
        self.book.dirty.clear()

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Take back stored records into a new ledger; keys of other parts are passed over.

        Raises:
            StateError: a record cannot be read.
        """
        lines: dict[str, Position] = {}
        chunks: list[tuple[str, int, bytes]] = []
        for key, raw in records.items():
            part, _, rest = key.partition("/")
            name, _, rest = rest.partition("/")
            if name != self.name:
                continue
            if part == "ledger":
                try:
                    stored = msgspec.msgpack.decode(raw, type=_Stored)
                except msgspec.MsgspecError as error:
                    raise StateError(f"{key} cannot be read: {error}") from error
                if stored.line.version != VERSION:
                    raise StateError(f"{key} has version {stored.line.version}, this program reads {VERSION}")
                lines[rest] = Position.decode(stored.line)
                self._take(rest, Standing.decode(stored.standing))
                self._executions.setdefault(
                    rest, Executions(self._rules.exec_horizon_ns, self._rules.exec_limit)
                )
            elif part == "exec":
                chunk, _, symbol = rest.partition("/")
                chunks.append((symbol, int(chunk), raw))
        self.book.put(lines)
        for symbol, number, raw in sorted(chunks):
            self._executions[symbol].restore(number, raw)

    def _take(self, symbol: str, standing: Standing) -> None:
        self._standing[symbol] = standing
        if standing.lots or standing.cash:
            self._unsettled.add(symbol)
        if standing.worth:
            currency = self._units[symbol].currency
            self.stated[currency] = self.stated.get(currency, 0) + standing.worth


def _economics(units: InstrumentUnits, terms: Execution) -> Economics:
    quantity, price, fee = terms.last_quantity, terms.last_price, terms.fee
    side = _SIDES.get(terms.side or "")
    if side is None or quantity is None or price is None:
        raise ValueError(f"{units.symbol}: a fill needs side, last_quantity and last_price")
    lots = side * units.lots(quantity)
    charge = 0 if fee is None else money_of(fee)
    return Economics(lots, units.money(lots, price), charge, terms.fee_currency or units.currency)


def _given(value: Decimal | None, name: str) -> Decimal:
    if value is None:
        raise ValueError(f"the report has no {name}")
    return value
