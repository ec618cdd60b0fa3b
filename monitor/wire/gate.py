"""`Gate`: what every record of an input must pass whatever its type: size, version, plug-in, depth; then
symbol, key, partition and time. Knows no message type and no columns' meaning."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.transport.contract import Headers, Record
from monitor.wire.dead_letters import REASON_CODES, Rejected, Rejection
from monitor.wire.keys import PARTITIONERS, partition_of
from monitor.wire.messages import SCHEMA_VERSION
from monitor.wire.symbols import SymbolTable
from monitor.wire.table import NO_TIME

MAX_BYTES = 1 << 20
"""Largest message, 1 MiB: Kafka's own default."""

MAX_DEPTH = 400
"""Deepest nesting of a message: far below the interpreter's limit, so that what is accepted never depends on
how deep the caller's own stack is."""

MAX_TS_NS = (1 << 63) - 1 - 366 * 86_400 * 10**9
"""Largest event time: leaves room to add a year of lateness, windows and horizons in 64 bits."""

Plugin = Callable[[str, bytes, Headers], "Mapping[str, Any] | bytes"]
"""`decoder: package:function`: (stream, value, headers) -> the message in our form, as mapping or JSON."""

SHALLOW_BYTES = 2 * MAX_DEPTH
"""A valid message as short as this cannot nest deeper than `MAX_DEPTH`."""

T = TypeVar("T")


class Unusual(Exception):
    """Raised by a decoder's quick path at what only its slow one can settle."""


UNUSUAL = (Unusual, KeyError, RecursionError, msgspec.DecodeError, UnicodeDecodeError)

_MAJOR = SCHEMA_VERSION.encode()

_NESTING = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.DOTALL)


