"""Good and malformed messages of the contract, as producers write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from monitor.transport.contract import Record
from monitor.wire.dead_letters import REASONS
from monitor.wire.keys import feature_schema_crc32
from monitor.wire.table import Table

TS = 1_700_000_000_000_000_000
NAMES = ("spread", "imbalance", "momentum")
CRC = feature_schema_crc32([(name, "float32") for name in NAMES])
WIDE = ("venue", "momentum", "spread", "unused", "imbalance")
WIDE_CRC = feature_schema_crc32([(name, "float64") for name in WIDE])
SCHEMAS = {CRC: NAMES, WIDE_CRC: WIDE}


def feature(**changes: Any) -> dict[str, Any]:
    return {
        "event_id": "e-1",
        "ts_ns": TS,
        "symbol": "BTCUSD",
        "features": [0.5, -1, 2.25],
        "schema_crc32": CRC,
    } | changes


def fill(**changes: Any) -> dict[str, Any]:
    return {
        "order_id": "o-1",
        "exec_id": "x-1",
        "ts_ns": TS,
        "symbol": "BTCUSD",
        "kind": "fill",
        "side": "buy",
        "last_quantity": "0.5",
        "last_price": "100.25",
    } | changes


def without(message: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key not in names}


def body(message: Any) -> bytes:
    return json.dumps(message).encode()


def record(value: Any, offset: int = 0, key: bytes | None = None, **more: Any) -> Record:
    raw = value if isinstance(value, bytes) or value is None else body(value)
    return Record(offset=offset, timestamp_ns=more.pop("timestamp_ns", TS), key=key, value=raw, **more)


def reasons(table: Table) -> list[str]:
    return [REASONS[code] for code in table["reason"].tolist()]


def assert_same_rows(left: Table, right: Table) -> None:
    assert list(left) == list(right)
    for name in left:
        assert left[name].dtype == right[name].dtype, name
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def in_batches(
    decode: Callable[[Sequence[Record]], Table], records: Sequence[Record], cuts: list[int]
) -> Table:
    edges = [0, *sorted({cut % (len(records) + 1) for cut in cuts}), len(records)]
    parts = [decode(records[a:b]) for a, b in pairwise(edges)]
    return Table.concat(parts)
