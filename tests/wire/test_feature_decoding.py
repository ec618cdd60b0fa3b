"""Feature events become the columns that a plain reading of their JSON gives, whatever the batches."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages_in import (
    CRC,
    NAMES,
    SCHEMAS,
    TS,
    WIDE,
    WIDE_CRC,
    assert_same_rows,
    body,
    feature,
    in_batches,
    reasons,
    record,
)

from monitor.transport.contract import Headers
from monitor.wire.features import FeatureDecoder, FeatureSpace
from monitor.wire.keys import combine, hash64, partition_of
from monitor.wire.symbols import SymbolTable
from monitor.wire.table import NO_TIME, Table

SPACE = FeatureSpace(NAMES, SCHEMAS)


def decoder(space: FeatureSpace = SPACE, **options: Any) -> FeatureDecoder:
    return FeatureDecoder(space, SymbolTable(None), **options)


def decode_one(message: Any, space: FeatureSpace = SPACE, **options: Any) -> Table:
    return decoder(space, **options).decode([record(message)])


def as_it_came(stream: str, value: bytes, headers: Headers) -> bytes:
    """A plug-in that changes nothing: sends every message the careful way."""
    return value


# --- columns -------------------------------------------------------------------------------------------


def test_columns_are_those_of_the_architecture() -> None:
    table = decode_one(feature())
    assert {name: (column.dtype.str, column.ndim) for name, column in table.columns.items()} == {
        "offset": ("<i8", 1),
        "record_ts": ("<i8", 1),
        "ts": ("<i8", 1),
        "reason": ("|i1", 1),
        "detail": ("|O", 1),
        "symbol": ("<i4", 1),
        "symbol_key": ("<u8", 1),
        "dedupe_key": ("<u8", 1),
        "event_id": ("|O", 1),
        "sample_key": ("<u8", 1),
        "values": ("<f8", 2),
        "bid": ("<f8", 1),
        "ask": ("<f8", 1),
        "price": ("<f8", 1),
        "served": ("|i1", 1),
        "served_latency": ("<i8", 1),
        "served_prediction": ("<f8", 1),
        "store_hits": ("<i8", 1),
        "store_lookups": ("<i8", 1),
    }


def test_an_empty_batch_has_all_columns_and_no_rows() -> None:
    table = decoder().decode([])
    assert len(table) == 0
    assert table["values"].shape == (0, 3)
    assert list(table) == list(decode_one(feature()))


def test_keys_are_hashes_of_what_they_stand_for() -> None:
    table = decode_one(feature(event_id="größer", symbol="ETH"))
    sample, symbol = hash64("größer".encode()), hash64(b"ETH")
    assert table["event_id"].tolist() == ["größer"]
    assert table["sample_key"].tolist() == [sample]
    assert table["symbol_key"].tolist() == [symbol]
    assert (
        table["dedupe_key"].tolist()
        == combine(np.array([symbol], np.uint64), np.array([sample], np.uint64)).tolist()
    )


def test_record_timestamps_are_kept_and_absent_ones_named() -> None:
    table = decoder().decode([record(feature(), 5), record(feature(), 9, timestamp_ns=-1)])
    assert table["offset"].tolist() == [5, 9]
    assert table["record_ts"].tolist() == [TS, NO_TIME]


def test_the_record_clock_takes_the_logs_timestamp() -> None:
    records = [record(feature(ts_ns=1), timestamp_ns=TS + 7), record(feature(), 1, timestamp_ns=-1)]
    table = decoder(clock="record").decode(records)
    assert table["ts"].tolist() == [TS + 7, 0]
    assert reasons(table) == ["", "bad_time"]


def test_supersets_are_taken_by_name_and_the_rest_is_not_looked_at() -> None:
    wide = feature(features=["XNAS", 3.0, 1.0, {"any": ["thing"]}, 2.0], schema_crc32=WIDE_CRC)
    named = feature(features={"imbalance": 2, "venue": [1], "spread": 1, "momentum": 3})
    table = decoder().decode([record(feature()), record(wide), record(named), record(feature())])
    assert reasons(table) == [""] * 4
    assert table["values"].tolist() == [[0.5, -1, 2.25], [1, 2, 3], [1, 2, 3], [0.5, -1, 2.25]]


def test_a_column_that_a_message_lacks_is_missing() -> None:
    space = FeatureSpace((*NAMES, "volume"), SCHEMAS)
    by_place = feature()
    by_name = feature(features={"spread": 1, "volume": 4})
    table = decoder(space).decode([record(by_place), record(by_name)])
    assert reasons(table) == ["", ""]
    np.testing.assert_array_equal(table["values"], [[0.5, -1, 2.25, math.nan], [1, math.nan, math.nan, 4]])


@pytest.mark.parametrize("names", [(), ("momentum",)])
def test_spaces_of_no_or_one_column_work(names: tuple[str, ...]) -> None:
    space = FeatureSpace(names, SCHEMAS)
    wide = feature(features=["XNAS", 3.0, 1.0, 0, 2.0], schema_crc32=WIDE_CRC)
    table = decoder(space).decode([record(wide), record(feature(features={"momentum": 3}))])
    assert reasons(table) == ["", ""]
    assert table["values"].tolist() == [[3.0] * len(names)] * 2


def test_a_space_with_a_name_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="unique"):
        FeatureSpace(("a", "a"))


def test_unknown_fields_and_versions_of_this_major_are_read() -> None:
    headers = (("trace", b"\xff"), ("schema-version", b"1.7"))
    table = decoder().decode([record(feature(colour={"deep": [1, {"er": None}]}), headers=headers)])
    assert reasons(table) == [""]


# --- routing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitioner", ["murmur2", "crc32"])
def test_keys_are_checked_where_the_log_is_partitioned(partitioner: str) -> None:
    home = partition_of(b"BTCUSD", 4, partitioner)
    stranger = next(s for s in map(str, range(99)) if partition_of(s.encode(), 4, partitioner) != home)
    records = [
        record(feature(), 0, b"BTCUSD"),
        record(feature(), 1, None),
        record(feature(), 2, b"ETHUSD"),
        record(feature(symbol=stranger), 3, stranger.encode()),
        record(feature(symbol=stranger), 4, b"BTCUSD"),
        record(feature(), 5, b"BTCUSD"),
    ]
    options: dict[str, Any] = {"partition": home, "partitions": 4}
    for batch in (records, records[::-1]):
        found = reasons(decoder(partitioner=partitioner, **options).decode(batch))
        expected = ["", "unkeyed", "misrouted", "misrouted", "misrouted", ""]
        assert found == (expected if batch is records else expected[::-1])
    assert set(reasons(decoder(partitioner="unchecked", **options).decode(records))) == {""}
    assert set(reasons(decoder().decode(records))) == {""}


def test_a_misrouted_symbol_takes_no_place_in_an_open_table() -> None:
    symbols = SymbolTable(None)
    FeatureDecoder(SPACE, symbols, 0, 4).decode([record(feature(symbol="NEW"), 0, b"OTHER")])
    assert symbols.names == []


# --- the careful way and the quick way -----------------------------------------------------------------

GOOD_CELL = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(allow_nan=False, allow_infinity=False),
)
BAD_CELL = st.sampled_from([10**400, "text", [1], {"a": 1}])
NUMBER = st.one_of(st.none(), st.integers(-5, 10**20), st.floats(allow_nan=False, allow_infinity=False))
TEXT = st.decimals(allow_nan=False, allow_infinity=False).map(str)


@st.composite
def feature_messages(draw: st.DrawFn) -> Any:
    def rarely() -> bool:
        return draw(st.integers(0, 14)) == 7

    names, crc = draw(st.sampled_from([(NAMES, CRC), (WIDE, WIDE_CRC)]))
    cells = [draw(BAD_CELL if rarely() else GOOD_CELL) for _ in names]
    if rarely():
        cells.append(1.0)
    if rarely():
        crc = 7
    shape: Any = cells
    if draw(st.booleans()):
        shape = {name: cell for name, cell in zip(names, cells, strict=False) if not rarely()}
    message = feature(
        event_id=draw(st.text("aé\0𝄞", min_size=1, max_size=20)),
        ts_ns=draw(st.sampled_from([0, -1, 2**63, 10**40, 1.5, "1"])) if rarely() else TS,
        symbol="DOGE" if rarely() else draw(st.sampled_from(["BTCUSD", "ETHUSD"])),
        features=shape,
        schema_crc32=crc,
        served=draw(
            st.none()
            | st.fixed_dictionaries(
                {},
                optional={
                    "status": st.sampled_from([3] if rarely() else ["ok", "timeout", "error", None]),
                    "latency_ms": NUMBER,
                    "prediction": NUMBER,
                },
            )
        ),
    )
    for name in ("bid", "ask", "price"):
        if draw(st.booleans()):
            bad = st.sampled_from(["x", "NaN", "Infinity", "1e999", True])
            message[name] = draw(bad if rarely() else NUMBER | TEXT)
    if rarely():
        del message[draw(st.sampled_from(sorted(message)))]
    return message


def expected_cell(value: Any) -> float:
    return math.nan if value is None else float(value)


def plainly(message: dict[str, Any]) -> tuple[list[float], list[float]] | None:
    """Values and quote by a plain reading of the contract; None where anything is wrong with the message."""
    try:
        if not isinstance(message["event_id"], str) or not isinstance(message["features"], list | dict):
            return None
        if type(message["ts_ns"]) is not int or not 0 < message["ts_ns"] < 2**62:
            return None
        if message["symbol"] == "DOGE":
            return None
        given = message["features"]
        if isinstance(given, list):
            names = SCHEMAS[message["schema_crc32"]]
            given = dict(zip(names, given, strict=True))
        cells = [given.get(name) for name in NAMES]
        if any(not isinstance(cell, float | int | bool | None) for cell in cells):
            return None
        served = message.get("served") or {}
        if served.get("status") == 3:
            return None
        for name in ("latency_ms", "prediction"):
            expected_cell(served.get(name))
        quote = []
        for name in ("bid", "ask", "price"):
            text = message.get(name)
            if text is True:
                return None
            quote.append(math.nan if text is None else float(Decimal(str(text))))
            if text is not None and not math.isfinite(quote[-1]):
                return None
        return [expected_cell(cell) for cell in cells], quote
    except (KeyError, ValueError, ArithmeticError):
        return None


def closed(**options: Any) -> FeatureDecoder:
    from monitor.settings.instruments import Instrument

    names = ("BTCUSD", "ETHUSD")
    return FeatureDecoder(SPACE, SymbolTable({n: Instrument(symbol=n) for n in names}), **options)


@settings(max_examples=200, deadline=None)
@given(st.lists(feature_messages(), max_size=8), st.lists(st.integers(0, 99), max_size=4))
def test_any_messages_are_read_alike_in_any_batches_and_by_any_way(
    messages: list[Any], cuts: list[int]
) -> None:
    records = [record(json.dumps(m, ensure_ascii=False).encode(), i) for i, m in enumerate(messages)]
    whole = closed().decode(records)
    assert_same_rows(in_batches(closed().decode, records, cuts), whole)
    assert_same_rows(closed(decoder=as_it_came).decode(records), whole)
    for row, message in enumerate(messages):
        plain = plainly(message)
        assert (whole["reason"][row] == 0) == (plain is not None), (message, whole["detail"][row])
        if plain is not None:
            np.testing.assert_array_equal(whole["values"][row], plain[0])
            np.testing.assert_array_equal([whole[n][row] for n in ("bid", "ask", "price")], plain[1])
            assert whole["ts"][row] == message["ts_ns"]
            assert whole["event_id"][row] == message["event_id"]
        else:
            assert whole["detail"][row]
            assert whole["ts"][row] == 0
            assert whole["symbol"][row] == -1
            assert whole["event_id"][row] == ""
            assert not whole["symbol_key"][row]
            assert not whole["dedupe_key"][row]
            assert not whole["sample_key"][row]
            assert np.isnan(whole["values"][row]).all()


# --- plug-ins ------------------------------------------------------------------------------------------


def comma_separated(stream: str, value: bytes, headers: Headers) -> dict[str, Any]:
    assert stream == "features"
    event_id, ts_ns, symbol, *cells = value.decode().split(",")
    return {
        "event_id": event_id,
        "ts_ns": int(ts_ns),
        "symbol": symbol,
        "features": dict(zip(NAMES, map(float, cells), strict=True)),
    }


def test_a_plugin_turns_other_bytes_into_messages() -> None:
    lines = [f"e1,{TS},BTC,1,2,nan".encode(), b"nonsense", f"e2,{TS},BTC,4,5,6".encode()]
    table = decoder(decoder=comma_separated).decode([record(line, i) for i, line in enumerate(lines)])
    assert reasons(table) == ["", "undecodable", ""]
    assert table["detail"][1].startswith("decoder: ValueError: ")
    np.testing.assert_array_equal(table["values"][[0, 2]], [[1, 2, math.nan], [4, 5, 6]])


def test_a_plugin_that_returns_nonsense_harms_one_message() -> None:
    answers: list[Any] = [None, 3, {"features": object()}, b"{", body(feature())]
    table = decoder(decoder=lambda *_: answers.pop(0)).decode([record(b"?", i) for i in range(5)])
    assert reasons(table) == ["undecodable"] * 4 + [""]
