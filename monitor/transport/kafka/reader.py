"""Committed records of single partitions, read outside the group: state, partials, journal, commands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from monitor.errors import TransportError
from monitor.transport.contract import Record
from monitor.transport.kafka.options import ClientOptions
from monitor.transport.kafka.queue import to_record

WAIT_MS = 20
NO_PROGRESS_S = 30.0
STOP_TIMEOUT_S = 2.0


class LogReader:
    """A consumer with partitions assigned by hand, for one lease; connects when first used."""

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._started = False
        self._consumer = options.consumer()
        self._next: dict[TopicPartition, int] = {}

    async def latest(self, topic: str, partition: int) -> dict[bytes, bytes]:
        """Latest committed value by key of a compacted partition, tombstones left out."""
        values: dict[bytes, bytes] = {}
        async with aclosing(self.scan(topic, partition)) as batches:
            async for records in batches:
                for record in records:
                    assert record.key is not None, "compacted topics refuse null keys"
                    if record.value is None:
                        values.pop(record.key, None)
                    else:
                        values[record.key] = record.value
        return values

    async def scan(
        self, topic: str, partition: int, offset: int | None = None, end: int | None = None
    ) -> AsyncGenerator[list[Record], None]:
        """Committed records from `offset` (None: where the log begins) and before `end`, in batches.

        Without `end`, up to the end that uncommitted records had too when reading began: what lies before it
        is either committed by then or never. Done when the position is there, for the last offset may be a
        marker.

        Raises:
            TransportError: the broker, or `offset` is no longer in the log.
        """
        tp = TopicPartition(topic, partition)
        try:
            first = await self._first(tp)
            if offset is not None and offset < first:
                raise TransportError(
                    f"{topic}-{partition}: offset {offset} is no longer in the log, which begins at {first}"
                )
            begin = first if offset is None else offset
            if end is not None and begin >= end:
                return
            await self._begin(tp, begin)
            at, moved = -1, time.monotonic()
            while True:
                batches = await self._consumer.getmany(tp, timeout_ms=WAIT_MS)
                records = [to_record(r) for r in batches.get(tp, ()) if end is None or r.offset < end]
                if end is None and self._consumer.last_poll_timestamp(tp) is not None:
                    end = self._consumer.highwater(tp)
                position = await self._consumer.position(tp)
                if records:
                    yield records
                if end is not None and position >= end:
                    return
                if position > at:
                    at, moved = position, time.monotonic()
                elif time.monotonic() - moved > NO_PROGRESS_S:
                    raise TransportError(
                        f"{topic}-{partition}: stuck at {position} of {end} for {NO_PROGRESS_S:.0f} s; "
                        "a transaction is open that nobody ends; look with kafka-transactions find-hanging"
                    )
        except (KafkaError, OSError) as error:
            raise TransportError(f"{topic}-{partition}: cannot be read: {error!r}") from error
        finally:
            self._forget(tp)

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> tuple[list[Record], int]:
        """Committed records from `offset` (or where the log begins), and the next offset.

        Empty only where a poll has shown that there is nothing more; waits for that poll, not for records.
        """
        tp = TopicPartition(topic, partition)
        deadline = time.monotonic() + NO_PROGRESS_S
        try:
            if self._next.get(tp) != offset:
                await self._begin(tp, offset)
            while True:
                try:
                    batches = await self._consumer.getmany(tp, timeout_ms=0, max_records=limit)
                    records = [to_record(record) for record in batches.get(tp, ())]
                except OffsetOutOfRangeError:
                    await self._skip_to_first(tp, offset)
                    continue
                self._next[tp] = position = await self._consumer.position(tp)
                stable = self._consumer.last_stable_offset(tp)
                if records or (stable is not None and position >= stable):
                    return records, position
                if time.monotonic() > deadline:
                    raise TransportError(f"{topic}-{partition}: no answer from the broker at offset {offset}")
                await asyncio.sleep(WAIT_MS / 1000)
        except (KafkaError, OSError) as error:
            raise TransportError(f"{topic}-{partition}: cannot read at {offset}: {error!r}") from error

    async def close(self) -> None:
        """Disconnect."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._consumer.stop()
        except (TimeoutError, KafkaError):
            pass

    async def _begin(self, tp: TopicPartition, offset: int) -> None:
        if not self._started:
            await self._consumer.start()
            self._started = True
        known = tp in self._next
        self._next[tp] = offset
        if known:
            self._consumer.seek(tp, offset)
        else:
            self._assign()

    async def _first(self, tp: TopicPartition) -> int:
        if not self._started:
            await self._consumer.start()
            self._started = True
        return int((await self._consumer.beginning_offsets([tp]))[tp])

    async def _skip_to_first(self, tp: TopicPartition, offset: int) -> None:
        first = await self._first(tp)
        if offset > first:
            raise TransportError(
                f"{tp.topic}-{tp.partition}: offset {offset} is beyond the end of the log; was the topic "
                "deleted and made anew? Then use a new group and topics.prefix"
            )
        self._consumer.seek(tp, first)

    def _forget(self, tp: TopicPartition) -> None:
        if self._next.pop(tp, None) is not None:
            self._assign()

    def _assign(self) -> None:
        # An assignment replaces the one before, positions included.
        self._consumer.assign(list(self._next))
        for tp, offset in self._next.items():
            self._consumer.seek(tp, offset)
