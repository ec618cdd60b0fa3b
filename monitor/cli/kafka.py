"""The Kafka that a configuration names, for the commands that read it from outside the daemon."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from monitor.errors import ConfigError, Problem
from monitor.settings.configuration import Settings
from monitor.transport.kafka import KafkaLog


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
