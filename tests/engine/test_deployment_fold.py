"""Fold 2: what is due is known to the row at every schedule; resets, silences and missing tasks."""

from __future__ import annotations

from collections import deque

import msgspec
import numpy as np
import pytest
from engine_cases import (
    BOOKS,
    MS,
    REAL,
    START,
    House,
    S,
    cuts,
    fold1,
    keep,
    made_up,
    rule,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine.books import figures
from monitor.engine.books.series import book_labels
from monitor.engine.catalogue import BY_NAME
from monitor.engine.partials import BookState, Money, Partial
from monitor.engine.rows import ScoreStatus
from monitor.errors import StateError
from monitor.event_time.timing import FOLDED
from monitor.policy.rules import Action, Comparator, Grids, NoData
from monitor.stats.estimate import Status
from monitor.wire.messages import Command

END = START + 20 * S + 1
NO_RULES = House(rules=())


def waiting_of(house: House, rows, end: int, steps: int = 20, tasks: int = 1) -> dict[int, deque[Partial]]:
    """What the tasks say, ready to be folded."""
    said = {}
    for task in range(tasks):
        *spoken, _ = fold1(
            house, rows.of(task, tasks), end, cuts(np.random.default_rng(1), START - S, end, steps)
        )
        said[task] = deque(p for partials in spoken for p in partials)
    return said


def up_to(waiting, at: int, missing=frozenset()) -> dict[int, list[Partial]]:
    parts = {}
    for task, queue in waiting.items():
        if task not in missing:
            parts[task] = []
            while queue and queue[0].at <= at:
                parts[task].append(queue.popleft())
    return parts


def command(action: str, **more) -> Command:
    fields = {
        "command_id": f"{action}{more}",
        "ts_ns": START,
        "actor": "ann",
        "reason": "why",
        "deployment": "d",
    }
    return Command(action=action, **{**fields, **more})


GRIDS = [
    ((10 * S,), 100 * MS),
    ((300 * S,), S),
    ((3600 * S,), S),
    ((3600 * S,), 4 * S),
    ((86_400 * S,), S),
    ((86_400 * S,), 8 * S),
    ((10 * S, 300 * S, 3600 * S), 500 * MS),
]


@pytest.mark.parametrize(("windows", "evaluation"), GRIDS)
def test_every_metric_holds_all_rows_up_to_where_its_window_ends(windows, evaluation):
    """Finest panes of 1 s, 5 s, 1 min, 30 min and schedules of 5 s and 1 min, between any two instants."""
    house = House(windows_ns=windows, evaluation=evaluation, rank_k=10**6, rules=())
    rows = made_up(8, seconds=150, n=900)
    end = START + 150 * S
    waiting, fold = waiting_of(house, rows, end), house.fold2()
    first = min(p.first for p in waiting[0] if p.first is not None)
    eff = rows.features["eff"]
    folded = np.isin(rows.features["fate"], FOLDED)
    answered = folded & np.all([s.status == ScoreStatus.OK for s in rows.scores.values()], axis=0)
    for at in range(first, end, house.tick):
        fold.evaluate(at, up_to(waiting, at))
        if at % (700 * MS) and at % (60 * S):
            continue
        for value in fold.values():
            family, estimate = BY_NAME[value.name], value.estimate
            if family.of is None or not family.windowed:
                continue
            schedule = house.grid.schedule(family.every_ns)
            assert estimate.to_ns == max(at - at % schedule, at - at % house.grid.pane)
            within = (eff >= estimate.from_ns) & (eff < estimate.to_ns)
            if value.name == "psi":
                assert estimate.n == (within & folded).sum()
            elif value.name == "rank_correlation" and estimate.extra:
                assert estimate.extra["pairs_seen"] == (within & answered).sum()
            elif value.name == "served_error_rate":
                assert estimate.n == (within & folded & (rows.features["served"] > 0)).sum()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(GRIDS), st.sampled_from(["rank_correlation", "psi", "served_error_rate", "event_rate"])
)
def test_a_rule_is_evaluated_only_where_its_metric_is_due(grid, metric):
    windows, evaluation = grid
    house = House(windows_ns=windows, evaluation=evaluation, rules=(rule("r", metric, schedule="tick"),))
    [bound] = house.fold2().decider.policy.rules
    period = bound.period_ns(Grids(house.tick, evaluation))
    assert period == house.grid.schedule(BY_NAME[metric].every_ns)
    assert period % evaluation == 0
    assert max(BY_NAME[metric].every_ns, evaluation) <= period < BY_NAME[metric].every_ns + 2 * evaluation


