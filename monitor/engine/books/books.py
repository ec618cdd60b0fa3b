"""`Books`: all books of a deployment over all its tasks, instant by instant.

Lives in fold 2 alone: the high-water mark of a sum is not the sum of high-water marks. Money is in 1e-18.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

from monitor.engine.books.account import Account, StoredFlows
from monitor.engine.books.benchmark import Benchmark, StoredBenchmark
from monitor.engine.books.blocks import EffectBlocks, Ended, StoredBlock
from monitor.engine.books.clock import Clock
from monitor.engine.books.course import Course
from monitor.engine.books.history import PROMOTION, SESSION, History
from monitor.engine.books.rates import Pair, Rates
from monitor.engine.books.rules import PerformanceRules
from monitor.engine.books.standing import UNASKED, Standing
from monitor.engine.panes import Offsets, cover, pane_length
from monitor.engine.partials import BookState, Mark
from monitor.errors import StateError
from monitor.event_time.calendar import Session
from monitor.state.records import read_value
from monitor.stats.estimate import Status
from monitor.trading.books import ACTIVE, PAPER, REAL, book_key

Window = int | Literal["session", "promotion"]
"""Nanoseconds, the running session (else the last one), or since the active was promoted."""

REAL_BOOK, TWIN_BOOK = book_key(ACTIVE, REAL), book_key(ACTIVE, PAPER)

Answers = Mapping[str, tuple[int, int]]
"""By role: feature rows so far, and those that its model answered."""


def model_of(book: str) -> str | None:
    """The role whose model decides what a book holds; None for the real book."""
    role, _, fills = book.partition(",fills=")
    return role.removeprefix("role=") if fills == PAPER else None


class Reading(NamedTuple):
    """A book over a window: how it stands at the end, `at` (ns), and what it came through."""

    standing: Standing
    course: Course
    at: int


class Books:
    """Books by key (`role=...,fills=...`).

    `flat`: books that hold nothing before their first rows, so that these count. `pairs`: what converts to
    the deployment's currency, by currency. `currency_of` a symbol, for the benchmark.
    """

    def __init__(
        self,
        books: Iterable[str],
        windows_ns: Iterable[int],
        rules: PerformanceRules,
        *,
        tick_ns: int,
        flat: Collection[str],
        pairs: Mapping[str, Pair] | None = None,
        currency_of: Callable[[str], str] | None = None,
    ) -> None:
        longest: dict[int, int] = {}
        for window in windows_ns:
            length = pane_length(window)
            longest[length] = max(window, longest.get(length, 0))
        self.rules = rules
        self._tick = tick_ns
        self._clock = Clock(rules.calendar, min(longest), rules.promoted_ns)
        self._flat = frozenset(flat)
        self._accounts = {book: Account() for book in books}
        self._models = {book: model_of(book) for book in self._accounts}
        self._histories = {book: History(longest, rules.grid_ns) for book in self._accounts}
        self.rates = Rates(rules.currency, pairs or {})
        self.benchmark = (
            Benchmark(rules.capital, rules.benchmark, currency_of or (lambda _: rules.currency))
            if rules.capital is not None
            else None
        )
        self._blocks = self._tested()
        self._begun: set[str] = set()
        self._fresh: set[str] = set()
        self._covers: dict[int, Offsets] = {}
        self.missing = False
        """Whether a task had not said its part at the last instant."""
        self._before: dict[str, Standing | None] = {}
        self._readings: dict[tuple[str, Window], Reading | None] = {}
        self._dirty: set[str] = set()

    def _tested(self) -> EffectBlocks | None:
        rules = self.rules
        papers = {role: book for book, role in self._models.items() if role is not None}
        shadows = {role: book for role, book in papers.items() if role != ACTIVE}
        if rules.block_ns is None or rules.capital is None:
            return None
        return EffectBlocks(rules.block_ns, rules.capital, TWIN_BOOK, shadows, rules.calendar)

    @property
    def books(self) -> tuple[str, ...]:
        """Keys of all books."""
        return tuple(self._accounts)

    @property
    def models(self) -> tuple[str, ...]:
        """Roles whose models stand behind a book."""
        return tuple(role for role in self._models.values() if role is not None)

    @property
    def currency(self) -> str:
        """What all money is in."""
        return self.rules.currency

    def news(self, task: int, books: Mapping[str, BookState], marks: Mapping[str, Mark]) -> bool:
        """Whether a task says anything else than last time."""
        said = {name: account.tasks.get(task) for name, account in self._accounts.items()}
        return self.rates.news(marks) or any(
            name in said and said[name] != state for name, state in books.items()
        )

    def fold(self, task: int, books: Mapping[str, BookState], marks: Mapping[str, Mark]) -> bool:
        """A task's books and marks as of its latest instant; whether they differ from what it last said."""
        changed = False
        for name, state in books.items():
            account = self._accounts.get(name)
            if account is not None and account.tasks.get(task) != state:
                account.say(task, state)
                self._dirty.add(f"book/{name}/{task}")
                changed = True
        if marks:
            fresh = self.rates.take(marks)
            self._fresh.update(fresh)
            self._dirty.update(f"mark/{symbol}" for symbol in fresh)
            changed |= bool(fresh)
        return changed

    def cover(self, start: int, end: int, offsets: Offsets) -> None:
        """Rows of the finest pane `[start, end)` so far; before the instant at which they are taken."""
        clock = self._clock
        if not offsets:
            return
        if clock.at is None or start >= clock.slot(clock.at):
            cover(self._covers.setdefault(start, {}), offsets)
            self._dirty.add("cover/open")
        else:
            for history in self._histories.values():
                history.late(start, end, offsets)

    def take(self, at: int, answers: Answers | None = None, *, missing: bool) -> list[Ended]:
        """All tasks have said their books at `at`, but for the missing ones: those stand as last said.

        `answers`: as of `at`; None: no model was asked. Stale equity may begin a stretch, so that a task that
        stands still disarms no window; it never raises a high-water mark. Returns the block that ended, where
        one did.
        """
        clock = self._clock
        if clock.at is None:
            clock.begin(at, self._tick)
            self._forget_older(clock.session or clock.shown)
        session = clock.session
        if session is not None and clock.shown != session:
            self._show(session)
        if session is not None and at > session.end_ns:
            self._before = self._standings()
        self._value(at, answers or {}, missing=missing)
        self._begin_flat(at - self._tick)
        if at % self.rules.grid_ns == 0:
            self._step(at)
        if session is not None and at >= session.end_ns:
            self._close(session, at)
        if at >= clock.until:
            self._cut(at, session)
        self._run(at)
        ended = self._blocks.take(at, self._standings()) if self._blocks is not None else []
        clock.at, self.missing = at, missing
        self._dirty.add("clock/at")
        self._readings.clear()
        return ended

    def _forget_older(self, session: Session | None) -> None:
        """What was kept, under another configuration, of a session before."""
        for history in self._histories.values():
            course = history.named.get(SESSION)
            if course is not None and session is not None and course.start < session.start_ns:
                history.forget_session()

    def _show(self, session: Session) -> None:
        self._clock.shown = session
        for history in self._histories.values():
            history.forget_session()

    def _value(self, at: int, answers: Answers, *, missing: bool) -> None:
        rules, benchmark = self.rules, self.benchmark
        worth, sound = None, False
        if benchmark is not None:
            benchmark.take(at, self._fresh, self.rates, rules.staleness_ns, missing=missing)
            worth, sound = benchmark.worth, benchmark.sound
        self._fresh.clear()
        for name, account in self._accounts.items():
            asked = answers.get(self._models[name] or "", UNASKED)
            account.take(at, self.rates, rules.staleness_ns, (worth, sound), asked, missing=missing)
            if account.converted:
                self._dirty.add(f"flows/{name}")

    def _standings(self) -> dict[str, Standing | None]:
        return {name: account.standing for name, account in self._accounts.items()}

    def _begin_flat(self, before: int) -> None:
        """A book that held nothing before its first rows begins one instant before them, at zero."""
        new = self._accounts.keys() - self._begun
        self._begun |= new
        flat = new & self._flat
        worth = self.rules.capital if self.benchmark is not None else None
        nothing = Standing(0, 0, 0, Status.OK, False, benchmark=worth, sound_benchmark=True)
        if new & {REAL_BOOK, TWIN_BOOK}:
            # Under another configuration the real book goes on, and those on paper begin anew.
            self._part()
        for name in flat:
            self._histories[name].take(before, nothing, None)
            self._histories[name].latest = None
        self._meet(before, dict.fromkeys(flat, nothing))

    def _step(self, at: int) -> None:
        """An instant of the grid of returns."""
        made: dict[str, int | None] = {}
        for name, history in self._histories.items():
            standing = self._accounts[name].standing
            sound = standing is not None and standing.status is Status.OK
            made[name] = history.step(
                at, self._clock.session, standing.profit if sound and standing is not None else None
            )
        real = made.get(REAL_BOOK)
        if real is not None:
            for name, value in made.items():
                if value is not None and name != REAL_BOOK:
                    self._histories[name].pair(at, value - real)

    def _close(self, session: Session, at: int) -> None:
        """The running session has ended by `at`: its returns."""
        previous = self._clock.before(session)
        made: dict[str, tuple[int, int] | None] = {}
        for name, history in self._histories.items():
            standing = self._accounts[name].standing
            if at == session.end_ns and standing is not None and standing.status is Status.OK:
                history.latest = (at, standing.profit)
            made[name] = history.close(session, previous)
        real = made.get(REAL_BOOK)
        if real is not None:
            for name, value in made.items():
                if value is not None and name != REAL_BOOK and value[0] == real[0]:
                    self._histories[name].pair_daily(value[0], session.end_ns, value[1] - real[1])

    def _cut(self, at: int, session: Session | None) -> None:
        """The running stretches end, and where the session does, it is frozen."""
        clock = self._clock
        assert clock.at is not None
        offsets = self._covers.get(clock.slot(clock.at), {})
        for history in self._histories.values():
            history.cut(offsets, in_session=session is not None, promoted_ns=self.rules.promoted_ns)
        if self._blocks is not None:
            self._blocks.cover(offsets)
        for pane in [pane for pane in self._covers if pane < clock.slot(at)]:
            del self._covers[pane]
            self._dirty.add("cover/open")
        clock.enter(at)
        if session is not None and at >= session.end_ns:
            closing = at == session.end_ns
            for name, history in self._histories.items():
                standing = self._accounts[name].standing if closing else self._before[name]
                history.freeze(at if closing else clock.at, standing, closing=closing)
            if clock.session is not None and at > max(clock.session.start_ns, session.end_ns):
                self._show(clock.session)

    def _run(self, at: int) -> None:
        real = self._accounts[REAL_BOOK].standing if REAL_BOOK in self._accounts else None
        compared = real.gross if real is not None and real.status is Status.OK else None
        for name, account in self._accounts.items():
            standing = account.standing
            if standing is not None and standing.readable:
                gross = compared if name == TWIN_BOOK else None
                self._histories[name].take(at, standing, gross)
        self._meet(at, self._standings())

    def _meet(self, at: int, standings: Mapping[str, Standing | None]) -> None:
        """Books are compared from the first instant on at which both of the active are known."""
        for book in (REAL_BOOK, TWIN_BOOK):
            standing = standings.get(book)
            if standing is None or not standing.readable or not self._histories[book].waits:
                return
        for name, standing in standings.items():
            if standing is not None and standing.readable:
                self._histories[name].meet(at, standing)

    def restart(self, books: Iterable[str]) -> None:
        """After a reset: what these books lost before no longer counts; high-water marks begin anew."""
        for name in books:
            self._histories[name].restart()
        self._part()
        if self._blocks is not None:
            self._blocks.restart()
        self._readings.clear()

    def _part(self) -> None:
        """Some books begin anew: all are compared from the next instant on."""
        for history in self._histories.values():
            history.part()

    def standing(self, book: str) -> Standing | None:
        """The book as last taken; None where there is no such book, or no instant."""
        account = self._accounts.get(book)
        return account.standing if account is not None else None

    def blind(self, book: str) -> dict[str, list[str]]:
        """What a book is unknown for, or stale: symbols and currencies by cause (`estimate.BLIND`)."""
        at = self._clock.at
        standing = self.standing(book)
        if at is None or standing is None or standing.status is Status.OK:
            return {}
        return self._accounts[book].blind(at, self.rates, self.rules.staleness_ns)

    def tasks(self, book: str) -> Mapping[int, BookState]:
        """What each task last said of the book."""
        return self._accounts[book].tasks

    def reading(self, book: str, window: Window) -> Reading | None:
        """A book over a window as of the last instant; None where nothing of it is known."""
        key = (book, window)
        if key not in self._readings:
            self._readings[key] = self._read(book, window)
        return self._readings[key]

    def _read(self, book: str, window: Window) -> Reading | None:
        history, standing = self._histories.get(book), self.standing(book)
        if history is None or standing is None or self._clock.at is None:
            return None
        if window == SESSION and history.frozen is not None:
            at, standing = history.frozen
            course = history.since(SESSION, running=False)
        else:
            at, course = self._clock.at, self._course(history, window)
        return Reading(standing, course, at) if course is not None and course.known else None

    def _course(self, history: History, window: Window) -> Course | None:
        at = self._clock.at
        assert at is not None
        if isinstance(window, int):
            return history.of_window(window, pane_length(window), at)
        return history.since(window, running=self._running_in(history, window))

    def _running_in(self, history: History, window: Window) -> bool:
        """Whether the running stretch is a part of a window."""
        if history.running is None:
            return False
        if window == SESSION:
            return self._clock.session is not None and history.frozen is None
        promoted = self.rules.promoted_ns
        return window != PROMOTION or promoted is None or history.running.start >= promoted

    def covered(self, book: str, window: Window) -> Offsets:
        """Smallest and largest offset by input of the rows that a book's figures over a window rest on."""
        reading, history = self.reading(book, window), self._histories.get(book)
        if reading is None or history is None:
            return {}
        offsets = dict(reading.course.offsets)
        if self._running_in(history, window) and history.running is not None:
            cover(offsets, self._covers.get(self._clock.slot(history.running.start), {}))
        return dict(sorted(offsets.items()))

    def returns_sound(self, reading: Reading, *, daily: bool) -> bool:
        """Whether the last return that was due is there: of the last session that closed, or, on the grid,
        of a session that runs; outside sessions none is due."""
        if self.missing or not reading.standing.readable:
            return False
        if not daily:
            return reading.standing.status is Status.OK or not self._clock.open(reading.at)
        closed, returns = self._clock.closed(reading.at), reading.course.daily
        return closed is None or (returns is not None and returns.to_ns >= closed.end_ns)

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out: dict[str, bytes | None] = {}
        for key in sorted(self._dirty):
            out[f"equity/{key}"] = self._record(*key.split("/", 1))
        self._dirty.clear()
        for name, history in self._histories.items():
            for key, data in history.records():
                kind, _, rest = key.partition("/")
                out["/".join(("equity", kind, name, *([rest] if rest else [])))] = data
        if self.benchmark is not None and self.benchmark.dirty:
            out["equity/benchmark/held"] = self.benchmark.encode()
        if self._blocks is not None and self._blocks.dirty:
            out["equity/block/running"] = self._blocks.encode()
        return out

    def _record(self, kind: str, rest: str) -> bytes:
        encode = msgspec.msgpack.encode
        if kind == "book":
            name, _, task = rest.rpartition("/")
            return encode(self._accounts[name].tasks[int(task)])
        if kind == "flows":
            return encode(self._accounts[rest].flows())
        if kind == "mark":
            return encode(self.rates.marks[rest])
        if kind == "clock":
            return encode(self._clock.at)
        covers = sorted(self._covers.items())
        return encode({str(pane): dict(sorted(offsets.items())) for pane, offsets in covers})

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from committed records; those of books that are no longer kept are left out.

        Raises:
            StateError: a record cannot be read.
        """
        benchmark = None
        for key, data in records.items():
            top, _, rest = key.partition("/")
            if top != "equity":
                continue
            try:
                kind, _, rest = rest.partition("/")
                if kind == "benchmark":
                    benchmark = read_value(StoredBenchmark, key, data)
                else:
                    self._restore(key, kind, rest, data)
            except (ValueError, TypeError, IndexError) as error:
                raise StateError(f"state record {key!r} cannot be read: {error}") from error
        if benchmark is not None and self.benchmark is not None:
            self.benchmark.restore(benchmark, self.rates)
        self._dirty.clear()

    def _restore(self, key: str, kind: str, rest: str, data: bytes) -> None:
        if kind == "mark":
            self.rates.take({rest: read_value(Mark, key, data)})
        elif kind == "cover":
            covers = read_value(dict[str, Offsets], key, data)
            self._covers = {int(pane): dict(offsets) for pane, offsets in covers.items()}
        elif kind == "clock":
            self._clock.resume(read_value(int, key, data))
        elif kind == "block":
            if self._blocks is not None:
                self._blocks.restore(read_value(StoredBlock, key, data))
        else:
            self._restore_book(key, kind, rest, data)

    def _restore_book(self, key: str, kind: str, rest: str, data: bytes) -> None:
        name, *more = rest.split("/")
        if name not in self._accounts:
            return
        self._begun.add(name)
        account, history = self._accounts[name], self._histories[name]
        if kind == "book":
            account.say(int(more[0]), read_value(BookState, key, data))
            account.add_up()
        elif kind == "flows":
            account.restore(read_value(dict[str, StoredFlows], key, data))
        else:
            history.restore(key, kind, more, data)
            history.dirty.clear()
