"""Replay: files through the same core as the daemon, as fast as it can, byte for byte the same every time.

Plain files are judged as one input each and then split into tasks by symbol. A recording keeps its
partitions; with its journal, the run's decisions come out again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from monitor.daemon.deployed import Deployed
from monitor.daemon.group import Group
from monitor.daemon.pipeline import Inputs, Output, Pipeline
from monitor.engine import marks
from monitor.engine.deployment import DeploymentFold
from monitor.engine.partials import Partial
from monitor.engine.rows import UNMEASURED_NS, Scores, ScoreStatus
from monitor.errors import Poisoned, StateError
from monitor.event_time.sequencer import Behind
from monitor.models.scoring import Scorer
from monitor.state.records import Meta
from monitor.transport.contract import Record
from monitor.wire.keys import murmur2
from monitor.wire.table import NO_TIME, Table

Batches = Iterator[list[Record]]
Sink = Callable[[int, Output], None]
"""Takes (task or 0, what a pipeline made) to where predictions and dead letters are written."""


@dataclass(slots=True)
class Journal:
    """A run's journal, by what it says of whom."""

    behind: dict[int, dict[tuple[str, int], Behind]] = field(default_factory=dict)
    observed: dict[tuple[int, str, str], list[marks.Observed]] = field(default_factory=dict)
    starts: dict[str, list[int]] = field(default_factory=dict)
    missing: dict[str, dict[int, frozenset[int]]] = field(default_factory=dict)
    old: dict[str, dict[int, int]] = field(default_factory=dict)
    metas: dict[int, Meta] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    firsts: dict[int, dict[str, int]] = field(default_factory=dict)
    digests: dict[str, set[str]] = field(default_factory=dict)

    def add(self, mark: marks.Mark) -> None:
        """One mark; those of a task, and those of an owner, in the order of the journal."""
        match mark:
            case marks.Behind():
                rows = self.behind.setdefault(mark.task, {})
                for place, offset in enumerate(mark.offsets):
                    rows[mark.stream, offset] = Behind(mark.watermark, mark.sequence + place)
            case marks.Observed():
                self.observed.setdefault((mark.task, mark.deployment, mark.role), []).append(mark)
            case marks.Start():
                self.starts.setdefault(mark.deployment, []).append(mark.at)
            case marks.Missing():
                self.missing.setdefault(mark.deployment, {})[mark.at] = frozenset(mark.tasks)
            case marks.Old():
                self.old.setdefault(mark.deployment, {})[mark.at] = mark.age_ns
            case marks.Effective():
                self.firsts.setdefault(mark.task, mark.offsets)
                self.digests.setdefault(mark.deployment, set()).add(mark.digest)


class _Told:
    """A scorer that answers as the journal says: latencies, timeouts and errors of the run."""

    def __init__(self, scorer: Scorer, marks_by_role: Mapping[str, Sequence[marks.Observed]]) -> None:
        self._scorer = scorer
        self._latency: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self._status: dict[str, dict[int, int]] = {}
        for role, said in marks_by_role.items():
            offsets = [first + i for mark in said for first, count in mark.runs for i in range(count)]
            latency = [ns for mark in said for ns, count in mark.latency_ns for _ in range(count)]
            order = np.argsort(np.array(offsets, np.int64), kind="stable")
            self._latency[role] = (np.array(offsets, np.int64)[order], np.array(latency, np.int64)[order])
            self._status[role] = {o: s for mark in said for o, s in mark.status.items()}

    @property
    def roles(self) -> tuple[str, ...]:
        return self._scorer.roles

    async def score(self, values: NDArray[np.float64], features: Table) -> dict[str, Scores]:
        answers = await self._scorer.score(values, features)
        return {role: self._as_told(role, scores, features["offset"]) for role, scores in answers.items()}

    def _as_told(self, role: str, scores: Scores, offsets: NDArray[np.int64]) -> Scores:
        if role not in self._latency:
            return scores
        known, latency = self._latency[role]
        place = np.minimum(np.searchsorted(known, offsets), len(known) - 1)
        told = np.where(known[place] == offsets, latency[place], UNMEASURED_NS)
        value, status = scores.value.copy(), scores.status.copy()
        for row, offset in enumerate(offsets.tolist()):
            said = self._status[role].get(offset)
            if said is not None:
                status[row] = said
                value[row] = np.nan
        faulty = np.isin(status, (ScoreStatus.ERROR, ScoreStatus.TIMEOUT))
        return Scores(np.where(faulty, np.nan, value), status, told)

    def failures(self) -> dict[str, str]:
        return self._scorer.failures()

    def close(self) -> None:
        self._scorer.close()


