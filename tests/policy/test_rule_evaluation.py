"""One rule: what fires and resolves it, and that nothing but a value that is ok does so."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_builders import BAD, FEW, GOOD, GRIDS, UNKNOWN, S, estimate, rule

from monitor.event_time.calendar import ALWAYS
from monitor.policy.evaluation import Phase, Reason, RuleState, evaluate
from monitor.policy.rules import Comparator, NoData
from monitor.policy.schedule import Schedule
from monitor.stats.estimate import Estimate, Status

NAN, INF = estimate(math.nan), estimate(math.inf)
NEVER_MEANT = estimate(None, Status.NOT_APPLICABLE, n=0)
STALE_BAD = estimate(2.0, Status.UNKNOWN, stale=True)
STALE_GOOD = estimate(0.5, Status.UNKNOWN, stale=True)
OK = st.sampled_from([BAD, GOOD])
NOT_OK = st.sampled_from([UNKNOWN, FEW, NAN, INF, NEVER_MEANT, STALE_BAD, STALE_GOOD, estimate(None)])
ANY = st.tuples(OK | NOT_OK, st.booleans())
"""Estimate, and whether a task is missing."""


def play(of, sequence, step=S):
    """Reasons of each evaluation, and the last state."""
    state, said = RuleState(), []
    for at, (value, missing) in enumerate(sequence, 1):
        state, reasons = evaluate(of, state, value, at * step, missing, ALWAYS.open_between)
        said.append(reasons)
    return said, state


def is_ok(value: Estimate, missing: bool) -> bool:
    return value is BAD or value is GOOD if not missing else False


@given(st.lists(ANY, max_size=40), st.integers(1, 4))
def test_evaluations_that_are_not_ok_leave_for_counters_as_they_are(sequence, count):
    soft = rule(for_count=count)
    said, _ = play(soft, sequence)
    threshold = {
        Reason.FIRE,
        Reason.RESOLVE,
        Reason.STILL_FIRING,
        Reason.BECAME_PENDING,
        Reason.STILL_PENDING,
    }
    kept = [set(reasons) & threshold for reasons, item in zip(said, sequence, strict=True) if is_ok(*item)]
    alone, _ = play(soft, [item for item in sequence if is_ok(*item)])
    assert kept == [set(reasons) & threshold for reasons in alone]
    for reasons, item in zip(said, sequence, strict=True):
        assert is_ok(*item) or not set(reasons) & (threshold | {Reason.NO_DATA_RESOLVED})


@given(st.lists(st.tuples(OK | NOT_OK, st.just(False)), max_size=40), st.integers(0, 4))
def test_a_duration_counts_only_the_time_between_breaches_that_were_seen(sequence, seconds):
    said, _ = play(rule(for_ns=seconds * S), sequence)
    elapsed, before, firing = 0, None, False
    for at, ((value, _), reasons) in enumerate(zip(sequence, said, strict=True)):
        if value is BAD and not firing:
            elapsed += at - before if before is not None else 0
            before = at
            assert (Reason.FIRE in reasons) == (elapsed >= seconds)
            firing = elapsed >= seconds
        elif value is GOOD:
            assert (Reason.RESOLVE in reasons) == firing
            elapsed, before, firing = 0, None, False
        else:
            before = None
            assert Reason.FIRE not in reasons


@given(
    st.lists(ANY, max_size=60),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from(list(NoData)),
    st.sampled_from(["tick", "evaluation"]),
)
def test_each_episode_has_one_onset_and_at_most_one_end(sequence, count, keep, no_data, schedule):
    of = rule(for_count=count, keep_firing_ns=keep * S, no_data=no_data, schedule=schedule)
    state = RuleState()
    begun, ended = [], []
    for at, (value, missing) in enumerate(sequence, 1):
        before = state
        state, reasons = evaluate(of, state, value, at * S, missing, ALWAYS.open_between)
        begun += [state.firing.number] if Reason.FIRE in reasons else []
        begun += [state.absence.number] if Reason.NO_DATA in reasons else []
        ended += [before.firing.number] if Reason.RESOLVE in reasons else []
        ended += [before.absence.number] if Reason.NO_DATA_RESOLVED in reasons else []
        assert not ({Reason.RESOLVE, Reason.NO_DATA_RESOLVED} & set(reasons)) or is_ok(value, missing)
        assert (state.firing is not None) == (state.phase is Phase.FIRING)
    assert begun == list(range(1, len(begun) + 1))
    assert len(set(ended)) == len(ended)
    assert set(ended) <= set(begun)


@pytest.mark.parametrize("value", [NAN, INF, estimate(-math.inf), estimate(None)])
def test_a_value_that_is_no_number_neither_passes_nor_fails(value):
    said, state = play(rule(for_count=2), [(BAD, False), (value, False), (BAD, False), (value, False)])
    assert said == [(Reason.BECAME_PENDING,), (), (Reason.FIRE,), ()]
    assert state.phase is Phase.FIRING


@pytest.mark.parametrize(("value", "missing"), [(STALE_BAD, False), (BAD, True)])
def test_a_hard_limit_trips_on_a_stale_breach_and_a_soft_rule_does_not(value, missing):
    assert play(rule(schedule="tick"), [(value, missing)])[0] == [(Reason.FIRE,)]
    assert play(rule(), [(value, missing)])[0] == [()]


@pytest.mark.parametrize(("value", "missing"), [(STALE_GOOD, False), (GOOD, True)])
def test_a_hard_limit_neither_passes_nor_resolves_on_a_stale_value(value, missing):
    hard = rule(schedule="tick", for_count=2)
    said, state = play(hard, [(BAD, False), (value, missing), (BAD, False), (value, missing)])
    assert said == [(Reason.BECAME_PENDING,), (), (Reason.FIRE,), ()]
    assert state.firing is not None


def test_no_data_is_said_at_the_first_evaluation_without_data_and_ends_only_with_an_ok_value():
    alert = rule(no_data=NoData.ALERT)
    said, _ = play(alert, [(v, False) for v in (GOOD, UNKNOWN, UNKNOWN, FEW, NAN, GOOD, UNKNOWN)])
    assert said == [
        (),
        (Reason.NO_DATA,),
        (Reason.STILL_NO_DATA,),
        (Reason.INSUFFICIENT,),
        (Reason.STILL_NO_DATA,),
        (Reason.NO_DATA_RESOLVED,),
        (Reason.NO_DATA,),
    ]


def test_hold_says_nothing_about_missing_data_and_shows_it_as_its_phase():
    said, state = play(rule(), [(UNKNOWN, False)] * 3)
    assert said == [(), (), ()]
    assert state.phase is Phase.NO_DATA


def test_halt_waits_for_as_long_as_the_rule_itself():
    halting = rule(no_data=NoData.HALT, for_count=3, for_ns=4 * S)
    said, _ = play(halting, [(UNKNOWN, False)] * 6)
    assert [Reason.NO_DATA in reasons for reasons in said] == [False, False, False, False, True, False]


@pytest.mark.parametrize(
    ("n", "status", "phase"),
    [(0, Status.OK, Phase.NO_DATA), (9, Status.OK, Phase.INSUFFICIENT), (10, Status.OK, Phase.FIRING)],
)
def test_too_few_samples_are_no_verdict_and_none_at_all_are_no_data(n, status, phase):
    _, state = play(rule(min_samples=10), [(estimate(2.0, status, n=n), False)])
    assert state.phase is phase


def test_a_value_that_needs_no_samples_is_judged_without_any():
    assert play(rule(), [(estimate(2.0, n=0), False)])[0] == [(Reason.FIRE,)]


def test_keep_firing_holds_until_passes_have_lasted_and_a_breach_starts_it_again():
    said, _ = play(rule(keep_firing_ns=2 * S), [(v, False) for v in (BAD, GOOD, GOOD, BAD, GOOD, GOOD, GOOD)])
    assert said[1:] == [
        (Reason.CLEARING,),
        (Reason.CLEARING,),
        (Reason.STILL_FIRING,),
        (Reason.CLEARING,),
        (Reason.CLEARING,),
        (Reason.RESOLVE,),
    ]


def test_a_quiet_evaluation_changes_nothing():
    state = RuleState()
    assert evaluate(rule(), state, GOOD, S, False, ALWAYS.open_between)[0] is state


@given(
    st.integers(-(10**24), 10**24),
    st.floats(-1e6, 1e6).map(lambda x: round(x, 6)),
    st.sampled_from(list(Comparator)),
)
def test_money_is_compared_exactly_with_the_threshold_as_written(units, threshold, comparator):
    of = rule(threshold=threshold, comparator=comparator, money=True)
    exact, limit = Fraction(units, 10**18), Fraction(repr(threshold))
    assert of.breached_by(units) == (exact > limit if comparator is Comparator.ABOVE else exact < limit)


def test_a_threshold_itself_is_no_breach():
    assert not rule(threshold=0.02).breached_by(0.02)
    assert not rule(threshold=0.02, comparator=Comparator.BELOW).breached_by(0.02)
    assert not rule(threshold=0.1, money=True).breached_by(10**17)


@pytest.mark.parametrize(
    ("schedule", "due"), [("tick", [0, 1, 2, 10, 20]), ("evaluation", [0, 10, 20]), (2 * S, [0, 20])]
)
def test_a_rule_is_due_at_multiples_of_its_period(schedule, due):
    tenth = GRIDS.tick_ns
    of, when = rule(schedule=schedule), Schedule(GRIDS, ALWAYS)
    assert [at for at in (0, 1, 2, 10, 20) if when.due(of, at * tenth)] == due
