"""`KafkaLog`: a run's topics read from outside, by who records or shows it; in no group, and no task's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from types import TracebackType
from typing import Any, Self

from monitor.errors import TransportError
from monitor.transport.contract import Record
from monitor.transport.kafka.options import ClientOptions, refused_options
from monitor.transport.kafka.reader import LogReader
from monitor.transport.kafka.topics import count_partitions


class KafkaLog:
    """Committed records of the topics `wanted` (logical names). One reading at a time; an async context.

    `client` are aiokafka's options, `topics` the real names by logical name.
    """

    def __init__(self, client: Mapping[str, Any], topics: Mapping[str, str], wanted: Collection[str]) -> None:
        problems = refused_options(client)
        if problems:
            raise TransportError("transport.client: " + "; ".join(problems))
        self._options = ClientOptions(client)
        self._topics = {logical: topics[logical] for logical in wanted}
        self._counts: dict[str, int] = {}
        self._reader: LogReader | None = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            TransportError: the broker cannot be reached, or a topic is missing.
        """
        self._counts = await count_partitions(self._options, self._topics)
        self._reader = LogReader(self._options)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            await self._reader.close()
            self._reader = None

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        return self._counts[topic]

    def scan(
        self, topic: str, partition: int, offset: int | None = None, end: int | None = None
    ) -> AsyncGenerator[list[Record], None]:
        """See `LogReader.scan`."""
        assert self._reader is not None, "entered"
        return self._reader.scan(self._topics[topic], partition, offset, end)
