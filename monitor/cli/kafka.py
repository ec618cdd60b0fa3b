"""The Kafka that a configuration names, for the commands that read it from outside the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing
from pathlib import Path
from typing import Final

from monitor.errors import ConfigError, Problem
from monitor.settings.configuration import Settings
from monitor.transport.contract import ALERTS
from monitor.transport.kafka import KafkaLog

POLL_S: Final = 0.2


def require_kafka(settings: Settings, config: Path) -> None:
    """Refuse a configuration whose streams are not live.

    Raises:
        ConfigError: it is for another transport.
    """
    kind = settings.transport.kind
    if kind != "kafka":
        remedy = "Write kafka; for files use `replay`, to watch a story `demo`."
        raise ConfigError([Problem(str(config), "transport.kind", f"{kind} has no live streams.", remedy)])


def kafka_log(settings: Settings, config: Path, topics: Collection[str]) -> KafkaLog:
    """These topics (logical names) of a run, read from outside the group.

    Raises:
        ConfigError: it is for another transport, or a secret cannot be read.
    """
    require_kafka(settings, config)
    client = settings.transport.client_options(settings.directory)
    return KafkaLog(client, settings.topics.by_stream(), topics)


async def read_alerts(settings: Settings, config: Path, follow: bool) -> AsyncIterator[bytes]:
    """All events of a daemon's alert topic; with `follow` for ever, as they are committed.

    Raises:
        ConfigError, TransportError.
    """
    read: dict[int, int] = {}
    async with kafka_log(settings, config, [ALERTS]) as log:
        while True:
            for partition in range(log.partitions(ALERTS)):
                async with aclosing(log.scan(ALERTS, partition, read.get(partition))) as batches:
                    async for records in batches:
                        for record in records:
                            read[partition] = record.offset + 1
                            yield record.value or b""
            if not follow:
                return
            await asyncio.sleep(POLL_S)
