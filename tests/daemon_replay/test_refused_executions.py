"""An execution that had to be refused, and a filter that lets nothing through: alerts of every policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli.command_cases import replayed
from daemon_replay.small_desk import DEAD_LETTERS_PASS, FILL, START, S, features, write_desk

RULE = {"id": "quick", "subject": "deployment", "metric": "order_rate", "window": "10s", "above": 1000}
OFF_LOT = {"ts_ns": START + 8 * S, **FILL, "last_quantity": "0.5", "strategy": "demo", "account": "a1"}
GOOD = {"ts_ns": START + 5 * S, **FILL, "strategy": "demo", "account": "a1"}


def desk(directory: Path, *reports: Any, **changes: Any) -> Path:
    """A minute of events and these order records, the last one as it stands where it is text."""
    directory.mkdir()
    rows = [
        each if isinstance(each, str) else {"symbol": "AAA", "order_id": "o", "exec_id": f"e{n}"} | each
        for n, each in enumerate(reports)
    ]
    deployment = {
        "books": {"start_flat": True},
        "windows": ["10s", "1m"],
        "policy": {"name": "p", "rules": [RULE | {"action": "alert"}]},
        **changes,
    }
    return write_desk(directory, features(120), rows, deployment, dead_letters=DEAD_LETTERS_PASS)


def alerts(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return [json.loads(line)["data"] for line in files["events.jsonl"].splitlines()]


def metric(files: dict[str, bytes], name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files["report.json"])["deployments"]["d"]["metrics"][name]
    return found


def test_a_refused_execution_fires_at_its_place_and_is_named(tmp_path):
    directory = desk(tmp_path / "desk", GOOD, OFF_LOT)
    files = replayed(directory)
    fired, resolved = alerts(files)
    assert (fired["rule"], fired["severity"], fired["action"], fired["value"], fired["n"]) == (
        "execution-refused", "critical", "alert", 1, 1,
    )  # fmt: skip
    assert fired["reason"].startswith(
        "execution e1 of AAA was refused (off_lot: `last_quantity` 0.5 is not a"
    )
    assert resolved["phase"] == "resolved"
    assert resolved["reason"] == "no execution has been refused for 10s; those that were are in no book."
    [named] = metric(files, "refused_executions@60")["extra"]["refused"]
    assert {name: named[name] for name in ("reason", "symbol", "exec_id")} == {
        "reason": "off_lot", "symbol": "AAA", "exec_id": "e1",
    }  # fmt: skip
    again = replayed(directory, "again", "--batch-size", 1, "--tasks", 2)
    for name in ("events.jsonl", "report.json"):
        assert again[name] == files[name]


def test_what_cannot_be_read_is_counted_and_the_first_eight_are_kept(tmp_path):
    bad = [OFF_LOT | {"ts_ns": START + 8 * S + n, "exec_id": 100 + n} for n in range(11)]
    files = replayed(desk(tmp_path / "desk", GOOD, *bad, "{half"))
    found = metric(files, "refused_executions@60")
    assert (found["value"], found["n"]) == (12, 13)
    assert found["extra"]["reasons"] == {"undecodable": 1, "ill_typed": 11}
    named = found["extra"]["refused"]
    assert len(named) == 8
    assert [each["exec_id"] for each in named] == [str(100 + n) for n in range(8)]


def test_records_of_others_on_a_shared_topic_are_no_alarm(tmp_path):
    theirs = OFF_LOT | {"strategy": "another"}
    files = replayed(desk(tmp_path / "desk", GOOD, theirs, filter={"strategy": "demo"}))
    assert alerts(files) == []
    assert (metric(files, "refused_executions@60")["value"], metric(files, "refused_executions@60")["n"]) == (
        0,
        2,
    )


def test_a_filter_that_lets_nothing_through_is_said(tmp_path):
    sent = [GOOD | {"ts_ns": START + n * S} for n in range(5, 40, 5)]
    directory = desk(tmp_path / "desk", *sent, filter={"strategy": "Demo"})
    [fired] = alerts(replayed(directory))
    assert (fired["rule"], fired["severity"], fired["phase"]) == ("orders-filtered-out", "warning", "firing")
    assert "The first is of account 'a1', strategy 'demo'. Compare `filter`" in fired["reason"]
    assert fired["to_ns"] <= START + 17 * S


@pytest.mark.parametrize("ours", [5, 12, 30])
def test_a_strategy_that_is_quiet_among_others_is_no_misspelt_filter(tmp_path, ours):
    """Others write all the time; ours wrote once, within the shortest window or later."""
    theirs = [GOOD | {"ts_ns": START + n * S // 2, "strategy": "another"} for n in range(8, 110)]
    sent = sorted([*theirs, GOOD | {"ts_ns": START + ours * S}], key=lambda report: report["ts_ns"])
    told = alerts(replayed(desk(tmp_path / "desk", *sent, filter={"strategy": "demo"})))
    assert [each["phase"] for each in told] == (["firing", "resolved"] if ours == 30 else [])
    if told:
        assert told[1]["reason"] == "the filter has let an execution report through."
