"""`Course`: profit over a stretch of time: at its start, and highest, and the rows it rests on.

Knows no book and no window.
"""

from __future__ import annotations

import msgspec

from monitor.engine.panes import Offsets, cover
from monitor.state.records import read_value


class Stretch(msgspec.Struct, frozen=True, array_like=True):
    """Profit over a stretch of time: at its start, highest (None: no instant was sound), and sound instants.

    Money as decimal text of an integer in 1e-18: beyond 64 bits.
    """

    start: int
    opened: str
    high: str | None
    instants: int
    offsets: Offsets = {}


class Course:
    """A stretch while it runs: profit in 1e-18 of the currency, from `start` (ns) on.

    `offsets`: smallest and largest by input, of the rows in the finest panes that it touches.
    """

    __slots__ = ("high", "instants", "offsets", "opened", "start")

    def __init__(self, start: int, opened: int) -> None:
        self.start, self.opened, self.instants = start, opened, 0
        self.high: int | None = None
        self.offsets: Offsets = {}

    @property
    def high_water(self) -> int:
        """The highest profit, that at the start included."""
        return self.opened if self.high is None else max(self.opened, self.high)

    def take(self, profit: int) -> None:
        """One sound instant."""
        self.high = profit if self.high is None else max(self.high, profit)
        self.instants += 1

    def encode(self) -> bytes:
        """The stored form."""
        high = None if self.high is None else str(self.high)
        stretch = Stretch(
            self.start, str(self.opened), high, self.instants, dict(sorted(self.offsets.items()))
        )
        return msgspec.msgpack.encode(stretch)

    @staticmethod
    def decode(key: str, data: bytes) -> Course:
        """The stretch back from the record `key`.

        Raises:
            StateError: unreadable.
            ValueError: money that is no integer.
        """
        stretch = read_value(Stretch, key, data)
        course = Course(stretch.start, int(stretch.opened))
        course.high = None if stretch.high is None else int(stretch.high)
        course.instants, course.offsets = stretch.instants, dict(stretch.offsets)
        return course

    @staticmethod
    def join(parts: list[Course]) -> Course:
        """The stretch that consecutive ones, at least one, make together."""
        whole = Course(parts[0].start, parts[0].opened)
        whole.high = max((part.high for part in parts if part.high is not None), default=None)
        whole.instants = sum(part.instants for part in parts)
        for part in parts:
            cover(whole.offsets, part.offsets)
        return whole
