"""`demo`: a market, a production desk and three faults, watched by the daemon itself; told in words."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.panel import Panel

from monitor.cli.configuration import BAD_CONFIGURATION, show_problems
from monitor.cli.events import describe
from monitor.cli.kafka import read_alerts
from monitor.cli.run import app_of, kafka
from monitor.daemon.group import Group
from monitor.demo.player import Playback, Publish, into_memory, into_transport, play
from monitor.demo.story import (
    ACTS,
    DEFAULT_SEED,
    DEFAULT_SPEED,
    EXPECTED,
    MEANING,
    MODELS,
    RESOLVED,
    SECONDS,
    Decision,
    decision_of,
    judge,
    live_start_ns,
    story,
    story_config,
    story_reference,
    write_story,
)
from monitor.errors import ConfigError, MonitorError
from monitor.observe.logs import configure
from monitor.policy.events import EventType
from monitor.settings.loading import load
from monitor.transport.contract import ALERTS, FEATURES, ORDERS, Transport
from monitor.transport.kafka.options import ClientOptions
from monitor.transport.kafka.topics import check_topics, make_topics
from monitor.transport.memory import MemoryLog, MemoryTransport

PARTITIONS = 2
SETTLE_S = 30.0
"""How long a broker may take to show the last decision after the last message."""

_HEARTBEAT = f'"{EventType.HEARTBEAT.value}"'.encode()


def demo(
    speed: Annotated[float, typer.Option(min=0.1, help="Times real time.")] = DEFAULT_SPEED,
    seed: Annotated[int, typer.Option(min=0, help="Of market and desk.")] = DEFAULT_SEED,
    until_done: Annotated[
        bool,
        typer.Option("--until-done", help="Exit 0 only if exactly the expected decisions appeared."),
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(help="Write the story's streams, configuration and models here, and play nothing."),
    ] = None,
    bootstrap_servers: Annotated[str | None, typer.Option(help="Play on this Kafka.")] = None,
) -> None:
    """Play the story in four acts: all is well; the shadow fails; the active fails; the account bleeds."""
    console = Console(emoji=False, soft_wrap=True)
    if write is not None:
        _write(write, seed, console)
        console.print(f"The story is in {write}. Next:", markup=False)
        console.print(
            f"  shadow-monitor replay --config {write}/config.yaml --features {write}/features.jsonl "
            f"--orders {write}/orders.jsonl --out {write}/out",
            markup=False,
            soft_wrap=True,
        )
        return
    try:
        with tempfile.TemporaryDirectory(prefix="shadow-monitor-") as scratch:
            seen = asyncio.run(_play(Path(scratch), speed, seed, bootstrap_servers, console))
    except ConfigError as error:
        show_problems(console, error.problems)
        raise typer.Exit(BAD_CONFIGURATION) from None
    except (MonitorError, OSError) as error:
        console.print(f"demo: {error}", markup=False, style="red")
        raise typer.Exit(1) from None
    problems = judge(seen)
    if problems:
        for problem in problems:
            console.print(problem, markup=False, style="red")
    else:
        console.print(f"\nAll {len(EXPECTED)} expected decisions, and no other:", style="bold")
        for decision in seen:
            if decision.phase != RESOLVED:
                console.print(f"  {decision}", markup=False)
    if until_done and problems:
        raise typer.Exit(1)


def _write(directory: Path, seed: int, console: Console) -> None:
    try:
        if directory.is_dir() and any(directory.iterdir()):
            raise FileExistsError(f"{directory} is not empty; name a new directory")
        directory.mkdir(parents=True, exist_ok=True)
        write_story(directory, seed)
    except OSError as error:
        console.print(f"demo: {error}", markup=False, style="red")
        raise typer.Exit(BAD_CONFIGURATION) from None


async def _play(
    scratch: Path, speed: float, seed: int, servers: str | None, console: Console
) -> list[Decision]:
    start = live_start_ns(time.time_ns())
    (scratch / "reference.json").write_bytes(story_reference().to_bytes())
    config = scratch / "config.yaml"
    kind = "memory" if servers is None else "kafka"
    config.write_text(
        story_config(start, kind=kind, models=MODELS, bootstrap_servers=servers), encoding="utf-8"
    )
    group = Group(load(config), config)
    playback = Playback(start, speed, time.monotonic_ns)
    log = configure("console", "warning")
    told: list[Decision] = []
    if servers is None:
        memory = MemoryLog(PARTITIONS, playback.now_ns)
        transport: Transport = MemoryTransport(
            memory, group.settings.transport.group, start="earliest", sleep=asyncio.sleep
        )
        publish: Publish = into_memory(memory)
        published = _published(memory)
    else:
        topics = group.settings.topics
        options = ClientOptions(group.settings.transport.client_options(scratch))
        await make_topics(options, dict.fromkeys((topics.features, topics.orders), PARTITIONS))
        await check_topics(options, topics.by_stream(), (FEATURES, ORDERS), create=True)
        transport = kafka(group.settings, config, None)
        publish = into_transport(transport)
        published = read_alerts(group.settings, config, follow=True)

    async def tell() -> None:
        async for value in published:
            if _HEARTBEAT in value:
                continue
            event = orjson.loads(value)
            told.append(decision_of(event))
            _tell(console, event)

    async def perform() -> None:
        await app.started.wait()
        acts = asyncio.create_task(_announce(console, playback, start))
        try:
            await play(story(seed, start), publish, playback)
            await _until(lambda: sum(d.phase != RESOLVED for d in told) >= len(EXPECTED), playback)
        finally:
            acts.cancel()
        app.stop()

    app = app_of(
        group,
        transport,
        log,
        bound=lambda url: console.print(f"Metrics and health while this plays: {url}", style="cyan"),
        services=(tell, perform),
    )
    console.print(
        f"A story of {SECONDS} s at {speed:g} times real time, about {SECONDS / speed:.0f} s. "
        "Ctrl-C ends it.",
        style="dim",
    )
    await app.run()
    return told


async def _published(log: MemoryLog) -> AsyncIterator[bytes]:
    offset = 0
    while True:
        records, offset = log.read(ALERTS, 0, offset, 100)
        for record in records:
            if record.value is not None:
                yield record.value
        await asyncio.sleep(0.05)


async def _announce(console: Console, playback: Playback, start: int) -> None:
    for number, act in enumerate(ACTS, 1):
        while playback.now_ns() < start + int(act.start_s * 1e9):
            await asyncio.sleep(0.05)
        console.print()
        console.print(Panel(act.words, title=f"Act {number}: {act.title}", title_align="left"))


async def _until(done: Callable[[], bool], playback: Playback) -> None:
    """Let the story's clock run on until the last decision is there, for a while."""
    ends = time.monotonic() + SETTLE_S
    while not done() and time.monotonic() < ends:
        playback.arrive(playback.due_ns())
        await asyncio.sleep(0.02)


def _tell(console: Console, event: dict[str, Any]) -> None:
    console.print(describe(event))
    meaning = MEANING.get(event["data"]["rule"] or "")
    if meaning and event["data"]["phase"] == "firing":
        console.print(f"    {meaning}", style="italic", markup=False)