def test_values_of_panes_are_unknown_while_a_task_is_missing_and_whole_when_it_is_back():
    rows = made_up(4)
    waiting, fold = waiting_of(NO_RULES, rows, END, tasks=2), NO_RULES.fold2()
    first = min(p.first for queue in waiting.values() for p in queue if p.first is not None)
    seen = np.isin(rows.features["fate"], FOLDED)
    for at in range(first, END, NO_RULES.tick):
        absent = frozenset({1}) if START + 5 * S <= at < START + 9 * S else frozenset()
        fold.evaluate(at, up_to(waiting, at, absent), absent)
        if at % S:
            continue
        values = {(v.name, v.window): v.estimate for v in fold.due(at) if v.name == "event_rate"}
        estimate = values["event_rate", 10 * S]
        if absent:
            assert estimate.status is Status.UNKNOWN
            assert fold.books.standing(REAL).status is Status.UNKNOWN
            assert fold.books.standing(REAL).stale
    total = [
        v.estimate for v in fold.values() if v.labels == (("stream", "features"),) and v.window == 300 * S
    ]
    assert total[0].n == (seen & (rows.features["eff"] < total[0].to_ns)).sum()


def test_a_reset_restarts_the_evidence_at_the_next_pane_and_counts_stay():
    rows = made_up(4)
    waiting, fold = waiting_of(NO_RULES, rows, END), NO_RULES.fold2()
    first = min(p.first for p in waiting[0] if p.first is not None)
    reset_at, since = START + 7 * S + 300 * MS, START + 8 * S
    for at in range(first, START + 12 * S, NO_RULES.tick):
        fold.evaluate(at, up_to(waiting, at))
        if at == reset_at:
            before = sum(fold.totals["fates/features"][name] for name in ("accepted", "reordered", "late"))
            fold.command(command("kill"))
            fold.command(command("reset", expected_epoch=1))
            after = sum(fold.totals["fates/features"][name] for name in ("accepted", "reordered", "late"))
            assert before == after > 0
            assert all(v.estimate.value is None for v in fold.values() if v.name == "event_rate")
    assert [e.type.split(".")[2] for e in fold.decisions] == ["kill_switch", "reset"]
    within = np.isin(rows.features["fate"], FOLDED) & (rows.features["eff"] >= since)
    for value in fold.values():
        if value.name == "event_rate" and value.labels == (("stream", "features"),):
            assert value.estimate.from_ns >= since
            assert value.estimate.n == (within & (rows.features["eff"] < value.estimate.to_ns)).sum()
        if value.name == "pnl_after_costs":
            assert value.estimate.from_ns > reset_at


def test_a_shadow_that_is_reset_is_not_demoted_again_by_what_it_lost_before():
    effect = rule("effect", "model_effect", labels={"role": "shadow"}, window="session", threshold=-5.0,
                  comparator=Comparator.BELOW, action=Action.DEMOTE, no_data=NoData.HOLD)  # fmt: skip
    loss = rule("loss", "drawdown", labels={"role": "active", "fills": "real"}, subject="deployment",
                window="session", threshold=0.5)  # fmt: skip
    house = House(rules=(effect, loss))
    fold = house.fold2()
    fold.evaluate(START, books_at(START, 0))
    fold.evaluate(START + S, books_at(START + S, -10))
    assert [e.type.split(".")[2] for e in fold.decisions] == ["demote"]
    real = profit_of(fold, REAL, START + S)
    fold.command(command("reset", subject="shadow", expected_epoch=1))
    fold.evaluate(START + 2 * S, books_at(START + 2 * S, -12))
    assert len(fold.decisions) == 2
    assert fold.decider.latches.states["shadow"] == "RUNNING"
    assert profit_of(fold, REAL, START + 2 * S) == real, "the account's losses stand"
    fold.evaluate(START + 3 * S, books_at(START + 3 * S, -18))
    assert fold.decider.latches.states["shadow"] == "DEMOTED"


