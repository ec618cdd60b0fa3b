"""Orders and their costs are the same however rows are read, tasks are cut and restarts fall."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pytest
from engine_cases import FORWARD, MS, START, SYMBOLS, House, S, keep
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from trading.order_streams import START as STREAM_START
from trading.order_streams import stream
from window_of_rows import features, orders, scores

from monitor.engine.memories.order_flow import (
    ACK_TIMES,
    ENDED_ORDERS,
    FILL_COSTS,
    FILL_TIMES,
    ORDER_COUNTS,
    OrderFlow,
)
from monitor.engine.scope import Batch
from monitor.errors import StateError
from monitor.event_time.timing import Fate
from monitor.wire.table import Table

SCOPE = House().scope
ROWS_OF = {
    ACK_TIMES: ("latency",),
    FILL_TIMES: ("latency",),
    ENDED_ORDERS: ("sign", "order_type", "ordered", "filled", "whole"),
    FILL_COSTS: ("delay", "spread", "weight", "fee", "paid"),
}


class Told:
    """What a memory derived: sums of counts, and rows in any order."""

    def __init__(self) -> None:
        self.counts = np.zeros(0, np.int64)
        self.rows: dict[str, Counter[tuple[str, ...]]] = {name: Counter() for name in ROWS_OF}

    def take(self, derived: Mapping[str, Table]) -> None:
        if ORDER_COUNTS in derived:
            count = derived[ORDER_COUNTS]["count"]
            self.counts = count + (self.counts if self.counts.size else 0)
        for name, columns in ROWS_OF.items():
            if name in derived:
                made = zip(*(derived[name][column].tolist() for column in columns), strict=True)
                self.rows[name].update(tuple(map(repr, row)) for row in made)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Told)
            and self.counts.tolist() == other.counts.tolist()
            and self.rows == other.rows
        )

    __hash__ = None  # type: ignore[assignment]


def market(seed: int, seconds: int = 12) -> tuple[Table, Table]:
    """Quotes of the symbols, and reports of orders among them, some behind their time."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, seconds * 1000, 40)) * MS
    symbol = rng.integers(0, 2, 40).astype(np.int32)
    middle = 100 + rng.normal(0, 0.05, 40).cumsum()
    width = rng.choice([0.02, 0.1, 30.0], 40, p=[0.5, 0.4, 0.1])
    quotes = features(at.tolist(), symbol=symbol, bid=middle - width / 2, ask=middle + width / 2)
    rows = stream(seed, orders=8)
    shift = START - STREAM_START
    reports = [replace(row.report, ts_ns=row.report.ts_ns + shift, strategy="mine") for row in rows]
    eff = np.array([row.eff + shift for row in rows], np.int64)
    fate = np.array([Fate.ACCEPTED if row.eff == row.report.ts_ns else Fate.LATE_APPLIED for row in rows])
    return quotes, orders(reports, eff=eff, fate=fate.astype(np.int8))


def run(quotes: Table, placed: Table, cuts: Iterable[int], restarts: frozenset[int] = frozenset()) -> Told:
    """Rows before each of `cuts` (ns since START), and the rest; a restart after some of them."""
    memory, told, store = OrderFlow(SCOPE), Told(), {}
    low = START
    for number, high in enumerate([*(START + cut for cut in sorted(cuts)), START + 10**6 * S]):
        part = {}
        for name, table in (("features", quotes), ("orders", placed)):
            within = np.flatnonzero((table["eff"] >= low) & (table["eff"] < high))
            if len(within):
                part[name] = table.take(within)
        answers = scores([0] * len(part["features"])) if "features" in part else {}
        told.take(memory.take(Batch.of(part, answers)))
        low = high
        keep(store, memory.records())
        if number in restarts:
            memory = OrderFlow(SCOPE)
            memory.restore(store)
    assert memory.due is None
    assert memory.expire(low) == {}
    return told


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sets(st.integers(1, 12 * S), max_size=12), st.sets(st.integers(0, 12)))
def test_slices_and_restarts_change_nothing(seed, cuts, restarts):
    quotes, placed = market(seed)
    assert run(quotes, placed, cuts, frozenset(restarts)) == run(quotes, placed, [])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_two_tasks_tell_what_one_tells(seed):
    quotes, placed = market(seed)
    whole = run(quotes, placed, [])
    both = Told()
    for code, symbol in enumerate(SYMBOLS[:2]):
        mine = np.flatnonzero(quotes["symbol"] == code)
        theirs = np.flatnonzero([report.symbol == symbol for report in placed["report"]])
        alone = run(quotes.take(mine), placed.take(theirs), [])
        both.counts = alone.counts + (both.counts if both.counts.size else 0)
        for name, rows in alone.rows.items():
            both.rows[name] += rows
    assert both == whole


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_costs_are_those_of_the_last_sound_quotes_before(seed):
    quotes, placed = market(seed)
    arrival: dict[tuple[str, str], float] = {}
    expected: Counter[tuple[str, ...]] = Counter()
    for report, eff in zip(placed["report"], placed["eff"].tolist(), strict=True):
        key = (report.symbol, report.order_id)
        mid = last_mid(quotes, report.symbol, eff) if report.ts_ns == eff else np.nan
        if report.kind == "new":
            arrival[key] = mid
        elif report.kind in ("partial_fill", "fill"):
            first = arrival.get(key, np.nan)
            known = not np.isnan(first + mid)
            price, units = float(report.last_price), float(report.last_quantity)
            cost = ((mid - first) / first * 1e4, (price - mid) / first * 1e4, units * first)
            row = (*(cost if known else (np.nan,) * 3), np.nan, units * price)
            expected[tuple(map(repr, map(float, row)))] += 1
    assert run(quotes, placed, [3 * S, 7 * S]).rows[FILL_COSTS] == expected


def last_mid(quotes: Table, symbol: str, at: int) -> float:
    """By looking at every quote."""
    found = np.nan
    since = 0
    for row in range(len(quotes)):
        bid, ask = float(quotes["bid"][row]), float(quotes["ask"][row])
        mid = bid / 2 + ask / 2
        mine = SYMBOLS[int(quotes["symbol"][row])] == symbol and int(quotes["eff"][row]) <= at
        if mine and ask - bid <= FORWARD.max_spread * mid:
            found, since = mid, int(quotes["eff"][row])
    return found if at - since <= FORWARD.stale_ns else np.nan


def test_reports_of_others_duplicates_and_rejected_rows_are_passed_over():
    quotes, placed = market(3)
    placed = placed.with_columns(fate=np.full(len(placed), Fate.DUPLICATE, np.int8))
    assert run(quotes, placed, []).counts.size == 0
    theirs = np.empty(len(placed), object)
    theirs[:] = [replace(report, strategy="theirs") for report in placed["report"]]
    placed = placed.with_columns(report=theirs, fate=np.full(len(placed), Fate.ACCEPTED, np.int8))
    assert run(quotes, placed, []).counts.size == 0


@pytest.mark.parametrize("key", ["order/0", "last/AAA", "mids/0"])
def test_state_that_cannot_be_read_is_said_by_its_key(key):
    with pytest.raises(StateError, match=key.removeprefix("mids/")):
        OrderFlow(SCOPE).restore({key: b"\xc1"})
