"""Paper books equal a broker that goes row by row in fractions, however the rows are sliced."""

import math
import random
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trading_cases import (
    BTC,
    FUTURE,
    INSTRUMENTS,
    MS,
    START,
    Market,
    SlowMarks,
    SlowPaper,
    cuts,
    random_market,
)

from monitor.trading.marks import MarkRules, Marks
from monitor.trading.paper import PaperBook
from monitor.trading.paper_rules import HOUR_NS, PaperRules
from monitor.trading.targets import Linear, Quantile, Sign, Target
from monitor.trading.trades import Capped, PaperOrder, Trade

NAN = float("nan")
MARKS = MarkRules(band_bps=Decimal(50), max_spread_bps=Decimal(20))
INF = float("inf")


def random_rules(rng: random.Random) -> PaperRules:
    return PaperRules(
        quantity=rng.choice([Decimal(1), Decimal(3), Decimal(7)]),
        holding_ns=rng.choice([0, 1, 200 * MS, 1000 * MS]),
        latency_ns=rng.choice([0, 1, 50 * MS, 500 * MS]),
        slippage_bps=rng.choice([Decimal(0), Decimal("0.7"), Decimal(3)]),
        fee_bps=rng.choice([Decimal(0), Decimal(2), Decimal("-0.3"), Decimal("0.0000000000001")]),
        half_spread_bps=rng.choice([Decimal(0), Decimal("1.3")]),
        share=rng.choice([None, Decimal("0.1"), Decimal("0.333")]),
        max_exposure=rng.choice([None, None, Decimal(300_000), Decimal("700000.01")]),
        max_turnover=rng.choice([None, None, Decimal(600_000), Decimal(5_000_000)]),
    )


def random_target(rng: random.Random) -> Target:
    threshold, neutral = rng.choice([0.0, 0.4, 0.5]), rng.choice([0.0, 0.5])
    return rng.choice(
        [Sign(threshold, neutral), Linear(rng.choice([0.7, 3.0]), threshold, neutral), Quantile(-0.5, 0.5)]
    )


def by_definition(market: Market, rules: PaperRules, target: Target) -> SlowPaper:
    marks, slow = SlowMarks(INSTRUMENTS, MARKS), SlowPaper(INSTRUMENTS, rules, target)
    for row in range(len(market)):
        columns = (market.symbol, market.eff, market.bid, market.ask, market.price, market.volume)
        code, ts, bid, ask, price, volume = (column[row].item() for column in columns)
        bare = math.isnan(bid) and math.isnan(ask)
        sides = marks.quote(code, ts, bid, ask, price)
        slow.row(code, ts, sides, market.predictions["active"][row].item(), bare=bare, volume=volume)
    return slow


def units_of(code: int, lots: int) -> Fraction:
    return Fraction(INSTRUMENTS[code].lot_size) * lots


def money(amount: int) -> Fraction:
    return Fraction(amount, 10**18)


@given(st.integers(0, 2**32))
def test_a_paper_book_equals_its_definition_however_the_rows_are_sliced(seed: int) -> None:
    rng = random.Random(seed)
    rules, target = random_rules(rng), random_target(rng)
    market = random_market(rng, rng.randint(1, 150), INSTRUMENTS, ["active"])
    slow = by_definition(market, rules, target)
    for slices in ([(0, len(market))], cuts(rng, len(market)), [(i, i + 1) for i in range(len(market))]):
        quotes, paper = Marks(INSTRUMENTS, MARKS), PaperBook(INSTRUMENTS, rules, "active", 4, target)
        trades: list[Trade] = []
        ended: list[PaperOrder] = []
        for start, end in slices:
            part = market.cut(start, end)
            seen = quotes.update(part.symbol, part.eff, part.bid, part.ask, part.price)
            some, gone = paper.fold(seen, part.predictions["active"], part.volume)
            trades, ended = trades + some, ended + gone
            if rng.random() < 0.3:
                stored = paper.records(dirty_only=False)
                paper = PaperBook(INSTRUMENTS, rules, "active", 4, target)
                paper.restore({key: raw for key, raw in stored.items() if raw is not None})
                assert paper.records(dirty_only=False) == stored
        for code, units in enumerate(INSTRUMENTS):
            assert units_of(code, paper.book.quantity(units.symbol)) == slow.quantity[code]
        assert {c: money(x) for c, x in paper.book.cash.items()} == slow.cash
        assert {each.book for each in (*trades, *ended)} <= {4}
        assert sorted(
            (t.symbol, t.eff_ns, units_of(t.symbol, t.lots), money(t.paid), money(t.fee)) for t in trades
        ) == sorted(slow.trades)
        assert sorted(
            (e.symbol, e.eff_ns, units_of(e.symbol, e.ordered), units_of(e.symbol, e.filled), e.capped)
            for e in ended
        ) == sorted(slow.ended)


