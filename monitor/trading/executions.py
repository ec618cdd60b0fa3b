"""`Executions`: which executions of one symbol are known and what they were, for a horizon of time and count.

Whether an id is known depends on its own age and rank alone, never on when memory was tidied, so that chunks,
commits and restarts cannot be told from the outside.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from monitor.errors import StateError

CHUNK = 128
"""Entries in one state record: a commit rewrites the newest chunk only."""


class Economics(msgspec.Struct, frozen=True, gc=False):
    """What an execution did: `lots` signed, `paid` and `fee` in money units (1e-18) of their currencies."""

    lots: int
    paid: int
    fee: int
    fee_currency: str

    def alike(self, other: Economics) -> bool:
        """Whether they are the same but for the fee."""
        return (self.lots, self.paid) == (other.lots, other.paid)

    def encode(self) -> bytes:
        """The stored form."""
        return f"{self.lots} {self.paid} {self.fee} {self.fee_currency}".encode()

    @classmethod
    def decode(cls, raw: bytes) -> Economics:
        """The inverse of `encode`."""
        lots, paid, fee, currency = raw.decode().split(" ", 3)
        return cls(int(lots), int(paid), int(fee), currency)


UNDONE = b"~"
"""Starts what is remembered of an execution that was undone before it came: alone, nothing of it counts when
it comes; followed by lots and money, its fee does not where it is of those terms."""

AMENDED = b"="
"""Starts what is remembered of an execution whose terms no longer are those it came with: both, packed."""

SPENT = b""
"""What is remembered of an execution that was busted, and of a report without economics: it is known, and
there is nothing to undo."""


def fee_undone(economics: Economics) -> bytes:
    """The note of an execution that was undone before it came, by its terms without the fee."""
    return UNDONE + f"{economics.lots} {economics.paid}".encode()


def is_known(note: bytes | None) -> bool:
    """Whether the execution itself came, not only what undoes it."""
    return note is not None and not note.startswith(UNDONE)


def standing(note: bytes | None) -> Economics | None:
    """What stands of an execution and may be undone."""
    if not note or not is_known(note):
        return None
    stands = _packed(note)[0] if note.startswith(AMENDED) else note
    return Economics.decode(stands) if stands else None


def told(note: bytes | None) -> tuple[Economics, ...]:
    """All terms that are remembered of an execution of which something stands: what does, and what it came
    with, which a correction that comes before another may still undo."""
    stands = standing(note)
    if note is None or stands is None:
        return ()
    came = came_with(note)
    return (stands, Economics.decode(came)) if came else (stands,)


def came_with(note: bytes) -> bytes:
    """The encoded terms that a known execution came with, whatever became of them; `SPENT` where none."""
    return _packed(note)[1] if note.startswith(AMENDED) else note


def amended(note: bytes, stands: bytes) -> bytes:
    """What is remembered of a known execution of which now `stands` holds: encoded terms, or `SPENT`."""
    return AMENDED + msgspec.msgpack.encode((stands, came_with(note)))


def _packed(note: bytes) -> tuple[bytes, bytes]:
    return msgspec.msgpack.decode(note[len(AMENDED) :], type=tuple[bytes, bytes])


def counting(note: bytes | None, economics: Economics) -> Economics | None:
    """What counts of an execution that comes with `economics`, given what undid it before."""
    if note is None:
        return economics
    if note == UNDONE:
        return None
    return replace(economics, fee=0) if note == fee_undone(economics) else economics


class _Entry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    key: int
    eff_ns: int
    note: bytes


class Executions:
    """Notes by execution key (`wire.keys.execution_key`), oldest forgotten first.

    A key is known while its entry is at most `horizon_ns` older than the asking row's effective time and
    among the `limit` newest. Effective times never fall.
    """

    __slots__ = ("_chunks", "_count", "_gone", "_horizon", "_limit", "_newest", "_oldest", "_stored", "_tail")

    def __init__(self, horizon_ns: int, limit: int) -> None:
        self._horizon = horizon_ns
        self._limit = limit
        self._newest: dict[int, int] = {}
        self._tail: list[_Entry] = []
        self._chunks = {0: self._tail}
        """By number; entries are only ever appended, to the newest."""
        self._count = 0
        self._stored = 0
        """Entries that `records` gave."""
        self._oldest = 0
        """Number of the oldest chunk that is kept."""
        self._gone: set[int] = set()

    def __len__(self) -> int:
        return len(self._newest)

    def get(self, key: int, eff_ns: int) -> bytes | None:
        """The note of a key, None where it is not known (any more)."""
        ordinal = self._newest.get(key)
        if ordinal is None or ordinal < self._count - self._limit:
            return None
        number, place = divmod(ordinal, CHUNK)
        entry = self._chunks[number][place]
        return entry.note if entry.eff_ns >= eff_ns - self._horizon else None

    def add(self, key: int, eff_ns: int, note: bytes) -> None:
        """Remember a key, in place of what was remembered of it."""
        count = self._count
        if len(self._tail) == CHUNK:
            self._tail = self._chunks[count // CHUNK] = []
            self._forget(eff_ns)
        self._tail.append(_Entry(key, eff_ns, note))
        self._newest[key] = count
        self._count = count + 1

    def records(self, *, dirty_only: bool) -> Iterator[tuple[int, bytes | None]]:
        """(chunk number, stored chunk), None for a chunk that is to be deleted."""
        for number in sorted(self._gone):
            yield number, None
        first = max(self._oldest, self._stored // CHUNK) if dirty_only else self._oldest
        for number in range(first, -(-self._count // CHUNK)):
            yield number, msgspec.msgpack.encode(self._chunks[number])

    def mark_clean(self) -> None:
        """What `records` gave is stored."""
        self._stored = self._count
        self._gone.clear()

    def restore(self, number: int, raw: bytes) -> None:
        """Put a stored chunk back; chunks come in rising order of their number.

        Raises:
            StateError: the record cannot be read.
        """
        try:
            entries = msgspec.msgpack.decode(raw, type=list[_Entry])
        except msgspec.MsgspecError as error:
            raise StateError(f"chunk {number} of execution ids cannot be read: {error}") from error
        if not self._count:
            self._chunks.clear()
            self._oldest = number
        self._tail = self._chunks[number] = entries
        for place, entry in enumerate(entries):
            self._newest[entry.key] = number * CHUNK + place
        self._count = self._stored = number * CHUNK + len(entries)

    def _forget(self, eff_ns: int) -> None:
        """Drop full chunks of which nothing is known any more, oldest first."""
        while (number := self._oldest) != self._count // CHUNK:
            entries = self._chunks[number]
            stale = (number + 1) * CHUNK <= self._count - self._limit
            if not stale and entries[-1].eff_ns >= eff_ns - self._horizon:
                return
            for place, entry in enumerate(entries):
                if self._newest[entry.key] == number * CHUNK + place:
                    del self._newest[entry.key]
            del self._chunks[number]
            self._oldest += 1
            self._gone.add(number)