class _Owner:
    """Fold 2 without a clock: instants come in order, who was missing stands in the journal."""

    def __init__(self, deployed: Deployed, tasks: Sequence[int], journal: Journal | None) -> None:
        self.fold: DeploymentFold = deployed.deployment_fold()
        self.waiting: dict[int, deque[Partial]] = {task: deque() for task in tasks}
        self.passed: dict[int, int | None] = dict.fromkeys(tasks)
        name = deployed.name
        self._journaled = journal is not None
        self._starts = deque(journal.starts.get(name, ())) if journal else deque[int]()
        self._missing = journal.missing.get(name, {}) if journal else {}
        self._old = journal.old.get(name, {}) if journal else {}
        self._end = journal.ends.get(name) if journal else None

    def take(self, partial: Partial) -> None:
        self.waiting[partial.task].append(partial)
        passed = self.passed[partial.task]
        self.passed[partial.task] = partial.at if passed is None else max(passed, partial.at)

    def advance(self) -> None:
        """Evaluate every instant that all tasks which were not missing have passed."""
        while (at := self._next()) is not None:
            missing = self._missing.get(at, frozenset())
            if self._end is not None and at > self._end:
                return
            if any(p is None or p < at for task, p in self.passed.items() if task not in missing):
                return
            if self._starts and at == self._starts[0]:
                self._starts.popleft()
            parts = {task: self._up_to(task, at) for task in self.waiting if task not in missing}
            self.fold.evaluate(at, parts, missing, self._old.get(at, 0))

    def _next(self) -> int | None:
        if self.fold.at is not None and not self.fold.settled:
            return self.fold.following
        if self._journaled:
            return self._starts[0] if self._starts else None
        if self.fold.at is None:
            firsts = [p.first for queue in self.waiting.values() for p in queue if p.first is not None]
            return min(firsts, default=None)
        for queue in self.waiting.values():
            while queue and not self.fold.news(queue[0]):
                queue.popleft()
        changes = [p.at for queue in self.waiting.values() for p in queue if self.fold.news(p)]
        return self.fold.resumption(min(changes, default=None))

    def _up_to(self, task: int, at: int) -> list[Partial]:
        queue, taken = self.waiting[task], []
        while queue and queue[0].at <= at:
            taken.append(queue.popleft())
        return taken

    def finish(self, at: int, last: Mapping[int, Partial]) -> None:
        """Fold what is left, as of `at`: for the report."""
        parts = {task: [*self._up_to(task, at), last[task]] for task in self.waiting}
        self.fold.snapshot(at, parts)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay ends with: fold 2 of every deployment, and the instant the report is as of."""

    folds: Mapping[str, DeploymentFold]
    as_of_ns: Mapping[str, int]


class Replay:
    """One replay.

    Args:
        sources: by partition and stream, batches of records in offset order.
        plain: the partition is a plain file's (0), to be split into `tasks` tasks by symbol.
        scorers: makes a scorer for each deployment.
    """

    def __init__(
        self,
        group: Group,
        sources: Mapping[int, Mapping[str, Batches]],
        scorers: Callable[[Deployed], Scorer],
        sink: Sink,
        *,
        plain: bool,
        tasks: int = 1,
        journal: Journal | None = None,
        progress: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self._group, self._sink, self._progress = group, sink, progress
        self._journal = journal
        self._made: list[Scorer] = []
        for name, digests in (journal.digests if journal else {}).items():
            if name in group.deployments and digests != {group.deployments[name].digest}:
                raise StateError(
                    f"the journal of {name} was written under configuration {', '.join(sorted(digests))}, "
                    f"this one is {group.deployments[name].digest}. Remedy: replay it with its own."
                )
        numbers = tuple(range(tasks)) if plain else tuple(sorted(sources))
        self._owners = {
            name: _Owner(deployed, numbers, journal) for name, deployed in group.deployments.items()
        }
        self._pipelines: list[tuple[int, Pipeline, dict[str, Batches]]] = []
        for partition, streams in sorted(sources.items()):
            inputs = (
                Inputs(0, 0, None, numbers, self._route(tasks))
                if plain
                else Inputs(partition, partition, len(sources), (partition,))
            )
            pipeline = Pipeline(
                group,
                inputs,
                self._scorers(scorers, partition),
                behind=journal.behind.get(partition, {}) if journal else None,
                until=journal.metas[partition].watermark if journal and partition in journal.metas else None,
                predict=True,
                bounded=False,
            )
            self._pipelines.append((partition, pipeline, dict(streams)))

    def _scorers(self, make: Callable[[Deployed], Scorer], partition: int) -> dict[str, Scorer]:
        scorers: dict[str, Scorer] = {}
        for name, deployed in self._group.deployments.items():
            scorer = make(deployed)
            if self._journal is not None:
                said = {
                    role: found
                    for role in deployed.scope.roles
                    if (found := self._journal.observed.get((partition, name, role)))
                }
                scorer = _Told(scorer, said)
            scorers[name] = scorer
        self._made += scorers.values()
        return scorers

    def _route(self, tasks: int) -> Callable[[NDArray[np.int32]], NDArray[np.int64]]:
        names = self._group.symbols.names
        homes: list[int] = []

        def route(symbols: NDArray[np.int32]) -> NDArray[np.int64]:
            homes.extend(murmur2(name.encode()) % tasks for name in names[len(homes) :])
            # Rows without a symbol belong to task 0.
            return np.array([*homes, 0], np.int64)[symbols]

        return route

    async def run(self) -> Replayed:
        """Read everything, in an order that keeps buffers small."""
        try:
            running = list(self._pipelines)
            while running:
                for entry in list(running):
                    if not await self._read(*entry):
                        running.remove(entry)
                self._advance()
            return await self._finish()
        finally:
            for scorer in self._made:
                scorer.close()

    async def _read(self, partition: int, pipeline: Pipeline, streams: dict[str, Batches]) -> bool:
        """One batch of the input that holds the watermark back; whether there is more."""
        for stream in set(pipeline.sequencer.streams) - set(streams):
            pipeline.sequencer.end(stream)
        slowest = [stream for stream in pipeline.sequencer.time.slowest() if stream in streams]
        if not slowest:
            return False
        stream = min(slowest, key=pipeline.sequencer.streams.index)
        records = self._next(partition, stream, streams[stream])
        position = records[-1].offset + 1 if records else 0
        end = not records
        complaint = await pipeline.read(stream, records, position, 0, end=end)
        if complaint is not None:
            raise Poisoned(f"{stream}: {complaint}")
        if end:
            pipeline.sequencer.end(stream)
            del streams[stream]
        self._progress(len(records))
        await pipeline.release()
        self._flush(partition, pipeline)
        return True

    def _next(self, partition: int, stream: str, batches: Batches) -> list[Record]:
        """The next rows of an input, none at its end.

        With a journal, rows before the run's first and beyond its last read one are ignored.
        """
        first, read = 0, None
        if self._journal is not None:
            meta = self._journal.metas.get(partition)
            read = meta.inputs[stream].read if meta and stream in meta.inputs else 0
            first = self._journal.firsts.get(partition, {}).get(stream, 0)
        for records in batches:
            if read is not None and records[0].offset >= read:
                return []
            kept = [r for r in records if r.offset >= first and (read is None or r.offset < read)]
            if kept:
                return kept
        return []

    def _flush(self, partition: int, pipeline: Pipeline) -> None:
        pipeline.say_progress()
        out = pipeline.take()
        for partial in out.partials:
            self._owners[partial.deployment].take(partial)
        self._sink(partition, out)

    def _advance(self) -> None:
        for owner in self._owners.values():
            owner.advance()

    async def _finish(self) -> Replayed:
        if self._journal is not None:
            for partition, pipeline, _ in self._pipelines:
                meta = self._journal.metas.get(partition)
                await pipeline.finish(meta.watermark if meta else NO_TIME)
                self._flush(partition, pipeline)
            self._advance()
            folds = {name: owner.fold for name, owner in self._owners.items()}
            return Replayed(folds, {name: fold.at or 0 for name, fold in folds.items()})
        last = max((pipeline.sequencer.last for _, pipeline, _ in self._pipelines), default=NO_TIME)
        as_of = last + 1 if last != NO_TIME else 0
        finals: dict[str, dict[int, Partial]] = {}
        for partition, pipeline, _ in self._pipelines:
            await pipeline.finish(as_of)
            self._flush(partition, pipeline)
            for (name, task), fold in pipeline.folds.items():
                finals.setdefault(name, {})[task] = fold.finish(as_of, idle=False)
        self._advance()
        for name, owner in self._owners.items():
            owner.finish(as_of, finals.get(name, {}))
        return Replayed(
            {name: owner.fold for name, owner in self._owners.items()},
            dict.fromkeys(self._owners, max(last, 0)),
        )
