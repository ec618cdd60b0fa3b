"""Books of whole tasks: what fractions say, whatever the arrival, the batches, the tasks and the crashes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
from engine_cases import ROLES, House, S, keep
from hypothesis import given, settings
from hypothesis import strategies as st
from trading.reference_books import UNIT, ReferenceLedger, present, standing_totals
from trading.report_streams import LATENESS_NS, MS, START, Venue, arriving, random_instruments, repeated

from monitor.engine.partials import BookState
from monitor.engine.rows import UNMEASURED_NS, Scores
from monitor.engine.task import TaskFold
from monitor.event_time.sequencer import Sequencer, Step
from monitor.event_time.timing import Timing
from monitor.trading.books import book_key
from monitor.trading.units import InstrumentUnits
from monitor.wire.keys import execution_key, hash64
from monitor.wire.messages import ExecutionReport
from monitor.wire.table import NO_TIME, Table

REAL = book_key("active", "real")
STREAMS = ("features", "orders")
SEEDS = st.integers(0, 2**32)


@dataclass(frozen=True)
class Case:
    """Reports and quotes of a few symbols, in a log of their own each."""

    instruments: list[InstrumentUnits]
    quotes: Table
    predictions: dict[str, np.ndarray]
    reports: list[ExecutionReport]
    standing: list[ExecutionReport]
    end: int
    marks: dict[str, Fraction]

    @property
    def house(self) -> House:
        return House(units=tuple(self.instruments), sources=(), memories=tuple)


def made(rng: random.Random, n: int) -> Case:
    """About `n` reports, no two of one instant, and a quote a while."""
    venue = Venue(rng, random_instruments(rng, rng.randint(1, 5)), 20 * MS)
    stream = venue.stream(n)
    reports, last = [], 0
    for each in stream.reports:
        last = max(last + 1, each.ts_ns)
        reports.append(msgspec.structs.replace(each, ts_ns=last))
    rows = n // 2
    eff = np.sort(np.array([rng.randrange(START, last) for _ in range(rows)], np.int64))
    codes = np.array([rng.randrange(len(stream.instruments)) for _ in range(rows)], np.int32)
    bid, ask, marks = np.zeros(rows), np.zeros(rows), {}
    for row, code in enumerate(codes.tolist()):
        units = stream.instruments[code]
        low = 10_000_000 + rng.randrange(100)
        high = low + rng.choice([1, 3])
        bid[row], ask[row] = (float(ticks * units.tick_size) for ticks in (low, high))
        marks[units.symbol] = Fraction(units.tick_size) * Fraction(low + high, 2)
    quotes = Table(
        {
            "offset": np.arange(rows, dtype=np.int64),
            "record_ts": np.full(rows, NO_TIME),
            "ts": eff,
            "reason": np.zeros(rows, np.int8),
            "dedupe_key": np.arange(rows, dtype=np.uint64),
            "symbol": codes,
            "bid": bid,
            "ask": ask,
            "price": np.full(rows, np.nan),
        }
    )
    draws = np.random.default_rng(rng.getrandbits(32))
    predictions = {role: draws.choice([np.nan, -1.0, 1.0, 0.0], rows) for role in ROLES}
    return Case(stream.instruments, quotes, predictions, reports, stream.standing, last + 1, marks)


def order_log(reports: Sequence[ExecutionReport], instruments: Sequence[InstrumentUnits]) -> Table:
    """Reports as decoded, in the order given."""
    codes = {units.symbol: code for code, units in enumerate(instruments)}
    column = np.empty(len(reports), object)
    column[:] = reports
    keys = [execution_key(each.account, each.symbol, each.exec_id) for each in reports]
    return Table(
        {
            "offset": np.arange(len(reports), dtype=np.int64),
            "record_ts": np.full(len(reports), NO_TIME),
            "ts": np.array([each.ts_ns for each in reports], np.int64),
            "reason": np.zeros(len(reports), np.int8),
            "dedupe_key": np.array(keys, np.uint64),
            "symbol_key": np.array([hash64(each.symbol.encode()) for each in reports], np.uint64),
            "symbol": np.array([codes[each.symbol] for each in reports], np.int32),
            "report": column,
        }
    )


class Run:
    """A case through event time and fold 1."""

    def __init__(self, case: Case, tasks: int, rng: random.Random, crashes: float) -> None:
        self._case, self._tasks, self._rng, self._crashes = case, tasks, rng, crashes
        self._folds: list[TaskFold] = [case.house.fold1(task) for task in range(tasks)]
        self._stores: list[dict[str, bytes]] = [{} for _ in self._folds]
        self.restores = 0

    def of(self, reports: Sequence[ExecutionReport], batch: int) -> dict[str, BookState]:
        """Reads both logs, the order of the reports being that of arrival, and says the books at the end."""
        timing = Timing(allowed_lateness=LATENESS_NS, dedupe_window=10 * S)
        sequencer = Sequencer(timing, STREAMS, late_applies=frozenset({"orders"}))
        logs = {"features": self._case.quotes, "orders": order_log(reports, self._case.instruments)}
        at = dict.fromkeys(STREAMS, 0)
        while open_logs := [stream for stream in STREAMS if at[stream] < len(logs[stream])]:
            stream = self._rng.choice(open_logs)
            rows = logs[stream].take(slice(at[stream], at[stream] + batch))
            at[stream] += len(rows)
            ended = at[stream] == len(logs[stream])
            self._fold(sequencer.read(stream, rows, at[stream], 0, end=ended))
            if ended:
                sequencer.end(stream)
            self._fold(sequencer.release())
        self._fold(sequencer.finish(self._case.end))
        finals = [fold.finish(self._case.end, idle=False) for fold in self._folds]
        return {name: merged([final.books[name] for final in finals if final.books]) for name in self.names}

    @property
    def names(self) -> tuple[str, ...]:
        return (REAL, *(book_key(role, "paper") for role in ROLES))

    def _fold(self, steps: Sequence[Step]) -> None:
        for step in steps:
            for task in range(self._tasks):
                self._fold_task(task, step)

    def _fold_task(self, task: int, step: Step) -> None:
        tables = {}
        for stream, rows in step.tables.items():
            mine = np.flatnonzero(rows["symbol"] % self._tasks == task)
            if len(mine):
                tables[stream] = rows.take(mine)
        scores = {}
        if "features" in tables:
            offsets = tables["features"]["offset"]
            for role, values in self._case.predictions.items():
                n = len(offsets)
                scores[role] = Scores(values[offsets], np.zeros(n, np.int8), np.full(n, UNMEASURED_NS))
        self._folds[task].fold(tables, scores, step.watermark, idle=False)
        if self._rng.random() < self._crashes:
            keep(self._stores[task], self._folds[task].records())
            self._folds[task] = self._case.house.fold1(task)
            self._folds[task].restore(self._stores[task], step.watermark)
            self.restores += 1


def merged(states: Sequence[BookState]) -> BookState:
    """One book of several tasks, as fold 2 adds them up."""
    money: dict[str, list[int]] = {}
    gap: Counter[str] = Counter()
    for state in states:
        for currency, amounts in state.money.items():
            parts = [int(part) for part in msgspec.structs.astuple(amounts)]
            before = money.get(currency, [0] * len(parts))
            money[currency] = [a + b for a, b in zip(before, parts, strict=True)]
        gap.update({currency: int(amount) for currency, amount in state.gap.items()})
    return BookState(
        {currency: tuple(parts) for currency, parts in sorted(money.items()) if any(parts)},
        all(state.complete for state in states),
        min((state.mark_ts for state in states if state.mark_ts), default=0),
        {symbol: held for state in states for symbol, held in sorted(state.holdings.items())},
        tuple(map(sum, zip(*(state.trips for state in states), strict=True))),
        {currency: str(amount) for currency, amount in sorted(gap.items()) if amount},
    )


def assert_is_worth(
    case: Case, state: BookState, cash: dict[str, Fraction], held: dict[str, Fraction]
) -> None:
    """Equity is cash + quantity x mark x multiplier, in fractions, by currency."""
    units = {each.symbol: each for each in case.instruments}
    marked = {symbol: quantity for symbol, quantity in held.items() if symbol in case.marks}
    worth: dict[str, Fraction] = dict(cash)
    for symbol, quantity in marked.items():
        each = units[symbol]
        value = quantity * case.marks[symbol] * Fraction(each.multiplier)
        worth[each.currency] = worth.get(each.currency, Fraction(0)) + value
    found = {currency: (parts[0] + parts[1]) * UNIT for currency, parts in state.money.items()}
    assert present(found) == present(worth)
    assert state.complete == (len(marked) == len(held))


def check(rng: random.Random, n: int, runs: Sequence[tuple[int, int, float]]) -> Counter[str]:
    """One case, run by (tasks, batch, share of crashes) each with an arrival of its own."""
    case = made(rng, n)
    held, cash, fees, traded = standing_totals(case.standing, case.instruments)
    base = Run(case, 1, rng, 0.0).of(case.reports, n * 10)
    reference = ReferenceLedger(case.instruments)
    for each in case.reports:
        reference.apply(each, each.ts_ns)
    assert present(reference.cash) == cash
    real = base[REAL]
    lots = {units.symbol: Fraction(units.lot_size) for units in case.instruments}
    assert {s: lots[s] * holding.quantity for s, holding in real.holdings.items()} == held
    parts = {c: [Fraction(part) * UNIT for part in parts] for c, parts in real.money.items()}
    assert present({c: p[0] for c, p in parts.items()}) == cash
    assert present({c: p[3] for c, p in parts.items()}) == fees
    assert present({c: p[4] for c, p in parts.items()}) == traded
    assert real.trips[0] == reference.sum("ended")
    assert abs(real.trips[1] - reference.sum("won")) <= reference.sum("near")
    assert_is_worth(case, real, cash, held)
    figures = Counter(reports=len(case.reports), round_trips=real.trips[0])
    for tasks, batch, crashes in runs:
        run = Run(case, tasks, rng, crashes)
        arrivals = repeated(rng, arriving(rng, case.reports), 0.1)
        assert run.of(arrivals, batch) == base
        figures.update(reports=len(arrivals), duplicates=len(arrivals) - len(case.reports))
        figures.update(restores=run.restores)
    return figures


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_arrival_within_the_lateness_batches_tasks_and_crashes_change_no_book(seed: int) -> None:
    check(random.Random(seed), 60, [(1, 7, 0.3), (3, 1, 0.05), (2, 25, 0.5)])


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_late_reports_end_at_the_same_money(seed: int) -> None:
    rng = random.Random(seed)
    case = made(rng, 60)
    held, cash, fees, traded = standing_totals(case.standing, case.instruments)
    late = repeated(rng, arriving(rng, case.reports, 20 * LATENESS_NS), 0.1)
    real = Run(case, 2, rng, 0.2).of(late, 5)[REAL]
    lots = {units.symbol: Fraction(units.lot_size) for units in case.instruments}
    assert {s: lots[s] * holding.quantity for s, holding in real.holdings.items()} == held
    assert present({c: parts[0] * UNIT for c, parts in real.money.items()}) == cash
    assert present({c: parts[3] * UNIT for c, parts in real.money.items()}) == fees
    assert present({c: parts[4] * UNIT for c, parts in real.money.items()}) == traded
    assert_is_worth(case, real, cash, held)


@pytest.mark.proof(
    "monitor/trading/books.py",
    "monitor/trading/ledger.py",
    "monitor/trading/position.py",
    "monitor/trading/executions.py",
    "monitor/trading/units.py",
    "monitor/engine/task_books.py",
)
def test_a_hundred_thousand_reports_make_the_same_books_however_they_come(measured: dict[str, Any]) -> None:
    rng = random.Random(21)
    figures: Counter[str] = Counter()
    while figures["reports"] < 100_000:
        figures += check(rng, 2_000, [(1, 7, 0.2), (3, 1, 0.02), (2, 512, 0.5), (5, 64, 0.3)])
    measured.update(figures)
