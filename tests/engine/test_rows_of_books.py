"""What books tell memories and measures: the same rows however the input is cut, none where nothing was."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from engine_cases import MS, START, SYMBOLS, UNITS, S, made_up

from monitor.engine.task_books import TaskBooks
from monitor.trading.books import BookRules, BookSet
from monitor.trading.ledger import Applied, LedgerRules
from monitor.trading.marks import MarkRules
from monitor.trading.paper_rules import PaperRules
from monitor.trading.trades import Capped
from monitor.wire.keys import hash64
from monitor.wire.table import Table


def task_books(**paper: object) -> TaskBooks:
    rules = BookRules(
        LedgerRules(start_flat=True),
        MarkRules(),
        PaperRules(Decimal(1), holding_ns=300 * MS, latency_ns=0, fee_bps=Decimal(1), **paper),
    )
    made = TaskBooks(
        BookSet((), ("active", "shadow"), rules),
        lambda r: r.strategy == "mine",
        lambda n: UNITS[n:],
        volume=0,
    )
    made.extend()
    return made


def told(steps: int, **paper: object) -> dict[str, list[dict[str, object]]]:
    """Derived rows by name, sorted."""
    rows, books = made_up(7, 20.0, 300, 60), task_books(**paper)
    found: dict[str, list[dict[str, object]]] = {}
    for low in range(steps):
        bounds = [START + 25 * S * k // steps - S for k in (low, low + 1)]
        tables, scores = rows.part(*bounds)
        if not tables:
            continue
        books.trade(tables.get("features"), tables.get("orders"), scores)
        for name, table in books.derived().items():
            assert len(table) > 0
            found.setdefault(name, []).extend(as_rows(table))
        assert not books.derived()
    return {name: sorted(each, key=str) for name, each in found.items()}


def as_rows(table: Table) -> list[dict[str, object]]:
    columns = {name: table[name].tolist() for name in table}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_rows_do_not_depend_on_how_the_input_is_cut():
    whole = told(1)
    assert whole.keys() == {"trades", "ledger", "paper_orders"}
    assert told(40) == whole


def test_trades_are_in_units_of_quantity_and_of_the_instruments_currency():
    trades = told(1)["trades"]
    assert {row["book"] for row in trades} == {0, 1, 2}
    assert {row["side"] for row in trades} == {-1, 1}
    assert {row["symbol_key"] for row in trades} <= {hash64(symbol.encode()) for symbol in SYMBOLS}
    for row in trades:
        assert np.isclose(row["quantity"] * row["price"], row["notional"], rtol=1e-12)
        assert row["quantity"] > 0
        assert 90 < row["price"] < 110
        assert np.isclose(row["fee"], 0.37 if row["book"] == 0 else row["notional"] * 1e-4, rtol=1e-9)


def test_each_report_of_the_deployment_has_an_outcome():
    outcomes = [row["outcome"] for row in told(1)["ledger"]]
    rows = made_up(7, 20.0, 300, 60)
    mine = [
        r for r, fate in zip(rows.orders["report"], rows.orders["fate"], strict=True) if r.strategy == "mine"
    ]
    assert 0 < len(outcomes) <= len(mine)
    assert {Applied.APPLIED, Applied.DUPLICATE, Applied.IGNORED} <= set(outcomes)


def test_orders_that_the_volume_caps_are_told():
    """The made-up feature is a volume of some units, missing or negative at times."""
    plain, capped = told(1)["paper_orders"], told(1, share=Decimal("0.2"))["paper_orders"]
    assert {row["capped"] for row in plain} == {0}
    assert all(row["filled"] == row["ordered"] > 0 for row in plain)
    assert {row["capped"] for row in capped} == {0, int(Capped.PARTICIPATION)}
    assert any(0 < row["filled"] < row["ordered"] for row in capped)
    assert told(40, share=Decimal("0.2"))["paper_orders"] == capped
