"""`KafkaTransport`: topics checked, the group joined, leases handed out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from monitor.errors import TransportError
from monitor.transport.contract import COMMANDS, FEATURES, ORDERS, Outgoing
from monitor.transport.kafka.consumer import InputConsumer
from monitor.transport.kafka.lease import KafkaLease
from monitor.transport.kafka.options import ClientOptions, refused_options
from monitor.transport.kafka.producer import TaskProducer, stop_producer
from monitor.transport.kafka.reader import LogReader
from monitor.transport.kafka.topics import check_topics
from monitor.wire.keys import murmur2, partition_of

PUBLISH_TIMEOUT_S = 10.0


class KafkaTransport:
    """Keeps `contract.Transport` on Apache Kafka.

    `client` are aiokafka's options; `topics` the real names by logical name, of those in use; `inputs` which
    of them are read. `start` is `latest`, `earliest` or ns since the Unix epoch. `instance` makes the
    membership static: a process restarted under the same instance gets its partitions back at once, but one
    that leaves for good keeps them for the session timeout; no two running processes may share it.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        group: str,
        topics: Mapping[str, str],
        *,
        inputs: Sequence[str] = (FEATURES, ORDERS),
        partitioner: str = "murmur2",
        start: str | int = "latest",
        create_topics: bool = True,
        replication: int | None = None,
        instance: str | None = None,
    ) -> None:
        problems = refused_options(client)
        if problems:
            raise TransportError("transport.client: " + "; ".join(problems))
        self._options = ClientOptions(client)
        self._group = group
        self._topics = dict(topics)
        self._inputs = tuple(inputs)
        self._partitioner = partitioner
        self._start = start
        self._create = create_topics
        self._replication = replication
        self._instance = instance
        self._counts: dict[str, int] = {}
        self._consumer: InputConsumer | None = None
        self._producer: AIOKafkaProducer | None = None

    @property
    def partitions(self) -> int:
        return self._counts[self._inputs[0]]

    def now_ns(self) -> int:
        return time.time_ns()

    async def start(self) -> None:
        self._counts = await check_topics(
            self._options,
            self._topics,
            self._inputs,
            create=self._create,
            replication=self._replication,
        )
        self._producer = self._options.producer(enable_idempotence=True)
        try:
            await self._producer.start()
        except (KafkaError, OSError) as error:
            raise TransportError(f"cannot start the producer: {error!r}") from error
        topics = {stream: self._topics[stream] for stream in self._inputs}
        self._consumer = InputConsumer(self._options, self._group, topics, self._instance)
        await self._consumer.start()

    async def assigned(self) -> frozenset[int]:
        return await self._running().assigned()

    def lease(self, partition: int) -> KafkaLease:
        consumer = self._running()
        inputs = consumer.attach(partition)
        producer = TaskProducer(self._options, f"{self._group}-{partition}", self._route)
        return KafkaLease(inputs, consumer, producer, LogReader(self._options), self._topics, self._start)

    def partition_for(self, topic: str, key: bytes) -> int:
        count = self._counts[topic]
        if topic == COMMANDS and self._partitioner != "unchecked":
            return partition_of(key, count, self._partitioner)
        return murmur2(key) % count

    async def publish(self, records: Sequence[Outgoing]) -> None:
        self._running()
        assert self._producer is not None
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                sent = []
                for record in records:
                    topic, partition = self._route(record)
                    sent.append(
                        await self._producer.send(
                            topic,
                            value=record.value,
                            key=record.key,
                            partition=partition,
                            headers=list(record.headers),
                        )
                    )
                await asyncio.gather(*sent)
        except (KafkaError, OSError, TimeoutError) as error:
            raise TransportError(f"cannot publish outside a transaction: {error!r}") from error

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
        if self._producer is not None:
            await stop_producer(self._producer)
        self._consumer = self._producer = None

    def _running(self) -> InputConsumer:
        if self._consumer is None:
            raise TransportError("the transport is not started")
        return self._consumer

    def _route(self, record: Outgoing) -> tuple[str, int]:
        if record.partition is not None:
            return self._topics[record.topic], record.partition
        if record.key is None:
            raise TransportError(f"{record.topic}: a record needs a key or a partition")
        return self._topics[record.topic], self.partition_for(record.topic, record.key)
