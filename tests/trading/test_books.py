"""All books of a task on one set of marks: slicing, crashes and restarts cannot be seen in them."""

import random
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trading_cases import (
    FUTURE,
    INSTRUMENTS,
    LEVELS,
    MS,
    START,
    Market,
    cuts,
    fill,
    key_of,
    random_chain,
    random_market,
    report,
)

from monitor.errors import StateError
from monitor.trading import executions
from monitor.trading.books import BookRules, BookSet, BookView, PositionView, symbols_of
from monitor.trading.ledger import LedgerRules
from monitor.trading.marks import MarkRules
from monitor.trading.paper_rules import PaperRules
from monitor.trading.targets import Linear
from monitor.trading.trades import Capped, PaperOrder, Trade
from monitor.trading.units import InstrumentUnits, format_money
from monitor.wire.messages import ExecutionReport

ROLES = ["active", "shadow"]
RULES = BookRules(
    ledger=LedgerRules(start_flat=True, exec_horizon_ns=2_000 * MS, exec_limit=40),
    marks=MarkRules(),
    paper=PaperRules(
        quantity=Decimal(2),
        holding_ns=200 * MS,
        fee_bps=Decimal(2),
        slippage_bps=Decimal(1),
        half_spread_bps=Decimal("0.5"),
        share=Decimal("0.1"),
        max_turnover=Decimal(2_000_000),
        max_exposure=Decimal(400_000),
    ),
    targets={"shadow": Linear(scale=1.0)},
)
REAL, PAPER = "role=active,fills=real", "role=shadow,fills=paper"
Reports = list[tuple[ExecutionReport, int, int, int]]


def random_reports(rng: random.Random, market: Market) -> Reports:
    """Reports over the time of a market: many confirm what the market shows, some come twice."""
    chains = [random_chain(rng, f"x{i}", rng.choice(INSTRUMENTS)) for i in range(rng.randint(0, 25))]
    reports = [each for chain in chains for each in chain.reports]
    for i in range(8):
        units = rng.choice(INSTRUMENTS)
        level = Decimal(LEVELS[units.symbol]) * units.tick_size * rng.choice([1, 2, 10])
        reports.append(fill(f"y{i}", str(units.lot_size), str(level), units.symbol))
    reports.append(report("position", "p", "FGBL", quantity="-2.5", price="131.07"))
    reports += rng.choices(reports, k=4)
    rng.shuffle(reports)
    times = sorted(rng.choice(market.eff.tolist()) + rng.choice([0, 1]) for _ in reports)
    return [(each, at, at, key_of(each)) for each, at in zip(reports, times, strict=True)]


def fold(books: BookSet, market: Market, reports: Reports) -> None:
    place = {name: code for code, name in enumerate(u.symbol for u in INSTRUMENTS)}
    code = {place[s]: c for s, c in books._index.items() if s in place}
    symbol = np.array([code[s] for s in market.symbol.tolist()], np.int32)
    books.fold(
        symbol=symbol,
        eff=market.eff,
        bid=market.bid,
        ask=market.ask,
        price=market.price,
        predictions=market.predictions,
        volume=market.volume,
        reports=reports,
    )


def sliced(market: Market, reports: Reports, edges: list[tuple[int, int]]) -> list[tuple[Market, Reports]]:
    """Slices that keep the order: a report goes with the first slice whose successor starts after it."""
    parts: list[tuple[Market, Reports]] = []
    waiting = list(reports)
    for start, end in edges:
        limit = market.eff[end] if end < len(market) else None
        taken = [r for r in waiting if limit is None or r[1] < limit]
        waiting = waiting[len(taken) :]
        parts.append((market.cut(start, end), taken))
    assert not waiting
    return parts


