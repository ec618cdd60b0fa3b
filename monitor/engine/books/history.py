"""`History`: the course of one book through windows, sessions and since promotion.

Each instant is taken once, by the running stretch; when that ends, it is joined to those it is a part of.
Knows no currency and no task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from monitor.engine.books.course import Course, Opening
from monitor.engine.books.standing import Standing, StoredStanding, standing_of, stored
from monitor.engine.panes import Offsets, cover
from monitor.event_time.calendar import Session
from monitor.state.records import read_value
from monitor.stats.estimate import Status

SESSION, PROMOTION = "session", "promotion"


class Daily(msgspec.Struct, frozen=True, array_like=True):
    """A session that closed, ns, and profit at its last sound instant, 1e-18 of the currency."""

    start_ns: int
    end_ns: int
    profit: str


class StoredNow(msgspec.Struct, frozen=True, array_like=True):
    """What `History` knows beside its courses."""

    latest: tuple[int, str] | None
    grid: tuple[int, str | None] | None
    daily: Daily | None
    frozen: tuple[int, StoredStanding] | None


class History:
    """One book. `longest`: by length of a ring's stretches, ns, the longest window it serves.

    `running`: the stretch of the finest pane, cut also where sessions begin and end. `session`, `promotion`:
    what is joined to them so far. `frozen`: when the session shown had closed, and how the book stood then.
    `latest`: the last sound instant and its profit; `grid`: the last instant of the grid of returns and its
    profit, None where it was not sound. `daily`: the last session that closed with a value.
    """

    def __init__(self, longest: Mapping[int, int], grid_ns: int) -> None:
        self._longest, self._grid_ns = longest, grid_ns
        self.running: Course | None = None
        self.rings: dict[int, dict[int, Course]] = {length: {} for length in sorted(longest)}
        self.named: dict[str, Course] = {}
        self.frozen: tuple[int, Standing] | None = None
        self.latest: tuple[int, int] | None = None
        self.grid: tuple[int, int | None] | None = None
        self.daily: tuple[Session, int] | None = None
        self.dirty: set[str] = set()
        """Keys of records, without the book: `running`, `now`, `ring/<length>/<start>`, `course/<window>`."""
        self._whole: dict[tuple[int, int], tuple[int, Course | None]] = {}

    @property
    def known(self) -> Course | None:
        """The running stretch, where something is known of it."""
        return self.running if self.running is not None and self.running.known else None

    def begin(self, at: int, standing: Standing) -> Course:
        """`at` is the first instant of the running stretch at which the book is known."""
        running = self._counting(at)
        running.open(at, standing.totals)
        return running

    def _counting(self, at: int) -> Course:
        """The running stretch, known or not, begun at `at` where there is none."""
        if self.running is None:
            self.running = Course(at, None)
        self.dirty.add("running")
        return self.running

    @property
    def waits(self) -> bool:
        """Whether the running stretch is known, and had no instant yet from which it is compared."""
        return self.known is not None and self.known.common is None

    def meet(self, at: int, standing: Standing) -> None:
        """At `at` this book and both of the active are known."""
        if self.known is not None:
            self.known.common = Opening(at, standing.totals)
            self.dirty.add("running")

    def part(self) -> None:
        """A book that this one is compared with begins anew."""
        for length, ring in self.rings.items():
            for start, course in ring.items():
                course.common = None
                self.dirty.add(f"ring/{length}/{start}")
        for window, course in self.named.items():
            course.common = None
            self.dirty.add(f"course/{window}")
        if self.running is not None:
            self.running.common = None
            self.dirty.add("running")
        self._whole.clear()

    def take(self, at: int, standing: Standing, gross_real: int | None) -> None:
        """An instant at which all is known; only a sound one counts.

        Args:
            gross_real: gross exposure of the real book; None where that is not sound, or not to be compared.
        """
        running = self.known or self.begin(at, standing)
        if standing.stale:
            return
        profit = standing.profit
        running.take(profit, standing.gross)
        if gross_real is not None:
            running.gap(standing.gap, gross_real)
        self.latest = (at, profit)
        self.dirty |= _TAKEN

    def step(self, at: int, session: Session | None, profit: int | None) -> int | None:
        """An instant of the grid of returns; the return of the step that ends there, if there is one.

        No step leads out of the session that runs before `at`. `profit`: None where the book is not sound.
        """
        begun, before = at - self._grid_ns, self.grid
        self.grid = (at, profit)
        self.dirty.add("now")
        if session is None or begun < session.start_ns or at > session.end_ns:
            return None
        if before is None or before[0] != begun:
            return None
        returns = self._counting(at - 1).returned("grid", self._grid_ns)
        if profit is None or before[1] is None:
            returns.void += 1
            return None
        value = profit - before[1]
        returns.take(value, begun, at)
        return value

    def pair(self, at: int, value: int) -> None:
        """The return of the step that ends at `at`, less the real book's."""
        if self.running is not None:
            self.running.returned("paired", self._grid_ns).take(value, at - self._grid_ns, at)

    def close(self, session: Session, previous: Session | None) -> tuple[int, int] | None:
        """A session ended: where its return begins, ns, and that return; None where there is none.

        From close to close, the night included; from its opening equity where the session before has none.
        """
        latest, before = self.latest, self.daily
        self.dirty |= _TAKEN
        if latest is None or latest[0] <= session.start_ns:
            self._counting(session.end_ns - 1).returned("daily", 0).void += 1
            return None
        course = self.named.get(SESSION) or self.running
        if course is None or not course.known:
            return None
        begun, opened = session.start_ns, course.opened.profit
        if before is not None and previous is not None and before[0] == previous:
            begun, opened = previous.end_ns, before[1]
        self.daily = (session, latest[1])
        if self.running is not None:
            self.running.returned("daily", 0).take(latest[1] - opened, begun, session.end_ns)
        return begun, latest[1] - opened

    def pair_daily(self, begun: int, end: int, value: int) -> None:
        """The return of a session, less the real book's."""
        if self.running is not None:
            self.running.returned("paired_daily", 0).take(value, begun, end)

    def cut(self, offsets: Offsets, *, in_session: bool, promoted_ns: int | None) -> None:
        """The running stretch ends; `offsets`: of the rows of its pane so far."""
        running = self.running
        if running is None:
            return
        if running.known:
            cover(running.offsets, offsets)
        for length, ring in self.rings.items():
            slot = running.start - running.start % length
            if slot in ring:
                ring[slot].add(running)
            else:
                ring[slot] = _copy(running)
                self._drop(length, slot - self._longest[length])
            self.dirty.add(f"ring/{length}/{slot}")
        if promoted_ns is None or running.start >= promoted_ns:
            self._join(PROMOTION, running)
        if in_session:
            self._join(SESSION, running)
        self.running = None
        self.dirty.add("running")

    def _join(self, window: str, running: Course) -> None:
        if window in self.named:
            self.named[window].add(running)
        else:
            self.named[window] = _copy(running)
        self.dirty.add(f"course/{window}")

    def _drop(self, length: int, oldest: int) -> None:
        ring = self.rings[length]
        for old in [start for start in ring if start < oldest]:
            del ring[old]
            self.dirty.add(f"ring/{length}/{old}")

    def freeze(self, at: int, standing: Standing | None, *, closing: bool) -> None:
        """The session has closed; `closing`: at the instant `at` itself, which belongs to it."""
        if standing is None:
            return
        course = self.named.get(SESSION)
        if closing and course is not None and course.known and standing.status is Status.OK:
            course.take(standing.profit, standing.gross)
            self.dirty.add(f"course/{SESSION}")
        self.frozen = (at, standing)
        self.dirty.add("now")

    def forget_session(self) -> None:
        """Another session is shown from now on."""
        if self.named.pop(SESSION, None) is not None:
            self.dirty.add(f"course/{SESSION}")
        self.frozen = None
        self.dirty.add("now")

    def restart(self) -> None:
        """What was before no longer counts."""
        self.dirty.update(f"course/{window}" for window in self.named)
        self.named.clear()
        for length, ring in self.rings.items():
            self.dirty.update(f"ring/{length}/{start}" for start in ring)
            ring.clear()
        self._whole.clear()
        self.running = self.frozen = self.grid = self.daily = self.latest = None
        self.dirty |= _TAKEN

    def of_window(self, window_ns: int, length: int, at: int) -> Course | None:
        """The course over a window of stretches of `length` ns: from its first stretch on."""
        ring, start = self.rings[length], at - at % length - window_ns
        newest = max(ring, default=None)
        if newest is None:
            return self._with_running(None, start, length)
        known = self._whole.get((window_ns, start))
        if known is None or known[0] != newest:
            parts = (ring[key] for key in sorted(ring) if start <= key < newest)
            for stale in [key for key in self._whole if key[0] == window_ns]:
                del self._whole[stale]
            known = self._whole[window_ns, start] = (newest, Course.join(parts))
        last = ring[newest] if newest >= start else None
        return self._with_running(Course.join((known[1], last)), start, length)

    def _with_running(self, before: Course | None, start: int, length: int) -> Course | None:
        running = self.running
        if running is None or running.start - running.start % length < start:
            return before
        return Course.join((before, running))

    def since(self, window: str, *, running: bool) -> Course | None:
        """The course of a named window; `running`: the running stretch is a part of it."""
        return Course.join((self.named.get(window), self.running if running else None))

    def late(self, start: int, end: int, offsets: Offsets) -> None:
        """Rows of a pane `[start, end)` that is past, which the stretches that touch it rest on."""
        for length, ring in self.rings.items():
            slot = start - start % length
            if slot in ring and ring[slot].known and _widened(ring[slot].offsets, offsets):
                self.dirty.add(f"ring/{length}/{slot}")
                self._whole.clear()
        for window, course in self.named.items():
            if course.known and course.start < end and _widened(course.offsets, offsets):
                self.dirty.add(f"course/{window}")

    def records(self) -> Iterator[tuple[str, bytes | None]]:
        """Records changed since the last call, by key without the book; None = deleted."""
        for key in sorted(self.dirty):
            kind, *rest = key.split("/")
            course: Course | None
            if kind == "now":
                yield key, self._encode()
                continue
            if kind == "running":
                course = self.running
            elif kind == "course":
                course = self.named.get(rest[0])
            else:
                course = self.rings[int(rest[0])].get(int(rest[1]))
            yield key, course.encode() if course is not None else None
        self.dirty.clear()

    def _encode(self) -> bytes | None:
        latest, grid, daily, frozen = self.latest, self.grid, self.daily, self.frozen
        if latest is None and grid is None and daily is None and frozen is None:
            return None
        return msgspec.msgpack.encode(
            StoredNow(
                None if latest is None else (latest[0], str(latest[1])),
                None if grid is None else (grid[0], None if grid[1] is None else str(grid[1])),
                None if daily is None else Daily(*daily[0], str(daily[1])),
                None if frozen is None else (frozen[0], stored(frozen[1])),
            )
        )

    def restore(self, key: str, kind: str, rest: list[str], data: bytes) -> None:
        """Go on from the record `key`; what is no longer kept is left out.

        Raises:
            StateError, ValueError: it cannot be read.
        """
        if kind == "now":
            self._restore_now(read_value(StoredNow, key, data))
            return
        course = Course.decode(key, data, self._grid_ns)
        if kind == "running":
            self.running = course
        elif kind == "course":
            self.named[rest[0]] = course
        elif int(rest[0]) in self.rings:
            self.rings[int(rest[0])][int(rest[1])] = course

    def _restore_now(self, now: StoredNow) -> None:
        self.latest = None if now.latest is None else (now.latest[0], int(now.latest[1]))
        self.grid = None
        if now.grid is not None:
            at, profit = now.grid
            self.grid = (at, None if profit is None else int(profit))
        daily, frozen = now.daily, now.frozen
        self.daily = None if daily is None else (Session(daily.start_ns, daily.end_ns), int(daily.profit))
        self.frozen = None if frozen is None else (frozen[0], standing_of(frozen[1]))


_TAKEN = frozenset({"now", "running"})


def _copy(course: Course) -> Course:
    copied = Course.join((course,))
    assert copied is not None
    return copied


def _widened(mine: Offsets, more: Offsets) -> bool:
    before = dict(mine)
    cover(mine, more)
    return mine != before
