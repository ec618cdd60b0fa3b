"""`Recorder`: a run's streams, journal and decisions, read from its log into files that `replay` takes.

It reads what the daemon committed, while it runs or after it stopped, and knows no broker.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec
import orjson

from monitor.daemon.recording import OwnerEnd, TaskEnd
from monitor.engine import marks
from monitor.engine.deployment import DeploymentFold
from monitor.errors import StateError
from monitor.policy.decider import Decider
from monitor.policy.events import EventType
from monitor.state.records import META, OWN, Meta, decode_meta, unseal
from monitor.transport.contract import ALERTS, INPUTS, JOURNAL, PREDICTIONS, STATE, Record
from monitor.transport.files import LineWriter, envelope

FOLD, CHAIN = "fold", "policy/chain"
_END = re.compile(rf"{OWN}/[^/]+/({FOLD}|{CHAIN})".encode())


class Log(Protocol):
    """A run's topics by logical name, read from outside."""

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        ...

    def scan(
        self, topic: str, partition: int, offset: int | None = None, end: int | None = None
    ) -> AsyncGenerator[list[Record], None]:
        """Committed records from `offset` (None: the beginning) and before `end`; without `end`, up to the
        end that uncommitted records had too when reading began."""
        ...


@dataclass(slots=True)
class Ends:
    """Where a recording ends: what each task and each deployment's owner had committed.

    `instants`: last evaluated; `heads`: sequence of the last decision that belongs to them.
    """

    metas: dict[int, Meta] = field(default_factory=dict)
    instants: dict[str, int] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)


