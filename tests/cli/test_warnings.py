"""What `check` warns of, every start says too, once, in the same words."""

from __future__ import annotations

import json
from pathlib import Path

import kinds_of_output
import pytest
from command_cases import call

from monitor.cli.check import check
from monitor.cli.replay import replay
from monitor.cli.run import run

SHARPE = {"id": "s", "subject": "deployment", "metric": "sharpe", "window": "5m", "below": 1,
          "labels": {"role": "active", "fills": "real"}, "action": "alert"}  # fmt: skip


def logged(stderr: str) -> list[str]:
    """The warnings among lines of the log."""
    lines = [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]
    found = [line for line in lines if line["event"] == "configuration_warning"]
    assert all((line["level"], line["deployment"]) == ("warning", "d") for line in found)
    return [line["warning"] for line in found]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A configuration with two things to warn of."""
    for stream in ("features", "orders"):
        (tmp_path / f"{stream}.jsonl").write_text("")
    return kinds_of_output.write(tmp_path, "return", rules=[SHARPE], books={"exec_horizon": "1m"})


def test_run_and_replay_log_what_check_warns_of(path: Path) -> None:
    shown = call(check, path, COLUMNS="400")
    assert shown.exit_code == 0
    files = [
        part for stream in ("features", "orders") for part in (f"--{stream}", path.parent / f"{stream}.jsonl")
    ]
    replaying = call(replay, "--config", path, *files, "--out", path.parent / "out")
    # `run` asks for Kafka, which this configuration does not, after it has said what it warns of.
    running = call(run, "--config", path)
    assert len(logged(running.stderr)) == 2
    assert logged(running.stderr) == logged(replaying.stderr)
    said = " ".join(shown.output.split())
    for warning in logged(running.stderr):
        assert warning in said
    assert said.count("warning") == 2


def test_what_there_is_nothing_to_warn_of_starts_silently(tmp_path: Path) -> None:
    path = kinds_of_output.write(tmp_path, "return")
    assert not logged(call(run, "--config", path).stderr)
