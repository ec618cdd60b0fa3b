"""What decoding to columns costs, as ratios to decoding alone measured in the same run.

    python benchmarks/decode.py

32 features, 20 symbols, every message distinct, keys checked. The floor is the fastest typed decode there is:
into a type of exactly these fields, of known width, thrown away at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import msgspec
import numpy as np

from monitor.transport.contract import Headers, Record
from monitor.wire.features import FeatureDecoder, FeatureSpace
from monitor.wire.keys import feature_schema_crc32
from monitor.wire.messages import ExecutionReport, Served
from monitor.wire.orders import OrderDecoder
from monitor.wire.symbols import SymbolTable
from monitor.wire.table import Table

ROWS, REPEATS, WIDTH = 40_960, 7, 32
SIZES = (64, 512, 4096)
START, STEP_NS = 1_700_000_000_000_000_000, 2_000_000
NAMES = tuple(f"feature_{i:02d}" for i in range(WIDTH))
WIDE = tuple(f"other_{i:02d}" for i in range(WIDTH // 4)) + NAMES[::-1]
VERSION: Headers = (("schema-version", b"1"),)

Number = float | None
ByPlace = tuple[(Number,) * WIDTH]  # type: ignore[valid-type]


class Event(msgspec.Struct, gc=False):
    """The fields of the benchmark's messages and no others."""

    event_id: str
    ts_ns: int
    symbol: str
    features: ByPlace | dict[str, Number]
    schema_crc32: int
    bid: float
    ask: float
    served: Served


def crc(names: Sequence[str]) -> int:
    return feature_schema_crc32([(name, "float32") for name in names])


def feature_events(
    names: Sequence[str] = NAMES, by_name: bool = False, nulls: float = 0.0, headers: Headers = ()
) -> list[Record]:
    """Records of distinct feature events with `names`; a share of the values is null."""
    rng = np.random.default_rng(7)
    values = np.round(rng.normal(size=(ROWS, len(names))), 4).tolist()
    absent = rng.random((ROWS, len(names))) < nulls
    records = []
    for i, row in enumerate(values):
        cells: list[float | None] = [None if gone else x for x, gone in zip(row, absent[i], strict=True)]
        symbol = f"SYM{i % 20:02d}"
        message = {
            "event_id": f"event-{i:010d}",
            "ts_ns": START + i * STEP_NS,
            "symbol": symbol,
            "features": dict(zip(names, cells, strict=True)) if by_name else cells,
            "schema_crc32": crc(names),
            "bid": 100.0 + i % 100 / 100,
            "ask": 100.02 + i % 100 / 100,
            "served": {
                "model_version": "v7",
                "prediction": row[0],
                "status": "ok",
                "latency_ms": 1 + i / ROWS,
            },
        }
        body = json.dumps(message, separators=(",", ":")).encode()
        records.append(Record(i, START + i * STEP_NS, symbol.encode(), body, headers))
    return records


def execution_reports() -> list[Record]:
    """Records of distinct fills."""
    records = []
    for i in range(ROWS):
        symbol = f"SYM{i % 20:02d}"
        message = {
            "order_id": f"order-{i:010d}",
            "exec_id": f"exec-{i:010d}",
            "ts_ns": START + i * STEP_NS,
            "symbol": symbol,
            "kind": "fill",
            "side": "buy" if i % 2 else "sell",
            "order_type": "market",
            "quantity": "0.50",
            "last_quantity": "0.50",
            "last_price": f"{100 + i % 1000 / 100}",
            "cum_quantity": "0.50",
            "fee": "0.01",
            "fee_currency": "USD",
            "account": "desk-1",
            "feature_event_id": f"event-{i:010d}",
        }
        body = json.dumps(message, separators=(",", ":")).encode()
        records.append(Record(i, START + i * STEP_NS, symbol.encode(), body))
    return records


def seconds(work: Callable[[], Any]) -> float:
    """Median CPU time of some repeats."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return median(times)


def microseconds(work: Callable[[], Any]) -> float:
    """Median CPU time of a message."""
    return seconds(work) / ROWS * 1e6


def only_decode(records: Sequence[Record], kind: Any) -> Callable[[], None]:
    decode = msgspec.json.Decoder(kind).decode
    bodies = [record.value or b"" for record in records]

    def work() -> None:
        for body in bodies:
            decode(body)

    return work


def columns(
    records: Sequence[Record], size: int, decode: Callable[[Sequence[Record]], Table]
) -> Callable[[], None]:
    def work() -> None:
        for start in range(0, ROWS, size):
            table = decode(records[start : start + size])
            assert not table["reason"].any()

    return work


def main() -> None:
    space = FeatureSpace(NAMES, {crc(NAMES): NAMES, crc(WIDE): WIDE})
    cases: list[tuple[str, list[Record], Any]] = [
        ("array", feature_events(), Event),
        ("array, schema-version header", feature_events(headers=VERSION), Event),
        ("array, 5 % null", feature_events(nulls=0.05), Event),
        ("by name", feature_events(by_name=True), Event),
        ("execution report", execution_reports(), ExecutionReport),
    ]
    floor = microseconds(only_decode(cases[0][1], Event))
    print(f"floor: typed decode of an array event, {len(cases[0][1][0].value or b'')} bytes: {floor:.2f} us")
    print(f"{'to columns, in floors (in its own decode)':44}" + "".join(f"{size:>8} rows" for size in SIZES))
    for name, records, kind in cases:
        own = microseconds(only_decode(records, kind))
        cells = []
        for size in SIZES:
            # Unchecked partitions would skip what every Kafka message pays, so keys are checked: one of one.
            orders = kind is ExecutionReport
            symbols = SymbolTable(None)
            decoder = OrderDecoder(symbols, 0, 1) if orders else FeatureDecoder(space, symbols, 0, 1)
            cost = microseconds(columns(records, size, decoder.decode))
            cells.append(f"{cost / floor:5.2f} ({cost / own:4.2f})")
        print(f"{name:44}" + "".join(f"{cell:>13}" for cell in cells))


if __name__ == "__main__":
    main()
