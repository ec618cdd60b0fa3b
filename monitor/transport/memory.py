"""A log inside the process that keeps the contract: partitions, offsets, atomic commit, fencing, isolation.

`MemoryLog` is the broker; `MemoryTransport` and `MemoryLease` are a client's view of it. Wherever a real
client could be interrupted, the methods suspend with a bare `yield`: a test drives the coroutine by hand with
`.send(None)` and crashes it at any await with `.close()`; under asyncio the same suspension is `sleep(0)`.
Like Kafka's, each transaction leaves a marker that takes an offset, so offsets have gaps.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Mapping, Sequence

from monitor.errors import Fenced, TransportError
from monitor.transport.contract import (
    ALERTS,
    COMMANDS,
    FEATURES,
    ORDERS,
    STATE,
    STATUS,
    Fetched,
    Headers,
    Outgoing,
    Record,
)
from monitor.wire.keys import murmur2

TRANSACTION_TIMEOUT_NS = 10_000_000_000
NO_PROGRESS_NS = 30_000_000_000
POLL_S = 0.005

KEYED = frozenset({ALERTS, STATUS, COMMANDS})
"""Topics that belong to deployments, not to partition tasks: one partition unless said otherwise."""

COMPACTED = frozenset({STATE, STATUS})

Sleep = Callable[[float], Awaitable[None]]


@types.coroutine
def suspend() -> Generator[None, None, None]:
    """A point at which the caller may be interrupted, crashed or overtaken."""
    yield


class _Transaction:
    __slots__ = ("began", "partitions", "status")

    def __init__(self, began: int) -> None:
        self.status = "open"
        self.began = began
        self.partitions: dict[_Partition, None] = {}


class _Partition:
    """Entries are (record, transaction); a marker, or what compaction removed, has no record."""

    def __init__(self, compacted: bool) -> None:
        self.start = 0
        self.entries: list[tuple[Record | None, _Transaction | None]] = []
        self.open: dict[_Transaction, int] = {}
        self.latest: dict[bytes, int] | None = {} if compacted else None

    @property
    def end(self) -> int:
        return self.start + len(self.entries)

    @property
    def stable(self) -> int:
        """Last stable offset: what lies before it is decided."""
        return min(self.open.values(), default=self.end)

    def append(self, record: Record, transaction: _Transaction | None) -> None:
        if transaction is not None:
            transaction.partitions[self] = None
            self.open.setdefault(transaction, record.offset)
        self.entries.append((record, transaction))
        if transaction is None:
            self._compact(record.offset, record)

    def finish(self, transaction: _Transaction) -> None:
        first = self.open.pop(transaction)
        if transaction.status == "committed" and self.latest is not None:
            for at in range(max(first, self.start), self.end):
                record, writer = self.entries[at - self.start]
                if record is not None and writer is transaction:
                    self._compact(at, record)
        self.entries.append((None, transaction))

    def _compact(self, offset: int, record: Record) -> None:
        if self.latest is None or record.key is None:
            return
        superseded = self.latest.get(record.key)
        if superseded is not None and superseded >= self.start:
            self.entries[superseded - self.start] = (None, None)
        self.latest[record.key] = offset

    def truncate(self, before: int) -> None:
        cut = min(max(before, self.start), self.stable)
        del self.entries[: cut - self.start]
        self.start = cut

    def read(self, offset: int, limit: int) -> tuple[list[Record], int]:
        """Committed records from `offset` below the last stable offset, and the next offset."""
        stable = self.stable
        at = max(offset, self.start)
        found: list[Record] = []
        while at < stable and len(found) < limit:
            record, writer = self.entries[at - self.start]
            if record is not None and (writer is None or writer.status == "committed"):
                found.append(record)
            at += 1
        return found, at

    def at_time(self, timestamp_ns: int) -> int:
        for record, _ in self.entries:
            if record is not None and record.timestamp_ns >= timestamp_ns:
                return record.offset
        return self.stable


class MemoryLog:
    """The broker: topics by logical name, `partitions` each (one for what is keyed by deployment).

    `clock` gives ns since the Unix epoch; a transaction open for longer than `transaction_timeout_ns` is
    aborted and its producer fenced. `counts` overrides the partition count of single topics.
    """

    def __init__(
        self,
        partitions: int,
        clock: Callable[[], int],
        *,
        counts: Mapping[str, int] | None = None,
        transaction_timeout_ns: int = TRANSACTION_TIMEOUT_NS,
    ) -> None:
        self.partitions = partitions
        self.clock = clock
        self._counts = dict(counts or {})
        self._timeout = transaction_timeout_ns
        self._logs: dict[tuple[str, int], _Partition] = {}
        self._epochs: dict[str, int] = {}
        self._open: dict[str, _Transaction] = {}

    def count(self, topic: str) -> int:
        """How many partitions a topic has."""
        return self._counts.get(topic, 1 if topic in KEYED else self.partitions)

    def publish_input(
        self,
        stream: str,
        key: bytes | None,
        value: bytes | None,
        timestamp_ns: int | None = None,
        *,
        partition: int | None = None,
        headers: Headers = (),
    ) -> tuple[int, int]:
        """Append as a plain producer does, outside any transaction; returns partition and offset.

        Without `timestamp_ns` the clock's; without `partition` by murmur2 of the key.
        """
        number = self._route(stream, key, partition)
        log = self._partition(stream, number)
        offset = log.end
        log.append(Record(offset, self._time(timestamp_ns), key, value, headers), None)
        return number, offset

    def fence(self, transactional_id: str) -> int:
        """A new producer epoch: aborts the open transaction of the one before."""
        self._expire()
        self._finish(transactional_id, "aborted")
        self._epochs[transactional_id] = self._epochs.get(transactional_id, 0) + 1
        return self._epochs[transactional_id]

    def send(self, transactional_id: str, epoch: int, record: Outgoing) -> None:
        """Append within the producer's transaction, which opens with its first record."""
        self._check(transactional_id, epoch)
        number = self._route(record.topic, record.key, record.partition)
        log = self._partition(record.topic, number)
        transaction = self._open.setdefault(transactional_id, _Transaction(self.clock()))
        log.append(Record(log.end, self.clock(), record.key, record.value, record.headers), transaction)

    def end(self, transactional_id: str, epoch: int) -> None:
        """Commit the producer's open transaction."""
        self._check(transactional_id, epoch)
        self._finish(transactional_id, "committed")

    def read(self, topic: str, partition: int, offset: int, limit: int) -> tuple[list[Record], int]:
        """Committed records from `offset` (or where the log begins), and the next offset."""
        self._expire()
        return self._partition(topic, partition).read(offset, limit)

    def committed(self, topic: str, partition: int) -> list[Record]:
        """All committed records that the log still holds."""
        return self.read(topic, partition, 0, self._partition(topic, partition).end + 1)[0]

    def bounds(self, topic: str, partition: int) -> tuple[int, int, int]:
        """First offset, last stable offset and end."""
        self._expire()
        log = self._partition(topic, partition)
        return log.start, log.stable, log.end

    def offset_at(self, topic: str, partition: int, timestamp_ns: int) -> int:
        """Offset of the first record not older than `timestamp_ns`, or the end."""
        return self._partition(topic, partition).at_time(timestamp_ns)

    def truncate(self, topic: str, partition: int, before: int) -> None:
        """Retention: forget what lies before an offset."""
        self._partition(topic, partition).truncate(before)

    def _partition(self, topic: str, partition: int) -> _Partition:
        log = self._logs.get((topic, partition))
        if log is None:
            if not 0 <= partition < self.count(topic):
                raise TransportError(f"{topic}: no partition {partition}; it has {self.count(topic)}")
            log = self._logs[topic, partition] = _Partition(topic in COMPACTED)
        return log

    def _route(self, topic: str, key: bytes | None, partition: int | None) -> int:
        if partition is not None:
            return partition
        if key is None:
            raise TransportError(f"{topic}: a record needs a key or a partition")
        return murmur2(key) % self.count(topic)

    def _time(self, timestamp_ns: int | None) -> int:
        return self.clock() if timestamp_ns is None else timestamp_ns

    def _check(self, transactional_id: str, epoch: int) -> None:
        self._expire()
        if self._epochs.get(transactional_id) != epoch:
            raise Fenced(f"{transactional_id}: epoch {epoch} was superseded, a newer owner exists")

    def _expire(self) -> None:
        if self._open:
            now = self.clock()
            for name in [k for k, t in self._open.items() if now - t.began > self._timeout]:
                self._finish(name, "aborted")
                self._epochs[name] += 1

    def _finish(self, transactional_id: str, status: str) -> None:
        transaction = self._open.pop(transactional_id, None)
        if transaction is not None:
            transaction.status = status
            for log in transaction.partitions:
                log.finish(transaction)


