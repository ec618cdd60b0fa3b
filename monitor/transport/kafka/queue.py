"""`InputQueue`: records of one input partition between the poller and their task. Knows no client."""

from __future__ import annotations

from collections import deque

from aiokafka import ConsumerRecord

from monitor.transport.contract import Record

QUEUE_LIMIT = 8192
"""Records of one input that may wait for their task; beyond it the partition is paused."""

MS = 1_000_000


def to_record(record: ConsumerRecord) -> Record:
    """aiokafka's record as the contract has it."""
    return Record(record.offset, record.timestamp * MS, record.key, record.value, record.headers)


class InputQueue:
    """Records of one input partition on their way to its task.

    `polled` is when the broker last answered for the partition, `polled_before` when it had answered before
    that (ms). aiokafka sends a node its next fetch only after the answer to the one before, so the fetch
    behind the newest answer was sent not earlier than `polled_before`; nobody has to time the sending.
    """

    __slots__ = ("_chunks", "end", "polled", "polled_before", "position", "size", "wanted")

    def __init__(self, position: int) -> None:
        self._chunks: deque[tuple[list[ConsumerRecord], int]] = deque()
        self.position = self.end = position
        self.size = 0
        self.wanted = False
        self.polled: int | None = None
        self.polled_before: int | None = None

    def put(self, records: list[ConsumerRecord], end: int) -> None:
        """Add what a poll brought; `end` is the consumer's position after it."""
        self._chunks.append((records, end))
        self.size += len(records)
        self.end = end

    def take(self, limit: int) -> list[Record]:
        """At most `limit` records; moves `position` behind them."""
        taken: list[Record] = []
        while self._chunks and len(taken) < limit:
            records, end = self._chunks[0]
            room = limit - len(taken)
            if len(records) <= room:
                self._chunks.popleft()
                taken += map(to_record, records)
                self.position = end
            else:
                self._chunks[0] = (records[room:], end)
                taken += map(to_record, records[:room])
                self.position = records[room].offset
        self.size -= len(taken)
        return taken

    def observe(self, polled: int | None) -> None:
        """Note when the broker last answered for this partition."""
        if polled != self.polled:
            self.polled_before, self.polled = self.polled, polled
