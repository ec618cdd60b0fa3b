"""The real book over random reports: what fractions say, whatever the order and the interruptions."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_books import UNIT, Amounts, ReferenceLedger, present, standing_totals
from report_streams import MS, START, Venue, arriving, random_instruments, repeated, with_statements
from trading_cases import key_of

from monitor.trading.ledger import Applied, Ledger, LedgerRules
from monitor.trading.units import InstrumentUnits
from monitor.wire.messages import ExecutionReport

NAME = "active,real"
RULES = LedgerRules(start_flat=True, exec_limit=10**9)
FINE = Context(prec=80)
SEEDS = st.integers(0, 2**32)


class Interrupted:
    """A ledger that now and then crashes, and goes on from what was stored before: the reports since then
    come once more."""

    def __init__(
        self, instruments: Sequence[InstrumentUnits], rules: LedgerRules, rng: random.Random
    ) -> None:
        self._instruments, self._rules, self._rng = instruments, rules, rng
        self._stored: dict[str, bytes] = {}
        self._since: list[tuple[ExecutionReport, int]] = []
        self.ledger = Ledger(instruments, rules, NAME)
        self.restores = 0

    def apply(self, report: ExecutionReport, eff_ns: int) -> Applied:
        draw = self._rng.random()
        if draw < 0.02:
            self.ledger = Ledger(self._instruments, self._rules, NAME)
            self.ledger.restore(self._stored)
            for each, at in self._since:
                self.ledger.apply(each, each.ts_ns, at, key_of(each))
            self.restores += 1
        elif draw < 0.1:
            for key, raw in self.ledger.records(dirty_only=True).items():
                self._stored.pop(key, None)
                if raw is not None:
                    self._stored[key] = raw
            self.ledger.mark_clean()
            self._since.clear()
        self._since.append((report, eff_ns))
        return self.ledger.apply(report, report.ts_ns, eff_ns, key_of(report))[0]


def whole(amounts: dict[str, int]) -> Amounts:
    """Money units as currency."""
    return present({currency: Fraction(amount) * UNIT for currency, amount in amounts.items()})


def assert_equal(ledger: Ledger, reference: ReferenceLedger) -> None:
    """All that a book says."""
    book = ledger.book
    lots = {units.symbol: Fraction(units.lot_size) for units in reference.instruments}
    assert {s: lots[s] * book.lines[s].quantity for s in book.open} == reference.positions
    for currency, cash in reference.cash.items():
        assert abs(book.cash.get(currency, 0) * UNIT - cash) <= reference.slack[currency] * UNIT
    assert whole(book.fees) == present(reference.fees)
    assert whole(book.traded) == present(reference.traded)
    assert whole(book.transfers) == present(reference.transfers)
    near = reference.sum("near")
    ended, won, lost = book.trips
    assert ended == reference.sum("ended")
    assert abs(won - reference.sum("won")) <= near
    assert abs(lost - reference.sum("lost")) <= near


def assert_line(ledger: Ledger, reference: ReferenceLedger, symbol: str) -> None:
    """One symbol's: exact but for the profit that is realised, which is within a unit a close."""
    found, line = ledger.book.lines[symbol], reference.lines[symbol]
    units = reference.units[symbol]
    assert found.quantity * Fraction(units.lot_size) == line.quantity
    assert abs(found.cost * UNIT - line.cost) <= line.rounded * UNIT
    assert abs(found.realised * UNIT - line.realised) <= (line.rounded + line.slack) * UNIT
    if not line.slack:
        assert (found.realised - found.cost) * UNIT == line.realised - line.cost
    assert found.trips[0] == line.ended


def follow(
    instruments: Sequence[InstrumentUnits],
    reports: Sequence[ExecutionReport],
    rng: random.Random,
    rules: LedgerRules = RULES,
) -> dict[str, Any]:
    """Folds reports, a microsecond apart, into a ledger that is interrupted and into the reference, and
    compares after each."""
    ledger = Interrupted(instruments, rules, rng)
    reference = ReferenceLedger(instruments, rules.start_flat, rules.exec_horizon_ns)
    outcomes: Counter[Applied] = Counter()
    for place, report in enumerate(reports):
        at = START + 1_000 * place
        outcome = ledger.apply(report, at)
        outcomes[outcome] += 1
        assert reference.apply(report, at) == (outcome not in (Applied.DUPLICATE, Applied.CONFLICT))
        assert_line(ledger.ledger, reference, report.symbol)
        if place % 64 == 0:
            assert_equal(ledger.ledger, reference)
    assert_equal(ledger.ledger, reference)
    assert outcomes[Applied.RECONCILIATION_BREAK] == sum(reference.breaks.values())
    assert outcomes[Applied.CONTAINED] == reference.counted["contained"]
    assert outcomes[Applied.OUTDATED] == reference.counted["outdated"]
    assert outcomes[Applied.DUPLICATE] == reference.counted["duplicates"]
    assert outcomes[Applied.CONFLICT] == reference.counted["conflicts"]
    assert not {Applied.INVALID, Applied.IGNORED, Applied.UNKNOWN_BUST} & outcomes.keys()
    return {
        "reports": len(reports),
        "duplicates": outcomes[Applied.DUPLICATE],
        "conflicts": outcomes[Applied.CONFLICT],
        "before_what_they_undo": outcomes[Applied.UNRECONCILED],
        "busts": reference.counted["bust"],
        "corrections": reference.counted["correct"],
        "closes": reference.sum("closes"),
        "flips": reference.sum("flips"),
        "round_trips": reference.sum("ended"),
        "near": reference.sum("near"),
        "breaks": outcomes[Applied.RECONCILIATION_BREAK],
        "contained": reference.counted["contained"],
        "outdated": reference.counted["outdated"],
        "restores": ledger.restores,
    }


