"""What books cost, as ratios to the typed decode of a feature event measured in the same run.

    python benchmarks/trading.py

Two paper books and the marks on 512-row slices where about 1 row in 50 trades, and one execution report
applied to the ledger, with and without its decode.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
from decode import seconds

from monitor.trading.books import BookRules, BookSet
from monitor.trading.ledger import LedgerRules
from monitor.trading.marks import MarkRules
from monitor.trading.paper_rules import PaperRules
from monitor.trading.targets import Sign
from monitor.trading.units import InstrumentUnits
from monitor.wire.messages import ExecutionReport, Served

ROWS, SLICE, SYMBOLS = 51_200, 512, 20
START, STEP_NS = 1_700_000_000_000_000_000, 2_000_000
ROLES = ("active", "shadow")
FLIP_FEE = Decimal("0.04")
"""Of a trade from long to short: twice the quantity of 1, at about 100, at 2 bps."""

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


def main() -> None:
    """Measure and print."""
    rng = np.random.default_rng(7)
    instruments = [
        InstrumentUnits.of(f"S{i}", Decimal("0.01"), Decimal("0.1"), Decimal(1), "USD")
        for i in range(SYMBOLS)
    ]
    paper = PaperRules(quantity=Decimal(1), fee_bps=Decimal(2))
    targets = dict.fromkeys(ROLES, Sign(threshold=1.0))
    rules = BookRules(LedgerRules(start_flat=True), MarkRules(), paper, targets)

    events, decoder = feature_events(rng), msgspec.json.Decoder(Event)
    decode = seconds(lambda: [decoder.decode(event) for event in events]) / ROWS

    symbol = rng.integers(0, SYMBOLS, ROWS, dtype=np.int32)
    eff = START + np.arange(ROWS) * STEP_NS
    bid = 100.0 + np.round(np.cumsum(rng.integers(-1, 2, ROWS)) * 0.01, 2)
    ask, price = bid + 0.01, bid
    signal = rng.choice([-2.0, 2.0, np.nan], (2, ROWS), p=[0.045, 0.045, 0.91])
    books = BookSet(instruments, ROLES, rules)

    def run(roles: tuple[str, ...]) -> None:
        nonlocal books
        books = BookSet(instruments, roles, rules)
        for start in range(0, ROWS, SLICE):
            part = slice(start, start + SLICE)
            books.fold(
                symbol=symbol[part],
                eff=eff[part],
                bid=bid[part],
                ask=ask[part],
                price=price[part],
                predictions={role: signal[i][part] for i, role in enumerate(roles)},
            )

    marks = seconds(lambda: run(())) / ROWS
    both = seconds(lambda: run(ROLES)) / ROWS
    flips = sum(Decimal(paper.book.fees["USD"]) / 10**18 for paper in books.papers.values()) / FLIP_FEE
    instant = seconds(lambda: books.at(START))

    raw, reader = reports(), msgspec.json.Decoder(ExecutionReport)
    messages = [reader.decode(each) for each in raw]

    def apply() -> None:
        fresh = BookSet(instruments, ROLES, rules)
        for place, each in enumerate(messages):
            fresh.ledger.apply(each, START + place)

    applied = seconds(apply) / len(messages)
    read = seconds(lambda: [reader.decode(each) for each in raw]) / len(messages)

    print(f"typed decode of a feature event              {decode * 1e6:6.2f} us   1.00")
    for name, cost in (
        ("marks, a row", marks),
        (f"two paper books, a row (1 in {2 * ROWS / flips:.0f} trades)", both - marks),
        ("marks and two paper books, a row", both),
        ("ledger, an execution report", applied),
        ("ledger and decode, an execution report", applied + read),
        ("all books at one instant", instant),
    ):
        print(f"{name:44} {cost * 1e6:6.2f} us {cost / decode:6.2f}")


if __name__ == "__main__":
    main()
