"""A deterministic world: real partition tasks over a memory log, driven by hand.

Every await is a point of crash, stop or interleaving. The clock moves by hand, the schedule comes from a
seed, answers and latencies of the models are scripted. What comes of it is read from the log by `aftermath`.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from functools import cached_property
from types import FrameType
from typing import Any

from aftermath import Trace, finish
from streams import MS, SECOND, START_NS, Sent

from monitor.daemon.deployed import Deployed
from monitor.daemon.group import Group
from monitor.daemon.owner import Owner
from monitor.daemon.partition_task import Board, PartitionTask
from monitor.daemon.pipeline import Pipeline
from monitor.errors import TransportError
from monitor.models.scripted import ScriptedScorer
from monitor.transport.contract import ALERTS
from monitor.transport.memory import MemoryLease, MemoryTransport
from monitor.transport.memory_log import MemoryLog

__all__ = ["MS", "SECOND", "START_NS", "Instance", "Notes", "World"]

TRANSACTION_TIMEOUT_NS = 1500 * MS


async def at_once(work: Callable[[], None]) -> None:
    """Nothing is set aside: one thread, and no suspension."""
    work()


class Notes:
    """What the tasks said to people."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    warning = info

    def of(self, event: str) -> list[dict[str, object]]:
        """The fields of all lines of one kind."""
        return [fields for name, fields in self.lines if name == event]


@dataclass(slots=True, eq=False)
class Replica:
    """A process: its connection and what its tasks tell each other."""

    transport: MemoryTransport
    board: Board = field(default_factory=Board)


class Instance:
    """One life of a partition task; also listens to it."""

    def __init__(self, world: World, partition: int, replica: Replica) -> None:
        self.world, self.partition, self.replica = world, partition, replica
        lease = replica.transport.lease(partition)
        assert isinstance(lease, MemoryLease)
        self.lease = lease
        self.task = PartitionTask(
            world.group,
            replica.transport,
            lease,
            replica.board,
            lambda: world.group.scorers(world.scorer),
            world.notes,
            self,
            measured=world.measured,
            aside=at_once,
            batch=world.batch,
        )
        self.until = 0
        self.turns = 0
        self.widest = 0
        self.pipeline: Pipeline | None = None

    def assigned(self, partitions: Collection[int]) -> None: ...
    def restored(self, task: int, owned: Collection[str]) -> None: ...
    def published(self, owner: Owner) -> None: ...
    def gap(self, task: int, stream: str, rows: int) -> None:
        self.world.gaps[task] += rows

    def lost(self, task: int) -> None: ...

    def folded(self, pipeline: Pipeline, task: int) -> None:
        self.turns += 1
        self.pipeline = pipeline
        self.widest = max(self.widest, pipeline.sequencer.buffered)

    def evaluated(self, owner: Owner) -> None:
        assert owner.fold.at is not None
        self.world.evaluated.append((owner.fold.at, self.world.clock))

    def committed(self, task: int, records: int, seconds: float) -> None:
        self.world.commits[task] += 1

    @cached_property
    def run(self) -> Coroutine[Any, Any, None]:
        """Its life."""
        return self.task.run()

    def where(self) -> dict[str, FrameType]:
        """The functions it is suspended in, by name, outermost first."""
        frames = {}
        inner: Any = self.run
        while inner is not None and getattr(inner, "cr_frame", None) is not None:
            frames[inner.cr_code.co_name] = inner.cr_frame
            inner = inner.cr_await
        return frames

    @property
    def committing(self) -> bool:
        """Whether it is inside a commit."""
        return "commit" in self.where()

    @property
    def deciding(self) -> bool:
        """Whether it is inside a commit that holds a decision."""
        frame = self.where().get("commit")
        return frame is not None and any(
            record.topic == ALERTS and b"heartbeat" not in record.value
            for record in frame.f_locals["records"]
        )

    @property
    def restoring(self) -> bool:
        """Whether it has yet to fetch for the first time."""
        return self.turns == 0 and "fetch" not in self.where()


