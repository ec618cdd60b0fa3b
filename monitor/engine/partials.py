"""`Partial`: what a task says of a deployment at a due instant, of all its rows before that instant.

A partial is sent only where something changed; between two partials of a task nothing did. The last partial
of a commit says how far the task has come.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from monitor.engine.panes import Offsets, PaneBytes

NAMED = 8
"""Symbols and currencies that are named where something is wrong with more of them."""


class Holding(msgspec.Struct, frozen=True, array_like=True):
    """One open position: lots, and the mark in half-ticks with its time (0, 0: none yet)."""

    quantity: int
    mark: int
    mark_ts: int


class Money(msgspec.Struct, frozen=True, array_like=True):
    """A book's money in one currency: decimal text of integers in 1e-18 of it, which outgrow 64 bits.

    `value`: sum of quantity x mark over open positions, `gross`: of its absolute amounts, both as they stand.
    The rest since the book began: `cash`; within it `transfers` of capital and `fees` (rebates negative);
    `traded`: sum of |paid| of trades, a bust takes its own away.
    """

    cash: str = "0"
    value: str = "0"
    transfers: str = "0"
    fees: str = "0"
    traded: str = "0"
    gross: str = "0"


class BookState(msgspec.Struct, frozen=True, array_like=True):
    """One book of one task.

    `money` by currency. `complete`: no open position lacks a mark and no position is unknown; `mark_ts`: of
    the oldest mark among open positions (0: none open). `trips`: round trips that ended, were won, were lost
    since the book began; the rest came out at zero. `gap`: of a paper book, sum over symbols of |its quantity
    - the real book's| x mark by currency, as `Money` writes it. `unstated`: of an incomplete real book,
    symbols whose position is unknown; sorted, the first `NAMED`.
    """

    money: dict[str, Money]
    complete: bool
    mark_ts: int
    holdings: dict[str, Holding]
    trips: tuple[int, int, int] = (0, 0, 0)
    gap: dict[str, str] = {}
    unstated: tuple[str, ...] = ()


class Mark(NamedTuple):
    """What a symbol is worth: half-ticks, and when that was renewed (ns; 0: never); whether any book of the
    deployment has traded it."""

    half_ticks: int
    ts: int
    traded: bool


class Open(msgspec.Struct, frozen=True, array_like=True):
    """The open finest pane, cumulative; only statistics with a metric due at this instant."""

    start: int
    pane: PaneBytes


class Closed(msgspec.Struct, frozen=True, array_like=True):
    """A finest pane, said once when it closes."""

    start: int
    pane: PaneBytes


class Partial(msgspec.Struct, frozen=True, array_like=True):
    """At instant `at` (ns): all rows of the task with effective time < `at`.

    `first`: the first instant of the task's grid, None before its first row. `idle`: none of its inputs had a
    row to offer. `digest`: of the configuration its panes were made under. `books`: None where unchanged.
    `cover`: the open pane's start and its offsets so far, at the first instant after new rows. `marks`: of
    symbols that fold 2 asks for, those that changed.
    """

    deployment: str
    task: int
    at: int
    first: int | None
    idle: bool
    digest: str
    books: dict[str, BookState] | None = None
    open: Open | None = None
    closed: tuple[Closed, ...] = ()
    cover: tuple[int, Offsets] | None = None
    marks: dict[str, Mark] = {}

    def covers(self) -> Iterator[tuple[int, Offsets]]:
        """Finest panes by start, with the smallest and largest offset of their rows so far."""
        for pane in self.closed:
            yield pane.start, pane.pane.offsets
        if self.cover is not None:
            yield self.cover


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Partial)


def encode(partial: Partial) -> bytes:
    """MessagePack, fields by position."""
    return _encoder.encode(partial)


def decode(data: bytes) -> Partial:
    """The partial back.

    Raises:
        msgspec.DecodeError: not a partial of this version.
    """
    return _decoder.decode(data)