def test_random_markets_trade_enough_to_prove_something() -> None:
    market = random_market(random.Random(5), 2000, INSTRUMENTS, ["active"])
    slow = by_definition(market, PaperRules(quantity=Decimal(1), holding_ns=200 * MS), Sign())
    assert len(slow.trades) > 200
    capped = PaperRules(
        Decimal(7), 200 * MS, share=Decimal("0.1"), max_exposure=Decimal(300_000), max_turnover=Decimal(10**6)
    )
    slow = by_definition(market, capped, Linear(1.0))
    assert {flag for *_, flags in slow.ended for flag in Capped(flags)} == set(Capped)
    assert any(0 < filled < ordered for _, _, ordered, filled, _ in slow.ended)


def run(rules: PaperRules, *rows: tuple[float, ...], target: Target = Sign()) -> list[int]:  # noqa: B008
    """Rows (ms, bid, ask, prediction, and perhaps volume) of one future; lots held after each."""
    marks, paper = Marks([FUTURE], MARKS), PaperBook([FUTURE], rules, "shadow", 1, target)
    held = []
    for ms, bid, ask, prediction, *volume in rows:
        one = [np.array([x]) for x in (START + int(ms * MS), bid, ask, NAN)]
        quotes = marks.update(np.zeros(1, np.int32), *one)
        paper.fold(quotes, np.array([prediction]), np.array(volume) if volume else None)
        held.append(paper.book.quantity("ES"))
    return held


def ended_after(
    rules: PaperRules, *rows: tuple[float, ...], start: int = START
) -> list[tuple[int, int, int]]:
    """(ordered, filled, capped) of the paper orders of one future that ended."""
    marks, paper = Marks([FUTURE], MARKS), PaperBook([FUTURE], rules, "shadow")
    found = []
    for ms, bid, ask, prediction, volume in rows:
        one = [np.array([x]) for x in (start + int(ms * MS), bid, ask, NAN)]
        quotes = marks.update(np.zeros(1, np.int32), *one)
        _, ended = paper.fold(quotes, np.array([prediction]), np.array([volume]))
        found += [(each.ordered, each.filled, each.capped) for each in ended]
    return found


def test_an_order_fills_on_the_first_good_quote_after_the_latency() -> None:
    rules = PaperRules(quantity=Decimal(2), latency_ns=50 * MS, holding_ns=0)
    rows = [
        (0, 5000, 5000.25, 1.0),
        (49, 5000, 5000.25, NAN),
        (50, 5000, 4990, NAN),
        (60, 7000, 7000.25, NAN),
    ]
    assert run(rules, *rows, (70, 5000, 5000.25, NAN)) == [0, 0, 0, 0, 2]


def test_a_position_is_held_for_the_holding_time_from_its_fill() -> None:
    rules = PaperRules(quantity=Decimal(2), latency_ns=0, holding_ns=1000 * MS)
    rows = [(ms, 5000, 5000.25, sign) for ms, sign in ((0, 1.0), (999, -1.0), (1000, -1.0), (1001, 1.0))]
    assert run(rules, *rows) == [2, 2, -2, -2]


def test_no_prediction_is_no_decision_and_a_weak_one_is_flat() -> None:
    rules = PaperRules(quantity=Decimal(1), latency_ns=0, holding_ns=0)
    rows = [(ms, 5000, 5000.25, p) for ms, p in enumerate((0.5, 0.6, NAN, -0.5, -0.6))]
    assert run(rules, *rows, target=Sign(threshold=0.5)) == [0, 1, 1, 0, -1]


