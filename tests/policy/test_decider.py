"""What is published, once, by whom and why; and that an interruption changes no byte of it."""

from __future__ import annotations

import re
from collections import Counter

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_builders import (
    BAD,
    FEW,
    GOOD,
    UNKNOWN,
    Order,
    S,
    constant,
    decider,
    estimate,
    kinds,
    prove,
    rule,
    run,
)
from test_latches import RANK

from monitor.errors import ConfigError
from monitor.policy.chain import verify
from monitor.policy.durations import DAY
from monitor.policy.events import EventType, encode
from monitor.policy.rules import Action, NoData, Scope, Severity
from monitor.stats.estimate import Status

DEMOTE = rule(id="demote", action=Action.DEMOTE, for_count=2)
KILL = rule(
    id="kill",
    subject="deployment",
    action=Action.KILL,
    scope=Scope.TRADING,
    schedule="tick",
    no_data=NoData.ALERT,
)
RULES = (
    DEMOTE,
    rule(id="warn", keep_firing_ns=S, no_data=NoData.ALERT),
    rule(id="other", subject="second", action=Action.DEMOTE, no_data=NoData.HALT, for_count=2),
    rule(id="rollback", subject="active", action=Action.ROLLBACK, act_within_ns=S),
    rule(id="reduce", subject="deployment", action=Action.REDUCE, for_count=3),
    rule(id="quiet", subject="deployment", action=Action.KILL, scope=Scope.MODEL, dry_run=True),
    KILL,
)
LATCHING = {EventType.DEMOTE, EventType.ROLLBACK, EventType.REDUCE, EventType.KILL_SWITCH, EventType.RESET}

VALUES = st.sampled_from(
    [BAD, BAD, GOOD, GOOD, UNKNOWN, FEW, estimate(float("nan")), estimate(2.0, Status.UNKNOWN, stale=True)]
)
STEP = st.fixed_dictionaries(
    {
        "values": st.fixed_dictionaries({each.id: VALUES for each in RULES}),
        "missing": st.sampled_from([(), (), (), (3,), (0, 3)]),
        "age_ns": st.sampled_from([0, 0, 2 * S]),
        "tenths": st.integers(1, 12),
    }
)
COMMAND = st.builds(
    Order,
    command_id=st.sampled_from([f"c{i}" for i in range(6)]),
    action=st.sampled_from(["kill", "demote", "rollback", "reset", "reset", "promote"]),
    subject=st.sampled_from([None, "shadow", "active", "deployment", "nobody"]),
    scope=st.sampled_from([None, "model", "trading"]),
    expected_epoch=st.integers(0, 6) | st.none(),
)
STORY = st.lists(STEP | COMMAND, max_size=40)


def tell(machine, story, at=0, every=lambda _: None):
    """Play a story from tenth of a second `at`; all events, and a call of `every` after each act."""
    events = []
    for act in story:
        if isinstance(act, Order):
            events += machine.command(act, at).events
        else:
            at += act["tenths"] * S // 10
            more = {"missing": act["missing"], "age_ns": act["age_ns"]}
            events += machine.step(at, constant(act["values"]), prove, **more).events
        every(at)
    return events


@given(STORY)
@settings(max_examples=150)
def test_no_story_takes_a_latch_back_without_a_reset_or_resolves_without_data(story):
    events = tell(decider(*RULES), story)
    assert verify(orjson.loads(encode(event)) for event in events) == []
    assert len({event.id for event in events}) == len(events)
    epoch = 0
    for event in events:
        data = event.data
        if event.type in LATCHING and data.phase != "resolved":
            epoch += 1
        assert data.epoch == epoch
        moved = event.type in LATCHING and data.phase != "resolved"
        if moved and event.type is not EventType.RESET:
            assert RANK[data.state_to] >= RANK[data.state_from]
        elif not moved:
            assert data.state_from == data.state_to
        if data.phase == "resolved" and data.rule != "task-silent":
            assert (data.status, data.stale) == ("ok", False)
        assert data.dry_run <= (event.type is EventType.ALERT)
    judged = [event.data for event in events if event.data.rule is not None]
    latched = Counter(
        (e.data.subject, e.data.rule, e.data.epoch)
        for e in events
        if e.type in LATCHING and e.data.phase != "resolved"
    )
    assert max(latched.values(), default=1) == 1
    for ends in (False, True):
        count = Counter((d.rule, d.episode) for d in judged if (d.phase == "resolved") == ends)
        assert max(count.values(), default=1) == 1


