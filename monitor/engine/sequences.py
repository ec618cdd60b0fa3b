"""`Sequences`: what depends on the order of evidence, fed with whole blocks of closed panes, once each, in
order.

They live in fold 2 alone, where the panes of all tasks are merged. Knows no particular sequence: those are
lines of `measures`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from monitor.engine.panes import Kind, Offsets, Pane, PaneBytes, cover
from monitor.state.records import read_value

BLOCKS, STANDING = "blocks", "sequence"
"""First part of the keys of state records: blocks not closed yet, by length; and sequences, by key."""


class SequenceState(Protocol):
    """What a sequence remembers; small, and restored exactly."""

    def take(self, value: float) -> bool | None:
        """The next block's value, finite; True where it shows an onset, which is dated."""
        ...

    def skip(self) -> None:
        """A block is void: the next value does not follow the last."""
        ...

    def to_bytes(self) -> bytes:
        """The state, exactly."""
        ...


@dataclass(frozen=True, slots=True)
class SequenceKind:
    """How one sequence begins, is read back, and what it takes of which panes.

    `takes`: keys of pane statistics. `value` of the merged panes of a block of `length_ns`, a multiple of the
    finest pane: None, or not finite, where the block says nothing, and is void. Without `value` it takes what
    it is fed.
    """

    key: str
    takes: tuple[str, ...]
    length_ns: int
    value: Callable[[Pane], float | None] | None
    empty: Callable[[], SequenceState]
    decode: Callable[[bytes], SequenceState]


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    since: int | None
    until: int | None
    taken: int
    void: int
    sound: bool
    onsets: list[int]
    offsets: dict[str, tuple[int, int]]
    state: bytes


@dataclass(slots=True)
class Standing:
    """A sequence as of its last closed block.

    `since`, `until`: start of the first block that it took, end of the last one. `taken`, `void`: blocks.
    `sound`: the last closed block was taken, so that the state is as of now. `onsets`: ends of the blocks
    that showed one, as far back as the longest window. `offsets`: of the rows in the blocks taken.
    """

    state: Any
    since: int | None
    until: int | None
    taken: int
    void: int
    sound: bool
    onsets: list[int]
    offsets: Offsets

    def encode(self) -> bytes:
        """The stored form."""
        offsets = dict(sorted(self.offsets.items()))
        state = self.state.to_bytes()
        return msgspec.msgpack.encode(
            _Stored(self.since, self.until, self.taken, self.void, self.sound, self.onsets, offsets, state)
        )

    @staticmethod
    def decode(key: str, data: bytes, kind: SequenceKind) -> Standing:
        """The standing back from the record `key`.

        Raises:
            StateError: unreadable.
        """
        s = read_value(_Stored, key, data)
        state = kind.decode(s.state)
        return Standing(state, s.since, s.until, s.taken, s.void, s.sound, s.onsets, s.offsets)

    @staticmethod
    def empty(kind: SequenceKind) -> Standing:
        """Before the first block."""
        return Standing(kind.empty(), None, None, 0, 0, False, [], {})


class _Pending(msgspec.Struct, frozen=True, array_like=True):
    takes: list[str]
    following: int | None
    blocks: dict[int, PaneBytes]


