"""Books of a replay of untidy files equal those made row by row in fractions, however it reads and splits."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from cli.command_cases import replayed
from models.model_builders import linear, write_artifact
from trading.reference_books import ReferenceLedger
from trading.reference_market import Broker, ReferenceMarks, ReferencePaper, decimal_text, quote_of
from trading.report_streams import (
    LATENESS_NS,
    MS,
    START,
    STRATEGY,
    Venue,
    arriving,
    random_instruments,
    repeated,
)

from monitor.trading.units import InstrumentUnits
from monitor.wire.messages import ExecutionReport

S = 1_000 * MS
LEVEL = 5_000
"""Where markets begin, in ticks."""

DEDUPE_NS = 10 * S
MODELS = {"active": "a", "shadow": "s"}
"""Each model hands one feature through, so that a prediction is known without it."""

PREDICTIONS = (None, 0.0, 0.25, -0.25, 0.5, -0.5, 1.0, 1.0, -2.0, -2.0)
BROKERS = (
    Broker(Fraction(1), threshold=0.25, holding_ns=200 * MS, latency_ns=50 * MS, fee_bps=Fraction(2)),
    Broker(Fraction(3), holding_ns=0, latency_ns=0, slippage_bps=Fraction(7, 10), fee_bps=Fraction(-3, 10)),
    Broker(
        Fraction(4),
        target="linear",
        scale=1.5,
        threshold=0.25,
        holding_ns=100 * MS,
        latency_ns=20 * MS,
        half_spread_bps=Fraction(3, 2),
        share=Fraction(1, 5),
        max_exposure=Fraction(100_000),
        max_turnover=Fraction(400_000),
    ),
)

CAPPED = ("in_parts", "exposure", "turnover")
PAPER = ("trades", "replaced", *CAPPED)
COUNTED = (
    "unfit",
    "confirmed",
    "late_fills",
    "late_features",
    "duplicates",
    "busts",
    "corrections",
    "flips",
    *(f"paper_{name}" for name in PAPER),
)
"""What a desk must show to prove something."""

Row = dict[str, Any]


@dataclass
class Desk:
    """Messages in file order."""

    instruments: list[InstrumentUnits]
    features: list[Row] = field(default_factory=list)
    orders: list[ExecutionReport] = field(default_factory=list)


def made_up(seed: int, n: int) -> Desk:
    """`n` feature rows and half as many reports: disordered, late, twice, some of another strategy."""
    rng = random.Random(seed)
    desk = Desk(random_instruments(rng, 3, ["USD"]))
    stream = Venue(rng, desk.instruments, 3 * MS, LEVEL, [None, "USD"]).stream(n // 2)
    theirs = [
        msgspec.structs.replace(each, exec_id=f"theirs-{place}", strategy="theirs")
        for place, each in enumerate(rng.sample(stream.reports, n // 10))
    ]
    times = sorted(rng.randrange(START - 100 * MS, stream.end_ns) for _ in range(n))
    levels = dict.fromkeys((units.symbol for units in desk.instruments), LEVEL)
    rows, jumped = [], []
    for i, ts_ns in enumerate(times):
        units = rng.choice(desk.instruments)
        if rng.random() < 0.03:
            levels[units.symbol] += rng.choice([-60, 60])
            jumped.append(_jumped(f"jump{i}", ts_ns + rng.choice([0, 1]), units, levels))
        rows.append(_feature(rng, i, ts_ns, units, levels))
    reports = sorted([*stream.reports, *theirs, *jumped], key=lambda each: each.ts_ns)
    half = n // 4
    arrived = [*arriving(rng, reports[:half]), *arriving(rng, reports[half:], S)]
    desk.orders = repeated(rng, arrived, 0.1)
    delays = [0] * 12 + [60 * MS, 150 * MS, 700 * MS]
    rows.sort(key=lambda row: row["ts_ns"] + rng.choice(delays))
    for row in rows:
        desk.features += [row] * rng.choice([*[1] * 20, 2])
    return desk


def _jumped(exec_id: str, ts_ns: int, units: InstrumentUnits, levels: dict[str, int]) -> ExecutionReport:
    """A fill where the market has just jumped to."""
    price = levels[units.symbol] * units.tick_size
    return ExecutionReport(
        order_id=exec_id,
        exec_id=exec_id,
        ts_ns=ts_ns,
        symbol=units.symbol,
        kind="fill",
        side="buy",
        last_quantity=units.lot_size,
        last_price=price,
        strategy=STRATEGY,
    )


def _feature(rng: random.Random, i: int, ts_ns: int, units: InstrumentUnits, levels: dict[str, int]) -> Row:
    """Quotes with bad ticks, jumps that stay, wide, crossed, one-sided and missing ones."""
    symbol = units.symbol
    levels[symbol] += rng.randint(-2, 2)
    low = levels[symbol] + (rng.choice([-3_000, 90, 5_000]) if rng.random() < 0.04 else 0)
    kind = rng.choice(["quote"] * 12 + ["wide", "crossed", "price", "bid", "none"])
    high = low + {"wide": 200, "crossed": -2}.get(kind, rng.choice([0, 1, 1, 3]))
    row: Row = {"event_id": f"e{i}", "ts_ns": ts_ns, "symbol": symbol}
    row["features"] = {name: rng.choice(PREDICTIONS) for name in MODELS.values()}
    row["features"]["volume"] = rng.choice([None, -1.0, 0.0, 0.3, 5.0, 7.5, 10.0, 1e9])
    tick = float(units.tick_size)
    if kind not in ("price", "none"):
        row["bid"] = low * tick
    if kind not in ("price", "none", "bid"):
        row["ask"] = high * tick
    if kind == "price" or rng.random() < 0.3:
        row["price"] = (low + 0.5) * tick
    return row


def write(directory: Path, desk: Desk, broker: Broker) -> None:
    """Streams, models and configuration."""
    (directory / "features.jsonl").write_text("".join(json.dumps(row) + "\n" for row in desk.features))
    orders = [
        {key: value for key, value in msgspec.to_builtins(each).items() if value is not None}
        for each in desk.orders
    ]
    (directory / "orders.jsonl").write_text("".join(json.dumps(row) + "\n" for row in orders))
    for role, column in MODELS.items():
        (directory / role).mkdir()
        write_artifact(directory / role, linear(np.ones(1)), (column,), name=role, horizon_ns=S)
    more: dict[str, Any] = {}
    if broker.target == "linear":
        more["scale"] = broker.scale
    if broker.share is not None:
        more["participation"] = {"share": decimal_text(broker.share), "volume": "volume"}
    bps = ("half_spread_bps", "slippage_bps", "fee_bps")
    amounts = (*bps, "max_exposure", "max_turnover")
    more |= {name: decimal_text(getattr(broker, name)) for name in amounts if getattr(broker, name)}
    deployment = {
        "capital": {"amount": "1000000", "currency": "USD"},
        "filter": {"strategy": STRATEGY},
        "models": {"active": "active/artifact", "shadows": {"shadow": "shadow/artifact"}},
        "books": {"start_flat": True, "mark_staleness": "1h", "mark_band_bps": 50, "max_spread_bps": 20},
        "paper": {
            "target": broker.target,
            "threshold": broker.threshold,
            "quantity": decimal_text(broker.quantity),
            "holding": f"{broker.holding_ns}ns",
            "latency": f"{broker.latency_ns}ns",
            **more,
        },
        "windows": ["10s", "1m"],
    }
    config = {
        "version": 1,
        "transport": {"kind": "memory", "group": "books"},
        "event_time": {"allowed_lateness": f"{LATENESS_NS}ns", "dedupe_window": f"{DEDUPE_NS}ns"},
        "instruments": {
            units.symbol: {
                "tick_size": str(units.tick_size),
                "lot_size": str(units.lot_size),
                "multiplier": str(units.multiplier),
                "currency": units.currency,
            }
            for units in desk.instruments
        },
        "deployments": {"books": deployment},
    }
    (directory / "config.yaml").write_text(yaml.safe_dump(config))


def folded(desk: Desk) -> Iterator[tuple[int, Row | ExecutionReport]]:
    """Rows of both files in folding order with their effective times, without late features and duplicates.

    What is late lies at its file's bound.
    """
    logs = (
        [(row["ts_ns"], (row["symbol"], row["event_id"]), row) for row in desk.features],
        [(each.ts_ns, (each.account, each.symbol, each.exec_id), each) for each in desk.orders],
    )
    rows = []
    for stream, log in enumerate(logs):
        bound = 0
        for offset, (ts_ns, key, row) in enumerate(log):
            late = ts_ns < bound
            if not (late and stream == 0):
                rows.append((bound if late else ts_ns, stream, offset, key, row))
            bound = max(bound, ts_ns - LATENESS_NS)
    last: dict[Any, int] = {}
    for own, stream, _, key, row in sorted(rows, key=lambda each: each[:3]):
        known = (stream, key) in last and last[stream, key] >= own - DEDUPE_NS
        last[stream, key] = own
        if not known:
            yield own, row


@dataclass
class RowByRow:
    """What the books come to. `counted`: what the rows were worth as a test."""

    instruments: Sequence[InstrumentUnits]
    broker: Broker
    counted: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.units = {units.symbol: units for units in self.instruments}
        self.marks = ReferenceMarks(self.instruments)
        self.real = ReferenceLedger(self.instruments)
        self.papers = {role: ReferencePaper(self.instruments, self.broker) for role in MODELS}

    def fold(self, desk: Desk) -> None:
        """All rows."""
        for at, row in folded(desk):
            if isinstance(row, ExecutionReport):
                self._order(at, row)
            else:
                self._feature(at, row)

    def _feature(self, at: int, row: Row) -> None:
        symbol = row["symbol"]
        quote = quote_of(self.units[symbol], row.get("bid"), row.get("ask"), row.get("price"))
        fresh = self.marks.quote(symbol, at, quote)
        self.counted["unfit"] += not fresh
        for role, paper in self.papers.items():
            values = row["features"]
            paper.row(symbol, at, quote if fresh else None, values[MODELS[role]], values["volume"])

    def _order(self, at: int, report: ExecutionReport) -> None:
        if report.strategy != STRATEGY or not self.real.apply(report, at):
            return
        if report.kind in ("fill", "partial_fill"):
            assert report.last_price is not None
            before = self.marks.marks[report.symbol].value
            self.marks.fill(report.symbol, Fraction(report.last_price))
            self.counted["confirmed"] += before != self.marks.marks[report.symbol].value

    def report(self) -> dict[str, Any]:
        """As `report.json` says it."""
        papers = {f"role={role},fills=paper": paper for role, paper in self.papers.items()}
        return {
            name: self._said(book) for name, book in {"role=active,fills=real": self.real, **papers}.items()
        }

    def _said(self, book: ReferenceLedger | ReferencePaper) -> dict[str, Any]:
        positions, equity = {}, book.cash["USD"]
        for symbol, quantity in book.positions.items():
            mark, multiplier = self.marks.marks[symbol], Fraction(self.units[symbol].multiplier)
            assert mark.value is not None
            equity += quantity * mark.value * multiplier
            positions[symbol] = {
                "quantity": decimal_text(quantity),
                "mark": decimal_text(mark.value),
                "mark_ts_ns": mark.ts_ns,
                "multiplier": decimal_text(multiplier),
            }
        cash, worth = decimal_text(book.cash["USD"]), decimal_text(equity)
        return {"currency": "USD", "cash": cash, "equity": worth, "status": "ok", "positions": positions}


def check(
    directory: Path, seed: int, n: int, broker: Broker, runs: Sequence[tuple[int, int]]
) -> Counter[str]:
    """Replays a desk by (tasks, batch size) each; all say what the rows come to."""
    desk = made_up(seed, n)
    write(directory, desk, broker)
    expected = RowByRow(desk.instruments, broker)
    expected.fold(desk)
    written = None
    for tasks, batch in runs:
        found = replayed(directory, f"{tasks}-{batch}", "--tasks", str(tasks), "--batch-size", str(batch))
        report = json.loads(found["report.json"])["deployments"]["books"]
        assert report["books"] == expected.report()
        assert written in (None, found)
        written = found
    counts = report["counts"]
    return expected.counted + Counter(
        rows=len(desk.features) + len(desk.orders),
        late_fills=counts["late_applied{stream=orders}"],
        late_features=counts["late{stream=features}"],
        duplicates=counts["duplicate{stream=orders}"] + counts["duplicate{stream=features}"],
        **{f"paper_{name}": sum(paper.counted[name] for paper in expected.papers.values()) for name in PAPER},
        busts=expected.real.counted["bust"],
        corrections=expected.real.counted["correct"],
        flips=expected.real.sum("flips"),
    )


@pytest.mark.parametrize("broker", BROKERS)
def test_tasks_and_batches_replay_the_books_that_fractions_say(tmp_path, broker):
    counted = check(tmp_path, 5, 400, broker, [(1, 512), (3, 7), (3, 1)])
    unseen = {name for name in COUNTED if counted[name] < 3}
    assert unseen == (set() if broker.share else {f"paper_{name}" for name in CAPPED}), counted


@pytest.mark.proof(
    "monitor/trading/books.py",
    "monitor/trading/ledger.py",
    "monitor/trading/position.py",
    "monitor/trading/executions.py",
    "monitor/trading/units.py",
    "monitor/trading/marks.py",
    "monitor/trading/paper.py",
    "monitor/engine/task_books.py",
)
def test_replays_of_many_desks_say_what_fractions_say(tmp_path, measured):
    counted: Counter[str] = Counter()
    for seed in range(8):
        directory = tmp_path / str(seed)
        directory.mkdir()
        runs = [(1, 4096), (3, 7), (5, 512), (2, 1)]
        counted += check(directory, seed, 1_500, BROKERS[seed % len(BROKERS)], runs)
    assert min(counted[name] for name in COUNTED) > 100, counted
    measured.update(counted)