def everything(books: BookSet) -> tuple[dict[str, BookView], object, object, object]:
    """All that can be seen of books, symbol order apart."""
    standing = {s: books.ledger.standing(s) for s in sorted(books.ledger.symbols)}
    papers = {k: v for k, v in books.records(dirty_only=False).items() if k.startswith("paper/")}
    return books.at(START), books.positions(), standing, papers


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_slicing_crashes_and_restarts_cannot_be_seen(seed: int) -> None:
    rng = random.Random(seed)
    market = random_market(rng, rng.randint(1, 80), INSTRUMENTS, ROLES)
    reports = random_reports(rng, market)
    whole = BookSet(INSTRUMENTS, ROLES, RULES)
    fold(whole, market, reports)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executions, "CHUNK", 5)
        stored: dict[str, bytes] = {}
        books = BookSet(INSTRUMENTS, ROLES, RULES)
        for part, some in sliced(market, reports, cuts(rng, len(market))):
            fold(books, part, some)
            if rng.random() < 0.7:
                for key, raw in books.records(dirty_only=True).items():
                    stored.pop(key, None)
                    if raw is not None:
                        stored[key] = raw
                books.mark_clean()
                assert books.records(dirty_only=True) == {}
                assert stored == {k: v for k, v in books.records(dirty_only=False).items() if v is not None}
                if rng.random() < 0.6:
                    shuffled = rng.sample(INSTRUMENTS, len(INSTRUMENTS))
                    books = BookSet(shuffled, ROLES, RULES)
                    books.restore(dict(rng.sample(sorted(stored.items()), len(stored))))
    assert everything(books) == everything(whole)


def test_equity_is_cash_plus_quantity_times_mark_times_multiplier() -> None:
    rng = random.Random(11)
    market = random_market(rng, 400, INSTRUMENTS, ROLES)
    books = BookSet(INSTRUMENTS, ROLES, RULES)
    fold(books, market, random_reports(rng, market))
    views, positions = books.at(START), books.positions()
    assert views.keys() == {REAL, "role=active,fills=paper", PAPER}
    by_symbol = {units.symbol: units for units in INSTRUMENTS}
    for key, view in views.items():
        assert positions[key]
        for currency in view.cash:
            expected = Fraction(format_money(view.cash[currency]))
            for symbol, held in positions[key].items():
                units = by_symbol[symbol]
                if units.currency == currency:
                    assert held.mark is not None
                    quantity = Fraction(units.format_quantity(held.quantity))
                    expected += (
                        quantity * Fraction(units.format_price(held.mark)) * Fraction(units.multiplier)
                    )
            assert Fraction(format_money(view.equity(currency))) == expected
        assert view.oldest_mark_ns == min(held.mark_ts_ns or 0 for held in positions[key].values())


def quote(books: BookSet, code: int, ms: int, price: float, *reports: ExecutionReport) -> None:
    one = {name: np.array([price]) for name in ("bid", "ask", "price")}
    eff = np.array([START + ms * MS])
    none = {role: np.array([np.nan]) for role in ROLES}
    books.fold(
        symbol=np.array([code], np.int32),
        eff=eff,
        **one,
        predictions=none,
        reports=[(r, int(eff[0]), int(eff[0]), key_of(r)) for r in reports],
    )


def report_only(books: BookSet, ms: int, *reports: ExecutionReport) -> None:
    none = np.zeros(0)
    books.fold(
        symbol=np.zeros(0, np.int32),
        eff=np.zeros(0, np.int64),
        bid=none,
        ask=none,
        price=none,
        predictions=dict.fromkeys(ROLES, none),
        reports=[(r, START + ms * MS, START + ms * MS, key_of(r)) for r in reports],
    )


def test_a_book_is_incomplete_while_an_open_position_has_no_mark() -> None:
    books = BookSet(INSTRUMENTS, ROLES, RULES)
    report_only(books, 0, fill("a", "2", "5000"))
    view = books.at(START)[REAL]
    assert (view.complete, view.oldest_mark_ns) == (False, None)
    assert books.positions()[REAL] == {"ES": PositionView(2, None, None)}
    quote(books, 1, 5, 5000.0)
    assert books.at(START)[REAL].complete
    assert books.at(START)[REAL].equity("USD") == 0


