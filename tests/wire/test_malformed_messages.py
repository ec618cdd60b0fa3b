"""Every kind of malformed message is refused with its reason; its neighbours are as without it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages_in import CRC, NAMES, SCHEMAS, TS, body, feature, fill, in_batches, reasons, without

from monitor.settings.instruments import Instrument
from monitor.transport.contract import Record
from monitor.wire.dead_letters import REASONS
from monitor.wire.features import FeatureDecoder, FeatureSpace
from monitor.wire.gate import MAX_BYTES, MAX_TS_NS
from monitor.wire.keys import murmur2
from monitor.wire.orders import OrderDecoder
from monitor.wire.symbols import SymbolTable
from monitor.wire.table import Table

PARTITIONS = 4
HOME = murmur2(b"BTCUSD") % PARTITIONS
GOOD = feature(bid=1, ask="2.5", served={"status": "ok", "latency_ms": 1, "prediction": 0.5})
TEXT = body(GOOD)
DEEP = 100_000


def raw(old: str, new: str) -> bytes:
    assert old.encode() in TEXT
    return TEXT.replace(old.encode(), new.encode(), 1)


def deep(levels: int) -> bytes:
    return TEXT[:-1] + b', "more": ' + b"[" * levels + b"]" * levels + b"}"


COMMON: list[tuple[str, bytes | None, str]] = [
    ("no value", None, "empty"),
    ("no bytes", b"", "empty"),
    ("10 MB", b'{"pad": "' + b"x" * 10_000_000 + b'"}', "oversize"),
    ("one byte too long", TEXT[:-1] + b" " * (MAX_BYTES - len(TEXT) + 1) + b"}", "oversize"),
    ("truncated early", TEXT[:1], "undecodable"),
    ("truncated in the middle", TEXT[: len(TEXT) // 2], "undecodable"),
    ("truncated by one byte", TEXT[:-1], "undecodable"),
    ("two messages", TEXT + TEXT, "undecodable"),
    ("a byte order mark", b"\xef\xbb\xbf" + TEXT, "undecodable"),
    ("UTF-16", TEXT.decode().encode("utf-16"), "undecodable"),
    ("Avro's magic byte", b"\0\0\0\0\x07" + TEXT, "undecodable"),
    ("random bytes", bytes(range(256)), "undecodable"),
    ("text", b"hello", "undecodable"),
    ("single quotes", TEXT.replace(b'"', b"'"), "undecodable"),
    ("a trailing comma", TEXT[:-1] + b",}", "undecodable"),
    ("a comment", b"// hi\n" + TEXT, "undecodable"),
    ("a raw control character", raw("e-1", "e\n1"), "undecodable"),
    ("invalid UTF-8 in a field", TEXT.replace(b"e-1", b"e-\xff"), "undecodable"),
    ("invalid UTF-8 in an unknown field", TEXT[:-1] + b', "note": "\xc3("}', "undecodable"),
    ("an encoded surrogate", TEXT.replace(b"e-1", b"\xed\xa0\x80"), "undecodable"),
    ("a lone surrogate", raw("e-1", "\\ud800"), "undecodable"),
    ("nesting without end", b"[" * DEEP, "undecodable"),
    ("deep nesting in an unknown field", deep(DEEP), "undecodable"),
    ("nesting that a shallow stack could bear", deep(500), "undecodable"),
    ("an array", b"[1, 2]", "not_an_object"),
    ("a string", b'"text"', "not_an_object"),
    ("a number", b"12", "not_an_object"),
    ("null", b"null", "not_an_object"),
    ("an empty object", b"{}", "missing_field"),
]

FEATURES: list[tuple[str, bytes | None, str]] = [
    *COMMON,
    ("no event_id", body(without(GOOD, "event_id")), "missing_field"),
    ("no ts_ns", body(without(GOOD, "ts_ns")), "missing_field"),
    ("no symbol", body(without(GOOD, "symbol")), "missing_field"),
    ("no features", body(without(GOOD, "features")), "missing_field"),
    ("an array without its schema", body(without(GOOD, "schema_crc32")), "missing_field"),
    ("a null event_id", body(GOOD | {"event_id": None}), "ill_typed"),
    ("a numeric event_id", body(GOOD | {"event_id": 7}), "ill_typed"),
    ("an empty event_id", body(GOOD | {"event_id": ""}), "ill_typed"),
    ("an endless event_id", body(GOOD | {"event_id": "x" * 1025}), "ill_typed"),
    ("a time as text", body(GOOD | {"ts_ns": str(TS)}), "ill_typed"),
    ("a time with a fraction", body(GOOD | {"ts_ns": 1.7e18 + 0.5}), "ill_typed"),
    ("a boolean time", body(GOOD | {"ts_ns": True}), "ill_typed"),
    ("a numeric symbol", body(GOOD | {"symbol": 1}), "ill_typed"),
    ("features as text", body(GOOD | {"features": "1,2,3"}), "ill_typed"),
    ("null features", body(GOOD | {"features": None}), "ill_typed"),
    ("text for a needed feature", body(GOOD | {"features": [1, "2", 3]}), "ill_typed"),
    ("text for a needed feature by name", body(GOOD | {"features": {"spread": "2"}}), "ill_typed"),
    ("an array for a needed feature", body(GOOD | {"features": [1, [2], 3]}), "ill_typed"),
    ("a NaN token", raw("2.25", "NaN"), "undecodable"),
    ("an Infinity token", raw("2.25", "-Infinity"), "undecodable"),
    ("a NaN token by name", body(GOOD | {"features": {"spread": float("nan")}}), "undecodable"),
    ("a float beyond range", raw("2.25", "1e999"), "non_finite"),
    ("a huge integer feature", raw("2.25", "9" * 400), "non_finite"),
    ("a huger integer feature", raw("2.25", "9" * 5000), "non_finite"),
    ("a huge integer feature by name", body(GOOD | {"features": {"spread": 10**400}}), "non_finite"),
    ("a hexadecimal feature", raw("2.25", "0x1F"), "undecodable"),
    ("a leading zero", raw("2.25", "02.25"), "undecodable"),
    ("a wrong CRC", body(GOOD | {"schema_crc32": CRC ^ 1}), "unknown_schema"),
    ("a negative CRC", body(GOOD | {"schema_crc32": -1}), "unknown_schema"),
    ("a CRC as text", body(GOOD | {"schema_crc32": str(CRC)}), "ill_typed"),
    ("too few features", body(GOOD | {"features": [1, 2]}), "wrong_width"),
    ("too many features", body(GOOD | {"features": [1, 2, 3, 4]}), "wrong_width"),
    ("no features at all", body(GOOD | {"features": []}), "wrong_width"),
    ("a price that is no decimal", body(GOOD | {"price": "12,5"}), "ill_typed"),
    ("a price as a list", body(GOOD | {"bid": [1]}), "ill_typed"),
    ("a NaN price", body(GOOD | {"ask": "NaN"}), "non_finite"),
    ("a price beyond range", body(GOOD | {"ask": "1e400"}), "non_finite"),
    ("served as text", body(GOOD | {"served": "ok"}), "ill_typed"),
    ("a latency as text", body(GOOD | {"served": {"latency_ms": "3"}}), "ill_typed"),
    ("time zero", body(GOOD | {"ts_ns": 0}), "bad_time"),
    ("a negative time", body(GOOD | {"ts_ns": -TS}), "bad_time"),
    ("a time beyond 64 bits", body(GOOD | {"ts_ns": 2**63}), "bad_time"),
    ("the last nanosecond", body(GOOD | {"ts_ns": 2**63 - 1}), "bad_time"),
    ("the first time too late", body(GOOD | {"ts_ns": MAX_TS_NS + 1}), "bad_time"),
    ("a time of 400 digits", raw(str(TS), "1" * 400), "bad_time"),
]

ORDER_TEXT = body(fill())
UNDOES = {"side": "buy", "last_quantity": "0.015", "last_price": 1}
ORDERS: list[tuple[str, bytes | None, str]] = [
    *(case for case in COMMON if TEXT not in (case[1] or b"") and case[0] != "one byte too long"),
    ("no exec_id", body(without(fill(), "exec_id")), "missing_field"),
    ("no order_id", body(without(fill(), "order_id")), "missing_field"),
    ("an unknown kind", body(fill(kind="filled")), "ill_typed"),
    ("an unknown side", body(fill(side="long")), "ill_typed"),
    ("a fill without a side", body(without(fill(), "side")), "missing_field"),
    ("a fill without a price", body(without(fill(), "last_price")), "missing_field"),
    ("a fill with a null quantity", body(fill(last_quantity=None)), "missing_field"),
    ("a partial fill of no size", body(without(fill(kind="partial_fill"), "last_quantity")), "missing_field"),
    ("a bust without economics", body(without(fill(kind="bust"), "last_price")), "missing_field"),
    ("a correction that undoes nothing", body(fill(kind="correct")), "missing_field"),
    ("a correction of half a fill", body(fill(kind="correct", undoes={"side": "buy"})), "missing_field"),
    ("a position without a price", body(fill(kind="position", quantity="1")), "missing_field"),
    ("cash without a currency", body(fill(kind="cash", amount="1")), "missing_field"),
    ("a quantity that is no decimal", body(fill(last_quantity="a lot")), "ill_typed"),
    ("a boolean quantity", body(fill(last_quantity=True)), "ill_typed"),
    ("a NaN quantity", body(fill(last_quantity="NaN")), "non_finite"),
    ("a signalling NaN fee", body(fill(fee="sNaN")), "non_finite"),
    ("an infinite price", body(fill(last_price="Infinity")), "non_finite"),
    ("a NaN token for a price", ORDER_TEXT.replace(b'"100.25"', b"NaN"), "undecodable"),
    ("an exponent like a bomb", body(fill(last_price="1e999999")), "out_of_range"),
    ("a fraction like a bomb", body(fill(fee="1e-999999")), "out_of_range"),
    ("a huge integer price", ORDER_TEXT.replace(b'"100.25"', b"9" * 400), "out_of_range"),
    ("a fill of nothing", body(fill(last_quantity=0)), "out_of_range"),
    ("a negative fill", body(fill(last_quantity="-0.5")), "out_of_range"),
    ("half a lot", body(fill(last_quantity="0.005")), "off_lot"),
    ("half a lot undone", body(fill(kind="correct", undoes=UNDOES)), "off_lot"),
    ("a position off its lot", body(fill(kind="position", quantity="-0.001", price="1")), "off_lot"),
    ("a prediction beyond range", ORDER_TEXT[:-1] + b', "prediction": 1e999}', "non_finite"),
    ("tags as text", body(fill(tags="v7")), "ill_typed"),
    ("time zero", body(fill(ts_ns=0)), "bad_time"),
]  # fmt: skip

ROUTES: list[tuple[str, dict[str, Any], str]] = [
    ("a null key", {"key": None}, "unkeyed"),
    ("another symbol's key", {"key": b"ETHUSD"}, "misrouted"),
    ("a key that is no text", {"key": b"\xff\xfe"}, "misrouted"),
    ("an empty key", {"key": b""}, "misrouted"),
    ("a future version", {"headers": (("schema-version", b"2"),)}, "unknown_version"),
    ("an empty version", {"headers": (("schema-version", b""),)}, "unknown_version"),
]


def instruments() -> dict[str, Instrument]:
    from decimal import Decimal

    names = ["BTCUSD", *foreign()]
    return {n: Instrument(symbol=n, lot_size=Decimal("0.01")) for n in names}


def foreign() -> list[str]:
    return [s for s in ("ETHUSD", "ADAUSD", "SOLUSD", "XRPUSD") if murmur2(s.encode()) % PARTITIONS != HOME]


def stranger() -> str:
    return next(s for s in map(str, range(99)) if murmur2(s.encode()) % PARTITIONS == HOME)


def cases(
    kinds: Sequence[tuple[str, bytes | None, str]], good: dict[str, Any]
) -> list[tuple[str, dict[str, Any], str]]:
    routed = [
        ("a foreign partition", {"value": body(good | {"symbol": s}), "key": s.encode()}, "misrouted")
        for s in foreign()
    ]
    unknown = {"value": body(good | {"symbol": stranger()}), "key": stranger().encode()}
    return [
        *((name, {"value": value}, reason) for name, value, reason in kinds),
        *ROUTES,
        routed[0],
        ("an unknown symbol", unknown, "unknown_symbol"),
    ]


FEATURE_CASES, ORDER_CASES = cases(FEATURES, GOOD), cases(ORDERS, fill())


def feature_decode() -> Callable[[Sequence[Record]], Table]:
    return FeatureDecoder(FeatureSpace(NAMES, SCHEMAS), SymbolTable(instruments()), HOME, PARTITIONS).decode


def order_decode() -> Callable[[Sequence[Record]], Table]:
    return OrderDecoder(SymbolTable(instruments()), HOME, PARTITIONS).decode


def at(offset: int, value: bytes | None, **fields: Any) -> Record:
    return Record(**({"offset": offset, "timestamp_ns": TS, "key": b"BTCUSD", "value": value} | fields))


def good_order(offset: int) -> Record:
    return at(offset, body(fill(exec_id=f"x-{offset}")))


def good_feature(offset: int) -> Record:
    return at(offset, body(GOOD | {"event_id": f"e-{offset}", "ts_ns": TS + offset}))


def test_there_are_fifty_kinds_and_more() -> None:
    assert len({name for name, _, _ in FEATURE_CASES}) >= 50
    assert {reason for _, _, reason in FEATURE_CASES + ORDER_CASES} == set(REASONS) - {
        "",
        "quarantined",
        "late",
    }


@pytest.mark.parametrize(
    ("decode", "good", "changes", "reason"),
    [
        *(pytest.param(feature_decode, good_feature, c, r, id=f"features-{n}") for n, c, r in FEATURE_CASES),
        *(pytest.param(order_decode, good_order, c, r, id=f"orders-{n}") for n, c, r in ORDER_CASES),
    ],
)
def test_one_bad_message_is_refused_and_its_neighbours_are_untouched(
    decode: Callable[[], Callable[[Sequence[Record]], Table]],
    good: Callable[[int], Record],
    changes: dict[str, Any],
    reason: str,
) -> None:
    bad = at(1, **({"value": good(1).value} | changes))
    table = decode()([good(0), bad, good(2)])
    assert reasons(table) == ["", reason, ""]
    assert table["offset"].tolist() == [0, 1, 2]
    assert table["detail"][1]
    alone = decode()([good(0), good(2)])
    for name in alone:
        np.testing.assert_array_equal(table[name][[0, 2]], alone[name], err_msg=name)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 2 * len(FEATURE_CASES)), min_size=1, max_size=60),
    st.lists(st.integers(0, 99), max_size=5),
)
def test_reasons_do_not_depend_on_batches(picks: list[int], cuts: list[int]) -> None:
    records, expected = [], []
    for offset, pick in enumerate(picks):
        if pick < len(FEATURE_CASES):
            _, changes, reason = FEATURE_CASES[pick]
            records.append(at(offset, **({"value": good_feature(offset).value} | changes)))
            expected.append(reason)
        else:
            records.append(good_feature(offset))
            expected.append("")
    whole = feature_decode()(records)
    parts = in_batches(feature_decode(), records, cuts)
    assert reasons(whole) == expected
    for name in whole:
        np.testing.assert_array_equal(parts[name], whole[name], err_msg=name)


def test_what_is_refused_does_not_depend_on_the_callers_stack() -> None:
    records = [at(i, deep(levels)) for i, levels in enumerate((1, 50, 150, 390, 399, 400, 401, 500, 2000))]
    shallow = feature_decode()(records)

    def deeper(frames: int) -> Table:
        return deeper(frames - 1) if frames else feature_decode()(records)

    frame, used = sys._getframe(), 0
    while frame.f_back is not None:
        frame, used = frame.f_back, used + 1
    below = deeper(500 - used)
    assert reasons(shallow) == reasons(below) == [""] * 5 + ["undecodable"] * 4
    assert shallow["detail"].tolist() == below["detail"].tolist()


def test_brackets_in_text_are_no_nesting() -> None:
    crowded = GOOD | {"note": '[{"\\' * 1000, "levels": [[i, i] for i in range(600)]}
    assert reasons(feature_decode()([at(0, body(crowded))])) == [""]


def test_a_message_of_just_the_largest_size_is_read() -> None:
    exact = TEXT[:-1] + b" " * (MAX_BYTES - len(TEXT)) + b"}"
    assert reasons(feature_decode()([at(0, exact)])) == [""]
