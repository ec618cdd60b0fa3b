"""`run`: the daemon."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from monitor.cli.configuration import BAD_CONFIGURATION, load_configuration, show_problems
from monitor.cli.kafka import require_kafka
from monitor.daemon.app import App
from monitor.daemon.deployed import Deployed
from monitor.daemon.group import Group
from monitor.daemon.partition_task import Log
from monitor.daemon.warnings import log_warnings
from monitor.errors import ConfigError, MonitorError
from monitor.models.scoring import OnnxScorer, Scorer
from monitor.observe.http import serve
from monitor.observe.logs import configure
from monitor.observe.metrics import Exporter
from monitor.observe.readiness import Readiness
from monitor.settings.configuration import Settings
from monitor.transport.contract import Transport
from monitor.transport.kafka.transport import KafkaTransport


def run(
    config: Annotated[Path, typer.Option(help="The configuration.")],
    instance: Annotated[
        str | None,
        typer.Option(help="Name of this replica in the group, kept over restarts. Default: the host's name."),
    ] = None,
) -> None:
    """Consume, score, compare and decide until stopped (SIGTERM, SIGINT)."""
    try:
        group = Group(load_configuration(config), config)
        log = configure(group.settings.log.format, group.settings.log.level)
        log_warnings(group, time.time_ns(), log)
        transport = kafka(group.settings, config, instance or socket.gethostname())
        app = app_of(group, transport, log, bound=lambda url: log.info("http", url=url))
        code = asyncio.run(app.run())
    except ConfigError as error:
        show_problems(Console(stderr=True), error.problems)
        raise typer.Exit(BAD_CONFIGURATION) from None
    except MonitorError as error:
        # Not wrapped: it may hold commands to copy.
        Console(stderr=True, soft_wrap=True).print(
            f"run: {error}", markup=False, highlight=False, style="red"
        )
        raise typer.Exit(1) from None
    raise typer.Exit(code)


def kafka(settings: Settings, config: Path, instance: str | None) -> KafkaTransport:
    """The Kafka transport that a configuration asks for.

    Raises:
        ConfigError: the configuration is for another transport, or a secret cannot be read.
    """
    require_kafka(settings, config)
    wanted = settings.transport
    inputs = [stream for stream in ("features", "orders", "outcomes") if getattr(settings.topics, stream)]
    return KafkaTransport(
        wanted.client_options(settings.directory),
        wanted.group,
        settings.topics.by_stream(),
        inputs=inputs,
        partitioner=wanted.partitioner,
        start=wanted.start,
        create_topics=wanted.create_topics,
        replication=wanted.replication_factor,
        instance=instance,
    )


def app_of(
    group: Group,
    transport: Transport,
    log: Log,
    *,
    bound: Callable[[str], object],
    services: tuple[Callable[[], Awaitable[None]], ...] = (),
) -> App:
    """The daemon over a transport, with its HTTP beside it; `bound` hears the address."""
    readiness = Readiness(transport.now_ns)
    exporter = Exporter(group, readiness, transport.now_ns)
    http = group.settings.http

    async def listen() -> None:
        await serve(http.host, http.port, exporter, readiness, bound=bound)

    def scorer(deployed: Deployed) -> Scorer:
        return OnnxScorer(
            deployed.models,
            group.space.names,
            deployed.settings.models.shadow_deadline_ns,
            time.perf_counter_ns,
        )

    return App(
        group,
        transport,
        lambda: group.scorers(scorer),
        log,
        exporter,
        measured=True,
        services=(listen, *services),
    )
