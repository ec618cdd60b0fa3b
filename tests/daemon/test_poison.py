"""The daemon under asyncio on the memory log: what raises at one place for ever stops it loudly."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from time import monotonic_ns

import pytest
from house import DEPLOYMENT
from numpy.typing import NDArray
from simulation import SECOND, START_NS, Notes, World
from streams import encode, feature

from monitor.daemon.app import App
from monitor.daemon.deployed import Deployed
from monitor.daemon.group import Group
from monitor.daemon.owner import Owner
from monitor.daemon.pipeline import Pipeline
from monitor.engine.rows import Scores
from monitor.errors import Poisoned
from monitor.models.scripted import ScriptedScorer
from monitor.transport.memory import MemoryTransport
from monitor.transport.memory_log import MemoryLog
from monitor.wire.table import Table


class Nobody:
    """Listens to nothing."""

    def assigned(self, partitions: Collection[int]) -> None: ...
    def restored(self, task: int, owned: Collection[str]) -> None: ...
    def folded(self, pipeline: Pipeline, task: int) -> None: ...
    def evaluated(self, owner: Owner) -> None: ...
    def published(self, owner: Owner) -> None: ...
    def committed(self, task: int, records: int, seconds: float) -> None: ...
    def gap(self, task: int, stream: str, rows: int) -> None: ...
    def lost(self, task: int) -> None: ...


class Choking(ScriptedScorer):
    """Raises at some events: each time, or only the first time that it is asked."""

    def __init__(self, deployed: Deployed, events: set[str], *, once: bool) -> None:
        super().__init__(deployed.scope.roles)
        self.events, self.once = events, once

    async def score(self, values: NDArray, features: Table) -> dict[str, Scores]:
        struck = self.events & set(features["event_id"])
        if struck:
            if self.once:
                self.events -= struck
            raise RuntimeError(f"cannot digest {sorted(struck)}")
        return await super().score(values, features)


class Running:
    """An app over a memory log into which rows keep coming, every 20 ms one."""

    def __init__(self, group: Group, events: set[str], *, once: bool) -> None:
        began = monotonic_ns()
        self.log = MemoryLog(1, lambda: START_NS + monotonic_ns() - began)
        self.notes, self.sent = Notes(), 0
        self.app = App(
            group,
            MemoryTransport(self.log, "desk", start="earliest", sleep=asyncio.sleep),
            lambda: group.scorers(lambda deployed: Choking(deployed, events, once=once)),
            self.notes,
            Nobody(),
            measured=False,
            services=(self._feed,),
        )

    async def _feed(self) -> None:
        while True:
            now = self.log.clock()
            event = feature(f"e{self.sent}", now, "AAA", 1.0, 10_000, None)
            self.log.publish_input("features", b"AAA", encode(event), now)
            self.sent += 1
            await asyncio.sleep(0.02)

    def world(self, group: Group) -> World:
        """What goes on with the log, and looks into it."""
        return World(group, [], 1, log=self.log, clock=self.log.clock())


async def test_a_record_at_which_the_core_raises_again_and_again_stops_the_daemon(group: Group) -> None:
    running = Running(group, {"e40"}, once=False)
    with pytest.raises(
        Poisoned, match=r"raised 3 times before it had passed .*features@\d+.*cannot digest.*e40"
    ):
        async with asyncio.timeout(20):
            await running.app.run()
    crashes = running.notes.of("task_crashed")
    assert [crash["crashes"] for crash in crashes] == [1, 2, 3]
    world = running.world(group)
    # What came before is committed, the record and what follows are not.
    meta = world.trace.meta(0)
    assert meta is not None
    stuck = world.log.committed("features", 0)[40]
    assert meta.watermark <= stuck.timestamp_ns
    assert world.commits.total() == 0
    assert world.trace.complaints(settled=False) == []


async def test_crashes_at_different_places_are_survived_however_many(group: Group) -> None:
    events = {"e10", "e40", "e70", "e100"}
    running = Running(group, events, once=True)
    task = asyncio.create_task(running.app.run())
    async with asyncio.timeout(20):
        while events or running.sent < 120:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        running.app.stop()
        assert await task == 0
    assert [crash["crashes"] for crash in running.notes.of("task_crashed")] == [1, 1, 1, 1]
    world = running.world(group)
    world.quiet(world.clock + 3 * SECOND)
    assert world.trace.totals(DEPLOYMENT)["features"] == running.sent
    assert world.trace.complaints(settled=True) == []