def profit_of(fold, book: str, at: int):
    return figures.pnl_after_costs(fold.books, book_labels(book), "session", at).value


def books_at(at: int, shadow: int) -> dict[int, list[Partial]]:
    """One task, whose books hold the same but the shadow's paper book, in units of money."""
    cash = {name: -3 if name == REAL else shadow if "shadow" in name else 0 for name in BOOKS}
    books = {n: BookState({"USD": Money(str(c * 10**18))}, True, 0, {}) for n, c in cash.items()}
    return {0: [Partial("d", 0, at, START, False, "", books)]}


def test_a_difference_is_taken_over_the_same_instants_or_not_at_all():
    fold, active = NO_RULES.fold2(), BOOKS[1]
    for second in range(3):
        at = START + second * S
        parts = books_at(at, -second)
        state = msgspec.structs.replace(parts[0][0].books[active], complete=second > 0)
        parts[0][0].books[active] = state
        fold.evaluate(at, parts)
        fold.books.restart([active] if second == 1 else [])
    effects = {v.window: v.estimate for v in fold.values() if v.name == "model_effect"}
    assert effects["session"].status is Status.UNKNOWN
    assert effects["session"].value is None


def test_after_a_silence_evaluation_goes_on_one_instant_before_the_change():
    """What stood through the silence begins the windows and the session: the change falls into them."""
    house = House(rules=(), windows_ns=(10 * S, 60 * S))
    fold, day = house.fold2(), 86_400 * S
    at = START
    fold.evaluate(at, books_at(at, 0))
    while not fold.settled:
        at = fold.following
        fold.evaluate(at, {0: []})
    assert at - START == 660 * S + house.tick
    change = at + 2 * day
    assert fold.resumption(change) == change - house.tick
    assert fold.resumption(at + house.tick) == at + house.tick
    fold.evaluate(fold.resumption(change), {0: []})
    fold.evaluate(change, books_at(change, -7))
    assert not fold.settled
    for window in (10 * S, 60 * S, "session", "promotion"):
        estimate = figures.pnl_after_costs(fold.books, book_labels(BOOKS[2]), window, change)
        assert estimate.value == -7 * 10**18
        assert estimate.from_ns == (START - house.tick if window == "promotion" else change - house.tick)


def test_records_are_written_only_for_what_changed():
    rows = made_up(4)
    waiting, fold, store = waiting_of(NO_RULES, rows, END), NO_RULES.fold2(), {}
    first = min(p.first for p in waiting[0] if p.first is not None)
    for at in range(first, START + 10 * S, NO_RULES.tick):
        fold.evaluate(at, up_to(waiting, at))
        written = fold.records()
        unchanged = [k for k, v in written.items() if store.get(k) == v and v is not None]
        assert unchanged == []
        keep(store, written)
        assert fold.records() == {}
    assert fold.last_instant(store["fold"]) == fold.at


def test_before_anything_was_evaluated_there_are_no_values_to_speak_of():
    fold = House().fold2()
    assert all(value.estimate.status is not Status.OK for value in fold.values())
    assert fold.totals == {}


@pytest.mark.parametrize("key", ["fold", "totals", "open/0", "ring/5000000000/0", f"equity/book/{REAL}/0"])
def test_damaged_state_is_refused(key):
    with pytest.raises(StateError):
        House().fold2().restore({key: msgspec.msgpack.encode({"not": "this"})})
    with pytest.raises(StateError):
        House().fold1().restore({"fold": b"\x91"}, START)
