"""Tasks that stand still, inside a transaction or not, and owners that do not know they were replaced."""

from __future__ import annotations

import pytest
from house import DEPLOYMENT
from simulation import MS, SECOND, START_NS, World
from streams import SYMBOLS, Script, Sent, encode, feature, steady

from monitor.daemon.group import Group
from monitor.wire.keys import murmur2

SECONDS = 6.5


def bleeding(group: Group, partitions: int, **more: int) -> World:
    """A calm market until the account bleeds, 70 % into it."""
    script = Script(11, seconds=SECONDS, timely=True, gap_ms=90, order_gap_ms=250).messages()
    return World(group, script, partitions, **more)


def busy(world: World, *, owning: bool) -> int:
    """A partition with rows, the owner's or another."""
    owner = world.trace.owner_of(DEPLOYMENT)
    counts = {p: len(world.log.committed("features", p)) for p in range(world.partitions)}
    return owner if owning else max(counts, key=lambda p: (p != owner, counts[p]))


@pytest.mark.parametrize("timeout_s", [1.5, 60])
@pytest.mark.parametrize("inside", [True, False])
def test_one_stalled_task_does_not_disarm_the_hard_limit(
    group: Group, inside: bool, timeout_s: float
) -> None:
    world = bleeding(group, 3)
    world.log._timeout = int(timeout_s * SECOND)
    world.quiet(START_NS + 1500 * MS)
    stalled = busy(world, owning=False)
    if inside:
        assert world.reach(stalled, lambda instance: instance.committing, 7)
    went = world.clock
    world.quiet(START_NS + int((SECONDS + 1) * SECOND), step_ns=20 * MS, without=frozenset({stalled}))
    kill = next(event for event in world.trace.published() if "kill_switch" in event["type"])
    assert kill["data"]["stale"]
    assert kill["data"]["status"] == "unknown"
    deadline = group.deployments[DEPLOYMENT].settings.grids.task_deadline_ns
    # Instants within the deadline of what the task last said wait for it; after them none does.
    end = START_NS + 6 * SECOND
    assert world.lag_ns(went - 500 * MS, end) < deadline + 500 * MS
    assert world.lag_ns(went + 2 * deadline + 300 * MS, end) < 500 * MS
    silent = [event for event in world.trace.published() if event["data"]["rule"] == "task-silent"]
    assert [event["data"]["phase"] for event in silent] == ["firing"]
    assert world.trace.complaints(settled=False) == []
    world.settle()
    silent = [event for event in world.trace.published() if event["data"]["rule"] == "task-silent"]
    assert [event["data"]["phase"] for event in silent] == ["firing", "resolved"]
    assert world.trace.complaints(settled=True) == []
    assert world.trace.kinds().count("kill_switch") == 1


def test_a_limit_never_passes_or_resolves_on_stale_equity(group: Group) -> None:
    world = bleeding(group, 3)
    world.quiet(START_NS + 1500 * MS)
    stalled = busy(world, owning=False)
    world.quiet(START_NS + 4500 * MS, without=frozenset({stalled}))
    drawdown = [e["data"]["phase"] for e in world.trace.published() if e["data"]["rule"] == "drawdown"]
    assert drawdown == ["no_data"]
    assert world.trace.complaints(settled=False) == []


@pytest.mark.parametrize("moment", ["committing", "restoring", "between"])
def test_owners_that_do_not_know_of_each_other_take_turns(group: Group, moment: str) -> None:
    """The old instance lives on beside the new one and is stepped as often; six times the task moves."""
    world = bleeding(group, 2, replicas=3, seed=7)
    owner = world.trace.owner_of(DEPLOYMENT)
    for hop in range(6):
        world.quiet(world.clock + 700 * MS, step_ns=20 * MS)
        old = world.current[owner]
        if moment == "committing":
            assert world.reach(owner, lambda instance: instance.committing, hop * 5) is old
        new = world.start(owner, world.replicas[hop % 3])
        if moment == "restoring":
            for _ in range(hop):
                world.step(new)
            world.start(owner, world.replicas[(hop + 1) % 3])
    world.settle()
    assert world.disturbed["fenced"] >= 6
    assert world.trace.complaints(settled=True) == []
    assert world.trace.kinds().count("kill_switch") == 1


def test_a_stopped_owner_that_wakes_after_it_was_replaced_changes_nothing(group: Group) -> None:
    world = bleeding(group, 2, replicas=2)
    owner = world.trace.owner_of(DEPLOYMENT)
    world.quiet(START_NS + SECOND)
    old = world.current[owner]
    assert world.reach(owner, lambda instance: instance.deciding, 4) is old
    decided = len(world.trace.decisions())
    world.alive.remove(old)
    world.start(owner, world.replicas[1])
    world.quiet(world.clock + 2 * SECOND)
    assert len(world.trace.decisions()) > decided
    world.alive.append(old)
    world.settle()
    assert world.disturbed["fenced"] == 1
    assert world.trace.complaints(settled=True) == []


def test_a_task_that_pauses_over_an_empty_fetch_does_not_run_ahead_of_what_came_meanwhile(
    group: Group,
) -> None:
    """Others have gone on by then; as of the fetch, they had not."""
    partitions = 2
    mine = next(s for s in SYMBOLS if murmur2(s.encode()) % partitions == 0)
    others = tuple(s for s in SYMBOLS if murmur2(s.encode()) % partitions == 1)
    at = START_NS + 1500 * MS
    delayed = feature("delayed", at, mine, 1.0, 10_000, None)
    script = [
        *steady((mine,), 1),
        *steady(others, 4),
        Sent(at + 80 * MS, "features", mine.encode(), encode(delayed)),
    ]
    world = World(group, sorted(script, key=lambda sent: sent.clock_ns), partitions)
    world.quiet(at)
    paused = world.reach(0, lambda instance: "fetch" in instance.where(), 1)
    assert paused is not None
    assert world.clock < at + 80 * MS
    world.quiet(at + 500 * MS, without=frozenset({0}))
    world.settle()
    assert world.trace.marked()["Behind"] == 0
    assert world.trace.complaints(settled=True) == []
