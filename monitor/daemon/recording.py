"""Recordings and plain files as a replay's sources, and a run's journal read back from its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import orjson

from monitor.daemon.replay import Batches, Journal
from monitor.engine import marks
from monitor.errors import StateError
from monitor.state.records import Meta
from monitor.transport.contract import Record
from monitor.transport.files import read_batches


class TaskEnd(msgspec.Struct, frozen=True, tag="meta", kw_only=True):
    """The last `meta` of a task: where a replay of the run ends."""

    task: int
    meta: Meta


class OwnerEnd(msgspec.Struct, frozen=True, tag="end", kw_only=True):
    """The last instant that was evaluated of a deployment."""

    deployment: str
    at: int


Line = marks.Mark | TaskEnd | OwnerEnd
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def read_journal(path: Path) -> Journal:
    """A journal file: a mark a line, and each task's and owner's end.

    Raises:
        StateError: a line that is none of these.
    """
    journal = Journal()
    for batch in read_batches(path, 10_000):
        for record in batch.records:
            try:
                line = _decoder.decode(record.value or b"")
            except msgspec.DecodeError as error:
                raise StateError(f"{path}: line {record.offset + 1}: not a journal line: {error}") from error
            match line:
                case TaskEnd(task=task, meta=meta):
                    journal.metas[task] = meta
                case OwnerEnd(deployment=name, at=at):
                    journal.ends[name] = at
                case _:
                    journal.add(line)
    return journal


def recorded(path: Path) -> bool:
    """Whether a file holds `record`'s envelopes rather than plain messages."""
    for batch in read_batches(path, 1):
        return batch.topic is not None
    return False


def sources(
    files: dict[str, Path], size: int, partitions: int | None, progress: Callable[[int], None] | None = None
) -> dict[int, dict[str, Batches]]:
    """By partition and stream, the records of these files in batches of at most `size`.

    `partitions`: of a recording (a file is read once for each); None for plain files.
    """
    if partitions is None:
        return {0: {stream: _plain(path, size, progress) for stream, path in files.items()}}
    return {
        partition: {stream: _part(path, size, stream, partition, progress) for stream, path in files.items()}
        for partition in range(partitions)
    }


def count_partitions(files: dict[str, Path]) -> int:
    """How many partitions the recorded streams have; of keys seen, where no journal says it."""
    return 1 + max(
        (batch.partition for path in files.values() for batch in read_batches(path, 10_000)), default=0
    )


def _plain(path: Path, size: int, progress: Callable[[int], None] | None) -> Iterator[list[Record]]:
    for batch in read_batches(path, size, progress):
        yield batch.records


def _part(
    path: Path, size: int, stream: str, partition: int, progress: Callable[[int], None] | None
) -> Iterator[list[Record]]:
    for batch in read_batches(path, size, progress):
        if batch.topic == stream and batch.partition == partition:
            yield batch.records


def dead_letter_line(value: bytes | None, headers: tuple[tuple[str, bytes], ...]) -> bytes:
    """A dead letter as a line of `dead-letters.jsonl`: its headers, and its bytes as text where they are."""
    fields: dict[str, object] = {name: text.decode() for name, text in headers}
    for number in ("length", "source-partition", "source-offset"):
        if number in fields:
            fields[number] = int(str(fields[number]))
    raw = value or b""
    try:
        fields["value"] = raw.decode()
    except UnicodeDecodeError:
        fields["value_hex"] = raw.hex()
    return orjson.dumps(fields)