def load_plugin(path: str) -> Plugin:
    """The function that `package:function` names.

    Raises:
        ValueError: it cannot be imported or called; the message says why.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise ValueError(f"decoder {path!r} is not of the form package:function")
    try:
        plugin = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"decoder {path!r} cannot be loaded: {error}") from error
    if not callable(plugin):
        raise ValueError(f"decoder {path!r} is not callable")
    return plugin  # type: ignore[no-any-return]


class Gate:
    """Checks of one input stream of one partition task.

    `partition`, `partitions`: where the records come from, None for plain files, whose keys are not checked.
    `partitioner`: `murmur2`, `crc32`, or `unchecked`: keys are not checked. `clock`: `event`, or `record` to
    take the record's timestamp as event time.
    """

    def __init__(
        self,
        stream: str,
        symbols: SymbolTable,
        partition: int | None = None,
        partitions: int | None = None,
        partitioner: str = "murmur2",
        plugin: Plugin | None = None,
        clock: str = "event",
    ) -> None:
        if partitioner not in PARTITIONERS:
            raise ValueError(f"partitioner {partitioner!r} is none of {', '.join(PARTITIONERS)}")
        if clock not in ("event", "record"):
            raise ValueError(f"clock {clock!r} is neither event nor record")
        self._stream, self.symbols = stream, symbols
        self._partition, self._partitions, self._partitioner = partition, partitions, partitioner
        self._plugin = plugin
        self.keyed = partition is not None and partitions is not None and partitioner != "unchecked"
        self.by_record_clock = clock == "record"
        self.plain = plugin is None
        """True when the bytes of a record are the message itself."""
        self.homes: dict[bytes | str | None, tuple[str, int]] = {}
        """(symbol, its index) by the key, or where keys are not checked the symbol, that `place` let pass."""

    def open(self, record: Record) -> bytes:
        """The JSON of a record, its size, version and nesting checked.

        Raises:
            Rejected: empty, oversize, unknown_version, undecodable.
        """
        value = record.value
        if value is None:
            raise Rejected("empty", "the record has no value")
        if len(value) > MAX_BYTES:
            raise Rejected("oversize", f"{len(value)} bytes, at most {MAX_BYTES} are read")
        if not readable(record.headers):
            raise Rejected("unknown_version", f"header schema-version is not of version {SCHEMA_VERSION}")
        if self._plugin is not None:
            value = self._plugged(self._plugin, value, record.headers)
        if not value:
            raise Rejected("empty", "the record's value has no bytes")
        if not value.isascii():
            try:
                value.decode()
            except UnicodeDecodeError as error:
                raise Rejected("undecodable", f"not UTF-8: {error.reason} at byte {error.start}") from error
        if too_deep(value):
            raise Rejected("undecodable", f"nested deeper than {MAX_DEPTH}")
        return value

    def _plugged(self, plugin: Plugin, value: bytes, headers: Headers) -> bytes:
        try:
            message = plugin(self._stream, value, headers)
            return message if isinstance(message, bytes) else msgspec.json.encode(dict(message))
        except Exception as error:
            raise Rejected("undecodable", f"decoder: {type(error).__name__}: {error}") from error

    def place(self, symbol: str, key: bytes | None) -> int:
        """Index of the symbol of a record with this key.

        Raises:
            Rejected: unkeyed, misrouted, unknown_symbol.
        """
        mark = key if self.keyed else symbol
        known, code = self.homes.get(mark, (None, -1))
        if known == symbol:
            return code
        if self.keyed:
            self._check_key(symbol, key)
        code = self.symbols.index(symbol)
        if code < 0:
            raise Rejected("unknown_symbol", f"symbol {symbol[:80]!r} is not among the instruments")
        self.homes[mark] = symbol, code
        return code

    def _check_key(self, symbol: str, key: bytes | None) -> None:
        if key is None:
            raise Rejected("unkeyed", f"symbol {symbol[:80]!r} came without a key")
        if key != symbol.encode():
            raise Rejected("misrouted", f"key {key[:80]!r} is not the symbol {symbol[:80]!r}")
        assert self._partitions is not None
        home = partition_of(key, self._partitions, self._partitioner)
        if home != self._partition:
            raise Rejected(
                "misrouted",
                f"symbol {symbol[:80]!r} belongs to partition {home} by {self._partitioner}, "
                f"came in {self._partition}",
            )

    def time(self, ts_ns: int, record_ns: int) -> int:
        """Event time of a record: its own, or by `clock: record` the log's.

        Raises:
            Rejected: bad_time.
        """
        ts = record_ns if self.by_record_clock else ts_ns
        if 0 < ts <= MAX_TS_NS:
            return ts
        what = "record timestamp" if self.by_record_clock else "ts_ns"
        shown = str(ts) if ts.bit_length() <= 128 else f"of {ts.bit_length()} bits"
        raise Rejected("bad_time", f"{what} {shown} is not within 1 and {MAX_TS_NS}")

    def columns(
        self,
        records: Sequence[Record],
        ts: NDArray[np.int64],
        codes: NDArray[np.int32],
        rejected: Mapping[int, Rejection],
    ) -> dict[str, NDArray[Any]]:
        """The columns common to all streams; `rejected` by row."""
        n = len(records)
        reason = np.zeros(n, np.int8)
        detail = np.full(n, "", object)
        for row, why in rejected.items():
            reason[row] = REASON_CODES[why.reason]
            detail[row] = why.detail
        offsets, stamps = (np.array(x, np.int64) for x in list(zip(*records, strict=True))[:2] or ((), ()))
        return {
            "offset": offsets,
            "record_ts": np.where(stamps < 0, NO_TIME, stamps),
            "ts": ts,
            "reason": reason,
            "detail": detail,
            "symbol": codes,
            "symbol_key": self.symbols.keys_of(codes),
        }


def readable(headers: Headers) -> bool:
    """True where header `schema-version` is absent or of the major version that this reads."""
    for name, version in headers:
        if name == "schema-version" and version.partition(b".")[0] != _MAJOR:
            return False
    return True


def typed(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """`body` as the decoder's type.

    Raises:
        Rejected: undecodable, not_an_object, missing_field, ill_typed, non_finite.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        text = str(error)
        if text.startswith("Object missing required field"):
            reason = "missing_field"
        elif text.startswith(("Number out of range", "Integer value out of range")):
            reason = "non_finite"
        elif text.startswith("Expected `object`, got") and " at `$" not in text:
            reason = "not_an_object"
        else:
            reason = "ill_typed"
        raise Rejected(reason, text) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected("undecodable", str(error)) from error


def too_deep(body: bytes) -> bool:
    """True when brackets nest deeper than `MAX_DEPTH`; cheap where there are few brackets."""
    if len(body) <= MAX_DEPTH or body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for match in _NESTING.finditer(body):
        mark = match[0]
        depth += (mark in b"[{") - (mark in b"]}")
        if depth > MAX_DEPTH:
            return True
    return False