class _Blocks:
    """Blocks of one length that are not closed yet; they hold the statistics that sequences take."""

    def __init__(self, length_ns: int, kinds: Mapping[str, Kind]) -> None:
        self.length, self._kinds = length_ns, kinds
        self.following: int | None = None
        """Start of the next block to close; None: not begun."""
        self.pending: dict[int, Pane] = {}
        self.dirty = False

    def begin(self, at: int) -> None:
        """From the first whole block after `at` on."""
        self.following = (at // self.length + 1) * self.length
        self.pending.clear()
        self.dirty = True

    def add(self, start: int, pane: Pane) -> None:
        """A finest pane, merged over the tasks that closed it together; of a closed block, too late."""
        block = start - start % self.length
        if self.following is None or block < self.following:
            return
        if block not in self.pending:
            self.pending[block] = Pane(self._kinds, self.length)
        statistics = {key: pane.statistics[key] for key in self._kinds if key in pane.statistics}
        self.pending[block].merge(Pane(self._kinds, pane.length_ns, statistics, pane.offsets))
        self.dirty = True

    def close(self, at: int) -> Iterator[tuple[int, Pane | None]]:
        """The blocks that end by `at`, in order; None for one or more without rows."""
        end = at - at % self.length
        while self.following is not None and self.following < end:
            start = self.following
            pane = self.pending.pop(start, None)
            self.following = min([*self.pending, end]) if pane is None else start + self.length
            self.dirty = True
            yield start, pane

    def encode(self) -> bytes:
        """The stored form."""
        blocks = {start: pane.encode() for start, pane in sorted(self.pending.items())}
        return msgspec.msgpack.encode(_Pending(sorted(self._kinds), self.following, blocks))

    def restore(self, key: str, data: bytes) -> None:
        """Go on from the record `key`; where it lacks a statistic, with the next whole block.

        Raises:
            StateError: unreadable.
        """
        stored = read_value(_Pending, key, data)
        if stored.takes == sorted(self._kinds):
            self.following = stored.following
            self.pending = {
                start: Pane.decode(block, self._kinds, self.length) for start, block in stored.blocks.items()
            }


class Sequences:
    """All sequences of a deployment.

    A block closes at the first instant at or after its end. It is *void*, and no sequence takes it, where a
    task is missing then: what that task says of it later is left out, whenever it comes. A task that is
    missing and back within a block harms nothing. A block without rows, or of which a sequence makes no
    value, is void for it. After a void block the sequence goes on with the next one. At the start, after a
    reset and under another configuration all sequences begin anew, with the first whole block.
    """

    def __init__(self, sequences: Iterable[SequenceKind], kinds: Mapping[str, Kind], longest_ns: int) -> None:
        """`kinds` of the pane statistics; `longest_ns`: how long onsets are remembered."""
        self._sequences = {sequence.key: sequence for sequence in sequences}
        takes: dict[int, dict[str, Kind]] = {}
        for sequence in self._sequences.values():
            if sequence.value is None:
                continue
            taken = {key: kinds[key] for key in sequence.takes}
            takes[sequence.length_ns] = takes.get(sequence.length_ns, {}) | taken
        self._blocks = {length: _Blocks(length, takes[length]) for length in sorted(takes)}
        self._longest = longest_ns
        self.standings = {key: Standing.empty(sequence) for key, sequence in self._sequences.items()}
        self._dirty: set[str] = set()

    def fold(self, at: int, closed: Mapping[int, Pane], *, known: bool) -> None:
        """All tasks that are not missing have said everything up to `at`.

        Args:
            closed: finest panes by start, merged over tasks, that were said to be closed since the last call.
            known: no task is missing.
        """
        for length, blocks in self._blocks.items():
            if blocks.following is None:
                blocks.begin(at)
            for start in sorted(closed):
                blocks.add(start, closed[start])
            for start, pane in blocks.close(at):
                for sequence in self._sequences.values():
                    if sequence.value is not None and sequence.length_ns == length:
                        value = sequence.value(pane) if pane is not None and known else None
                        self._close(sequence, start, value, pane.offsets if pane is not None else {})

    def feed(self, key: str, start: int, value: float | None, offsets: Offsets) -> None:
        """A block of a sequence that takes no panes, from `start` on; None: it is void.

        `offsets`: of the rows in it.
        """
        self._close(self._sequences[key], start, value, offsets)

    def _close(self, sequence: SequenceKind, start: int, value: float | None, offsets: Offsets) -> None:
        standing = self.standings[sequence.key]
        end = start + sequence.length_ns
        if value is None or not math.isfinite(value):
            standing.void += 1
            standing.sound = False
            standing.state.skip()
        else:
            standing.since = start if standing.since is None else standing.since
            standing.until, standing.sound = end, True
            standing.taken += 1
            if standing.state.take(value):
                standing.onsets.append(end)
            cover(standing.offsets, offsets)
        standing.onsets = [onset for onset in standing.onsets if onset > end - self._longest]
        self._dirty.add(sequence.key)

    def restart(self, at: int) -> None:
        """After a reset at `at`: begin anew with the first whole block after `at`."""
        for blocks in self._blocks.values():
            blocks.begin(at)
        for key, sequence in self._sequences.items():
            self.standings[key] = Standing.empty(sequence)
            self._dirty.add(key)

    @property
    def offsets(self) -> Offsets:
        """Smallest and largest offset by input of the rows in the blocks that any sequence took."""
        total: Offsets = {}
        for standing in self.standings.values():
            cover(total, standing.offsets)
        return dict(sorted(total.items()))

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out: dict[str, bytes | None] = {}
        for length, blocks in self._blocks.items():
            if blocks.dirty:
                out[f"{BLOCKS}/{length}"] = blocks.encode()
                blocks.dirty = False
        for key in sorted(self._dirty):
            standing = self.standings.get(key)
            out[f"{STANDING}/{key}"] = None if standing is None else standing.encode()
        self._dirty.clear()
        return out

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from committed records; those of sequences that are no longer kept are deleted.

        Raises:
            StateError: a record cannot be read.
        """
        for key, data in records.items():
            top, _, name = key.partition("/")
            if top == BLOCKS and name.isdecimal() and int(name) in self._blocks:
                self._blocks[int(name)].restore(key, data)
            elif top == STANDING and name in self._sequences:
                self.standings[name] = Standing.decode(key, data, self._sequences[name])
            elif top == STANDING:
                self._dirty.add(name)
