"""Evidence and changes through a whole replay: equal to the published predictions' own, however it is run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from cli.command_cases import replayed

from monitor.demo import story
from monitor.stats.betting import BettingTest, Harm
from monitor.transport.contract import INPUTS

S = 10**9
FROM, TO = 117, 186
"""The shadow breaks at 155 s."""

BLOCK_S, PANE_S = 3, 1
RULES = [
    {
        "id": "worse",
        "subject": "shadow",
        "metric": "loss_e_value",
        "labels": {"role": "shadow"},
        "above": 10,
        "action": "demote",
    },
    {
        "id": "apart",
        "subject": "deployment",
        "metric": "loss_change",
        "window": "1m",
        "above": 0,
        "action": "alert",
    },
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the story with outcomes that agree with the active, and rules on sequences alone."""
    directory = tmp_path_factory.mktemp("stage")
    story.write_story(directory, seed=7)
    for stream in ("features", "orders"):
        path = directory / f"{stream}.jsonl"
        low, high = (story.RECORDED_START_NS + s * S for s in (FROM, TO))
        inside = [line for line in path.read_text().splitlines() if low <= json.loads(line)["ts_ns"] < high]
        path.write_text("\n".join(inside) + "\n")
    config = yaml.safe_load((directory / "config.yaml").read_text())
    deployment = config["deployments"]["demo"]
    deployment["policy"] = {"name": "sequences", "rules": []}
    config["topics"] = {"outcomes": "outcomes"}
    write(directory, "plain.yaml", config)
    replayed(directory, "first", config="plain.yaml")
    rng = np.random.default_rng(1)
    with (directory / "outcomes.jsonl").open("w") as out:
        for row in predictions(directory / "first"):
            label = row["active"]["value"] + rng.normal(0, 1e-4)
            body = {key: row[key] for key in ("event_id", "ts_ns", "symbol")}
            out.write(json.dumps(body | {"label": label}) + "\n")
    deployment["policy"]["rules"] = RULES
    deployment["sequences"] = {
        "block": f"{BLOCK_S}s",
        "loss": {"bound": bound(directory)},
        "change": {"pane": f"{PANE_S}s"},
    }
    write(directory, "config.yaml", config)
    return directory


def write(directory: Path, name: str, config: object) -> None:
    (directory / name).write_text(yaml.safe_dump(config))


def predictions(directory: Path) -> list[dict]:
    rows = [json.loads(line) for line in (directory / "predictions.jsonl").read_text().splitlines()]
    return [row | row.get("roles", {}) for row in rows]


def gaps(directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times and losses of the shadow less the active's, of the labelled rows."""
    labels = {
        (row["symbol"], row["event_id"]): row["label"]
        for row in map(json.loads, (directory / "outcomes.jsonl").read_text().splitlines())
    }
    found = []
    for row in predictions(directory / "first"):
        label = labels[row["symbol"], row["event_id"]]
        ours, theirs = row["active"]["value"], row["shadow"]["value"]
        found.append((row["ts_ns"], (theirs - label) ** 2 - (ours - label) ** 2))
    return np.array([t for t, _ in found]), np.array([gap for _, gap in found])


def bound(directory: Path) -> float:
    """Of a block's mean, so that before the shadow breaks nothing is clipped."""
    times, loss = gaps(directory)
    before = loss[times < story.RECORDED_START_NS + story.SHADOW_BREAKS_S * S]
    return float(before.mean() * 10)


@pytest.fixture(scope="module")
def base(stage):
    return replayed(stage, "base", streams=INPUTS)


def metrics(written) -> dict[str, dict]:
    return json.loads(written["report.json"])["deployments"]["demo"]["metrics"]


def test_batch_size_and_number_of_tasks_change_no_byte(stage, base):
    assert replayed(stage, "again", "--batch-size", 97, "--tasks", 3, streams=INPUTS) == base


def test_the_evidence_is_that_of_the_published_predictions_block_by_block(stage, base):
    times, loss = gaps(stage)
    limit = yaml.safe_load((stage / "config.yaml").read_text())["deployments"]["demo"]["sequences"]["loss"]
    test = BettingTest(Harm(limit["bound"]))
    start = story.RECORDED_START_NS + (FROM + BLOCK_S) * S
    for block in range(start, story.RECORDED_START_NS + (TO - BLOCK_S) * S, BLOCK_S * S):
        test.take(float(loss[(times >= block) & (times < block + BLOCK_S * S)].mean()))
    read = metrics(base)["loss_e_value{role=shadow}@0"]
    assert read["n"] == test.blocks == 21
    assert read["value"] == pytest.approx(test.e_value, rel=1e-9)
    assert read["extra"]["clip_share"] == pytest.approx(test.clip_share)
    assert read["extra"]["clip_share"] > 0.3, "a broken shadow is far beyond the bound"
    assert metrics(base)["loss_e_detector{role=shadow}@0"]["value"] == pytest.approx(test.detector, rel=1e-9)
    assert metrics(base)["error_e_value{role=shadow}@0"]["value"] == 1.0


def test_a_rule_on_evidence_and_one_on_changes_speak_after_the_shadow_broke(base):
    events = [json.loads(line) for line in base["events.jsonl"].splitlines()]
    first = {event["data"]["rule"]: event for event in reversed(events)}
    assert set(first) == {"worse", "apart"}
    broke = story.RECORDED_START_NS + int(story.SHADOW_BREAKS_S * S)
    worse = first["worse"]["data"]
    assert first["worse"]["type"].endswith("demote.v1")
    assert worse["to_ns"] > broke
    assert (worse["window"], worse["value"] > 10) == (0, True)
    assert worse["inputs"].keys() >= {"features-0", "outcomes-0"}
    assert first["apart"]["data"]["value"] >= 1


def test_river_is_loaded_where_a_rule_names_it_and_nowhere_else(stage):
    script = (
        "import sys; from monitor.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('LOADED', [m for m in ('river', 'scipy.stats') if m in sys.modules])"
    )
    end, files = story.RECORDED_START_NS + (FROM + 36) * S, []
    for stream in ("features", "orders", "outcomes"):
        lines = (stage / f"{stream}.jsonl").read_text().splitlines(keepends=True)
        part = stage / f"part-{stream}.jsonl"
        part.write_text("".join(line for line in lines if json.loads(line)["ts_ns"] < end))
        files += [f"--{stream}", str(part)]
    for config, loaded in (("plain.yaml", "LOADED []"), ("config.yaml", "LOADED ['river', 'scipy.stats']")):
        arguments = ["replay", "--config", str(stage / config), "--out", str(stage / f"of-{config}"), *files]
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == loaded, done.stdout + done.stderr
