"""What a run left in the log: decisions, journal and state; and what of it must not be so."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

import msgspec
import orjson

from monitor.daemon.deployed import Deployed
from monitor.daemon.group import Group
from monitor.daemon.pipeline import Output
from monitor.daemon.replay import Journal, Replay, Replayed, Sink
from monitor.engine import marks
from monitor.engine.deployment import DeploymentFold
from monitor.engine.panes import PaneBytes
from monitor.models.scoring import Scorer
from monitor.policy.chain import verify
from monitor.policy.events import encode
from monitor.state.records import META, OWN, TASK, Meta, decode_meta, unseal
from monitor.transport.contract import (
    ALERTS,
    DEAD_LETTERS,
    INPUTS,
    JOURNAL,
    PREDICTIONS,
    STATE,
    Outgoing,
    Record,
)
from monitor.transport.memory_log import MemoryLog
from monitor.wire.keys import murmur2


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine of the memory transport to its end."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return end.value


class Trace:
    """What is committed in a log, and the replay of it."""

    def __init__(self, group: Group, log: MemoryLog, scorer: Callable[[Deployed], Scorer]) -> None:
        self.group, self.log, self.scorer = group, log, scorer

    @property
    def partitions(self) -> int:
        return self.log.partitions

    def published(self, *, heartbeats: bool = False) -> list[dict[str, Any]]:
        """Committed events."""
        events = [orjson.loads(record.value or b"") for record in self.log.committed(ALERTS, 0)]
        return [event for event in events if heartbeats or "heartbeat" not in event["type"]]

    def decisions(self) -> list[bytes]:
        """Committed events as bytes, heartbeats apart."""
        values = [record.value or b"" for record in self.log.committed(ALERTS, 0)]
        return [value for value in values if "heartbeat" not in orjson.loads(value)["type"]]

    def kinds(self) -> list[str]:
        """Types of the committed decisions in order (`alert`, `demote` ...), resolves left out."""
        events = self.published()
        return [e["type"].split(".")[2] for e in events if e["data"]["phase"] != "resolved"]

    def until(self, other: Trace) -> list[bytes]:
        """Its decisions as far as both runs have come."""
        name = next(iter(self.group.deployments))
        end = min(trace.journal().ends[name] for trace in (self, other))
        return [d for d in self.decisions() if orjson.loads(d)["data"]["to_ns"] <= end]

    def marks(self) -> Iterator[marks.Mark]:
        """The committed journal, task by task."""
        for partition in range(self.partitions):
            for record in self.log.committed(JOURNAL, partition):
                yield marks.decode(record.value or b"")

    def marked(self) -> Counter[str]:
        """How many marks of each kind."""
        return Counter(type(mark).__name__ for mark in self.marks())

    def state(self, partition: int) -> dict[bytes, bytes]:
        """The committed state of a task."""
        found: dict[bytes, bytes] = {}
        for record in self.log.committed(STATE, partition):
            assert record.key is not None
            found[record.key] = record.value or b""
            if record.value is None:
                del found[record.key]
        return found

    def meta(self, partition: int) -> Meta | None:
        """The committed meta record of a task."""
        state = self.state(partition)
        return decode_meta(state[META]) if META in state else None

    def kept(self, scope: str, name: str, partition: int) -> dict[str, bytes]:
        """Committed state records of one scope, without their digests."""
        return {k: value for k, (_, value) in unseal(self.state(partition)).get((scope, name), {}).items()}

    def owner_of(self, name: str) -> int:
        """The partition whose task owns a deployment."""
        return murmur2(name.encode()) % self.partitions

    def journal(self) -> Journal:
        """As `record` would export it."""
        journal = Journal()
        for mark in self.marks():
            journal.add(mark)
        for partition in range(self.partitions):
            meta = self.meta(partition)
            if meta is not None:
                journal.metas[partition] = meta
        for name in self.group.deployments:
            fold = self.kept(OWN, name, self.owner_of(name)).get("fold")
            at = DeploymentFold.last_instant(fold) if fold is not None else None
            journal.ends[name] = at if at is not None else -(2**62)
        return journal

    def all(self, topic: str) -> list[Record]:
        """All committed records of a topic, partition by partition."""
        return [r for p in range(self.log.count(topic)) for r in self.log.committed(topic, p)]

    def rows(self, partition: int, stream: str, size: int) -> Iterator[list[Record]]:
        """The input log of one partition in batches."""
        records = self.log.committed(stream, partition)
        for start in range(0, len(records), size):
            yield records[start : start + size]

    def replay(self, sink: Sink, size: int = 512) -> tuple[Replay, Replayed]:
        """A replay of log and journal, run to its end."""
        sources = {
            p: {stream: self.rows(p, stream, size) for stream in self.group.streams}
            for p in range(self.partitions)
        }
        replay = Replay(self.group, sources, self.scorer, sink, plain=False, journal=self.journal())
        return replay, finish(replay.run())

    def complaints(self, *, settled: bool) -> list[str]:
        """What is wrong with what was published and kept; empty where all properties hold.

        Published decisions equal the replay of log and journal, and so does the kept state of fold 2, byte
        for byte; the chain holds. `settled`: so do predictions, dead letters and the state of fold 1, and
        every row is counted once.
        """
        made: dict[str, list[Outgoing]] = {PREDICTIONS: [], DEAD_LETTERS: []}

        def sink(task: int, output: Output) -> None:
            if self.group.settings.topics.predictions is not None:
                made[PREDICTIONS] += output.predictions
            made[DEAD_LETTERS] += output.dead_letters

        decisions = self.decisions()
        replay, replayed = self.replay(sink, random.Random(len(decisions)).choice((7, 64, 512)))
        found = verify(self.published(heartbeats=True))
        for name, fold in replayed.folds.items():
            mine = [value for value in decisions if orjson.loads(value)["source"] == name]
            again = [encode(event) for event in fold.decisions]
            if mine != again:
                found.append(f"decisions of {name} differ: {_first_difference(mine, again)}")
            kept = self.kept(OWN, name, self.owner_of(name))
            found += _differences(f"{OWN}/{name}", kept, fold.records())
        if settled:
            for topic, records in made.items():
                written = Counter((r.key, r.value, r.headers) for r in self.all(topic))
                again_written = Counter((r.key, r.value, r.headers) for r in records)
                if written != again_written:
                    odd = {**(written - again_written), **(again_written - written)}
                    found.append(f"{topic}: {len(odd)} differ, such as {next(iter(odd))!r:.300}")
            for partition, pipeline, _ in replay._pipelines:
                for (name, _), task in pipeline.folds.items():
                    kept = self.kept(TASK, name, partition)
                    found += _differences(f"{TASK}/{name} of {partition}", kept, task.records())
            found += [complaint for name in replayed.folds for complaint in self._uncounted(name)]
        return found

    def totals(self, name: str) -> Counter[str]:
        """Rows counted so far, by stream and by `kind/stream/label`: fold totals plus the open panes."""
        kinds = {source.key: source.kind for source in self.group.deployments[name].sources}
        totals = self.kept(OWN, name, self.owner_of(name))["totals"]
        parts = [msgspec.msgpack.decode(totals, type=dict[str, bytes])]
        for partition in range(self.partitions):
            kept = self.kept(TASK, name, partition)
            if "pane" in kept:
                parts.append(msgspec.msgpack.decode(kept["pane"], type=PaneBytes).statistics)
        counted: Counter[str] = Counter()
        for part in parts:
            for key, data in part.items():
                kind, _, stream = key.partition("/")
                if kind in ("fates", "rejected"):
                    counts = kinds[key].decode(data, 0)
                    for label in counts.spec:
                        counted[stream] += counts[label]
                        counted[f"{key}/{label}"] += counts[label]
        return +counted

    def _uncounted(self, name: str) -> list[str]:
        counted = self.totals(name)
        found = []
        for stream in INPUTS:
            if stream in self.group.streams:
                sent = len(self.all(stream))
                if counted[stream] != sent:
                    found.append(f"{stream}: {counted[stream]} rows counted of {sent}")
        return found


def _differences(what: str, kept: Mapping[str, bytes], replayed: Mapping[str, bytes | None]) -> Iterator[str]:
    made = {key: value for key, value in replayed.items() if value is not None}
    for key in sorted(kept.keys() | made.keys()):
        if kept.get(key) != made.get(key):
            yield f"{what}: {key}: kept {kept.get(key)!r:.300}, replayed {made.get(key)!r:.300}"


def _first_difference(live: list[bytes], again: list[bytes]) -> str:
    for place, (a, b) in enumerate(zip(live, again, strict=False)):
        if a != b:
            return f"at {place} of {len(live)}/{len(again)}: {a!r} replayed as {b!r}"
    rest = (live if len(live) > len(again) else again)[min(len(live), len(again))]
    return f"{len(live)} published, {len(again)} replayed; only one has {rest!r}"
