"""docs/paper-broker.md says what the product does: defaults, and the example row by row and in replays."""

from __future__ import annotations

import json
import math
import re
import textwrap
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from cli.command_cases import replayed
from models.model_builders import linear, write_artifact

from monitor.daemon.paper_scope import paper_rules_of, targets_of
from monitor.settings.deployment import BookSettings
from monitor.settings.document import parse
from monitor.settings.paper import QUANTILE, PaperSettings
from monitor.trading.books import BookRules, BookSet, Folded
from monitor.trading.ledger import LedgerRules
from monitor.trading.marks import MarkRules
from monitor.trading.trades import Capped, PaperOrder, Trade
from monitor.trading.units import InstrumentUnits, format_money

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "paper-broker.md").read_text()
MS = 10**6
START = 1_767_607_200 * 10**9
"""2026-01-05 10:00:00 UTC."""
ROLES = ("active", "shadow")
SYMBOL = "XYZ"
BOOK = "role=active,fills=paper"

Row = dict[str, str]


def table(heading: str, place: int = 0) -> list[Row]:
    """The rows of a table below a heading, by column; cells without the marks of code."""
    blocks = PAGE.split(f"\n## {heading}\n\n", 1)[1].split("\n\n")
    lines = [block for block in blocks if block.startswith("|")][place].splitlines()
    names, _, *rows = (
        [cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def example() -> str:
    """The configuration of the example."""
    text = PAGE.split("\n## A worked example\n", 1)[1]
    return textwrap.dedent(text.split("\n\n", 1)[0])


ROWS = table("A worked example")
CONFIG = parse(example(), "example").data
EXAMPLE = CONFIG["deployments"]["example"]
UNITS = InstrumentUnits.of(
    SYMBOL,
    *(Decimal(CONFIG["instruments"][SYMBOL][name]) for name in ("tick_size", "lot_size", "multiplier")),
    CONFIG["instruments"][SYMBOL]["currency"],
)


def book_set() -> BookSet:
    """As a deployment makes it of the example's settings."""
    paper = PaperSettings.model_validate(EXAMPLE["paper"])
    books = BookSettings.model_validate(EXAMPLE["books"])
    rules = BookRules(
        LedgerRules(start_flat=books.start_flat),
        MarkRules(books.mark_band_bps, books.max_spread_bps),
        paper_rules_of(paper),
        targets_of(paper, dict.fromkeys(ROLES, "return"), dict.fromkeys(ROLES, ""), None),
    )
    return BookSet([UNITS], ROLES, rules)


def number(row: Row, name: str) -> float:
    return float(row[name]) if row[name] else math.nan


def fold(books: BookSet, rows: list[Row]) -> Folded:
    """Rows as one slice, the shadow without predictions."""
    columns = {name: np.array([number(row, name) for row in rows]) for name in ("bid", "ask", "price")}
    prediction = np.array([number(row, "prediction") for row in rows])
    return books.fold(
        symbol=np.zeros(len(rows), np.int32),
        eff=np.array([START + int(row["ms"]) * MS for row in rows]),
        **columns,
        predictions={"active": prediction, "shadow": np.full(len(rows), math.nan)},
        volume=np.array([number(row, "volume") for row in rows]),
    )


def stored(books: BookSet) -> tuple[int | None, list[Any] | None]:
    """Until when the position is held, and the working order, as state holds them."""
    record = books.papers["active"].records(dirty_only=False).get(f"paper/active/{SYMBOL}")
    if record is None:
        return None, None
    _, until, order, *_ = msgspec.msgpack.decode(record)
    return until, order


def quantity(lots: int) -> str:
    return UNITS.format_quantity(lots)


def after_start(ns: int) -> str:
    ms, rest = divmod(ns - START, MS)
    assert not rest
    return str(ms)


def wanted(row: Row) -> str:
    """The target of a prediction: that of the order which it makes where nothing is held."""
    if not row["prediction"]:
        return ""
    books = book_set()
    fold(books, [{**row, "bid": "", "ask": "", "price": ""}])
    order = stored(books)[1]
    return quantity(order[0] if order else 0)


def working(order: list[Any] | None) -> str:
    if order is None:
        return ""
    _, target, due_ns, *_ = order
    return f"to {quantity(target)} from {after_start(due_ns)}"


def filled(trades: list[Trade]) -> str:
    return "; ".join(
        f"{'+' if each.lots > 0 else ''}{quantity(each.lots)} for {format_money(each.paid)}, "
        f"fee {format_money(each.fee)}"
        for each in trades
    )


def ended(orders: list[PaperOrder]) -> str:
    told = []
    for each in orders:
        caps = ", ".join(flag.name.lower() for flag in Capped(each.capped) if flag.name)
        told.append(f"{quantity(each.filled)} of {quantity(each.ordered)}{f': {caps}' if caps else ''}")
    return "; ".join(told)


def shown(row: Row, books: BookSet, done: Folded) -> Row:
    """What the page must say of a row."""
    at = START + int(row["ms"]) * MS
    view, paper = books.at(at + 1)[BOOK], books.papers["active"]
    until, order = stored(books)
    held = until is not None and until > 0
    return {
        **{name: row[name] for name in ("ms", "bid", "ask", "price", "volume", "prediction")},
        "target": wanted(row),
        "order": working(order),
        "fill": filled(done.trades),
        "ended": ended(done.ended),
        "until": after_start(until) if held and until is not None else "",
        "cash": format_money(view.cash.get("USD", 0)),
        "position": quantity(paper.book.quantity(SYMBOL)),
        "mark": UNITS.format_price(int(books.marks.mark[0])),
        "equity": format_money(view.equity("USD")),
    }


def test_every_row_of_the_example_is_what_the_books_do():
    books = book_set()
    assert [shown(row, books, fold(books, [row])) for row in ROWS] == ROWS


def test_the_example_is_the_same_in_one_slice():
    books, whole = book_set(), book_set()
    parts = [fold(books, [row]) for row in ROWS]
    done = fold(whole, ROWS)
    assert done.trades == [trade for part in parts for trade in part.trades]
    assert done.ended == [order for part in parts for order in part.ended]
    assert whole.at(START) == books.at(START)


def test_a_good_quote_fills_an_order_though_its_row_wants_something_else():
    books = book_set()
    *_, last = (fold(books, [row]) for row in (*ROWS[:2], {**ROWS[2], "prediction": "-1"}))
    assert [trade.lots for trade in last.trades] == [2]
    assert stored(books) == (START + 1060 * MS, None)


def feature(row: Row) -> dict[str, Any]:
    """A row as a message; its model puts out what it takes in."""
    features = {"x": row["prediction"], "volume": row["volume"]}
    return {
        "event_id": row["ms"],
        "ts_ns": START + int(row["ms"]) * MS,
        "symbol": SYMBOL,
        "features": {name: float(text) if text else None for name, text in features.items()},
        **{name: row[name] for name in ("bid", "ask", "price") if row[name]},
    }


def replay(directory: Path, rows: list[Row]) -> dict[str, Any]:
    """The report of a replay of rows by the page's configuration."""
    (directory / "features.jsonl").write_text("".join(json.dumps(feature(row)) + "\n" for row in rows))
    report = json.loads(replayed(directory, rows[-1]["ms"])["report.json"])
    found: dict[str, Any] = report["deployments"]["example"]
    return found


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """All that a replay of the example needs, but for the rows."""
    write_artifact(tmp_path, linear(np.ones(1)), ("x",), name="m", horizon_ns=1000 * MS)
    (tmp_path / "schema.json").write_text(json.dumps([["x", "float64"], ["volume", "float64"]]))
    (tmp_path / "orders.jsonl").write_text("")
    (tmp_path / "config.yaml").write_text(
        f"{example()}\n"
        "    windows: [10s]\n"
        "    models: {active: artifact, shadows: {shadow: artifact}}\n"
        "version: 1\ntransport: {kind: files}\nfeature_schemas: [schema.json]\n"
    )
    return tmp_path


def test_a_replay_up_to_any_row_ends_where_the_page_says(desk):
    for last, row in enumerate(ROWS):
        book = replay(desk, ROWS[: last + 1])["books"][BOOK]
        told = {name: book[name] for name in ("cash", "equity")}
        if row["position"] == "0":
            assert book["positions"] == {}
        else:
            held = book["positions"][SYMBOL]
            told |= {"position": held["quantity"], "mark": held["mark"]}
        assert told == {name: row[name] for name in told}


def test_metrics_of_the_replay_are_those_of_the_page(desk):
    metrics = replay(desk, ROWS)["metrics"]
    rows = table("A worked example", 1)
    for row in rows:
        found = metrics[f"{row['metric']}@10"]
        assert (f"{found['value']:.4f}", str(found["n"])) == (row["value"], row["n"]), row["metric"]
    assert len(rows) == 5
    notional = metrics["turnover{fills=paper,role=active}@10"]["extra"]["notional"]
    assert f"a notional of {notional}," in PAGE


def test_every_key_of_the_broker_stands_on_the_page_with_its_default():
    stated = {row["key"]: row["default"] for row in table("Keys")}
    paper = {field.alias or name for name, field in PaperSettings.model_fields.items()}
    assert {f"paper.{name}" for name in paper} == {key for key in stated if key.startswith("paper.")}
    for section, model in (("paper.", PaperSettings), ("books.", BookSettings)):
        written = {key.removeprefix(section): text for key, text in stated.items() if key.startswith(section)}
        some = {key: text for key, text in written.items() if text != "none"}
        if "threshold" in some:
            some["threshold"] = float(some["threshold"])
        assert model.model_validate(some) == model()
        assert all(getattr(model(), key) is None for key in written.keys() - some.keys())
    assert f"`quantile` ({QUANTILE} if left out)" in PAGE


def test_links_of_the_page_lead_somewhere():
    for file, anchor in re.findall(r"\]\(([a-z.-]*)#([a-z-]+)\)", PAGE):
        text = (DOCS / file).read_text() if file else PAGE
        titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert anchor in {re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-") for title in titles}