def test_a_probability_wants_no_position_at_one_half() -> None:
    rules = PaperRules(quantity=Decimal(2), latency_ns=0, holding_ns=0)
    rows = [(ms, 5000, 5000.25, p) for ms, p in enumerate((0.5, 0.51, 0.1, 0.5))]
    assert run(rules, *rows, target=Sign(neutral=0.5)) == [0, 2, -2, 0]


def test_a_linear_target_is_rounded_half_even_to_lots() -> None:
    rules = PaperRules(quantity=Decimal(5), latency_ns=0, holding_ns=0)
    rows = [(ms, 5000, 5000.25, p) for ms, p in enumerate((0.2, 0.6, -0.2, 0.24, 9.0, -9.0))]
    assert run(rules, *rows, target=Linear(scale=2.0)) == [0, 2, 0, 1, 5, -5]


def test_a_quantile_target_is_flat_between_its_quantiles() -> None:
    rules = PaperRules(quantity=Decimal(1), latency_ns=0, holding_ns=0)
    rows = [(ms, 5000, 5000.25, p) for ms, p in enumerate((0.2, 0.31, 0.3, 0.1, 0.05))]
    assert run(rules, *rows, target=Quantile(lower=0.1, upper=0.3)) == [0, 1, 0, 0, -1]


def test_a_fill_takes_at_most_its_share_of_the_volume_and_the_rest_fills_on_later_quotes() -> None:
    rules = PaperRules(quantity=Decimal(5), latency_ns=0, holding_ns=0, share=Decimal("0.1"))
    shown = [20.0, NAN, 0.0, -3.0, INF, 9.99, 10.0, 1e9, 1e9]
    rows = [(ms, 5000, 5000.25, 1.0, volume) for ms, volume in enumerate(shown)]
    assert run(rules, *rows) == [2, 2, 2, 2, 2, 2, 3, 5, 5]
    assert ended_after(rules, *rows) == [(5, 5, Capped.PARTICIPATION)]


def test_a_newer_decision_ends_an_order_that_is_partly_filled() -> None:
    rules = PaperRules(quantity=Decimal(5), latency_ns=0, holding_ns=2 * MS, share=Decimal("0.1"))
    rows = [(0, 5000, 5000.25, 1.0, 20.0), (1, 5000, 5000.25, -1.0, NAN), (2, 5000, 5000.25, -1.0, NAN)]
    last = (3, 5000, 5000.25, NAN, 1e6)
    assert run(rules, *rows, last) == [2, 2, 2, -5]
    assert ended_after(rules, *rows, last) == [(5, 2, Capped.PARTICIPATION), (7, 7, 0)]


def test_an_order_on_its_way_cannot_be_replaced_and_one_that_found_no_quote_can() -> None:
    rules = PaperRules(quantity=Decimal(5), latency_ns=10 * MS, holding_ns=0)
    rows = [
        (0, 5000, 5000.25, 1.0, NAN),
        (9, 5000, 5000.25, -1.0, NAN),
        (10, 5000, 4990, -1.0, NAN),
        (20, 5000, 5000.25, NAN, NAN),
    ]
    assert ended_after(rules, *rows) == [(5, 0, 0), (5, 5, 0)]
    assert run(rules, *(row[:4] for row in rows)) == [0, 0, 0, -5]


def test_a_wish_for_what_is_held_takes_the_order_back() -> None:
    rules = PaperRules(quantity=Decimal(5), latency_ns=0, holding_ns=0, share=Decimal("0.1"))
    rows = [(0, 5000, 5000.25, 1.0, NAN), (1, 5000, 5000.25, 0.0, NAN), (2, 5000, 5000.25, NAN, 1e9)]
    assert ended_after(rules, *rows) == [(5, 0, 0)]


