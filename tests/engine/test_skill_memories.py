"""Predictions that wait for labels and returns: bounded, the same after any restart, and of mids alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from engine_cases import FORWARD, MS, START, House, S, made_up
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine.memories.forward import SKIPPED, ForwardReturns, derived, quota_of
from monitor.engine.memories.labels import COUNTED, COUNTS, LABELLED, UNLABELLED, Labels
from monitor.engine.memories.mids import KEPT_NS, SHARDS, Mids, mid_of
from monitor.engine.memories.mids_ahead import Quota
from monitor.engine.panes import PaneBytes
from monitor.engine.rows import Scores
from monitor.engine.scope import NO_ROWS, Batch
from monitor.engine.skill_rules import Forward, LabelJoin
from monitor.errors import StateError
from monitor.event_time.timing import Fate
from monitor.stats.rank import spearman
from monitor.wire.keys import hash64
from monitor.wire.table import Table

ROLES = ("active", "shadow")


def features(eff, symbol, bid, ask, keys=None) -> Table:
    n = len(eff)
    keys = np.arange(1, n + 1, dtype=np.uint64) if keys is None else np.asarray(keys, np.uint64)
    return Table(
        {
            "eff": np.asarray(eff, np.int64),
            "ts": np.asarray(eff, np.int64),
            "fate": np.full(n, Fate.ACCEPTED, np.int8),
            "symbol_key": np.asarray(symbol, np.uint64),
            "sample_key": keys,
            "dedupe_key": keys,
            "bid": np.asarray(bid, np.float64),
            "ask": np.asarray(ask, np.float64),
        }
    )


def batch(rows: Table | None, values=None, labels: Table | None = None) -> Batch:
    streams = {}
    if rows is not None:
        streams["features"] = rows
    if labels is not None:
        streams["outcomes"] = labels
    n = 0 if rows is None else len(rows)
    scores = {}
    for role in ROLES:
        value = np.zeros(n) if values is None else np.asarray(values, np.float64)
        scores[role] = Scores(value, np.zeros(n, np.int8), np.zeros(n, np.int64))
    return Batch(streams, NO_ROWS if rows is None else rows, scores)


def outcomes(eff, keys, label) -> Table:
    n = len(eff)
    return Table(
        {
            "eff": np.asarray(eff, np.int64),
            "fate": np.full(n, Fate.ACCEPTED, np.int8),
            "dedupe_key": np.asarray(keys, np.uint64),
            "label": np.asarray(label, np.float64),
        }
    )


def restarted(memory, fresh, store: dict[str, bytes]):
    """The memory that goes on from what a compacted topic holds."""
    for key, data in memory.records().items():
        if data is None:
            store.pop(key, None)
        else:
            store[key] = data
    assert memory.records() == {}, "nothing changed since"
    again = fresh()
    again.restore(dict(reversed(store.items())))
    return again


def passed(memory, fresh, steps, restarts: set[int], evaluation: int = S):
    """Folds (time, batch) steps as a task does, each within one slice; everything derived, in order."""
    said: list[tuple[int, str, dict[str, list]]] = []
    store: dict[str, bytes] = {}
    at = None

    def note(when, tables):
        for name, table in tables.items():
            said.append((when, name, {c: table[c].tolist() for c in table}))

    for number, (time, rows) in enumerate(steps):
        instant = time - time % evaluation
        if at is not None:
            while (
                memory.due is not None
                and (end := memory.due - memory.due % evaluation + evaluation) <= instant
            ):
                note(end, memory.expire(end))
        at = instant
        if rows is not None:
            note(at, memory.take(rows))
        if number in restarts:
            memory = restarted(memory, fresh, store)
    return said, memory


def joined(said) -> dict[tuple[int, str], dict[str, list]]:
    """What was derived of each name in each slice, batches put together."""
    out: dict[tuple[int, str], dict[str, list]] = {}
    for at, name, columns in said:
        mine = out.setdefault((at, name), {c: [] for c in columns})
        for c, values in columns.items():
            if name in (COUNTED, SKIPPED):
                mine[c] = [sum(mine[c]) + sum(values)]
            else:
                mine[c] += values
    return out


def fresh_forward(limit: int = 3000, symbols: int = 3):
    forward = Forward((2 * S, 500 * MS), 50 * MS, 0.5, limit, symbols, 0.002, S)
    return lambda: ForwardReturns(forward, ROLES)


def walk(rng, n: int, seconds: int):
    eff = START + np.sort(rng.integers(0, seconds * S, n))
    eff[::5] -= eff[::5] % (100 * MS)
    eff.sort()
    middle = 100 + np.cumsum(rng.normal(0, 0.01, n))
    bid, ask = middle - 0.01, middle + 0.01
    bid[rng.random(n) < 0.1] = np.nan
    return features(eff, rng.integers(0, 3, n), bid, ask), rng.normal(size=n)


def cut(rows: Table, values, cuts, evaluation: int = S):
    """Batches between the places `cuts`, none over an instant of evaluation or within rows of one time."""
    eff = rows["eff"]
    edges = {0, len(rows), *np.flatnonzero(np.diff(eff // evaluation)).__add__(1).tolist()}
    edges |= {c for c in cuts if 0 < c < len(rows)}
    ends = sorted(edges)
    for low, high in pairwise(ends):
        part = slice(low, high)
        yield int(eff[low]), batch(rows.take(part), values[part])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6), st.lists(st.integers(1, 119), max_size=12), st.sets(st.integers(0, 30), max_size=6)
)
def test_returns_are_the_same_for_any_batches_and_restarts(seed, cuts, restarts):
    rng = np.random.default_rng(seed)
    rows, values = walk(rng, 120, 8)
    end = [(START + 60 * S, None)]
    fresh = fresh_forward(limit=60)
    whole, last = passed(fresh(), fresh, [*cut(rows, values, []), *end], set())
    parts, _ = passed(fresh(), fresh, [*cut(rows, values, cuts), *end], restarts)
    plain = [sorted((key, str(c)) for key, c in joined(said).items()) for said in (parts, whole)]
    assert plain[0] == plain[1]
    assert len(last) == 0
    assert last.due is None


def test_a_return_is_of_the_mids_as_of_two_instants():
    fresh = fresh_forward()
    eff = [START, START + 10 * MS, START + 50 * MS, START + 2050 * MS, START + 2051 * MS]
    rows = features(eff, [7, 8, 7, 7, 7], [99, 49, 101, 109, 149], [101, 51, 103, 111, 151])
    steps = [(START, batch(rows.take(slice(3)), [1.0, 2.0, 3.0]))]
    steps += [(eff[3], batch(rows.take(slice(3, None)), [4.0, 5.0])), (START + 9 * S, None)]
    forward = Forward((2 * S,), 50 * MS, 0.5, 100, 2, 0.5, S)
    said, _ = passed(ForwardReturns(forward, ROLES), fresh, steps, set())
    at, name, columns = said[0]
    assert (at, name) == (START + 3 * S, derived(2 * S))
    # 102 as of 50 ms, when its quote came; 110 as of 2050 ms; the other symbol never moved.
    assert columns["value/active"] == [1.0, 2.0, 3.0]
    assert columns["return"] == [(110 - 102) / 102, 0.0, (150 - 102) / 102]
    assert columns["leads"] == [True, True, False]
    assert columns["slot"] == [START] * 3


def test_a_bad_tick_gives_no_return_and_moves_nothing_else():
    fresh = fresh_forward()
    eff = START + np.arange(0, 30) * 200 * MS
    middle = np.full(30, 100.0)
    middle[11] = 1_000_000.0
    rows = features(eff, np.ones(30), middle * 0.9999, middle * 1.0001)
    steps = [*cut(rows, np.ones(30), []), (START + 60 * S, None)]
    said, _ = passed(fresh(), fresh, steps, set())
    found = [r for _, name, c in said if name == derived(2 * S) for r in c["return"]]
    assert sum(np.isnan(found)) == 2, "that of the prediction at the tick, and of the one that ends there"
    assert np.nanmax(np.abs(found)) == 0.0


def test_neither_last_trades_nor_crossed_one_sided_wide_or_stale_quotes_are_mids():
    bid = np.array([99.0, 101.0, np.nan, 99.0, 99.0, 100.0, 0.0, -1.0])
    ask = np.array([101.0, 99.0, 101.0, np.nan, 150.0, 100.0, 0.0, 1.0])
    assert mid_of(bid, ask, 0.02).tolist()[:1] == [100.0]
    assert np.isnan(mid_of(bid, ask, 0.02)).tolist() == [False, True, True, True, True, False, True, True]
    mids = Mids(5 * S)
    quotes = np.array([1], np.uint64), np.array([0]), np.array([5.0])
    mids.take(quotes)
    none = np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0)
    asked = np.array([1, 1, 2], np.uint64), np.array([5 * S, 5 * S + 1, 5])
    assert str(mids.at(none, asked).tolist()) == "[5.0, nan, nan]"
    mids.forget(KEPT_NS)
    assert len(mids) == 1
    mids.forget(KEPT_NS + 1)
    assert len(mids) == 0
    assert mids.records() == {f"{1 % SHARDS}": None}


def test_a_noise_signal_that_bets_against_the_last_bounce_has_no_ic_on_mids_though_it_has_on_trades():
    rng = np.random.default_rng(14)
    n, half = 6_000, 0.05
    middle = 100 + np.cumsum(rng.normal(0, 0.01, n))
    side = rng.choice([-1.0, 1.0], n)
    trade = middle + side * half
    signal = -np.diff(trade, prepend=trade[0])
    eff = START + np.arange(n) * S
    forward = Forward((S,), 0, 0.0, 10**6, 1, 0.01, S)
    memory = ForwardReturns(forward, ROLES)
    rows = features(eff, np.full(n, hash64(b"AAA")), middle - half, middle + half)
    steps = [*cut(rows, signal, []), (int(eff[-1]) + 10 * S, None)]
    said, _ = passed(memory, lambda: memory, steps, set())
    found = [
        (v, r)
        for _, name, c in said
        if name == derived(S)
        for v, r in zip(c["value/active"], c["return"], strict=True)
    ]
    value, change = np.array(found).T
    on_trades = spearman(signal[1:-1], (trade[2:] - trade[1:-1]) / trade[1:-1])
    assert on_trades > 0.35
    assert abs(spearman(value, change)) < 0.04


def test_a_symbol_waits_with_so_many_of_each_slot_whoever_else_is_in_its_task():
    rng = np.random.default_rng(5)
    rows, values = walk(rng, 600, 10)
    forward = Forward((2 * S,), 50 * MS, 0.5, 90, 3, 0.002, S)
    quota = quota_of(forward)
    assert (quota.slot_ns, quota.rows) == (S, 5)
    end = [(START + 60 * S, None)]
    whole, _ = passed(ForwardReturns(forward, ROLES), None, [*cut(rows, values, []), *end], set())
    alone = []
    for symbol in range(3):
        mine = np.flatnonzero(rows["symbol_key"] == symbol)
        steps = [*cut(rows.take(mine), values[mine], []), *end]
        alone += passed(ForwardReturns(forward, ROLES), None, steps, set())[0]

    def pairs(said):
        columns = [c for _, name, c in said if name == derived(2 * S)]
        return sorted(str(row) for c in columns for row in zip(*c.values(), strict=True))

    assert pairs(alone) == pairs(whole)
    said = len(pairs(whole))
    skipped = sum(sum(c["rows"]) for _, name, c in whole if name == SKIPPED)
    assert said + skipped == 600
    counts = np.unique(
        rows["symbol_key"] * np.uint64(100) + ((rows["eff"] - START) // S).astype(np.uint64),
        return_counts=True,
    )[1]
    assert said == np.minimum(counts, 5).sum()


def test_one_row_a_slot_stays_one_though_it_has_been_said():
    forward = Forward((2 * S,), 0, 0.5, 1, 1, 0.002, S)
    assert quota_of(forward) == Quota(3 * S, 1)
    memory = ForwardReturns(forward, ROLES)
    eff = START + np.arange(0, 12 * S, 250 * MS)
    rows = features(eff, np.zeros(len(eff)), np.full(len(eff), 99.99), np.full(len(eff), 100.01))
    said, _ = passed(memory, None, [*cut(rows, np.ones(len(eff)), []), (START + 60 * S, None)], set())
    pairs = [c for _, name, c in said if name == derived(2 * S)]
    assert [slot for c in pairs for slot in c["slot"]] == [START + k * S for k in (0, 3, 6, 9)]


@pytest.mark.parametrize(("symbols", "span_s"), [(1, 60), (500, 60), (500, 86_400), (4, 3_600), (64, 1)])
def test_what_waits_and_its_state_are_bounded_at_any_rate(symbols, span_s):
    forward = Forward((span_s * S,), 50 * MS, 0.5, 20_000, symbols, 0.002, S)
    quota = quota_of(forward)
    slots = (span_s * S + 50 * MS + S) // quota.slot_ns + 2
    assert quota.rows * slots * symbols <= max(20_000, 4 * symbols)
    assert quota.slot_ns % S == 0


def test_a_task_of_500_symbols_at_any_rate_keeps_less_than_a_megabyte():
    forward = Forward((60 * S,), 50 * MS, 0.5, 20_000, 500, 0.002, S)
    memory = ForwardReturns(forward, ROLES)
    rng = np.random.default_rng(9)
    size = 0
    store: dict[str, bytes] = {}
    for second in range(70):
        eff = START + second * S + np.sort(rng.integers(0, S, 2_000))
        middle = 100 + rng.normal(size=2_000)
        rows = features(eff, rng.integers(0, 500, 2_000), middle - 0.01, middle + 0.01)
        if memory.due is not None and memory.due < START + second * S:
            memory.expire(START + second * S)
        memory.take(batch(rows, rng.normal(size=2_000)))
        for key, data in memory.records().items():
            store.pop(key, None) if data is None else store.update({key: data})
        size = max(size, sum(map(len, store.values())))
    assert 10_000 < len(memory) <= 20_000
    assert size < 1 << 20
    assert max(map(len, store.values())) < 64 * 1024


def fresh_labels(wait: int = 5 * S, limit: int = 1000):
    return lambda: Labels(LabelJoin(wait, limit), ROLES)


def label_steps(rng, n: int, cuts):
    """Events and labels by time: in time, before the event, long after, twice, for nobody."""
    eff = START + np.sort(rng.integers(0, 10 * S, n))
    keys = rng.permutation(n).astype(np.uint64)
    values = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n))
    delay = rng.choice([-2 * S, 0, S, 4 * S, 5 * S, 7 * S], n) + rng.integers(-3, 3, n)
    twice = rng.random(n) < 0.2
    named = np.concatenate([keys, keys[twice], np.array([10**6, 10**6 + 1], np.uint64)])
    at = np.concatenate([eff + delay, (eff + delay + 2 * S)[twice], [START + S, START + 3 * S]])
    order = np.argsort(np.maximum(at, START), kind="stable")
    labels = outcomes(np.maximum(at, START)[order], named[order], np.arange(len(at))[order])
    rows = features(eff, keys % 3, np.full(n, np.nan), np.full(n, np.nan), keys)
    times = np.unique(np.concatenate([eff, labels["eff"]]))
    edges = {int(times[0]), int(times[-1]) + 1, *(t - t % S for t in times.tolist())}
    edges |= {int(times[c]) for c in cuts if c < len(times)}
    ends = sorted(edges)
    for low, high in pairwise(ends):
        part = slice(*np.searchsorted(eff, [low, high]).tolist())
        mine = labels.take(slice(*np.searchsorted(labels["eff"], [low, high]).tolist()))
        some = rows.take(part)
        if len(some) or len(mine):
            yield low, batch(some if len(some) else None, values[part], mine if len(mine) else None)
    yield START + 60 * S, None


@pytest.mark.parametrize("limit", [1000, 15])
@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6), st.lists(st.integers(1, 150), max_size=12), st.sets(st.integers(0, 40), max_size=6)
)
def test_labels_meet_the_same_events_for_any_batches_and_restarts(limit, seed, cuts, restarts):
    fresh = fresh_labels(limit=limit)
    steps = list(label_steps(np.random.default_rng(seed), 60, []))
    whole, last = passed(fresh(), fresh, steps, set())
    parts, _ = passed(fresh(), fresh, label_steps(np.random.default_rng(seed), 60, cuts), restarts)

    def plain(said):
        rows = sorted((key, str(c)) for key, c in joined(said).items() if key[1] != UNLABELLED)
        left = {
            k: sorted(map(str, zip(*c.values(), strict=True)))
            for k, c in joined(said).items()
            if k[1] == UNLABELLED
        }
        return rows, sorted(left.items())

    assert plain(parts) == plain(whole)
    assert len(last) == 0
    totals = dict.fromkeys(COUNTS, 0)
    for _, name, columns in whole:
        if name == COUNTED:
            totals = {reason: totals[reason] + sum(columns[reason]) for reason in COUNTS}
    assert totals["waiting"] == 60 == totals["labelled"] + totals["expired"] + totals["dropped"]
    of_labels = ("labelled", "duplicate", "unknown", "lost")
    given_labels = sum(len(b.streams["outcomes"]) for _, b in steps if b is not None and "outcomes" in b)
    assert sum(totals[reason] for reason in of_labels) == given_labels
    assert (totals["dropped"] + totals["lost"] > 0) == (limit == 15)
    assert sum(len(c["label"]) for _, name, c in whole if name == LABELLED) == totals["labelled"]


def test_over_the_limit_the_oldest_go_at_the_next_instant():
    memory = fresh_labels(limit=10)()
    eff = START + np.arange(25) * 10 * MS
    rows = features(eff, np.ones(25), np.full(25, np.nan), np.full(25, np.nan))
    assert memory.take(batch(rows, np.arange(25.0)))[COUNTED]["waiting"].tolist() == [25]
    assert memory.due == int(eff[-1])
    out = memory.expire(START + S)
    assert len(memory) == 10
    assert out[UNLABELLED]["value/active"].tolist() == list(range(15))
    assert out[UNLABELLED]["dropped"].all()
    late = outcomes([START + 2 * S] * 2, [15, 16], [1.0, 0.0])
    met = memory.take(batch(None, labels=late))
    assert met[LABELLED]["value/active"].tolist() == [15.0], "the event with key 15 went, that with 16 stayed"


def test_the_first_label_of_an_event_counts():
    memory = fresh_labels()()
    early = outcomes([START, START + 1, START + 1], [1, 1, 2], [0.5, 0.7, 0.9])
    assert memory.take(batch(None, labels=early)) == {}
    rows = features([START + 2], [1], [np.nan], [np.nan], [1])
    late = outcomes([START + 2], [1], [0.8])
    said = memory.take(batch(rows, [3.0], late))
    assert said[LABELLED]["label"].tolist() == [0.5]
    assert said[COUNTED]["duplicate"].tolist() == [2]
    again = memory.take(batch(None, labels=outcomes([START + S], [1], [0.6])))
    assert LABELLED not in again
    assert again[COUNTED]["duplicate"].tolist() == [1]


@pytest.mark.parametrize("fresh", [fresh_forward(), fresh_labels()])
def test_a_record_that_cannot_be_read_is_named(fresh):
    for key in ("rows/0", "mids/3", "passed", "events/0"):
        memory = fresh()
        if key in ("rows/0", "mids/3") and isinstance(memory, Labels):
            continue
        if key == "events/0" and isinstance(memory, ForwardReturns):
            continue
        with pytest.raises(StateError, match="cannot be read"):
            memory.restore({key: b"\xc1"})


def test_a_task_that_restarts_says_the_same_panes():
    """Through fold 1, with the state of both memories among its records."""
    house = House()
    rows = made_up(8, n=800)
    keys = rows.features["dedupe_key"]
    rng = np.random.default_rng(1)
    labels = outcomes(
        np.sort(rows.features["eff"] + rng.integers(-S, 3 * S, 800)),
        rng.permutation(keys),
        rng.normal(size=800),
    ).with_columns(offset=np.arange(800), ts=np.zeros(800, np.int64), reason=np.zeros(800, np.int8))

    def closed(steps: int, restart: bool) -> dict[int, PaneBytes]:
        fold, store, panes = house.fold1(), {}, {}
        ends = np.linspace(START - S, START + 60 * S, steps + 1).astype(np.int64).tolist()
        for low, high in pairwise(ends):
            tables, scores = rows.part(low, high)
            mine = labels.take(slice(*np.searchsorted(labels["eff"], [low, high]).tolist()))
            if len(mine):
                tables = {**tables, "outcomes": mine}
            for partial in fold.fold(tables, scores, high, idle=False):
                panes |= {c.start: c.pane for c in partial.closed}
            for key, data in fold.records().items():
                store.pop(key, None) if data is None else store.update({key: data})
            if restart:
                fold = house.fold1()
                fold.restore(store, high)
        return panes

    whole = closed(1, restart=False)
    for name in (
        "forward/active/2000000000",
        "edge/shadow",
        "instants/active",
        "labelled/active",
        "errors/shadow",
    ):
        assert any(name in pane.statistics for pane in whole.values())
    assert closed(37, restart=True) == whole
    assert FORWARD.overlap_ns == 2_050 * MS