def test_the_real_book_is_incomplete_until_every_symbol_seen_was_stated() -> None:
    rules = BookRules(LedgerRules(), RULES.marks, RULES.paper)
    books = BookSet(INSTRUMENTS, ROLES, rules)
    assert books.at(START)[REAL].complete
    quote(books, 1, 0, 5000.0)
    assert not books.at(START)[REAL].complete
    assert books.at(START)[PAPER].complete
    report_only(books, 1, report("position", "p", quantity="0", price="0"))
    assert books.at(START)[REAL].complete
    report_only(books, 2, report("new", "q", "FGBL"))
    assert not books.at(START)[REAL].complete
    restored = BookSet(INSTRUMENTS, ROLES, rules)
    restored.restore({k: v for k, v in books.records(dirty_only=False).items() if v})
    assert not restored.at(START)[REAL].complete


@pytest.mark.parametrize("restarted", [False, True])
def test_a_position_stated_otherwise_is_neither_profit_nor_loss(*, restarted: bool) -> None:
    books = BookSet(INSTRUMENTS, ROLES, RULES)
    quote(books, 1, 0, 5000.0, fill("a", "2", "4990"))
    ours = 2 * 10 * 50 * 10**18

    def profit() -> int:
        view = books.at(START)[REAL]
        return view.equity("USD") - view.transfers.get("USD", 0)

    assert profit() == ours
    report_only(books, 5, report("position", "p", quantity="300", price="1"))
    report_only(books, 6, report("position", "q", quantity="299", price="2"))
    if restarted:
        stored = {k: v for k, v in books.records(dirty_only=False).items() if v}
        books = BookSet(INSTRUMENTS, ROLES, RULES)
        books.restore(stored)
    assert profit() == ours
    quote(books, 1, 10, 5001.0)
    assert profit() == ours + 299 * 50 * 10**18
    report_only(books, 15, report("position", "r", quantity="0", price="0"))
    assert profit() == ours + 299 * 50 * 10**18
    assert books.positions()[REAL] == {}


def test_what_a_statement_took_away_before_the_first_mark_makes_no_profit_when_it_comes() -> None:
    for held, expected in ((0, 0), (4, 4 * (50 - 100)), (14, 10 * (50 - 100))):
        books = BookSet(INSTRUMENTS, ROLES, RULES)
        report_only(books, 0, fill("a", "10", "100"))
        books.at(START)
        report_only(books, 1, report("position", "p", quantity=str(held), price="100"))
        books.at(START)
        quote(books, 1, 10, 50.0)
        view = books.at(START)[REAL]
        assert view.equity("USD") - view.transfers.get("USD", 0) == expected * 50 * 10**18
        assert view.complete


def test_a_fill_confirms_a_pending_mark_between_two_rows_of_a_slice() -> None:
    books = BookSet(INSTRUMENTS, ROLES, RULES)
    quote(books, 1, 0, 5000.0)
    quote(books, 1, 10, 5200.0)
    quote(books, 1, 20, 5200.0, fill("a", "1", "5201"))
    assert books.positions()[REAL]["ES"] == PositionView(1, 2 * 5200 * 4, START + 20 * MS)


def test_a_fill_comes_after_the_rows_of_its_own_instant() -> None:
    books = BookSet(INSTRUMENTS, ROLES, RULES)
    quote(books, 1, 0, 5000.0)
    quote(books, 1, 10, 5200.0, fill("a", "1", "5201"))
    assert books.positions()[REAL]["ES"] == PositionView(1, 2 * 5200 * 4, START + 10 * MS)


def test_a_mark_that_a_fill_alone_confirmed_is_stored() -> None:
    books = BookSet(INSTRUMENTS, ROLES, RULES)
    quote(books, 1, 0, 5000.0)
    quote(books, 1, 10, 5200.0)
    books.mark_clean()
    report_only(books, 11, fill("a", "1", "5201"))
    assert "marks/ES" in books.records(dirty_only=True)


