"""Silence for longer than any window: evaluation settles, goes on where something changes, and says so."""

from __future__ import annotations

import random

import pytest
from simulation import MS, SECOND, START_NS, World
from streams import Script, Sent

from monitor.daemon.group import Group
from monitor.engine import deployment, marks


def episodes(seed: int, *silences_s: float) -> list[Sent]:
    """Stretches of a second and a half of market, with silences between them."""
    sent: list[Sent] = []
    begin_s = 0.0
    for number, silence_s in enumerate((*silences_s, 0.0)):
        script = Script(seed + number, seconds=1.5, start_ns=START_NS + int(begin_s * SECOND), gap_ms=120)
        sent += script.messages()
        begin_s += 1.5 + silence_s
    return sent


def starts(world: World) -> list[int]:
    return [mark.at for mark in world.trace.marks() if isinstance(mark, marks.Start)]


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluation settles after seconds instead of minutes: every moment of it can be met."""
    monkeypatch.setattr(deployment, "SETTLING_NS", 2 * SECOND)


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("partitions", [1, 3])
def test_after_a_settled_silence_new_rows_are_decided_as_in_the_replay(group: Group, partitions: int) -> None:
    world = World(group, episodes(3, 100), partitions)
    world.quiet(START_NS + 90 * SECOND, step_ns=200 * MS)
    settled = world.evaluated[-1]
    assert settled[1] < START_NS + 20 * SECOND
    # A task that begins anew has nothing new to say.
    world.restart(world.current[0])
    world.quiet(START_NS + 101 * SECOND, step_ns=200 * MS)
    assert world.evaluated[-1] == settled
    world.settle()
    # The instant before the change, and the change.
    assert len(starts(world)) == 3
    assert world.evaluated[-1][0] > START_NS + 101 * SECOND
    assert world.trace.complaints(settled=True) == []


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("seed", range(5))
def test_silences_of_any_length_between_crashes(group: Group, seed: int) -> None:
    rng = random.Random(seed)
    silences = [rng.choice((0.2, 8.9, 9.0, 9.1, 9.3, 10.5, 14)) for _ in range(3)]
    world = World(
        group, episodes(10 * seed, *silences), rng.choice((1, 2, 3)), seed=seed, replicas=rng.choice((1, 2))
    )
    end = world.script[-1].clock_ns
    while world.clock < end:
        if rng.random() < 0.3:
            world.chaos(20, 0.1)
        else:
            world.quiet(world.clock + rng.choice((300, 1000, 2500)) * MS, step_ns=50 * MS)
    world.settle()
    assert world.trace.complaints(settled=True) == []
    if min(silences) > 9:
        assert len(starts(world)) > 1
