"""Every metric of skill in a replay's report equals what NumPy and SciPy make of the messages, row by row."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skill_desk
import yaml
from cli.command_cases import replayed
from scipy.stats import spearmanr
from skill_desk import COST_BPS, DECAY, HORIZON, KINDS, ROLES, Desk

from monitor.transport.contract import INPUTS


@pytest.fixture(scope="module")
def desk() -> Desk:
    return skill_desk.made_up(3)


@pytest.fixture(scope="module")
def directory(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("skill")
    skill_desk.write(desk, directory)
    return directory


@pytest.fixture(scope="module")
def files(directory: Path) -> dict[str, bytes]:
    return replayed(directory, "base", "--batch-size", "512", streams=INPUTS)


@pytest.fixture(scope="module")
def report(files: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    deployments = json.loads(files["report.json"])["deployments"]
    return {name: deployments[name]["metrics"] for name in KINDS}


WINDOWS = (60, 300)


def bounds(report: dict[str, Any], window: int) -> tuple[int, int]:
    of = report["rtn"][f"label_coverage{{role=active}}@{window}"]
    return of["from_ns"], of["to_ns"]


def test_labels_that_meet_expire_repeat_or_name_nobody_are_counted(
    desk: Desk, report: dict[str, Any]
) -> None:
    _, vain, counts = skill_desk.joined(desk)
    assert min(counts.values()) > 10
    counts["pending"] = counts["waiting"] - counts["labelled"] - len(vain)
    assert len(vain) > 50
    for deployment in KINDS:
        for reason, expected in {**counts, "expired": len(vain), "dropped": 0, "lost": 0}.items():
            found = report[deployment][f"label_rows{{reason={reason}}}@300"]
            assert (reason, found["value"], found["status"]) == (reason, expected, "ok")


def answered(
    desk: Desk, deployment: str, role: str, low: int, high: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Predictions and labels of pairs that met in a window; and how many the kind could not use."""
    met, _, _ = skill_desk.joined(desk)
    pairs = [(skill_desk.prediction(m.row, deployment, role), m.label) for m in met if low <= m.at < high]
    p, y = np.array([pair for pair in pairs if not math.isnan(pair[0])]).T
    if KINDS[deployment] == "probability":
        good = (p >= 0) & (p <= 1) & ((y == 0) | (y == 1))
        return p[good], y[good], int((~good).sum())
    return p, y, 0


def ratio(above: Any, below: Any) -> float:
    return float(np.sum(above) / np.sum(below))


def confusion(said: np.ndarray, y: np.ndarray, accuracy: float) -> Iterator[tuple[str, float]]:
    yes, true = said == 1, y == 1
    yield "accuracy", accuracy
    yield "precision", ratio(yes & true, yes)
    yield "recall", ratio(yes & true, true)
    yield "f1", 2 * float((yes & true).sum()) / float(yes.sum() + true.sum())
    yield "false_positive_rate", ratio(yes & ~true, ~true)
    yield "false_negative_rate", ratio(~yes & true, true)


def of_probabilities(p: np.ndarray, y: np.ndarray) -> Iterator[tuple[str, float]]:
    said = (p >= 0.5).astype(float)
    yield from confusion(said, y, float((said == y).mean()))
    yield "brier", float(((p - y) ** 2).mean())
    q = np.clip(p, 1e-15, 1 - 1e-15)
    yield "log_loss", float(-(y * np.log(q) + (1 - y) * np.log(1 - q)).mean())
    above = p[y == 1][:, None] - p[y == 0][None, :]
    yield "auc", float((above > 0).mean() + (above == 0).mean() / 2)
    bins = np.minimum((p * 15).astype(int), 14)
    bins = np.searchsorted([i / 15 for i in range(1, 15)], p, side="right")
    ece = ce2 = 0.0
    used = [bins == b for b in range(15) if (bins == b).sum() > 1]
    for b in range(15):
        mine = bins == b
        if mine.any():
            ece += mine.mean() * abs(p[mine].mean() - y[mine].mean())
    for mine in used:
        share, noise = y[mine].mean(), y[mine].mean() * (1 - y[mine].mean()) / (mine.sum() - 1)
        weight = mine.sum() / sum(m.sum() for m in used)
        ce2 += weight * ((p[mine].mean() - share) ** 2 - noise)
    yield "ece", ece
    yield "ece_debiased", math.sqrt(max(0.0, ce2))


