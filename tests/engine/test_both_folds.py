"""Both folds: what is decided depends on the rows alone, not on how they were read, split or interrupted."""

from __future__ import annotations

import msgspec
import numpy as np
import orjson
import pytest
from engine_cases import MS, RULES, START, House, S, cuts, fold1, made_up, told
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine.catalogue import sources

END = START + 20 * S + 1
COARSE = tuple(
    msgspec.structs.replace(rule, window=300 * S) if isinstance(rule.window, int) else rule for rule in RULES
)
SEEDS = st.integers(0, 10_000)
HOUSES = st.sampled_from([House(), House(windows_ns=(300 * S, 3600 * S), rules=COARSE)])
"""Finest panes of 1 s, which close at every evaluation, and of 5 s, which are said while open."""


def test_the_made_up_rows_make_every_rule_speak():
    spoken = b"".join(told(House(), made_up(seed), END, steps=1).events for seed in (0, 1))
    for name in (b"agrees", b"errors", b"loss", b"effect"):
        assert b'"rule":"%s"' % name in spoken


@settings(max_examples=12, deadline=None)
@given(HOUSES, SEEDS, SEEDS, st.sampled_from([2, 15, 120]), st.sampled_from([1, 2, 5]))
def test_slicing_and_number_of_tasks_change_no_byte(house, seed, slicing, steps, tasks):
    rows = made_up(seed)
    assert told(house, rows, END, tasks=tasks, seed=slicing, steps=steps) == told(house, rows, END, steps=1)


@settings(max_examples=10, deadline=None)
@given(HOUSES, SEEDS, SEEDS)
def test_both_folds_go_on_from_their_records_as_if_never_interrupted(house, seed, slicing):
    rows = made_up(seed)
    rng = np.random.default_rng(slicing)
    instants = frozenset((START + rng.integers(1, 200, 20) * 100 * MS).tolist())
    marks = cuts(np.random.default_rng(slicing), START - S, END, 30)
    restarts = frozenset(rng.choice(marks, 8).tolist())
    interrupted = told(house, rows, END, seed=slicing, restart1=restarts, restart2=instants)
    assert interrupted == told(house, rows, END, steps=1)


@settings(max_examples=25, deadline=None)
@given(SEEDS, SEEDS)
def test_a_task_says_each_pane_once_in_order_and_never_goes_back(seed, slicing):
    house, rows = House(), made_up(seed)
    watermarks = cuts(np.random.default_rng(slicing), START - S, END, 25)
    *spoken, _ = fold1(house, rows, END, watermarks, restart=frozenset(watermarks[::4]))
    partials = [p for said in spoken for p in said]
    instants = [p.at for p in partials]
    assert instants == sorted(instants)
    assert all(at % house.tick == 0 for at in instants)
    closed = [pane.start for p in partials for pane in p.closed]
    pane = house.grid.pane
    effs = np.concatenate([rows.features["eff"], rows.orders["eff"]])
    ended = (END - END % pane) // pane
    assert closed == sorted({eff // pane * pane for eff in effs.tolist() if eff // pane < ended})
    assert all(p.at == pane_.start + pane for p in partials for pane_ in p.closed)
    first = int(effs.min()) // house.tick * house.tick + house.tick
    assert {p.first for p in partials if p.at >= first} == {first}
    assert {p.first for p in partials if p.at < first} <= {None, first}
    for watermark, said in zip(watermarks, spoken, strict=True):
        assert said == [] or said[-1].at == watermark - watermark % house.tick


def test_an_open_pane_is_said_only_where_a_statistic_is_due_and_new():
    house, rows = House(windows_ns=(3600 * S,)), made_up(5, seconds=30)
    *spoken, _ = fold1(house, rows, END + 10 * S, [END + 10 * S])
    for partial in (p for said in spoken for p in said if p.open is not None):
        assert partial.at % house.evaluation == 0
        said = partial.open.pane.statistics
        assert ("pairs/shadow" in said) == (partial.at % (5 * S) == 0)
        assert "features" not in said, "due once a minute"
        assert "fates/features" in said


@pytest.mark.parametrize("restarted", [False, True])
def test_what_is_not_said_yet_is_said_where_it_is_due_once_even_after_a_restart(restarted):
    house = House(windows_ns=(3600 * S,), memories=tuple)
    rows = made_up(5, seconds=0.3, n=20, fills=0)
    ends = [START + ms * MS for ms in (500, 1500, 70_000)]
    *spoken, _ = fold1(house, rows, ends[-1], ends, restart=frozenset(ends[:1] if restarted else []))
    opens = [(p.at - START, set(p.open.pane.statistics)) for said in spoken for p in said if p.open]
    fed = [source for source in sources(house.scope) if source.takes in ("features", "paper_orders")]
    of = {every: {s.key for s in fed if s.every_ns == every} for every in (0, 5 * S, 60 * S)}
    assert all(of.values())
    assert opens == [(S, of[0]), (5 * S, of[5 * S])]
    assert [c.start for said in spoken for p in said for c in p.closed] == [START]


def test_a_task_without_rows_says_how_far_it_has_come_and_nothing_else():
    fold = House().fold1()
    assert fold.fold({}, {}, START + 250 * MS, idle=True) == []
    partial = fold.progress(START + 250 * MS, idle=True)
    assert (partial.at, partial.first) == (START + 200 * MS, None)
    assert (partial.books, partial.open, partial.closed) == (None, None, ())
    assert fold.progress(START + 290 * MS, idle=True) is None
    assert fold.progress(START + 300 * MS, idle=True).at == START + 300 * MS


def test_executions_that_the_ledger_knows_count_as_duplicates_however_they_were_read():
    rows = made_up(11, fills=60)
    results = [told(House(), rows, END, steps=steps).totals["fates/orders"] for steps in (1, 7, 200)]
    assert results[0] == results[1] == results[2]
    ours = [r.strategy == "mine" for r in rows.orders["report"]]
    seen, repeats = set(), 0
    for report, mine, fate in zip(rows.orders["report"], ours, rows.orders["fate"].tolist(), strict=True):
        if mine and fate in (5, 7):
            repeats += (report.symbol, report.exec_id) in seen
            seen.add((report.symbol, report.exec_id))
    assert repeats > 3
    duplicates = int((rows.orders["fate"] == 4).sum())
    assert results[0][2] == duplicates + repeats


@pytest.mark.parametrize("house", [House(), House(windows_ns=(300 * S, 3600 * S), rules=COARSE)])
def test_inputs_of_a_decision_are_the_offsets_of_all_rows_in_the_panes_of_its_window(house):
    seen = set()
    for seed in range(4):
        rows = made_up(seed)
        for event in map(orjson.loads, told(house, rows, END, tasks=2).events.splitlines()):
            data = event["data"]
            pane = house.grid.pane
            if data["rule"] == "effect":
                continue  # its window begins with the rings' first pane, not at `from_ns`
            low, high = data["from_ns"] // pane * pane, data["to_ns"]
            expected = {}
            for stream, table in (("features", rows.features), ("orders", rows.orders)):
                offsets = table["offset"][(table["eff"] >= low) & (table["eff"] < high)]
                if len(offsets):
                    expected[f"{stream}-0"] = [int(offsets.min()), int(offsets.max())]
            if data["status"] != "unknown":
                assert data["inputs"] == expected, data["rule"]
                seen.add(data["rule"])
    assert {"loss", "errors"} <= seen
