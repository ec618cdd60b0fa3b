"""`Standing`: a book at an instant over all tasks, in one currency."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from monitor.stats.estimate import Status
from monitor.trading.performance import net_profit

SHOWN_CURRENCIES = 8

LEAST_ANSWERED = 0.5
"""Share of the rows of a span that a model must have answered, for its paper book to say anything about it.

A model that does not answer decides nothing, and its position stands. Below half, what paper came to over the
span is mostly that of a position that nobody held on purpose.
"""

UNASKED = (0, 0)
"""Answers of a book that no model stands behind."""


def answered_share(before: tuple[int, int], now: tuple[int, int]) -> float | None:
    """Share of the rows between two instants that a model answered, of rows and answers so far; None where
    there were no rows.

    >>> answered_share((100, 90), (300, 140)), answered_share((100, 90), (100, 90))
    (0.25, None)
    """
    rows = now[0] - before[0]
    return (now[1] - before[1]) / rows if rows > 0 else None


class Totals(NamedTuple):
    """What only grows or only its differences mean anything: money in 1e-18 of the deployment's currency.

    `profit`: equity less what was paid in; `fees`, `traded` and round trips since the book began;
    `benchmark`: worth of the benchmark, None where there is none. `rows`: feature rows of the deployment so
    far; `answered`: those of them that the book's model answered, both 0 of the real book.
    """

    profit: int
    fees: int
    traded: int
    ended: int
    won: int
    lost: int
    benchmark: int | None
    rows: int = 0
    answered: int = 0

    def share_answered(self, earlier: Totals) -> float | None:
        """Share of the rows since `earlier` that the book's model answered; None where there were none."""
        return answered_share((earlier.rows, earlier.answered), (self.rows, self.answered))


NOTHING = Totals(0, 0, 0, 0, 0, 0, None)


class Standing(msgspec.Struct, frozen=True):
    """A book at an instant. Money in 1e-18 of the deployment's currency.

    `stale`: all is known, but some of it only as it was: of an old mark or rate, or of a task that is
    missing. `gap`: sum over symbols of |its quantity - the real book's| x mark. `sound_benchmark`: the
    benchmark's marks are there and fresh. `no_rate`: currencies of which it holds or has moved something, and
    that have no rate; sorted, the first `SHOWN_CURRENCIES`. `answers`: rows so far, and those that its model
    answered.
    """

    cash: int
    value: int
    transfers: int
    status: Status
    stale: bool
    fees: int = 0
    traded: int = 0
    gross: int = 0
    gap: int = 0
    trips: tuple[int, int, int] = (0, 0, 0)
    benchmark: int | None = None
    sound_benchmark: bool = False
    no_rate: tuple[str, ...] = ()
    answers: tuple[int, int] = UNASKED

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

    @property
    def totals(self) -> Totals:
        """As of now."""
        return Totals(self.profit, self.fees, self.traded, *self.trips, self.benchmark, *self.answers)


class StoredStanding(msgspec.Struct, frozen=True, array_like=True):
    """As stored; money as decimal text of an integer in 1e-18."""

    money: tuple[str, str, str, str, str, str, str]
    status: Status
    stale: bool
    trips: tuple[int, int, int]
    benchmark: str | None
    sound_benchmark: bool
    no_rate: tuple[str, ...] = ()
    answers: tuple[int, int] = UNASKED


def stored(standing: Standing) -> StoredStanding:
    """The stored form."""
    s = standing
    cash, value, transfers, fees, traded, gross, gap = (
        str(each) for each in (s.cash, s.value, s.transfers, s.fees, s.traded, s.gross, s.gap)
    )
    benchmark = None if s.benchmark is None else str(s.benchmark)
    return StoredStanding(
        (cash, value, transfers, fees, traded, gross, gap),
        s.status,
        s.stale,
        s.trips,
        benchmark,
        s.sound_benchmark,
        s.no_rate,
        s.answers,
    )


def standing_of(stored: StoredStanding) -> Standing:
    """The standing back.

    Raises:
        ValueError: money that is no integer.
    """
    cash, value, transfers, fees, traded, gross, gap = (int(each) for each in stored.money)
    return Standing(
        cash,
        value,
        transfers,
        stored.status,
        stored.stale,
        fees,
        traded,
        gross,
        gap,
        stored.trips,
        None if stored.benchmark is None else int(stored.benchmark),
        stored.sound_benchmark,
        stored.no_rate,
        stored.answers,
    )
