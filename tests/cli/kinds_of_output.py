"""A deployment of two models that put out one kind, as a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from models.model_builders import linear, write_artifact

HORIZON_NS = 2 * 10**9


def write(
    directory: Path, kind: str, *, rules: list[Any] | None = None, topics: Any = None, **section: Any
) -> Path:
    """Writes it, with `rules` and more of the deployment's section."""
    for role in ("active", "shadow"):
        (directory / role).mkdir()
        write_artifact(
            directory / role, linear(np.ones(1)), ("x",), kind=kind, horizon_ns=HORIZON_NS, name=role
        )
    deployment = {
        "models": {"active": "active/artifact", "shadows": {"shadow": "shadow/artifact"}},
        "paper": {"quantity": "1", "fee_bps": "0.15"},
        "policy": {"name": "p", "rules": rules or []},
        **section,
    }
    config = {
        "version": 1,
        "transport": {"kind": "memory", "group": "g"},
        "topics": topics or {},
        "instruments": {"AAA": {"tick_size": "0.01", "lot_size": "1"}},
        "deployments": {"d": deployment},
    }
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