class MemoryLease:
    """One partition task's view of the log."""

    def __init__(
        self, log: MemoryLog, group: str, partition: int, start: str | int, sleep: Sleep | None
    ) -> None:
        self.partition = partition
        self.revoked = False
        self._log = log
        self._id = f"{group}-{partition}"
        self._start = start
        self._sleep = sleep
        self._epoch: int | None = None
        self._position: dict[str, int] = {}
        self._failed = False
        self.closed = False

    async def fence(self) -> None:
        await suspend()
        self._epoch = self._log.fence(self._id)
        await suspend()

    async def load_state(self) -> dict[bytes, bytes]:
        await suspend()
        end = self._log.bounds(STATE, self.partition)[2]
        values: dict[bytes, bytes] = {}
        at, moved = 0, self._log.clock()
        while True:
            await suspend()
            records, after = self._log.read(STATE, self.partition, at, 512)
            for record in records:
                if record.key is None:
                    continue
                if record.value is None:
                    values.pop(record.key, None)
                else:
                    values[record.key] = record.value
            if after >= end:
                return values
            now = self._log.clock()
            if after > at:
                at, moved = after, now
            elif now - moved > NO_PROGRESS_NS:
                raise TransportError(f"{STATE}-{self.partition}: stuck at {at} of {end}, an open transaction")
            await self._pause(POLL_S)

    async def seek(self, stream: str, offset: int | None) -> int:
        await suspend()
        start, stable, end = self._log.bounds(stream, self.partition)
        if offset is not None:
            if offset > end:
                raise TransportError(
                    f"{stream}-{self.partition}: asked for offset {offset} but the log ends at {end}; "
                    "was the topic deleted and made anew? Then use a new group and topic prefix"
                )
            taken = max(offset, start)
        elif self._start == "earliest":
            taken = start
        elif self._start == "latest":
            taken = stable
        else:
            taken = self._log.offset_at(stream, self.partition, int(self._start))
        self._position[stream] = taken
        await suspend()
        return taken

    async def fetch(self, wanted: Mapping[str, int], wait_s: float) -> list[Fetched]:
        waited = 0.0
        while True:
            sent = self._log.clock()
            await suspend()
            if self.revoked:
                return []
            got = [self._fetch(stream, limit, sent) for stream, limit in wanted.items() if limit > 0]
            await suspend()
            if any(f.records for f in got) or self._sleep is None or waited >= wait_s:
                return got
            pause = min(POLL_S, wait_s - waited)
            await self._sleep(pause)
            waited += pause

    def _fetch(self, stream: str, limit: int, sent: int) -> Fetched:
        at = self._position.get(stream)
        if at is None:
            raise TransportError(f"{stream}-{self.partition}: fetched before it was positioned with seek")
        records, position = self._log.read(stream, self.partition, at, limit)
        self._position[stream] = position
        return Fetched(stream, records, position, not records, 0 if records else sent)

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> tuple[list[Record], int]:
        await suspend()
        found = self._log.read(topic, partition, offset, limit)
        await suspend()
        return found

    async def commit(self, records: Sequence[Outgoing]) -> None:
        if self._epoch is None:
            raise TransportError(f"{self._id}: commit before fence")
        if self._failed:
            raise TransportError(f"{self._id}: an earlier commit failed or was interrupted; take a new lease")
        if not records:
            return
        self._failed = True
        await suspend()
        for record in records:
            self._log.send(self._id, self._epoch, record)
            await suspend()
        self._log.end(self._id, self._epoch)
        await suspend()
        self._failed = False

    async def close(self) -> None:
        self._failed = self.closed = True
        await suspend()

    async def _pause(self, seconds: float) -> None:
        if self._sleep is None:
            await suspend()
        else:
            await self._sleep(seconds)