class World:
    """A log, replicas that hold its partition tasks, and input that arrives by the clock."""

    def __init__(
        self,
        group: Group,
        script: list[Sent],
        partitions: int,
        *,
        seed: int = 0,
        replicas: int = 1,
        measured: bool = False,
        faults: float = 0.0,
        batch: int = 2048,
        log: MemoryLog | None = None,
        clock: int = START_NS - 5 * MS,
    ) -> None:
        self.group, self.measured, self.faults, self.batch = group, measured, faults, batch
        self.rng = random.Random(seed)
        self.clock = clock
        self.log = log or MemoryLog(partitions, self.now, transaction_timeout_ns=TRANSACTION_TIMEOUT_NS)
        self.log.clock = self.now
        self.partitions = partitions
        self.script = script
        self.sent = 0
        self.notes = Notes()
        self.commits: Counter[int] = Counter()
        self.gaps: Counter[int] = Counter()
        self.evaluated: list[tuple[int, int]] = []
        self.disturbed: Counter[str] = Counter()
        self.replicas = [self._replica() for _ in range(replicas)]
        self.alive: list[Instance] = []
        self.current: dict[int, Instance] = {}
        for partition in range(partitions):
            self.start(partition, self.rng.choice(self.replicas))

    def now(self) -> int:
        return self.clock

    def scorer(self, deployed: Deployed) -> ScriptedScorer:
        return ScriptedScorer(deployed.scope.roles, faults=self.faults)

    def _replica(self) -> Replica:
        return Replica(MemoryTransport(self.log, "desk", inputs=self.group.streams, start="earliest"))

    # --- lives of tasks

    def start(self, partition: int, replica: Replica) -> Instance:
        """A new instance of a task, which becomes its current one."""
        instance = Instance(self, partition, replica)
        self.current[partition] = instance
        self.alive.append(instance)
        return instance

    def crash(self, instance: Instance) -> None:
        """The instance ends where it stands, as if its process had been killed."""
        instance.run.close()
        if instance in self.alive:
            self.alive.remove(instance)

    def restart(self, instance: Instance) -> Instance:
        """Crash and begin anew in the same replica."""
        self.crash(instance)
        return self.start(instance.partition, instance.replica)

    def step(self, instance: Instance) -> None:
        """To the next await. A task that ends or loses the broker begins anew if it is still the current."""
        try:
            instance.run.send(None)
            return
        except StopIteration:
            pass
        except TransportError:
            self.disturbed["fenced"] += 1
        self.alive.remove(instance)
        finish(instance.task.close())
        if self.current[instance.partition] is instance:
            self.start(instance.partition, instance.replica)

    def turn(self, instance: Instance) -> None:
        """About one turn of its loop; before its first one, as far as it comes without waiting for others."""
        before = instance.turns
        for _ in range(1000 if before else 40):
            if instance in self.alive and instance.turns == before:
                self.step(instance)

    def reach(self, partition: int, inside: Callable[[Instance], bool], place: int = 0) -> Instance | None:
        """Run until the task is at its `place`-th await (from 0) of those in a row where `inside` holds.

        None where it came out of twenty such stretches before that, or all was sent and time is up.
        """
        stretches = 0
        while stretches < 20 and self.clock < self.script[-1].clock_ns + SECOND:
            self.tick(5 * MS)
            for instance in list(self.alive):
                if instance.partition != partition:
                    self.turn(instance)
            instance = self.current[partition]
            turns, awaits = instance.turns, 0
            while instance.turns == turns or awaits:
                if inside(instance) and awaits == place:
                    return instance
                awaits = awaits + 1 if inside(instance) else 0
                self.step(instance)
                stretches += bool(awaits and not inside(instance))
                instance = self.current[partition]
        return None

    def crash_within(self, partition: int, inside: Callable[[Instance], bool], place: int) -> bool:
        """Crash the task at its `place`-th await within; False where it has no so many."""
        instance = self.reach(partition, inside, place)
        if instance is not None:
            self.restart(instance)
        return instance is not None

    def fork(self) -> World:
        """A world in which all processes were killed at this moment: only the log is left of them."""
        clock, self.log.clock = self.log.clock, lambda: 0
        log = copy.deepcopy(self.log)
        self.log.clock = clock
        other = World(self.group, self.script, self.partitions, log=log, clock=self.clock)
        other.sent = self.sent
        return other

    # --- time

    def tick(self, passed_ns: int) -> None:
        """Time passes; what is due by then is sent."""
        self.clock += passed_ns
        while self.sent < len(self.script) and self.script[self.sent].clock_ns <= self.clock:
            due = self.script[self.sent]
            self.log.publish_input(due.stream, due.key, due.value, due.clock_ns, partition=due.partition)
            self.sent += 1

    def quiet(self, until_ns: int, *, step_ns: int = 40 * MS, without: frozenset[int] = frozenset()) -> None:
        """An undisturbed world until then; tasks in `without` do not run."""
        while self.clock < until_ns:
            self.tick(step_ns)
            for instance in list(self.alive):
                if instance.partition not in without and instance in self.alive:
                    self.turn(instance)

    def settle(self, beyond_ns: int = 3 * SECOND) -> None:
        """Undisturbed until everything that was sent is folded, evaluated and committed."""
        for instance in self.alive:
            instance.until = 0
        last = self.script[-1].clock_ns if self.script else START_NS
        while self.clock < last or self._unread():
            self.quiet(max(self.clock, last) + 200 * MS)
        self.quiet(self.clock + beyond_ns, step_ns=100 * MS)

    def _unread(self) -> bool:
        return any(
            meta is None or meta.inputs[stream].read < self.log.bounds(stream, partition)[2]
            for partition, meta in ((p, self.trace.meta(p)) for p in range(self.partitions))
            for stream in self.group.streams
        )

    def chaos(self, steps: int, disturbance: float, *, mild: bool = False) -> None:
        """Seeded schedule. `mild`: nothing stands still for so long that it would be missed."""
        for _ in range(steps):
            if self.rng.random() < disturbance:
                self._disturb(mild)
            self.tick(self.rng.choice((1, 5, 10, 40, 80)) * MS)
            for instance in self.rng.sample(self.alive, len(self.alive)):
                if instance.until <= self.clock:
                    self._run_a_while(instance)

    def _run_a_while(self, instance: Instance) -> None:
        """Some awaits, or a turn or two."""
        if self.rng.random() < 0.5:
            for _ in range(self.rng.choice((1, 2))):
                if instance in self.alive:
                    self.turn(instance)
        for _ in range(self.rng.choice((0, 1, 3, 10))):
            if instance in self.alive:
                self.step(instance)

    def _disturb(self, mild: bool) -> None:
        draw = self.rng.random()
        if draw < 0.35:
            self.disturbed["kill"] += 1
            replica = self.rng.choice(self.replicas)
            for instance in [i for i in self.alive if i.replica is replica]:
                self.crash(instance)
                if self.current[instance.partition] is instance:
                    self.start(instance.partition, self.rng.choice(self.replicas))
        elif draw < 0.5:
            self.disturbed["crash"] += 1
            instance = self.rng.choice(self.alive)
            self._bring_into(instance, self.rng.choice(("commit", "_restore", "fetch")))
            if instance in self.alive:
                self.crash(instance)
                if self.current[instance.partition] is instance:
                    self.start(instance.partition, instance.replica)
        elif draw < 0.65:
            self.disturbed["zombie"] += 1
            old = self.current[self.rng.randrange(self.partitions)]
            new = self.start(old.partition, self.rng.choice(self.replicas))
            for _ in range(self.rng.randrange(10)):
                self.step(new)
            # What the old one commits while the new one restores must be seen, or be refused.
            for _ in range(self.rng.randrange(4)):
                self.tick(40 * MS)
                self.turn(old)
        elif draw < 0.8:
            self.disturbed["move"] += 1
            instance = self.current[self.rng.randrange(self.partitions)]
            instance.lease.revoked = True
            self.start(instance.partition, self.rng.choice(self.replicas))
        else:
            self.disturbed["stop"] += 1
            long = (20, 100, 250) if mild else (20, 300, 1500, 4000)
            stopped = self.rng.choice(self.alive)
            stopped.until = self.clock + self.rng.choice(long) * MS

    def _bring_into(self, instance: Instance, function: str) -> None:
        """Step it into the middle of a function, if it comes by soon."""
        for _ in range(60):
            if instance not in self.alive or function in instance.where():
                break
            self.step(instance)
        for _ in range(self.rng.randrange(25)):
            if instance not in self.alive or function not in instance.where():
                break
            self.step(instance)

    # --- what came of it

    @property
    def trace(self) -> Trace:
        """What it left in the log."""
        return Trace(self.group, self.log, self.scorer)

    def lag_ns(self, since_ns: int, until_ns: int) -> int:
        """The longest that an instant of the tick in [since, until) waited to be evaluated."""
        tick = next(iter(self.group.deployments.values())).grid.tick
        due, worst = -(-since_ns // tick) * tick, 0
        for at, clock in [*self.evaluated, (until_ns, self.clock)]:
            if due <= at and due < until_ns:
                worst = max(worst, clock - due)
            due = max(due, at - at % tick + tick)
        return worst
