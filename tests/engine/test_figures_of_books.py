"""Figures of one book against cases worked by hand; conversion of currencies; the benchmark."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from book_cases import DAY, HOUR, MINUTE, NEW_YORK, REAL, S, figure, holding, made, ns, take
from engine_cases import keep
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine.books.rates import Rates, pairs_to
from monitor.engine.partials import BookState, Mark, Money
from monitor.stats.estimate import Status
from monitor.trading.units import divide_half_even

MONDAY = ns("2026-03-02T00:00:00+00:00")
HALF = {"EURUSD": (1, 20_000), "USDJPY": (1, 200), "GBPUSD": (1, 20_000)}
PAIRS = pairs_to("USD", {s: s for s in HALF}, HALF)


def test_profit_before_costs_is_that_after_costs_and_the_fees_of_the_window():
    books = made()
    take(books, MONDAY, {REAL: holding(-3, fees=3)})
    take(books, MONDAY + MINUTE, {REAL: holding(40, fees=8)})
    assert figure(books, "pnl_after_costs", HOUR, MONDAY + MINUTE).value == 40
    assert figure(books, "pnl", HOUR, MONDAY + MINUTE).value == 48
    take(books, MONDAY + 2 * HOUR, {REAL: holding(41, fees=6)})
    take(books, MONDAY + 2 * HOUR + MINUTE, {REAL: holding(41, fees=5)})
    assert figure(books, "pnl", HOUR, MONDAY + 2 * HOUR + MINUTE).value == -1, "a rebate"


def test_exposures_are_of_now_and_long_less_short():
    books = made()
    take(books, MONDAY, {REAL: holding(10, -4, gross=20)})
    assert figure(books, "gross_exposure", 0, MONDAY).value == 20
    assert figure(books, "net_exposure", 0, MONDAY).value == -4


def test_a_full_swap_is_a_turnover_of_two_and_an_empty_book_has_none():
    books = made()
    take(books, MONDAY, {REAL: holding(0, 100)})
    take(books, MONDAY + MINUTE, {REAL: holding(0, 100, traded=200)})
    at = MONDAY + 3 * MINUTE
    take(books, at, {REAL: holding(0, 100, traded=200)})
    found = figure(books, "turnover", HOUR, at)
    # Four instants: the empty one before the first rows counts too.
    assert found.value == 200 / (300 / 4)
    assert found.extra["notional"] == "0.0000000000000002"
    assert found.extra["per_hour"] == "0.000000000000003"
    empty = made()
    take(empty, MONDAY, {REAL: holding(0)})
    assert figure(empty, "turnover", HOUR, MONDAY).status is Status.INSUFFICIENT


def test_a_round_trip_at_zero_is_neither_won_nor_lost():
    books = made()
    take(books, MONDAY, {REAL: holding(0, trips=(4, 2, 1))})
    take(books, MONDAY + 2 * HOUR, {REAL: holding(0, trips=(4, 2, 1))})
    take(books, MONDAY + 2 * HOUR + MINUTE, {REAL: holding(0, trips=(10, 5, 2))})
    at = MONDAY + 2 * HOUR + MINUTE
    found = figure(books, "win_rate", HOUR, at)
    assert (found.value, found.n, found.extra) == (3 / 4, 4, {"ended": 6, "zero": 2})
    assert found.low < 0.75 < found.high
    take(books, at + 3 * HOUR, {REAL: holding(0, trips=(11, 5, 2))})
    take(books, at + 3 * HOUR + MINUTE, {REAL: holding(0, trips=(12, 5, 2))})
    assert figure(books, "win_rate", HOUR, at + 3 * HOUR + MINUTE).status is Status.INSUFFICIENT


def test_a_session_freezes_at_its_close_and_the_next_begins_with_what_stood_at_its_open():
    friday = NEW_YORK.next_session(ns("2026-03-06T00:00:00+00:00"))
    monday = NEW_YORK.next_session(friday.end_ns)
    books, store = made(windows_ns=(HOUR,), calendar=NEW_YORK), {}
    for at, profit in (
        (friday.start_ns - MINUTE, 5),
        (friday.start_ns, 10),
        (friday.start_ns + HOUR, 90),
        (friday.end_ns, 30),
        (friday.end_ns + HOUR, 1_000),
    ):
        take(books, at, {REAL: holding(profit)})
        keep(store, books.records())
    books = made(windows_ns=(HOUR,), calendar=NEW_YORK)
    books.restore(store)
    for at in (friday.end_ns + 2 * HOUR, monday.start_ns - MINUTE, monday.start_ns):
        take(books, at)
        found = figure(books, "pnl_after_costs", "session", at)
        assert (found.value, found.from_ns, found.to_ns) == (20, friday.start_ns, friday.end_ns)
        assert found.status is Status.OK
        assert figure(books, "drawdown", "session", at).value == 60 / 1_080
    take(books, monday.start_ns + MINUTE, {REAL: holding(1_007)})
    found = figure(books, "pnl_after_costs", "session", monday.start_ns + MINUTE)
    assert (found.value, found.from_ns) == (7, monday.start_ns)


def test_what_is_kept_of_a_session_before_another_configuration_does_not_leak_into_the_next():
    books, store = made(), {}
    for minute in range(3):
        take(books, MONDAY + (minute + 1) * MINUTE, {REAL: holding(100 * minute)})
        keep(store, books.records())
    held = {key: data for key, data in store.items() if REAL in key}
    for later, expected in ((MONDAY + HOUR, 250), (MONDAY + DAY + HOUR, 50)):
        again = made()
        again.restore(held)
        take(again, later)
        take(again, later + MINUTE, {REAL: holding(250)})
        found = figure(again, "pnl_after_costs", "session", later + MINUTE)
        assert found.value == expected


def test_a_book_that_only_loses_is_in_drawdown_from_its_first_loss_on():
    books = made()
    take(books, MONDAY + MINUTE, {REAL: holding(-20)})
    assert figure(books, "drawdown", "session", MONDAY + MINUTE).value == 0.02


def foreign(**amounts: tuple[int, ...]) -> BookState:
    """cash, value, transfers, fees, traded, gross by currency."""
    money = {currency: Money(*(str(a) for a in of)) for currency, of in amounts.items()}
    return BookState(money, True, 0, {})


def eurusd(price: float, ts: int) -> dict[str, Mark]:
    return {"EURUSD": Mark(round(price * 20_000), ts, False)}


def test_a_missing_rate_is_unknown_a_stale_one_is_stale_and_never_is_it_one():
    books = made(pairs=PAIRS, staleness_ns=10 * S)
    take(books, MONDAY, {REAL: foreign(USD=(5,), EUR=(100, 20))})
    found = figure(books, "equity", 0, MONDAY)
    assert (found.value, found.status, found.stale) == (None, Status.UNKNOWN, False)
    at = MONDAY + MINUTE
    take(books, at, marks=eurusd(1.25, at))
    assert figure(books, "equity", 0, at).value == 5 + 125 + 25
    assert figure(books, "equity", 0, at).status is Status.OK
    take(books, at + MINUTE)
    found = figure(books, "equity", 0, at + MINUTE)
    assert (found.value, found.status, found.stale) == (155, Status.UNKNOWN, True)
    take(books, at + 2 * MINUTE, marks=eurusd(-1.25, at + 2 * MINUTE))
    assert figure(books, "equity", 0, at + 2 * MINUTE).value is None, "no price of money is negative"


def test_nothing_in_a_currency_needs_no_rate_of_it():
    books = made(pairs=PAIRS)
    take(books, MONDAY, {REAL: foreign(USD=(5,), EUR=(0, 0), CHF=(0,))})
    assert figure(books, "equity", 0, MONDAY).value == 5
    take(books, MONDAY + S, {REAL: foreign(USD=(5,), CHF=(1,))})
    assert figure(books, "equity", 0, MONDAY + S).value is None


def test_an_inverse_pair_serves_and_amounts_are_rounded_half_even_once():
    rates = Rates("USD", PAIRS)
    rates.take({"USDJPY": Mark(15_000 * 2, MONDAY, False), "EURUSD": Mark(25_000, MONDAY, False)})
    assert rates.of("JPY").convert(30_000) == 200
    assert [rates.of("EUR").convert(money) for money in (2, 6, -2, 3)] == [2, 8, -2, 4]
    assert rates.of("GBP") is None
    assert rates.of("XXX") is None
    assert rates.of("USD").convert(7) == 7
    both = pairs_to("USD", {"EURUSD": "A", "USDEUR": "B"}, {"A": (1, 2), "B": (1, 2)})
    assert both["EUR"].symbol == "A"


def test_what_flowed_keeps_the_rate_of_its_time_and_what_is_held_has_that_of_now():
    books = made(pairs=PAIRS)
    take(books, MONDAY, {REAL: foreign(EUR=(0, 0))}, eurusd(1.0, MONDAY))
    at = MONDAY + S
    take(books, at, {REAL: foreign(EUR=(90, 0, 100, 10, 1_000, 0))}, eurusd(1.0, at))
    assert figure(books, "pnl_after_costs", HOUR, at).value == -10
    at += S
    take(books, at, {REAL: foreign(EUR=(80, 0, 100, 20, 2_000, 0))}, eurusd(2.0, at))
    standing = books.standing(REAL)
    assert (standing.cash, standing.transfers, standing.fees, standing.traded) == (160, 100, 30, 3_000)
    assert figure(books, "pnl", HOUR, at).value == 60 + 30


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_equity_in_three_currencies_is_that_of_fractions_for_any_number_of_tasks_and_restarts(seed):
    rng = np.random.default_rng(seed)
    make = {"pairs": PAIRS, "staleness_ns": 3 * S, "tick_ns": S}
    one, many, store = made(**make), made(**make), {}
    held = {task: {} for task in range(3)}
    prices = {}
    for at in range(MONDAY, MONDAY + 60 * S, S):
        for symbol in HALF:
            if rng.random() < 0.4:
                prices[symbol] = Mark(int(rng.integers(1, 10**6)), at, False)
        for said in held.values():
            if rng.random() < 0.5:
                currency = str(rng.choice(["USD", "EUR", "JPY", "GBP"]))
                said[currency] = tuple(int(x) for x in rng.integers(-(10**15), 10**15, 6))
        sums = {
            c: tuple(sum(h.get(c, (0,) * 6)[k] for h in held.values()) for k in range(6))
            for c in ("USD", "EUR", "JPY", "GBP")
        }
        missing = bool(rng.random() < 0.1)
        take(one, at, {REAL: foreign(**sums)}, prices, missing=missing)
        for task, of in held.items():
            many.fold(task, {REAL: foreign(**of)}, prices if task == 1 else {})
        many.take(at, missing=missing)
        keep(store, many.records())
        if rng.random() < 0.1:
            many = made(**make)
            many.restore(store)
            many.take(at + 1, missing=missing)
            keep(store, many.records())
            one.take(at + 1, missing=missing)
        assert one.standing(REAL) == many.standing(REAL)
        worth, known = 0, True
        for currency, of in sums.items():
            symbol = {"EUR": "EURUSD", "JPY": "USDJPY", "GBP": "GBPUSD"}.get(currency)
            rate = Fraction(1)
            if symbol is not None and any(of):
                if symbol not in prices:
                    known = False
                    continue
                rate = Fraction(prices[symbol].half_ticks * HALF[symbol][0], HALF[symbol][1])
                rate = 1 / rate if symbol == "USDJPY" else rate
            for amount in of[:2]:
                exact = rate * amount
                worth += divide_half_even(exact.numerator, exact.denominator)
        standing = one.standing(REAL)
        if known:
            assert standing.equity == worth
        assert standing.readable == known
        if known and missing:
            assert standing.stale


def marks(at: int, **prices: int) -> dict[str, Mark]:
    return {symbol: Mark(price, at, True) for symbol, price in prices.items()}


def test_the_benchmark_holds_equal_shares_and_is_rebalanced_only_when_a_symbol_joins():
    books = made(capital=1_001)
    take(books, MONDAY, {REAL: holding(0)})
    assert books.benchmark.worth == 1_001
    take(books, MONDAY + S, marks=marks(MONDAY + S, A=100))
    take(books, MONDAY + 2 * S, marks=marks(MONDAY + 2 * S, A=200))
    assert books.benchmark.worth == 2_002
    take(books, MONDAY + 3 * S, marks=marks(MONDAY + 3 * S, B=10))
    take(books, MONDAY + 4 * S, {REAL: holding(9)}, marks(MONDAY + 4 * S, A=100, B=40))
    assert books.benchmark.worth == 500 + 4 * 1_001, "1,001 / 2 is rounded half even"
    found = figure(books, "pnl_vs_benchmark", HOUR, MONDAY + 4 * S)
    assert found.value == 9 - (books.benchmark.worth - 1_001)
    assert found.status is Status.OK
    take(books, MONDAY + MINUTE, marks=marks(MONDAY + MINUTE, A=100))
    found = figure(books, "pnl_vs_benchmark", HOUR, MONDAY + MINUTE)
    assert (found.status, found.stale) == (Status.UNKNOWN, True), "the mark of B is old"
    take(books, MONDAY + MINUTE + S, marks={"C": Mark(0, 0, True), **marks(MONDAY + MINUTE, B=40)})
    assert figure(books, "pnl_vs_benchmark", HOUR, MONDAY + MINUTE + S).status is Status.UNKNOWN
    assert figure(made(capital=None), "pnl_vs_benchmark", HOUR, 0).status is Status.NOT_APPLICABLE


def test_a_named_benchmark_ignores_what_is_traded_and_converts_its_currency():
    books = made(capital=1_000, benchmark="DAX", pairs=PAIRS, currency_of=lambda s: "EUR")
    at = MONDAY
    take(books, at, {REAL: holding(0)}, {**marks(at, A=7), "DAX": Mark(100, at, False), **eurusd(1.0, at)})
    take(books, at + S, marks={"DAX": Mark(110, at + S, False), **eurusd(1.2, at + S)})
    assert books.benchmark.worth == round(1_000 * 1.1 * 1.2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_benchmark_is_that_of_its_definition_and_survives_restarts(seed):
    rng = np.random.default_rng(seed)
    books, store, capital = made(tick_ns=S), {}, 1_000
    held: dict[str, tuple[int, int]] = {}
    cash, prices = capital, {}
    for at in range(MONDAY, MONDAY + 80 * S, S):
        fresh = {}
        for symbol in "ABCD":
            if rng.random() < (0.05 if symbol not in prices else 0.4):
                fresh[symbol] = prices[symbol] = int(rng.integers(1, 1_000))
        take(books, at, {REAL: holding(0)}, marks(at, **fresh))
        worth = cash + sum(divide_half_even(m * prices[s], p) for s, (m, p) in held.items())
        if prices.keys() - held.keys():
            share = worth // len(prices)
            held = {s: (share, prices[s]) for s in sorted(prices)}
            cash = worth - share * len(held)
        assert books.benchmark.worth == worth
        keep(store, books.records())
        if rng.random() < 0.1:
            books = made(tick_ns=S)
            books.restore(store)
