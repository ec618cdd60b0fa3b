"""A deployment with three shadows and 32 features, run by a real partition task over a memory log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import yaml

import monitor.demo
from monitor.daemon.group import Group
from monitor.daemon.owner import Owner
from monitor.daemon.partition_task import Board, PartitionTask
from monitor.models.scoring import OnnxScorer
from monitor.observe.metrics import Exporter
from monitor.observe.readiness import Readiness
from monitor.settings.loading import load
from monitor.stats.reference import build_reference
from monitor.transport.contract import FEATURES
from monitor.transport.memory import MemoryLog, MemoryTransport

MODELS = Path(monitor.demo.__file__).parent / "models"
COLUMNS = [name for name, _ in orjson.loads((MODELS / "features.schema.json").read_bytes())]
START_NS = 1_800_000_000_000_000_000
SECONDS = 70
"""Long enough for every schedule of the catalogue."""

RULES: list[dict[str, Any]] = [
    {
        "id": "agrees",
        "subject": "shadow",
        "metric": "rank_correlation",
        "labels": {"role": "shadow"},
        "window": "5m",
        "below": 0.5,
        "action": "demote",
    },
    {
        "id": "drift",
        "subject": "deployment",
        "metric": "psi",
        "window": "5m",
        "above": 0.25,
        "action": "alert",
    },
    {
        "id": "slow",
        "subject": "active",
        "metric": "serve_latency",
        "labels": {"quantile": "0.99"},
        "window": "5m",
        "above": 0.001,
        "action": "alert",
    },
    {
        "id": "loss",
        "subject": "deployment",
        "metric": "pnl_after_costs",
        "labels": {"role": "active", "fills": "real"},
        "window": "session",
        "below": -5000,
        "schedule": "tick",
        "action": "kill",
    },
]


def group(directory: Path) -> Group:
    """Four roles, each with a reference of its predictions, 32 features, tenant `crypto`."""
    random = np.random.default_rng(5)
    manifests = {v: orjson.loads((MODELS / v / "manifest.json").read_bytes()) for v in ("v6", "v7", "v8")}
    shas = [f["sha256"] for m in manifests.values() for f in m["files"] if f["path"].endswith(".onnx")]
    columns = {name: random.normal(size=4000) for name in COLUMNS}
    reference = build_reference(columns, {sha: random.normal(size=4000) for sha in shas})
    (directory / "reference.json").write_bytes(reference.to_bytes())
    document = {
        "version": 1,
        "transport": {"kind": "memory", "start": "earliest"},
        "instruments": "open",
        "deployments": {
            "btc": {
                "tenant": "crypto",
                "capital": {"amount": "1000000", "currency": "USD"},
                "models": {
                    "active": str(MODELS / "v7"),
                    "previous": str(MODELS / "v6"),
                    "shadows": {
                        "shadow": str(MODELS / "v8"),
                        "second": str(MODELS / "v6"),
                        "third": str(MODELS / "v8"),
                    },
                    "shadow_deadline": "5s",
                },
                "reference": str(directory / "reference.json"),
                "books": {"start_flat": True},
                "windows": ["5m", "1h"],
                "policy": {"name": "demo", "rules": RULES},
            }
        },
    }
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    return Group(load(path), path)


def messages(events: int, symbols: int) -> Iterator[tuple[str, int, bytes]]:
    """Feature events of many symbols over `SECONDS`: symbol, ts_ns, JSON."""
    random = np.random.default_rng(3)
    values = random.normal(size=(events, len(COLUMNS))).round(4)
    for i in range(events):
        ts, symbol = START_NS + i * SECONDS * 1_000_000_000 // events, f"SYM{i % symbols}"
        event = {
            "event_id": f"event-{i}",
            "ts_ns": ts,
            "symbol": symbol,
            "features": dict(zip(COLUMNS, values[i].tolist(), strict=True)),
            "bid": 99.99,
            "ask": 100.01,
            "served": {"model_version": "v7", "status": "ok", "latency_ms": 2.0 + i % 7},
        }
        yield symbol, ts, orjson.dumps(event)


class Clock:
    """Stands where the stream ends, and goes on from there."""

    def __init__(self) -> None:
        self._began = time.monotonic_ns()

    def __call__(self) -> int:
        return START_NS + SECONDS * 1_000_000_000 + time.monotonic_ns() - self._began


class WatchedDesk:
    """One partition, its task, and the exporter that is told of it.

    `owner` is the deployment's, known once it has evaluated.
    """

    def __init__(self, made: Group, clock: Callable[[], int]) -> None:
        self._group = made
        self._log = MemoryLog(1, clock)
        self.readiness = Readiness(clock)
        self.exporter = Exporter(made, self.readiness, clock)
        self.owner: Owner | None = None

    def stream(self, events: int, symbols: int, junk: int = 0) -> None:
        """Publish feature events, and messages that are none after the first of them."""
        for number, (symbol, ts, body) in enumerate(messages(events, symbols)):
            self._log.publish_input(FEATURES, symbol.encode(), body, ts)
            if number < junk:
                self._log.publish_input(FEATURES, symbol.encode(), b"{", ts)

    async def run(self, until: Callable[[], bool]) -> None:
        """Run the task until a condition holds and all is shown; then it commits and ends."""
        transport = MemoryTransport(self._log, "desk", start="earliest", sleep=asyncio.sleep)
        await transport.start()
        task = PartitionTask(
            self._group,
            transport,
            transport.lease(0),
            Board(),
            self._scorers,
            _Quiet(),
            self,
            measured=True,
            aside=asyncio.to_thread,
        )
        running = asyncio.create_task(task.run())
        async with asyncio.timeout(30):
            while not (until() and self._all_made()) and not running.done():
                await asyncio.sleep(0.01)
        task.stop()
        await running
        await task.close()

    def _all_made(self) -> bool:
        """Whether the values that the owner makes when there is time have all been made."""
        return self.owner is not None and len(list(self.owner.fold.made())) == len(self.owner.fold.heavy)

    @property
    def evaluated_ns(self) -> int:
        return (self.owner.fold.at or 0) if self.owner is not None else 0

    def _scorers(self) -> dict[str, OnnxScorer]:
        return self._group.scorers(
            lambda d: OnnxScorer(d.models, self._group.space.names, 5_000_000_000, time.perf_counter_ns)
        )

    def evaluated(self, owner: Owner) -> None:
        self.owner = owner
        self.exporter.evaluated(owner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.exporter, name)


class _Quiet:
    def info(self, event: str, **fields: object) -> None: ...
    def warning(self, event: str, **fields: object) -> None: ...
