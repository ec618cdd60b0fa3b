"""`Course`: a book over a stretch of time: what it began with, what it came through, the rows it rests on.

Knows no book and no window.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from monitor.engine.books.returns import Returns, StoredReturns
from monitor.engine.books.standing import Totals
from monitor.engine.panes import Offsets, cover
from monitor.state.records import read_value


class StoredCourse(msgspec.Struct, frozen=True, array_like=True):
    """As stored; money as decimal text of an integer in 1e-18: beyond 64 bits."""

    start: int
    opened: tuple[str, str, str, int, int, int, str | None]
    high: str | None
    instants: int
    gross: str
    gaps: tuple[int, str, str] = (0, "0", "0")
    offsets: Offsets = {}
    grid: StoredReturns | None = None
    daily: StoredReturns | None = None
    paired: StoredReturns | None = None
    paired_daily: StoredReturns | None = None


class Course:
    """A stretch from `start` (ns) on, while it runs. Money in 1e-18 of the currency.

    `opened`: at its first instant. Over its sound instants, `instants` of them: `high`, the highest profit,
    and `gross`, the sum of gross exposure. `gaps`: over instants at which the real book was sound too, how
    many, the sum of the gap to it and of its gross exposure. `grid`, `daily`: returns whose step ends in the
    stretch; `paired`, `paired_daily`: those less the real book's over the same steps. `offsets`: smallest and
    largest by input, of the rows in the finest panes that it touches.
    """

    __slots__ = (
        "daily",
        "gaps",
        "grid",
        "gross",
        "high",
        "instants",
        "offsets",
        "opened",
        "paired",
        "paired_daily",
        "start",
    )

    def __init__(self, start: int, opened: Totals) -> None:
        self.start, self.opened = start, opened
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
                    whole = Course(part.start, part.opened)
                whole.add(part)
        return whole

    def encode(self) -> bytes:
        """The stored form."""
        profit, fees, traded, ended, won, lost, benchmark = self.opened
        worth = None if benchmark is None else str(benchmark)
        n, gap, base = self.gaps
        return msgspec.msgpack.encode(
            StoredCourse(
                self.start,
                (str(profit), str(fees), str(traded), ended, won, lost, worth),
                None if self.high is None else str(self.high),
                self.instants,
                str(self.gross),
                (n, str(gap), str(base)),
                dict(sorted(self.offsets.items())),
                *(
                    None if each is None else each.stored()
                    for each in (self.grid, self.daily, self.paired, self.paired_daily)
                ),
            )
        )

    @staticmethod
    def decode(key: str, data: bytes, grid_ns: int) -> Course:
        """The stretch back from the record `key`; returns on another grid than `grid_ns` are left out.

        Raises:
            StateError: unreadable.
            ValueError: money that is no integer.
        """
        s = read_value(StoredCourse, key, data)
        profit, fees, traded, ended, won, lost, benchmark = s.opened
        worth = None if benchmark is None else int(benchmark)
        made = Course(s.start, Totals(int(profit), int(fees), int(traded), ended, won, lost, worth))
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
