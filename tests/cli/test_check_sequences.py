"""`check`, and a daemon that starts, refuse blocks that depend on each other and detectors without river."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_cases import call
from scipy.signal import lfilter

import monitor.demo
from monitor.cli.check import check
from monitor.daemon.group import Group
from monitor.daemon.sequence_scope import least_block_ns, sequence_rules_of
from monitor.errors import ConfigError
from monitor.models.artifact import load_artifact
from monitor.settings.loading import load
from monitor.stats.reference import Reference, build_reference

EXAMPLE = Path(__file__).parents[2] / "config" / "example.yaml"
MODELS = Path(monitor.demo.__file__).parent / "models"
ACTIVE = load_artifact(MODELS / "v7")
CORRELATION_S = 120.0
S = 10**9


def remembering(name: str) -> Reference:
    """Six days of a column that forgets in about two minutes (integrated), one value in five seconds."""
    rng = np.random.default_rng(1)
    phi = (CORRELATION_S / 5 - 1) / (CORRELATION_S / 5 + 1)
    n = 6 * 86_400 // 5
    values = lfilter([1.0], [1.0, -phi], math.sqrt(1 - phi**2) * rng.normal(size=n))
    times = np.arange(n, dtype=np.int64) * 5 * S
    if name == "feature":
        return build_reference({"f": values}, ts_ns=times)
    return build_reference({"f": rng.normal(size=n)}, {ACTIVE.sha256: values}, ts_ns=times)


@pytest.fixture(scope="module", params=["feature", "prediction"])
def reference(request: pytest.FixtureRequest) -> Reference:
    return remembering(request.param)


def test_the_shortest_block_is_ten_correlation_times_of_the_predictions_else_of_the_features(reference):
    least = least_block_ns(ACTIVE.manifest, {"active": ACTIVE.sha256}, reference) / S
    assert 0.6 * 10 * CORRELATION_S < least < 1.6 * 10 * CORRELATION_S
    assert least_block_ns(ACTIVE.manifest, {}, None) == ACTIVE.manifest.horizon_ns == S


def configured(
    directory: Path, reference: Reference | None = None, rules=(), outcomes=None, **sequences
) -> Path:
    data = yaml.safe_load(EXAMPLE.read_text())
    data["topics"]["outcomes"] = outcomes
    models = {"active": MODELS / "v7", "previous": MODELS / "v6", "shadows": {"shadow": MODELS / "v8"}}
    deployment = data["deployments"]["btc"]
    deployment["models"] = json.loads(json.dumps(models, default=str))
    deployment["sequences"] = sequences
    deployment["policy"] = {"name": "p", "rules": list(rules)}
    del deployment["reference"]
    if reference is not None:
        (directory / "reference.json").write_bytes(reference.to_bytes())
        deployment["reference"] = "reference.json"
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def checked(path: Path):
    return call(check, path, COLUMNS="300")


def test_a_block_that_is_shorter_is_refused_by_check_and_at_start(tmp_path, reference):
    path = configured(tmp_path, reference, block="5m")
    done = checked(path)
    assert done.exit_code == 2
    assert "deployments.btc.sequences.block: blocks of 5m depend on each other" in done.stdout
    assert "or leave it out" in done.stdout
    with pytest.raises(ConfigError, match=r"sequences\.block"):
        Group(load(path, {}), path)
    long = configured(tmp_path, reference, block="2h")
    assert checked(long).exit_code == 0


def test_left_out_it_is_as_long_as_the_reference_asks_for(tmp_path, reference):
    settings = load(configured(tmp_path, reference), {}).deployments["btc"]
    artifacts = {"active": ACTIVE.sha256}
    rules = sequence_rules_of(settings, ACTIVE.manifest, artifacts, reference)
    least = least_block_ns(ACTIVE.manifest, artifacts, reference)
    assert least <= rules.block_ns < least + 5 * S
    assert rules.block_ns % (5 * S) == 0
    assert sequence_rules_of(settings, ACTIVE.manifest, artifacts, None).block_ns == 600 * S
    assert rules.pane_ns == 60 * S


CHANGE = {
    "id": "c",
    "metric": "serve_latency_change",
    "subject": "deployment",
    "window": "1h",
    "above": 0,
    "action": "alert",
}


def test_a_rule_on_changes_without_river_is_refused_with_the_remedy(tmp_path, monkeypatch):
    path = configured(tmp_path, rules=[CHANGE])
    assert checked(path).exit_code == 0
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused = checked(path)
    assert refused.exit_code == 2
    assert "policy.rules[0].metric: serve_latency_change is found by river" in refused.stdout
    assert "pip install shadow-monitor[detectors]" in refused.stdout
    with pytest.raises(ConfigError, match="detectors"):
        Group(load(path, {}), path)
    assert checked(configured(tmp_path)).exit_code == 0


def test_a_test_of_the_loss_of_returns_without_a_bound_is_refused(tmp_path):
    rule = {"id": "l", "metric": "loss_e_value", "subject": "shadow", "above": 100, "action": "demote"}
    rule["labels"] = {"role": "shadow"}
    refused = checked(configured(tmp_path, rules=[rule], outcomes="outcomes"))
    assert refused.exit_code == 2
    assert "sequences.loss.bound: loss_e_value is tested within a bound" in refused.stdout
    fine = checked(configured(tmp_path, rules=[rule], outcomes="outcomes", loss={"bound": 1e-6}))
    assert fine.exit_code == 0, fine.stdout


def test_a_policy_that_names_detectors_makes_them_and_no_others(tmp_path):
    path = configured(tmp_path, rules=[CHANGE])
    deployed = Group(load(path, {}), path).deployments["btc"]
    changes = {m.family.name for m in deployed.catalogue.metrics if m.family.name.endswith("_change")}
    assert changes == {"serve_latency_change"}
    plain = configured(tmp_path)
    keys = {s.key for s in Group(load(plain, {}), plain).deployments["btc"].catalogue.sequences}
    assert keys == {"errors/shadow"}


@pytest.mark.parametrize("threshold", [{"above": 1}, {"below": 20}])
def test_evidence_that_is_there_without_any_is_refused(tmp_path, threshold):
    rule = {"id": "e", "metric": "error_e_value", "subject": "shadow", "action": "demote", **threshold}
    rule["labels"] = {"role": "shadow"}
    path = configured(tmp_path, rules=[rule])
    refused = checked(path)
    assert refused.exit_code == 2
    assert "policy.rules[0].above: error_e_value begins at 1" in refused.stdout
    with pytest.raises(ConfigError, match="begins at 1"):
        Group(load(path, {}), path)


def test_labels_that_come_after_nobody_waits_are_refused(tmp_path):
    path = configured(tmp_path)
    data = yaml.safe_load(path.read_text())
    data["deployments"]["btc"]["labels"] = {"wait": "10ms"}
    path.write_text(yaml.safe_dump(data))
    refused = checked(path)
    assert refused.exit_code == 2
    assert "labels.wait: predictions wait 10ms, labels come after 1s" in refused.stdout
    with pytest.raises(ConfigError, match=r"labels\.wait"):
        Group(load(path, {}), path)


@pytest.mark.parametrize(
    ("window", "timed", "why"),
    [
        ("1h", False, "the reference was built without times"),
        ("5m", True, "independent values"),
        ("1h", True, "independent values"),
    ],
)
def test_a_rule_that_a_reference_lets_never_be_judged_is_told_of(tmp_path, window, timed, why):
    rule = {"id": "p", "metric": "psi_p_value", "subject": "deployment", "window": window, "below": 1e-4}
    reference = remembering("feature") if timed else build_reference({"f": np.arange(1000.0)})
    told = checked(configured(tmp_path, reference, rules=[{**rule, "action": "alert"}]))
    assert told.exit_code == 0, told.stdout
    assert f"rule p: psi_p_value over {window} has no value: " in told.stdout
    assert why in told.stdout


def test_a_rule_that_can_be_judged_is_not_warned_of(tmp_path):
    rng = np.random.default_rng(3)
    n = 6 * 86_400
    reference = build_reference({"f": rng.normal(size=n)}, ts_ns=np.arange(n, dtype=np.int64) * S)
    rule = {"id": "p", "metric": "psi_p_value", "subject": "deployment", "window": "1h", "below": 1e-4}
    told = checked(configured(tmp_path, reference, rules=[{**rule, "action": "alert"}]))
    assert told.exit_code == 0, told.stdout
    assert "has no value" not in told.stdout
