"""Two logs behind one face, so that one suite holds both transports to the contract."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from monitor.transport.contract import (
    ALERTS,
    COMMANDS,
    DEAD_LETTERS,
    FEATURES,
    JOURNAL,
    ORDERS,
    PARTIALS,
    PREDICTIONS,
    STATE,
    STATUS,
    Fetched,
    Lease,
    Outgoing,
    Record,
    Transport,
)
from monitor.transport.kafka import KafkaTransport, make_topics
from monitor.transport.kafka.options import ClientOptions
from monitor.transport.memory import MemoryLog, MemoryTransport

PARTITIONS = 2
LOGICAL = (
    FEATURES,
    ORDERS,
    COMMANDS,
    PARTIALS,
    JOURNAL,
    STATE,
    ALERTS,
    STATUS,
    PREDICTIONS,
    DEAD_LETTERS,
)
_numbers = itertools.count()


class MemoryWorld:
    """A `MemoryLog` on the real clock."""

    name = "memory"

    def __init__(self) -> None:
        self.log = MemoryLog(PARTITIONS, time.time_ns)
        self._transports: list[MemoryTransport] = []

    async def open(self) -> None:
        pass

    async def transport(self, start: str | int = "earliest") -> Transport:
        transport = MemoryTransport(self.log, "group", start=start, sleep=asyncio.sleep)
        await transport.start()
        self._transports.append(transport)
        await transport.assigned()
        return transport

    async def produce(
        self, stream: str, partition: int, values: Sequence[bytes], timestamp_ms: int | None = None
    ) -> None:
        at = None if timestamp_ms is None else timestamp_ms * 1_000_000
        for value in values:
            self.log.publish_input(stream, b"key", value, at, partition=partition)

    async def begin(self, stream: str, partition: int, value: bytes) -> str:
        """A foreign producer writes in a transaction and leaves it open."""
        epoch = self.log.fence("foreign")
        self.log.send("foreign", epoch, Outgoing(stream, partition, b"key", value))
        return "foreign"

    async def end(self, transaction: str, commit: bool) -> None:
        if commit:
            self.log.end(transaction, 1)
        else:
            self.log.fence(transaction)

    async def truncate(self, stream: str, partition: int, before: int) -> None:
        self.log.truncate(stream, partition, before)

    async def committed(self, topic: str, partition: int) -> list[bytes | None]:
        return [record.value for record in self.log.committed(topic, partition)]

    async def close(self) -> None:
        for transport in self._transports:
            await transport.stop()


class KafkaWorld:
    """Topics of their own on a real Kafka."""

    name = "kafka"

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.prefix = f"test-{os.getpid()}-{time.time_ns()}-{next(_numbers)}-"
        self.topics = {logical: self.prefix + logical for logical in LOGICAL}
        self.client = {
            "bootstrap_servers": bootstrap,
            "session_timeout_ms": 2000,
            "heartbeat_interval_ms": 300,
        }
        self._transports: list[KafkaTransport] = []
        self._producers: list[AIOKafkaProducer] = []

    async def open(self) -> None:
        names = {self.topics[stream]: PARTITIONS for stream in (FEATURES, ORDERS)}
        await make_topics(ClientOptions(self.client), names)

    def build(self, start: str | int = "earliest", **more: object) -> KafkaTransport:
        return KafkaTransport(self.client, self.prefix, self.topics, start=start, **more)  # type: ignore[arg-type]

    async def transport(self, start: str | int = "earliest") -> Transport:
        transport = self.build(start)
        self._transports.append(transport)
        await transport.start()
        await transport.assigned()
        return transport

    async def _producer(self, transactional_id: str | None = None) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, transactional_id=transactional_id, transaction_timeout_ms=30_000
        )
        await producer.start()
        self._producers.append(producer)
        return producer

    async def produce(
        self, stream: str, partition: int, values: Sequence[bytes], timestamp_ms: int | None = None
    ) -> None:
        producer = await self._producer()
        for value in values:
            await producer.send(
                self.topics[stream], value, key=b"key", partition=partition, timestamp_ms=timestamp_ms
            )
        await producer.flush()

    async def begin(self, stream: str, partition: int, value: bytes) -> AIOKafkaProducer:
        producer = await self._producer(self.prefix + "foreign")
        await producer.begin_transaction()
        await producer.send_and_wait(self.topics[stream], value, key=b"key", partition=partition)
        return producer

    async def end(self, transaction: AIOKafkaProducer, commit: bool) -> None:
        await (transaction.commit_transaction() if commit else transaction.abort_transaction())

    async def truncate(self, stream: str, partition: int, before: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        tp = TopicPartition(self.topics[stream], partition)
        await admin.delete_records({tp: RecordsToDelete(before_offset=before)})
        await admin.close()

    async def committed(self, topic: str, partition: int) -> list[bytes | None]:
        tp = TopicPartition(self.topics[topic], partition)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, isolation_level="read_committed")
        await consumer.start()
        try:
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            # To the end of what is decided or being decided: markers follow a commit by milliseconds.
            values: list[bytes | None] = []
            end: int | None = None
            while end is None or await consumer.position(tp) < end:
                for record in (await consumer.getmany(tp, timeout_ms=50)).get(tp, ()):
                    values.append(record.value)
                end = end if end is not None else consumer.highwater(tp)
            return values
        finally:
            await consumer.stop()

    async def close(self) -> None:
        for transport in self._transports:
            await transport.stop()
        for producer in self._producers:
            await producer.stop()


World = MemoryWorld | KafkaWorld


async def take_lease(transport: Transport, partition: int = 0) -> Lease:
    """A fenced lease; the partition must have been assigned."""
    lease = transport.lease(partition)
    await lease.fence()
    return lease


async def read_on(lease: Lease, topic: str, partition: int, offset: int, n: int) -> tuple[list[Record], int]:
    """At least `n` committed records of an internal topic, and the next offset."""
    found: list[Record] = []
    async with asyncio.timeout(5):
        while True:
            records, offset = await lease.read(topic, partition, offset, n)
            found += records
            if len(found) >= n:
                return found, offset
            await asyncio.sleep(0.01)


async def fetch_all(lease: Lease, stream: str, patience_s: float = 5.0) -> tuple[list[bytes | None], Fetched]:
    """All values until the stream is at its end, and the fetch that said so."""
    values: list[bytes | None] = []
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        for fetched in await lease.fetch({stream: 100}, 0.1):
            values += [record.value for record in fetched.records]
            if fetched.at_end:
                return values, fetched
    raise AssertionError(f"{stream} did not come to its end within {patience_s} s; got {len(values)} records")
