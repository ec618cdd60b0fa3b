"""What a transport promises. Kafka, memory and files keep the same contract; nothing else knows a broker.

A partition task holds a `Lease` on its partition number. Order of use, which is what makes it safe:
`fence()` (aborts the predecessor's transaction) -> `load_state()` -> `seek()` each input -> `fetch()`...
-> `commit()`. After any `TransportError` the task drops its memory; the log decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

FEATURES, ORDERS, OUTCOMES, COMMANDS = "features", "orders", "outcomes", "commands"
PARTIALS, JOURNAL, STATE = "partials", "journal", "state"
ALERTS, STATUS, PREDICTIONS, DEAD_LETTERS = "alerts", "status", "predictions", "dead-letters"

INPUTS = (FEATURES, ORDERS, OUTCOMES)
"""Input streams in folding order at equal own time."""

Headers = tuple[tuple[str, bytes], ...]


class Record(NamedTuple):
    """One record as it lies in the log; `timestamp_ns` is -1 where the log has none."""

    offset: int
    timestamp_ns: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Fetched(NamedTuple):
    """What one fetch of one input brought.

    `position` is the next offset to read. `at_end`: the fetch came back empty at the last stable offset;
    then `sent_ns` is a transport clock reading not later than when that fetch was sent (0 otherwise).
    """

    stream: str
    records: list[Record]
    position: int
    at_end: bool
    sent_ns: int


class Outgoing(NamedTuple):
    """A record to write; `topic` is a logical name above. `partition` None: by murmur2 of the key."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Lease(Protocol):
    """One partition task's hold on its partition number: a fenced, transactional view of the log."""

    @property
    def partition(self) -> int: ...

    @property
    def revoked(self) -> bool:
        """True once the partition was taken away: finish the commit in flight, then `close()`."""
        ...

    async def fence(self) -> None:
        """Take a new producer epoch: fences every predecessor and aborts its open transaction."""
        ...

    async def load_state(self) -> dict[bytes, bytes]:
        """Latest committed value by key of this task's `state` partition, tombstones left out."""
        ...

    async def seek(self, stream: str, offset: int | None) -> int:
        """Position an input; None: by the `start` policy. Returns the offset really taken: larger than
        asked when the log no longer reaches back so far (a coverage gap)."""
        ...

    async def fetch(self, wanted: Mapping[str, int], wait_s: float) -> list[Fetched]:
        """For each stream in `wanted` (stream -> largest number of records) at most one `Fetched`; waits
        up to `wait_s` for something to say. Streams not wanted are paused, nothing of them is lost."""
        ...

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> tuple[list[Record], int]:
        """Committed records of an internal topic (`partials`, `journal`) or of `commands` from `offset`,
        without waiting for more; and the next offset."""
        ...

    async def commit(self, records: Sequence[Outgoing]) -> None:
        """Write all records atomically. Returns only when it is decided that readers of committed data see
        them (on Kafka they do so some milliseconds later).

        Raises:
            Fenced: a newer lease exists. TransportError: whether it was written is unknown.
        """
        ...

    async def close(self) -> None: ...


class Transport(Protocol):
    """A running connection; hands out leases for the partition numbers assigned to this process."""

    @property
    def partitions(self) -> int:
        """Common partition count of the input topics."""
        ...

    def now_ns(self) -> int:
        """The transport's clock, ns since the Unix epoch."""
        ...

    async def start(self) -> None:
        """Connect, create or check topics, join the group.

        Raises:
            TransportError: unreachable, or topics not co-partitioned; the message names topic and remedy.
        """
        ...

    async def assigned(self) -> frozenset[int]:
        """Wait until the assignment differs from what the last call returned, then return it."""
        ...

    def lease(self, partition: int) -> Lease: ...

    def partition_for(self, topic: str, key: bytes) -> int:
        """Partition of a key in a topic that is keyed by deployment (`commands`, `alerts`, `status`)."""
        ...

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Write records outside any transaction (heartbeats)."""
        ...

    async def stop(self) -> None: ...
