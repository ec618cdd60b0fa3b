"""What books and orders cost, as ratios to the typed decode of a feature event measured in the same run.

    python benchmarks/trading.py

Two paper books and the marks on 512-row slices where about 1 row in 50 trades: of many symbols, of one, and
where caps and partial fills are at work. One execution report, step by step: decoded to columns, applied to
the ledger, followed in the life of its order; of orders with a `new`, an `ack` and two fills each.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np
from decode import REPEATS, Event, columns, feature_events, only_decode
from numpy.typing import NDArray

from monitor.trading.books import BookRules, BookSet
from monitor.trading.ledger import LedgerRules
from monitor.trading.lifecycle import Lifecycle, LifecycleRules
from monitor.trading.marks import MarkRules
from monitor.trading.orders import Changes
from monitor.trading.paper_rules import PaperRules
from monitor.trading.targets import Linear, Sign, Target
from monitor.trading.units import InstrumentUnits
from monitor.transport.contract import Record
from monitor.wire.messages import ExecutionReport
from monitor.wire.orders import OrderDecoder
from monitor.wire.symbols import SymbolTable

ROWS, SLICE, SYMBOLS, INSTANTS = 40_960, 512, 20, 100
START, STEP_NS = 1_700_000_000_000_000_000, 2_000_000
ROLES = ("active", "shadow")
LIFE = ("new", "ack", "partial_fill", "fill")


def execution_reports() -> list[Record]:
    """Orders that alternate in side, one after the other."""
    records = []
    for i in range(ROWS):
        order, kind = i // len(LIFE), LIFE[i % len(LIFE)]
        symbol = f"S{order % SYMBOLS}"
        message = {
            "order_id": f"order-{order:010d}",
            "exec_id": f"exec-{i:010d}",
            "ts_ns": START + i * STEP_NS,
            "symbol": symbol,
            "kind": kind,
            "side": "buy" if order % 3 else "sell",
            "order_type": "market",
            "quantity": "1.0",
            "account": "desk-1",
        }
        if kind == "new":
            message["feature_event_id"] = f"event-{i:010d}"
            message["tags"] = {"model_version": "v7", "inference_latency_ms": 1.5}
        elif kind != "ack":
            done = "0.4" if kind == "partial_fill" else "1.0"
            last = "0.4" if kind == "partial_fill" else "0.6"
            message |= {"last_quantity": last, "last_price": "100.01", "cum_quantity": done, "fee": "0.01"}
        body = json.dumps(message, separators=(",", ":")).encode()
        records.append(Record(i, START + i * STEP_NS, symbol.encode(), body))
    return records


class Market(NamedTuple):
    """Rows of several symbols with a signal a role."""

    symbols: int
    symbol: np.ndarray
    bid: np.ndarray
    volume: np.ndarray
    signal: np.ndarray


def market(symbols: int, share: float) -> Market:
    """`share`: of rows with a prediction to either side; the others have none."""
    rng = np.random.default_rng(7)
    symbol = rng.integers(0, symbols, ROWS, dtype=np.int32)
    bid = 100.0 + np.round(np.cumsum(rng.integers(-1, 2, ROWS)) * 0.01, 2)
    signal = rng.choice([-2.0, 2.0, np.nan], (2, ROWS), p=[share, share, 1 - 2 * share])
    return Market(symbols, symbol, bid, rng.uniform(5.0, 40.0, ROWS), signal)


def books_of(rows: Market, roles: Sequence[str], paper: PaperRules, target: Target) -> int:
    """Fold all rows; how many trades that made."""
    rules = BookRules(LedgerRules(start_flat=True), MarkRules(), paper, dict.fromkeys(roles, target))
    books = BookSet(instruments(rows.symbols), roles, rules)
    trades = 0
    for start in range(0, ROWS, SLICE):
        part = slice(start, start + SLICE)
        done = books.fold(
            symbol=rows.symbol[part],
            eff=START + np.arange(start, start + SLICE) * STEP_NS,
            bid=rows.bid[part],
            ask=rows.bid[part] + 0.01,
            price=rows.bid[part],
            predictions={role: rows.signal[i][part] for i, role in enumerate(roles)},
            volume=rows.volume[part],
        )
        trades += len(done.trades)
    return trades


def instruments(symbols: int) -> list[InstrumentUnits]:
    return [
        InstrumentUnits.of(f"S{i}", Decimal("0.01"), Decimal("0.1"), Decimal(1), "USD")
        for i in range(symbols)
    ]


PLAIN = PaperRules(quantity=Decimal(1), fee_bps=Decimal(2))
CAPPED = msgspec.structs.replace(
    PLAIN, share=Decimal("0.02"), max_exposure=Decimal(90), max_turnover=Decimal(10**6)
)
BROKERS: tuple[tuple[str, int, float, PaperRules, Target], ...] = (
    ("20 symbols", 20, 0.045, PLAIN, Sign(threshold=1.0)),
    ("1 symbol", 1, 0.04, msgspec.structs.replace(PLAIN, holding_ns=0), Sign(threshold=1.0)),
    ("20 symbols, caps, partial fills", 20, 0.0055, CAPPED, Linear(scale=3.0)),
)


def rounds(works: Mapping[str, Callable[[], Any]]) -> dict[str, NDArray[np.float64]]:
    """CPU time of each, us a row, in every one of some rounds: what disturbs one work disturbs its neighbours
    too, so that ratios within a round hold on a busy machine."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(REPEATS):
        for name, work in works.items():
            start = time.process_time()
            work()
            times[name].append((time.process_time() - start) / ROWS * 1e6)
    return {name: np.array(each) for name, each in times.items()}


