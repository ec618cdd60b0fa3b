"""What books cost, as ratios to the typed decode of a feature event measured in the same run.

    python benchmarks/trading.py

Two paper books and the marks on 512-row slices where about 1 row in 50 trades: of many symbols, of one, and
where caps and partial fills are at work. One execution report applied to the ledger, with and without its
decode.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np
from decode import seconds

from monitor.trading.books import BookRules, BookSet
from monitor.trading.ledger import LedgerRules
from monitor.trading.marks import MarkRules
from monitor.trading.paper_rules import PaperRules
from monitor.trading.targets import Linear, Sign, Target
from monitor.trading.units import InstrumentUnits
from monitor.wire.messages import ExecutionReport, Served

ROWS, SLICE, SYMBOLS = 51_200, 512, 20
START, STEP_NS = 1_700_000_000_000_000_000, 2_000_000
ROLES = ("active", "shadow")
Cells = tuple[(float | None,) * 32]  # type: ignore[valid-type]


class Event(msgspec.Struct):
    """A feature event of known width: the fastest typed decode there is."""

    event_id: str
    ts_ns: int
    symbol: str
    features: Cells
    bid: float
    ask: float
    served: Served


def feature_events(rng: np.random.Generator) -> list[bytes]:
    """JSON feature events of about 400 bytes."""
    values = np.round(rng.normal(size=(ROWS, 32)), 4)
    return [
        msgspec.json.encode(
            {
                "event_id": f"e{row}",
                "ts_ns": START + row * STEP_NS,
                "symbol": f"S{row % SYMBOLS}",
                "features": values[row].tolist(),
                "bid": 100.01,
                "ask": 100.02,
                "served": {"prediction": 0.25, "status": "ok", "latency_ms": 3.5},
            }
        )
        for row in range(ROWS)
    ]


def reports() -> list[bytes]:
    """Fills that open, flip and close."""
    return [
        msgspec.json.encode(
            {
                "order_id": f"o{i}",
                "exec_id": f"x{i}",
                "ts_ns": START + i,
                "symbol": f"S{i % SYMBOLS}",
                "kind": "fill",
                "side": "buy" if i % 3 else "sell",
                "last_quantity": "1.5",
                "last_price": "100.01",
                "fee": "0.01",
                "tags": {"model_version": "v7"},
            }
        )
        for i in range(20_000)
    ]


class Market(NamedTuple):
    """Rows of several symbols with a signal a role."""

    symbols: int
    symbol: np.ndarray
    bid: np.ndarray
    volume: np.ndarray
    signal: np.ndarray


def market(symbols: int) -> Market:
    """Of signals that make about 1 row in 50 trade."""
    rng = np.random.default_rng(7)
    symbol = rng.integers(0, symbols, ROWS, dtype=np.int32)
    bid = 100.0 + np.round(np.cumsum(rng.integers(-1, 2, ROWS)) * 0.01, 2)
    # One symbol alone turns often, so it has to wait less for a signal.
    share = 0.045 if symbols > 1 else 0.022
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
BROKERS: tuple[tuple[str, int, PaperRules, Target, float], ...] = (
    ("20 symbols", 20, PLAIN, Sign(threshold=1.0), 0.8),
    ("1 symbol", 1, msgspec.structs.replace(PLAIN, holding_ns=0), Sign(threshold=1.0), 0.8),
    ("20 symbols, caps, partial fills", 20, CAPPED, Linear(scale=3.0), 0.8),
)


def main() -> None:
    """Measure and print."""
    events, decoder = feature_events(np.random.default_rng(7)), msgspec.json.Decoder(Event)
    decode = seconds(lambda: [decoder.decode(event) for event in events]) / ROWS
    print(f"typed decode of a feature event                        {decode * 1e6:6.2f} us   1.00")

    def tell(name: str, cost: float, limit: float | None = None) -> None:
        bound = f"   at most {limit}" if limit is not None else ""
        print(f"{name:54} {cost * 1e6:6.2f} us {cost / decode:6.2f}{bound}")

    for name, symbols, paper, target, limit in BROKERS:
        rows = market(symbols)
        alone = seconds(partial(books_of, rows, (), paper, target)) / ROWS
        both = seconds(partial(books_of, rows, ROLES, paper, target)) / ROWS
        often = ROWS * len(ROLES) / books_of(rows, ROLES, paper, target)
        tell(f"marks, a row ({name})", alone)
        tell(f"two paper books, a row (1 in {often:.0f} trades)", both - alone, limit)

    raw, reader = reports(), msgspec.json.Decoder(ExecutionReport)
    messages = [reader.decode(each) for each in raw]
    rules = BookRules(LedgerRules(start_flat=True), MarkRules(), PLAIN)

    def fold() -> BookSet:
        books = BookSet(instruments(SYMBOLS), ROLES, rules)
        for place, each in enumerate(messages):
            books.ledger.apply(each, START + place)
        return books

    read = seconds(lambda: [reader.decode(each) for each in raw]) / len(messages)
    applied = seconds(fold) / len(messages)
    tell("ledger, an execution report", applied)
    tell("ledger and decode, an execution report", applied + read, 6.5)
    books = fold()
    tell("all books at one instant", seconds(lambda: books.at(START)))


if __name__ == "__main__":
    main()
