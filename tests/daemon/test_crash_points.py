"""A crash at every await of the commit and of the restore path, one by one."""

from __future__ import annotations

import pytest
from house import DEPLOYMENT
from simulation import MS, World
from streams import Script

from monitor.daemon.group import Group


def world_of(group: Group) -> World:
    script = Script(5, seconds=16, timely=True, gap_ms=200).messages()
    return World(group, script, 2, seed=5)


def partition_of(world: World, *, owning: bool) -> int:
    owner = world.trace.owner_of(DEPLOYMENT)
    return owner if owning else 1 - owner


@pytest.mark.parametrize("owning", [True, False])
def test_a_crash_at_each_await_of_the_commit_loses_and_doubles_nothing(group: Group, owning: bool) -> None:
    world = world_of(group)
    partition, places = partition_of(world, owning=owning), 0
    while world.crash_within(partition, lambda instance: instance.committing, places):
        places += 1
        # Between two crashes it gets something done.
        world.quiet(world.clock + 200 * MS)
    assert places >= 12
    assert world.trace.complaints(settled=False) == []
    world.settle()
    assert world.trace.complaints(settled=True) == []
    assert "kill_switch" in world.trace.kinds()


@pytest.mark.parametrize("owning", [True, False])
def test_a_crash_at_each_await_of_the_restore_loses_and_doubles_nothing(group: Group, owning: bool) -> None:
    world = world_of(group)
    partition, places, more = partition_of(world, owning=owning), 0, True
    while more:
        # There is an open transaction of the predecessor to abort, at first no state, later some.
        assert world.crash_within(partition, lambda instance: instance.committing, 7)
        more = world.crash_within(partition, lambda instance: instance.restoring, places)
        places += more
        world.quiet(world.clock + 250 * MS)
    assert places >= 8
    assert world.trace.complaints(settled=False) == []
    world.settle()
    assert world.trace.complaints(settled=True) == []
    assert "kill_switch" in world.trace.kinds()


def test_a_crash_at_each_await_of_a_commit_that_decides(group: Group) -> None:
    script = Script(3, seconds=2.4, timely=True, gap_ms=90, order_gap_ms=150).messages()
    calm = World(group, script, 2)
    while b"kill_switch" not in b"".join(calm.trace.decisions()):
        calm.quiet(calm.clock + 10 * MS)
    decided = calm.clock
    calm.settle()
    eve = World(group, script, 2)
    eve.quiet(decided - 150 * MS)
    owner, places = eve.trace.owner_of(DEPLOYMENT), 0
    while (world := eve.fork()).crash_within(owner, lambda instance: instance.deciding, places):
        world.quiet(world.clock + 500 * MS)
        assert world.trace.complaints(settled=False) == []
        assert [kind for kind in world.trace.kinds() if kind == "kill_switch"] == ["kill_switch"]
        assert world.trace.until(calm.trace) == calm.trace.until(world.trace)
        places += 1
    assert places >= 20
