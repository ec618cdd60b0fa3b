"""Rows are scored together only where company changes no bit of any answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import model_builders as build
import numpy as np
import pytest

from monitor.engine.rows import ScoreStatus
from monitor.models.artifact import load_artifact
from monitor.models.model import Model
from monitor.models.scoring import ReplayScorer
from monitor.wire.table import Table


def load(directory: Path, model: bytes) -> Model:
    return Model.load(load_artifact(build.write_artifact(directory, model)))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (build.centred_on_batch, "rows change"),
        (build.dynamically_quantised, "rows change"),
        (build.one_row_only, "one row a run"),
        (build.dropping, "a batch raised"),
        (build.picky, "a batch raised"),
    ],
)
def test_model_whose_rows_depend_on_company_is_scored_one_row_a_run(
    model: Callable[[], bytes], reason: str, tmp_path: Path
) -> None:
    loaded = load(tmp_path, model())
    assert not loaded.independent
    assert reason in loaded.probe_report.reason
    assert "one row a run" in loaded.probe_report.cost()
    rows = np.random.default_rng(1).standard_normal((64, build.WIDTH)).astype("f4")
    alone = np.concatenate([loaded.run(rows[i : i + 1].copy()) for i in range(len(rows))])
    assert loaded.run(rows).tobytes() == alone.tobytes()


def test_hostile_neighbour_moves_no_answer_of_a_quantised_model(tmp_path: Path) -> None:
    loaded = load(tmp_path, build.dynamically_quantised())
    rows = np.random.default_rng(2).standard_normal((2, build.WIDTH)).astype("f4")
    quiet = loaded.run(rows)[0]
    rows[1] *= 1e3
    assert loaded.run(rows)[0] == quiet


def test_plain_model_is_scored_in_batches_and_says_what_a_row_costs(tmp_path: Path) -> None:
    loaded = load(tmp_path, build.linear())
    report = loaded.probe_report
    assert loaded.independent
    assert report.batch_ns is not None
    assert report.batch_ns < report.single_ns
    assert loaded.row_ns == report.batch_ns
    assert "in batches" in report.cost()


@pytest.mark.parametrize(
    "model", [build.linear, build.dynamically_quantised, build.picky, build.log_of_first]
)
def test_answers_do_not_depend_on_the_batch(model: Callable[[], bytes], tmp_path: Path) -> None:
    """Whatever rows fail or are incomplete, and however the stream is cut."""
    scorer = ReplayScorer({"active": load(tmp_path, model())}, build.NAMES)
    draw = np.random.default_rng(3)
    values = draw.standard_normal((300, build.WIDTH)) * draw.choice([0.1, 1.0, 90.0], (300, 1))
    values[draw.random(values.shape) < 0.02] = np.nan
    values[draw.random(values.shape) < 0.01] = np.inf

    def scored(size: int) -> tuple[bytes, list[int]]:
        parts = [
            asyncio.run(scorer.score(values[i : i + size], Table({})))["active"]
            for i in range(0, len(values), size)
        ]
        return (
            np.concatenate([p.value for p in parts]).tobytes(),
            np.concatenate([p.status for p in parts]).tolist(),
        )

    whole = scored(300)
    assert {ScoreStatus.OK, ScoreStatus.INCOMPLETE} <= set(whole[1])
    for size in (1, 7, 128, 299):
        assert scored(size) == whole
