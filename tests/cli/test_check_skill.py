"""`check` refuses rules on metrics that no outcome, or no such output, makes; and says what waiting costs."""

from __future__ import annotations

from typing import Any

import kinds_of_output
import pytest
from command_cases import call, refused

from monitor.cli.check import check
from monitor.cli.configuration import load_configuration
from monitor.daemon.group import Group
from monitor.errors import ConfigError


def rule(metric: str, **more: Any) -> dict[str, Any]:
    about = {
        "id": "r",
        "subject": "active",
        "metric": metric,
        "window": "5m",
        "above": 0.5,
        "action": "alert",
    }
    return about | more


def test_a_metric_on_labels_needs_a_topic_of_them(tmp_path):
    path = kinds_of_output.write(tmp_path, "probability", rules=[rule("brier", labels={"role": "active"})])
    said = refused(path)
    assert "brier is made of outcomes, and there is no topic of them" in said
    assert "Set topics.outcomes" in said


@pytest.mark.parametrize(
    ("kind", "metric", "kinds"),
    [
        ("return", "brier", "probability"),
        ("return", "accuracy", "class or probability"),
        ("score", "sign_accuracy", "return"),
        ("class", "ic", "probability or return or score"),
    ],
)
def test_a_metric_that_the_output_has_not_is_refused_naming_the_kind(tmp_path, kind, metric, kinds):
    rules = [rule(metric, labels={"role": "active"})]
    said = refused(kinds_of_output.write(tmp_path, kind, rules=rules, topics={"outcomes": "outcomes"}))
    assert f"the model of `active` puts out a {kind}, which has no {metric}" in said
    assert f"It is a metric of models of kind {kinds}" in said


def test_a_sound_rule_passes_and_the_cost_of_waiting_is_said(tmp_path):
    rules = [
        rule("ece_debiased", labels={"role": "active"}),
        rule("net_edge_bps", id="s", below=0.0, above=None),
    ]
    rules[1].pop("above")
    path = kinds_of_output.write(tmp_path, "probability", rules=rules, topics={"outcomes": "outcomes"})
    result = call(check, path, COLUMNS="300")
    assert result.exit_code == 0, result.output
    assert (
        "mid returns over 2s from 50ms on, a round trip at 0.3 bps; at most 10,000 predictions wait"
        in result.output
    )
    assert "wait 1m2s; at most 1,000,000 rows, 33 MB a task" in result.output
    scope = Group(load_configuration(path), path).deployments["d"].scope
    assert (scope.forward.horizons_ns, scope.forward.lag_ns) == ((2 * 10**9,), 50 * 10**6)
    assert (scope.labels.wait_ns, scope.labels.limit) == (62 * 10**9, 1_000_000)


def test_what_is_configured_comes_before_what_the_model_implies(tmp_path):
    section = {
        "skill": {"horizons": ["10s", "1m"], "lag": "0s", "cost_bps": "1.5", "limit": 50},
        "labels": {"wait": "3s"},
    }
    path = kinds_of_output.write(tmp_path, "return", topics={"outcomes": "outcomes"}, **section)
    scope = Group(load_configuration(path), path).deployments["d"].scope
    assert scope.forward.horizons_ns == (10 * 10**9, 60 * 10**9)
    assert (scope.forward.lag_ns, scope.forward.cost_bps, scope.forward.limit) == (0, 1.5, 50)
    assert scope.labels.wait_ns == 3 * 10**9


def test_a_horizon_is_listed_once(tmp_path):
    path = kinds_of_output.write(tmp_path, "return", skill={"horizons": ["10s", "10s"]})
    with pytest.raises(ConfigError, match="horizon is listed twice"):
        load_configuration(path)
