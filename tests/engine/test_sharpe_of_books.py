"""Sharpe ratios of books against hand-made cases and brute force: grids, sessions, and the traps between."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from book_cases import DAY, HOUR, MINUTE, NEW_YORK, REAL, S, figure, holding, made, ns, take
from engine_cases import BOOKS, House, keep, rule
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine.books.returns import Returns
from monitor.engine.partials import Partial
from monitor.event_time.calendar import Session
from monitor.policy.rules import Comparator
from monitor.stats.estimate import Status
from monitor.trading.performance import effective_returns, sharpe_ratio, z_score

MONDAY = ns("2026-03-02T00:00:00+00:00")
YEAR_MINUTES = 525_600


def annual(returns: list[float], periods: float) -> float:
    return statistics.mean(returns) / statistics.stdev(returns) * math.sqrt(periods)


def through(books, start: int, profits: list[int], step: int = MINUTE) -> int:
    at = start
    for at, profit in zip(range(start, start + step * len(profits), step), profits, strict=True):
        take(books, at, {REAL: holding(profit)})
    return at


def test_returns_are_differences_on_the_grid_and_flat_ones_count():
    books = made()
    profits = [0, 3, 3, 3, 1, 4, 4, 4, 4, 9] * 3
    at = through(books, MONDAY, profits)
    returns = [b - a for a, b in pairwise(profits)]
    found = figure(books, "sharpe", HOUR, at)
    assert found.value == pytest.approx(annual(returns, YEAR_MINUTES), rel=1e-12)
    assert (found.n, found.from_ns, found.to_ns) == (len(returns), MONDAY, at)
    assert found.extra["grid_s"] == 60
    assert found.extra["periods_per_year"] == YEAR_MINUTES
    ratio = statistics.mean(returns) / statistics.stdev(returns)
    error = math.sqrt((1 + ratio**2 / 2) / len(returns)) * math.sqrt(YEAR_MINUTES)
    assert found.extra["standard_error"] == pytest.approx(error, rel=1e-12)
    assert found.high - found.value == pytest.approx(1.96 * error, rel=1e-4)


def test_below_min_returns_and_without_variance_there_is_no_ratio():
    books = made(min_returns=5)
    at = through(books, MONDAY, [0, 1, 3, 2, 5])
    assert figure(books, "sharpe", HOUR, at).status is Status.INSUFFICIENT
    at = through(books, at + MINUTE, [9])
    assert figure(books, "sharpe", HOUR, at).status is Status.OK
    rising = made(min_returns=5)
    at = through(rising, MONDAY, list(range(30)))
    assert figure(rising, "sharpe", HOUR, at).status is Status.INSUFFICIENT
    idle = made(min_returns=5)
    at = through(idle, MONDAY, [0] * 30)
    found = figure(idle, "sharpe", HOUR, at)
    assert (found.status, found.value, found.n) == (Status.INSUFFICIENT, None, 29)


def test_one_trade_makes_one_return_among_flat_ones():
    books = made(min_returns=10)
    at = through(books, MONDAY, [0] * 10 + [50] * 10)
    returns = [0.0] * 9 + [50.0] + [0.0] * 9
    assert figure(books, "sharpe", HOUR, at).value == pytest.approx(annual(returns, YEAR_MINUTES), rel=1e-12)


def test_a_step_with_an_unsound_end_has_no_return_and_is_counted():
    books = made(min_returns=2)
    for minute, profit in enumerate([0, 1, 5, 2, 8, 9]):
        take(books, MONDAY + minute * MINUTE, {REAL: holding(profit)}, missing=minute == 2)
    at = MONDAY + 5 * MINUTE
    found = figure(books, "sharpe", HOUR, at)
    assert (found.n, found.extra["void"]) == (3, 2)
    assert found.value == pytest.approx(annual([1, 6, 1], YEAR_MINUTES), rel=1e-12)
    take(books, at + MINUTE, {REAL: holding(9)}, missing=True)
    found = figure(books, "sharpe", HOUR, at + MINUTE)
    assert (found.status, found.stale) == (Status.UNKNOWN, True)


def days(text: str, n: int, calendar=NEW_YORK) -> list[Session]:
    found, at = [], ns(text)
    for _ in range(n):
        session = calendar.next_session(at)
        found.append(session)
        at = session.end_ns
    return found


def test_no_step_leads_over_a_closed_session_and_the_night_is_in_daily_returns():
    """Two sessions over a change of clocks: Friday ends 21:00 UTC, Monday begins 13:30 UTC."""
    friday, monday = days("2026-03-06T00:00:00+00:00", 2)
    assert (friday.end_ns, monday.start_ns) == (
        ns("2026-03-06T21:00:00+00:00"),
        ns("2026-03-09T13:30:00+00:00"),
    )
    books = made(windows_ns=(5 * DAY,), calendar=NEW_YORK, min_returns=2)
    courses = [[0, 1, 3, 2], [40, 41, 45, 43]]
    take(books, friday.start_ns - HOUR, {REAL: holding(0)})
    for session, course in zip((friday, monday), courses, strict=True):
        for at, profit in zip(
            [session.start_ns, session.start_ns + MINUTE, session.end_ns - MINUTE, session.end_ns],
            course,
            strict=True,
        ):
            take(books, at, {REAL: holding(profit)})
    at = monday.end_ns
    found = figure(books, "sharpe", 5 * DAY, at)
    assert found.n == 4
    assert found.value == pytest.approx(annual([1, -1, 1, -2], NEW_YORK.open_ns_per_year / MINUTE), rel=1e-12)
    daily = figure(made_daily(books, courses, friday, monday), "sharpe", 5 * DAY, at)
    assert daily.n == 2
    assert daily.value == pytest.approx(annual([2, 41], NEW_YORK.sessions_per_year), rel=1e-12)
    assert (daily.from_ns, daily.to_ns) == (friday.start_ns, monday.end_ns)


def made_daily(_, courses, *sessions):
    books = made(windows_ns=(5 * DAY,), calendar=NEW_YORK, min_returns=2, daily_from_ns=DAY)
    for session, course in zip(sessions, courses, strict=True):
        take(books, session.start_ns, {REAL: holding(course[0])})
        take(books, session.end_ns, {REAL: holding(course[-1])})
    return books


def test_daily_values_close_with_the_last_sound_instant_and_outlive_the_night_and_a_restart():
    sessions = days("2026-03-02T00:00:00+00:00", 25)
    make = {"windows_ns": (30 * DAY,), "calendar": NEW_YORK, "staleness_ns": HOUR}
    rng = np.random.default_rng(4)
    closes = np.cumsum(rng.integers(-50, 60, 25)).tolist()
    books, store = made(**make), {}
    take(books, sessions[0].start_ns, {REAL: holding(0)})
    for session, close in zip(sessions, closes, strict=True):
        take(books, session.end_ns - HOUR, {REAL: holding(0, close, mark_ts=session.end_ns - HOUR)})
        # At the close, and after it, the mark is old: nothing is sound any more.
        take(books, session.end_ns + S, {REAL: holding(0, close - 5, mark_ts=session.end_ns - 2 * HOUR)})
        keep(store, books.records())
        books = made(**make)
        books.restore(store)
    at = sessions[-1].end_ns + 2 * HOUR
    take(books, at)
    found = figure(books, "sharpe", 30 * DAY, at)
    inside = [i for i, s in enumerate(sessions) if s.end_ns > at - at % (12 * HOUR) - 30 * DAY]
    returns = [closes[i] - (closes[i - 1] if i else 0) for i in inside]
    assert found.status is Status.OK, "outside sessions it stands as of the last close"
    assert found.n == len(inside) >= 20
    assert found.value == pytest.approx(annual(returns, NEW_YORK.sessions_per_year), rel=1e-12)
    assert found.extra["grid_s"] == "session"


def test_a_session_without_a_value_makes_the_daily_ratio_unknown_until_the_next_one_has():
    sessions = days("2026-03-02T00:00:00+00:00", 8)
    books = made(windows_ns=(10 * DAY,), calendar=NEW_YORK, daily_from_ns=DAY, min_returns=3)
    for number, session in enumerate(sessions[:7]):
        silent = number == 5
        take(books, session.start_ns, {REAL: holding(number)}, missing=silent)
        take(books, session.end_ns, {REAL: holding(number * number)}, missing=silent)
        take(books, session.end_ns + HOUR)
        found = figure(books, "sharpe", 10 * DAY, session.end_ns + HOUR)
        expected = Status.INSUFFICIENT if number < 2 else Status.UNKNOWN if silent else Status.OK
        assert found.status is expected, number
    assert found.n == 6
    assert found.extra["void"] == 1
    # The session after it begins at its opening equity: nobody knows where the night began.
    returns = [0, 1, 3, 5, 7, 36 - 6]
    assert found.value == pytest.approx(annual(returns, NEW_YORK.sessions_per_year), rel=1e-12)


def test_the_window_since_promotion_takes_sessions_once_it_is_old_enough():
    books = made(daily_from_ns=2 * DAY, min_returns=2)
    at = through(books, MONDAY, [0, 5, 3, 9, 4], step=12 * HOUR)
    assert figure(books, "sharpe", "promotion", at).extra["grid_s"] == "session"
    assert figure(books, "sharpe", "promotion", at).value == pytest.approx(annual([3, 1], 365), rel=1e-12)
    assert figure(books, "sharpe", "session", at).extra["grid_s"] == 60


def test_a_rule_on_three_consecutive_days_counts_sessions_and_a_weekend_is_neither_breach_nor_reset():
    below = rule("sharpe", "sharpe", labels={"role": "active", "fills": "real"}, subject="deployment",
                 window=30 * DAY, comparator=Comparator.BELOW, threshold=0.8, schedule=DAY,
                 for_count=3)  # fmt: skip
    house = House(
        rules=(below,), windows_ns=(30 * DAY,), tick=S, calendar=NEW_YORK, measured={"min_returns": 5}
    )
    # Wednesday to Tuesday: two bad days, a good one, then Friday, Monday and Tuesday bad.
    sessions, profit = days("2026-02-25T00:00:00+00:00", 12), 0
    changes = [9, 8, 9, 8, 9, -60, -60, 900, -900, -60, -60, -60]
    fold, store, fired = house.fold2(), {}, []
    for session, change in zip(sessions, changes, strict=True):
        profit += change
        for at in (session.start_ns, session.end_ns - S, session.end_ns, session.end_ns + HOUR):
            says = {name: holding(profit) for name in BOOKS}
            fold.evaluate(at, {0: [Partial("d", 0, at, sessions[0].start_ns, False, "", says)]})
            fired += [(at, event.data.phase) for event in fold.decisions]
            fold.decisions = []
        keep(store, fold.records())
        fold = house.fold2()
        fold.restore(store)
    bad = [index for index, s in enumerate(sessions) if s.end_ns in {at for at, _ in fired}]
    assert fired[0][1] == "firing"
    assert bad[0] >= 7, "never on two bad days"
    values = [sum(changes[: i + 1]) for i in range(len(changes))]
    assert bad[0] == next(i for i in range(6, 12) if all(values[k] / (k + 1) < 0 for k in (i - 2, i - 1, i)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_ratios_over_windows_equal_brute_force_over_the_grid(seed):
    rng = np.random.default_rng(seed)
    windows, grid, tick = (48 * S, 300 * S), 3 * S, S
    make = {"windows_ns": windows, "tick_ns": tick, "grid_ns": grid, "min_returns": 2, "capital": None}
    books, store = made(**make), {}
    start = MONDAY - int(rng.integers(1, 200)) * S
    profit, known = 0, {start - S: 0}
    for at in range(start, start + 400 * S, tick):
        if rng.random() < 0.02 and store:
            books = made(**make)
            books.restore(store)
        profit += int(rng.integers(-3, 4))
        missing = bool(rng.random() < 0.02)
        take(books, at, {REAL: holding(profit)}, missing=missing)
        if not missing:
            known[at] = profit
        keep(store, books.records())
    for window in windows:
        length = S if window == 48 * S else 5 * S
        since = max(at - at % length - window, start - S)
        ends = range(since - since % grid + grid, at + 1, grid)
        values = [known[t] - known[t - grid] for t in ends if t in known and t - grid in known]
        ratio = sharpe_ratio(len(values), sum(values), sum(v * v for v in values))
        found = figure(books, "sharpe", window, at)
        if missing:
            assert found.status is not Status.OK
        elif ratio is None:
            assert found.status is Status.INSUFFICIENT
        else:
            assert found.n == len(values)
            assert found.value == pytest.approx(ratio * math.sqrt(YEAR_MINUTES * 60 / 3), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-(10**24), 10**24), st.booleans()), min_size=2, max_size=40),
    st.sets(st.integers(0, 40)),
)
def test_joined_returns_are_those_taken_in_one_go(course, cuts):
    parts, whole = [Returns(S)], Returns(S)
    at = 0
    for place, (value, follows) in enumerate(course):
        at += S if follows else 3 * S
        if place in cuts:
            parts.append(Returns(S))
        for returns in (parts[-1], whole):
            returns.take(value, at - S, at)
    joined = Returns(S)
    for part in parts:
        joined.join(Returns.of(part.stored()))
    assert joined.stored() == whole.stored()
    values = [value for value, _ in course]
    links = [place for place in range(1, len(course)) if course[place][1]]
    mean = Fraction(sum(values), len(values))
    variance = Fraction(sum(v * v for v in values), len(values)) - mean * mean
    if links and variance:
        product = Fraction(sum(values[p - 1] * values[p] for p in links), len(links))
        expected = max(-1.0, min(1.0, float((product - mean * mean) / variance)))
        assert whole.lag1 == pytest.approx(expected, rel=1e-12, abs=1e-15)
    else:
        assert whole.lag1 is None


@given(st.lists(st.integers(-(10**22), 10**22), min_size=2, max_size=50))
def test_the_ratio_is_that_of_fractions(values):
    n, total, squares = len(values), sum(values), sum(v * v for v in values)
    mean = Fraction(total, n)
    variance = sum((v - mean) ** 2 for v in map(Fraction, values)) / (n - 1)
    found, z = sharpe_ratio(n, total, squares), z_score(n, total, squares)
    if variance:
        assert found == pytest.approx(
            math.copysign(math.sqrt(float(mean * mean / variance)), mean), rel=1e-12
        )
        assert z == pytest.approx(found * math.sqrt(n), rel=1e-12)
    else:
        assert found is None
        assert z is None


def test_alike_neighbours_leave_fewer_returns():
    assert effective_returns(90, 0.5) == 30
    assert effective_returns(90, 1.0) == 0
    books = made(min_returns=2)
    at = through(books, MONDAY, np.cumsum([2, 2, 2, -1, -1, -1] * 6).tolist())
    assert figure(books, "sharpe", HOUR, at).n_eff < 25


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("again", [None, 27, 30, 40])
def test_every_step_without_a_sound_value_at_its_ends_is_counted_void(again, restarted):
    """Unknown from minute 5 on, in windows of stretches of a minute and of five seconds."""
    make = {"windows_ns": (HOUR, 5 * MINUTE), "min_returns": 2}
    books, store = made(**make), {}
    for minute in range(51):
        if restarted:
            books = made(**make)
            books.restore(store)
        complete = minute < 5 or (again is not None and minute >= again)
        take(books, MONDAY + minute * MINUTE, {REAL: holding(minute * minute, complete=complete)})
        keep(store, books.records())
    at = MONDAY + 50 * MINUTE
    unsound = set(range(5, again or 51))
    steps = {minute for minute in range(51) if minute in unsound or minute - 1 in unsound}
    for window in (HOUR, "session", "promotion"):
        found = figure(books, "sharpe", window, at)
        assert found.extra["void"] == len(steps), window
        assert found.n == 50 - len(steps)
    short = figure(books, "sharpe", 5 * MINUTE, at)
    if again is not None:
        assert short.extra["void"] == 0


def test_sessions_of_which_nothing_is_known_are_counted_void():
    sessions = days("2026-03-02T00:00:00+00:00", 8)
    books = made(windows_ns=(30 * DAY,), calendar=NEW_YORK, daily_from_ns=DAY, min_returns=3)
    for number, session in enumerate(sessions):
        for at in (session.start_ns, session.end_ns - HOUR, session.end_ns, session.end_ns + HOUR):
            take(books, at, {REAL: holding(number * number, complete=number not in (2, 3, 4))})
    found = figure(books, "sharpe", 30 * DAY, sessions[-1].end_ns + HOUR)
    assert (found.n, found.extra["void"]) == (5, 3)