def test_exposure_is_capped_at_the_mid_and_reductions_are_not() -> None:
    # One lot is worth 5000.125 x 50 at the mid.
    rules = PaperRules(quantity=Decimal(3), latency_ns=0, holding_ns=0, max_exposure=Decimal("500012.50"))
    rows = [(ms, 5000, 5000.25, p, NAN) for ms, p in enumerate((1.0, 0.0, -1.0))]
    assert run(rules, *(row[:4] for row in rows)) == [2, 0, -2]
    assert ended_after(rules, *rows) == [
        (2, 2, Capped.EXPOSURE),
        (2, 2, 0),
        (2, 2, Capped.EXPOSURE),
    ]


def test_an_order_that_caps_leave_nothing_of_is_counted_and_tried_again_after_the_holding_time() -> None:
    rules = PaperRules(Decimal(1), latency_ns=0, holding_ns=10 * MS, max_exposure=Decimal(1000))
    rows = [(ms, 5000, 5000.25, 1.0, NAN) for ms in (0, 5, 9, 10, 15)]
    assert ended_after(rules, *rows) == [(0, 0, Capped.EXPOSURE)] * 2


def test_turnover_is_capped_by_the_hour_of_the_utc_clock() -> None:
    # A lot costs 250,000 at the bid and 250,012.50 at the ask.
    rules = PaperRules(Decimal(1), latency_ns=0, holding_ns=0, max_turnover=Decimal("750012.50"))
    start = START - START % HOUR_NS + HOUR_NS - 3 * MS
    rows = [(ms, 5000, 5000.25, p, NAN) for ms, p in enumerate((1.0, -1.0, 1.0, 1.0))]
    assert ended_after(rules, *rows, start=start) == [
        (1, 1, 0),
        (2, 2, 0),
        (0, 0, Capped.TURNOVER),
        (2, 2, 0),
    ]


def test_a_row_with_a_price_alone_fills_half_a_spread_away_from_it() -> None:
    rules = PaperRules(Decimal(1), latency_ns=0, holding_ns=0, half_spread_bps=Decimal(2))
    marks, paper = Marks([FUTURE], MARKS), PaperBook([FUTURE], rules, "shadow")
    for at, sign in enumerate((1.0, -1.0)):
        one = [np.array([x]) for x in (START + at, NAN, NAN, 5000.0)]
        paper.fold(marks.update(np.zeros(1, np.int32), *one), np.array([sign]))
    assert paper.book.cash == {"USD": (-5001 + 2 * 4999) * 50 * 10**18}


def test_holding_begins_with_the_first_fill_of_an_order() -> None:
    rules = PaperRules(quantity=Decimal(3), latency_ns=0, holding_ns=10 * MS, share=Decimal("0.1"))
    rows = [(ms, 5000, 5000.25, 1.0 if ms < 10 else -1.0, 10.0) for ms in (0, 4, 9, 10, 11)]
    assert run(rules, *rows) == [1, 2, 3, 2, 1]


def test_buys_at_the_ask_sells_at_the_bid_and_rounds_costs_against_the_book() -> None:
    rules = PaperRules(
        quantity=Decimal(1), latency_ns=0, holding_ns=0, slippage_bps=Decimal(1), fee_bps=Decimal("1e-20")
    )
    marks, paper = Marks([FUTURE], MARKS), PaperBook([FUTURE], rules, "shadow")
    one = [np.array([x]) for x in (START, 5000.0, 5000.25, NAN)]
    paper.fold(marks.update(np.zeros(1, np.int32), *one), np.array([1.0]))
    paid = 5000_25 * 50 * 10**16
    paper.fold(marks.update(np.zeros(1, np.int32), *one), np.array([-1.0]))
    received = 2 * 5000 * 50 * 10**18
    assert paper.book.cash == {"USD": -paid - paid // 10_000 - 1 + received - received // 10_000 - 1}
    assert paper.book.fees == {"USD": 2}


def test_a_quantity_that_is_no_multiple_of_a_lot_is_refused() -> None:
    with pytest.raises(ValueError, match="not a multiple of lot_size"):
        PaperBook([FUTURE], PaperRules(quantity=Decimal("0.1")), "active")


def test_more_lots_than_a_float_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 2\\^53 lots"):
        PaperBook([BTC], PaperRules(quantity=Decimal(10**8)), "active")
