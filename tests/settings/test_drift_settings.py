"""What a deployment counts as drift is checked before it runs."""

from __future__ import annotations

import pytest
from configurations import REMOVED, only_problem, problems, settings

DEPLOYMENT = "deployments.btc"


def test_the_budget_of_false_alarms_is_one_a_month_unless_declared():
    drift = settings().deployments["btc"].drift
    assert (drift.alarms_per_month, drift.looks_per_day) == (1, 200)
    assert (drift.correction, drift.material_excess) == ("bonferroni", 0.1)
    declared = settings(deployments__btc__drift={"correction": "holm", "material_excess": 0.05})
    assert declared.deployments["btc"].drift.correction == "holm"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("drift.alarms_per_month", 0),
        ("drift.looks_per_day", -1),
        ("drift.correction", "none"),
        ("drift.material_excess", -0.1),
        ("drift.alarms", 1),
        ("samples.ks_k", 5),
    ],
)
def test_a_budget_that_means_nothing_is_refused(key, value):
    assert only_problem({f"{DEPLOYMENT}.{key}": value}).key.startswith(f"{DEPLOYMENT}.{key}")


def test_more_false_alarms_than_looks_are_refused():
    found = only_problem({f"{DEPLOYMENT}.drift": {"alarms_per_month": 90, "looks_per_day": 2}})
    assert "more false alarms than looks" in found.message


@pytest.mark.parametrize(
    "metric", ["psi_excess", "ks_p_value", "features_drifted", "frozen_rate", "prediction_ks", "drift_score"]
)
def test_a_rule_on_drift_needs_a_reference(metric):
    rule = {
        "id": "r",
        "subject": "deployment",
        "metric": metric,
        "window": "5m",
        "above": 0.1,
        "action": "alert",
    }
    changes = {f"{DEPLOYMENT}.policy.rules": [rule]}
    assert not [p for p in problems(changes) if "reference" in p.message]
    found = [p for p in problems({**changes, f"{DEPLOYMENT}.reference": REMOVED}) if "reference" in p.message]
    assert found[0].remedy == "set reference."


def test_exact_ks_needs_a_reference():
    changes = {f"{DEPLOYMENT}.samples.ks_features": ["f0"]}
    assert not problems(changes)
    found = problems({**changes, f"{DEPLOYMENT}.reference": REMOVED, f"{DEPLOYMENT}.policy.rules": []})
    assert [p.key for p in found] == [f"{DEPLOYMENT}.samples.ks_features"]
