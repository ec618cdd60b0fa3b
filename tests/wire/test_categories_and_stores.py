"""Text of categorical columns becomes codes, never numbers; what the feature store said is counted by row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from messages_in import TS, assert_same_rows, feature, in_batches, reasons, record

from monitor.wire import features as features_module
from monitor.wire.features import MAX_LOOKUPS, FeatureDecoder, FeatureSpace
from monitor.wire.keys import category_code, feature_schema_crc32, hash64
from monitor.wire.symbols import SymbolTable

NAMES = ("spread", "venue", "regime")
COLUMNS = ("venue", "unused", "spread", "regime")
CRC = feature_schema_crc32([(name, "string") for name in COLUMNS])
SPACE = FeatureSpace(NAMES, {CRC: COLUMNS}, frozenset({"venue", "regime"}))


def decoder() -> FeatureDecoder:
    return FeatureDecoder(SPACE, SymbolTable(None))


def by_place(*cells: Any, **more: Any) -> dict[str, Any]:
    return feature(features=list(cells), schema_crc32=CRC, **more)


def test_text_becomes_a_code_below_2_to_the_53_and_null_or_absent_is_missing() -> None:
    messages = [
        by_place("XNAS", {"any": 1}, 0.5, "calm"),
        by_place(None, None, 1, ""),
        feature(features={"venue": "été 𝄞", "spread": 2}),
        feature(features={"regime": None, "spread": None}),
        by_place("XNAS", 0, 3.0, "XNAS"),
    ]
    table = decoder().decode([record(m, i) for i, m in enumerate(messages)])
    assert reasons(table) == [""] * 5
    code, nan = category_code, math.nan
    expected = [
        [0.5, code("XNAS"), code("calm")],
        [1.0, nan, code("")],
        [2.0, code("été 𝄞"), nan],
        [nan, nan, nan],
        [3.0, code("XNAS"), code("XNAS")],
    ]
    np.testing.assert_array_equal(table["values"], expected)
    assert code("été 𝄞") == hash64("été 𝄞".encode()) >> 11 < 2**53


@pytest.mark.parametrize(
    "message",
    [
        by_place("X", 0, "0.5", "calm"),
        by_place(1, 0, 0.5, "calm"),
        by_place("X", 0, 0.5, True),
        by_place("X", 0, 0.5, ["calm"]),
        feature(features={"spread": 1, "venue": 3.5}),
        feature(features={"spread": "wide", "venue": "X"}),
    ],
)
def test_a_number_for_text_and_text_for_a_number_are_ill_typed(message: dict[str, Any]) -> None:
    table = decoder().decode([record(by_place("X", 0, 1, "y")), record(message, 1)])
    assert reasons(table) == ["", "ill_typed"]


def test_the_careful_way_reads_what_the_quick_way_reads() -> None:
    records = [record(by_place(f"V{i % 7}", 0, i, None if i % 3 else "r", bid="1.5"), i) for i in range(40)]
    quick = in_batches(decoder().decode, records, [3, 17])
    careful = FeatureDecoder(SPACE, SymbolTable(None), decoder=lambda stream, value, headers: value)
    assert_same_rows(quick, careful.decode(records))


def test_more_categories_than_are_remembered_keep_their_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "_MAX_CODES", 5)
    records = [record(by_place(f"V{i % 20}", 0, 1, "r"), i) for i in range(60)]
    codes = decoder().decode(records)["values"][:, 1]
    assert codes.tolist() == [category_code(f"V{i % 20}") for i in range(60)]


def test_a_category_that_is_no_column_is_refused() -> None:
    with pytest.raises(ValueError, match="venue"):
        FeatureSpace(("spread",), {}, frozenset({"venue"}))


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
    broken = record(by_place("X", 0, 1, "y", ts_ns="x", **good), 1)
    rows = [record(by_place("X", 0, 1, "y", **good)), broken, record(by_place("X", 0, 1, "y", **said), 2)]
    table = decoder().decode(rows)
    assert reasons(table) == ["", "ill_typed", ""]
    assert table["store_hits"].tolist() == [1, 0, hits]
    assert table["store_lookups"].tolist() == [2, 0, lookups]
    assert table["ts"].tolist() == [TS, 0, TS]
