"""`MemoryLog`: the broker inside the process: topics, offsets, transactions, epochs, retention, compaction.

Synchronous; the clients in `memory` suspend around it. Like Kafka's, each transaction leaves a marker that
takes an offset, so offsets have gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monitor.errors import Fenced, TransportError
from monitor.transport.contract import ALERTS, COMMANDS, STATE, STATUS, Headers, Outgoing, Record
from monitor.wire.keys import murmur2

TRANSACTION_TIMEOUT_NS = 10_000_000_000

KEYED = frozenset({ALERTS, STATUS, COMMANDS})
"""Topics that belong to deployments, not to partition tasks: one partition unless said otherwise."""

COMPACTED = frozenset({STATE, STATUS})


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
