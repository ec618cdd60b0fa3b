"""The consumer group: who owns which partition number, and the input records fetched for its owner.

One aiokafka consumer and one poller for the whole process; each lease takes from its own queues. Nothing is
restored here: on assignment partitions are paused and stay so until a lease has positioned them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, KafkaError, OffsetOutOfRangeError

from monitor.errors import TransportError
from monitor.transport.contract import Fetched
from monitor.transport.kafka.assignor import StickyByNumber
from monitor.transport.kafka.options import ClientOptions
from monitor.transport.kafka.queue import MS, QUEUE_LIMIT, InputQueue

log = logging.getLogger(__name__)

POLL_MS = 50
LAG_INTERVAL_S = 5.0
STOP_TIMEOUT_S = 3.0


class TaskInputs:
    """The inputs of one lease: its queues by stream, and whether it may still use them."""

    def __init__(self, consumer: InputConsumer, partition: int) -> None:
        self.partition = partition
        self.queues: dict[str, InputQueue] = {}
        self.revoked = False
        self.changed = asyncio.Event()
        self._consumer = consumer
        self._failure: TransportError | None = None

    def fail(self, error: TransportError) -> None:
        """Every later use raises `error`."""
        self._failure = self._failure or error
        self.changed.set()

    def revoke(self) -> None:
        """The partition belongs to another member."""
        self.revoked = True
        self.changed.set()

    def check(self) -> None:
        """Raises what made these inputs unusable."""
        if self._failure is not None:
            raise TransportError(str(self._failure)) from self._failure

    async def seek(self, stream: str, offset: int | None, start: str | int) -> int:
        """Position one input; see `Lease.seek`."""
        self.check()
        taken = await self._consumer.find(stream, self.partition, offset, start)
        self.check()
        self.queues[stream] = InputQueue(taken)
        self._consumer.place(self, stream)
        return taken

    async def fetch(self, wanted: Mapping[str, int], wait_s: float) -> list[Fetched]:
        """See `Lease.fetch`."""
        self.check()
        streams = [stream for stream, limit in wanted.items() if limit > 0]
        for stream in streams:
            if stream not in self.queues:
                raise TransportError(f"{stream}-{self.partition}: fetched before it was positioned with seek")
        for stream, queue in self.queues.items():
            queue.wanted = stream in streams
            self._consumer.regulate(self, stream)
        if not self.revoked and not any(self.queues[stream].size for stream in streams):
            self.changed.clear()
            try:
                async with asyncio.timeout(max(wait_s, 0.0)):
                    await self.changed.wait()
            except TimeoutError:
                pass
            self.check()
        if self.revoked:
            return []
        return [self._take(stream, wanted[stream]) for stream in streams]

    def _take(self, stream: str, limit: int) -> Fetched:
        queue = self.queues[stream]
        records = queue.take(limit)
        if records:
            self._consumer.regulate(self, stream)
            return Fetched(stream, records, queue.position, False, 0)
        at_end = self._consumer.at_end(self, stream)
        sent = queue.polled_before
        at_end = at_end and sent is not None
        return Fetched(stream, [], queue.position, at_end, sent * MS if at_end and sent else 0)


class InputConsumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """Owns the group membership. `topics` are the input topics by stream; a partition number is a task."""

    def __init__(
        self, options: ClientOptions, group: str, topics: Mapping[str, str], instance: str | None
    ) -> None:
        self._topics = dict(topics)
        self._consumer = options.consumer(
            group_id=group,
            group_instance_id=instance,
            partition_assignment_strategy=(StickyByNumber(),),
        )
        self._tasks: dict[int, TaskInputs] = {}
        self._holding: frozenset[int] | None = None
        self._told: frozenset[int] | None = None
        self._reassigned = asyncio.Event()
        self._committed: dict[TopicPartition, int] = {}
        self._background: list[asyncio.Task[None]] = []
        self._failure: TransportError | None = None

    async def start(self) -> None:
        """Connect and ask to join; the first assignment comes through `assigned`."""
        try:
            await self._consumer.start()
        except (KafkaError, OSError) as error:
            await self._consumer.stop()
            raise TransportError(f"cannot start the consumer: {error!r}") from error
        self._consumer.subscribe(list(self._topics.values()), listener=self)
        self._background = [asyncio.create_task(self._poll()), asyncio.create_task(self._report_lag())]

    async def stop(self) -> None:
        """Leave the group."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for inputs in self._tasks.values():
            inputs.revoke()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._consumer.stop()
        except (TimeoutError, KafkaError) as error:
            log.warning("the consumer did not leave its group in order: %r", error)

    async def assigned(self) -> frozenset[int]:
        """See `Transport.assigned`."""
        while True:
            if self._failure is not None:
                raise TransportError(str(self._failure)) from self._failure
            if self._holding is not None and self._holding != self._told:
                self._told = self._holding
                return self._holding
            self._reassigned.clear()
            await self._reassigned.wait()

    def attach(self, partition: int) -> TaskInputs:
        """The inputs of a new lease; takes them away from the lease before it."""
        if self._holding is None or partition not in self._holding:
            raise TransportError(f"partition {partition} is not assigned to this process")
        self.detach(partition)
        self._tasks[partition] = TaskInputs(self, partition)
        return self._tasks[partition]

    def detach(self, partition: int, inputs: TaskInputs | None = None) -> None:
        """Stop fetching for a lease; does nothing when `inputs` is no longer the partition's."""
        old = self._tasks.get(partition)
        if old is None or (inputs is not None and old is not inputs):
            return
        del self._tasks[partition]
        old.fail(TransportError(f"the lease on partition {partition} was closed or replaced"))
        self._consumer.pause(*(self._assigned() & set(self._of(partition))))

    async def find(self, stream: str, partition: int, offset: int | None, start: str | int) -> int:
        """Where reading begins: `offset` or what the log still has of it; without one by `start`."""
        tp = TopicPartition(self._topics[stream], partition)
        try:
            first = (await self._consumer.beginning_offsets([tp]))[tp]
            end = (await self._consumer.end_offsets([tp]))[tp]
            if offset is not None:
                if offset > end:
                    raise TransportError(
                        f"{tp.topic}-{partition}: asked for offset {offset} but the log ends at {end}; was "
                        "the topic deleted and made anew? Then use a new group and topics.prefix"
                    )
                return int(max(offset, first))
            if isinstance(start, str):
                return int(first if start == "earliest" else end)
            found = (await self._consumer.offsets_for_times({tp: -(-start // MS)}))[tp]
            return int(end if found is None else found.offset)
        except (KafkaError, OSError) as error:
            raise TransportError(
                f"{tp.topic}-{partition}: cannot find where to read from: {error!r}"
            ) from error

    def place(self, inputs: TaskInputs, stream: str) -> None:
        """Let the consumer go on where the stream's queue ends."""
        tp = TopicPartition(self._topics[stream], inputs.partition)
        if tp in self._assigned():
            self._consumer.seek(tp, inputs.queues[stream].end)
            self.regulate(inputs, stream)

    def regulate(self, inputs: TaskInputs, stream: str) -> None:
        """Pause what is not wanted or has enough waiting, resume the rest."""
        tp = TopicPartition(self._topics[stream], inputs.partition)
        queue = inputs.queues[stream]
        if tp not in self._assigned() or self._tasks.get(inputs.partition) is not inputs:
            return
        if queue.wanted and queue.size < QUEUE_LIMIT:
            self._consumer.resume(tp)
        else:
            self._consumer.pause(tp)

    def at_end(self, inputs: TaskInputs, stream: str) -> bool:
        """Whether everything stable, as of the broker's newest answer, has been taken from the queue.

        Moves the queue's position over what holds no records (markers, aborted transactions).
        """
        tp = TopicPartition(self._topics[stream], inputs.partition)
        queue = inputs.queues[stream]
        if tp not in self._assigned() or queue.size:
            return False
        queue.position = queue.end = self._position(tp)
        stable = self._consumer.last_stable_offset(tp)
        return stable is not None and queue.position >= stable

    def committed(self, inputs: TaskInputs) -> None:
        """The task has committed what it took so far: what lag tools may be told."""
        for stream, queue in inputs.queues.items():
            self._committed[TopicPartition(self._topics[stream], inputs.partition)] = queue.position

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Nothing: a task goes on with what it has until somebody else owns it, and is fenced then."""

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Pause everything and go on where kept tasks stand. No I/O: heartbeats wait while this runs."""
        self._consumer.pause(*assigned)
        numbers = [{tp.partition for tp in assigned if tp.topic == topic} for topic in self._topics.values()]
        self._holding = frozenset(set.intersection(*numbers))
        for tp in assigned:
            # Any position will do for a paused partition; without one aiokafka would look for its own.
            self._consumer.seek(tp, 0)
        for partition, inputs in list(self._tasks.items()):
            if partition in self._holding:
                for stream, queue in inputs.queues.items():
                    queue.polled = queue.polled_before = None
                    self.place(inputs, stream)
            else:
                del self._tasks[partition]
                inputs.revoke()
        self._reassigned.set()

    async def _poll(self) -> None:
        try:
            while True:
                try:
                    batches = await self._consumer.getmany(timeout_ms=POLL_MS)
                except OffsetOutOfRangeError as error:
                    self._out_of_range(error)
                    continue
                for tp, records in batches.items():
                    self._deliver(tp, records)
                for inputs in self._tasks.values():
                    for stream, queue in inputs.queues.items():
                        tp = TopicPartition(self._topics[stream], inputs.partition)
                        if tp in self._assigned():
                            queue.observe(self._consumer.last_poll_timestamp(tp))
        except Exception as error:
            # aiokafka may have moved positions over records that it never handed out: nothing here can go on.
            log.exception("the consumer failed")
            self._failure = TransportError(f"the consumer failed: {error!r}")
            for inputs in self._tasks.values():
                inputs.fail(self._failure)
            self._reassigned.set()

    def _deliver(self, tp: TopicPartition, records: list[ConsumerRecord]) -> None:
        inputs = self._tasks.get(tp.partition)
        stream = next(stream for stream, topic in self._topics.items() if topic == tp.topic)
        if inputs is None or stream not in inputs.queues:
            return
        inputs.queues[stream].put(records, self._position(tp))
        self.regulate(inputs, stream)
        inputs.changed.set()

    def _out_of_range(self, error: OffsetOutOfRangeError) -> None:
        """Retention overtook a task: it has to seek again, and will be told how much is gone."""
        for tp, offset in error.args[0].items():
            inputs = self._tasks.get(tp.partition)
            if inputs is not None:
                inputs.fail(TransportError(f"{tp.topic}-{tp.partition}: offset {offset} is no longer there"))
            self._consumer.pause(tp)

    async def _report_lag(self) -> None:
        while True:
            await asyncio.sleep(LAG_INTERVAL_S)
            held = self._assigned()
            offsets = {tp: offset for tp, offset in self._committed.items() if tp in held}
            self._committed.clear()
            if offsets:
                try:
                    await self._consumer.commit(offsets)
                except (KafkaError, IllegalStateError) as error:
                    log.info("could not report offsets for lag tools: %r", error)

    def _assigned(self) -> frozenset[TopicPartition]:
        return frozenset(self._consumer.assignment())

    def _of(self, partition: int) -> list[TopicPartition]:
        return [TopicPartition(topic, partition) for topic in self._topics.values()]

    def _position(self, tp: TopicPartition) -> int:
        # `position()` is a coroutine that suspends only while there is no position; all of ours have one.
        try:
            self._consumer.position(tp).send(None)
        except StopIteration as done:
            return int(done.value)
        raise TransportError(f"{tp.topic}-{tp.partition}: the consumer lost its position")
