"""What the whole core costs a feature event, as ratios to typed decoding alone, measured in the same run.

    python benchmarks/pipeline.py [--profile]

The demo's market with its 32 features, two models and two paper books, at 10,000 and at 100 events a second
of event time, read in batches of 512 rows; process CPU, medians of several rounds. Every message is distinct.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import orjson

from monitor.daemon.group import Group
from monitor.daemon.pipeline import Inputs, Pipeline
from monitor.demo.story import MODELS, story, story_config, story_reference
from monitor.engine.deployment import DeploymentFold
from monitor.engine.partials import Partial
from monitor.event_time.sequencer import Sequencer, Step
from monitor.event_time.timing import Timing
from monitor.models.scoring import ReplayScorer
from monitor.settings.loading import load
from monitor.transport.contract import FEATURES, Record
from monitor.wire.messages import Served
from monitor.wire.table import Table

ROWS, BATCH, ROUNDS = 20_480, 512, 5
START_NS = 1_767_607_200_000_000_000
RATES = (10_000, 100)

Number = float | None


class Event(msgspec.Struct, gc=False):
    """The fields of the messages and no others: the floor of decoding."""

    event_id: str
    ts_ns: int
    symbol: str
    features: tuple[(Number,) * 32]  # type: ignore[valid-type]
    schema_crc32: int
    price: float
    bid: float
    ask: float
    served: Served


def records(rate: int) -> list[Record]:
    """Feature events of the demo's market, respaced to `rate` a second of event time."""
    messages = (m for m in story(7, START_NS) if m.stream == FEATURES)
    found = []
    for i, message in enumerate(islice(messages, ROWS)):
        event = orjson.loads(message.value)
        event["ts_ns"] = START_NS + i * 1_000_000_000 // rate
        event["event_id"] = f"{message.key.decode()}-{i}"
        found.append(Record(i, event["ts_ns"], None, orjson.dumps(event)))
    return found


def batches(rows: Sequence[Record]) -> list[Sequence[Record]]:
    return [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]


def cpu(work: Callable[[], Any]) -> float:
    """Microseconds of process CPU an event, median of several rounds."""
    times = []
    for _ in range(ROUNDS):
        begin = time.process_time_ns()
        work()
        times.append(time.process_time_ns() - begin)
    return median(times) / ROWS / 1e3


def steps(group: Group, tables: Sequence[Table]) -> list[Step]:
    """Judge, order and de-duplicate; orders have ended."""
    sequencer = Sequencer(Timing(buffer_limit=2**62), group.streams, late_applies=frozenset())
    sequencer.time.end("orders")
    out: list[Step] = []
    for table in tables:
        sequencer.read(FEATURES, table, int(table["offset"][-1]) + 1, 0)
        out += sequencer.release()
    return out


def measure(group: Group, rate: int) -> None:
    deployed = group.deployments["demo"]
    rows = batches(records(rate))
    typed = msgspec.json.Decoder(Event).decode

    def floor() -> None:
        for batch in rows:
            for record in batch:
                typed(record.value or b"")

    def decode() -> list[Table]:
        decoder = group.decoders(None, None)[FEATURES]
        return [decoder.decode(batch) for batch in rows]

    tables = decode()
    ordered = steps(group, tables)
    scorer = ReplayScorer(deployed.models, group.space.names)
    parts = [step.tables[FEATURES] for step in ordered if FEATURES in step.tables]

    answers: list[Any] = []

    def score() -> None:
        answers.clear()
        asyncio.run(scored(scorer, parts, answers))

    score()

    def fold() -> list[Partial]:
        fold1 = deployed.task_fold(0, 0)
        said: list[Partial] = []
        scores = iter(answers)
        for step in ordered:
            given = next(scores) if FEATURES in step.tables else {}
            said += fold1.fold(step.tables, given, step.watermark, idle=False)
        return said

    partials = fold()

    def decide() -> DeploymentFold:
        fold2 = deployed.deployment_fold()
        waiting = list(partials)
        at = partials[0].first
        assert at is not None
        while at <= partials[-1].at:
            now = [p for p in waiting[:50] if p.at <= at]
            del waiting[: len(now)]
            fold2.evaluate(at, {0: now})
            at = fold2.following
        return fold2

    def whole() -> None:
        pipeline = Pipeline(group, Inputs(0, 0, None, (0,)), {"demo": scorer}, bounded=False)
        pipeline.sequencer.time.end("orders")
        asyncio.run(run(pipeline, rows))

    base = cpu(floor)
    print(f"\n{rate} events a second of event time, {BATCH} rows a batch, 32 features")
    print(f"{'stage':<28}{'us an event':>12}{'x typed decode':>16}")
    for name, work in (
        ("typed decode (the floor)", floor),
        ("decode to columns", decode),
        ("judge, order, de-duplicate", lambda: steps(group, tables)),
        ("score two models", score),
        ("fold 1: panes and books", fold),
        ("fold 2: merge and decide", decide),
        ("decode to fold 1, together", whole),
    ):
        cost = cpu(work)
        print(f"{name:<28}{cost:>12.2f}{cost / base:>16.2f}")


async def scored(scorer: ReplayScorer, parts: Sequence[Table], answers: list[Any]) -> None:
    for part in parts:
        answers.append(await scorer.score(part["values"], part))


async def run(pipeline: Pipeline, rows: Sequence[Sequence[Record]]) -> None:
    for batch in rows:
        await pipeline.read(FEATURES, batch, batch[-1].offset + 1, 0)
        await pipeline.release()
        pipeline.take()


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "config.yaml"
        (path.parent / "reference.json").write_bytes(story_reference().to_bytes())
        path.write_text(story_config(START_NS, models=MODELS), encoding="utf-8")
        group = Group(load(path), path)
    for rate in RATES:
        if "--profile" in sys.argv:
            profile = cProfile.Profile()
            profile.runcall(measure, group, rate)
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        else:
            measure(group, rate)


if __name__ == "__main__":
    main()
