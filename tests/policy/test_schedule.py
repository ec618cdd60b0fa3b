"""Outside the calendar time passes and rules sleep; a rule of a day is judged at each close."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace
from policy_builders import BAD, FEW, GOOD, GRIDS, UNKNOWN, Order, S, constant, decider, kinds, prove, rule

from monitor.event_time.calendar import ALWAYS, Calendar, Hours
from monitor.event_time.timing import DAY_NS
from monitor.policy import schedule
from monitor.policy.durations import DAY
from monitor.policy.evaluation import Phase
from monitor.policy.rules import RECONCILIATION_BREAK, Action, Grids, NoData, Scope
from monitor.policy.schedule import Schedule
from monitor.stats.estimate import Estimate, Status

HOUR = 3_600 * S
SECONDS = Calendar(UTC, Hours(10 * S, 20 * S), range(7))
"""Ten seconds of each UTC day, from its tenth second on."""
FLOOR = Calendar(
    ZoneInfo("America/New_York"),
    Hours(9 * HOUR + HOUR // 2, 16 * HOUR),
    range(5),
    {
        date(2026, 11, 26).toordinal() - date(1970, 1, 1).toordinal(): None,
        date(2026, 11, 27).toordinal() - date(1970, 1, 1).toordinal(): Hours(9 * HOUR + HOUR // 2, 13 * HOUR),
    },
)


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * S


def watch(machine, values, *, day=0, step=S):
    """Steps over the instants of a day at which `values` has something, by second."""
    events = []
    for second, value in values.items():
        events += machine.step(day * DAY_NS + second * step, constant(value), prove).events
    return events


def test_rules_are_awake_from_after_the_opening_to_the_close():
    due = Schedule(GRIDS, SECONDS).due
    soft, hard = rule(), rule(schedule="tick")
    assert [at for at in range(25) if due(soft, at * S)] == list(range(11, 21))
    assert [at for at in (100, 101, 199, 200, 201) if due(hard, at * S // 10)] == [101, 199, 200]


def test_asleep_nothing_is_no_data_and_no_hard_limit_trips():
    limit = rule(
        id="limit",
        subject="deployment",
        action=Action.KILL,
        scope=Scope.TRADING,
        schedule="tick",
        no_data=NoData.ALERT,
    )
    machine = decider(limit, rule(id="soft", no_data=NoData.ALERT), calendar=SECONDS)
    assert watch(machine, dict.fromkeys(range(11), BAD)) == []
    assert watch(machine, dict.fromkeys(range(21, 60), UNKNOWN)) == []
    assert kinds(watch(machine, {10: BAD, 11: BAD}, day=1)) == ["kill_switch/firing", "alert/firing"]


def test_counters_and_phases_keep_over_the_night():
    counted, firing = rule(id="counted", for_count=3), rule(id="firing")
    machine = decider(counted, firing, calendar=SECONDS)
    assert kinds(watch(machine, {19: BAD, 20: BAD, 21: GOOD, 22: GOOD})) == ["alert/firing"]
    assert machine.state(firing).phase is Phase.FIRING
    assert machine.state(counted).consecutive == 2
    assert kinds(watch(machine, {9: GOOD, 11: BAD}, day=1)) == ["alert/firing"]
    assert machine.state(counted).phase is Phase.FIRING


@pytest.mark.parametrize(("for_s", "second"), [(2, 11), (5, 14), (9, 18)])
def test_only_time_awake_counts_towards_a_duration(for_s, second):
    of = rule(for_ns=for_s * S)
    machine = decider(of, calendar=SECONDS)
    assert watch(machine, {19: BAD, 20: BAD}) == []
    assert kinds(watch(machine, dict.fromkeys(range(11, 21), BAD), day=1)) == ["alert/firing"]
    firing = machine.state(of).firing
    assert firing is not None
    assert firing.since_ns == DAY_NS + second * S


def test_halt_waits_for_time_awake(monkeypatch):
    monkeypatch.setattr(schedule, "OPENING_NS", 0)
    of = rule(
        id="halt",
        subject="deployment",
        action=Action.KILL,
        scope=Scope.TRADING,
        no_data=NoData.HALT,
        for_ns=3 * S,
    )
    machine = decider(of, calendar=SECONDS)
    assert watch(machine, {19: UNKNOWN, 20: UNKNOWN}) == []
    assert watch(machine, {11: UNKNOWN}, day=1) == []
    assert kinds(watch(machine, {12: UNKNOWN}, day=1)) == ["kill_switch/no_data"]


def test_in_the_first_minute_after_an_opening_there_may_be_no_data_yet():
    minutes = Calendar(UTC, Hours(HOUR, 2 * HOUR), range(7))
    alert, limit = rule(id="soft", no_data=NoData.ALERT), rule(id="hard", schedule="tick")
    machine = decider(alert, limit, calendar=minutes)
    hour = 3_600
    assert watch(machine, dict.fromkeys(range(hour, hour + 61), UNKNOWN)) == []
    assert kinds(watch(machine, {hour + 61: UNKNOWN})) == ["alert/no_data"]
    assert kinds(watch(machine, {hour + 1: BAD}, day=1)) == ["alert/resolved", "alert/firing", "alert/firing"]


def test_where_sessions_meet_nothing_opens():
    forex = Calendar(UTC, Hours(0, DAY_NS), range(5))
    monday = 4 * DAY_NS
    schedule = Schedule(GRIDS, forex)
    assert schedule.opening(monday + S)
    assert not schedule.opening(monday + DAY_NS + S)
    assert not Schedule(GRIDS, ALWAYS).opening(DAY_NS + S)


def test_a_command_works_and_silent_tasks_are_said_at_any_hour():
    machine = decider(rule(), calendar=SECONDS)
    answer = machine.command(Order(command_id="c", action="kill", subject="deployment"), 40 * S)
    assert "kill_switch" in {event.type.name.lower() for event in answer.events}
    assert machine.step(41 * S, constant(BAD), prove, [3]).events[0].data.rule == "task-silent"


DAILY = rule(schedule=DAY, for_count=3)


@pytest.mark.parametrize(
    ("first", "last", "closes"),
    [
        # Clocks go forward on Sunday.
        ("2026-03-05T00:00Z", "2026-03-10T23:00Z", ["05T21:00", "06T21:00", "09T20:00", "10T20:00"]),
        # Clocks go back on Sunday.
        ("2026-10-29T00:00Z", "2026-11-03T23:00Z", ["29T20:00", "30T20:00", "02T21:00", "03T21:00"]),
        # Thanksgiving, and the half day after it.
        ("2026-11-25T00:00Z", "2026-11-30T23:00Z", ["25T21:00", "27T18:00", "30T21:00"]),
    ],
)
def test_a_rule_of_a_day_is_due_at_each_close(first, last, closes):
    schedule = Schedule(Grids(tick_ns=60 * S, evaluation_ns=300 * S), FLOOR)
    due = [at for at in range(ns(first), ns(last), 60 * S) if schedule.due(DAILY, at)]
    assert [datetime.fromtimestamp(at // S, UTC).strftime("%dT%H:%M") for at in due] == closes


def test_a_day_without_session_is_neither_breach_nor_reset():
    machine = decider(DAILY, calendar=FLOOR)
    values = {
        "2026-11-24T21:00Z": BAD,
        "2026-11-25T21:00Z": BAD,
        "2026-11-26T21:00Z": GOOD,
        "2026-11-27T17:59Z": GOOD,
    }
    for at, value in values.items():
        assert machine.step(ns(at), constant(value), prove).events == []
    assert machine.state(DAILY).consecutive == 2
    events = machine.step(ns("2026-11-27T18:00Z"), constant(BAD), prove).events
    assert kinds(events) == ["alert/firing"]


def test_always_closes_at_midnight_utc_and_a_close_off_the_grid_at_the_next_instant():
    always = Schedule(GRIDS, ALWAYS)
    assert [at for at in range(2 * 86_400 + 1) if always.due(DAILY, at * S)] == [0, 86_400, 2 * 86_400]
    coarse = Schedule(Grids(tick_ns=S, evaluation_ns=15 * S), SECONDS)
    assert [at for at in range(86_400) if coarse.due(DAILY, at * S)] == [30]


def test_a_silence_settles_once_rules_have_seen_enough_of_it_or_sleep():
    schedule, since = Schedule(GRIDS, SECONDS), 18 * S
    patience = 5 * S
    assert not schedule.settled(since, 23 * S, patience)
    assert schedule.settled(since, 23 * S + 1, patience)
    opened = DAY_NS + 10 * S
    assert not schedule.settled(since, opened + S, patience)
    assert not schedule.settled(since, opened + 3 * S, patience)
    assert schedule.settled(since, opened + 3 * S + 1, patience)
    assert Schedule(GRIDS, ALWAYS).settled(since, 24 * S, patience)


def test_rules_that_slept_through_a_silence_are_called_at_the_opening_once():
    schedule, patience = Schedule(GRIDS, SECONDS), 5 * S
    first = DAY_NS + 10 * S + S // 10
    assert schedule.call([rule()], 18 * S, 40 * S, patience) == first
    assert schedule.call([rule()], 18 * S, DAY_NS + 10 * S, patience) == first
    assert schedule.call([rule()], 18 * S, DAY_NS + 40 * S, patience) is None
    assert schedule.call([rule()], 12 * S, 40 * S, patience) is None
    assert Schedule(GRIDS, ALWAYS).call([rule()], 18 * S, 40 * S, patience) is None


def test_rules_of_closes_are_called_at_the_close_of_a_session_that_fell_silent():
    always, patience = Schedule(GRIDS, ALWAYS), 5 * S
    assert always.call([rule(), DAILY], 18 * S, 40 * S, patience) == DAY_NS
    assert always.call([DAILY], 18 * S, DAY_NS, patience) is None
    sessions = Schedule(GRIDS, SECONDS)
    assert sessions.call([DAILY], 12 * S, 18 * S, patience) == 20 * S
    assert sessions.call([DAILY], 12 * S, 20 * S, patience) is None
    assert sessions.call([DAILY], 12 * S, DAY_NS + 18 * S, patience) is None


BREAKS = rule(id=RECONCILIATION_BREAK, subject="deployment", window=60 * S, threshold=0.0)


def contradicted(n: int) -> Estimate:
    first = {"symbol": "BTCUSD", "account": "a", "exec_id": "p", "booked": "1", "reported": "3"}
    return Estimate(value=n, n=n, status=Status.OK, from_ns=0, to_ns=S, extra={"breaks": [first]})


def test_a_position_that_contradicts_the_ledger_is_said_at_any_hour_each_time():
    machine = decider(BREAKS, rule(id="other"), calendar=SECONDS)
    values = {"r": BAD, RECONCILIATION_BREAK: contradicted(1), "other": BAD}
    nothing = {RECONCILIATION_BREAK: replace(FEW, to_ns=60 * S)}
    [fired] = watch(machine, {30: values})
    assert fired.data.reason == (
        "the ledger of BTCUSD (account a) held 1, the position report says 3; taken over."
    )
    # Nothing comes at night: what broke is over when its window is, and the next one is news.
    [over, again] = watch(machine, {40: nothing, 50: {RECONCILIATION_BREAK: contradicted(3)}})
    assert over.data.reason == "no position report has contradicted the ledger for 1m."
    assert again.data.reason.endswith("taken over. And 2 more: see the evidence.")
    assert kinds([over, again]) == ["alert/resolved", "alert/firing"]


def test_while_a_task_is_silent_no_break_is_over():
    machine = decider(BREAKS, calendar=SECONDS)
    watch(machine, {30: contradicted(1)})
    events = machine.step(31 * S, constant(UNKNOWN), prove, [0]).events
    assert [event.data.rule for event in events] == ["task-silent"]
    assert machine.state(BREAKS).phase is Phase.FIRING
