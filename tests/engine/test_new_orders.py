"""New orders meet their events however rows are read; what waits is small and survives a restart."""

from __future__ import annotations

import numpy as np
from busy_desk import BusyDesk, Stream
from engine_cases import MS, START, S, keep
from hypothesis import given, settings
from hypothesis import strategies as st
from window_of_rows import features, house_of, order, orders, scores

from monitor.engine.memories.orders import ORDER_JOINS, ORDER_PAIRS, NewOrders, Outcome
from monitor.engine.rows import UNMEASURED_NS
from monitor.engine.scope import Batch

SCOPE = house_of(60 * S).scope


def outcomes(derived) -> dict[Outcome, int]:
    found = dict.fromkeys(Outcome, 0)
    if ORDER_JOINS in derived:
        joins = derived[ORDER_JOINS]
        for outcome, count in zip(joins["outcome"], joins["count"], strict=True):
            found[Outcome(outcome)] += int(count)
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 9 * S), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 9 * S), st.integers(0, 14)), max_size=12),
    st.sets(st.integers(1, 15)),
)
def test_what_pairs_and_what_waits_in_vain_depends_on_rows_alone(events, named, restarts):
    events.sort()
    named.sort()
    came = features(events)
    placed = orders([order(at, f"x{number}") for at, number in named]) if named else None
    whole, latencies = dict.fromkeys(Outcome, 0), []
    memory, store = NewOrders(SCOPE), {}
    for second in range(16):
        low, high = START + second * S, START + (second + 1) * S
        derived = dict(memory.expire(low)) if memory.due is not None and memory.due < low else {}
        for outcome, count in outcomes(derived).items():
            whole[outcome] += count
        part = {}
        for name, rows in (("features", came), ("orders", placed)):
            if rows is not None:
                within = np.flatnonzero((rows["eff"] >= low) & (rows["eff"] < high))
                if len(within):
                    part[name] = rows.take(within)
        answers = scores([0] * len(part["features"])) if "features" in part else {}
        derived = memory.take(Batch.of(part, answers))
        for outcome, count in outcomes(derived).items():
            whole[outcome] += count
        latencies += derived[ORDER_PAIRS]["latency"].tolist() if ORDER_PAIRS in derived else []
        keep(store, memory.records())
        if second in restarts:
            memory = NewOrders(SCOPE)
            memory.restore(store)
    near = [at for at, number in named if number < len(events) and abs(events[number] - at) <= 5 * S]
    paired = {number for at, number in named if number < len(events) and abs(events[number] - at) <= 5 * S}
    assert whole[Outcome.PAIRED] == len(near) == len(latencies)
    assert whole[Outcome.UNPAIRED] == len(named) - len(near)
    assert whole[Outcome.UNNAMED] == len(events) - len(paired)
    assert memory.due is None
    assert sorted(latencies) == sorted(
        at - events[number]
        for at, number in named
        if number < len(events) and abs(events[number] - at) <= 5 * S
    )


def test_events_wait_in_less_than_thirty_bytes_each():
    memory, stream, store = NewOrders(BusyDesk().scope), Stream(1000), {}
    for second in range(8):
        tables, answers = stream.second(second)
        memory.expire(START + second * S)
        memory.take(Batch.of(tables, answers))
        keep(store, memory.records())
    assert sum(len(data) for data in store.values()) < 30 * 5.5 * 1000


def test_tags_say_how_long_inference_took_or_nothing():
    memory = NewOrders(SCOPE)
    tagged = [0.25, None, -1.0, 0.0, 1e300]
    derived = memory.take(
        Batch.of({"orders": orders([order(i * MS, None, tagged=ms) for i, ms in enumerate(tagged)])}, {})
    )
    unsaid, endless = UNMEASURED_NS, 2**63 - 1
    assert derived["new_orders"]["tagged"].tolist() == [250_000, unsaid, unsaid, 0, endless]
    assert memory.due is None
