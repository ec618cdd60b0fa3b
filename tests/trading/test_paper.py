"""Paper books equal a broker that goes row by row in fractions, however the rows are sliced."""

import random
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trading_cases import FUTURE, INSTRUMENTS, MS, START, SlowMarks, SlowPaper, cuts, random_market

from monitor.trading.marks import MarkRules, Marks
from monitor.trading.paper import PaperBook, PaperRules

NAN = float("nan")
MARKS = MarkRules(band_bps=Decimal(50), max_spread_bps=Decimal(20))


@given(st.integers(0, 2**32))
def test_a_paper_book_equals_its_definition_however_the_rows_are_sliced(seed: int) -> None:
    rng = random.Random(seed)
    rules = PaperRules(
        quantity=rng.choice([Decimal(1), Decimal(3)]),
        threshold=rng.choice([0.0, 0.5]),
        holding_ns=rng.choice([0, 1, 200 * MS, 1000 * MS]),
        latency_ns=rng.choice([0, 1, 50 * MS, 500 * MS]),
        slippage_bps=rng.choice([Decimal(0), Decimal("0.7"), Decimal(3)]),
        fee_bps=rng.choice([Decimal(0), Decimal(2), Decimal("-0.3"), Decimal("0.0000000000001")]),
    )
    market = random_market(rng, rng.randint(1, 150), INSTRUMENTS, ["active"])
    marks, slow = SlowMarks(INSTRUMENTS, MARKS), SlowPaper(INSTRUMENTS, rules)
    for row in range(len(market)):
        columns = (market.symbol, market.eff, market.bid, market.ask, market.price)
        code, ts, bid, ask, price = (column[row].item() for column in columns)
        slow.row(code, ts, marks.quote(code, ts, bid, ask, price), market.predictions["active"][row].item())
    for slices in ([(0, len(market))], cuts(rng, len(market)), [(i, i + 1) for i in range(len(market))]):
        quotes, paper = Marks(INSTRUMENTS, MARKS), PaperBook(INSTRUMENTS, rules, "active")
        for start, end in slices:
            part = market.cut(start, end)
            seen = quotes.update(part.symbol, part.eff, part.bid, part.ask, part.price)
            paper.fold(seen, part.predictions["active"])
        book = paper.book
        for code, units in enumerate(INSTRUMENTS):
            assert Fraction(units.format_quantity(book.quantity(units.symbol))) == slow.quantity[code]
        assert {c: Fraction(x, 10**18) for c, x in book.cash.items()} == slow.cash


def test_random_markets_trade_enough_to_prove_something() -> None:
    market = random_market(random.Random(5), 2000, INSTRUMENTS, ["active"])
    marks = SlowMarks(INSTRUMENTS, MARKS)
    slow = SlowPaper(INSTRUMENTS, PaperRules(quantity=Decimal(1), holding_ns=200 * MS))
    for row in range(len(market)):
        columns = (market.symbol, market.eff, market.bid, market.ask, market.price)
        code, ts, bid, ask, price = (column[row].item() for column in columns)
        slow.row(code, ts, marks.quote(code, ts, bid, ask, price), market.predictions["active"][row].item())
    assert slow.fills > 200


def run(rules: PaperRules, *rows: tuple[int, float, float, float]) -> list[int]:
    """Rows (ms, bid, ask, prediction) of one future; lots held after each."""
    marks, paper = Marks([FUTURE], MARKS), PaperBook([FUTURE], rules, "shadow")
    held = []
    for ms, bid, ask, prediction in rows:
        one = [np.array([x]) for x in (START + ms * MS, bid, ask, NAN)]
        paper.fold(marks.update(np.zeros(1, np.int32), *one), np.array([prediction]))
        held.append(paper.book.quantity("ES"))
    return held


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
    rules = PaperRules(quantity=Decimal(1), threshold=0.5, latency_ns=0, holding_ns=0)
    rows = [(ms, 5000, 5000.25, p) for ms, p in enumerate((0.5, 0.6, NAN, -0.5, -0.6))]
    assert run(rules, *rows) == [0, 1, 1, 0, -1]


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