def main() -> None:
    """Measure and print medians over the rounds."""
    records = execution_reports()
    bodies, typed = [each.value or b"" for each in records], msgspec.json.Decoder(ExecutionReport).decode
    rules = BookRules(LedgerRules(start_flat=True), MarkRules(), PLAIN)
    decoder = OrderDecoder(SymbolTable(None), 0, 1)

    # Numbers as they come from a message: what they cost to hash and to convert is not yet paid.
    def fold() -> BookSet:
        books = BookSet(instruments(SYMBOLS), ROLES, rules)
        for place, body in enumerate(bodies):
            books.ledger.apply(typed(body), START + place, START + place, place)
        return books

    def follow() -> None:
        lifecycle = Lifecycle(LifecycleRules())
        for start in range(0, ROWS, SLICE):
            changes = Changes()
            for body in bodies[start : start + SLICE]:
                each = typed(body)
                lifecycle.apply(each, each.ts_ns, each.ts_ns, changes)

    books = fold()
    works: dict[str, Callable[[], Any]] = {
        "typed": only_decode(feature_events(), Event),
        "read": only_decode(records, ExecutionReport),
        "columns": columns(records, SLICE, decoder.decode),
        "ledger": fold,
        "life": follow,
        "instant": lambda: [books.at(START) for _ in range(INSTANTS)],
    }
    for name, symbols, share, paper, target in BROKERS:
        rows = market(symbols, share)
        works[f"marks, {name}"] = partial(books_of, rows, (), paper, target)
        works[f"books, {name}"] = partial(books_of, rows, ROLES, paper, target)
    took = rounds(works)
    decode = took["typed"]

    def tell(name: str, cost: NDArray[np.float64], limit: float | None = None) -> None:
        bound = f"   at most {limit}" if limit is not None else ""
        print(f"{name:54} {np.median(cost):6.2f} us {np.median(cost / decode):6.2f}{bound}")

    tell("typed decode of a feature event", decode)
    for name, symbols, share, paper, target in BROKERS:
        often = ROWS * len(ROLES) / books_of(market(symbols, share), ROLES, paper, target)
        alone, both = took[f"marks, {name}"], took[f"books, {name}"]
        tell(f"marks, a row ({name})", alone)
        tell(f"two paper books, a row (1 in {often:.0f} trades)", both - alone, 0.8)
    ledger, life = took["ledger"] - took["read"], took["life"] - took["read"]
    tell("execution report, typed decode", took["read"])
    tell("execution report, decoded to columns", took["columns"])
    tell("execution report, ledger", ledger)
    tell("execution report, life of its order", life)
    tell("execution report, columns, ledger and life", took["columns"] + ledger + life, 6.5)
    tell("all books at one instant", took["instant"] * ROWS / INSTANTS)


if __name__ == "__main__":
    main()
