"""Cells and quotes become floats, text of categorical columns codes, never numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from messages_in import NAMES, SCHEMAS, assert_same_rows, feature, in_batches, reasons, record, without

from monitor.wire import cells as cells_module
from monitor.wire.features import FeatureDecoder, FeatureSpace
from monitor.wire.keys import category_code, feature_schema_crc32, hash64
from monitor.wire.symbols import SymbolTable
from monitor.wire.table import Table

COLUMNS = ("venue", "unused", "spread", "regime")
CRC = feature_schema_crc32([(name, "string") for name in COLUMNS])
NUMBERS = FeatureSpace(NAMES, SCHEMAS)
SPACE = FeatureSpace(("spread", "venue", "regime"), {CRC: COLUMNS}, frozenset({"venue", "regime"}))


def decoder() -> FeatureDecoder:
    return FeatureDecoder(SPACE, SymbolTable(None))


def numbers_of(message: dict[str, Any]) -> Table:
    return FeatureDecoder(NUMBERS, SymbolTable(None)).decode([record(message)])


def by_place(*cells: Any, **more: Any) -> dict[str, Any]:
    return feature(features=list(cells), schema_crc32=CRC, **more)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([1, 2.5, -3], [1.0, 2.5, -3.0]),
        ([None, True, False], [math.nan, 1.0, 0.0]),
        ([1e-320, 9007199254740993, -0.0], [1e-320, 9007199254740992.0, -0.0]),
        ([10**300, -(10**22) - 1, 2**64 + 1], [1e300, -1e22, 2.0**64]),
    ],
)
def test_cells_are_read_as_floats(cells: list[Any], expected: list[float]) -> None:
    for message in (
        feature(features=cells),
        without(feature(features=dict(zip(NAMES, cells, strict=True))), "schema_crc32"),
    ):
        table = numbers_of(message)
        assert reasons(table) == [""]
        np.testing.assert_array_equal(table["values"], [expected])
        np.testing.assert_array_equal(np.signbit(table["values"]), [np.signbit(expected)])


@pytest.mark.parametrize(
    ("quote", "expected"),
    [
        ({"bid": 1, "ask": 1.5, "price": "1.25"}, [1.0, 1.5, 1.25]),
        ({"bid": "100.10", "ask": None}, [100.1, math.nan, math.nan]),
        ({"price": -3.5}, [math.nan, math.nan, -3.5]),
    ],
)
def test_quotes_are_numbers_or_decimal_text(quote: dict[str, Any], expected: list[float]) -> None:
    table = numbers_of(feature(**quote))
    assert reasons(table) == [""]
    np.testing.assert_array_equal([table[name][0] for name in ("bid", "ask", "price")], expected)


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
    monkeypatch.setattr(cells_module, "_MAX_CODES", 5)
    records = [record(by_place(f"V{i % 20}", 0, 1, "r"), i) for i in range(60)]
    codes = decoder().decode(records)["values"][:, 1]
    assert codes.tolist() == [category_code(f"V{i % 20}") for i in range(60)]


def test_a_category_that_is_no_column_is_refused() -> None:
    with pytest.raises(ValueError, match="venue"):
        FeatureSpace(("spread",), {}, frozenset({"venue"}))
