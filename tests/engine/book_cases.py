"""Books driven instant by instant, without tasks' rows: what each book holds is said outright."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from engine_cases import BOOKS, REAL

from monitor.engine.books import divergence, figures
from monitor.engine.books.books import Answers, Books
from monitor.engine.books.rules import PerformanceRules
from monitor.engine.books.series import Labels, book_labels
from monitor.engine.partials import BookState, Mark, Money
from monitor.event_time.calendar import Calendar, Hours
from monitor.stats.estimate import Estimate

S = 10**9
MINUTE, HOUR, DAY = 60 * S, 3_600 * S, 86_400 * S
NEW_YORK = Calendar(ZoneInfo("America/New_York"), Hours(9 * HOUR + 30 * MINUTE, 16 * HOUR), range(5))
TWIN, SHADOW = BOOKS[1], BOOKS[2]
OF_SHADOW: Labels = (("role", "shadow"),)


def ns(text: str) -> int:
    """Nanoseconds of an ISO time with its zone."""
    return int(datetime.fromisoformat(text).timestamp()) * S


def made(windows_ns: tuple[int, ...] = (HOUR,), tick_ns: int = MINUTE, **rules: Any) -> Books:
    """Books of a deployment with a capital of 1,000; all of them flat before the first instant."""
    more = {name: rules.pop(name) for name in ("pairs", "currency_of", "flat") if name in rules}
    return Books(
        BOOKS,
        windows_ns,
        PerformanceRules(**({"capital": 1_000} | rules)),
        tick_ns=tick_ns,
        **({"flat": BOOKS} | more),
    )


def holding(cash: int, value: int = 0, currency: str = "USD", **more: Any) -> BookState:
    """A book of one currency. `fees traded transfers trips gap mark_ts`; `gross` is |value| unless said."""
    money = Money(
        str(cash),
        str(value),
        str(more.get("transfers", 0)),
        str(more.get("fees", 0)),
        str(more.get("traded", 0)),
        str(more.get("gross", abs(value))),
    )
    gap = {currency: str(more["gap"])} if "gap" in more else {}
    trips = more.get("trips", (0, 0, 0))
    return BookState({currency: money}, more.get("complete", True), more.get("mark_ts", 0), {}, trips, gap)


def take(
    books: Books,
    at: int,
    says: Mapping[str, BookState] | None = None,
    marks: Mapping[str, Mark] | None = None,
    *,
    missing: bool = False,
    answers: Answers | None = None,
) -> Any:
    """One task says these books and marks, then the instant is taken; `answers`: of the models so far."""
    books.fold(0, says or {}, marks or {})
    return books.take(at, answers, missing=missing)


def figure(books: Books, name: str, window: Any, at: int, book: str = REAL) -> Estimate:
    """A figure of one book."""
    return getattr(figures, name)(books, book_labels(book), window, at)


def apart(books: Books, name: str, window: Any, at: int, labels: Labels = OF_SHADOW) -> Estimate:
    """A difference of books."""
    return getattr(divergence, name)(books, labels, window, at)
