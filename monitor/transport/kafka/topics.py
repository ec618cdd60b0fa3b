"""The topics: what they must look like, made or checked before anything else. Knows no records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from monitor.errors import TransportError
from monitor.transport.contract import (
    ALERTS,
    COMMANDS,
    DEAD_LETTERS,
    JOURNAL,
    PARTIALS,
    PREDICTIONS,
    STATE,
    STATUS,
)
from monitor.transport.kafka.options import ClientOptions

_DAY_MS = 24 * 60 * 60 * 1000
_COMPACT = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 << 20),
    "min.cleanable.dirty.ratio": "0.1",
}
_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1"}
_A_WEEK = {"cleanup.policy": "delete", "retention.ms": str(7 * _DAY_MS)}

CONFIGS: dict[str, dict[str, str]] = {
    STATE: _COMPACT,
    STATUS: _COMPACT,
    ALERTS: _FOR_EVER,
    # With the input logs, what a replay of a run needs.
    JOURNAL: {"cleanup.policy": "delete", "retention.ms": str(30 * _DAY_MS)},
    # Longer than the longest outage of an owner.
    PARTIALS: _A_WEEK,
    PREDICTIONS: _A_WEEK,
    DEAD_LETTERS: _A_WEEK,
    COMMANDS: _FOR_EVER,
}
"""Of the topics that the daemon makes."""

PER_TASK = frozenset({PARTIALS, JOURNAL, STATE, PREDICTIONS, DEAD_LETTERS})
"""Topics with one partition a partition task; the others are keyed by deployment."""

MESSAGE_BYTES = 1 << 20
_BATCH_OVERHEAD = 12
VISIBLE_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as it is."""

    partitions: int
    replicas: int


async def make_topics(options: ClientOptions, wanted: Mapping[str, int], replication: int = 1) -> None:
    """Create plain topics (name -> partitions); those that exist are left alone.

    Raises:
        TransportError: the broker cannot be reached.
    """
    new = [NewTopic(name, count, replication) for name, count in wanted.items()]
    try:
        async with _admin(options) as admin:
            await _create(options, admin, new)
    except (KafkaError, TimeoutError, OSError) as error:
        raise TransportError(f"cannot reach Kafka at {options.bootstrap}: {error!r}") from error


async def check_topics(
    options: ClientOptions,
    topics: Mapping[str, str],
    inputs: Sequence[str],
    *,
    create: bool,
    replication: int | None = None,
) -> dict[str, int]:
    """Partition counts by logical name, once all of `topics` (logical -> real) are as they must be.

    What is missing is made when `create`, with `replication` replicas (None: as many as the inputs have).

    Raises:
        TransportError: an input is missing, the inputs are not co-partitioned, a topic is missing and not
            to be made, or one has another partition count or cleanup policy than it must.
    """
    try:
        async with _admin(options) as admin:
            found = await _describe(admin, topics.values())
            partitions = _co_partitioned(found, {stream: topics[stream] for stream in inputs})
            replicas = replication or found[topics[inputs[0]]].replicas
            missing = [
                _new_topic(logical, real, partitions, replicas)
                for logical, real in topics.items()
                if real not in found
            ]
            if missing and not create:
                raise TransportError(
                    "topics are missing and create_topics is false; create them with\n"
                    + "\n".join(_command(options, topic) for topic in missing)
                )
            await _create(options, admin, missing)
            counts = {real: t.partitions for real, t in found.items()}
            counts |= {topic.name: topic.num_partitions for topic in missing}
            await _check(admin, topics, counts, partitions)
            return {logical: counts[real] for logical, real in topics.items()}
    except (KafkaError, TimeoutError, OSError) as error:
        raise TransportError(f"cannot reach Kafka at {options.bootstrap}: {error!r}") from error


async def count_partitions(options: ClientOptions, topics: Mapping[str, str]) -> dict[str, int]:
    """Partition counts by logical name of `topics` (logical -> real), for who only reads.

    Raises:
        TransportError: the broker cannot be reached, or topics are missing.
    """
    try:
        async with _admin(options) as admin:
            found = await _describe(admin, topics.values())
    except (KafkaError, TimeoutError, OSError) as error:
        raise TransportError(f"cannot reach Kafka at {options.bootstrap}: {error!r}") from error
    missing = sorted(real for real in topics.values() if real not in found)
    if missing:
        raise TransportError(
            f"there is no topic {', '.join(missing)} at {options.bootstrap}; is this the configuration "
            "(topics.prefix) that the daemon ran with?"
        )
    return {logical: found[real].partitions for logical, real in topics.items()}


