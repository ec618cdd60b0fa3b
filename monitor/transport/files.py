"""Streams in files: plain messages or `record`'s envelopes, one a line, read in batches and written whole.

Knows no message type. A plain file is one partition: a line is a value, its number (from 0) the offset, there
is no key and no timestamp. An envelope is what a Kafka record was, as one JSON object a line:

    {"topic": "orders", "partition": 3, "offset": 17, "timestamp_ns": 1700000000000000000,
     "key": "BTCUSD", "value": "{...}", "headers": [["schema-version", "1"]]}

`topic` is the logical name. Key, value and header values are a string (UTF-8 text), `{"b64": "..."}` (bytes
that are no UTF-8) or null; what is null or empty is left out. Suffixes `.gz` and `.zst` are unpacked and
packed; `.parquet` (extra `parquet`) holds plain messages, a row a message.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import importlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import msgspec
import orjson
import zstandard

from monitor.errors import TransportError
from monitor.transport.contract import Record

LOGICAL_PARTITION = 0
"""Partition number of a plain file."""


class Batch(NamedTuple):
    """Records of one partition in offset order; `topic` is None in a plain file."""

    topic: str | None
    partition: int
    records: list[Record]


class _Bytes(msgspec.Struct, frozen=True):
    b64: str


_Text = str | _Bytes | None


class _Envelope(msgspec.Struct, omit_defaults=True, frozen=True, forbid_unknown_fields=True):
    topic: str
    partition: int
    offset: int
    timestamp_ns: int = -1
    key: _Text = None
    value: _Text = None
    headers: list[tuple[str, _Text]] = []


_decoder = msgspec.json.Decoder(_Envelope)
_encoder = msgspec.json.Encoder()


def read_batches(path: Path, size: int, progress: Callable[[int], None] | None = None) -> Iterator[Batch]:
    """All records of a file in batches of at most `size`; `progress` hears how many bytes of it were read.

    Offsets rise within a partition; partitions come in turns. Whether lines are envelopes shows in the first.

    Raises:
        TransportError: the file cannot be read or unpacked, or a line of a file of envelopes is none.
    """
    if path.suffix == ".parquet":
        yield from _read_parquet(path, size)
        return
    waiting: dict[tuple[str | None, int], list[Record]] = {}
    enveloped: bool | None = None
    try:
        with _lines(path) as (lines, told):
            for number, raw in enumerate(lines):
                line = raw.rstrip(b"\r\n")
                if not line:
                    continue
                if enveloped is None:
                    enveloped = is_envelope(line)
                if enveloped:
                    topic, partition, record = _opened(path, number, line)
                else:
                    topic, partition, record = None, LOGICAL_PARTITION, Record(number, -1, None, line)
                records = waiting.setdefault((topic, partition), [])
                records.append(record)
                if len(records) >= size:
                    del waiting[topic, partition]
                    yield Batch(topic, partition, records)
                    if progress is not None:
                        progress(told())
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise TransportError(
            f"{path}: cannot be read: {error}; is it whole, and named by its format?"
        ) from error
    for (topic, partition), records in waiting.items():
        yield Batch(topic, partition, records)


def is_envelope(line: bytes) -> bool:
    """Whether a line is one of `record`'s envelopes rather than a plain message."""
    try:
        _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def envelope(topic: str, partition: int, record: Record) -> bytes:
    """The line, without its end, that `read_batches` reads back as this record."""
    return _encoder.encode(
        _Envelope(
            topic,
            partition,
            record.offset,
            record.timestamp_ns,
            _text(record.key),
            _text(record.value),
            [(name, _text(value)) for name, value in record.headers],
        )
    )


class LineWriter:
    """Writes lines to a file that appears under its name whole, or not at all.

    Packed by suffix; the same lines give the same bytes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._file: IO[bytes] = self._part.open("wb")
        self._out: Any = self._file
        if path.suffix == ".gz":
            self._out = gzip.GzipFile("", "wb", fileobj=self._file, mtime=0)
        elif path.suffix == ".zst":
            self._out = zstandard.ZstdCompressor().stream_writer(self._file, closefd=False)

    def write(self, line: bytes) -> None:
        """One line, given without its end."""
        self._out.write(line + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._out is not self._file:
            self._out.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink()


@contextmanager
def _lines(path: Path) -> Iterator[tuple[Iterable[bytes], Callable[[], int]]]:
    """The unpacked lines of a file, and how far it was read."""
    with path.open("rb") as raw:
        if path.suffix == ".gz":
            with gzip.open(raw) as unpacked:
                yield unpacked, raw.tell
        elif path.suffix == ".zst":
            yield _split(_unpack_zst(raw)), raw.tell
        else:
            yield raw, raw.tell


def _unpack_zst(raw: IO[bytes]) -> Iterator[bytes]:
    # zstandard's stream reader ends a truncated file without a word.
    frame: Any = None
    while chunk := raw.read(1 << 17):
        while chunk:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(chunk)
            chunk = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("it ends in the middle of a frame")


def _split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _opened(path: Path, number: int, line: bytes) -> tuple[str, int, Record]:
    try:
        found = _decoder.decode(line)
        return (
            found.topic,
            found.partition,
            Record(
                found.offset,
                found.timestamp_ns,
                _bytes(found.key),
                _bytes(found.value),
                tuple((name, _bytes(value) or b"") for name, value in found.headers),
            ),
        )
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error) as error:
        raise TransportError(
            f"{path}: line {number + 1} is no envelope like those before it: {error}"
        ) from error


def _text(data: bytes | None) -> _Text:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _Bytes(base64.b64encode(data).decode())


def _bytes(text: _Text) -> bytes | None:
    if isinstance(text, _Bytes):
        return base64.b64decode(text.b64, validate=True)
    return None if text is None else text.encode()


def _read_parquet(path: Path, size: int) -> Iterator[Batch]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise TransportError(f"{path}: Parquet needs pyarrow; install shadow-monitor[parquet]") from error
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for rows in file.iter_batches(batch_size=size):
                messages = [
                    orjson.dumps({k: v for k, v in row.items() if v is not None}, default=str)
                    for row in rows.to_pylist()
                ]
                yield Batch(
                    None, LOGICAL_PARTITION, [Record(number + i, -1, None, m) for i, m in enumerate(messages)]
                )
                number += len(messages)
    except (OSError, ValueError) as error:
        raise TransportError(f"{path}: cannot be read as Parquet: {error}") from error