def totals(ledger: Ledger, instruments: Sequence[InstrumentUnits]) -> tuple[Amounts, ...]:
    book = ledger.book
    lots = {units.symbol: Fraction(units.lot_size) for units in instruments}
    held = {s: lots[s] * book.lines[s].quantity for s in book.open}
    return held, whole(book.cash), whole(book.fees), whole(book.traded)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_after_every_report_the_book_is_what_fractions_say_crashes_or_not(seed: int) -> None:
    rng = random.Random(seed)
    stream = Venue(rng, random_instruments(rng, rng.randint(1, 4)), 20 * MS).stream(120)
    follow(stream.instruments, repeated(rng, arriving(rng, stream.reports), 0.05), rng)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.booleans())
def test_stated_positions_and_cash_have_their_place_among_executions(seed: int, start_flat: bool) -> None:
    rng = random.Random(seed)
    stream = Venue(rng, random_instruments(rng, rng.randint(1, 3)), 20 * MS).stream(50)
    rules = LedgerRules(start_flat=start_flat)
    follow(stream.instruments, repeated(rng, with_statements(rng, stream, 20), 0.05), rng, rules)


def test_stated_positions_hold_what_comes_late_and_say_nothing_of_what_is_newer() -> None:
    figures: Counter[str] = Counter()
    for seed in range(12):
        rng = random.Random(seed)
        stream = Venue(rng, random_instruments(rng, 2), 20 * MS).stream(60)
        said = with_statements(rng, stream, 25)
        figures += Counter(
            follow(stream.instruments, repeated(rng, arriving(rng, said, 300 * MS), 0.05), rng)
        )
    assert figures["contained"] > 20
    assert figures["outdated"] > 20


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_an_id_counts_anew_after_its_horizon(seed: int) -> None:
    rng = random.Random(seed)
    venue = Venue(rng, random_instruments(rng, 2), 20 * MS)
    fills = [report for report in venue.stream(80).reports if report.kind.endswith("fill")]
    reports = [rng.choice(fills[max(0, place - 30) : place + 1]) for place in range(len(fills))]
    rules = LedgerRules(start_flat=True, exec_horizon_ns=8_000)
    figures = follow(venue.instruments, reports, rng, rules)
    assert figures["duplicates"] < len(reports) - len({(r.account, r.symbol, r.exec_id) for r in reports})


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_whatever_the_order_the_book_ends_at_what_stands(seed: int) -> None:
    rng = random.Random(seed)
    stream = Venue(rng, random_instruments(rng, rng.randint(1, 4)), 20 * MS).stream(60)
    expected = standing_totals(stream.standing, stream.instruments)
    for reports in (
        stream.reports,
        repeated(rng, arriving(rng, stream.reports), 0.2),
        rng.sample(stream.reports, len(stream.reports)),
    ):
        ledger = Ledger(stream.instruments, LedgerRules(start_flat=True), NAME)
        for place, report in enumerate(reports):
            ledger.apply(report, report.ts_ns, START + place, key_of(report))
        assert totals(ledger, stream.instruments) == expected


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_a_price_finer_than_money_is_rounded_once_a_fill_and_never_adds_up_to_profit(seed: int) -> None:
    rng = random.Random(seed)
    stream = Venue(rng, random_instruments(rng, 2), 20 * MS).stream(40)
    fine = Decimal("1e-30")
    reports = [
        msgspec.structs.replace(
            each, last_price=FINE.add(each.last_price, rng.randint(1, 10**9) * fine), undoes=None
        )
        for each in stream.reports
        if each.kind.endswith("fill") and each.last_price is not None
    ]
    ledger = Ledger(stream.instruments, RULES, NAME)
    for place, report in enumerate(reports):
        ledger.apply(report, report.ts_ns, START + place, key_of(report))
        undo = msgspec.structs.replace(
            report, kind="bust", exec_id=f"{report.exec_id}.u", exec_ref_id=report.exec_id
        )
        if place % 2:
            ledger.apply(undo, undo.ts_ns, START + place, key_of(undo))
    kept = reports[::2]
    held, cash, fees, _ = totals(ledger, stream.instruments)
    expected = standing_totals(kept, stream.instruments)
    assert (held, fees) == (expected[0], expected[2])
    for currency in expected[1].keys() | cash.keys():
        off = cash.get(currency, Fraction(0)) - expected[1].get(currency, Fraction(0))
        assert abs(off) <= len(kept) * UNIT / 2


@pytest.mark.proof(
    "monitor/trading/books.py",
    "monitor/trading/ledger.py",
    "monitor/trading/position.py",
    "monitor/trading/executions.py",
    "monitor/trading/units.py",
)
def test_a_hundred_thousand_random_reports_equal_fractions(measured: dict[str, Any]) -> None:
    rng = random.Random(20)
    figures: Counter[str] = Counter()
    while figures["reports"] < 100_000:
        stream = Venue(rng, random_instruments(rng, rng.randint(1, 5)), 20 * MS).stream(5_000)
        reports = arriving(rng, with_statements(rng, stream, 200))
        reports = repeated(rng, reports, 0.05)
        figures.update(follow(stream.instruments, reports, rng))
    assert min(figures[name] for name in figures if name != "near") > 200
    measured.update(figures)
