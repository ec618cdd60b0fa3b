"""`check` and a start refuse a paper broker that the reference cannot serve, in the same words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import kinds_of_output
import numpy as np
import yaml
from command_cases import call, refused
from kinds_of_output import HORIZON_NS
from models.model_builders import linear, write_artifact

from monitor.cli.check import check
from monitor.cli.configuration import load_configuration
from monitor.daemon.group import Group
from monitor.models.artifact import load_artifact
from monitor.stats.reference import build_reference

QUANTILES = {"target": "quantile", "quantity": "1"}
ROWS = np.random.default_rng(1).normal(size=2_000)


def write(directory: Path, paper: dict[str, Any], roles: tuple[str, ...] = ()) -> Path:
    """A deployment with this broker, and a reference that holds predictions of some roles."""
    path = kinds_of_output.write(directory, "return", paper=paper, reference="reference.json")
    shutil.rmtree(directory / "shadow" / "artifact")
    write_artifact(directory / "shadow", linear(-np.ones(1)), ("x",), horizon_ns=HORIZON_NS, name="shadow")
    known = {load_artifact(directory / role / "artifact").sha256: ROWS for role in roles}
    (directory / "reference.json").write_bytes(build_reference({"x": ROWS}, known).to_bytes())
    return path


def test_quantiles_of_a_model_that_the_reference_never_saw_are_refused(tmp_path):
    said = refused(write(tmp_path, QUANTILES, ("active",)))
    assert "the reference holds no predictions of the model of `shadow`" in said
    assert "`active`" not in said


def test_a_quantile_beyond_what_the_reference_tells_is_refused(tmp_path):
    paper = {**QUANTILES, "quantile": "0.9999"}
    assert "end bin of the predictions of `active`" in refused(write(tmp_path, paper, ("active", "shadow")))


def test_quantiles_need_a_reference(tmp_path):
    path = kinds_of_output.write(tmp_path, "return", paper=QUANTILES)
    assert "takes its thresholds from the reference, and there is none" in refused(path)


def test_a_broker_that_the_reference_serves_is_fine_and_decodes_the_volume_that_no_model_takes(tmp_path):
    paper = {**QUANTILES, "participation": {"share": "0.1", "volume": "volume"}}
    path = write(tmp_path, paper, ("active", "shadow"))
    refuse_volume = refused(path)
    assert "'volume' is a feature of no model, reference or schema: nothing would fill." in refuse_volume
    assert "under feature_schemas" in refuse_volume
    (tmp_path / "schema.json").write_text('[["x", "float64"], ["volume", "float64"]]')
    config = yaml.safe_load(path.read_text()) | {"feature_schemas": ["schema.json"]}
    path.write_text(yaml.safe_dump(config))
    result = call(check, path)
    assert result.exit_code == 0, result.output
    group = Group(load_configuration(path), path)
    [deployed] = group.deployments.values()
    assert deployed.volume is not None
    assert group.space.names[deployed.volume] == "volume"


def test_a_volume_that_is_misspelt_is_refused_with_the_feature_that_is_meant(tmp_path):
    path = write(tmp_path, {"quantity": "1", "participation": {"share": "0.1", "volume": "volum"}})
    (tmp_path / "schema.json").write_text('[["x", "float64"], ["volume", "float64"]]')
    config = yaml.safe_load(path.read_text()) | {"feature_schemas": ["schema.json"]}
    path.write_text(yaml.safe_dump(config))
    assert "Did you mean `volume`?" in refused(path)


def test_check_tells_broker_sessions_markouts_and_benchmark_and_doubts_rules_that_are_never_judged(tmp_path):
    sharpe = {"id": "s", "subject": "deployment", "metric": "sharpe", "window": "5m", "below": 1,
              "labels": {"role": "active", "fills": "real"}, "action": "alert"}  # fmt: skip
    path = kinds_of_output.write(tmp_path, "return", rules=[sharpe])
    result = call(check, path, COLUMNS="300")
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    for part in (
        "target the sign of the prediction x 1; market orders from 50ms on, slippage 0 bps",
        "fee 0.15 bps; no caps",
        "mids 1s, 5s, 30s, 5m after trades",
        "(UTC)",
        "none, for want of capital",
        "rule s: sharpe over 5m has no value: it holds 5 steps of 1m",
    ):
        assert part in said


def test_one_quantity_of_unlike_instruments_is_warned_of_and_one_by_symbol_is_told(tmp_path):
    path = kinds_of_output.write(tmp_path, "return")
    config = yaml.safe_load(path.read_text())
    config["instruments"] = {"BTCUSD": {"multiplier": "1"}, "ES": {"multiplier": "50"}}
    [deployment] = config["deployments"].values()
    path.write_text(yaml.safe_dump(config))
    plain = call(check, path, COLUMNS="300")
    assert plain.exit_code == 0, plain.output
    assert "of each of 2 instruments, whose multiplier differs (BTCUSD 1, ES 50)" in plain.output
    deployment["paper"] |= {"quantity": {"default": "0.1", "ES": "1"}}
    path.write_text(yaml.safe_dump(config))
    told = call(check, path, COLUMNS="300")
    assert told.exit_code == 0, told.output
    assert "the sign of the prediction x 0.1 (ES 1)" in told.output
    assert "multiplier differs" not in told.output
