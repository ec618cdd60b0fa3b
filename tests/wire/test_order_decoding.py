"""Execution reports arrive with exact numbers; each kind brings what the ledger will need of it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from messages_in import TS, body, fill, reasons, record

from monitor.settings.instruments import Instrument
from monitor.wire.dead_letters import Rejected
from monitor.wire.keys import execution_key, hash64
from monitor.wire.messages import ExecutionReport, Kind
from monitor.wire.orders import OrderDecoder, check
from monitor.wire.symbols import SymbolTable


def decode(*messages: Any, lot: str = "0.01") -> Any:
    symbols = SymbolTable({"BTCUSD": Instrument(symbol="BTCUSD", lot_size=Decimal(lot))})
    return OrderDecoder(symbols).decode([record(m, i) for i, m in enumerate(messages)])


def test_columns_are_those_of_the_architecture() -> None:
    table = decode(fill(), {})
    assert {name: column.dtype.str for name, column in table.columns.items()} == {
        "offset": "<i8",
        "record_ts": "<i8",
        "ts": "<i8",
        "reason": "|i1",
        "detail": "|O",
        "symbol": "<i4",
        "symbol_key": "<u8",
        "dedupe_key": "<u8",
        "report": "|O",
        "claim": "|O",
    }
    assert isinstance(table["report"][0], ExecutionReport)
    assert table["report"][1] is None
    assert table["ts"].tolist() == [TS, 0]
    assert table["symbol"].tolist() == [0, -1]
    assert table["symbol_key"].tolist() == [hash64(b"BTCUSD"), 0]
    assert table["dedupe_key"][1] == 0
    assert len(decode()) == 0


@pytest.mark.parametrize(
    "text", ["0.1", "100.10", "1E-7", "123456789012345678.123456789012345678", "-0.0", "1e3"]
)
def test_numbers_and_text_are_read_as_the_same_decimal(text: str) -> None:
    quoted = decode(fill(last_price=text))["report"][0].last_price
    number = body(fill(last_price="?")).replace(b'"?"', text.encode())
    bare = decode(number)["report"][0].last_price
    assert quoted == bare == Decimal(text)
    assert Fraction(bare) == Fraction(text)


@given(st.integers(1, 10**20), st.sampled_from(["0.01", "1", "0.00000001", "2.5", "1e-18"]))
def test_whole_lots_pass_and_half_lots_do_not(lots: int, lot: str) -> None:
    whole = Fraction(lot) * lots
    half = whole + Fraction(lot) / 2

    def text(number: Fraction) -> str:
        digits = f"{number * 10**20}"
        assert "/" not in digits
        return f"{digits}e-20"

    assert reasons(decode(fill(last_quantity=text(whole)), lot=lot)) == [""]
    assert reasons(decode(fill(last_quantity=text(half)), lot=lot)) == ["off_lot"]


DECIMALS = (
    *("limit_price", "quantity", "price", "last_quantity"),
    *("last_price", "cum_quantity", "fee", "amount"),
)
NUMBERS = st.one_of(
    st.none(),
    st.sampled_from(["NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "0", "-0", "0E+99", "1E+24", "1E+25"]),
    st.sampled_from(["1E-36", "1E-37", "0.1", "0.15", "1." + "0" * 40, "9" * 28, "9" * 29, "0." + "1" * 70]),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.integers(-100, 100).map(str),
)
UNDOES = st.fixed_dictionaries({"side": st.just("buy"), "last_quantity": NUMBERS, "last_price": NUMBERS})


@given(
    st.sampled_from(get_args(Kind)),
    st.dictionaries(st.sampled_from(DECIMALS), NUMBERS, max_size=2),
    st.sampled_from(["buy", "sell", None]),
    st.none() | UNDOES,
    st.sampled_from(["0.1", "1", "1e-8"]),
)
@example("fill", {"last_quantity": "0.1", "last_price": "7"}, "buy", None, "0.1")
def test_a_report_taken_at_a_glance_is_one_that_passes_every_check(
    kind: str, numbers: dict[str, Any], side: str | None, undoes: Any, lot: str
) -> None:
    usual = {"quantity": "3", "last_quantity": "0.1", "last_price": "7", "amount": "1", "price": "2"}
    message = report(kind=kind, side=side, undoes=undoes, currency="USD", **usual | numbers)
    table = decode(message, lot=lot)
    assert reasons(table) == [why_not(body(message), Decimal(lot))]
    if table["report"][0] is not None:
        assert table["report"][0] == msgspec.json.decode(body(message), type=ExecutionReport)


def why_not(message: bytes, lot: Decimal) -> str:
    """Why a report is refused by its type and by `check`, empty where it is not."""
    try:
        check(msgspec.json.decode(message, type=ExecutionReport), lot)
    except Rejected as why:
        return why.rejection.reason
    except msgspec.ValidationError:
        return "ill_typed"
    return ""


def report(**fields: Any) -> dict[str, Any]:
    return {"order_id": "", "exec_id": "x", "ts_ns": TS, "symbol": "BTCUSD"} | fields


@pytest.mark.parametrize(
    "message",
    [
        fill(last_price="100.12345678901234567", fee="-0.1", fee_currency="USD"),
        fill(last_price="-37.63"),
        fill(kind="bust"),
        fill(kind="correct", undoes={"side": "sell", "last_quantity": 1, "last_price": "99"}),
        report(kind="position", quantity="-3", price="100"),
        report(kind="cash", amount="-12.005", currency="EUR"),
        report(kind="new", quantity="1.00"),
        report(kind="reject", quantity="0.001"),
        report(kind="cancel", side=None, cum_quantity=0, tags={"feature_version": 7, "other": []}),
    ],
)
def test_good_reports_of_every_kind_are_taken(message: dict[str, Any]) -> None:
    table = decode(message)
    assert reasons(table) == [""], table["detail"][0]
    assert table["report"][0].kind == message["kind"]


def test_a_missing_field_is_named() -> None:
    table = decode(fill(kind="correct"), fill(last_price=None), {"order_id": "o"})
    assert [
        "undoes" in table["detail"][0],
        "last_price" in table["detail"][1],
        "exec_id" in table["detail"][2],
    ]
    assert "`undoes`" in table["detail"][0]
    assert "`last_price`" in table["detail"][1]
    assert "`exec_id`" in table["detail"][2]


def test_an_execution_is_known_by_account_symbol_and_id() -> None:
    table = decode(
        fill(),
        fill(last_price="7"),
        fill(account=None),
        fill(account="a"),
        fill(exec_id="x-2"),
        fill(account="x-1", exec_id="a"),
        fill(account="a", exec_id="x-1"),
    )
    first, again, null, account, other, swapped, same = table["dedupe_key"].tolist()
    assert first == again == null
    assert account == same
    assert len({first, account, other, swapped}) == 4
    assert first == execution_key(None, "BTCUSD", "x-1")
    assert same == execution_key("a", "BTCUSD", "x-1")


def test_only_what_is_executed_or_held_must_be_whole_lots() -> None:
    asked = {"quantity": "0.005", "cum_quantity": "0.0051", "limit_price": "1e-9"}
    messages = [
        fill(**asked),
        report(kind="ack", last_quantity="0", **asked),
        report(kind="reject", last_quantity="0.005", **asked),
    ]
    assert reasons(decode(*messages)) == ["", "", ""]
    assert reasons(decode(fill(last_quantity="0"))) == ["out_of_range"]


def test_an_open_table_takes_the_default_lot() -> None:
    decoder = OrderDecoder(SymbolTable(None))
    fine, fraction = fill(last_quantity="0.00000001"), fill(last_quantity="0.000000001")
    assert reasons(decoder.decode([record(fine), record(fraction)])) == ["", "off_lot"]


def test_a_plugin_serves_orders_too() -> None:
    def from_cents(stream: str, value: bytes, headers: Any) -> dict[str, Any]:
        assert stream == "orders"
        return fill(last_price=Decimal(int(value)) / 100)

    decoder = OrderDecoder(SymbolTable(None), decoder=from_cents)
    table = decoder.decode([record(b"10025"), record(b"cents")])
    assert reasons(table) == ["", "undecodable"]
    assert table["report"][0].last_price == Decimal("100.25")