class MemoryTransport:
    """A process's connection to a `MemoryLog`, holding `partitions` (None: all) of the group.

    `start` is `latest`, `earliest` or ns since the Unix epoch. `sleep` lets a wait pass real time; without it
    a wait is one suspension, for a clock moved by hand.
    """

    def __init__(
        self,
        log: MemoryLog,
        group: str,
        partitions: Iterable[int] | None = None,
        *,
        inputs: Sequence[str] = (FEATURES, ORDERS),
        start: str | int = "latest",
        sleep: Sleep | None = None,
    ) -> None:
        self._log = log
        self._group = group
        self._inputs = tuple(inputs)
        self._start = start
        self._sleep = sleep
        self._holding = frozenset(range(log.partitions) if partitions is None else partitions)
        self._told: frozenset[int] | None = None
        self._leases: list[MemoryLease] = []

    @property
    def partitions(self) -> int:
        return self._log.count(self._inputs[0])

    def now_ns(self) -> int:
        return self._log.clock()

    async def start(self) -> None:
        await suspend()
        counts = {stream: self._log.count(stream) for stream in self._inputs}
        if len(set(counts.values())) > 1:
            raise TransportError(
                "the input topics are not co-partitioned: "
                + ", ".join(f"{k} has {n}" for k, n in counts.items())
                + "; give them equal partition counts"
            )

    async def assigned(self) -> frozenset[int]:
        while self._told == self._holding:
            if self._sleep is None:
                await suspend()
            else:
                await self._sleep(10 * POLL_S)
        self._told = self._holding
        return self._holding

    def assign(self, partitions: Collection[int]) -> None:
        """What a rebalance does: from now on this process holds exactly these partitions."""
        self._holding = frozenset(partitions)
        for lease in self._leases:
            lease.revoked = lease.revoked or lease.partition not in self._holding
        self._leases = [lease for lease in self._leases if not lease.revoked]

    def lease(self, partition: int) -> MemoryLease:
        if partition not in self._holding:
            raise TransportError(f"partition {partition} is not assigned to this process")
        lease = MemoryLease(self._log, self._group, partition, self._start, self._sleep)
        self._leases = [held for held in self._leases if not held.closed] + [lease]
        return lease

    def partition_for(self, topic: str, key: bytes) -> int:
        return murmur2(key) % self._log.count(topic)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        await suspend()
        for record in records:
            self._log.publish_input(
                record.topic, record.key, record.value, partition=record.partition, headers=record.headers
            )
        await suspend()

    async def stop(self) -> None:
        await suspend()
        self.assign(())
