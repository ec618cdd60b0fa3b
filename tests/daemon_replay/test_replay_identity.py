"""A replay's files do not depend on how it reads or how many tasks it has; untidy input included."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from cli.command_cases import replayed

from monitor.demo import story

S = 10**9


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The story as it is written: five symbols, four acts."""
    directory = tmp_path_factory.mktemp("stage")
    story.write_story(directory, seed=7)
    return directory


def excerpt(stage: Path, name: str, start_s: float, end_s: float) -> Path:
    """Configuration and models of the story, and its messages between two seconds, untidied."""
    directory = stage.parent / f"{stage.name}-{name}"
    directory.mkdir()
    for kept in ("config.yaml", "models", "reference.json"):
        (directory / kept).symlink_to(stage / kept)
    low, high = (story.RECORDED_START_NS + int(s * S) for s in (start_s, end_s))
    for stream in ("features", "orders"):
        lines = (stage / f"{stream}.jsonl").read_bytes().splitlines(keepends=True)
        inside = [line for line in lines if low <= json.loads(line)["ts_ns"] < high]
        (directory / f"{stream}.jsonl").write_bytes(b"".join(untidy(inside)))
    return directory


def untidy(lines: list[bytes]) -> Iterator[bytes]:
    """Some lines twice, some out of order within the lateness, some after it, some broken or unknown."""
    rng = np.random.default_rng(len(lines))
    places = np.arange(len(lines), dtype=float)
    delayed = rng.choice(len(lines), len(lines) // 20, replace=False)
    places[delayed] += rng.choice([3.5, 20.5, 300.5], len(delayed))
    for place in np.argsort(places, kind="stable").tolist():
        yield lines[place]
        chance = rng.random()
        if chance < 0.01:
            yield lines[max(0, place - int(rng.integers(0, 50)))]
        elif chance < 0.015:
            yield lines[place][: int(rng.integers(1, len(lines[place]) - 1))] + b"\n"
        elif chance < 0.02:
            yield lines[place].replace(b'"symbol":"', b'"symbol":"X')


@pytest.fixture(scope="module")
def acts(stage: Path) -> tuple[Path, dict[str, bytes]]:
    """Two minutes with drift, demotion, latency alert and rollback, and what one task makes of them."""
    directory = excerpt(stage, "acts", 145, 260)
    return directory, replayed(directory, "base", "--batch-size", "512")


def test_the_excerpt_decides_and_its_untidiness_is_counted(acts):
    _, written = acts
    kinds = {json.loads(line)["type"].split(".")[2] for line in written["events.jsonl"].splitlines()}
    assert {"alert", "demote", "rollback"} <= kinds
    counts = json.loads(written["report.json"])["deployments"]["demo"]["counts"]
    for name in ("accepted", "duplicate", "late"):
        assert counts[f"{name}{{stream=features}}"] > 20
    assert counts["late_applied{stream=orders}"] > 3
    assert counts["dead_letters{reason=unknown_symbol}"] > 20


def test_what_is_said_of_orders_is_among_what_must_not_change(acts):
    _, written = acts
    metrics = json.loads(written["report.json"])["deployments"]["demo"]["metrics"]
    said = {name.partition("@")[0] for name, value in metrics.items() if value["status"] == "ok"}
    assert {
        "fill_rate{fills=real,order_type=market}",
        "fill_rate_mismatch{order_type=market}",
        "order_ack_latency{quantile=0.99}",
        "time_to_fill{quantile=0.5}",
        "tag_completeness",
        "version_mismatch_rate",
        "reject_rate",
        "order_rate",
        "repeated_orders",
        "unknown_orders",
        "execution_gaps",
        "reconciliation_breaks",
        "slippage_bps",
        "slippage_delay_bps",
        "slippage_spread_bps",
        "fees_bps",
    } <= said


@pytest.mark.parametrize(("size", "tasks"), [(7, 1), (4096, 5), (512, 2)])
def test_batch_size_and_number_of_tasks_change_no_byte(acts, size, tasks):
    directory, base = acts
    again = replayed(directory, f"{size}-{tasks}", "--batch-size", str(size), "--tasks", str(tasks))
    assert again == base


def test_rows_of_two_deployments_read_one_by_one_change_no_byte(stage):
    directory = excerpt(stage, "single", 150, 181)
    config = yaml.safe_load((directory / "config.yaml").read_text())
    config["deployments"]["twin"] = config["deployments"]["demo"]
    (directory / "config.yaml").unlink()
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    base = replayed(directory, "base", "--batch-size", "512", "--tasks", "2")
    assert {json.loads(line)["source"] for line in base["events.jsonl"].splitlines()} == {"demo", "twin"}
    assert replayed(directory, "one", "--batch-size", "1") == base
