"""Feature events -> columns. The one place where a message costs Python steps; knows no model."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.transport.contract import FEATURES, Record
from monitor.wire.dead_letters import Rejected, Rejection
from monitor.wire.gate import MAX_BYTES, MAX_DEPTH, MAX_TS_NS, Gate, Plugin, readable, too_deep, typed
from monitor.wire.keys import category_code, combine, hash64_many
from monitor.wire.messages import FeatureEvent, Served
from monitor.wire.symbols import SymbolTable
from monitor.wire.table import Table

TIMEOUT_NS = np.iinfo(np.int64).max
"""`served_latency` of a request that timed out: above every limit."""

UNKNOWN_NS = -1
"""`served_latency` that production did not say."""

_NAN = float("nan")
_OK, _FAILED, _TIMEOUT, _UNSAID = 1.0, 2.0, 3.0, 4.0
_MARKS: dict[str | None, float] = {"ok": _OK, "timeout": _TIMEOUT, None: _UNSAID}
_NOT_SERVED = Served()
_QUOTE = ("bid", "ask", "price")

MAX_LOOKUPS = 1 << 20
"""Lookups that one event can have made; a message that says more, or more hits than lookups, said nothing."""

_HEAD = struct.Struct("<2q6d")
_HEAD_TYPE = np.dtype(
    [("ts", "<i8"), ("symbol", "<i8")]
    + [(name, "<f8") for name in (*_QUOTE, "mark", "latency_ms", "prediction")]
)
_BLANK_HEAD = _HEAD.pack(0, -1, _NAN, _NAN, _NAN, 0.0, _NAN, _NAN)

_SHALLOW_BYTES = 2 * MAX_DEPTH
"""A valid message as short as this cannot nest deeper than `MAX_DEPTH`."""

_NUMBER: Any = float | bool | None
_TEXT: Any = str | None

_MAX_CODES = 1 << 16
"""Categories whose codes are remembered; where a feed makes up more, they are computed again."""

_Pick = Callable[[tuple[Any, ...]], tuple[Any, ...]]


class _Unusual(Exception):
    """Raised by the quick path at what only `_judge` can settle."""


_UNUSUAL = (_Unusual, KeyError, RecursionError, msgspec.DecodeError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """The columns that somebody needs: `names`, the union over models and references, in the order of the
    columns of `values`. `schemas`: column names of array messages by the CRC32 of their schema.

    Those of `names` in `categorical` hold text, in `values` its `keys.category_code`; all others hold numbers
    and booleans. A message with text for a number, or anything but text for a category, is ill-typed: taking
    one for the other would read a changed feed as a new category, or as no value at all.
    """

    names: tuple[str, ...]
    schemas: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    categorical: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for names in (self.names, *self.schemas.values()):
            if len(set(names)) != len(names):
                raise ValueError(f"feature names are not unique: {names}")
        if strange := self.categorical - set(self.names):
            raise ValueError(f"categorical, but no feature: {sorted(strange)}")


class _Layout(NamedTuple):
    """How messages are read while array messages follow one schema; `crc` None: by name only."""

    decode: Callable[[bytes], Any]
    crc: int | None
    pick: _Pick | None


class FeatureDecoder:
    """Records of the feature stream as columns, rejected rows too, in the order given.

    `partition`, `partitions`, `partitioner`, `decoder`, `clock`: as `gate.Gate` has them.
    """

    def __init__(
        self,
        space: FeatureSpace,
        symbols: SymbolTable,
        partition: int | None = None,
        partitions: int | None = None,
        partitioner: str = "murmur2",
        decoder: Plugin | None = None,
        clock: str = "event",
    ) -> None:
        self._space = space
        self._gate = Gate(FEATURES, symbols, partition, partitions, partitioner, decoder, clock)
        self._pack_cells = struct.Struct(f"<{len(space.names)}d").pack
        self._blank_cells = self._pack_cells(*[_NAN] * len(space.names))
        categories = [i for i, name in enumerate(space.names) if name in space.categorical]
        self._coded = _Codes(categories).coded if categories else None
        self._layouts = {crc: self._layout_of(crc) for crc in (None, *space.schemas)}
        self._layout = self._layouts[next(iter(space.schemas), None)]
        self._any = msgspec.json.Decoder(_event_type(list[Any] | _by_name(dict.fromkeys(space.names, Any))))

    def _layout_of(self, crc: int | None) -> _Layout:
        types = {name: _TEXT if name in self._space.categorical else _NUMBER for name in self._space.names}
        cells: Any = _by_name(types)
        if crc is None:
            return _Layout(msgspec.json.Decoder(_event_type(cells)).decode, None, None)
        columns = self._space.schemas[crc]
        array: Any = tuple[tuple(types.get(name, Any) for name in columns)]  # type: ignore[misc]
        return _Layout(
            msgspec.json.Decoder(_event_type(array | cells)).decode, crc, _picker(self._space.names, columns)
        )

    def decode(self, records: Sequence[Record]) -> Table:
        """Columns of `docs/architecture.md` for n records: the common ones, `event_id`, `sample_key`,
        `values` (n, features), `bid`, `ask`, `price`, `served`, `served_latency`, `served_prediction`,
        `store_hits` and `store_lookups` (both 0 where not said).

        The usual message is packed straight from its typed form; whatever is unusual about one sends it
        through `_judge`, which alone defines what is refused and why.
        """
        heads: list[bytes] = []
        cells_of: list[bytes] = []
        event_ids: list[str] = []
        stores: list[tuple[int, int | None, int]] = []
        rejected: dict[int, Rejection] = {}
        homes, pack_head, pack_cells = self._gate.homes, _HEAD.pack, self._pack_cells
        plain, keyed, by_record_clock = self._gate.plain, self._gate.keyed, self._gate.by_record_clock
        decode, crc, pick = self._layout
        coded = self._coded
        for record in records:
            _, stamp, key, value, headers = record
            try:
                try:
                    if value is None or not plain or (headers and not readable(headers)):
                        raise _Unusual
                    if len(value) > _SHALLOW_BYTES and (len(value) > MAX_BYTES or too_deep(value)):
                        raise _Unusual
                    if not value.isascii():
                        value.decode()
                    event = decode(value)
                    cells = event.features
                    if type(cells) is not tuple:
                        cells = msgspec.structs.astuple(cells)
                    elif event.schema_crc32 != crc:
                        raise _Unusual
                    elif pick is not None:
                        cells = pick(cells)
                    if coded is not None:
                        cells = coded(cells)
                    ts, served = stamp if by_record_clock else event.ts_ns, event.served
                    symbol, code = homes[key if keyed else event.symbol]
                    if symbol != event.symbol or not 0 < ts <= MAX_TS_NS:
                        raise _Unusual
                except _UNUSUAL:
                    event, ts, code, cells = self._judge(record)
                    served = event.served
                    decode, crc, pick = self._layout
                try:
                    vector = pack_cells(*cells)
                except struct.error:
                    vector = pack_cells(*[_NAN if x is None else x for x in cells])
                try:
                    if served is None:
                        head = pack_head(ts, code, event.bid, event.ask, event.price, 0.0, _NAN, _NAN)
                    else:
                        mark = _MARKS.get(served.status, _FAILED)
                        head = pack_head(
                            ts,
                            code,
                            event.bid,
                            event.ask,
                            event.price,
                            mark,
                            served.latency_ms,
                            served.prediction,
                        )
                except struct.error:
                    head = _head(ts, code, event)
                if event.store_lookups is not None:
                    stores.append((len(heads), event.store_hits, event.store_lookups))
                heads.append(head)
                cells_of.append(vector)
                event_ids.append(event.event_id)
            except Rejected as why:
                rejected[len(heads)] = why.rejection
                heads.append(_BLANK_HEAD)
                cells_of.append(self._blank_cells)
                event_ids.append("")
        values = np.frombuffer(b"".join(cells_of), "<f8").reshape(len(records), len(self._space.names))
        columns = np.frombuffer(b"".join(heads), _HEAD_TYPE)
        return self._table(records, columns, values, event_ids, _store_counts(len(records), stores), rejected)

    def _judge(self, record: Record) -> tuple[Any, int, int, tuple[float | None, ...]]:
        """Any record at all: its event, time, symbol and needed cells; switches to the schema it follows.

        Raises:
            Rejected: with every reason that decoding knows.
        """
        event = typed(self._any, self._gate.open(record))
        cells = event.features
        if isinstance(cells, list):
            crc = event.schema_crc32
            if crc is None:
                raise Rejected("missing_field", "`schema_crc32` is required with an array of features")
            columns = self._space.schemas.get(crc)
            if columns is None:
                raise Rejected("unknown_schema", f"no feature schema has CRC32 {crc}")
            if len(cells) != len(columns):
                raise Rejected("wrong_width", f"{len(cells)} features, schema {crc} has {len(columns)}")
            self._layout = self._layouts[crc]
            pick = self._layout.pick
            cells = tuple(cells) if pick is None else pick(tuple(cells))
        else:
            cells = msgspec.structs.astuple(cells)
        categorical = self._space.categorical
        cells = tuple(
            _category(name, cell) if name in categorical else _cell(name, cell)
            for name, cell in zip(self._space.names, cells, strict=True)
        )
        code = self._gate.place(event.symbol, record.key)
        return event, self._gate.time(event.ts_ns, record.timestamp_ns), code, cells

    def _table(
        self,
        records: Sequence[Record],
        heads: NDArray[Any],
        values: NDArray[np.float64],
        event_ids: Sequence[str],
        stores: tuple[NDArray[np.int64], NDArray[np.int64]],
        rejected: Mapping[int, Rejection],
    ) -> Table:
        columns = self._gate.columns(records, heads["ts"], heads["symbol"].astype(np.int32), rejected)
        sample_key = hash64_many(event_ids)
        dedupe_key = combine(columns["symbol_key"], sample_key)
        if rejected:
            bad = list(rejected)
            sample_key[bad] = dedupe_key[bad] = 0
        mark, prediction = heads["mark"], heads["prediction"]
        columns |= {
            "dedupe_key": dedupe_key,
            "event_id": np.array(event_ids, object),
            "sample_key": sample_key,
            "values": values,
            "bid": heads["bid"],
            "ask": heads["ask"],
            "price": heads["price"],
            "served": _served(mark, prediction),
            "served_latency": _latency_ns(heads["latency_ms"], mark == _TIMEOUT),
            "served_prediction": prediction,
            "store_hits": stores[0],
            "store_lookups": stores[1],
        }
        return Table(columns)


def _head(ts: int, code: int, event: Any) -> bytes:
    """The packed head of a row with nulls filled in and decimal text read.

    Raises:
        Rejected: ill_typed, non_finite.
    """
    quote = (_price(name, getattr(event, name)) for name in _QUOTE)
    served: Served = event.served or _NOT_SERVED
    mark = 0.0 if event.served is None else _MARKS.get(served.status, _FAILED)
    latency_ms, prediction = (_NAN if x is None else x for x in (served.latency_ms, served.prediction))
    return _HEAD.pack(ts, code, *quote, mark, latency_ms, prediction)


def _event_type(features: Any) -> type[Any]:
    """`FeatureEvent` with another type of `features`, and absent quotes already NaN."""
    fields: list[Any] = []
    for info in msgspec.structs.fields(FeatureEvent):
        if info.name == "features":
            fields.append((info.name, features))
        elif info.required:
            fields.append((info.name, info.type))
        else:
            fields.append((info.name, info.type, _NAN if info.name in _QUOTE else info.default))
    return msgspec.defstruct("FeatureEvent", fields, kw_only=True, gc=False)


def _by_name(types: Mapping[str, Any]) -> type[Any]:
    """Features by name: the needed ones alone, NaN where absent; all others are skipped unread."""
    fields = [(f"f{i}", cell, _NAN) for i, cell in enumerate(types.values())]
    rename = {f"f{i}": name for i, name in enumerate(types)}
    return msgspec.defstruct("features", fields, rename=rename, gc=False)


def _picker(names: tuple[str, ...], columns: tuple[str, ...]) -> _Pick | None:
    """Takes the cells of `names` out of a tuple of cells in the order of `columns`, NaN for those it lacks;
    None where it already is what is needed."""
    if names == columns:
        return None
    places = [columns.index(name) if name in columns else -1 for name in names]
    if -1 in places or len(places) < 2:
        return lambda cells: tuple([_NAN if i < 0 else cells[i] for i in places])
    return itemgetter(*places)


class _Codes(dict[str | float | None, float]):
    """Codes of categories already met; NaN of what is null or absent. `places`: of categories in a row."""

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__({None: _NAN, _NAN: _NAN})
        self._places = tuple(places)

    def __missing__(self, text: Any) -> float:
        code = category_code(text)
        if len(self) < _MAX_CODES:
            self[text] = code
        return code

    def coded(self, cells: tuple[Any, ...]) -> tuple[Any, ...]:
        """The row with codes in the place of text."""
        row = list(cells)
        for place in self._places:
            row[place] = self[row[place]]
        return tuple(row)


def _category(name: str, value: Any) -> float | None:
    """The code of a category; None where it is null, NaN where it is absent.

    Raises:
        Rejected: ill_typed.
    """
    if value is None or value is _NAN:
        return value
    if not isinstance(value, str):
        raise Rejected("ill_typed", f"feature {name!r} is needed as text, got {type(value).__name__}")
    return category_code(value)


def _cell(name: str, value: Any) -> float | None:
    """A needed feature as a float; None where it is null.

    Raises:
        Rejected: ill_typed, non_finite.
    """
    if value is None or isinstance(value, float):
        return value
    if not isinstance(value, int):
        raise Rejected("ill_typed", f"feature {name!r} is needed as a number, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError as error:
        raise Rejected("non_finite", f"feature {name!r} is beyond the range of a float") from error


def _price(name: str, value: float | str | None) -> float:
    """A quote as a float, NaN where it is null.

    Raises:
        Rejected: ill_typed, non_finite.
    """
    if value is None:
        return _NAN
    if not isinstance(value, str):
        return value
    try:
        number = float(Decimal(value))
    except (InvalidOperation, ValueError) as error:
        raise Rejected("ill_typed", f"`{name}` is not decimal text: {value[:40]!r}") from error
    if not math.isfinite(number):
        raise Rejected("non_finite", f"`{name}` is not finite: {value[:40]!r}")
    return number


def _store_counts(
    rows: int, told: Sequence[tuple[int, int | None, int]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hits and lookups by row, 0 where they were not said."""
    counts = np.zeros((2, rows), np.int64)
    for row, hits, lookups in told:
        if hits is not None and 0 <= hits <= lookups <= MAX_LOOKUPS:
            counts[0, row], counts[1, row] = hits, lookups
    return counts[0], counts[1]


def _served(mark: NDArray[np.float64], prediction: NDArray[np.float64]) -> NDArray[np.int8]:
    """0 not said, 1 ok, 2 failed; without a status, an answer with a prediction is ok."""
    unsaid = np.where(np.isnan(prediction), _FAILED, _OK)
    return np.where(mark == _UNSAID, unsaid, np.minimum(mark, _FAILED)).astype(np.int8)


def _latency_ns(latency_ms: NDArray[np.float64], timed_out: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Nanoseconds; `UNKNOWN_NS` where absent or negative (clocks were set), `TIMEOUT_NS` for a timeout."""
    with np.errstate(over="ignore"):
        ns = np.rint(latency_ms * 1e6)
    known = ns >= 0
    endless = timed_out | (ns >= float(TIMEOUT_NS))
    whole = np.where(known & ~endless, ns, float(UNKNOWN_NS)).astype(np.int64)
    return np.where(endless, TIMEOUT_NS, whole)
