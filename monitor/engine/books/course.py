"""`Course`: a book over a stretch of time: what it began with, what it came through, the rows it rests on.

Knows no book and no window.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from monitor.engine.books.returns import Returns, StoredReturns
from monitor.engine.books.standing import NOTHING, Totals
from monitor.engine.panes import Offsets, cover
from monitor.state.records import read_value

StoredTotals = tuple[str, str, str, int, int, int, str | None]
"""Money as decimal text of an integer in 1e-18; answers lie apart."""


class Opening(NamedTuple):
    """Where a stretch of a book begins, ns, and what the book had come to."""

    at: int
    totals: Totals


class StoredOpening(msgspec.Struct, frozen=True, array_like=True):
    """As stored; `answers`: rows, and those answered."""

    at: int
    totals: StoredTotals
    answers: tuple[int, int]


class StoredCourse(msgspec.Struct, frozen=True, array_like=True):
    """As stored; money as decimal text of an integer in 1e-18: beyond 64 bits. `opened` is None where nothing
    was known of the book."""

    start: int
    opened: StoredTotals | None
    high: str | None
    instants: int
    gross: str
    gaps: tuple[int, str, str] = (0, "0", "0")
    offsets: Offsets = {}
    grid: StoredReturns | None = None
    daily: StoredReturns | None = None
    paired: StoredReturns | None = None
    paired_daily: StoredReturns | None = None
    answers: tuple[int, int] = (0, 0)
    common: StoredOpening | bool = True
    """True: the opening."""


class Course:
    """A stretch from `start` (ns) on, while it runs. Money in 1e-18 of the currency.

    `opened`: at its first instant. `known`: there was one; until then the stretch counts void returns alone.
    `common`: from where on it is compared: the first instant at which both books of the active were known,
    and this one too; None where there is none yet.

    Over its sound instants, `instants` of them: `high`, the highest profit, and `gross`, the sum of gross
    exposure. `gaps`: over instants at which the real book was sound too, how many, the sum of the gap to it
    and of its gross exposure. `grid`, `daily`: returns whose step ends in the stretch; `paired`,
    `paired_daily`: those less the real book's over the same steps. `offsets`: smallest and largest by input,
    of the rows in the finest panes that it touches.
    """

    __slots__ = (
        "common",
        "daily",
        "gaps",
        "grid",
        "gross",
        "high",
        "instants",
        "known",
        "offsets",
        "opened",
        "paired",
        "paired_daily",
        "start",
    )

    def __init__(self, start: int, opened: Totals | None) -> None:
        self.start, self.opened, self.known = start, opened or NOTHING, opened is not None
        self.common: Opening | None = None
        self.instants = self.gross = 0
        self.high: int | None = None
        self.gaps = (0, 0, 0)
        self.grid: Returns | None = None
        self.daily: Returns | None = None
        self.paired: Returns | None = None
        self.paired_daily: Returns | None = None
        self.offsets: Offsets = {}

    @property
    def high_water(self) -> int:
        """The highest profit, that at the start included."""
        opened = self.opened.profit
        return opened if self.high is None else max(opened, self.high)

    def open(self, at: int, opened: Totals) -> None:
        """The first instant at which the book is known."""
        self.start, self.opened, self.known = at, opened, True

    @property
    def opening(self) -> Opening:
        """Where it begins."""
        return Opening(self.start, self.opened)

    def take(self, profit: int, gross: int) -> None:
        """One sound instant."""
        if self.high is None or profit > self.high:
            self.high = profit
        self.gross += gross
        self.instants += 1

    def gap(self, gap: int, gross_real: int) -> None:
        """One instant at which the real book was sound too."""
        n, total, base = self.gaps
        self.gaps = (n + 1, total + gap, base + gross_real)

    def returned(self, name: str, step: int) -> Returns:
        """The returns of that name (`grid daily paired paired_daily`), begun where there are none."""
        found: Returns | None = getattr(self, name)
        if found is None:
            found = Returns(step)
            setattr(self, name, found)
        return found

    def add(self, later: Course) -> None:
        """Go on with the stretch that follows."""
        if later.known and not self.known:
            self.open(later.start, later.opened)
        if self.common is None:
            self.common = later.common
        if later.high is not None:
            self.high = later.high if self.high is None else max(self.high, later.high)
        self.instants += later.instants
        self.gross += later.gross
        if later.gaps[0]:
            n, total, base = later.gaps
            self.gaps = (self.gaps[0] + n, self.gaps[1] + total, self.gaps[2] + base)
        if later.grid is not None:
            self.returned("grid", later.grid.step).join(later.grid)
        if later.daily is not None:
            self.returned("daily", later.daily.step).join(later.daily)
        if later.paired is not None:
            self.returned("paired", later.paired.step).join(later.paired)
        if later.paired_daily is not None:
            self.returned("paired_daily", later.paired_daily.step).join(later.paired_daily)
        cover(self.offsets, later.offsets)

    @staticmethod
    def join(parts: Iterable[Course | None]) -> Course | None:
        """The stretch that consecutive ones make together; None where there is none."""
        whole: Course | None = None
        for part in parts:
            if part is not None:
                if whole is None:
                    whole = Course(part.start, None)
                whole.add(part)
        return whole

    def encode(self) -> bytes:
        """The stored form."""
        n, gap, base = self.gaps
        opened = self.opened
        return msgspec.msgpack.encode(
            StoredCourse(
                self.start,
                _stored(opened) if self.known else None,
                None if self.high is None else str(self.high),
                self.instants,
                str(self.gross),
                (n, str(gap), str(base)),
                dict(sorted(self.offsets.items())),
                _returns(self.grid),
                _returns(self.daily),
                _returns(self.paired),
                _returns(self.paired_daily),
                (opened.rows, opened.answered),
                self._common(),
            )
        )

    def _common(self) -> StoredOpening | bool:
        of = self.common
        if of is None or of == self.opening:
            return of is not None
        return StoredOpening(of.at, _stored(of.totals), (of.totals.rows, of.totals.answered))

    @staticmethod
    def decode(key: str, data: bytes, grid_ns: int) -> Course:
        """The stretch back from the record `key`; returns on another grid than `grid_ns` are left out.

        Raises:
            StateError: unreadable.
            ValueError: money that is no integer.
        """
        s = read_value(StoredCourse, key, data)
        opened = None if s.opened is None else _totals(s.opened, s.answers)
        made = Course(s.start, opened)
        if isinstance(s.common, StoredOpening):
            made.common = Opening(s.common.at, _totals(s.common.totals, s.common.answers))
        elif s.common and made.known:
            made.common = made.opening
        made.high = None if s.high is None else int(s.high)
        made.instants, made.gross = s.instants, int(s.gross)
        n, gap, base = s.gaps
        made.gaps = (n, int(gap), int(base))
        made.offsets = dict(s.offsets)
        made.grid, made.daily, made.paired, made.paired_daily = (
            Returns.of(each) if each is not None and each.step in (0, grid_ns) else None
            for each in (s.grid, s.daily, s.paired, s.paired_daily)
        )
        return made


def _returns(returns: Returns | None) -> StoredReturns | None:
    return None if returns is None else returns.stored()


def _stored(totals: Totals) -> StoredTotals:
    profit, fees, traded, ended, won, lost, benchmark, *_ = totals
    worth = None if benchmark is None else str(benchmark)
    return str(profit), str(fees), str(traded), ended, won, lost, worth


def _totals(stored: StoredTotals, answers: tuple[int, int]) -> Totals:
    profit, fees, traded, ended, won, lost, benchmark = stored
    worth = None if benchmark is None else int(benchmark)
    return Totals(int(profit), int(fees), int(traded), ended, won, lost, worth, *answers)
