"""What production answered, and what it looked up, is told by row; nonsense is not said."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from messages_in import NAMES, SCHEMAS, TS, feature, reasons, record

from monitor.transport.contract import Record
from monitor.wire.features import FeatureDecoder, FeatureSpace
from monitor.wire.served import MAX_LOOKUPS, TIMEOUT_NS
from monitor.wire.symbols import SymbolTable
from monitor.wire.table import Table


def decoded(*records: Record) -> Table:
    return FeatureDecoder(FeatureSpace(NAMES, SCHEMAS), SymbolTable(None)).decode(records)


@pytest.mark.parametrize(
    ("served", "mark", "latency_ns", "prediction"),
    [
        (None, 0, -1, math.nan),
        ({"status": "ok", "prediction": 0.25, "latency_ms": 1.5}, 1, 1_500_000, 0.25),
        ({"status": "ok", "latency_ms": None}, 1, -1, math.nan),
        ({"status": "error", "latency_ms": 3}, 2, 3_000_000, math.nan),
        ({"status": "OK"}, 2, -1, math.nan),
        ({"status": "timeout", "latency_ms": 50}, 2, TIMEOUT_NS, math.nan),
        ({"status": "timeout"}, 2, TIMEOUT_NS, math.nan),
        ({"prediction": 1}, 1, -1, 1.0),
        ({"status": None, "prediction": None, "latency_ms": 0.0}, 2, 0, math.nan),
        ({"status": "ok", "latency_ms": -0.5}, 1, -1, math.nan),
        ({"status": "ok", "latency_ms": 1e305}, 1, TIMEOUT_NS, math.nan),
        ({"status": "ok", "latency_ms": 0.0123456}, 1, 12_346, math.nan),
        ({}, 2, -1, math.nan),
    ],
)
def test_what_production_answered(
    served: dict[str, Any] | None, mark: int, latency_ns: int, prediction: float
) -> None:
    table = decoded(record(feature(served=served)))
    assert reasons(table) == [""]
    assert table["served"].tolist() == [mark]
    assert table["served_latency"].tolist() == [latency_ns]
    np.testing.assert_array_equal(table["served_prediction"], [prediction])


@pytest.mark.parametrize(
    ("said", "hits", "lookups"),
    [
        ({}, 0, 0),
        ({"store_hits": 3, "store_lookups": 4}, 3, 4),
        ({"store_hits": 0, "store_lookups": 4}, 0, 4),
        ({"store_hits": None, "store_lookups": 4}, 0, 0),
        ({"store_hits": 4}, 0, 0),
        ({"store_hits": 5, "store_lookups": 4}, 0, 0),
        ({"store_hits": -1, "store_lookups": 4}, 0, 0),
        ({"store_hits": 1, "store_lookups": 10**30}, 0, 0),
        ({"store_hits": 1, "store_lookups": MAX_LOOKUPS + 1}, 0, 0),
    ],
)
def test_store_counts_are_by_row_and_nonsense_is_not_said(said: Any, hits: int, lookups: int) -> None:
    good = {"store_hits": 1, "store_lookups": 2}
    broken = record(feature(ts_ns="x", **good), 1)
    rows = [record(feature(**good)), broken, record(feature(**said), 2)]
    table = decoded(*rows)
    assert reasons(table) == ["", "ill_typed", ""]
    assert table["store_hits"].tolist() == [1, 0, hits]
    assert table["store_lookups"].tolist() == [2, 0, lookups]
    assert table["ts"].tolist() == [TS, 0, TS]
