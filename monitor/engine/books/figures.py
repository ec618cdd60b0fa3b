"""Figures of one book: P&L, exposure, drawdown, Sharpe ratio, round trips, turnover, against a benchmark.

Each is a function of `Books`, labels, window and instant; all money is in 1e-18 of the currency.
"""

from __future__ import annotations

import math
from typing import Any

from monitor.engine.books.books import Books, Reading, Window
from monitor.engine.books.returns import Returns
from monitor.engine.books.series import Labels, book_of
from monitor.engine.books.standing import Standing
from monitor.stats.estimate import Estimate, Status
from monitor.stats.intervals import Z_95, wilson
from monitor.trading import performance
from monitor.trading.units import format_money

_HOUR_NS = 3_600 * 10**9


def equity(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """Cash + quantity x mark, of all tasks at one instant, in the deployment's currency.

    Cash begins at zero or at what `position` and `cash` reports bring in; capital is not added. Of a mark or
    rate older than `mark_staleness` it is `unknown`, and shown as `stale`; where a mark or a rate is missing
    there is none.
    """
    standing = books.standing(book_of(labels))
    return _now(standing, standing.equity if standing else 0, at)


def gross_exposure(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """Sum over symbols of |quantity x mark|; statuses as of `equity`."""
    standing = books.standing(book_of(labels))
    return _now(standing, standing.gross if standing else 0, at)


def net_exposure(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """Sum over symbols of quantity x mark: long less short; statuses as of `equity`."""
    standing = books.standing(book_of(labels))
    return _now(standing, standing.value if standing else 0, at)


def pnl(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """P&L before costs: that after costs + fees paid in the window (rebates negative). `extra`: the fees.

    Spread and slippage are in the prices, and so in both.
    """
    reading = books.reading(book_of(labels), window)
    if reading is None:
        return unknown(at)
    fees = reading.standing.fees - reading.course.opened.fees
    extra: dict[str, Any] = {"fees": format_money(fees)} if reading.standing.readable else {}
    return estimate(reading, profit_of(reading) + fees, reading.course.instants, **extra)


def pnl_after_costs(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """Change of equity since the window began, without capital brought in or taken out.

    The window begins with its first instant at which the book was known. `n`: instants since at which it was
    sound. `extra`: the profit it began with.
    """
    reading = books.reading(book_of(labels), window)
    if reading is None:
        return unknown(at)
    opened = format_money(reading.course.opened.profit)
    return estimate(reading, profit_of(reading), reading.course.instants, opened=opened)


def drawdown(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """(high-water mark - E) / high-water mark, E = capital + P&L since the window began: a fraction.

    The start belongs to the high-water mark. It is that of the sum over all tasks, and no stale instant
    raises it. `extra`: capital, high-water mark and, where it is known, E. Without capital there is no such
    metric.
    """
    capital = books.rules.capital
    if capital is None:
        return inapplicable(at)
    reading = books.reading(book_of(labels), window)
    if reading is None:
        return unknown(at)
    course = reading.course
    high = capital + course.high_water - course.opened.profit
    now = capital + profit_of(reading)
    extra: dict[str, Any] = {"equity": format_money(now)} if reading.standing.readable else {}
    return estimate(
        reading,
        performance.drawdown(high, min(high, now)),
        course.instants,
        capital=format_money(capital),
        high_water=format_money(high),
        **extra,
    )


def win_rate(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """Round trips that won, of those that won or lost, by symbol from flat to flat or through zero, net of
    fees; of those that ended in the window. `n`: those that won or lost; an interval by Wilson. `extra`:
    those that ended, and that came to exactly zero. Insufficient where none won or lost.
    """
    reading = books.reading(book_of(labels), window)
    if reading is None:
        return unknown(at)
    opened, trips = reading.course.opened, reading.standing.trips
    ended, won, lost = trips[0] - opened.ended, trips[1] - opened.won, trips[2] - opened.lost
    extra = {"ended": ended, "zero": ended - won - lost}
    if won + lost <= 0 or not 0 <= won <= won + lost:
        return insufficient(reading, max(won + lost, 0), **extra)
    share = won / (won + lost)
    low, high = wilson(share, won + lost)
    return estimate(reading, share, won + lost, low=low, high=high, **extra)


def turnover(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """Notional traded in the window over the average gross book of its instants; a full swap is 2 (200 %).

    `n`: sound instants. `extra`: the notional, and that per hour of the window. Insufficient where the book
    was empty throughout, and where busts took back more than was traded in the window.
    """
    reading = books.reading(book_of(labels), window)
    if reading is None:
        return unknown(at)
    course = reading.course
    traded = traded_in(reading)
    passed = reading.at - course.start
    per_hour = format_money(traded * _HOUR_NS // passed) if passed else None
    extra: dict[str, Any] = {"notional": format_money(traded), "per_hour": per_hour}
    value = performance.turnover(traded, course.gross, course.instants)
    if value is None:
        return insufficient(reading, course.instants, **extra)
    return estimate(reading, value, course.instants, **extra)


def pnl_vs_benchmark(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """P&L after costs less that of the benchmark, over the same instants: positive is better than holding.

    Unknown while a mark of the benchmark is missing or stale. `extra`: P&L of the benchmark. Without capital
    there is none.
    """
    if books.benchmark is None:
        return inapplicable(at)
    reading = books.reading(book_of(labels), window)
    if reading is None or reading.standing.benchmark is None or reading.course.opened.benchmark is None:
        return unknown(at)
    held = reading.standing.benchmark - reading.course.opened.benchmark
    made = estimate(
        reading,
        performance.difference(profit_of(reading), held),
        reading.course.instants,
        benchmark=books.rules.benchmark,
        benchmark_pnl=format_money(held),
    )
    if made.status is Status.OK and not reading.standing.sound_benchmark:
        return unsound(made)
    return made


def sharpe(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """Annualised Sharpe ratio: mean over standard deviation of returns, times the root of periods a year.

    Over windows shorter than `performance.daily_from` returns are differences of equity between instants of
    `performance.grid`; flat ones count, and no step leads out of a session. Over longer ones a return a
    session, from close to close, the night included; the first one from its opening equity, a running session
    not at all. A period begins and ends in the calendar's open time: 525,600 minutes or 365 sessions a year
    where it is `always`. A step at one of whose ends equity was not sound has no return (`extra.void`).

    `n`: returns; `n_eff`: what dependent neighbours leave of them; `low`, `high`: 1.96 standard errors.
    `from_ns`, `to_ns`: begin of the first step, end of the last. Insufficient below `performance.min_returns`
    and where returns do not vary. Outside sessions it stands as of the last close.
    """
    rules = books.rules
    reading = books.reading(book_of(labels), window)
    if reading is None:
        return unknown(at)
    daily = is_daily(books, reading, window)
    course = reading.course
    returns = (course.daily if daily else course.grid) or Returns(0 if daily else rules.grid_ns)
    periods = rules.calendar.sessions_per_year if daily else rules.calendar.open_ns_per_year / rules.grid_ns
    extra: dict[str, Any] = {
        "grid_s": "session" if daily else rules.grid_ns / 1e9,
        "periods_per_year": periods,
        "void": returns.void,
    }
    ratio = performance.sharpe_ratio(returns.n, returns.total, returns.squares)
    begun, ended = (returns.from_ns, returns.to_ns) if returns.n else (reading.course.start, reading.at)
    if ratio is None or returns.n < rules.min_returns:
        return Estimate(
            value=None, n=returns.n, status=_short(books, reading), from_ns=begun, to_ns=ended, extra=extra
        )
    scale = math.sqrt(periods)
    error = performance.sharpe_error(ratio, returns.n) * scale
    sound = books.returns_sound(reading, daily=daily)
    return Estimate(
        value=ratio * scale,
        n=returns.n,
        status=Status.OK if sound else Status.UNKNOWN,
        stale=not sound,
        n_eff=performance.effective_returns(returns.n, returns.lag1),
        low=ratio * scale - Z_95 * error,
        high=ratio * scale + Z_95 * error,
        from_ns=begun,
        to_ns=ended,
        extra={**extra, "standard_error": error},
    )


def _short(books: Books, reading: Reading) -> Status:
    """Too few returns, unless nothing can be known now."""
    return Status.INSUFFICIENT if reading.standing.readable and not books.missing else Status.UNKNOWN


def is_daily(books: Books, reading: Reading, window: Window) -> bool:
    """Whether returns over a window are those of sessions; the window since promotion goes by its age."""
    length = window if isinstance(window, int) else reading.at - reading.course.start
    return window != "session" and length >= books.rules.daily_from_ns


def profit_of(reading: Reading) -> int:
    """P&L after costs over the window."""
    return reading.standing.profit - reading.course.opened.profit


def traded_in(reading: Reading) -> int:
    """Notional traded in the window."""
    return reading.standing.traded - reading.course.opened.traded


def estimate(
    reading: Reading,
    value: float | int,
    n: int,
    *,
    low: float | None = None,
    high: float | None = None,
    **extra: Any,
) -> Estimate:
    """A value of a book over a window; `unknown` where the book is, and `stale` where that is as it was."""
    standing, course = reading.standing, reading.course
    readable = standing.readable
    return Estimate(
        value=value if readable else None,
        n=n,
        status=standing.status,
        from_ns=course.start,
        to_ns=reading.at,
        low=low if readable else None,
        high=high if readable else None,
        stale=standing.stale,
        extra=extra,
    )


def insufficient(reading: Reading, n: int, **extra: Any) -> Estimate:
    """Too little in the window; `unknown` where the book is."""
    status = Status.INSUFFICIENT if reading.standing.status is Status.OK else Status.UNKNOWN
    return Estimate(
        value=None, n=n, status=status, from_ns=reading.course.start, to_ns=reading.at, extra=extra
    )


def unsound(made: Estimate) -> Estimate:
    """The same, of marks that were."""
    return Estimate(
        value=made.value,
        n=made.n,
        status=Status.UNKNOWN,
        from_ns=made.from_ns,
        to_ns=made.to_ns,
        stale=True,
        extra=made.extra,
    )


def unknown(at: int) -> Estimate:
    """Nothing is known of the book over the window."""
    return Estimate(value=None, n=0, status=Status.UNKNOWN, from_ns=at, to_ns=at)


def inapplicable(at: int) -> Estimate:
    """There is no such thing in this deployment."""
    return Estimate(value=None, n=0, status=Status.NOT_APPLICABLE, from_ns=at, to_ns=at)


def _now(standing: Standing | None, value: int, at: int) -> Estimate:
    if standing is None:
        return unknown(at)
    return Estimate(
        value=value if standing.readable else None,
        n=1,
        status=standing.status,
        from_ns=at,
        to_ns=at,
        stale=standing.stale,
    )
