"""A minute of the demo's market in which everything breaks once, and rules that have much to say about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import yaml

from monitor.demo.desk import Desk, DeskHabits, Shift
from monitor.demo.faults import Fault, FaultKind, Faults
from monitor.demo.market import FEATURE_NAMES, LISTINGS, Market
from monitor.demo.message import Message
from monitor.demo.serving import predictor
from monitor.demo.story import BROKEN_FEATURE, DEPLOYMENT, MODELS, story_config, story_reference
from monitor.transport.contract import FEATURES

SECONDS = 60
PARTITIONS = 3
"""Each has a symbol of the market, by murmur2."""

FAULTS = Faults(
    (
        Fault(FaultKind.FEATURE_SCALE, 20.0, 20.0, SECONDS, BROKEN_FEATURE),
        Fault(FaultKind.SERVED_ERRORS, 0.08, 30.0, SECONDS),
        Fault(FaultKind.SERVED_LATENCY, 8.0, 30.0, 45.0),
        Fault(FaultKind.ADVERSE_FILLS, 40.0, 40.0, SECONDS),
    )
)

RULES = """
- {id: feature-drift, subject: deployment, metric: psi, labels: {feature: f05}, window: 10s, above: 0.25,
   min_samples: 500, schedule: 60s, action: alert}
- {id: shadow-agrees, subject: shadow, metric: rank_correlation, window: 10s, below: 0.5, min_samples: 500,
   schedule: 5s, for: 3, action: demote}
- {id: serving-is-fast, subject: active, metric: serve_latency, labels: {quantile: "0.99"}, window: 10s,
   above: 0.01, min_samples: 500, for: 3, action: alert}
- {id: serving-answers, subject: active, metric: served_error_rate, window: 10s, above: 0.02,
   min_samples: 500, for: 3, severity: critical, action: rollback}
- {id: drawdown, subject: deployment, metric: drawdown, labels: {role: active, fills: real}, window: session,
   schedule: tick, above: 0.004, severity: critical, action: kill}
"""
"""One decision each, as in the long story."""

RESTLESS_RULES = """
- {id: answers, subject: active, metric: inference_latency, labels: {quantile: "0.99", role: active},
   window: 10s, above: 0.00062, action: alert}
- {id: shadow-answers, subject: shadow, metric: inference_latency, labels: {quantile: "0.99", role: shadow},
   window: 10s, above: 0.00062, action: alert}
- {id: failures, subject: shadow, metric: error_rate, labels: {role: shadow}, window: 10s, above: 0.02,
   action: alert}
- {id: own-failures, subject: active, metric: error_rate, labels: {role: active}, window: 10s, above: 0.02,
   action: alert}
- {id: orders-come, subject: deployment, metric: event_rate, labels: {stream: orders}, window: 10s,
   below: 9.6, action: alert}
- {id: equity-falls, subject: deployment, metric: pnl_after_costs, labels: {role: active, fills: real},
   window: 10s, below: 0, schedule: tick, action: alert}
- {id: agreement, subject: deployment, metric: rank_correlation, window: 10s, below: 0.896, schedule: 5s,
   action: alert}
"""
"""At the median of what they judge, so that they fire and resolve all the time: scripted answers."""


def short_story(start_ns: int, seed: int = 7) -> Iterator[Message]:
    """All messages, by publication time."""
    live = {"v7": predictor(MODELS / "v7", FEATURE_NAMES)}
    desk = Desk(seed, start_ns, LISTINGS, FEATURE_NAMES, live, (Shift(0.0, "v7"),), FAULTS, DeskHabits())
    return desk.messages(Market(seed, start_ns, FAULTS).slices(SECONDS))


def closing(ts_ns: int) -> list[Message]:
    """A row of every symbol, so that time passes to shortly before `ts_ns` in every partition."""
    return [
        Message(
            FEATURES,
            listing.symbol.encode(),
            orjson.dumps(
                {
                    "event_id": f"closing-{listing.symbol}-{ts_ns}",
                    "ts_ns": ts_ns,
                    "symbol": listing.symbol,
                    "features": {},
                }
            ),
            ts_ns,
        )
        for listing in LISTINGS
    ]


def write_config(
    directory: Path, bootstrap: str, name: str, start_ns: int, rules: str, *, inputs: str | None = None
) -> Path:
    """A configuration for the short story on Kafka: group and prefix `name`, input topics of `inputs`."""
    (directory / "reference.json").write_bytes(story_reference().to_bytes())
    config: dict[str, Any] = yaml.safe_load(story_config(start_ns, kind="kafka", models=MODELS))
    inputs = inputs or name
    config["transport"] |= {
        "group": name,
        "client": {
            "bootstrap_servers": bootstrap,
            "session_timeout_ms": 4000,
            "heartbeat_interval_ms": 500,
        },
    }
    config["topics"] = {
        "features": f"{inputs}-features",
        "orders": f"{inputs}-orders",
        "predictions": f"{name}-predictions",
        "prefix": f"{name}-",
    }
    config["log"] = {"format": "json", "level": "info"}
    deployment = config["deployments"][DEPLOYMENT]
    deployment["windows"] = ["10s", "30s"]
    # Longer than a slow machine takes to start three tasks: nobody shall be missing.
    deployment["grids"]["task_deadline"] = "20s"
    deployment["policy"]["rules"] = yaml.safe_load(rules)
    path = directory / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path