@given(STORY, st.data())
@settings(max_examples=100)
def test_restored_from_what_was_committed_it_goes_on_with_the_same_bytes(story, data):
    cut = data.draw(st.integers(0, len(story)))
    whole = decider(*RULES)
    committed: dict[str, bytes] = {}
    times = [0]

    def commit(at):
        times[0] = at
        committed.update(whole.records())
        whole.mark_clean()

    tell(whole, story[:cut], every=commit)
    assert committed == {
        key: value for key, value in whole.records(dirty_only=False).items() if key in committed
    }
    again = decider(*RULES)
    assert again.restore(committed) == []
    assert again.records(dirty_only=False) == whole.records(dirty_only=False)
    rest = [tell(machine, story[cut:], times[0]) for machine in (whole, again)]
    assert [encode(e) for e in rest[0]] == [encode(e) for e in rest[1]]
    assert whole.status(1, 2) == again.status(1, 2)


@given(STORY)
@settings(max_examples=100)
def test_a_replay_with_the_ages_that_mattered_decides_the_same(story):
    """The journal holds an age only where `used_age` says so."""
    live, replayed = decider(*RULES), decider(*RULES)
    at, published = 0, ([], [])
    for act in story:
        if isinstance(act, Order):
            for machine, told in zip((live, replayed), published, strict=True):
                told.extend(machine.command(act, at).events)
            continue
        at += act["tenths"] * S // 10
        values = constant(act["values"])
        step = live.step(at, values, prove, act["missing"], age_ns=act["age_ns"])
        age = act["age_ns"] if step.used_age else 0
        published[0].extend(step.events)
        published[1].extend(replayed.step(at, values, prove, act["missing"], age_ns=age).events)
    assert [encode(e) for e in published[0]] == [encode(e) for e in published[1]]


def test_a_shadow_is_demoted_once_and_again_after_a_reset():
    machine = decider(DEMOTE, rule(id="warn"))
    events = run(machine, BAD, BAD, BAD, UNKNOWN)
    assert kinds(events) == ["alert/firing", "demote/firing"]
    data = events[1].data
    assert (data.subject, data.state_from, data.state_to, data.epoch) == ("shadow", "RUNNING", "DEMOTED", 1)
    answer = machine.command(Order(command_id="c", action="reset", expected_epoch=1), 5 * S)
    assert answer.reset == ("deployment", "active", "shadow", "second")
    assert [e["rule"] for e in answer.events[0].data.evidence["closed"]] == ["demote", "warn"]
    again = run(machine, BAD, BAD, start=6)
    assert kinds(again) == ["alert/firing", "demote/firing"]
    assert [event.data.episode for event in again] == [2, 2]


def test_rules_due_at_one_instant_apply_in_policy_order():
    first, second = rule(id="a", action=Action.DEMOTE), rule(id="b", action=Action.DEMOTE)
    made = run(decider(first, second), BAD)
    assert [e.data.rule for e in made] == ["a", "b"]
    assert kinds(made) == ["demote/firing", "alert/firing"], "what would not raise the latch is an alert"
    kill, reduce = (
        rule(id=x, subject="deployment", action=x, scope=None) for x in (Action.KILL, Action.REDUCE)
    )
    assert kinds(run(decider(reduce, kill), BAD)) == ["reduce/firing", "kill_switch/firing"]
    assert kinds(run(decider(kill, reduce), BAD)) == ["kill_switch/firing", "alert/firing"]


def test_only_a_rollback_names_the_model_to_go_back_to():
    rollback = rule(id="errors", subject="active", action=Action.ROLLBACK)
    event = run(decider(rollback), BAD)[0]
    assert orjson.loads(encode(event))["data"]["rollback_target"] == {
        "artifact_id": "model_v6",
        "sha256": "6" * 64,
    }
    assert "model_v6" in event.data.reason
    assert "rollback_target" not in orjson.loads(encode(run(decider(DEMOTE), BAD, BAD)[0]))["data"]


def test_a_rollback_within_the_cooldown_becomes_a_critical_alert():
    machine = decider(rule(id="errors", subject="active", action=Action.ROLLBACK))
    run(machine, BAD)
    machine.command(Order(command_id="c", action="reset", expected_epoch=1), S)
    event = run(machine, BAD, start=2)[0]
    assert (event.type, event.data.severity) == (EventType.ALERT, Severity.CRITICAL)
    assert "person" in event.data.reason
    assert machine.latches.states["active"] == "SERVING"


def test_a_dry_run_says_what_it_would_have_done_and_does_nothing():
    machine = decider(rule(action=Action.DEMOTE, dry_run=True))
    events = run(machine, BAD, GOOD)
    assert kinds(events) == ["alert/firing", "alert/resolved"]
    assert events[0].data.dry_run
    assert "dry run, no demote" in events[0].data.reason
    assert machine.latches.epoch == 0


