"""One bad tick never moves a mark, a real jump does, and slicing cannot be seen."""

import random
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trading.reference_market import ReferenceMarks, quote_of
from trading_cases import FUTURE, INSTRUMENTS, MS, START, cuts, random_market

from monitor.trading.marks import NO_MARK, Fill, MarkRules, Marks

NAN = float("nan")
RULES = MarkRules(band_bps=Decimal(50), max_spread_bps=Decimal("20"))


def feed(marks: Marks, *rows: tuple[float, float, float], fills: list[Fill] | None = None) -> list[bool]:
    """Rows (ms, bid, ask) of the first symbol; which of them were accepted."""
    ts = np.array([START + int(ms) * MS for ms, _, _ in rows], np.int64)
    bid, ask = (np.array([row[i] for row in rows]) for i in (1, 2))
    quotes = marks.update(np.zeros(len(rows), np.int32), ts, bid, ask, np.full(len(rows), NAN), fills or [])
    return quotes.priced.tolist()


def mark(marks: Marks) -> tuple[str, int]:
    return FUTURE.format_price(int(marks.mark[0])), (int(marks.ts[0]) - START) // MS


@pytest.fixture
def marks() -> Marks:
    return Marks([FUTURE], RULES)


@given(st.integers(0, 2**32))
def test_marks_equal_their_definition_however_the_rows_are_sliced(seed: int) -> None:
    rng = random.Random(seed)
    market = random_market(rng, rng.randint(1, 120), INSTRUMENTS, [])
    reference = ReferenceMarks(INSTRUMENTS)
    fills = []
    for row in sorted(rng.choices(range(len(market) + 1), k=rng.randint(0, 20))):
        code = rng.randrange(len(INSTRUMENTS))
        near = Decimal(market.bid[min(row, len(market) - 1)]) if rng.random() < 0.7 else Decimal(1)
        fills.append(Fill(row, code, near if near.is_finite() else Decimal(2)))
    expected = []
    waiting = list(fills)
    for row in range(len(market)):
        while waiting and waiting[0].row <= row:
            taken = waiting.pop(0)
            reference.fill(INSTRUMENTS[taken.symbol].symbol, Fraction(taken.price))
        each = market.row(row, INSTRUMENTS)
        quote = quote_of(INSTRUMENTS[market.symbol[row]], each.bid, each.ask, each.price)
        fresh = reference.quote(each.symbol, each.ts_ns, quote)
        expected.append((quote.bid, quote.ask) if fresh and quote is not None else None)
    for taken in waiting:
        reference.fill(INSTRUMENTS[taken.symbol].symbol, Fraction(taken.price))
    for slices in ([(0, len(market))], cuts(rng, len(market)), [(i, i + 1) for i in range(len(market))]):
        marks = Marks(INSTRUMENTS, RULES)
        accepted: list[tuple[Fraction, Fraction] | None] = [None] * len(market)
        last = slices[-1]
        for start, end in slices:
            part = market.cut(start, end)
            final = (start, end) == last
            inside = [
                Fill(f.row - start, f.symbol, f.price)
                for f in fills
                if start <= f.row < end or (final and f.row == end)
            ]
            quotes = marks.update(part.symbol, part.eff, part.bid, part.ask, part.price, inside)
            if final:
                fills_left = [f for f in fills if f.row > end]
                assert not fills_left
            for place in np.flatnonzero(quotes.priced).tolist():
                half = Fraction(INSTRUMENTS[quotes.symbol[place]].tick_size) / 2
                sides = (int(quotes.bid[place]) * half, int(quotes.ask[place]) * half)
                accepted[start + int(quotes.rows[place])] = sides
        assert accepted == expected
        for code, units in enumerate(INSTRUMENTS):
            mark = reference.marks[units.symbol]
            known = marks.ts[code] != NO_MARK
            assert known == (mark.value is not None)
            if known:
                assert Fraction(units.format_price(int(marks.mark[code]))) == mark.value
                assert marks.ts[code] == mark.ts_ns
            assert (code in marks.pending) == (mark.jump is not None)


def test_one_bad_tick_never_moves_the_mark(marks: Marks) -> None:
    accepted = feed(marks, (0, 5000, 5000.25), (100, 9000, 9000.25), (200, 5000.25, 5000.5))
    assert accepted == [True, False, True]
    assert mark(marks) == ("5000.375", 200)
    assert not marks.pending


def test_bad_ticks_that_come_between_good_ones_never_add_up(marks: Marks) -> None:
    for ms in range(0, 5000, 100):
        feed(marks, (ms, 5000, 5000.25), (ms + 50, 9000, 9000.25))
    assert mark(marks) == ("5000.125", 4900)


def test_a_jump_stands_after_three_quotes_and_half_a_second(marks: Marks) -> None:
    rows = [(0, 5000, 5000.25), (100, 5100, 5100.25), (200, 5101, 5101.25), (300, 5100, 5100.25)]
    assert feed(marks, *rows, (599, 5102, 5102.25), (600, 5103, 5103.25)) == [True] + 4 * [False] + [True]
    assert mark(marks) == ("5103.125", 600)


def test_half_a_second_alone_does_not_confirm_a_jump(marks: Marks) -> None:
    accepted = feed(
        marks, (0, 5000, 5000.25), (100, 5100, 5100.25), (5000, 5100, 5100.25), (5001, 5100, 5100.25)
    )
    assert accepted == [True, False, False, True]


def test_a_pending_jump_that_jumps_again_starts_anew(marks: Marks) -> None:
    rows = [(0, 5000, 5000.25), (100, 5100, 5100.25), (400, 5100, 5100.25), (700, 5300, 5300.25)]
    assert feed(marks, *rows) == [True, False, False, False]
    assert marks.pending[0].quotes == 1


def test_a_fill_confirms_a_pending_jump_and_only_within_the_band(marks: Marks) -> None:
    feed(marks, (0, 5000, 5000.25), (100, 5100, 5100.25), fills=[Fill(1, 0, Decimal(5100))])
    assert mark(marks) == ("5000.125", 0)
    feed(marks, fills=[Fill(0, 0, Decimal("5000"))])
    assert mark(marks) == ("5000.125", 0)
    feed(marks, fills=[Fill(0, 0, Decimal("5099.9"))])
    assert mark(marks) == ("5100.125", 100)


def test_crossed_wide_one_sided_and_absurd_quotes_make_no_mark(marks: Marks) -> None:
    rows = [
        (0, 5000, 4999),
        (1, 5000, 5011),
        (2, NAN, 5000),
        (3, 5000, NAN),
        (4, 1e300, 1e300),
        (5, -1e308, 1e308),
    ]
    assert feed(marks, *rows) == [False] * 6
    assert marks.ts[0] == NO_MARK
    assert feed(marks, (6, 5000, 5010)) == [True]


def test_a_price_counts_where_neither_bid_nor_ask_is_given(marks: Marks) -> None:
    zero, none = np.zeros(1, np.int32), np.array([NAN])
    marks.update(zero, np.array([START]), none, none, np.array([5000.125]))
    assert mark(marks) == ("5000.125", 0)
    marks.update(zero, np.array([START]), np.array([4990.0]), none, np.array([4995.0]))
    assert mark(marks) == ("5000.125", 0)


def test_negative_prices_are_prices(marks: Marks) -> None:
    assert feed(marks, (0, -37.75, -37.75), (1, -37.5, -37.5)) == [True, False]
