"""`PartitionTask`: one partition number's life: fence, restore, then fetch, fold, decide and commit in turn.

Only transport, scorers and work set aside are awaited, so that a test can stop it at every await. Any error
drops the task's memory; the log decides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from monitor.daemon import commit
from monitor.daemon.group import Group
from monitor.daemon.owner import Aside, Owner
from monitor.daemon.pipeline import Inputs, Pipeline, Refused
from monitor.daemon.restore import Restored, restore
from monitor.engine import marks
from monitor.errors import Poisoned
from monitor.event_time.sequencer import InputMeta
from monitor.models.scoring import Scorer
from monitor.state.records import OWN, TASK, OwnerOffsets, record_key
from monitor.trading.books import symbols_of
from monitor.transport.contract import INPUTS, STATE, Lease, Outgoing, Transport
from monitor.wire.keys import murmur2
from monitor.wire.table import NO_TIME

WAIT_S = 0.05
"""Longest wait of a fetch: how late an instant may be evaluated because nothing came."""


class Log(Protocol):
    """Where a task tells people what happens (structlog)."""

    def info(self, event: str, **fields: object) -> object: ...
    def warning(self, event: str, **fields: object) -> object: ...


@dataclass(slots=True)
class Board:
    """What the tasks of this process last committed: watermark, and whether all inputs were idle."""

    tasks: dict[int, tuple[int, bool]] = field(default_factory=dict)

    def others(self, task: int) -> int:
        """The smallest watermark of the other tasks that are not all idle; NO_TIME where there is none."""
        return min((w for t, (w, idle) in self.tasks.items() if t != task and not idle), default=NO_TIME)


@dataclass(frozen=True, slots=True)
class Place:
    """How far a task has come: its watermark, and by stream the next offset to read."""

    watermark: int
    offsets: Mapping[str, int]

    def read(self, stream: str, position: int) -> Place:
        return Place(self.watermark, {**self.offsets, stream: position})

    def passed(self, watermark: int) -> Place:
        return Place(watermark, self.offsets)

    def beyond(self, other: Place) -> bool:
        """Whether everything up to `other` was read and folded."""
        return self.watermark > other.watermark and all(
            self.offsets.get(stream, -1) >= position for stream, position in other.offsets.items()
        )

    def __str__(self) -> str:
        return ", ".join(f"{stream}@{offset}" for stream, offset in sorted(self.offsets.items()))


class Listener(Protocol):
    """Who is shown what a task does, for metrics and readiness."""

    def assigned(self, partitions: Collection[int]) -> None:
        """These partitions, and no others, are this process's."""
        ...

    def restored(self, task: int, owned: Collection[str]) -> None:
        """A task has its state back; `owned` are the deployments it decides for."""
        ...

    def folded(self, pipeline: Pipeline, task: int) -> None: ...
    def evaluated(self, owner: Owner) -> None: ...
    def published(self, owner: Owner) -> None:
        """A commit has made an owner's decisions durable; it still holds them."""
        ...

    def committed(self, task: int, records: int, seconds: float) -> None: ...
    def gap(self, task: int, stream: str, rows: int) -> None:
        """Retention took rows that a restart had to read again; at most so many are missing."""
        ...

    def lost(self, task: int) -> None:
        """A task has ended, for whatever reason."""
        ...


