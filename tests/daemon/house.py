"""A configuration whose rules fire within seconds, and its group; scripted scorers answer for its models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from models.model_builders import linear, write_artifact
from streams import SYMBOLS

from monitor.cli.configuration import load_configuration
from monitor.daemon.group import Group
from monitor.stats.reference import build_reference

NAMES = ("c0", "c1")
DEPLOYMENT = "desk"


def rule(name: str, metric: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "subject": "deployment", "metric": metric, "action": "alert", **more}


RULES = (
    rule("drift", "psi", window="6s", above=0.25, min_samples=50, schedule="60s"),
    rule(
        "agrees",
        "rank_correlation",
        labels={"role": "shadow"},
        subject="shadow",
        window="2s",
        below=0.5,
        min_samples=30,
        schedule="5s",
        action="demote",
    ),
    rule("fast", "serve_latency", labels={"quantile": "0.99"}, subject="active", window="2s", above=0.01,
         min_samples=20, **{"for": 2}),
    rule("answers", "served_error_rate", subject="active", window="2s", above=0.05, min_samples=20,
         action="rollback", act_within="600ms", **{"for": 2}),
    rule("shadow-errors", "error_rate", labels={"role": "shadow"}, subject="shadow", window="2s", above=0.12,
         min_samples=20, keep_firing_for="1s"),
    rule("features-flow", "event_rate", labels={"stream": "features"}, window="2s", below=40,
         min_samples=1, no_data="alert"),
    rule("orders-flow", "event_rate", labels={"stream": "orders"}, window="2s", below=0.001, min_samples=1,
         no_data="alert", **{"for": "1s"}),
    rule("loss", "pnl_after_costs", labels={"role": "active", "fills": "real"}, window="6s", below=-500),
    rule("effect", "model_effect", labels={"role": "shadow"}, window="6s", below=-0.5),
    rule("evidence", "error_e_detector", labels={"role": "shadow"}, subject="shadow", above=1.05),
    rule("drawdown", "drawdown", labels={"role": "active", "fills": "real"}, window="session", above=0.02,
         schedule="tick", no_data="alert", severity="critical", action="kill", scope="trading"),
)  # fmt: skip


def configuration(directory: Path, **changes: Any) -> dict[str, Any]:
    """As a mapping; `changes` replace keys of the deployment's section."""
    return {
        "version": 1,
        "transport": {"kind": "memory", "group": "desk", "start": "earliest", "commit_interval": "100ms"},
        "event_time": {
            "allowed_lateness": "100ms",
            "idle_after": "120ms",
            "idle_grace": "500ms",
            "max_future": "5s",
            "dedupe_window": "2s",
            "join_window": "1s",
            "buffer_limit": 5000,
        },
        "instruments": {
            symbol: {"tick_size": "0.01", "lot_size": "1", "currency": "USD"} for symbol in SYMBOLS
        },
        "dead_letters": {"max_share": 1, "max_run": 100_000},
        "deployments": {
            DEPLOYMENT: {
                "capital": {"amount": "100000", "currency": "USD"},
                "filter": {"strategy": "desk"},
                "models": {
                    "active": str(directory / "active"),
                    "previous": str(directory / "previous"),
                    "shadows": {"shadow": str(directory / "shadow")},
                },
                "reference": str(directory / "reference.json"),
                "books": {"start_flat": True, "mark_staleness": "3s", "max_spread_bps": 50},
                "paper": {"quantity": "10", "holding": "300ms", "latency": "50ms", "fee_bps": "0.2"},
                "windows": ["2s", "6s"],
                "samples": {"rank_k": 200},
                "skill": {"horizons": ["1s"]},
                "markouts": {"horizons": ["1s"]},
                "sequences": {"block": "1s", "error": {"bound": 0.2}, "loss": {"bound": 4}},
                "grids": {"evaluation_interval": "500ms", "tick": "100ms", "task_deadline": "1200ms"},
                "policy": {"name": "fast", "rules": [dict(r) for r in RULES]},
                **changes,
            }
        },
    }


def wide(directory: Path) -> dict[str, Any]:
    """All that the other leaves out: outcomes, predictions, open instruments, and a second deployment."""
    document = configuration(directory)
    document["instruments"] = "open"
    document["topics"] = {"outcomes": "outcomes", "predictions": "predictions"}
    evidence = rule("worse", "loss_e_detector", labels={"role": "shadow"}, subject="shadow", above=1.5)
    document["deployments"][DEPLOYMENT]["policy"]["rules"].append(evidence)
    document["deployments"]["alone"] = {
        "filter": {"account": "nobody"},
        "models": {"active": str(directory / "previous"), "shadows": {"other": str(directory / "shadow")}},
        "windows": ["3s"],
        "grids": {"evaluation_interval": "1s", "tick": "200ms", "task_deadline": "1200ms"},
        "policy": {
            "name": "slow",
            "rules": [
                rule("flow", "event_rate", labels={"stream": "outcomes"}, window="3s", below=5,
                     min_samples=1),
                rule("errors", "error_rate", labels={"role": "other"}, subject="other", window="3s",
                     above=0.01, min_samples=20, action="demote"),
                rule("paper", "pnl_after_costs", labels={"role": "other", "fills": "paper"},
                     subject="other", window="3s", below=-5),
            ],
        },
    }  # fmt: skip
    return document


def build_house(directory: Path) -> Path:
    """Artifacts, reference and `config.yaml` in `directory`; returns the latter."""
    weights = np.array([0.5, -0.25])
    for place, role in enumerate(("active", "previous", "shadow")):
        write_artifact(directory, linear(weights + place), NAMES, out=role, name=role)
    rng = np.random.default_rng(1)
    columns = {"c0": rng.normal(0, 3, 4000), "c1": np.ones(4000)}
    (directory / "reference.json").write_bytes(build_reference(columns).to_bytes())
    return write_configuration(directory, configuration(directory))


def write_configuration(directory: Path, document: dict[str, Any], name: str = "config.yaml") -> Path:
    """A configuration file."""
    path = directory / name
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def group_of(path: Path) -> Group:
    """The group of a configuration file."""
    return Group(load_configuration(path), path)
