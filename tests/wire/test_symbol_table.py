"""Symbols of a configuration have fixed places; open tables grow; unknown ones are unknown."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from monitor.settings.instruments import Instrument
from monitor.wire.keys import hash64
from monitor.wire.symbols import SymbolTable


def instruments(*names: str) -> dict[str, Instrument]:
    return {name: Instrument(symbol=name, lot_size=Decimal("0.5")) for name in names}


def test_configured_symbols_are_sorted_and_closed() -> None:
    table = SymbolTable(instruments("ETH", "BTC", "ADA"))
    assert table.names == ["ADA", "BTC", "ETH"]
    assert [table.index(name) for name in ("ETH", "DOGE", "ADA")] == [2, -1, 0]
    assert table.names == ["ADA", "BTC", "ETH"]
    assert table.lot_sizes[1] == Decimal("0.5")


def test_an_open_table_grows_in_order_of_appearance() -> None:
    table = SymbolTable(None)
    names = [f"S{i}" for i in range(100)]
    assert [table.index(name) for name in names] == list(range(100))
    assert table.index("S7") == 7
    assert table.keys.tolist() == [hash64(name.encode()) for name in names]
    assert table.lot_sizes[99] == Decimal("1e-8")


def test_no_symbol_has_key_zero() -> None:
    table = SymbolTable(instruments("A", "B"))
    codes = np.array([1, -1, 0], np.int32)
    assert table.keys_of(codes).tolist() == [hash64(b"B"), 0, hash64(b"A")]
    assert SymbolTable({}).keys_of(np.array([-1], np.int32)).tolist() == [0]
