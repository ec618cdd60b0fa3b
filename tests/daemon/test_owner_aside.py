"""Values that take milliseconds are made in another thread: the loop goes on, decisions stay the replay's."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from engine.engine_cases import RULES, START, House, S, cuts, fold1, made_up, told

from monitor.daemon import owner as owners
from monitor.daemon.owner import Owner
from monitor.engine.partials import encode
from monitor.observe.metrics import take
from monitor.policy.events import encode as encode_event
from monitor.stats import rank
from monitor.transport.contract import Record

HOUSE = House(windows_ns=(10 * S, 60 * S), rules=RULES)
END = START + 20 * S + 1
ROWS = made_up(81, n=600)


@dataclass
class Said:
    """A lease that only reads: what one task has said."""

    records: list[Record]

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> tuple[list[Record], int]:
        found = self.records[offset : offset + limit]
        return found, offset + len(found)


@dataclass
class Watch:
    """Wraps a coefficient: where it ran, and how often another coroutine did meanwhile."""

    nap_s: float
    ticks: int = 0
    threads: list[int] = field(default_factory=list)
    meanwhile: list[int] = field(default_factory=list)

    def around(self, value):
        def watched(*given, **named):
            self.threads.append(threading.get_ident())
            before = self.ticks
            time.sleep(self.nap_s)
            self.meanwhile.append(self.ticks - before)
            return value(*given, **named)

        return watched

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(0.002)
            self.ticks += 1


def lease() -> Said:
    spoken = fold1(HOUSE, ROWS, END, cuts(np.random.default_rng(0), START - S, END, 30))
    *before_the_end, _ = spoken
    said = [partial for partials in before_the_end for partial in partials]
    return Said([Record(i, 0, None, encode(partial)) for i, partial in enumerate(said)])


def owner_of(aside) -> Owner:
    return Owner("d", HOUSE.digest, HOUSE.fold2(), 1, task_deadline=3 * S, idle_grace=2 * S, aside=aside)


async def run(owner: Owner, log: Said) -> bytes:
    """Evaluate all that was said; the decisions."""
    events = []
    for _ in range(400):
        evaluated = await owner.step(log, END)
        events += owner.fold.decisions
        owner.fold.decisions = []
        if not evaluated and len(list(owner.fold.made())) == len(owner.fold.heavy):
            break
    return b"\n".join(encode_event(event) for event in events)


@pytest.mark.parametrize("name", ["rank_correlation", "kendall_tau"])
def test_the_loop_goes_on_while_ranks_are_made_in_another_thread(monkeypatch, name):
    watch, log = Watch(0.05), lease()
    monkeypatch.setattr(rank, name, watch.around(getattr(rank, name)))

    async def live() -> None:
        ticking = asyncio.create_task(watch.tick())
        owner = owner_of(asyncio.to_thread)
        await run(owner, log)
        made = len(watch.threads)
        take(owner.fold, None, 0)
        assert len(watch.threads) == made, "what is shown was made before"
        ticking.cancel()

    asyncio.run(live())
    assert len(watch.threads) >= 2
    assert threading.get_ident() not in watch.threads
    assert min(watch.meanwhile) >= 2


def test_decisions_are_those_of_the_replay():
    live = asyncio.run(run(owner_of(asyncio.to_thread), lease()))
    assert live == told(HOUSE, ROWS, END).events
    assert live.count(b'"metric":"rank_correlation"') > 0


def test_what_is_only_shown_is_made_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(owners, "SHOW_S", 0.0)
    sizes = []

    async def at_once(work) -> None:
        before = len(list(owner.fold.made()))
        work()
        sizes.append(len(list(owner.fold.made())) - before)

    owner = owner_of(at_once)
    asyncio.run(run(owner, lease()))
    assert max(sizes) == 1
    assert len(list(owner.fold.made())) == len(owner.fold.heavy)
