"""`EquitySequences`: equity of each book summed over tasks at one instant, and what depends on its course.

Lives in fold 2 alone: the high-water mark of a sum is not the sum of high-water marks. Money is in 1e-18.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from monitor.engine.courses import Course
from monitor.engine.panes import Offsets, cover, pane_length
from monitor.engine.partials import BookState
from monitor.errors import StateError
from monitor.event_time.timing import DAY_NS
from monitor.state.records import read_value
from monitor.stats.estimate import Estimate, Status
from monitor.trading.performance import drawdown, net_profit
from monitor.trading.units import format_money

Window = int | Literal["session", "promotion"]
"""Nanoseconds, the UTC day, or since the active was promoted."""


class Standing(msgspec.Struct, frozen=True):
    """A book at an instant. `cash`, `value`, `transfers` in 1e-18 of the deployment's currency.

    `stale`: all is known, but some of it only as it was: of an old mark, or of a task that is missing.
    """

    cash: int
    value: int
    transfers: int
    status: Status
    stale: bool

    @property
    def readable(self) -> bool:
        """Whether equity leaves nothing out, though it may be as it was a while ago."""
        return self.status is Status.OK or self.stale

    @property
    def equity(self) -> int:
        """Cash and positions at their marks."""
        return self.cash + self.value

    @property
    def profit(self) -> int:
        """Equity less what was paid in: only its differences mean anything."""
        return net_profit(self.equity, self.transfers)


class _Book:
    def __init__(self, lengths: Iterable[int]) -> None:
        self.tasks: dict[int, BookState] = {}
        self.courses: dict[str, Course] = {}
        self.rings: dict[int, dict[int, Course]] = {length: {} for length in lengths}
        self.standing: Standing | None = None
        self.sums: tuple[int, int, int] = (0, 0, 0)
        self.complete, self.foreign, self.oldest = True, False, 0
        self.begun = False


class EquitySequences:
    """Books by key (`role=...,fills=...`).

    `capital` in 1e-18 of `currency`, None: no drawdown exists. `flat`: books that hold nothing before their
    first rows, so that these count. `promoted_ns`: when the active was promoted; None: the promotion window
    begins with the first instant.
    """

    def __init__(
        self,
        books: Iterable[str],
        windows_ns: Iterable[int],
        *,
        tick_ns: int,
        currency: str,
        capital: int | None,
        staleness_ns: int,
        promoted_ns: int | None,
        flat: Collection[str],
    ) -> None:
        self._longest: dict[int, int] = {}
        for window in windows_ns:
            length = pane_length(window)
            self._longest[length] = max(window, self._longest.get(length, 0))
        self._books = {book: _Book(sorted(self._longest)) for book in books}
        self.currency, self._capital, self._staleness = currency, capital, staleness_ns
        self._promoted, self._tick, self._flat = promoted_ns, tick_ns, flat
        self._dirty: set[str] = set()

    @property
    def books(self) -> tuple[str, ...]:
        """Keys of all books."""
        return tuple(self._books)

    def news(self, task: int, books: Mapping[str, BookState]) -> list[str]:
        """Of which books a task says anything else than last time."""
        known = {name: book.tasks.get(task) for name, book in self._books.items()}
        return [name for name, state in books.items() if name in known and known[name] != state]

    def fold(self, task: int, books: Mapping[str, BookState]) -> bool:
        """A task's books as of its latest instant; whether they differ from what it last said."""
        news = self.news(task, books)
        for name in news:
            book, state = self._books[name], books[name]
            book.tasks[task] = state
            self._dirty.add(f"book/{name}/{task}")
            cash = value = transfers = 0
            book.complete, book.foreign, book.oldest = True, False, 0
            for part in book.tasks.values():
                book.complete &= part.complete
                if part.mark_ts:
                    book.oldest = min(book.oldest or part.mark_ts, part.mark_ts)
                for currency, money in part.money.items():
                    if currency == self.currency:
                        cash += int(money.cash)
                        value += int(money.value)
                        transfers += int(money.transfers)
                    elif (money.cash, money.value) != ("0", "0"):
                        book.foreign = True
            book.sums = (cash, value, transfers)
        return bool(news)

    def take(self, at: int, *, missing: bool) -> None:
        """All tasks have said their books at `at`, but for the missing ones: those stand as last said.

        Stale equity may begin a stretch, so that a task that stands still disarms no window; it never raises
        a high-water mark.
        """
        for name, book in self._books.items():
            stale = missing or (book.oldest != 0 and at - book.oldest > self._staleness)
            known = book.complete and not book.foreign
            status = Status.OK if known and not stale else Status.UNKNOWN
            book.standing = Standing(*book.sums, status, stale and known)
            if not book.begun and name in self._flat:
                self._run(name, book, at - self._tick, 0, sound=True)
            book.begun = True
            if known:
                self._run(name, book, at, book.standing.profit, sound=not stale)

    def cover(self, start: int, end: int, offsets: Offsets) -> None:
        """Rows of the finest pane `[start, end)` so far, which the stretches that touch it rest on."""
        for name, book in self._books.items():
            touched = {f"course/{name}/{w}": c for w, c in book.courses.items() if c.start < end}
            for length, ring in book.rings.items():
                slot = start - start % length
                if slot in ring:
                    touched[f"ring/{name}/{length}/{slot}"] = ring[slot]
            for key, course in touched.items():
                before = dict(course.offsets)
                cover(course.offsets, offsets)
                if course.offsets != before:
                    self._dirty.add(key)

    def _run(self, name: str, book: _Book, at: int, profit: int, *, sound: bool) -> None:
        for key, course in self._running(name, book, at, profit):
            if sound:
                course.take(profit)
                self._dirty.add(key)

    def _running(self, name: str, book: _Book, at: int, profit: int) -> Iterator[tuple[str, Course]]:
        """The stretches that `at` lies in, those that begin with it included, by the key of their record."""
        for length, ring in book.rings.items():
            slot = at - at % length
            key = f"ring/{name}/{length}/{slot}"
            if slot not in ring:
                ring[slot] = Course(at, profit)
                self._dirty.add(key)
                oldest = slot - self._longest[length]
                for old in [start for start in ring if start < oldest]:
                    del ring[old]
                    self._dirty.add(f"ring/{name}/{length}/{old}")
            yield key, ring[slot]
        began = {"session": at - at % DAY_NS, "promotion": self._promoted}
        for window, since in began.items():
            course = book.courses.get(window)
            if since is None or at >= since:
                if course is None or (since is not None and course.start < since):
                    course = book.courses[window] = Course(at, profit)
                    self._dirty.add(f"course/{name}/{window}")
                yield f"course/{name}/{window}", course

    def restart(self, books: Iterable[str]) -> None:
        """After a reset: what these books lost before no longer counts; high-water marks begin anew."""
        for name in books:
            book = self._books[name]
            self._dirty.update(f"course/{name}/{window}" for window in book.courses)
            book.courses.clear()
            for length, ring in book.rings.items():
                self._dirty.update(f"ring/{name}/{length}/{start}" for start in ring)
                ring.clear()

    def standing(self, book: str) -> Standing | None:
        """The book as last taken."""
        return self._books[book].standing

    def tasks(self, book: str) -> Mapping[int, BookState]:
        """What each task last said of the book."""
        return self._books[book].tasks

    def covered(self, name: str, window: Window, at: int) -> Offsets:
        """Smallest and largest offset by input of the rows that a book's figures over a window rest on."""
        _, course = self._course(name, window, at)
        return dict(sorted(course.offsets.items())) if course is not None else {}

    def equity(self, name: str, at: int) -> Estimate:
        """Cash + quantity x mark, integer in 1e-18; on the last marks and flagged `stale` where they are."""
        standing = self._books[name].standing if name in self._books else None
        if standing is None:
            return _unknown(at)
        return _estimate(standing, standing.equity, 1, at, at, {})

    def profit(self, name: str, window: Window, at: int) -> Estimate:
        """P&L after costs since the window began, integer in 1e-18. `extra`: profit at its start."""
        standing, course = self._course(name, window, at)
        if standing is None or course is None:
            return _unknown(at)
        profit = standing.profit - course.opened
        extra = {"opened": format_money(course.opened)}
        return _estimate(standing, profit, course.instants, course.start, at, extra)

    def drawdown(self, name: str, window: Window, at: int) -> Estimate:
        """(high-water mark - E) / high-water mark, E = capital + P&L since the window began: a fraction.

        The start belongs to the high-water mark; correctly rounded from exact integers. `extra`: capital,
        high-water mark and E.
        """
        if self._capital is None:
            return Estimate(value=None, n=0, status=Status.NOT_APPLICABLE, from_ns=at, to_ns=at)
        standing, course = self._course(name, window, at)
        if standing is None or course is None:
            return _unknown(at)
        high = self._capital + course.high_water - course.opened
        now = self._capital + standing.profit - course.opened
        extra = {
            "capital": format_money(self._capital),
            "high_water": format_money(high),
            "equity": format_money(now),
        }
        fraction = drawdown(high, min(high, now))
        return _estimate(standing, fraction, course.instants, course.start, at, extra)

    def _course(self, name: str, window: Window, at: int) -> tuple[Standing | None, Course | None]:
        book = self._books.get(name)
        if book is None:
            return None, None
        if isinstance(window, str):
            return book.standing, book.courses.get(window)
        length = pane_length(window)
        start = at - at % length - window
        parts = [course for key, course in sorted(book.rings[length].items()) if start <= key <= at]
        return book.standing, Course.join(parts) if parts else None

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out: dict[str, bytes | None] = {}
        for key in sorted(self._dirty):
            kind, name, *rest = key.split("/")
            book = self._books[name]
            if kind == "book":
                out[f"equity/{key}"] = msgspec.msgpack.encode(book.tasks[int(rest[0])])
                continue
            course = (
                book.courses.get(rest[0]) if kind == "course" else book.rings[int(rest[0])].get(int(rest[1]))
            )
            out[f"equity/{key}"] = course.encode() if course else None
        self._dirty.clear()
        return out

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from committed records; those of books that are no longer kept are left out.

        Raises:
            StateError: a record cannot be read.
        """
        for key, data in records.items():
            top, *rest = key.split("/")
            if top != "equity":
                continue
            try:
                self._restore(key, *rest, data=data)
            except (ValueError, TypeError) as error:
                raise StateError(f"state record {key!r} cannot be read: {error}") from error
        self._dirty.clear()

    def _restore(self, key: str, kind: str, name: str, what: str, start: str = "", *, data: bytes) -> None:
        book = self._books.get(name)
        if book is None:
            return
        book.begun = True
        if kind == "book":
            self.fold(int(what), {name: read_value(BookState, key, data)})
        elif kind == "course":
            book.courses[what] = Course.decode(key, data)
        elif int(what) in book.rings:
            book.rings[int(what)][int(start)] = Course.decode(key, data)


def _estimate(
    standing: Standing, value: float | int, n: int, start: int, at: int, extra: dict[str, Any]
) -> Estimate:
    shown = value if standing.status is Status.OK or standing.stale else None
    return Estimate(
        value=shown,
        n=n,
        status=standing.status,
        from_ns=start,
        to_ns=at,
        stale=standing.stale,
        extra=extra,
    )


def _unknown(at: int) -> Estimate:
    return Estimate(value=None, n=0, status=Status.UNKNOWN, from_ns=at, to_ns=at)
