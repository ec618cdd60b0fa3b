"""A daemon as its own process on a real Kafka, and what can be seen of it from outside."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from short_story import PARTITIONS, closing

from monitor.cli.configuration import load_configuration
from monitor.daemon.deployed import Deployed
from monitor.daemon.group import Group
from monitor.daemon.recording import read_journal, sources
from monitor.daemon.replay import Replay, Replayed
from monitor.demo.message import Message
from monitor.models.scoring import Scorer
from monitor.transport.contract import FEATURES, ORDERS
from monitor.transport.kafka import make_topics
from monitor.transport.kafka.options import ClientOptions
from monitor.wire.keys import murmur2

SHADOW_MONITOR = [sys.executable, "-c", "from monitor.cli import main; main()"]
SCRIPTED = [sys.executable, str(Path(__file__).with_name("scripted_daemon.py"))]
SLICE_NS = 50_000_000
INSTANCE = "replica-1"
LATENESS_NS, TICK_NS = 200_000_000, 100_000_000
"""Of the story's configuration: how far behind the newest row the last evaluated instant may be."""


def command(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command of the program to its end; it must exit with `code`."""
    done = subprocess.run(
        [*SHADOW_MONITOR, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


async def start_command(*arguments: object) -> asyncio.subprocess.Process:
    """Start a command of the program that goes on until it is interrupted."""
    return await asyncio.create_subprocess_exec(
        *SHADOW_MONITOR, *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )


async def interrupt(process: asyncio.subprocess.Process) -> int:
    """Ctrl-C; the exit code."""
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        return await process.wait()


class Daemon:
    """A running daemon; its log lines and its HTTP address."""

    def __init__(self, program: list[str], *arguments: object) -> None:
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            [*program, *map(str, arguments)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        self.lines: list[str] = []
        assert self._process.stderr is not None
        self._reading = asyncio.create_task(asyncio.to_thread(self._read, self._process.stderr))

    def _read(self, stream: Iterable[bytes]) -> None:
        for line in stream:
            self.lines.append(line.decode())

    def said(self, event: str) -> list[dict[str, object]]:
        """Log lines of one kind."""
        found = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [line for line in found if line.get("event") == event]

    async def until(self, what: Callable[[], object], within_s: float = 30.0) -> None:
        """Wait until something is seen of it."""
        try:
            async with asyncio.timeout(within_s):
                while not what():
                    assert self._process.poll() is None, "it ended:\n" + "".join(self.lines)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError("not seen in time:\n" + "".join(self.lines[-50:])) from None

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page."""
        await self.until(lambda: self.said("http"))
        return await asyncio.to_thread(_get, f"{self.said('http')[0]['url']}{path}")

    async def sample(self, series: str) -> float | None:
        """The sum of the samples of a series (all label values) on `/metrics`."""
        _, page = await self.get("/metrics")
        values = [
            float(line.rsplit(" ", 1)[1])
            for line in page.splitlines()
            if line.startswith(series) and line[len(series)] in "{, "
        ]
        return sum(values) if values else None

    async def evaluated(self, until_ns: int, within_s: float = 60.0) -> None:
        """Wait until every instant up to `until_ns` is evaluated, and shown."""
        async with asyncio.timeout(within_s):
            while True:
                assert self._process.poll() is None, "it ended:\n" + "".join(self.lines)
                lag = await self.sample("shadow_monitor_evaluation_lag_seconds")
                if lag is not None and time.time_ns() - lag * 1e9 >= until_ns:
                    return
                await asyncio.sleep(0.1)

    async def committed(self, within_s: float = 30.0) -> None:
        """Wait until it has committed."""
        async with asyncio.timeout(within_s):
            while not await self.sample("shadow_monitor_commits_total"):
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        await self._reading

    async def terminate(self) -> tuple[int, float]:
        """SIGTERM; exit code, and how long it took (s)."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self._process.wait, 30)
        took = time.monotonic() - began
        await self._reading
        return code, took


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Desk:
    """Publishes messages to input topics of its own, so that no order comes later than what follows it."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._bootstrap, self._name = bootstrap, name
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
        self.counts = {FEATURES: 0, ORDERS: 0}

    async def __aenter__(self) -> Desk:
        options = ClientOptions({"bootstrap_servers": self._bootstrap})
        await make_topics(options, {f"{self._name}-{stream}": PARTITIONS for stream in (FEATURES, ORDERS)})
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def publish(self, messages: Iterable[Message], speed: float = float("inf")) -> None:
        """At a multiple of story time. Slice by slice, orders before features: as long as features are only
        seen where earlier orders are, nothing ever comes behind the watermark."""

        began, slice_ = time.monotonic(), list[Message]()
        first: int | None = None
        for message in messages:
            first = message.ts_ns if first is None else first
            if slice_ and message.ts_ns // SLICE_NS != slice_[0].ts_ns // SLICE_NS:
                await self._send(slice_)
                slice_ = []
                ahead = (message.ts_ns - first) / 1e9 / speed - (time.monotonic() - began)
                await asyncio.sleep(max(0.0, ahead))
            slice_.append(message)
        await self._send(slice_)

    async def _send(self, messages: list[Message]) -> None:
        for stream in (ORDERS, FEATURES):
            sent = [
                await self._producer.send(
                    f"{self._name}-{stream}",
                    message.value,
                    key=message.key,
                    partition=murmur2(message.key) % PARTITIONS,
                    timestamp_ms=message.ts_ns // 1_000_000,
                )
                for message in messages
                if message.stream == stream
            ]
            await asyncio.gather(*sent)
            self.counts[stream] += len(sent)


async def committed(bootstrap: str, topic: str, partition: int = 0) -> list[bytes]:
    """All values that a reader of committed data sees in a partition, as a stranger's client reads them."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False
    )
    await consumer.start()
    try:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        values: list[bytes] = []
        end: int | None = None
        while end is None or await consumer.position(place) < end:
            for record in (await consumer.getmany(place, timeout_ms=50)).get(place, ()):
                values.append(record.value)
            end = end if end is not None else consumer.highwater(place)
        return values
    finally:
        await consumer.stop()


async def decisions(bootstrap: str, name: str) -> list[bytes]:
    """The decisions of a run, in the order of the alert topic; heartbeats left out."""
    values = await committed(bootstrap, f"{name}-alerts")
    return [value for value in values if b'"io.shadowmonitor.heartbeat.v1"' not in value]


async def finish(desk: Desk, daemon: Daemon, end_ns: int) -> tuple[dict[str, int], dict[str, int]]:
    """Let time pass beyond the story, until everything is evaluated and shown.

    Returns:
        Rows by stream: how many time has passed, and how many are counted.
    """
    await desk.publish(closing(end_ns + 5_000_000_000))
    published = dict(desk.counts)
    # What is exported is taken at an evaluation, and at most once a second: so at the second of these, which
    # lets no further row pass.
    for later_ns in (8_000_000_000, 8_200_000_000):
        await desk.publish(closing(end_ns + later_ns))
        await daemon.evaluated(end_ns + later_ns - LATENESS_NS - TICK_NS)
        await asyncio.sleep(1.1)
    counted = {}
    for stream in published:
        series = f'shadow_monitor_rows_total{{deployment="demo",fate="accepted",stream="{stream}"'
        counted[stream] = int(await daemon.sample(series) or 0)
    return published, counted


async def record_and_replay(config: Path, directory: Path, scorer: Callable[[Deployed], Scorer]) -> Replayed:
    """`record` a run into `directory`/recorded, and run it again with the scorer that it had."""
    recording = directory / "recorded"
    await asyncio.to_thread(command, "record", "--config", config, "--out", recording)
    journal = read_journal(recording / "journal.jsonl")
    files = {stream: recording / f"{stream}.jsonl.gz" for stream in (FEATURES, ORDERS)}
    again = Replay(
        Group(load_configuration(config), config),
        sources(files, 4096, next(iter(journal.metas.values())).partitions),
        scorer,
        lambda partition, output: None,
        plain=False,
        journal=journal,
    )
    return await again.run()
