"""A transport inside the process that keeps the contract: offsets, atomic commit, fencing, isolation.

`MemoryLog` is the broker; `MemoryTransport` and `MemoryLease` are a client's view of it. Wherever a real
client could be interrupted, the methods suspend with a bare `yield`: a test drives the coroutine by hand with
`.send(None)` and crashes it at any await with `.close()`; under asyncio the same suspension is `sleep(0)`.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Mapping, Sequence

from monitor.errors import TransportError
from monitor.transport.contract import FEATURES, ORDERS, STATE, Fetched, Outgoing, Record
from monitor.transport.memory_log import MemoryLog
from monitor.wire.keys import murmur2

__all__ = ["MemoryLease", "MemoryLog", "MemoryTransport"]

NO_PROGRESS_NS = 30_000_000_000
POLL_S = 0.005

Sleep = Callable[[float], Awaitable[None]]


@types.coroutine
def suspend() -> Generator[None, None, None]:
    """A point at which the caller may be interrupted, crashed or overtaken."""
    yield


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