class Recorder:
    """Writes `features.jsonl.gz`, `orders.jsonl.gz`, `outcomes.jsonl.gz` (envelopes), `journal.jsonl`,
    `events.jsonl` and `predictions.jsonl.gz` (plain messages) into `out`, those of them that `topics` has.

    A context: files appear under their names when it is left in order. `progress` hears (rows, rows to come).
    """

    def __init__(
        self,
        log: Log,
        topics: Collection[str],
        out: Path,
        progress: Callable[[int, int], None] = lambda rows, left: None,
    ) -> None:
        self._log, self._out, self._progress = log, out, progress
        self._inputs = [stream for stream in INPUTS if stream in topics]
        self._packed = [*self._inputs, *(topic for topic in (PREDICTIONS,) if topic in topics)]
        self._next: dict[tuple[str, int], int] = {}
        self._state: dict[int, dict[bytes, bytes]] = {}
        self._firsts: dict[int, dict[str, int]] = {}
        self._events: list[tuple[str, str, int, bytes]] = []
        self._files: dict[str, LineWriter] = {}
        self._stack = ExitStack()
        self.ends = Ends()

    def __enter__(self) -> Self:
        self._out.mkdir(parents=True, exist_ok=True)
        paths = {topic: self._out / f"{topic}.jsonl.gz" for topic in self._packed}
        paths |= {JOURNAL: self._out / "journal.jsonl", ALERTS: self._out / "events.jsonl"}
        for topic, path in paths.items():
            self._files[topic] = self._stack.enter_context(LineWriter(path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()
        self._stack.__exit__(kind, error, trace)

    async def advance(self) -> Ends:
        """Read on to what is committed by now; returns where that ends.

        Owners' ends are read before those of the tasks, so that every task has passed what was evaluated; a
        reading reaches what had been written when it began, so that streams and journal cover both.

        Raises:
            TransportError: the log cannot be read, or no longer holds where the run began. StateError.
        """
        ends = Ends()
        self._say_owners(await self._read_state(), ends)
        for task, state in (await self._read_state()).items():
            if META in state:
                ends.metas[task] = decode_meta(state[META])
        for task in range(self._log.partitions(JOURNAL)):
            await self._read(JOURNAL, task, self._take_marks)
        await self._read_inputs(ends)
        for topic in self._packed[len(self._inputs) :]:
            for partition in range(self._log.partitions(topic)):
                await self._read(topic, partition, self._take_predictions)
        for partition in range(self._log.partitions(ALERTS)):
            await self._read(ALERTS, partition, self._take_events)
        self.ends = ends
        return ends

    async def _read(
        self,
        topic: str,
        partition: int,
        take: Callable[[int, list[Record]], None],
        first: int | None = None,
        end: int | None = None,
    ) -> None:
        """What is new in one partition."""
        place = topic, partition
        async with aclosing(self._log.scan(topic, partition, self._next.get(place, first), end)) as batches:
            async for records in batches:
                take(partition, records)
                self._next[place] = records[-1].offset + 1

    async def _read_state(self) -> dict[int, dict[bytes, bytes]]:
        for task in range(self._log.partitions(STATE)):
            await self._read(STATE, task, self._take_state)
        return self._state

    async def _read_inputs(self, ends: Ends) -> None:
        spans = []
        for task, meta in sorted(ends.metas.items()):
            if task not in self._firsts:
                raise StateError(
                    f"the journal no longer says where task {task} began: its first records are gone, and "
                    "without them the run cannot be replayed. Remedy: keep the journal topic longer."
                )
            for stream in self._inputs:
                first = self._firsts[task].get(stream, 0)
                end = meta.inputs[stream].read if stream in meta.inputs else first
                spans.append((stream, task, first, end))
        left = sum(max(0, end - self._next.get((stream, task), first)) for stream, task, first, end in spans)
        self._progress(0, left)
        for stream, task, first, end in spans:

            def take(partition: int, records: list[Record], stream: str = stream) -> None:
                for record in records:
                    self._files[stream].write(envelope(stream, partition, record))
                self._progress(len(records), 0)

            await self._read(stream, task, take, first, end)

    def _take_state(self, task: int, records: Iterable[Record]) -> None:
        kept = self._state.setdefault(task, {})
        for record in records:
            key = record.key or b""
            if key == META or (
                key.startswith(OWN.encode()) and key.split(b"/", 2)[2].decode() in (FOLD, CHAIN)
            ):
                if record.value is None:
                    kept.pop(key, None)
                else:
                    kept[key] = record.value

    @staticmethod
    def _say_owners(state: dict[int, dict[bytes, bytes]], ends: Ends) -> None:
        for records in state.values():
            for (scope, deployment), found in unseal(records).items():
                if scope != OWN:
                    continue
                instant = DeploymentFold.last_instant(found[FOLD][1]) if FOLD in found else None
                if instant is not None:
                    ends.instants[deployment] = instant
                if CHAIN in found:
                    ends.heads[deployment] = Decider.head_in(found[CHAIN][1]).sequence

    def _take_marks(self, task: int, records: Iterable[Record]) -> None:
        for record in records:
            value = record.value or b""
            try:
                mark = marks.decode(value)
            except msgspec.DecodeError as error:
                raise StateError(f"journal-{task}: offset {record.offset} is no mark: {error}") from error
            if isinstance(mark, marks.Effective):
                self._firsts.setdefault(mark.task, mark.offsets)
            self._files[JOURNAL].write(value)

    def _take_predictions(self, _: int, records: Iterable[Record]) -> None:
        for record in records:
            self._files[PREDICTIONS].write(record.value or b"")

    def _take_events(self, _: int, records: Iterable[Record]) -> None:
        for record in records:
            value = record.value or b""
            event = orjson.loads(value)
            if event["type"] != EventType.HEARTBEAT:
                self._events.append((event["time"], event["source"], event["data"]["sequence"], value))

    def _finish(self) -> None:
        """The ends, and of the decisions those that had been made by then, in the order of a replay."""
        for task, meta in sorted(self.ends.metas.items()):
            self._files[JOURNAL].write(msgspec.json.encode(TaskEnd(task=task, meta=meta)))
        for deployment, at in sorted(self.ends.instants.items()):
            self._files[JOURNAL].write(msgspec.json.encode(OwnerEnd(deployment=deployment, at=at)))
        for _, source, sequence, value in sorted(self._events):
            if sequence <= self.ends.heads.get(source, 0):
                self._files[ALERTS].write(value)
