"""Crashes, zombies, moves and stalls in seeded schedules: what is published is what log and journal say.

`CHAOS_SEEDS` in the environment asks for more schedules than the default.
"""

from __future__ import annotations

import os
import random
from functools import cache
from pathlib import Path

import pytest
from house import group_of, wide, write_configuration
from simulation import World
from streams import Script, Sent

from monitor.daemon.group import Group

SEEDS = int(os.environ.get("CHAOS_SEEDS", "40"))
STEPS = 300


@cache
def script(seed: int, *, timely: bool) -> list[Sent]:
    return Script(seed, seconds=6.5, timely=timely, gap_ms=90).messages()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_published_equals_replay_and_every_row_is_counted_once(group: Group, seed: int) -> None:
    rng = random.Random(seed)
    measured = rng.random() < 0.3
    world = World(
        group,
        script(seed, timely=False),
        rng.choice((1, 1, 1, 2, 2, 2, 3, 3, 4, 6)),
        seed=seed,
        replicas=rng.choice((1, 2, 3)),
        batch=rng.choice((30, 200, 2048)),
        measured=measured,
        faults=0.03 if measured else 0.0,
    )
    world.chaos(STEPS, rng.choice((0.05, 0.15, 0.3)))
    if rng.random() < 0.3:
        assert world.trace.complaints(settled=False) == []
    world.settle()
    assert world.trace.complaints(settled=True) == []
    assert len(world.trace.decisions()) > 5


@pytest.mark.parametrize("seed", range(SEEDS // 8))
def test_several_deployments_all_inputs_and_open_instruments_keep_the_same_promise(
    house: Path, seed: int
) -> None:
    path = write_configuration(house, wide(house), "wide.yaml")
    rng = random.Random(seed)
    messages = Script(seed, seconds=5, gap_ms=110, outcomes=True).messages()
    world = World(group_of(path), messages, 2 + seed % 2, seed=seed, replicas=2, measured=True, faults=0.05)
    world.chaos(STEPS, rng.choice((0.05, 0.15)))
    world.settle()
    # Another process meets the symbols in another order: nothing hangs on their numbers.
    world.group = group_of(path)
    assert world.trace.complaints(settled=True) == []
    assert {event["source"] for event in world.trace.published()} == {"desk", "alone"}


@cache
def undisturbed(group: Group, seed: int, partitions: int) -> World:
    world = World(group, script(seed, timely=True), partitions, seed=seed)
    world.settle()
    assert not {"Behind", "Missing", "Old"} & world.trace.marked().keys()
    return world


@pytest.mark.parametrize("seed", range(SEEDS // 5))
def test_where_nothing_comes_behind_decisions_equal_those_of_an_undisturbed_run(
    group: Group, seed: int
) -> None:
    rng = random.Random(seed)
    calm = undisturbed(group, seed % 3, (1, 3, 5)[seed % 3])
    world = World(
        group,
        calm.script,
        calm.partitions,
        seed=seed,
        replicas=rng.choice((1, 2, 3)),
        batch=rng.choice((20, 2048)),
    )
    world.chaos(STEPS, 0.1, mild=True)
    world.settle()
    assert world.trace.complaints(settled=True) == []
    marked = world.trace.marked()
    assert marked["Behind"] == 0
    if marked["Missing"] == marked["Old"] == 0:
        assert world.trace.until(calm.trace) == calm.trace.until(world.trace)
