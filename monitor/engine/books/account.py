"""`Account`: one book as all tasks say it: sums by currency, converted at an instant."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from monitor.engine.books.rates import Rate, Rates
from monitor.engine.books.standing import SHOWN_CURRENCIES, UNASKED, Standing
from monitor.engine.partials import NAMED, BookState
from monitor.stats.estimate import BLIND, NO_MARK, NO_POSITION, NO_RATE, STALE_MARKS, STALE_RATE, Status

_NOTHING = (0, 0, 0)


class StoredFlows(msgspec.Struct, frozen=True, array_like=True):
    """What was converted of a foreign currency: transfers, fees, traded; then what it came to."""

    taken: tuple[str, str, str]
    worth: tuple[str, str, str]


class _Sums:
    """Over all tasks, of one currency."""

    __slots__ = ("cash", "fees", "gap", "gross", "traded", "transfers", "value")

    def __init__(self) -> None:
        self.cash = self.value = self.transfers = self.fees = self.traded = self.gross = self.gap = 0


class Account:
    """One book. `tasks`: what each last said.

    What a book holds is worth what it would bring now: cash, value and exposure are converted at the rate of
    the instant. What flowed was worth what it was then: transfers, fees and traded notional are converted
    once, at the rate of the first instant at which it is known, so that a rate that moves changes no past.
    """

    def __init__(self) -> None:
        self.tasks: dict[int, BookState] = {}
        self.standing: Standing | None = None
        self.converted = False
        """Whether flows were converted since `flows` was last asked."""
        self._sums: dict[str, _Sums] = {}
        self._summed = True
        self._complete, self._oldest = True, 0
        self._trips = (0, 0, 0)
        self._flows: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {}
        self._level: tuple[int, int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0, 0)
        self._known, self._since = True, 0
        self._no_rate: tuple[str, ...] = ()
        self._pending = False
        self._seen: int | None = None

    def say(self, task: int, state: BookState) -> None:
        """A task's part of the book as of its latest instant."""
        self.tasks[task] = state
        self._summed = False

    def take(
        self,
        at: int,
        rates: Rates,
        staleness_ns: int,
        benchmark: tuple[int | None, bool],
        answers: tuple[int, int] = UNASKED,
        *,
        missing: bool,
    ) -> None:
        """All tasks have said their part at `at`; `missing`: but for some, which stand as last said.

        `benchmark`: its worth, and whether that is sound. `answers`: rows so far, and those that the book's
        model answered.
        """
        fresh = not self._summed
        if fresh:
            self.add_up()
        if fresh or self._pending or self._seen != rates.version:
            self._convert(at, rates, staleness_ns, missing=missing)
            fresh = True
        stale = missing or (self._since != 0 and at - self._since > staleness_ns)
        status = Status.OK if self._known and not stale else Status.UNKNOWN
        stale = stale and self._known
        before = self.standing
        if fresh or before is None or before.status is not status or before.stale != stale:
            cash, value, transfers, fees, traded, gross, gap = self._level
            self.standing = Standing(
                cash,
                value,
                transfers,
                status,
                stale,
                fees,
                traded,
                gross,
                gap,
                self._trips,
                *benchmark,
                self._no_rate,
                answers,
            )
        elif (before.benchmark, before.sound_benchmark, before.answers) != (*benchmark, answers):
            self.standing = msgspec.structs.replace(
                before, benchmark=benchmark[0], sound_benchmark=benchmark[1], answers=answers
            )

    def blind(self, at: int, rates: Rates, staleness_ns: int) -> dict[str, list[str]]:
        """What it is unknown or stale for at `at`, by cause (`estimate.BLIND`), of marks and rates older than
        `staleness_ns` too: symbols and currencies, sorted, the first `NAMED`."""
        oldest = at - staleness_ns
        names: dict[str, set[str]] = {cause: set() for cause in BLIND}
        for part in self.tasks.values():
            names[NO_POSITION].update(part.unstated)
            for symbol, held in part.holdings.items():
                if held.mark_ts < oldest:
                    names[STALE_MARKS if held.mark_ts else NO_MARK].add(symbol)
        for currency, of in self._sums.items():
            if currency == rates.base or not self._rated(currency, of):
                continue
            rate = rates.of(currency)
            if rate is None:
                names[NO_RATE].add(currency)
            elif rate.ts < oldest:
                names[STALE_RATE].add(currency)
        return {cause: sorted(found)[:NAMED] for cause, found in names.items() if found}

    def _rated(self, currency: str, of: _Sums) -> bool:
        """Whether it holds or has moved anything of a currency whose rate is yet to be asked for."""
        taken, _ = self._flows.get(currency, (_NOTHING, _NOTHING))
        return bool(of.cash or of.value or of.gross or (of.transfers, of.fees, of.traded) != taken)

    def add_up(self) -> None:
        """Sum what the tasks said.

        Raises:
            ValueError: money that is no integer.
        """
        self._summed, self._complete, self._oldest = True, True, 0
        sums: dict[str, _Sums] = {}
        ended = won = lost = 0
        for part in self.tasks.values():
            self._complete &= part.complete
            if part.mark_ts:
                self._oldest = min(self._oldest or part.mark_ts, part.mark_ts)
            for currency, money in part.money.items():
                of = sums.get(currency)
                if of is None:
                    of = sums[currency] = _Sums()
                of.cash += int(money.cash)
                of.value += int(money.value)
                of.transfers += int(money.transfers)
                of.fees += int(money.fees)
                of.traded += int(money.traded)
                of.gross += int(money.gross)
            for currency, gap in part.gap.items():
                sums.setdefault(currency, _Sums()).gap += int(gap)
            ended, won, lost = ended + part.trips[0], won + part.trips[1], lost + part.trips[2]
        self._sums, self._trips = sums, (ended, won, lost)

    def _convert(self, at: int, rates: Rates, staleness_ns: int, *, missing: bool) -> None:
        """All currencies as one, at the rates of `at`.

        A gap asks for no rate: where one is missing or old, what makes the gap is held by this book or by the
        real one, which is then unknown itself, and no gap is taken.
        """
        known, since = self._complete, self._oldest
        cash = value = transfers = fees = traded = gross = gap = 0
        foreign: dict[str, Rate] = {}
        no_rate: list[str] = []
        for currency in sorted(self._sums):
            of = self._sums[currency]
            if currency == rates.base:
                cash, value, gross, gap = cash + of.cash, value + of.value, gross + of.gross, gap + of.gap
                transfers, fees, traded = transfers + of.transfers, fees + of.fees, traded + of.traded
                continue
            taken, worth = self._flows.get(currency, (_NOTHING, _NOTHING))
            flowed = (of.transfers, of.fees, of.traded)
            rate = rates.of(currency)
            if of.gap and rate is not None:
                gap += rate.convert(of.gap)
            if self._rated(currency, of):
                if rate is None:
                    no_rate.append(currency)
                    continue
                foreign[currency] = rate
                since = min(since or rate.ts, rate.ts)
                cash, value = cash + rate.convert(of.cash), value + rate.convert(of.value)
                gross += rate.convert(of.gross)
                worth = _added(worth, taken, flowed, rate)
            transfers, fees, traded = transfers + worth[0], fees + worth[1], traded + worth[2]
        self._level = (cash, value, transfers, fees, traded, gross, gap)
        self._known, self._since = known and not no_rate, since
        self._no_rate = tuple(no_rate[:SHOWN_CURRENCIES])
        self._seen = rates.version
        self._pending = self._waits(foreign, None if missing else at - staleness_ns)

    def _waits(self, foreign: Mapping[str, Rate], oldest_ns: int | None) -> bool:
        """Flows of currencies whose rate is no older are converted for good; whether others wait."""
        waits = False
        for currency, rate in foreign.items():
            of = self._sums[currency]
            taken, worth = self._flows.get(currency, (_NOTHING, _NOTHING))
            flowed = (of.transfers, of.fees, of.traded)
            if flowed == taken:
                continue
            if oldest_ns is None or rate.ts < oldest_ns:
                waits = True
            else:
                self._flows[currency] = (flowed, _added(worth, taken, flowed, rate))
                self.converted = True
        return waits

    def flows(self) -> dict[str, StoredFlows]:
        """What was converted so far, by currency."""
        self.converted = False
        return {
            currency: StoredFlows(_texts(taken), _texts(worth))
            for currency, (taken, worth) in sorted(self._flows.items())
        }

    def restore(self, flows: Mapping[str, StoredFlows]) -> None:
        """Go on from what was converted.

        Raises:
            ValueError: money that is no integer.
        """
        self._flows = {currency: (_money(f.taken), _money(f.worth)) for currency, f in flows.items()}


def _added(
    worth: tuple[int, int, int], taken: tuple[int, int, int], flowed: tuple[int, int, int], rate: Rate
) -> tuple[int, int, int]:
    return (
        worth[0] + rate.convert(flowed[0] - taken[0]),
        worth[1] + rate.convert(flowed[1] - taken[1]),
        worth[2] + rate.convert(flowed[2] - taken[2]),
    )


def _texts(amounts: tuple[int, int, int]) -> tuple[str, str, str]:
    return str(amounts[0]), str(amounts[1]), str(amounts[2])


def _money(texts: tuple[str, str, str]) -> tuple[int, int, int]:
    return int(texts[0]), int(texts[1]), int(texts[2])
