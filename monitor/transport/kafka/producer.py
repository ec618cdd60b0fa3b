"""The transactional producer of one partition task: its epoch is the fence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, KafkaError, ProducerFenced

from monitor.errors import Fenced, TransportError
from monitor.transport.contract import Outgoing
from monitor.transport.kafka.options import ClientOptions

log = logging.getLogger(__name__)

TRANSACTION_TIMEOUT_MS = 10_000
FENCE_TIMEOUT_S = 30.0
COMMIT_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 2.0

Route = Callable[[Outgoing], tuple[str, int]]
"""Real topic and partition of a record."""


class TaskProducer:
    """Writes one task's transactions under `transactional_id`."""

    def __init__(self, options: ClientOptions, transactional_id: str, route: Route) -> None:
        self._options = options
        self._id = transactional_id
        self._route = route
        self._producer: AIOKafkaProducer | None = None
        self._failed = False

    async def start(self) -> None:
        """Take a new epoch; ends when the predecessor's transaction is over, one way or the other."""
        await self.stop()
        producer = self._options.producer(
            transactional_id=self._id, transaction_timeout_ms=TRANSACTION_TIMEOUT_MS
        )
        self._producer = producer
        try:
            async with asyncio.timeout(FENCE_TIMEOUT_S):
                await producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            raise TransportError(f"{self._id}: cannot start the producer: {error!r}") from error
        # Its sender task must have run once, or stopping it raises CancelledError.
        await asyncio.sleep(0)

    async def commit(self, records: Sequence[Outgoing]) -> None:
        """Write all records in one transaction; see `Lease.commit`."""
        if self._producer is None:
            raise TransportError(f"{self._id}: commit before fence")
        if self._failed:
            raise TransportError(f"{self._id}: an earlier commit failed or was interrupted; take a new lease")
        if not records:
            return
        self._failed = True
        sent: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                await self._producer.begin_transaction()
                for record in records:
                    topic, partition = self._route(record)
                    future = await self._producer.send(
                        topic,
                        value=record.value,
                        key=record.key,
                        partition=partition,
                        headers=list(record.headers),
                    )
                    future.add_done_callback(_failure)
                    sent.append(future)
                # A transaction commits although a send inside it failed: every one must have arrived.
                await asyncio.gather(*sent)
                await self._producer.commit_transaction()
        except TimeoutError as error:
            raise TransportError(
                f"{self._id}: no commit within {COMMIT_TIMEOUT_S:.0f} s; whether it was written is unknown"
            ) from error
        except (KafkaError, IllegalOperation, AssertionError, OSError) as error:
            # After a fatal error of its sender aiokafka answers with IllegalOperation or a failed assertion;
            # why it failed stands on the sends.
            causes = [error, *(cause for future in sent if (cause := _failure(future)) is not None)]
            if any(isinstance(cause, ProducerFenced | InvalidProducerEpoch) for cause in causes):
                raise Fenced(f"{self._id}: a newer owner exists, or the transaction took too long") from error
            raise TransportError(f"{self._id}: commit failed: {causes[-1]!r}") from error
        finally:
            # An outcome that nobody asked for would be logged as never retrieved.
            ended = self._producer._txn_manager.wait_for_transaction_end()
            if ended is not None:
                ended.add_done_callback(_failure)
        self._failed = False

    async def stop(self) -> None:
        """Disconnect; an open transaction is left to the next owner's fence."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_producer(producer)


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Stop within a bounded time also when the broker does not answer."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await producer.stop()
    except (TimeoutError, KafkaError, OSError) as error:
        log.warning("a producer did not stop in order: %r", error)
        await _abandon(producer)


async def _abandon(producer: AIOKafkaProducer) -> None:
    # aiokafka goes on trying for as long as it takes; a send delivered later would only be fenced, but its
    # tasks would outlive us. Its sender awaits what it started, so each may need a cancellation of its own.
    await producer.client.close()
    producer._message_accumulator.fail_all(KafkaError("the producer was stopped"))
    sender = producer._sender.sender_task
    for _ in range(10):
        if sender is None or sender.done():
            return
        sender.cancel()
        await asyncio.wait([sender], timeout=0.1)


def _failure(future: asyncio.Future[Any]) -> BaseException | None:
    return future.exception() if future.done() and not future.cancelled() else None
