"""What stands still is found row by row as a plain reading finds it, whatever batches and restarts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine.memories import previous
from monitor.engine.memories.previous import DERIVED, FORGOTTEN_HOURS, HOUR_NS, Previous
from monitor.engine.scope import Batch
from monitor.errors import StateError
from monitor.stats.staleness import Staleness
from monitor.wire.table import Table

S = 10**9
DAY = 86_400 * S


def rows(values, symbols, times):
    symbols = np.array(symbols, np.int32)
    return Table(
        {
            "values": np.array(values, np.float64).reshape(len(symbols), -1),
            "symbol": symbols,
            "symbol_key": symbols.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15),
            "eff": np.array(times, np.int64),
        }
    )


def fed(memory, table, cuts=()):
    """The pane statistic of a table, cut into batches."""
    width = table["values"].shape[1]
    staleness = Staleness(width)
    edges = [0, *sorted(cut % (len(table) + 1) for cut in cuts), len(table)]
    for low, high in pairwise(edges):
        if low < high:
            part = table.take(slice(low, high))
            staleness.update(memory.take(Batch({"features": part}, part, {}))[DERIVED]["counts"])
    return staleness


def plainly(table):
    """Present, compared, frozen and summed ages by column, row by row."""
    values, symbols, times = table["values"].tolist(), table["symbol"].tolist(), table["eff"].tolist()
    width = len(values[0])
    out = np.zeros((4, width), object)
    last = {}
    for row, symbol, t in zip(values, symbols, times, strict=True):
        if symbol in last and t // HOUR_NS - last[symbol]["seen"] // HOUR_NS > FORGOTTEN_HOURS:
            del last[symbol]
        known = last.setdefault(symbol, {"seen": t})
        known["seen"] = t
        for c, x in enumerate(row):
            if np.isnan(x):
                continue
            out[0, c] += 1
            if c in known:
                out[1, c] += 1
                if known[c][0] == x:
                    out[2, c] += 1
                    out[3, c] += t - known[c][1]
                    continue
            known[c] = (x, t)
    return out.tolist()


def read(staleness):
    columns = range(staleness.spec)
    parts = staleness._vector.reshape(5, -1).tolist()
    return [*parts[:3], [(parts[3][c] << 32) + parts[4][c] for c in columns]]


cell = st.sampled_from([0.0, -0.0, 1.0, 2.0, np.nan, np.inf, -np.inf])
streams = st.integers(1, 3).flatmap(
    lambda width: st.lists(
        st.tuples(
            st.lists(cell, min_size=width, max_size=width),
            st.integers(0, 3),
            st.sampled_from([0, 1, S, HOUR_NS, DAY, DAY + HOUR_NS]),
        ),
        min_size=1,
        max_size=40,
    )
)


@settings(deadline=None, max_examples=150)
@given(streams, st.lists(st.integers(0, 40), max_size=4))
def test_ugly_rows_count_as_a_plain_reading_counts_them(stream, cuts):
    values, symbols, steps = zip(*stream, strict=True)
    # A gap of a day cannot lie inside one evaluation slice: cut there.
    times = 10**18 + np.cumsum(steps)
    gaps = [i for i, step in enumerate(steps) if step >= DAY]
    table = rows(values, symbols, times)
    assert read(fed(Previous(range(len(values[0]))), table, [*cuts, *gaps])) == plainly(table)


def test_thousands_of_rows_of_many_symbols_count_alike_in_any_batches():
    rng = np.random.default_rng(3)
    n = 3_000
    values = rng.integers(0, 3, (n, 4)).astype(float)
    values[:, 1] = rng.normal(size=n)
    values[:, 2] = 7.0
    values[rng.random((n, 4)) < 0.1] = np.nan
    values[:, 3] = rng.integers(0, 2, n)
    table = rows(values, rng.integers(0, 700, n), 10**18 + np.sort(rng.integers(0, 100 * S, n)))
    expected = plainly(table)
    for cuts in ([], [1, 2, 3, 1000], range(0, n, 97)):
        assert read(fed(Previous(range(4)), table, cuts)) == expected


def test_features_are_taken_by_their_places():
    table = rows([[0.0, 1.0, 5.0], [1.0, 1.0, 5.0], [2.0, 1.0, 6.0]], [0] * 3, [0, S, 2 * S])
    memory = Previous((2, 0))
    staleness = Staleness(2)
    staleness.update(memory.take(Batch({"features": table}, table, {}))[DERIVED]["counts"])
    assert [staleness.frozen_rate(c) for c in (0, 1)] == [0.5, 0.0]
    assert [staleness.mean_age_s(c) for c in (0, 1)] == [1 / 3, 0.0]


def test_a_restart_from_records_changes_nothing():
    rng = np.random.default_rng(4)
    n = 400
    values = rng.integers(0, 2, (n, 3)).astype(float)
    values[rng.random((n, 3)) < 0.2] = np.nan
    table = rows(values, rng.integers(0, 30, n), np.arange(n) * S)
    whole = fed(Previous(range(3)), table)
    memory, kept, total = Previous(range(3)), {}, Staleness(3)
    for low in range(0, n, 50):
        total.merge(fed(memory, table.take(slice(low, low + 50))))
        kept |= memory.records()
        assert memory.records() == {}
        memory = Previous(range(3))
        memory.restore(kept)
    assert total.to_bytes() == whole.to_bytes()


def test_memory_is_bounded_and_makes_room_for_new_symbols_after_a_day():
    width = 4
    memory = Previous(range(width))
    most = memory._most
    first = rows(np.ones((most + 10, width)), np.arange(most + 10), np.zeros(most + 10))
    fed(memory, first)
    records = memory.records()
    assert len(records) == most
    assert sum(map(len, records.values())) < 600_000
    again = rows(np.ones((most + 10, width)), np.arange(most + 10), np.full(most + 10, S))
    assert fed(memory, again).compared(0) == most
    late = rows(np.ones((20, width)), np.arange(20) + 10 * most, np.full(20, S + DAY + HOUR_NS))
    fed(memory, late)
    assert fed(memory, late).compared(0) == 20
    gone = [key for key, data in memory.records().items() if data is None]
    assert len(gone) == most


def test_beyond_its_bound_too_batches_change_nothing(monkeypatch):
    monkeypatch.setattr(previous, "MAX_BYTES", 16 * 2 * 7)
    rng = np.random.default_rng(9)
    n = 2_000
    # Slices of ten rows within a second, hours apart; symbols come and go, seven fit.
    symbols = (rng.integers(0, 6, n) + np.arange(n) // 200 * 3 - rng.integers(0, 2, n) * 3).clip(0)
    times = np.arange(n) // 10 * 3 * HOUR_NS + np.arange(n) % 10
    table = rows(rng.integers(0, 2, (n, 2)).astype(float), symbols, times)
    whole = fed(Previous(range(2)), table, range(0, n, 10))
    assert 0 < whole.compared(0) < n - 33
    for step in (1, 2, 5):
        assert fed(Previous(range(2)), table, range(0, n, step)).to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("records", [{"00": b"short"}, {"no symbol": bytes(8 + 16 * 2)}])
def test_records_that_are_none_are_refused(records):
    with pytest.raises(StateError, match="previous values"):
        Previous(range(2)).restore(records)


def test_ages_of_years_stay_exact():
    memory, first = Previous((0,)), 10**18
    for day in range(800):
        t = first + day * DAY
        many = fed(memory, rows(np.ones((600, 1)), [0] * 600, np.full(600, t)))
    assert many.mean_age_s(0) == 799 * 86_400
    assert read(many)[3][0] == 600 * 799 * DAY