def of_returns(p: np.ndarray, y: np.ndarray) -> Iterator[tuple[str, float]]:
    yield "rmse", math.sqrt(float(((p - y) ** 2).mean()))
    moved = (p != 0) & (y != 0)
    yield "sign_accuracy", float((np.sign(p) == np.sign(y))[moved].mean())


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("deployment", KINDS)
def test_metrics_on_labels_are_those_of_the_pairs_in_the_window(
    desk: Desk, report: dict[str, Any], deployment: str, role: str, window: int
) -> None:
    p, y, unusable = answered(desk, deployment, role, *bounds(report, window))
    expected = {
        "prob": lambda: of_probabilities(p, y),
        "cls": lambda: confusion(p, y, float((p == y).mean())),
        "rtn": lambda: of_returns(p, y),
    }[deployment]()
    checked = 0
    for name, value in expected:
        found = report[deployment][f"{name}{{role={role}}}@{window}"]
        assert found["status"] == "ok"
        assert found["value"] == pytest.approx(value, abs=1e-12, rel=1e-12), name
        assert found["low"] is None or found["low"] <= found["value"] <= found["high"]
        checked += 1
    assert checked == {"prob": 11, "cls": 6, "rtn": 2}[deployment]
    coverage = report[deployment][f"label_coverage{{role={role}}}@{window}"]
    assert coverage["extra"]["unusable"] == unusable
    assert coverage["extra"]["labelled"] == len(p) + unusable


@pytest.mark.parametrize("role", ROLES)
def test_coverage_is_what_met_a_label_of_what_no_longer_waits(
    desk: Desk, report: dict[str, Any], role: str
) -> None:
    met, vain, _ = skill_desk.joined(desk)

    def with_answer(rows: list[Any]) -> int:
        return sum(not math.isnan(skill_desk.prediction(r.row, "rtn", role)) for r in rows)

    labelled, expired = with_answer(met), with_answer(vain)
    found = report["rtn"][f"label_coverage{{role={role}}}@300"]
    assert (found["n"], found["value"]) == (labelled + expired, labelled / (labelled + expired))


@pytest.mark.parametrize("window", WINDOWS)
def test_confidence_needs_no_label(desk: Desk, report: dict[str, Any], window: int) -> None:
    low, high = bounds(report, window)
    rows = [e.row for e in skill_desk.folded(desk.features, 0)[0] if low <= e.eff < high]
    p = np.array([skill_desk.prediction(row, "prob", "active") for row in rows])
    p = p[~np.isnan(p)]
    found = report["prob"][f"confidence{{role=active}}@{window}"]
    assert (found["n"], found["value"]) == (len(p), pytest.approx(np.maximum(p, 1 - p).mean(), abs=1e-12))


def within(rows: list[tuple[str, float, float]]) -> float:
    """Spearman within symbol, averaged by n."""
    total = weighted = 0.0
    for symbol in sorted({row[0] for row in rows}):
        a, b = np.array([row[1:] for row in rows if row[0] == symbol]).T
        total += len(a)
        weighted += len(a) * spearmanr(a, b).statistic
    return weighted / total


def ahead(
    desk: Desk, deployment: str, role: str, horizon: int, low: int, high: int
) -> list[tuple[str, float, float]]:
    """Symbol, prediction and return of what was said in a window."""
    rows = [
        (f.row["symbol"], skill_desk.prediction(f.row, deployment, role), f.change)
        for f in skill_desk.forward(desk, horizon)
        if low < f.at <= high
    ]
    return [row for row in rows if not math.isnan(row[1] + row[2])]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("deployment", "neutral"), [("rtn", 0.0), ("prob", 0.5)])
