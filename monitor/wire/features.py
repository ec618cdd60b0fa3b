"""Feature events -> columns. The one place where a message costs Python steps; knows no model."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.transport.contract import FEATURES, Record
from monitor.wire.cells import ABSENT, NUMBER, TEXT, Codes, Pick, by_name, category, number, picker, price
from monitor.wire.dead_letters import Rejected, Rejection
from monitor.wire.gate import (
    MAX_BYTES,
    MAX_TS_NS,
    SHALLOW_BYTES,
    UNUSUAL,
    Gate,
    Plugin,
    Unusual,
    readable,
    too_deep,
    typed,
)
from monitor.wire.keys import combine, hash64_many
from monitor.wire.messages import FeatureEvent, Served
from monitor.wire.served import FAILED, MARKS, TIMEOUT, answered, latency_ns, store_counts
from monitor.wire.symbols import SymbolTable
from monitor.wire.table import Table

_NOT_SERVED = Served()
_QUOTE = ("bid", "ask", "price")

_HEAD = struct.Struct("<2q6d")
_HEAD_TYPE = np.dtype(
    [("ts", "<i8"), ("symbol", "<i8")]
    + [(name, "<f8") for name in (*_QUOTE, "mark", "latency_ms", "prediction")]
)
_BLANK_HEAD = _HEAD.pack(0, -1, ABSENT, ABSENT, ABSENT, 0.0, ABSENT, ABSENT)


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
    pick: Pick | None


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
        self._blank_cells = self._pack_cells(*[ABSENT] * len(space.names))
        categories = [i for i, name in enumerate(space.names) if name in space.categorical]
        self._coded = Codes(categories).coded if categories else None
        self._layouts = {crc: self._layout_of(crc) for crc in (None, *space.schemas)}
        self._layout = self._layouts[next(iter(space.schemas), None)]
        self._any = msgspec.json.Decoder(_event_type(list[Any] | by_name(dict.fromkeys(space.names, Any))))

    def _layout_of(self, crc: int | None) -> _Layout:
        types = {name: TEXT if name in self._space.categorical else NUMBER for name in self._space.names}
        cells: Any = by_name(types)
        if crc is None:
            return _Layout(msgspec.json.Decoder(_event_type(cells)).decode, None, None)
        columns = self._space.schemas[crc]
        array: Any = tuple[tuple(types.get(name, Any) for name in columns)]  # type: ignore[misc]
        return _Layout(
            msgspec.json.Decoder(_event_type(array | cells)).decode, crc, picker(self._space.names, columns)
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
                        raise Unusual
                    if len(value) > SHALLOW_BYTES and (len(value) > MAX_BYTES or too_deep(value)):
                        raise Unusual
                    if not value.isascii():
                        value.decode()
                    event = decode(value)
                    cells = event.features
                    if type(cells) is not tuple:
                        cells = msgspec.structs.astuple(cells)
                    elif event.schema_crc32 != crc:
                        raise Unusual
                    elif pick is not None:
                        cells = pick(cells)
                    if coded is not None:
                        cells = coded(cells)
                    ts, served = stamp if by_record_clock else event.ts_ns, event.served
                    symbol, code = homes[key if keyed else event.symbol]
                    if symbol != event.symbol or not 0 < ts <= MAX_TS_NS:
                        raise Unusual
                except UNUSUAL:
                    event, ts, code, cells = self._judge(record)
                    served = event.served
                    decode, crc, pick = self._layout
                try:
                    vector = pack_cells(*cells)
                except struct.error:
                    vector = pack_cells(*[ABSENT if x is None else x for x in cells])
                try:
                    if served is None:
                        head = pack_head(ts, code, event.bid, event.ask, event.price, 0.0, ABSENT, ABSENT)
                    else:
                        mark = MARKS.get(served.status, FAILED)
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
        return self._table(records, columns, values, event_ids, store_counts(len(records), stores), rejected)

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
            category(name, cell) if name in categorical else number(name, cell)
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
            "served": answered(mark, prediction),
            "served_latency": latency_ns(heads["latency_ms"], mark == TIMEOUT),
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
    quote = (price(name, getattr(event, name)) for name in _QUOTE)
    served: Served = event.served or _NOT_SERVED
    mark = 0.0 if event.served is None else MARKS.get(served.status, FAILED)
    latency_ms, prediction = (ABSENT if x is None else x for x in (served.latency_ms, served.prediction))
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
            fields.append((info.name, info.type, ABSENT if info.name in _QUOTE else info.default))
    return msgspec.defstruct("FeatureEvent", fields, kw_only=True, gc=False)
