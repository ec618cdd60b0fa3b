"""A desk of one symbol and one feature, written as files that a replay reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from models.model_builders import linear, write_artifact

S = 10**9
START = 1_767_607_200 * S
FILL = {"kind": "fill", "side": "buy", "last_quantity": "1", "last_price": "100", "quantity": "1"}
DEAD_LETTERS_PASS = {"max_share": 1, "max_run": 1000}


def features(n: int, every_ns: int = S // 2, bid: float = 99) -> list[dict[str, Any]]:
    """`n` events, one each `every_ns`."""
    return [
        {
            "event_id": f"x{place}",
            "ts_ns": START + place * every_ns,
            "symbol": "AAA",
            "features": {"x": 1.0},
            "bid": bid,
        }
        for place in range(n)
    ]


def write_desk(
    directory: Path,
    features: Iterable[object],
    orders: Iterable[object],
    deployment: Mapping[str, object],
    **sections: object,
) -> Path:
    """The model, the streams (a row as it stands where it is text), the configuration of deployment `d`."""
    write_artifact(directory, linear(np.ones(1)), ("x",), name="m", horizon_ns=S)
    for name, rows in (("features", features), ("orders", orders)):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (directory / f"{name}.jsonl").write_text("".join(line + "\n" for line in lines))
    models = {"active": "artifact", "shadows": {"shadow": "artifact"}}
    config = {
        "version": 1,
        "transport": {"kind": "files"},
        "instruments": {"AAA": {"tick_size": "0.1", "lot_size": "1"}},
        **sections,
        "deployments": {"d": {"models": models, **deployment}},
    }
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    return directory
