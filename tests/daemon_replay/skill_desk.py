"""A desk whose predictions meet outcomes and returns, untidy in every way; and what happened, row by row.

Three deployments on one stream: models that put out returns, probabilities and classes. Each model hands one
feature through, so that a prediction is known without ONNX Runtime.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from models.model_builders import linear, write_artifact

S = 1_000_000_000
MS = S // 1000
START = 1_767_607_200 * S
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
KINDS = {"rtn": "return", "prob": "probability", "cls": "class"}
COLUMNS = {
    "rtn": {"active": "r0", "shadow": "r1"},
    "prob": {"active": "p0", "shadow": "p1"},
    "cls": {"active": "k0", "shadow": "k1"},
}
HORIZON, LAG, DECAY, WAIT = 2 * S, 50 * MS, 500 * MS, 10 * S
LATENESS, DEDUPE = 200 * MS, 10 * S
COST_BPS = 0.4
ROLES = ("active", "shadow")


@dataclass(eq=False)
class Desk:
    """Messages in file order."""

    features: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The instant as of which a replay reports."""
        return max(row["ts_ns"] for row in self.features + self.outcomes) + 1


def made_up(seed: int, seconds: int = 100, n: int = 1500) -> Desk:
    rng = np.random.default_rng(seed)
    ts = START + np.sort(rng.integers(0, seconds * S, n))
    ts[rng.random(n) < 0.2] //= 100 * MS
    ts = np.where(ts < START, ts * 100 * MS, ts)
    ts.sort()
    symbol = rng.integers(0, len(SYMBOLS), n)
    signal = rng.normal(size=n).astype(np.float32)
    mids = np.full(len(SYMBOLS), 100.0)
    desk = Desk()
    for i in range(n):
        mid = mids[symbol[i]]
        desk.features.append(_feature(rng, i, int(ts[i]), SYMBOLS[symbol[i]], float(signal[i]), mid))
        mids[symbol[i]] *= 1 + 2e-5 * float(signal[i]) + 4e-5 * rng.normal()
        desk.outcomes += _labels(rng, i, int(ts[i]), SYMBOLS[symbol[i]], float(signal[i]))
    for i in range(40):
        at = START + int(rng.integers(0, seconds * S))
        desk.outcomes.append({"event_id": f"nobody{i}", "ts_ns": at, "symbol": "AAA", "label": 1.0})
    desk.outcomes.sort(key=lambda row: row["ts_ns"])
    desk.features = list(_displaced(rng, desk.features))
    desk.outcomes = list(_displaced(rng, desk.outcomes))
    return desk


def _feature(
    rng: np.random.Generator, i: int, ts: int, symbol: str, signal: float, mid: float
) -> dict[str, Any]:
    p = 1 / (1 + math.exp(-signal))
    values = {
        "r0": np.float32(signal * 1e-4 + rng.normal() * 1e-4),
        "r1": np.float32(signal * 1e-4 + rng.normal() * 3e-4),
        "p0": np.float32(p),
        "p1": np.float32(rng.choice([0.0, 0.25, 0.5, 0.5, 0.9, 1.0, 1.5])),
        "k0": np.float32(signal > 0),
        "k1": np.float32(rng.choice([0, 1, 2])),
    }
    if rng.random() < 0.05:
        values["r0"] = np.float32(0.0)
    fields: dict[str, Any] = {
        name: None if rng.random() < 0.05 else float(value) for name, value in values.items()
    }
    half = float(rng.choice([0.005, 0.01, 0.03]))
    bid, ask = round(mid - half, 4), round(mid + half, 4)
    quote: dict[str, Any] = {"bid": bid, "ask": ask, "price": bid if rng.random() < 0.5 else ask}
    chance = rng.random()
    if chance < 0.05:
        quote["bid"], quote["ask"] = ask, bid
    elif chance < 0.1:
        del quote["bid"]
    elif chance < 0.12:
        quote["bid"], quote["ask"] = round(mid * 0.99, 4), round(mid * 1.01, 4)
    elif chance < 0.2:
        quote = {}
    return {"event_id": f"e{i}", "ts_ns": ts, "symbol": symbol, "features": fields, **quote}


def _labels(
    rng: np.random.Generator, i: int, ts: int, symbol: str, signal: float
) -> Iterator[dict[str, Any]]:
    """No label, one, two; in time, before the event, at its very time, or long after the wait."""
    label: float = float(rng.normal() + signal > 0)
    if rng.random() < 0.05:
        label = float(rng.choice([-0.5, 0.25, 2.0]))
    chance = rng.random()
    if chance < 0.1:
        return
    after = int(rng.integers(HORIZON, 2 * HORIZON))
    after = -int(rng.integers(0, 3 * S)) if chance < 0.2 else 0 if chance < 0.25 else after
    after = WAIT + int(rng.integers(-2, 2 * S)) if 0.25 <= chance < 0.3 else after
    row = {"event_id": f"e{i}", "ts_ns": max(START, ts + after), "symbol": symbol, "label": label}
    yield row
    if rng.random() < 0.1:
        again = int(rng.choice([0, 1, S, DEDUPE, DEDUPE + S, 2 * WAIT]))
        yield {**row, "ts_ns": row["ts_ns"] + again, "label": 1.0 - label}