class PartitionTask:
    """Runs one partition task until it is stopped or fails.

    `scorers` makes the models' scorers, fresh for this task. `measured`: journal what they answered. `aside`
    runs what would hold up the event loop.
    """

    def __init__(
        self,
        group: Group,
        transport: Transport,
        lease: Lease,
        board: Board,
        scorers: Callable[[], Mapping[str, Scorer]],
        log: Log,
        listener: Listener,
        *,
        measured: bool,
        aside: Aside,
        batch: int = 2048,
    ) -> None:
        self._group, self._transport, self._lease, self._board = group, transport, lease, board
        self._partition = lease.partition
        self._make_scorers, self._log, self._listener = scorers, log, listener
        self._measured, self._batch, self._aside = measured, batch, aside
        self.stopping = False
        self._said = NO_TIME
        self._deletions: list[Outgoing] = []
        self._strangers: dict[str, OwnerOffsets] = {}
        self.commits = 0
        self.reached = self.committed = Place(NO_TIME, {})

    def stop(self) -> None:
        """Finish the turn, commit, and end."""
        self.stopping = True

    async def run(self) -> None:
        """Hold the partition until stopped or revoked.

        Raises:
            Fenced, TransportError: the log decides. Poisoned: nearly everything is bad. StateError.
        """
        lease, scorers = self._lease, self._make_scorers()
        try:
            await lease.fence()
            pipeline, owners = await self._restore(lease, scorers)
            self._listener.restored(self._partition, [owner.name for owner in owners])
            committed = self._transport.now_ns()
            beat = 0
            while True:
                fresh = await self._turn(lease, pipeline, owners)
                now = self._transport.now_ns()
                ending = self.stopping or lease.revoked
                decided = any(owner.fold.decisions for owner in owners)
                since = now - committed
                interval = self._group.settings.transport.commit_interval_ns
                if ending or commit.due(decided=decided, fresh=fresh, since_ns=since, interval_ns=interval):
                    heartbeat = bool(owners) and now - beat >= commit.HEARTBEAT_NS
                    beat = now if heartbeat else beat
                    await self._commit(lease, pipeline, owners, now, heartbeat)
                    committed = now
                if ending:
                    return
        finally:
            self._board.tasks.pop(self._partition, None)
            for scorer in scorers.values():
                scorer.close()

    async def close(self) -> None:
        """Give up the lease."""
        await self._lease.close()

    async def _restore(self, lease: Lease, scorers: Mapping[str, Scorer]) -> tuple[Pipeline, list[Owner]]:
        """In this order, which makes it safe: fenced already; state; then seek to the offsets it holds."""
        group, partitions = self._group, self._transport.partitions
        restored = restore(await lease.load_state(), group, partitions)
        for name, keys in restored.misfits.items():
            self._log.warning("statistics_restart", deployment=name, task=self._partition, records=len(keys))
        for name in restored.strangers:
            self._log.warning("state_of_unknown_deployment", deployment=name, task=self._partition)
        self._deletions = restored.deletions(self._partition)
        meta = restored.meta
        if meta is not None:
            self._strangers = {name: o for name, o in meta.owners.items() if name not in group.deployments}
            self.committed = Place(meta.watermark, {stream: m.read for stream, m in meta.inputs.items()})
        metas: dict[str, InputMeta] = {}
        for stream in group.streams:
            known = meta.inputs.get(stream) if meta else None
            taken = await lease.seek(stream, known.seek if known else None)
            if known is None:
                metas[stream] = InputMeta(taken, NO_TIME, taken)
                self._log.info("input_starts", stream=stream, task=self._partition, offset=taken)
            elif taken > known.seek:
                rows = taken - known.seek
                self._log.warning(
                    "coverage_gap", stream=stream, task=self._partition, offset=known.seek, rows=rows
                )
                self._listener.gap(self._partition, stream, rows)
                metas[stream] = InputMeta(taken, known.bound, max(taken, known.read))
            else:
                metas[stream] = InputMeta(known.seek, known.bound, known.read)
        pipeline = Pipeline(
            group,
            Inputs(self._partition, self._partition, partitions, (self._partition,)),
            scorers,
            watermark=meta.watermark if meta else NO_TIME,
            metas=metas,
            sequence=meta.sequence if meta else 0,
            measured=self._measured,
            predict=group.settings.topics.predictions is not None,
        )
        for (name, _), fold in pipeline.folds.items():
            kept = restored.records.get((TASK, name), {})
            for symbol in sorted(symbols_of(kept)):
                # Where instruments are open, only the books remember which there are.
                group.symbols.index(symbol)
            fold.restore(kept, pipeline.sequencer.watermark)
            if not kept or name in restored.misfits:
                pipeline.out.marks.append(
                    marks.Effective(
                        task=self._partition,
                        deployment=name,
                        digest=group.deployments[name].digest,
                        watermark=pipeline.sequencer.watermark,
                        offsets={stream: m.seek for stream, m in metas.items()},
                    )
                )
        return pipeline, self._owners(restored, partitions)

    def _owners(self, restored: Restored, partitions: int) -> list[Owner]:
        owners = []
        for name, deployed in self._group.deployments.items():
            if murmur2(name.encode()) % partitions != self._partition:
                continue
            fold = deployed.deployment_fold()
            unfit = fold.restore(restored.records.get((OWN, name), {}))
            if unfit:
                self._log.warning("policy_state_dropped", deployment=name, keys=unfit)
                # A rule that returns begins anew; the latch of a shadow that returns is still raised.
                rules = [record_key(OWN, name, f"policy/{key}") for key in unfit if key.startswith("rule/")]
                self._deletions += [Outgoing(STATE, self._partition, key, None) for key in rules]
            owners.append(
                Owner(
                    name,
                    deployed.digest,
                    fold,
                    partitions,
                    task_deadline=deployed.settings.grids.task_deadline_ns,
                    idle_grace=self._group.timing.idle_grace,
                    aside=self._aside,
                    offsets=restored.meta.owners.get(name) if restored.meta else None,
                )
            )
        return owners

    async def _turn(self, lease: Lease, pipeline: Pipeline, owners: list[Owner]) -> bool:
        """Fetch, fold, evaluate once; whether there is something new to commit."""
        sequencer, transport = pipeline.sequencer, self._transport
        sequencer.time.remember(transport.now_ns(), self._board.others(self._partition))
        fetched = await lease.fetch(sequencer.wanted(self._batch), WAIT_S)
        now = transport.now_ns()
        for got in sorted(fetched, key=lambda f: INPUTS.index(f.stream)):
            self.reached = self.reached.read(got.stream, got.position)
            complaint = await pipeline.read(got.stream, got.records, got.position, now)
            if complaint is not None:
                raise Poisoned(f"{got.stream}-{self._partition}: {complaint}")
        # After all rows are in: an input is not idle beside one whose rows lie unread in the same fetch.
        for got in fetched:
            if got.at_end:
                sequencer.silent(got.stream, now, got.sent_ns)
        try:
            await pipeline.release()
        finally:
            self.reached = self.reached.passed(sequencer.watermark)
        self._tell_refused(pipeline)
        self._listener.folded(pipeline, self._partition)
        for owner in owners:
            if await owner.step(lease, transport.now_ns()):
                self._listener.evaluated(owner)
        out = pipeline.out
        if out.partials or out.marks or out.dead_letters or any(o.marks for o in owners):
            return True
        # Where other tasks have rows, the owner waits for this one's word that time has passed. Of tasks in
        # other processes nothing is known here; then the rows of this one say that there is something to do.
        moved = sequencer.watermark - self._said >= min(d.grid.tick for d in self._group.deployments.values())
        alone = len(self._board.tasks) < transport.partitions and not sequencer.time.all_idle
        return moved and (alone or self._board.others(self._partition) != NO_TIME)

    def _tell_refused(self, pipeline: Pipeline) -> None:
        refused, pipeline.out.refused = pipeline.out.refused, Refused()
        if refused.counts:
            self._log.warning(
                "records_refused", task=self._partition, refused=refused.counts, first=refused.first
            )

    async def _commit(
        self, lease: Lease, pipeline: Pipeline, owners: list[Owner], now: int, heartbeat: bool
    ) -> None:
        pipeline.say_progress()
        self._said = pipeline.sequencer.watermark
        records = commit.records(
            self._partition,
            self._transport.partitions,
            self._group,
            pipeline,
            pipeline.take(),
            owners,
            self._strangers,
            now,
            heartbeat=heartbeat,
        )
        await lease.commit([*self._deletions, *records])
        self._deletions = []
        self.commits += 1
        self.committed = self.reached
        for owner in owners:
            self._listener.published(owner)
            owner.marks, owner.fold.decisions = [], []
        self._board.tasks[self._partition] = (
            pipeline.sequencer.watermark,
            pipeline.sequencer.time.all_idle,
        )
        took = self._transport.now_ns() - now
        self._listener.committed(self._partition, len(records), took / 1e9)
