"""Books of all tasks at one instant and what follows from their course, against brute force in fractions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from engine_cases import BOOKS, REAL, House, S, keep
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine.books import figures
from monitor.engine.books.books import Books
from monitor.engine.books.series import book_labels
from monitor.engine.panes import pane_length
from monitor.engine.partials import BookState, Holding, Money
from monitor.errors import StateError
from monitor.stats.estimate import Estimate, Status

TICK = S // 10
DAY = 86_400 * S
MIDNIGHT = 20_000 * DAY
NOON = MIDNIGHT + DAY // 2
CAPITAL = 1_000
PAPER, SHADOW = BOOKS[1], BOOKS[2]


def house(**changes) -> Books:
    defaults = {"windows_ns": (S, 10 * S, 300 * S), "capital": CAPITAL}
    return House(**(defaults | changes)).books()


def book(cash: int, value: int = 0, transfers: int = 0, **more) -> BookState:
    """One currency, complete, unless said otherwise; a mark makes it a holding."""
    money = {more.get("currency", "USD"): Money(str(cash), str(value), str(transfers))}
    mark_ts = more.get("mark_ts", 0)
    holdings = {"AAA": Holding(1, 100, mark_ts)} if mark_ts else {}
    return BookState(money, more.get("complete", True), mark_ts, holdings)


def figure(books: Books, name: str, key: str, window: int | str, at: int) -> Estimate:
    return getattr(figures, name)(books, book_labels(key), window, at)


@dataclass(frozen=True)
class Instant:
    """What each task holds at an instant, and whether a task is missing then."""

    at: int
    books: Mapping[int, BookState]
    missing: bool = False

    @property
    def known(self) -> bool:
        return all(b.complete for b in self.books.values()) and not any(
            (m.cash, m.value) != ("0", "0")
            for b in self.books.values()
            for c, m in b.money.items()
            if c != "USD"
        )

    @property
    def profit(self) -> int:
        usd = [b.money["USD"] for b in self.books.values() if "USD" in b.money]
        return sum(int(m.cash) + int(m.value) - int(m.transfers) for m in usd)

    def stale(self, staleness_ns: int) -> bool:
        marks = [b.mark_ts for b in self.books.values() if b.mark_ts]
        return self.missing or bool(marks and self.at - min(marks) > staleness_ns)


def since_of(window: int | str, at: int, promoted: int | None) -> int:
    if window == "session":
        return (at - 1) - (at - 1) % DAY
    if window == "promotion":
        return 0 if promoted is None else promoted
    length = pane_length(window)
    return at - at % length - window


def expected(course: list[Instant], window: int | str, staleness: int, promoted: int | None):
    """(from, P&L, drawdown, sound instants) over the instants of a window, from their definition."""
    now = course[-1]
    inside = [i for i in course if i.at >= since_of(window, now.at, promoted) and i.known]
    if not inside:
        return None
    sound = [i for i in inside if not i.stale(staleness)]
    opened = inside[0].profit
    high = max([opened, *(i.profit for i in sound)])
    profit = now.profit - opened
    high_water = Fraction(CAPITAL + high - opened)
    fall = max(Fraction(0), high_water - (CAPITAL + profit)) / high_water
    return inside[0].at, profit, float(fall), len(sound)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([None, MIDNIGHT - 3 * S, MIDNIGHT + 2 * S]))
def test_profit_and_drawdown_of_the_sum_over_tasks_are_those_of_their_definition(seed, promoted):
    rng = np.random.default_rng(seed)
    windows, staleness = (S, 10 * S, 300 * S), 2 * S
    make = {"windows_ns": windows, "capital": CAPITAL, "staleness_ns": staleness, "promoted_ns": promoted}
    books, store = house(**make), {}
    at = MIDNIGHT - int(rng.integers(1, 100)) * TICK
    # Before its first rows a book is flat at zero.
    course = [Instant(at - TICK, {})]
    held: dict[int, BookState] = {}
    for _ in range(120):
        missing = bool(rng.random() < 0.1)
        for task in range(3):
            if rng.random() < 0.4 and not (missing and task == 0):
                cash, value, transfers = (int(x) for x in rng.integers(-60, 60, 3))
                mark = 0 if rng.random() < 0.3 else at - int(rng.integers(0, 25)) * TICK
                complete = bool(rng.random() > 0.05)
                held[task] = book(cash, value, transfers, mark_ts=mark, complete=complete)
                books.fold(task, {REAL: held[task]}, {})
        books.take(at, missing=missing)
        course.append(Instant(at, dict(held), missing))
        check(books, course, (*windows, "session", "promotion"), staleness, promoted)
        keep(store, books.records())
        assert not books.records()
        if rng.random() < 0.1:
            books = house(**make)
            books.restore(store)
        at += TICK


def check(books, course, windows, staleness, promoted) -> None:
    now = course[-1]
    sound = now.known and not now.stale(staleness)
    standing = books.standing(REAL)
    if standing is None:
        return
    estimate = figure(books, "equity", REAL, 0, now.at)
    assert estimate.status is (Status.OK if sound else Status.UNKNOWN)
    assert estimate.stale == (now.known and not sound)
    assert (estimate.value is not None) == now.known
    for window in windows:
        want = expected(course, window, staleness, promoted)
        profit, fall = (
            figure(books, "pnl_after_costs", REAL, window, now.at),
            figure(books, "drawdown", REAL, window, now.at),
        )
        if want is None:
            assert profit.value is fall.value is None
            assert profit.status is fall.status is Status.UNKNOWN
            continue
        start, gain, drop, n = want
        assert (profit.from_ns, profit.to_ns, profit.n) == (start, now.at, n)
        assert profit.status is fall.status is estimate.status
        if now.known:
            assert profit.value == gain
            assert fall.value == drop
        else:
            assert profit.value is fall.value is None


def course_of(books: Books, start: int, profits: list[int]) -> int:
    """Take one instant after the other; returns the last."""
    at = start - TICK
    for profit in profits:
        at += TICK
        books.fold(0, {REAL: book(profit)}, {})
        books.take(at, missing=False)
    return at


def test_the_high_water_mark_is_of_the_sum_not_the_sum_of_marks():
    books, at = house(), MIDNIGHT
    for first, second in ((0, 0), (100, -100), (-100, 100), (0, 0)):
        at += TICK
        books.fold(0, {REAL: book(first)}, {})
        books.fold(1, {REAL: book(second)}, {})
        books.take(at, missing=False)
        assert figure(books, "drawdown", REAL, "session", at).value == 0


def test_a_session_begins_at_midnight_utc_with_what_stood_there():
    books = house()
    at = course_of(books, MIDNIGHT - 2 * TICK, [50, 30, 20])
    assert at == MIDNIGHT
    assert figure(books, "pnl_after_costs", REAL, "session", at).value == 20, "the instant of the close"
    assert figure(books, "pnl_after_costs", REAL, "promotion", at).value == 20
    at = course_of(books, MIDNIGHT + TICK, [10])
    assert figure(books, "pnl_after_costs", REAL, "session", at).value == -10
    assert figure(books, "drawdown", REAL, "session", at).value == 10 / CAPITAL
    assert figure(books, "drawdown", REAL, "promotion", at).value == 40 / (CAPITAL + 50)


def test_what_the_first_rows_cost_counts():
    books = house()
    at = course_of(books, MIDNIGHT + 7 * TICK, [-5])
    assert figure(books, "pnl_after_costs", REAL, "promotion", at).value == -5
    assert figure(books, "pnl_after_costs", REAL, 10 * S, at).from_ns == MIDNIGHT + 6 * TICK
    assert figure(books, "drawdown", REAL, "session", at).value == 5 / CAPITAL


def test_a_position_that_was_held_before_the_first_row_begins_at_its_worth():
    books = house(start_flat=False)
    books.fold(0, {REAL: book(0, complete=False)}, {})
    books.take(MIDNIGHT, missing=False)
    assert figure(books, "equity", REAL, 0, MIDNIGHT).status is Status.UNKNOWN
    assert figure(books, "pnl_after_costs", REAL, "session", MIDNIGHT).value is None
    at = MIDNIGHT + TICK
    books.fold(0, {REAL: book(-700, 720)}, {})
    books.take(at, missing=False)
    assert figure(books, "pnl_after_costs", REAL, "session", at).value == 0


def test_stale_equity_is_shown_but_never_ok_and_never_raises_the_high_water_mark():
    books = house(staleness_ns=S)
    books.fold(0, {REAL: book(0, 10, mark_ts=NOON)}, {})
    books.take(NOON, missing=False)
    at = NOON + 2 * S
    books.fold(1, {REAL: book(100)}, {})
    books.take(at, missing=False)
    for estimate in (
        figure(books, "equity", REAL, 0, at),
        figure(books, "pnl_after_costs", REAL, "session", at),
    ):
        assert (estimate.status, estimate.stale) == (Status.UNKNOWN, True)
    assert figure(books, "equity", REAL, 0, at).value == 110
    books.fold(1, {REAL: book(-20)}, {})
    books.take(at + TICK, missing=True)
    fall = figure(books, "drawdown", REAL, "session", at + TICK)
    assert (fall.value, fall.stale) == (20 / (CAPITAL + 10), True)


def test_a_task_that_stands_still_disarms_no_window_however_long():
    """A hard limit reads stale values: every window has one, measured from where it began."""
    books = house()
    at = course_of(books, MIDNIGHT - S, [0])
    while at < MIDNIGHT + 20 * S:
        at += TICK
        books.fold(1, {REAL: book(-(at - MIDNIGHT) // TICK)}, {})
        books.take(at, missing=True)
    for window in (S, 10 * S, "session", "promotion"):
        fall = figure(books, "drawdown", REAL, window, at)
        assert fall.stale
        assert fall.value > 0
        assert fall.to_ns - fall.from_ns <= 2 * (window if isinstance(window, int) else DAY)
    assert figure(books, "pnl_after_costs", REAL, "session", at).value == -200


def test_money_in_another_currency_makes_equity_unknown():
    books = house()
    books.fold(0, {REAL: book(5)}, {})
    books.fold(1, {REAL: book(1, currency="EUR")}, {})
    books.take(MIDNIGHT, missing=False)
    estimate = figure(books, "equity", REAL, 0, MIDNIGHT)
    assert (estimate.status, estimate.value, estimate.stale) == (Status.UNKNOWN, None, False)
    books.fold(1, {REAL: book(0, currency="EUR")}, {})
    books.take(MIDNIGHT + TICK, missing=False)
    assert figure(books, "equity", REAL, 0, MIDNIGHT + TICK).value == 5


def test_capital_brought_in_is_no_profit():
    books = house()
    course_of(books, NOON, [10])
    books.fold(0, {REAL: book(510, transfers=500)}, {})
    books.take(NOON + TICK, missing=False)
    assert figure(books, "pnl_after_costs", REAL, "session", NOON + TICK).value == 10
    assert figure(books, "equity", REAL, 0, NOON + TICK).value == 510


def test_the_promotion_window_begins_when_the_active_was_promoted():
    books = house(promoted_ns=MIDNIGHT + 3 * TICK)
    course_of(books, MIDNIGHT, [10, 20])
    assert figure(books, "pnl_after_costs", REAL, "promotion", MIDNIGHT + TICK).value is None
    at = course_of(books, MIDNIGHT + 2 * TICK, [30, 40, 45])
    assert figure(books, "pnl_after_costs", REAL, "promotion", at).value == 5
    assert figure(books, "pnl_after_costs", REAL, "promotion", at).from_ns == MIDNIGHT + 3 * TICK


def test_a_reset_forgets_what_was_lost_before_in_these_books_only():
    books, store = house(), {}
    for name in (REAL, PAPER):
        books.fold(0, {name: book(-100)}, {})
    books.take(NOON, missing=False)
    keep(store, books.records())
    books.restart([PAPER, SHADOW])
    keep(store, books.records())
    assert not [key for key in store if PAPER in key and "/book/" not in key]
    again = house()
    again.restore(store)
    for one in (books, again):
        one.take(NOON + TICK, missing=False)
        for window in (10 * S, "session", "promotion"):
            assert figure(one, "pnl_after_costs", REAL, window, NOON + TICK).value == -100
            assert figure(one, "drawdown", PAPER, window, NOON + TICK).value == 0


def test_without_capital_there_is_no_drawdown():
    books = house(capital=None)
    at = course_of(books, MIDNIGHT, [10])
    assert figure(books, "drawdown", REAL, "session", at).status is Status.NOT_APPLICABLE


def test_courses_of_past_windows_are_forgotten():
    books, store = house(), {}
    for at in range(MIDNIGHT, MIDNIGHT + 900 * S, S):
        books.fold(0, {REAL: book((at - MIDNIGHT) // S)}, {})
        books.take(at, missing=False)
        keep(store, books.records())
    rings = [key for key in store if key.startswith(f"equity/ring/{REAL}/")]
    assert len(rings) <= 10 + 60 + 2
    assert figure(books, "pnl_after_costs", REAL, 300 * S, at).value == 300 + 4


def test_every_digit_of_large_money_counts():
    books, huge = house(capital=10**30), 10**40 + 1
    at = course_of(books, NOON, [huge, huge - 7])
    assert figure(books, "equity", REAL, 0, at).value == huge - 7
    assert figure(books, "drawdown", REAL, "session", at).value == float(Fraction(7, 10**30 + huge))


def test_what_a_task_says_again_is_nothing_new():
    books = house()
    assert books.fold(0, {REAL: book(1)}, {})
    assert not books.fold(0, {REAL: book(1)}, {})
    assert books.fold(0, {REAL: book(2)}, {})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("equity/course/role=active,fills=real/session", b"\x94\x01\xa1x\xc0\x01"),
        ("equity/ring/role=active,fills=real/5000000000/zero", b"\x94\x01\xa11\xc0\x01"),
        ("equity/ring/role=active,fills=real", b"\x94\x01\xa11\xc0\x01"),
        ("equity/book/role=active,fills=real/0", b"\xc1"),
        ("equity/book/role=active,fills=real/0", b"\x94\x81\xa3USD\x93\xa1x\xa10\xa10\xc3\x00\x80"),
    ],
)
def test_a_damaged_record_is_refused_by_key(key, value):
    with pytest.raises(StateError, match=r"equity/"):
        house().restore({key: value})