def _displaced(rng: np.random.Generator, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Some rows in the file after others that they precede in time: within the lateness, and beyond it."""
    place = np.array([row["ts_ns"] for row in rows], np.float64) - START
    moved = rng.random(len(rows)) < 0.05
    place[moved] += rng.choice([50.0 * MS, 150.0 * MS, 700.0 * MS], int(moved.sum()))
    for at in np.argsort(place, kind="stable").tolist():
        yield rows[at]
        if rng.random() < 0.01:
            yield rows[at]


def write(desk: Desk, directory: Path, **changes: Any) -> Path:
    """Configuration, models and streams; `changes` to each deployment's section."""
    directory.mkdir(parents=True, exist_ok=True)
    for stream in ("features", "outcomes"):
        lines = [json.dumps(row) + "\n" for row in getattr(desk, stream)]
        (directory / f"{stream}.jsonl").write_text("".join(lines))
    (directory / "orders.jsonl").write_text("")
    deployments = {}
    for name, kind in KINDS.items():
        models = {}
        for role, column in COLUMNS[name].items():
            home = directory / name / role
            if not home.exists():
                home.mkdir(parents=True)
                about = {"kind": kind, "horizon_ns": HORIZON, "name": f"{name}-{role}"}
                write_artifact(home, linear(np.ones(1)), (column,), **about)
            models[role] = f"{name}/{role}/artifact"
        deployments[name] = {
            "models": {"active": models["active"], "shadows": {"shadow": models["shadow"]}},
            "paper": {"quantity": "1", "latency": "50ms", "fee_bps": "0.15", "slippage_bps": "0.05"},
            "windows": ["1m", "5m"],
            "labels": {"wait": "10s"},
            "skill": {"horizons": ["2s", "500ms"]},
            **changes,
        }
    config = {
        "version": 1,
        "transport": {"kind": "memory", "group": "skill"},
        "topics": {"outcomes": "outcomes"},
        "event_time": {"allowed_lateness": "200ms", "max_future": "1h"},
        "instruments": {s: {"tick_size": "0.0001", "lot_size": "1", "currency": "USD"} for s in SYMBOLS},
        "deployments": deployments,
    }
    file = directory / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


@dataclass
class Folded:
    """A row as it enters statistics: `order` is its place among all rows."""

    order: int
    eff: int
    row: dict[str, Any]


def folded(rows: list[dict[str, Any]], stream: int) -> tuple[list[Folded], dict[str, int]]:
    """Rows in folding order that are neither late nor known; and how many were late or known."""
    bound, kept, counts = -(2**63), [], {"late": 0, "duplicate": 0}
    for place, row in enumerate(rows):
        if row["ts_ns"] < bound:
            counts["late"] += 1
            continue
        kept.append((row["ts_ns"], stream, place, row))
        bound = max(bound, row["ts_ns"] - LATENESS)
    kept.sort(key=lambda entry: entry[:3])
    last: dict[tuple[str, str], int] = {}
    out = []
    for ts, _, place, row in kept:
        key = (row["symbol"], row["event_id"])
        if key in last and last[key] >= ts - DEDUPE:
            counts["duplicate"] += 1
            continue
        last[key] = ts
        out.append(Folded(place, ts, row))
    return out, counts


def prediction(row: dict[str, Any], deployment: str, role: str) -> float:
    """What the model of a role answers: NaN where its feature is missing."""
    value = row["features"][COLUMNS[deployment][role]]
    return math.nan if value is None else value


@dataclass
class Met:
    at: int
    row: dict[str, Any]
    label: float


@cache
def joined(desk: Desk) -> tuple[list[Met], list[Folded], dict[str, int]]:
    """Events and their first labels, events without, and counts; by going through the rows one by one."""
    events, _ = folded(desk.features, 0)
    labels, fates = folded(desk.outcomes, 1)
    counts = {"waiting": len(events), "labelled": 0, "duplicate": fates["duplicate"], "unknown": 0}
    counts["late"] = fates["late"]
    met: list[Met] = []
    by_key = {(e.row["symbol"], e.row["event_id"]): e for e in events}
    assert len(by_key) == len(events), "no event comes again after it was forgotten"
    seen: set[str] = set()
    for label in labels:
        event = by_key.get((label.row["symbol"], label.row["event_id"]))
        if event is None or abs(event.eff - label.eff) > WAIT:
            counts["unknown"] += label.eff + WAIT < desk.end // S * S
        elif event.row["event_id"] in seen:
            counts["duplicate"] += 1
        else:
            seen.add(event.row["event_id"])
            counts["labelled"] += 1
            met.append(Met(max(event.eff, label.eff), event.row, label.row["label"]))
    vain = [e for e in events if e.row["event_id"] not in seen and e.eff + WAIT < desk.end // S * S]
    return met, vain, counts


def mid_of(row: dict[str, Any]) -> float:
    bid, ask = row.get("bid"), row.get("ask")
    if bid is None or ask is None or ask < bid:
        return math.nan
    mid = (bid + ask) / 2
    return mid if (ask - bid) / mid <= 0.002 else math.nan


@dataclass
class Ahead:
    at: int
    row: dict[str, Any]
    change: float


@cache
def forward(desk: Desk, horizon: int) -> list[Ahead]:
    """Each event with the mid return after it, NaN where a mid is missing, and the instant that says it."""
    events, _ = folded(desk.features, 0)
    series: dict[str, tuple[list[int], list[float]]] = {s: ([], []) for s in SYMBOLS}
    for event in events:
        mid = mid_of(event.row)
        if not math.isnan(mid):
            times, mids = series[event.row["symbol"]]
            times.append(event.eff)
            mids.append(mid)

    def as_of(symbol: str, at: int) -> float:
        times, mids = series[symbol]
        place = int(np.searchsorted(times, at, side="right")) - 1
        return mids[place] if place >= 0 else math.nan

    out = []
    for event in events:
        begin, end = event.eff + LAG, event.eff + LAG + horizon
        at = end // S * S + S
        if at <= desk.end:
            first, last = as_of(event.row["symbol"], begin), as_of(event.row["symbol"], end)
            out.append(Ahead(at, event.row, last / first - 1))
    return out
