"""Books of a replay of untidy files, and all figures of them, equal those made row by row in fractions."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from cli.command_cases import replayed
from models.model_builders import linear, write_artifact
from trading.reference_desk import ReferenceDesk
from trading.reference_figures import Rules, assert_effects_add_up, assert_figures, begun, instants
from trading.reference_market import Broker, decimal_text, quote_of
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

DEDUPE_NS = 100 * MS
"""Short: what comes again after it, the ledger must know."""

TICK_NS = 100 * MS
CAPITAL = 1_000_000
RULES = Rules(Fraction(CAPITAL), grid_ns=300 * MS, min_returns=5)
MODELS = {"active": ("a", 1.0), "shadow": ("s", 0.5)}
"""Each model puts out one feature times a weight, so that a prediction is known without it."""

EURO = ("EURUSD", Decimal("0.0002"), Decimal(1), Decimal(1))
"""What converts euros."""

PREDICTIONS = (None, 0.0, 0.25, -0.25, 0.5, -0.5, 1.0, 1.0, -2.0, -2.0)
BROKERS = (
    Broker(Fraction(1), threshold=0.25, holding_ns=200 * MS, latency_ns=50 * MS, fee_bps=Fraction(2)),
    Broker(
        Fraction(3),
        holding_ns=0,
        latency_ns=0,
        slippage_bps=Fraction("0.70000000000000013"),
        fee_bps=Fraction("-0.3123456789012347"),
    ),
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
    "ledger_duplicates",
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
    euros = InstrumentUnits.of(*EURO, "USD")
    desk = Desk([*random_instruments(rng, 2, ["USD"]), *random_instruments(rng, 1, ["EUR"], "E"), euros])
    stream = Venue(rng, desk.instruments, 3 * MS, LEVEL, [None, "USD", "EUR"]).stream(n // 2)
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
    # What is held has a mark from the first fill on.
    for row in [*map(_opening, desk.instruments), *rows]:
        desk.features += [row] * rng.choice([*[1] * 20, 2])
    return desk


def _opening(units: InstrumentUnits) -> Row:
    """A first row with a quote that is fit to be a mark."""
    values = {**dict.fromkeys((name for name, _ in MODELS.values()), 1.0), "volume": None}
    row = {"event_id": "opening", "ts_ns": START - 200 * MS, "symbol": units.symbol, "features": values}
    return {**row, "bid": LEVEL * float(units.tick_size), "ask": LEVEL * float(units.tick_size)}


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
    row["features"] = {name: rng.choice(PREDICTIONS) for name, _ in MODELS.values()}
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
    for role, (column, weight) in MODELS.items():
        (directory / role).mkdir()
        write_artifact(directory / role, linear(np.array([weight])), (column,), name=role, horizon_ns=S)
    more: dict[str, Any] = {}
    if broker.target == "linear":
        more["scale"] = broker.scale
    if broker.share is not None:
        more["participation"] = {"share": decimal_text(broker.share), "volume": "volume"}
    bps = ("half_spread_bps", "slippage_bps", "fee_bps")
    amounts = (*bps, "max_exposure", "max_turnover")
    more |= {name: decimal_text(getattr(broker, name)) for name in amounts if getattr(broker, name)}
    deployment = {
        "capital": {"amount": str(CAPITAL), "currency": "USD"},
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
        "windows": ["2s", "5s"],
        "performance": {"grid": f"{RULES.grid_ns}ns", "min_returns": RULES.min_returns},
    }
    schema = json.dumps([[column, "float64"] for column in ("volume", *(c for c, _ in MODELS.values()))])
    (directory / "features.json").write_text(schema)
    config = {
        "version": 1,
        "feature_schemas": ["features.json"],
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
        "fx": {"EURUSD": EURO[0]},
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


def row_by_row(desk: Desk, broker: Broker) -> ReferenceDesk:
    """What the books come to, and came to at every instant."""
    reference = ReferenceDesk(desk.instruments, broker, tuple(MODELS), {"EUR": EURO[0]})
    rows = list(folded(desk))
    last = max(*(row["ts_ns"] for row in desk.features), *(each.ts_ns for each in desk.orders))
    reference.ask(instants(rows[0][0], last, TICK_NS))
    for at, row in rows:
        if not isinstance(row, ExecutionReport):
            quote = quote_of(reference.units[row["symbol"]], row.get("bid"), row.get("ask"), row.get("price"))
            values = row["features"]
            predictions = {
                role: None if values[column] is None else values[column] * weight
                for role, (column, weight) in MODELS.items()
            }
            reference.feature(at, row["symbol"], quote, predictions, values["volume"])
        elif row.strategy == STRATEGY:
            reference.order(at, row)
    reference.pass_to(last + 1)
    return reference


def check(
    directory: Path, seed: int, n: int, broker: Broker, runs: Sequence[tuple[int, int]]
) -> Counter[str]:
    """Replays a desk by (tasks, batch size) each; all say what the rows come to."""
    desk = made_up(seed, n)
    write(directory, desk, broker)
    expected = row_by_row(desk, broker)
    written = None
    for tasks, batch in runs:
        found = replayed(directory, f"{tasks}-{batch}", "--tasks", str(tasks), "--batch-size", str(batch))
        report = json.loads(found["report.json"])["deployments"]["books"]
        assert report["books"] == expected.report()
        assert written in (None, found)
        written = found
    moments = begun(expected.moments, TICK_NS)
    figures = assert_figures(report["metrics"], moments, RULES)
    assert assert_effects_add_up(report["metrics"], ["shadow"]) == 4
    assert {"sharpe", "pnl_divergence_z", "win_rate", "pnl_vs_benchmark"} <= figures.keys()
    counts = report["counts"]
    return (
        Counter(figures)
        + expected.counted
        + Counter(
            rows=len(desk.features) + len(desk.orders),
            late_fills=counts["late_applied{stream=orders}"],
            late_features=counts["late{stream=features}"],
            duplicates=counts["duplicate{stream=orders}"] + counts["duplicate{stream=features}"],
            **{
                f"paper_{name}": sum(paper.counted[name] for paper in expected.papers.values())
                for name in PAPER
            },
            busts=expected.real.counted["bust"],
            corrections=expected.real.counted["correct"],
            flips=expected.real.sum("flips"),
            ledger_duplicates=expected.real.counted["duplicates"],
        )
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
    "monitor/trading/paper_rules.py",
    "monitor/trading/course.py",
    "monitor/trading/stops.py",
    "monitor/trading/targets.py",
    "monitor/trading/performance.py",
    "monitor/engine/task_books.py",
    "monitor/engine/books",
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