def test_metrics_on_returns_are_those_of_mids_after_the_lag(
    desk: Desk, report: dict[str, Any], deployment: str, neutral: float, role: str, window: int
) -> None:
    low, high = bounds(report, window)
    metrics = report[deployment]
    for horizon, label in ((HORIZON, "2"), (DECAY, "0.5")):
        rows = ahead(desk, deployment, role, horizon, low, high)
        found = metrics[f"ic_decay{{horizon={label},role={role}}}@{window}"]
        assert (found["n"], found["extra"]["exact"]) == (len(rows), True)
        assert found["value"] == pytest.approx(within(rows), abs=1e-9)
    rows = ahead(desk, deployment, role, HORIZON, low, high)
    assert metrics[f"ic{{role={role}}}@{window}"] == metrics[f"ic_decay{{horizon=2,role={role}}}@{window}"]
    cost = COST_BPS / 1e4
    net = [(s, p, r - math.copysign(cost, p - neutral) if p != neutral else r) for s, p, r in rows]
    assert metrics[f"ic_after_costs{{role={role}}}@{window}"]["value"] == pytest.approx(within(net), abs=1e-9)
    _, p, r = zip(*rows, strict=True)
    sign = np.sign(np.array(p) - neutral)
    edges = (sign * np.array(r) * 1e4 - COST_BPS)[sign != 0]
    found = metrics[f"net_edge_bps{{role={role}}}@{window}"]
    assert (found["n"], found["value"]) == (len(edges), pytest.approx(edges.mean(), abs=1e-9))
    assert found["extra"]["breakeven_cost_bps"] == pytest.approx(edges.mean() + COST_BPS, abs=1e-9)
    way = sign * np.sign(r)
    found = metrics[f"hit_rate{{role={role}}}@{window}"]
    assert (found["n"], found["value"]) == (np.count_nonzero(way), (way > 0).sum() / np.count_nonzero(way))
    assert found["extra"]["zeros"] == (way == 0).sum() > 0
    assert found["low"] < found["value"] < found["high"]


@pytest.mark.parametrize("window", WINDOWS)
def test_who_was_right_where_signs_differ(desk: Desk, report: dict[str, Any], window: int) -> None:
    low, high = bounds(report, window)
    edges = []
    for f in skill_desk.forward(desk, HORIZON):
        ours, theirs = (np.sign(skill_desk.prediction(f.row, "rtn", role)) for role in ROLES)
        if low < f.at <= high and not math.isnan(f.change + ours + theirs) and ours != theirs:
            edges.append((theirs - ours) / 2 * f.change * 1e4)
    found = report["rtn"][f"disagreement_edge_bps{{role=shadow}}@{window}"]
    assert (found["n"], found["value"]) == (len(edges), pytest.approx(np.mean(edges), abs=1e-9))


def test_a_kind_of_output_that_has_no_such_metric_says_so(report: dict[str, Any]) -> None:
    none = {
        "rtn": ("accuracy", "auc", "brier", "ece_debiased", "confidence"),
        "prob": ("rmse", "sign_accuracy"),
        "cls": ("ic", "net_edge_bps", "hit_rate", "auc", "log_loss", "rmse"),
    }
    for deployment, names in none.items():
        for name in names:
            found = report[deployment][f"{name}{{role=active}}@300"]
            assert (found["status"], found["value"], found["n"]) == ("not_applicable", None, 0)


@pytest.mark.parametrize(("size", "tasks"), [(7, 1), (512, 3)])
def test_batch_size_and_number_of_tasks_change_no_byte(
    directory: Path, files: dict[str, bytes], size: int, tasks: int
) -> None:
    assert (
        replayed(
            directory, f"{size}-{tasks}", "--batch-size", str(size), "--tasks", str(tasks), streams=INPUTS
        )
        == files
    )


def test_a_file_of_outcomes_needs_no_topic_of_them(
    directory: Path, files: dict[str, bytes], tmp_path: Path
) -> None:
    for name in ("rtn", "prob", "cls", "features.jsonl", "orders.jsonl", "outcomes.jsonl"):
        (tmp_path / name).symlink_to(directory / name)
    config = yaml.safe_load((directory / "config.yaml").read_text())
    del config["topics"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert (
        replayed(tmp_path, "out", "--batch-size", "512", streams=INPUTS)["report.json"]
        == files["report.json"]
    )


def test_rows_read_one_by_one_change_no_byte(tmp_path: Path) -> None:
    skill_desk.write(skill_desk.made_up(5, seconds=30, n=250), tmp_path, labels={"wait": "3s", "limit": 40})
    base = replayed(tmp_path, "base", "--batch-size", "512", streams=INPUTS)
    assert replayed(tmp_path, "one", "--batch-size", "1", streams=INPUTS) == base
    metrics = json.loads(base["report.json"])["deployments"]["rtn"]["metrics"]
    assert metrics["label_rows{reason=dropped}@300"]["value"] > 0, "more than the limit waited"
