"""A replay over two sessions and the night between: rules sleep in it, and a daily rule counts closes."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from cli.command_cases import replayed

from monitor.demo import story
from monitor.event_time.timing import DAY_NS, SECOND_NS

START_NS = story.RECORDED_START_NS
"""Five o'clock on a Monday in New York, where the session is from 05:00:50 to 05:02."""

RULE = {"subject": "deployment", "metric": "event_rate", "window": "1m", "above": 0.001, "action": "alert"}
FEATURES = {"labels": {"stream": "features"}}


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two symbols from second 60 to 150 of one day, and from 50 to 130 of the next."""
    stage = tmp_path_factory.mktemp("days")
    story.write_story(stage, seed=7)
    config = yaml.safe_load((stage / "config.yaml").read_text())
    watched = sorted(config["instruments"])[:2]
    [deployment] = config["deployments"].values()
    deployment["calendar"] = {"zone": "America/New_York", "open": "05:00:50", "close": "05:02"}
    deployment["policy"]["rules"] = [
        {**RULE, **FEATURES, "id": "closes", "schedule": "1d", "for": 2},
        {**RULE, **FEATURES, "id": "lasting", "for": "90s"},
        {**RULE, **FEATURES, "id": "silent", "above": 1e9, "min_samples": 1, "no_data": "alert"},
    ]
    (stage / "config.yaml").write_text(yaml.safe_dump(config))
    for stream in ("features", "orders"):
        kept = []
        for line in (stage / f"{stream}.jsonl").read_bytes().splitlines():
            message = json.loads(line)
            second = (message["ts_ns"] - START_NS) / SECOND_NS
            if 150 <= second < 230:
                message["ts_ns"] += DAY_NS - 100 * SECOND_NS
            if 60 <= second < 230 and message["symbol"] in watched:
                kept.append(json.dumps(message) + "\n")
        (stage / f"{stream}.jsonl").write_text("".join(kept))
    return stage


def test_time_and_closes_count_over_the_night(days: Path) -> None:
    written = replayed(days)
    said = [
        (
            event["data"]["rule"],
            event["data"]["phase"],
            datetime.fromisoformat(event["time"]).timestamp() - (START_NS + DAY_NS) / SECOND_NS,
        )
        for event in map(json.loads, written["events.jsonl"].splitlines())
    ]
    (lasting, firing, after), daily = said
    assert (lasting, firing) == ("lasting", "firing")
    # A minute of the first session, and half a minute of the second.
    assert 79 <= after <= 83
    assert daily == ("closes", "firing", 120)
    assert replayed(days, "other", "--batch-size", "97", "--tasks", "3") == written


def test_a_position_that_contradicts_the_ledger_is_said_at_night(days: Path, tmp_path: Path) -> None:
    for kept in ("config.yaml", "models", "reference.json", "features.jsonl"):
        (tmp_path / kept).symlink_to(days / kept)
    orders = (days / "orders.jsonl").read_bytes()
    first, *_ = (json.loads(line) for line in orders.splitlines())
    hours = [4, 5, 6]
    said = [
        {
            "order_id": "",
            "exec_id": f"night-{hour}",
            "ts_ns": START_NS + hour * 3_600 * SECOND_NS,
            "kind": "position",
            "quantity": quantity,
            "price": first.get("last_price", "100"),
            **{name: first[name] for name in ("symbol", "account", "strategy") if name in first},
        }
        for hour, quantity in zip(hours, ("0.5", "0.5", "-2"), strict=True)
    ]
    lines = [*(json.loads(line) for line in orders.splitlines()), *said]
    lines.sort(key=lambda each: each["ts_ns"])
    (tmp_path / "orders.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    written = replayed(tmp_path)
    events = [json.loads(line) for line in written["events.jsonl"].splitlines()]
    alerts = [
        (datetime.fromisoformat(event["time"]).timestamp() - START_NS / SECOND_NS, event["data"])
        for event in events
        if event["data"]["rule"] == "reconciliation-break"
    ]
    assert [data["phase"] for _, data in alerts] == ["firing", "resolved"] * 2
    firing = [(at, data) for at, data in alerts if data["phase"] == "firing"]
    assert [round(at / 3_600, 2) for at, _ in firing] == [4, 6]
    assert "held 0.5, the position report says -2; taken over." in firing[1][1]["reason"]
    assert replayed(tmp_path, "other", "--batch-size", "97", "--tasks", "3") == written
