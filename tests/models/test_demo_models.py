"""The models that ship with the package are what their script makes, and tell the demo's story."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest
from scipy.stats import spearmanr

from monitor.demo.make_models import FEATURE_NAMES, HORIZON_NS, RECIPES, SHIPPED, make_models
from monitor.demo.market import SIGNAL_WEIGHTS
from monitor.models.artifact import load_artifact
from monitor.models.model import Model

SCHEMA_FILE = SHIPPED / "features.schema.json"


@pytest.fixture(scope="module")
def answers() -> dict[str, np.ndarray]:
    """Answers by version to standard normal rows; `signal` is what moves the market."""
    rows = np.random.default_rng(6).standard_normal((50_000, len(FEATURE_NAMES))).astype("f4")
    made = {r.version: Model.load(load_artifact(SHIPPED / r.version)).run(rows) for r in RECIPES}
    weights = np.array(SIGNAL_WEIGHTS)
    return {**made, "signal": rows[:, : len(weights)] @ weights / np.sqrt((weights**2).sum())}


def test_shipped_models_are_what_the_script_makes(tmp_path: Path) -> None:
    make_models(tmp_path)
    for recipe in RECIPES:
        shipped, made = (d / recipe.version / "model.onnx" for d in (SHIPPED, tmp_path))
        assert shipped.read_bytes() == made.read_bytes()
    assert SCHEMA_FILE.read_bytes() == (tmp_path / "features.schema.json").read_bytes()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.version)
def test_shipped_model_is_small_batched_and_of_the_shipped_schema(recipe: object) -> None:
    version = recipe.version  # type: ignore[attr-defined]
    model = Model.load(load_artifact(SHIPPED / version))
    assert model.independent
    assert model.manifest.model_version == version
    assert (model.manifest.kind, model.manifest.horizon_ns) == ("return", HORIZON_NS)
    assert [[f.name, f.dtype] for f in model.manifest.features] == orjson.loads(SCHEMA_FILE.read_bytes())
    assert sum(f.stat().st_size for f in (SHIPPED / version).iterdir()) < 20_000


def test_shadow_agrees_with_the_active_and_the_previous_knows_less(answers: dict[str, np.ndarray]) -> None:
    assert spearmanr(answers["v8"], answers["v7"])[0] == pytest.approx(0.9, abs=0.03)
    skill = {v: np.corrcoef(answers[v], answers["signal"])[0, 1] for v in ("v6", "v7", "v8")}
    assert skill["v7"] > 0.99
    assert 0.85 < skill["v6"] < skill["v7"]
    assert 0.85 < skill["v8"] < skill["v7"]


def test_answers_are_returns_of_the_size_the_market_moves(answers: dict[str, np.ndarray]) -> None:
    for version in ("v6", "v7", "v8"):
        assert 2e-4 < answers[version].std() < 3.2e-4
        assert abs(answers[version].mean()) < 1e-5