def test_a_decision_too_old_becomes_an_alert_and_acts_if_the_breach_outlasts_the_backlog():
    machine = decider(rule(action=Action.DEMOTE, act_within_ns=S))
    used = [
        machine.step(at * S, constant(BAD), prove, age_ns=age) for at, age in ((1, 9 * S), (2, 2 * S), (3, 0))
    ]
    assert [kinds(step.events) for step in used] == [["alert/firing"], [], ["demote/firing"]]
    assert [step.used_age for step in used] == [True, True, False]
    assert [used[0].events[0].data.episode, used[2].events[0].data.episode] == [1, 2]


def test_a_kill_stands_however_old_it_is():
    kill = rule(subject="deployment", action=Action.KILL, act_within_ns=S)
    step = decider(kill).step(S, constant(BAD), prove, age_ns=DAY)
    assert (kinds(step.events), step.used_age) == (["kill_switch/firing"], False)


def test_a_stalled_task_is_an_alert_of_its_own_and_does_not_disarm_the_hard_limit():
    machine = decider(KILL)
    events = run(machine, BAD, missing=[2])
    assert [(e.data.rule, e.data.phase) for e in events] == [
        ("task-silent", "firing"),
        ("kill", "firing"),
        ("kill", "no_data"),
    ]
    assert (events[1].type, events[1].data.stale, events[1].data.status) == (
        EventType.KILL_SWITCH,
        True,
        "unknown",
    )
    assert kinds(run(machine, GOOD, start=2, missing=[2])) == []
    back = run(machine, GOOD, start=3)
    assert [(e.data.rule, e.data.phase) for e in back] == [
        ("task-silent", "resolved"),
        ("kill", "resolved"),
        ("kill", "resolved"),
    ]
    assert machine.latches.states["deployment"] == "HALTED"


def test_the_alert_about_silent_tasks_comes_when_their_set_changes():
    machine = decider()
    sets = [[1], [1], [2, 1], [], []]
    events = [
        e for at, tasks in enumerate(sets, 1) for e in machine.step(at, constant(GOOD), prove, tasks).events
    ]
    assert [(e.data.phase, e.data.episode, list(e.data.evidence["tasks"])) for e in events] == [
        ("firing", 1, [1]),
        ("firing", 2, [1, 2]),
        ("resolved", 2, []),
    ]


def test_halt_takes_the_action_and_alert_only_says_that_there_is_no_data():
    halting = rule(subject="deployment", action=Action.KILL, no_data=NoData.HALT, for_count=2)
    events = run(decider(halting), UNKNOWN, UNKNOWN, UNKNOWN)
    assert kinds(events) == ["kill_switch/no_data"]
    alerting = rule(subject="deployment", action=Action.KILL, no_data=NoData.ALERT, for_count=2)
    events = run(decider(alerting), UNKNOWN, UNKNOWN, UNKNOWN, GOOD)
    assert kinds(events) == ["alert/no_data", "alert/resolved"]
    assert [e.data.action for e in events] == ["alert", "alert"]


def test_a_command_is_answered_once_a_day():
    machine = decider()
    kill = Order(command_id="c", action="kill")
    assert kinds(machine.command(kill, S).events) == ["kill_switch/firing"]
    assert machine.command(kill, DAY).events == []
    again = machine.command(kill, DAY + 2 * S).events
    assert kinds(again) == ["command/None"]
    assert again[0].data.accepted


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (Order(command_id="c", action="reset", expected_epoch=7), "the epoch is 0"),
        (Order(command_id="c", action="reset"), "the epoch is 0"),
        (Order(command_id="c", action="demote"), "name the shadow"),
        (Order(command_id="c", action="demote", subject="active"), "does not act on active"),
        (Order(command_id="c", action="demote", subject="nobody"), "no subject 'nobody'"),
        (Order(command_id="c", action="rollback", expected_epoch=3), "the epoch is 0"),
        (Order(command_id="c", action="kill", scope="universe"), "no scope 'universe'"),
        (Order(command_id="c", action="promote"), "not supported"),
    ],
)
def test_a_command_that_cannot_be_obeyed_is_answered_with_the_reason(order, says):
    machine = decider()
    (event,) = machine.command(order, S).events
    assert (event.type, event.data.accepted, event.data.actor) == (EventType.COMMAND, False, "alice")
    assert says in event.data.reason
    assert machine.latches.epoch == 0


def test_an_unsigned_command_does_nothing_but_is_answered():
    machine = decider()
    (event,) = machine.command(
        Order(command_id="c", action="reset", expected_epoch=0), S, "it is unsigned"
    ).events
    assert "unsigned" in event.data.reason
    assert machine.latches.epoch == 0


