"""`EffectBlocks`: model effect block after block, for tests that may be looked at at any time.

Knows no test: it says what each whole block came to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from monitor.engine.books.standing import LEAST_ANSWERED, UNASKED, Standing, answered_share
from monitor.engine.panes import Offsets, cover
from monitor.event_time.calendar import Calendar
from monitor.stats.estimate import Status
from monitor.trading.performance import BPS


class Ended(NamedTuple):
    """A block `[start, end)` ended: by role the loss of a shadow in bps of capital; None: it is void."""

    start: int
    end: int
    losses: dict[str, float | None]
    offsets: Offsets


class _Change(NamedTuple):
    """Of a book over a block: P&L, whether it held or traded anything, and whether its model answered at
    least `LEAST_ANSWERED` of the rows."""

    profit: int
    active: bool
    answered: bool


class _Began(NamedTuple):
    """A sound book at the start of a block: profit, notional traded, gross book; rows, and those answered."""

    profit: int
    traded: int
    gross: int
    rows: int
    answered: int


class StoredBlock(msgspec.Struct, frozen=True, array_like=True):
    """The running block: its start, None before the first whole one; profit, notional traded and gross book
    of the sound books there, as decimal text; rows so far, and those answered."""

    start: int | None
    began: dict[str, tuple[str, str, str]]
    offsets: Offsets = {}
    answers: dict[str, tuple[int, int]] = {}


class EffectBlocks:
    """Blocks of `length_ns`. `incumbent`: the active's paper book; `challengers`: paper books by role.

    The loss of a shadow over a block is -model_effect in bps of the capital. A block is void for it where one
    of the two books is not sound at its start or end, or a task is missing there; where one of the two models
    answered fewer than half of its rows (`LEAST_ANSWERED`); where neither book held or traded anything; and
    where it lies outside every session.
    """

    def __init__(
        self, length_ns: int, capital: int, incumbent: str, challengers: Mapping[str, str], calendar: Calendar
    ) -> None:
        self.length_ns, self._capital, self._calendar = length_ns, capital, calendar
        self._incumbent, self._challengers = incumbent, dict(challengers)
        self._start: int | None = None
        self._began: dict[str, _Began] = {}
        self._offsets: Offsets = {}
        self.dirty = False

    def take(self, at: int, standings: Mapping[str, Standing | None]) -> list[Ended]:
        """The instant `at`; the block that ends with it, where it does."""
        start = self._start
        if start is None:
            if at % self.length_ns == 0:
                self._begin(at, standings)
            return []
        end = start + self.length_ns
        if at < end:
            return []
        losses = self._losses(start, end, standings if at == end else {})
        ended = Ended(start, end, losses, dict(sorted(self._offsets.items())))
        if at % self.length_ns == 0:
            self._begin(at, standings)
        else:
            self.restart()
        return [ended]

    def _losses(
        self, start: int, end: int, standings: Mapping[str, Standing | None]
    ) -> dict[str, float | None]:
        session = self._calendar.last_session(end - 1)
        inside = session is not None and session.end_ns > start
        ours = self._change(self._incumbent, standings)
        losses: dict[str, float | None] = {}
        for role, book in self._challengers.items():
            theirs = self._change(book, standings)
            losses[role] = None
            if not inside or ours is None or theirs is None:
                continue
            if ours.answered and theirs.answered and (ours.active or theirs.active):
                losses[role] = (ours.profit - theirs.profit) * BPS / self._capital
        return losses

    def _change(self, book: str, standings: Mapping[str, Standing | None]) -> _Change | None:
        now, began = standings.get(book), self._began.get(book)
        if now is None or now.status is not Status.OK or began is None:
            return None
        active = now.traded != began.traded or now.gross != 0 or began.gross != 0
        share = answered_share((began.rows, began.answered), now.answers)
        return _Change(now.profit - began.profit, active, share is None or share >= LEAST_ANSWERED)

    def _begin(self, at: int, standings: Mapping[str, Standing | None]) -> None:
        self._start, self.dirty = at, True
        self._offsets = {}
        self._began = {
            book: _Began(now.profit, now.traded, now.gross, *now.answers)
            for book in (self._incumbent, *self._challengers.values())
            if (now := standings.get(book)) is not None and now.status is Status.OK
        }

    def cover(self, offsets: Offsets) -> None:
        """Rows of a pane of the running block."""
        if self._start is not None:
            cover(self._offsets, offsets)
            self.dirty = True

    def restart(self) -> None:
        """Go on with the next whole block."""
        self._start, self._began, self._offsets = None, {}, {}
        self.dirty = True

    def encode(self) -> bytes:
        """The stored form."""
        self.dirty = False
        books = sorted(self._began.items())
        began = {book: (str(b.profit), str(b.traded), str(b.gross)) for book, b in books}
        answers = {book: (b.rows, b.answered) for book, b in books}
        return msgspec.msgpack.encode(
            StoredBlock(self._start, began, dict(sorted(self._offsets.items())), answers)
        )

    def restore(self, stored: StoredBlock) -> None:
        """Go on from the running block.

        Raises:
            ValueError: money that is no integer.
        """
        self._start, self._offsets = stored.start, dict(stored.offsets)
        self._began = {
            book: _Began(int(profit), int(traded), int(gross), *stored.answers.get(book, UNASKED))
            for book, (profit, traded, gross) in stored.began.items()
        }
