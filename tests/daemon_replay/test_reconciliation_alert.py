"""A position that contradicts the ledger alerts, whatever the policy says, and says so when that is over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli.command_cases import replayed
from daemon_replay.small_desk import FILL, START, S, features, write_desk

RULE = {"id": "quick", "subject": "deployment", "metric": "order_rate", "window": "10s", "above": 1000}


def desk(directory: Path, **orders: Any) -> Path:
    """A minute of events, a fill, and positions that the venue reports: the second one is wrong."""
    directory.mkdir()
    reports = [
        {"order_id": "a", "kind": "new", "side": "buy", "quantity": "1", "ts_ns": START + 4 * S},
        {"order_id": "a", **FILL, "ts_ns": START + 5 * S},
        {"order_id": "p", "kind": "position", "quantity": "1", "price": "100", "ts_ns": START + 8 * S},
        {"order_id": "p", "kind": "position", "quantity": "3", "price": "100", "ts_ns": START + 20 * S},
        {"order_id": "p", "kind": "position", "quantity": "3", "price": "100", "ts_ns": START + 33 * S},
    ]
    rows = [{"symbol": "AAA", "exec_id": f"e{n}"} | report for n, report in enumerate(reports)]
    deployment: dict[str, Any] = {
        "books": {"start_flat": True},
        "windows": ["10s", "1m"],
        "policy": {"name": "p", "rules": [RULE | {"action": "alert"}]},
    }
    changed = deployment | ({"orders": orders} if orders else {})
    return write_desk(directory, features(120, bid=99.9), rows, changed)


def alerts(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in files["events.jsonl"].splitlines()]


def test_a_break_fires_once_and_resolves_when_the_shortest_window_is_past_it(tmp_path):
    directory = desk(tmp_path / "desk")
    fired, resolved = alerts(replayed(directory))
    for event, at, phase, count in ((fired, 21, "firing", 1), (resolved, 31, "resolved", 0)):
        data = event["data"]
        assert event["type"] == "io.shadowmonitor.alert.v1"
        assert (data["rule"], data["subject"], data["phase"]) == ("reconciliation-break", "deployment", phase)
        assert (data["severity"], data["action"], data["value"]) == ("critical", "alert", count)
        assert data["to_ns"] == START + at * S
    assert fired["data"]["inputs"]["orders-0"] == [3, 3]


@pytest.mark.parametrize(("size", "tasks"), [(1, 1), (64, 2)])
def test_the_alert_has_the_same_bytes_however_rows_are_read(tmp_path, size, tasks):
    directory = desk(tmp_path / "desk")
    again = replayed(directory, "again", "--batch-size", size, "--tasks", tasks)
    assert again["events.jsonl"] == replayed(directory)["events.jsonl"]


def test_it_can_be_left_out(tmp_path):
    assert alerts(replayed(desk(tmp_path / "quiet", alert_on_breaks=False))) == []


def test_the_digest_of_the_policy_is_that_of_what_is_written(tmp_path):
    told = []
    for name, orders in (("desk", {}), ("quiet", {"alert_on_breaks": False})):
        directory = desk(tmp_path / name, **orders)
        config = yaml.safe_load((directory / "config.yaml").read_text())
        config["deployments"]["d"]["policy"]["rules"][0]["above"] = 0.01
        (directory / "config.yaml").write_text(yaml.safe_dump(config))
        told.append({event["data"]["policy_sha256"] for event in alerts(replayed(directory))})
    assert told[0] == told[1]
    assert len(told[0]) == 1