def test_the_answer_has_the_time_of_the_last_instant_and_carries_its_own():
    (event,) = decider().command(Order(command_id="c", action="kill", ts_ns=77), 3 * S).events
    assert event.time == "1970-01-01T00:00:03.000000000Z"
    assert event.data.ts_ns == 77


def test_a_rule_that_changed_starts_anew_and_says_so():
    before = decider(rule(for_count=2))
    run(before, BAD)
    after = decider(rule(for_count=2, threshold=1.5))
    assert after.restore(before.records(dirty_only=False)) == ["rule/r"]
    assert run(after, BAD, start=2) == []


def test_a_quiet_second_writes_no_record():
    machine = decider(*RULES)
    run(machine, GOOD, GOOD)
    assert machine.records() == {}


def test_an_event_says_everything_that_is_known():
    event = run(
        decider(rule(id="psi", labels=(("feature", "f1"),), window=300 * S, action=Action.DEMOTE)), BAD
    )[0]
    document = orjson.loads(encode(event))
    assert {k: v for k, v in document.items() if k not in ("data", "id")} == {
        "specversion": "1.0",
        "source": "btc",
        "type": "io.shadowmonitor.demote.v1",
        "time": "1970-01-01T00:00:01.000000000Z",
        "subject": "shadow",
        "datacontenttype": "application/json",
        "dataschema": "urn:shadow-monitor:schema:decision:1",
    }
    data = document["data"]
    expected = {
        "deployment": "btc",
        "tenant": "crypto",
        "subject": "shadow",
        "epoch": 1,
        "episode": 1,
        "rule": "psi",
        "metric": "m",
        "labels": {"feature": "f1"},
        "value": 2.0,
        "threshold": 1.0,
        "comparator": "above",
        "window": 300,
        "from_ns": 0,
        "to_ns": S,
        "n": 100,
        "consecutive": 1,
        "status": "ok",
        "stale": False,
        "phase": "firing",
        "severity": "warning",
        "action": "demote",
        "scope": None,
        "dry_run": False,
        "state_from": "RUNNING",
        "state_to": "DEMOTED",
        "actor": None,
        "sequence": 1,
        "prev_hash": "",
        "active": {"artifact_id": "model_v7", "sha256": "7" * 64},
        "shadow": {"artifact_id": "model_v8", "sha256": "8" * 64},
        "inputs": {"features-0": [3, 9]},
        "policy_sha256": "f" * 64,
        "config_sha256": "c" * 64,
    }
    assert {key: data[key] for key in expected} == expected
    assert data["evidence"]["note"] == "why"
    assert data["evidence"]["metric"]["n"] == 100
    assert re.fullmatch("[0-9a-f]{64}", data["hash"])
    assert data["reason"] == (
        "m{feature=f1} over 5m is 2, above 1 (n = 100) since 1970-01-01T00:00:01.000000000Z: "
        "shadow is demoted: it leaves the experiment, the active model is untouched."
    )


def test_money_is_published_as_decimal_text():
    loss = estimate(-12_500_000_000_000_000_000)
    event = run(decider(rule(threshold=-20.0, money=True)), loss)[0]
    assert (event.data.value, event.data.threshold) == ("-12.5", "-20")


def test_status_tells_an_engine_where_everything_stands():
    machine = decider()
    machine.command(Order(command_id="a", action="kill", scope="model"), S)
    (event,) = machine.command(Order(command_id="b", action="kill"), S).events
    assert orjson.loads(machine.status(S, 9 * S)) == {
        "deployment": "btc",
        "latches": {
            "active": {"state": "SERVING"},
            "deployment": {"state": "HALTED", "scope": "trading", "scopes": ["model", "trading"]},
            "second": {"state": "RUNNING"},
            "shadow": {"state": "RUNNING"},
        },
        "epoch": 2,
        "last_event_id": event.id,
        "as_of_ns": S,
        "valid_until_ns": 9 * S,
    }


def test_a_policy_that_does_not_fit_is_refused_with_every_reason():
    bad = (
        rule(id="a", subject="nobody"),
        rule(id="b", schedule=S // 3),
        rule(id="c", no_data=NoData.HALT),
        rule(id="task-silent"),
        rule(id="b"),
    )
    with pytest.raises(ConfigError) as error:
        decider(*bad)
    assert [problem.key for problem in error.value.problems] == [
        "rules[a].subject",
        "rules[b].schedule",
        "rules[c].no_data",
        "rules[task-silent].id",
        "rules[b].id",
    ]
