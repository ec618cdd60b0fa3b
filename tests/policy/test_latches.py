"""Latches escalate by themselves and go back only by a reset that names the epoch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from policy_builders import S

from monitor.policy.durations import DAY
from monitor.policy.latches import Latches, LatchState, Refusal, Transition
from monitor.policy.rules import Action, Scope

RANK = {
    state: rank
    for ladder in (
        (LatchState.ACTIVE, LatchState.REDUCE_ONLY, LatchState.HALTED),
        (LatchState.SERVING, LatchState.ROLLED_BACK),
        (LatchState.RUNNING, LatchState.DEMOTED),
    )
    for rank, state in enumerate(ladder)
}
SUBJECTS = ["deployment", "active", "shadow", "second", "nobody"]
MOVE = st.tuples(
    st.sampled_from(list(Action)),
    st.sampled_from(SUBJECTS),
    st.sampled_from([None, *Scope]),
    st.booleans(),
    st.integers(0, 30 * 3600),
)


def weight(latches, subject):
    """How far a subject is latched: state, then kill scopes."""
    return RANK[latches[subject].state], len(latches[subject].scopes)


@given(st.lists(MOVE, max_size=40))
def test_no_action_takes_a_latch_back_and_each_transition_raises_the_epoch_by_one(moves):
    latches, at = Latches(["shadow", "second"]), 0
    for action, subject, scope, automatic, later in moves:
        at += later * S
        before = {name: weight(latches, name) for name in latches.states}
        epoch = latches.epoch
        outcome = latches.apply(action, subject, at, scope, automatic)
        after = {name: weight(latches, name) for name in latches.states}
        if isinstance(outcome, Transition):
            assert latches.epoch == outcome.epoch == epoch + 1
            assert after[subject] > before[subject]
            before.pop(subject), after.pop(subject)
        else:
            assert latches.epoch == epoch
        assert before == after


@given(st.lists(MOVE, max_size=20), st.sampled_from([None, *SUBJECTS]), st.integers(-1, 25) | st.none())
def test_a_reset_works_only_on_the_epoch_it_names_and_on_the_subjects_it_names(moves, subject, expected):
    latches = Latches(["shadow", "second"])
    for at, (action, about, scope, automatic, _) in enumerate(moves):
        latches.apply(action, about, at, scope, automatic)
    before, epoch = latches.states, latches.epoch
    outcome = latches.reset(expected, 99, subject)
    if subject == "nobody":
        assert outcome is Refusal.NO_SUCH_SUBJECT
    elif expected != epoch:
        assert outcome is Refusal.EPOCH
        assert (latches.states, latches.epoch) == (before, epoch)
    else:
        assert latches.epoch == epoch + 1
        fresh = Latches(["shadow", "second"]).states
        named = set(fresh) if subject is None else {subject}
        assert latches.states == {name: fresh[name] if name in named else before[name] for name in fresh}
        assert not latches["deployment"].scopes or "deployment" not in named


def test_a_second_automatic_rollback_within_the_cooldown_is_left_to_a_person():
    latches = Latches([])
    assert isinstance(latches.apply(Action.ROLLBACK, "active", 0), Transition)
    latches.reset(1, 5)
    assert latches.apply(Action.ROLLBACK, "active", DAY - 1) is Refusal.COOLDOWN
    assert isinstance(latches.apply(Action.ROLLBACK, "active", DAY - 1, automatic=False), Transition)
    latches.reset(3, DAY - 1)
    assert isinstance(latches.apply(Action.ROLLBACK, "active", DAY), Transition)


def test_kill_scopes_stand_beside_each_other():
    latches = Latches([])
    latches.apply(Action.KILL, "deployment", 1, Scope.MODEL)
    assert isinstance(latches.apply(Action.KILL, "deployment", 2, Scope.TRADING), Transition)
    assert latches.apply(Action.KILL, "deployment", 3, Scope.MODEL) is Refusal.ALREADY
    assert latches["deployment"].scopes == (Scope.MODEL, Scope.TRADING)
