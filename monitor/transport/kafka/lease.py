"""`KafkaLease`: one partition task's inputs, state and transactions on Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from monitor.transport.contract import STATE, Fetched, Outgoing, Record
from monitor.transport.kafka.consumer import InputConsumer, TaskInputs
from monitor.transport.kafka.producer import TaskProducer
from monitor.transport.kafka.reader import LogReader


class KafkaLease:
    """Keeps `contract.Lease`. `topics` are the real names by logical name."""

    def __init__(
        self,
        inputs: TaskInputs,
        consumer: InputConsumer,
        producer: TaskProducer,
        reader: LogReader,
        topics: Mapping[str, str],
        start: str | int,
    ) -> None:
        self._inputs = inputs
        self._consumer = consumer
        self._producer = producer
        self._reader = reader
        self._topics = topics
        self._start = start

    @property
    def partition(self) -> int:
        return self._inputs.partition

    @property
    def revoked(self) -> bool:
        return self._inputs.revoked

    async def fence(self) -> None:
        await self._producer.start()

    async def load_state(self) -> dict[bytes, bytes]:
        return await self._reader.latest(self._topics[STATE], self.partition)

    async def seek(self, stream: str, offset: int | None) -> int:
        return await self._inputs.seek(stream, offset, self._start)

    async def fetch(self, wanted: Mapping[str, int], wait_s: float) -> list[Fetched]:
        return await self._inputs.fetch(wanted, wait_s)

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> tuple[list[Record], int]:
        return await self._reader.read(self._topics[topic], partition, offset, limit)

    async def commit(self, records: Sequence[Outgoing]) -> None:
        await self._producer.commit(records)
        self._consumer.committed(self._inputs)

    async def close(self) -> None:
        self._consumer.detach(self.partition, self._inputs)
        # At once: where the broker does not answer, each takes its time.
        await asyncio.gather(self._producer.stop(), self._reader.close())