@asynccontextmanager
async def _admin(options: ClientOptions) -> AsyncIterator[AIOKafkaAdminClient]:
    client = options.admin()
    try:
        await client.start()
        yield client
    finally:
        await client.close()


async def _describe(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, Found]:
    found = {}
    for topic in await admin.describe_topics(sorted(names)):
        numbers = topic["partitions"]
        if topic["error_code"] == 0 and all(number["leader"] >= 0 for number in numbers):
            found[topic["topic"]] = Found(len(numbers), len(numbers[0]["replicas"]))
    return found


def _co_partitioned(found: Mapping[str, Found], inputs: Mapping[str, str]) -> int:
    """The common partition count of the input topics."""
    for stream, real in inputs.items():
        if real not in found:
            raise TransportError(
                f"the input topic {real!r} (topics.{stream}) does not exist; create it for producers, e.g. "
                f"kafka-topics --create --topic {real} --partitions 4 (the same count for all inputs)"
            )
    counts = {real: found[real].partitions for real in inputs.values()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{real} has {count}" for real, count in counts.items())
        raise TransportError(
            f"the input topics are not co-partitioned: {said} partitions; a symbol's messages must meet in "
            "one partition number, so create them with equal counts (and key them with the same partitioner)"
        )
    return next(iter(counts.values()))


def _new_topic(logical: str, real: str, partitions: int, replicas: int) -> NewTopic:
    config = dict(CONFIGS[logical])
    config["max.message.bytes"] = str(MESSAGE_BYTES + _BATCH_OVERHEAD)
    if replicas >= 3:
        config["min.insync.replicas"] = "2"
    return NewTopic(real, partitions if logical in PER_TASK else 1, replicas, topic_configs=config)


def _command(options: ClientOptions, topic: NewTopic) -> str:
    configs = " ".join(f"--config {name}={value}" for name, value in topic.topic_configs.items())
    return (
        f"kafka-topics --bootstrap-server {options.bootstrap} --create --topic {topic.name} "
        f"--partitions {topic.num_partitions} --replication-factor {topic.replication_factor} {configs}"
    )


async def _create(options: ClientOptions, admin: AIOKafkaAdminClient, topics: Sequence[NewTopic]) -> None:
    if not topics:
        return
    response = await admin.create_topics(list(topics))
    for name, code, *said in response.topic_errors:
        error = for_code(code)
        # Another replica that starts at the same time may have been faster.
        if code and error is not TopicAlreadyExistsError:
            command = _command(options, next(t for t in topics if t.name == name))
            raise TransportError(
                f"cannot create topic {name}: {error.__name__} {said[0] if said else ''}; try\n{command}"
            )
    # Brokers learn of a new topic a moment after the controller has made it.
    names = {topic.name for topic in topics}
    async with asyncio.timeout(VISIBLE_TIMEOUT_S):
        while names - (await _describe(admin, names)).keys():
            await asyncio.sleep(0.02)


async def _check(
    admin: AIOKafkaAdminClient, topics: Mapping[str, str], counts: Mapping[str, int], partitions: int
) -> None:
    for logical, real in topics.items():
        if logical in PER_TASK and counts[real] != partitions:
            raise TransportError(
                f"topic {real} ({logical}) has {counts[real]} partitions, the inputs have {partitions}; a "
                "changed partition count is refused: use a new topics.prefix and group"
            )
    compacted = [topics[logical] for logical in (STATE, STATUS) if logical in topics]
    if not compacted:
        return
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, real, configs={"cleanup.policy": ""}) for real in compacted
    ]
    for response in await admin.describe_configs(resources):
        for code, _, _, real, entries in response.resources:
            policy = _value(entries, "cleanup.policy") if code == 0 else None
            if policy != "compact":
                raise TransportError(
                    f"topic {real} must be compacted but has cleanup.policy={policy}; run kafka-configs "
                    f"--alter --topic {real} --add-config cleanup.policy=compact"
                )


def _value(entries: Iterable[tuple[Any, ...]], name: str) -> str | None:
    return next((entry[1] for entry in entries if entry[0] == name), None)