def test_symbols_may_appear_while_running() -> None:
    books = BookSet(INSTRUMENTS[:1], ROLES, RULES)
    quote(books, 0, 0, 65000.0)
    books.extend(INSTRUMENTS[1:])
    quote(books, 1, 1, 5000.0, fill("a", "1", "5000"))
    assert books.positions()[REAL]["ES"].quantity == 1


def test_restoring_needs_the_instruments_of_all_records() -> None:
    slashed = InstrumentUnits.of("A/B/C", Decimal(1), Decimal(1), Decimal(1), "USD")
    books = BookSet([slashed, FUTURE], ROLES, RULES)
    quote(books, 0, 0, 100.0, fill("a", "1", "100", "A/B/C"))
    stored = {k: v for k, v in books.records(dirty_only=False).items() if v}
    assert symbols_of(stored) == {"A/B/C"}
    with pytest.raises(StateError, match="A/B/C"):
        BookSet([FUTURE], ROLES, RULES).restore(stored)
    for key in stored:
        with pytest.raises(StateError):
            BookSet([slashed], ROLES, RULES).restore({**stored, key: b"\xc1"})


def test_the_gap_is_what_paper_holds_beside_the_real_book_at_the_marks() -> None:
    rules = BookRules(RULES.ledger, RULES.marks, PaperRules(Decimal(2), latency_ns=0, holding_ns=0))
    books = BookSet(INSTRUMENTS, ROLES, rules)
    for code, price, wish in ((1, 5000.0, 1.0), (2, 130.0, -1.0)):
        books.fold(
            symbol=np.array([code], np.int32),
            eff=np.array([START]),
            **{name: np.array([price]) for name in ("bid", "ask", "price")},
            predictions={"active": np.array([wish]), "shadow": np.array([np.nan])},
        )
    report_only(
        books, 1, fill("a", "-1", "5000"), fill("b", "-2", "130", "FGBL"), fill("c", "1", "65000", "BTC/USD")
    )
    views = books.at(START)
    es, bund = 5000 * 50 * 10**18, 130 * 1000 * 10**18
    assert views[REAL].gap == {}
    assert views["role=active,fills=paper"].gap == {"USD": 3 * es}
    assert views[PAPER].gap == {"EUR": 2 * bund, "USD": es}


def test_a_slice_tells_trades_of_all_books_and_paper_orders_that_ended() -> None:
    rules = BookRules(
        RULES.ledger,
        RULES.marks,
        PaperRules(Decimal(2), latency_ns=0, fee_bps=Decimal(1)),
        {"shadow": Linear(2.0)},
    )
    books = BookSet(INSTRUMENTS, ROLES, rules)
    told = books.fold(
        symbol=np.array([1], np.int32),
        eff=np.array([START]),
        **{name: np.array([5000.0]) for name in ("bid", "ask", "price")},
        predictions={"active": np.array([-1.0]), "shadow": np.array([1.0])},
        reports=[
            (each, START, START, key_of(each))
            for each in (
                fill("a", "3", "5001", fee="2.5"),
                fill("b", "1", "130", "FGBL", fee="1", fee_currency="USD"),
            )
        ],
    )
    lot = 5000 * 50 * 10**18
    assert books.names == (REAL, "role=active,fills=paper", PAPER)
    assert told.trades == [
        Trade(0, 1, START, 3, 3 * 5001 * 50 * 10**18, 25 * 10**17),
        Trade(0, 2, START, 2, 130 * 1000 * 10**18, 0),
        Trade(1, 1, START, -2, -2 * lot, 2 * lot // 10_000),
        Trade(2, 1, START, 1, lot, lot // 10_000),
    ]
    assert told.ended == [PaperOrder(1, 1, START, 2, 2, Capped(0)), PaperOrder(2, 1, START, 1, 1, Capped(0))]
