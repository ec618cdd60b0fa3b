"""`EquitySequences`: equity of each book summed over tasks at one instant, and what depends on its course.

Lives in fold 2 alone: the high-water mark of a sum is not the sum of high-water marks. Money is in 1e-18.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from monitor.engine.panes import pane_length
from monitor.engine.partials import BookState
from monitor.event_time.timing import DAY_NS
from monitor.stats.estimate import Estimate, Status

Window = int | Literal["session", "promotion"]


class Stretch(msgspec.Struct, frozen=True, array_like=True):
    """Equity over a stretch of time: at its start, highest, and instants seen. Money as decimal text."""

    start: int
    opened: str
    high: str
    instants: int


class _Course:
    """A stretch while it runs."""

    __slots__ = ("high", "instants", "opened", "start")

    def __init__(self, start: int, opened: int) -> None:
        self.start, self.opened, self.high, self.instants = start, opened, opened, 0

    def take(self, equity: int) -> None:
        self.high = max(self.high, equity)
        self.instants += 1

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(Stretch(self.start, str(self.opened), str(self.high), self.instants))

    @staticmethod
    def decode(data: bytes) -> _Course:
        stretch = msgspec.msgpack.decode(data, type=Stretch)
        course = _Course(stretch.start, int(stretch.opened))
        course.high, course.instants = int(stretch.high), stretch.instants
        return course


class Standing(msgspec.Struct, frozen=True):
    """A book at an instant. `cash`, `value`, `transfers` in 1e-18 of `currency`."""

    cash: int
    value: int
    transfers: int
    status: Status
    stale: bool

    @property
    def equity(self) -> int:
        return self.cash + self.value

    @property
    def profit(self) -> int:
        """Equity less what was paid in: only its differences mean anything."""
        return self.equity - self.transfers


class _Book:
    def __init__(self, lengths: Iterable[int]) -> None:
        self.tasks: dict[int, BookState] = {}
        self.courses: dict[str, _Course] = {}
        self.rings: dict[int, dict[int, _Course]] = {length: {} for length in lengths}
        self.standing: Standing | None = None
        self.sums: tuple[int, int, int] = (0, 0, 0)
        self.complete, self.foreign, self.oldest = True, False, 0


class EquitySequences:
    """Books by key (`role=...,fills=...`). `capital` in 1e-18 of `currency`, None: no drawdown exists.

    `promoted_ns`: when the active was promoted; None: the promotion window begins with the first instant.
    """

    def __init__(
        self,
        books: Iterable[str],
        windows_ns: Iterable[int],
        *,
        currency: str,
        capital: int | None,
        staleness_ns: int,
        promoted_ns: int | None,
    ) -> None:
        self._windows = tuple(windows_ns)
        self._lengths = sorted({pane_length(w) for w in self._windows})
        self._books = {book: _Book(self._lengths) for book in books}
        self.currency, self._capital, self._staleness = currency, capital, staleness_ns
        self._promoted = promoted_ns
        self._dirty: set[str] = set()

    @property
    def books(self) -> tuple[str, ...]:
        """Keys of all books."""
        return tuple(self._books)

    def fold(self, task: int, books: Mapping[str, BookState]) -> bool:
        """A task's books as of its latest instant; whether they differ from what it last said."""
        changed = False
        for name, state in books.items():
            if name not in self._books or self._books[name].tasks.get(task) == state:
                continue
            changed = True
            book = self._books[name]
            book.tasks[task] = state
            self._dirty.add(f"book/{name}/{task}")
            cash = value = transfers = 0
            book.complete, book.foreign, book.oldest = True, False, 0
            for part in book.tasks.values():
                book.complete &= part.complete
                if part.mark_ts:
                    book.oldest = min(book.oldest or part.mark_ts, part.mark_ts)
                for currency, (a, b, c) in part.money.items():
                    if currency == self.currency:
                        cash, value, transfers = cash + int(a), value + int(b), transfers + int(c)
                    elif (a, b) != ("0", "0"):
                        book.foreign = True
            book.sums = (cash, value, transfers)
        return changed

    def take(self, at: int, *, missing: bool) -> None:
        """All tasks have said their books at `at`, but for the missing ones: those stand as last said."""
        for name, book in self._books.items():
            stale = missing or (book.oldest != 0 and at - book.oldest > self._staleness)
            known = book.complete and not book.foreign
            status = Status.OK if known and not stale else Status.UNKNOWN
            book.standing = Standing(*book.sums, status, stale and known)
            if status is not Status.OK:
                continue
            profit = book.standing.profit
            for length, ring in book.rings.items():
                start = at // length * length
                if start not in ring:
                    ring[start] = _Course(at, profit)
                    oldest = at - max(w for w in self._windows if pane_length(w) == length) - length
                    for key in [key for key in ring if key < oldest]:
                        del ring[key]
                        self._dirty.add(f"ring/{name}/{length}/{key}")
                ring[start].take(profit)
                self._dirty.add(f"ring/{name}/{length}/{start}")
            session = book.courses.get("session")
            if session is None or session.start // DAY_NS != at // DAY_NS:
                session = book.courses["session"] = _Course(at, profit)
            session.take(profit)
            self._dirty.add(f"course/{name}/session")
            if self._promoted is None or at >= self._promoted:
                book.courses.setdefault("promotion", _Course(at, profit)).take(profit)
                self._dirty.add(f"course/{name}/promotion")

    def restart(self) -> None:
        """After a reset: what was lost before no longer counts; high-water marks begin anew."""
        for name, book in self._books.items():
            for window in book.courses:
                self._dirty.add(f"course/{name}/{window}")
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

    def equity(self, name: str, at: int) -> Estimate:
        """Cash + quantity x mark, integer in 1e-18; on the last marks and flagged `stale` where they are."""
        standing = self._books[name].standing if name in self._books else None
        if standing is None:
            return _unknown(at, at)
        return self._estimate(standing, standing.equity, 1, at, at)

    def profit(self, name: str, window: Window, at: int) -> Estimate:
        """P&L after costs since the window began, integer in 1e-18."""
        standing, course = self._course(name, window, at)
        if standing is None or course is None:
            return _unknown(at, at)
        return self._estimate(standing, standing.profit - course.opened, course.instants, course.start, at)

    def drawdown(self, name: str, window: Window, at: int) -> Estimate:
        """(high-water mark - E) / high-water mark, E = capital + P&L since the window began: a fraction.

        The start belongs to the high-water mark; correctly rounded from exact integers.
        """
        standing, course = self._course(name, window, at)
        if self._capital is None:
            return Estimate(value=None, n=0, status=Status.NOT_APPLICABLE, from_ns=at, to_ns=at)
        if standing is None or course is None:
            return _unknown(at, at)
        high = self._capital + course.high - course.opened
        now = self._capital + standing.profit - course.opened
        fraction = max(0, high - now) / high
        return self._estimate(standing, fraction, course.instants, course.start, at)

    def _course(self, name: str, window: Window, at: int) -> tuple[Standing | None, _Course | None]:
        book = self._books.get(name)
        if book is None:
            return None, None
        if isinstance(window, str):
            return book.standing, book.courses.get(window)
        length = pane_length(window)
        start = at // length * length - window
        parts = [course for key, course in sorted(book.rings[length].items()) if start <= key <= at]
        if not parts:
            return book.standing, None
        whole = _Course(parts[0].start, parts[0].opened)
        whole.high = max(part.high for part in parts)
        whole.instants = sum(part.instants for part in parts)
        return book.standing, whole

    @staticmethod
    def _estimate(standing: Standing, value: float | int, n: int, start: int, at: int) -> Estimate:
        shown = value if standing.status is Status.OK or standing.stale else None
        return Estimate(
            value=shown, n=n, status=standing.status, from_ns=start, to_ns=at, stale=standing.stale
        )

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
        """Go on from committed records."""
        for key, data in records.items():
            top, *rest = key.split("/")
            if top != "equity" or rest[1] not in self._books:
                continue
            kind, name = rest[0], rest[1]
            book = self._books[name]
            if kind == "book":
                self.fold(int(rest[2]), {name: msgspec.msgpack.decode(data, type=BookState)})
            elif kind == "course":
                book.courses[rest[2]] = _Course.decode(data)
            elif int(rest[2]) in book.rings:
                book.rings[int(rest[2])][int(rest[3])] = _Course.decode(data)
        self._dirty.clear()


def _unknown(start: int, at: int) -> Estimate:
    return Estimate(value=None, n=0, status=Status.UNKNOWN, from_ns=start, to_ns=at)
