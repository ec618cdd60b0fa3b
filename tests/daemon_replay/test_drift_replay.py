"""Drift in a replay's report: what a plain reading of the messages gives, whatever the batches and tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from cli.command_cases import call, replayed
from models.model_builders import linear, write_artifact
from scipy.stats import ks_2samp

from monitor.cli.baseline import baseline
from monitor.cli.check import check
from monitor.cli.replay import replay

S = 10**9
START = 1_767_607_200 * S
NAMES = ("a", "b")
SYMBOLS = ("AAA", "BBB", "CCC")
N, SECONDS = 1_500, 110


def columns(rng: np.random.Generator, n: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    return {
        "a": rng.normal(size=n) + shift,
        "b": rng.choice([0.0, 0.0, 1.0, 2.0], n),
        "venue": np.array(["XNAS", "XNYS", "BATS"])[rng.integers(0, 3, n)],
    }


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("drift")
    rng = np.random.default_rng(5)
    for place, role in enumerate(("active", "shadow")):
        write_artifact(directory, linear(np.array([1.0, 0.5 + place])), NAMES, out=role, name=role)
    (directory / "schema.json").write_text('[["a", "float32"], ["b", "float32"], ["venue", "string"]]')
    times = START - 7 * 86_400 * S + np.arange(6 * 1440) * 60 * S
    np.savez(
        directory / "before.npz",
        ts_ns=times,
        symbol=np.array(["AAA"] * times.size),
        **columns(rng, times.size),
    )
    made = call(
        baseline, "--features", directory / "before.npz", "--schema", directory / "schema.json",
        "--artifact", directory / "active", "--artifact", directory / "shadow", "--sample", "a",
        "--out", directory / "reference.json",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    (directory / "features.jsonl").write_text("\n".join(map(json.dumps, messages(rng))) + "\n")
    (directory / "orders.jsonl").write_text("")
    (directory / "config.yaml").write_text(yaml.safe_dump(configuration()))
    return directory


def messages(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Rows in order of the file: some within the lateness behind others, nulls, new venues, a side that says
    what the store found."""
    live = columns(rng, N, shift=0.7)
    live["venue"][rng.random(N) < 0.1] = "DARK"
    gone = rng.random((N, 3)) < 0.05
    times = START + np.sort(rng.choice(SECONDS * S // 1000, N, replace=False)) * 1000
    rows = []
    for i in range(N):
        cells: dict[str, Any] = {
            name: None if gone[i, c] else live[name][i].item() for c, name in enumerate(live)
        }
        message = {
            "event_id": f"e{i}",
            "ts_ns": int(times[i]),
            "symbol": SYMBOLS[int(rng.integers(0, len(SYMBOLS)))],
            "features": cells,
            "bid": 100.0,
            "ask": 100.01,
        }
        if i % 2:
            message |= {"store_lookups": 4, "store_hits": int(rng.integers(0, 5))}
        rows.append(message)
    place = times + np.where(rng.random(N) < 0.1, 150 * 10**6, 0)
    return [rows[i] for i in np.argsort(place, kind="stable")]


def configuration(**samples: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "instruments": {symbol: {"tick_size": "0.01", "lot_size": "1"} for symbol in SYMBOLS},
        "deployments": {
            "d": {
                "capital": {"amount": "1000", "currency": "USD"},
                "models": {"active": "active", "shadows": {"shadow": "shadow"}},
                "reference": "reference.json",
                "windows": ["60s", "300s"],
                "samples": {"ks_features": ["a"], "ks_k": 100_000, **samples},
                "drift": {"alarms_per_month": 2, "correction": "holm"},
                "policy": {
                    "name": "p",
                    "rules": [
                        {"id": "moved", "subject": "deployment", "metric": "psi", "labels": {"feature": "a"},
                         "window": "60s", "above": 0.2, "min_samples": 100, "action": "alert"},
                    ],
                },
            }
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def files(desk: Path) -> dict[str, bytes]:
    return replayed(desk, "base", "--batch-size", "512")


@pytest.fixture(scope="module")
def metrics(files: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files["report.json"])["deployments"]["d"]["metrics"]
    return found


@pytest.fixture(scope="module")
def rows(desk: Path) -> list[dict[str, Any]]:
    read = [json.loads(line) for line in (desk / "features.jsonl").read_text().splitlines()]
    return sorted(read, key=lambda row: row["ts_ns"])


@pytest.mark.parametrize(("size", "tasks"), [(7, 3), (4096, 2)])
def test_batch_size_and_number_of_tasks_change_no_byte(desk, files, size, tasks):
    assert replayed(desk, f"{size}-{tasks}", "--batch-size", size, "--tasks", tasks) == files


def test_every_row_counts_and_the_shift_fires(files, metrics):
    assert files["dead-letters.jsonl"] == b""
    assert metrics["null_rate{feature=a}@300"]["n"] == N
    fired = [json.loads(line) for line in files["events.jsonl"].splitlines()]
    assert [event["data"]["rule"] for event in fired] == ["moved"]


def test_rates_ages_and_hits_are_those_of_the_messages(metrics, rows):
    for name in ("a", "b", "venue"):
        cells = [row["features"][name] for row in rows]
        assert metrics[f"null_rate{{feature={name}}}@300"]["value"] == sum(x is None for x in cells) / N
        compared = frozen = present = age = 0
        last: dict[str, tuple[Any, int]] = {}
        for row, cell in zip(rows, cells, strict=True):
            if cell is None:
                continue
            present += 1
            before = last.get(row["symbol"])
            compared += before is not None
            if before is not None and before[0] == cell:
                frozen += 1
                age += row["ts_ns"] - before[1]
            else:
                last[row["symbol"]] = (cell, row["ts_ns"])
        assert metrics[f"frozen_rate{{feature={name}}}@300"]["value"] == frozen / compared
        assert metrics[f"feature_age{{feature={name}}}@300"]["value"] == pytest.approx(age / present / S)
    venues = [row["features"]["venue"] for row in rows if row["features"]["venue"] is not None]
    assert metrics["unseen_rate{feature=venue}@300"]["value"] == venues.count("DARK") / len(venues)
    assert metrics["unseen_rate{feature=a}@300"]["status"] == "not_applicable"
    said = [row for row in rows if "store_hits" in row]
    hits = sum(row["store_hits"] for row in said) / (4 * len(said))
    assert metrics["feature_hit_rate@300"]["value"] == hits


def test_ks_and_mean_shift_are_those_of_numpy(desk, metrics, rows):
    before = np.load(desk / "before.npz")["a"]
    live = np.array([row["features"]["a"] for row in rows if row["features"]["a"] is not None])
    distance = metrics["ks{feature=a}@300"]
    assert distance["extra"]["method"] == "exact"
    assert distance["value"] == pytest.approx(ks_2samp(before, live).statistic, abs=1e-12)
    assert distance["extra"]["binned"] <= distance["value"] <= distance["extra"]["upper"]
    shift = metrics["mean_shift_sigma{feature=a}@300"]
    assert shift["value"] == pytest.approx((live.mean() - before.mean()) / before.std(), abs=1e-6)
    assert shift["low"] < shift["value"] < shift["high"]


def test_what_cannot_be_judged_says_why(metrics):
    drifted = metrics["features_drifted@300"]
    assert (drifted["status"], drifted["n"]) == ("insufficient", 0)
    assert drifted["extra"]["reasons"]
    assert drifted["extra"]["correction"] == "holm"


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ({"ks_features": ["b"]}, "holds no sample of 'b'"),
        ({"ks_features": ["venue"]}, "categorical"),
        ({"ks_features": ["nothing"]}, "no feature 'nothing'"),
        ({"ks_features": ["a", "a"]}, "twice"),
    ],
)
def test_check_refuses_an_exact_ks_that_cannot_work(desk, samples, words):
    path = desk / "other.yaml"
    path.write_text(yaml.safe_dump(configuration(**samples)))
    result = call(check, path)
    assert result.exit_code == 2, result.output
    assert words in result.output
    result = call(
        replay, "--config", path, "--features", desk / "features.jsonl", "--orders", desk / "orders.jsonl",
        "--out", desk / "refused",
    )  # fmt: skip
    assert result.exit_code == 2
    assert words in result.output


def test_text_where_a_model_wants_a_number_is_refused(desk):
    (desk / "text.json").write_text('[["a", "float32"], ["b", "string"]]')
    before = dict(np.load(desk / "before.npz"))
    np.savez(desk / "text.npz", a=before["a"], b=before["venue"])
    made = call(
        baseline,
        "--features",
        desk / "text.npz",
        "--schema",
        desk / "text.json",
        "--out",
        desk / "text-r.json",
    )
    assert made.exit_code == 0, made.output
    document = configuration(ks_features=[])
    document["deployments"]["d"]["reference"] = "text-r.json"
    path = desk / "text.yaml"
    path.write_text(yaml.safe_dump(document))
    result = call(check, path)
    assert result.exit_code == 2
    assert "b: categorical in the reference, a number to a model" in result.output
