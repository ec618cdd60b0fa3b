"""Sequences are fed whole blocks, once each and in order, whatever is missing, late or interrupted."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from engine_cases import MS, START, House, S, keep, made_up, rule, told
from hypothesis import given, settings
from hypothesis import strategies as st
from test_deployment_fold import command, up_to, waiting_of

from monitor.engine.catalogue import Catalogue, sources
from monitor.engine.grid import Grid
from monitor.engine.panes import Pane
from monitor.engine.rows import ScoreStatus
from monitor.engine.scope import plain
from monitor.engine.sequences import SequenceKind, Sequences
from monitor.errors import StateError
from monitor.event_time.timing import FOLDED
from monitor.policy.rules import Action
from monitor.stats.betting import BettingTest, Harm
from monitor.stats.counts import Counts
from monitor.stats.estimate import Status

KINDS = {"rows": plain(Counts, ("n",)), "other": plain(Counts, ("n",))}
GRID = Grid(S // 10, S, S)
BLOCK = 4 * S
VOID = None


class Told:
    """Remembers what it was told; numbers above 100 are onsets."""

    def __init__(self, said=()):
        self.said = list(said)

    def take(self, value):
        self.said.append(value)
        return value > 100

    def skip(self):
        self.said.append(VOID)

    def to_bytes(self):
        return msgspec.msgpack.encode(self.said)


def kind(key="s", takes="rows", length=BLOCK):
    def value(pane):
        counts = pane.statistics.get(takes)
        return None if counts is None else float(counts["n"])

    return SequenceKind(key, (takes,), length, value, Told, lambda data: Told(msgspec.msgpack.decode(data)))


def made(*kinds, longest=60 * S):
    return Sequences(kinds or (kind(),), KINDS, longest)


def pane(n, key="rows", offset=0):
    found = Pane(KINDS, S)
    found.statistic(key).update("n", n)
    found.offsets["features-0"] = (offset, offset)
    return found


def fed(sequences, seconds, missing=(), late=None):
    """Every second a pane of as many rows closes; `late`: second -> second at which its pane is said."""
    for second in seconds:
        saying = [s for s, at in (late or {}).items() if at == second] + (
            [] if second in (late or {}) else [second]
        )
        closed = {(s - 1) * S: pane(s) for s in saying}
        sequences.fold(second * S, closed, known=second not in missing)
    return sequences


def said(sequences, key="s"):
    return sequences.standings[key].state.said


def test_whole_blocks_are_taken_in_order_from_the_first_whole_one_on():
    sequences = fed(made(), range(2, 17))
    assert said(sequences) == [5 + 6 + 7 + 8, 9 + 10 + 11 + 12, 13 + 14 + 15 + 16]
    standing = sequences.standings["s"]
    assert (standing.since, standing.until, standing.taken, standing.void) == (4 * S, 16 * S, 3, 0)
    assert standing.sound


def test_a_block_that_begins_with_the_first_instant_is_not_whole():
    assert said(fed(made(), range(4, 13))) == [9 + 10 + 11 + 12]


def test_a_task_that_is_missing_within_a_block_and_back_at_its_end_harms_nothing():
    sequences = fed(made(), range(1, 13), missing={6, 7}, late={6: 8, 7: 8})
    assert said(sequences) == [5 + 6 + 7 + 8, 9 + 10 + 11 + 12]


def test_a_block_at_whose_end_a_task_is_missing_is_void_and_what_it_says_later_is_left_out():
    sequences = fed(made(), range(1, 17), missing={8}, late={7: 10, 8: 10})
    assert said(sequences) == [VOID, 9 + 10 + 11 + 12, 13 + 14 + 15 + 16]
    assert (sequences.standings["s"].taken, sequences.standings["s"].void) == (2, 1)


def test_a_value_is_not_as_of_now_after_a_void_block():
    sequences = fed(made(), range(1, 13), missing={12})
    assert not sequences.standings["s"].sound
    fed(sequences, range(13, 17))
    assert sequences.standings["s"].sound


def test_a_silence_is_a_gap_however_long_it_is():
    sequences = fed(made(), range(1, 10))
    sequences.fold(10**9 * S, {}, known=True)
    fed(sequences, range(10**9 + 1, 10**9 + 9))
    high = 4 * 10**9
    assert said(sequences) == [26, 9, VOID, high + 10, high + 26]


def test_blocks_of_which_the_end_was_not_evaluated_are_taken_when_evaluation_goes_on():
    sequences = fed(made(), range(1, 10))
    late = {s * S: pane(s) for s in (10, 11, 13)}
    sequences.fold(21 * S, late, known=True)
    assert said(sequences) == [26, 9 + 10 + 11, 13, VOID]


def test_a_block_of_which_no_finite_value_comes_is_void():
    def wild(p):
        return {5: np.nan, 6: np.inf, 7: None}.get(p.statistics["rows"]["n"], 1.0)

    sequences = made(reading_of(kind(length=S), wild))
    assert said(fed(sequences, range(1, 11))) == [1, 1, VOID, VOID, VOID, 1, 1, 1]


def reading_of(sequence, value):
    return SequenceKind(
        sequence.key, sequence.takes, sequence.length_ns, value, sequence.empty, sequence.decode
    )


def test_after_a_reset_all_begin_anew_with_the_next_whole_block():
    sequences = fed(made(), range(1, 11))
    sequences.restart(10 * S)
    assert said(sequences) == []
    fed(sequences, range(11, 21))
    assert said(sequences) == [13 + 14 + 15 + 16, 17 + 18 + 19 + 20]
    assert sequences.standings["s"].since == 12 * S


def test_offsets_are_of_the_blocks_that_were_taken():
    sequences = made()
    for second in range(1, 13):
        sequences.fold(second * S, {(second - 1) * S: pane(1, offset=second)}, known=second != 8)
    assert sequences.offsets == {"features-0": (9, 12)}


def test_onsets_are_dated_and_forgotten_after_the_longest_window():
    sequences = fed(made(kind(length=S), longest=20 * S), range(90, 111))
    assert sequences.standings["s"].onsets == [s * S for s in range(101, 111)]
    fed(sequences, range(111, 127), missing=range(111, 127))
    assert sequences.standings["s"].onsets == [s * S for s in range(107, 111)]


EVENTS = st.lists(
    st.tuples(st.sampled_from([1, 1, 1, 2, 3, 9]), st.booleans(), st.lists(st.integers(0, 6), max_size=3)),
    min_size=1,
    max_size=40,
)
"""Instants: seconds since the last, whether all tasks are there, and the ages of the panes that are said."""


@settings(deadline=None, max_examples=150)
@given(EVENTS, st.sets(st.integers(0, 39)), st.sets(st.integers(0, 39), max_size=2))
def test_interrupted_anywhere_they_end_in_the_same_bytes(events, restarts, resets):
    kinds = (kind(), kind("t", "other", 2 * S), kind("u", "rows", BLOCK))
    whole, parts, store, kept = made(*kinds), made(*kinds), {}, {}
    at = 100 * S
    for place, (after, known, ages) in enumerate(events):
        at += after * S
        closed = {at - (age + 1) * S: pane(place + 1, "rows" if age % 2 else "other") for age in ages}
        for sequences, records in ((whole, kept), (parts, store)):
            sequences.fold(at, closed, known=known)
            if place in resets:
                sequences.restart(at)
            keep(records, sequences.records())
        assert store == kept
        if place in restarts:
            parts = made(*kinds)
            parts.restore(store)
            assert parts.records() == {}
    assert [said(whole, k.key) for k in kinds] == [said(parts, k.key) for k in kinds]


@settings(deadline=None, max_examples=60)
@given(EVENTS)
def test_every_block_is_told_once_and_in_order(events):
    """Rows in a pane name it, so that what was told can be told apart."""
    at, sent = 100 * S, set()
    sequences = made(kind(length=S))
    for after, known, ages in events:
        at += after * S
        closed = {at - (age + 1) * S: pane((at - (age + 1) * S) // S) for age in ages}
        sent |= set(closed)
        sequences.fold(at, closed, known=known)
        values = [v for v in said(sequences) if v is not VOID]
        # A pane may be said again by another task: within its block it counts, later it does not.
        starts = [start * S for v in values for start in [v] if start * S in sent]
        assert starts == sorted(set(starts))


def test_records_of_a_sequence_that_is_gone_are_deleted_and_a_new_one_waits_for_a_whole_block():
    old, store = made(kind(), kind("gone")), {}
    fed(old, range(1, 10))
    keep(store, old.records())
    new = made(kind(), kind("new", "other"))
    new.restore(store)
    assert new.records() == {"sequence/gone": None}
    fed(new, range(10, 21))
    assert said(new) == [26, 13 + 14 + 15 + 16, 17 + 18 + 19 + 20]


@pytest.mark.parametrize("key", ["blocks/4000000000", "sequence/s"])
def test_records_that_cannot_be_read_are_refused(key):
    with pytest.raises(StateError, match=key):
        made().restore({key: b"rubbish"})


# Through both folds.

END = START + 40 * S + 1
RULE = rule(
    "evidence", "error_e_value", labels={"role": "shadow"}, window=0, threshold=3.0, action=Action.DEMOTE
)
HOUSE = House(rules=(RULE,))
TAKEN = {key for sequence in Catalogue(HOUSE.scope).sequences for key in sequence.takes}
LIGHT = House(rules=(), tick=S, sources=tuple(s for s in sources(HOUSE.scope) if s.key in TAKEN))
"""With no other statistics than those that sequences take."""


def failing(seed=3, n=1500):
    """Rows in the second half of which the shadow fails half the time."""
    rows = made_up(seed, seconds=40, n=n, fills=0)
    rng = np.random.default_rng(seed)
    broken = (rows.features["eff"] > START + 20 * S) & (rng.random(n) < 0.5)
    rows.scores["shadow"].status[broken] = ScoreStatus.ERROR
    rows.scores["shadow"].value[broken] = np.nan
    return rows


def expected(rows, since, until, length=2 * S):
    """The test over the blocks of rows, read off the rows themselves."""
    folded = np.isin(rows.features["fate"], FOLDED)
    ours, theirs = (rows.scores[role].status[folded] for role in ("active", "shadow"))
    eff, test = rows.features["eff"][folded], BettingTest(Harm(1.0))
    asked = (ours != ScoreStatus.INCOMPLETE) & (theirs != ScoreStatus.INCOMPLETE)
    ok = (ScoreStatus.OK, ScoreStatus.INCOMPLETE)
    harm = np.isin(theirs, ok, invert=True).astype(int) - np.isin(ours, ok, invert=True).astype(int)
    for start in range(since, until, length):
        inside = asked & (eff >= start) & (eff < start + length)
        if inside.any():
            test.take(int(harm[inside].sum()) / int(inside.sum()))
        else:
            test.skip()
    return test


def reading(values, name):
    [value] = [v for v in values if v.name == name]
    assert value.window == 0
    return value.estimate


def test_evidence_against_a_shadow_is_that_of_its_rows_block_by_block():
    rows = failing()
    values = told(HOUSE, rows, END, steps=7).values
    test = expected(rows, START + 2 * S, START + 40 * S)
    for name, value in (("error_e_value", test.e_value), ("error_e_detector", test.detector)):
        estimate = reading(values, name)
        assert estimate.status is Status.OK
        assert estimate.value == value
        assert estimate.value > 5
        assert (estimate.n, estimate.from_ns, estimate.to_ns) == (19, START + 2 * S, START + 40 * S)
        assert estimate.extra["p_against"] == test.p_against
        assert estimate.extra["lag1"] == test.lag1
        assert (estimate.extra["bound"], estimate.extra["margin"], estimate.extra["clip_share"]) == (1, 0, 0)


def test_a_rule_demotes_on_evidence_once_and_names_the_rows_it_rests_on():
    spoken = told(HOUSE, failing(), END, steps=7)
    [event] = [msgspec.json.decode(line) for line in spoken.events.splitlines()]
    assert event["type"] == "io.shadowmonitor.demote.v1"
    assert event["data"]["window"] == 0
    assert event["data"]["inputs"]["features-0"][0] > 0
    assert spoken.latches["shadow"] == "DEMOTED"


def test_a_shadow_that_fails_no_more_than_the_active_gathers_no_evidence():
    values = told(HOUSE, made_up(4, seconds=40, n=1500), END, steps=3).values
    assert reading(values, "error_e_value").value < 3


@pytest.mark.parametrize("tasks", [2, 3])
def test_a_task_that_is_missing_at_the_end_of_a_block_voids_it(tasks):
    house, rows = replace(LIGHT, tick=100 * MS), failing()
    waiting, fold = waiting_of(house, rows, END, tasks=tasks), house.fold2()
    first = min(p.first for queue in waiting.values() for p in queue if p.first is not None)
    for at in range(first, START + 40 * S + 1, house.tick):
        gone = frozenset({1}) if START + 9.95 * S < at < START + 10.5 * S else frozenset()
        fold.evaluate(at, up_to(waiting, at, gone), gone)
        if gone:
            assert reading(fold.values(), "error_e_value").status is Status.UNKNOWN
        if START + 10.5 * S < at < START + 12 * S:
            assert reading(fold.values(), "error_e_value").status is Status.UNKNOWN, "its last block is void"
    estimate = reading(fold.values(), "error_e_value")
    assert (estimate.n, estimate.extra["void_blocks"]) == (18, 1)
    test = BettingTest(Harm(1.0))
    assert estimate.status is Status.OK
    assert estimate.value != expected(rows, START + 2 * S, START + 40 * S).e_value
    assert estimate.value > test.e_value


def test_a_reset_begins_the_evidence_anew():
    house, rows = HOUSE, failing()
    waiting, fold = waiting_of(house, rows, END), house.fold2()
    first = min(p.first for p in waiting[0] if p.first is not None)
    for at in range(first, START + 34 * S + 1, house.tick):
        fold.evaluate(at, up_to(waiting, at))
    assert str(fold.decider.latches.states["shadow"]) == "DEMOTED"
    fold.command(command("reset", subject="shadow", expected_epoch=fold.decider.latches.epoch))
    estimate = reading(fold.values(), "error_e_value")
    assert (estimate.n, estimate.status) == (0, Status.INSUFFICIENT)
    for at in range(START + 34 * S + house.tick, START + 40 * S + 1, house.tick):
        fold.evaluate(at, up_to(waiting, at))
    again = reading(fold.values(), "error_e_value")
    assert again.value == expected(rows, START + 36 * S, START + 40 * S).e_value
    assert (again.n, again.from_ns) == (2, START + 36 * S)


def test_blocks_that_depend_on_each_other_make_the_test_unknown():
    """Errors that come and go for ten seconds at a time, in blocks of two."""
    rows = made_up(9, seconds=300, n=3000, fills=0)
    slow = (rows.features["eff"] - START) // (10 * S) % 2 == 0
    for scores in rows.scores.values():
        scores.status[:] = ScoreStatus.OK
    broken = slow & (np.random.default_rng(1).random(3000) < 0.3)
    rows.scores["shadow"].status[broken] = ScoreStatus.TIMEOUT
    estimate = reading(told(LIGHT, rows, START + 300 * S + 1, steps=3).values, "error_e_value")
    assert estimate.extra["lag1"] > 0.2
    assert (estimate.status, estimate.value) == (Status.UNKNOWN, None)
    assert estimate.n == 149


def test_changes_are_counted_where_they_fall_into_the_window():
    """A shadow that drifts away at 150 s: found within a minute, forgotten by a window that has passed it."""
    n = 6000
    rows = made_up(10, seconds=300, n=n, fills=0)
    for scores in rows.scores.values():
        scores.status[:] = ScoreStatus.OK
        scores.value[:] = np.random.default_rng(2).normal(size=n)
    rows.scores["shadow"].value[:] += 0.3 * np.random.default_rng(3).normal(size=n)
    rows.scores["shadow"].value[rows.features["eff"] > START + 150 * S] += 0.5
    values = told(LIGHT, rows, START + 300 * S + 1, steps=3).values
    by_window = {v.window: v.estimate for v in values if v.name == "prediction_gap_change"}
    assert {w: e.value for w, e in by_window.items()} == {10 * S: 0, 60 * S: 0, 300 * S: 1}
    assert 150 * S < by_window[300 * S].extra["last_change_ns"] - START < 180 * S
    assert by_window[10 * S].n == 298


def test_means_that_are_not_finite_never_reach_a_detector():
    rows = made_up(10, seconds=40, n=900, fills=0)
    for seed, scores in enumerate(rows.scores.values()):
        scores.status[:] = ScoreStatus.OK
        scores.value[:] = 1.7e308 * np.random.default_rng(seed).choice([-1.0, 1.0], 900)
    values = told(House(rules=()), rows, END, steps=3).values
    [estimate] = [v.estimate for v in values if v.name == "prediction_gap_change" and v.window == 60 * S]
    assert estimate.value in (None, 0)


def test_a_jump_of_latency_is_a_change_of_serving_and_of_nothing_else():
    rows = made_up(11, seconds=200, n=3000, fills=0)
    rng = np.random.default_rng(5)
    rows.features["served"][:] = 1
    slow = np.where(rows.features["eff"] > START + 120 * S, 3, 1)
    rows.features["served_latency"][:] = (slow * 5 * MS * rng.lognormal(0, 0.5, 3000)).astype(np.int64)
    for scores in rows.scores.values():
        scores.status[:] = ScoreStatus.OK
        scores.latency[:] = (MS * rng.lognormal(0, 0.5, 3000)).astype(np.int64)
        scores.value[:] = rng.normal(size=3000)
    found = {
        (v.name, v.labels): v.estimate
        for v in told(LIGHT, rows, START + 200 * S + 1, steps=3).values
        if v.name.endswith("_change") and v.window == 300 * S and v.name != "loss_change"
    }
    assert {key: estimate.value for key, estimate in found.items()} == {
        ("serve_latency_change", ()): 1,
        ("inference_latency_change", (("role", "active"),)): 0,
        ("inference_latency_change", (("role", "shadow"),)): 0,
        ("prediction_gap_change", (("role", "shadow"),)): 0,
    }
