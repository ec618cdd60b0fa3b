"""Blocks, bounds and detectors as configured: what cannot be tested is refused, with a remedy."""

from __future__ import annotations

import pytest
from configurations import only_problem, problems, settings

AT = "deployments.btc.sequences"
RULE = {"id": "r", "subject": "shadow", "metric": "error_e_value", "above": 100, "action": "demote"}


def deployment(**sequences):
    return settings(deployments__btc__sequences=sequences).deployments["btc"].sequences


def test_all_has_defaults():
    defaults = settings().deployments["btc"].sequences
    assert (defaults.block_ns, defaults.change.pane_ns, defaults.change.delta) == (None, None, 0.002)
    assert (defaults.error.margin, defaults.error.bound) == (0, 1)
    assert (defaults.loss.margin, defaults.loss.bound) == (0, None)


def test_what_is_written_is_taken():
    read = deployment(block="30m", error={"margin": 0.01}, loss={"bound": 2e-6, "margin": -1e-7})
    assert read.block_ns == 1800 * 10**9
    assert (read.error.margin, read.loss.bound, read.loss.margin) == (0.01, 2e-6, -1e-7)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("block", "7s", "not whole in panes of 5s"),
        ("change", {"pane": "12s"}, "not whole in panes of 5s"),
        ("block", "0s", "longer than zero"),
        ("error", {"margin": 1}, "never reached within"),
        ("error", {"bound": 0}, "must be more than 0"),
        ("loss", {"bound": 0.5, "margin": -0.5}, "never reached within"),
        ("loss", {"bound": -1}, "must be more than 0"),
        ("change", {"delta": 1}, "less than 1"),
    ],
)
def test_what_cannot_be_tested_is_refused(key, value, says):
    problem = only_problem({f"{AT}.{key}": value})
    assert problem.key.startswith(f"{AT}.{key}")
    assert says in problem.message or says in problem.remedy, str(problem)


def test_a_rule_on_evidence_leaves_its_window_out():
    rules = "deployments.btc.policy.rules"
    assert problems({rules: [RULE | {"labels": {"role": "shadow"}}]}) == []
    problem = only_problem({rules: [RULE | {"labels": {"role": "shadow"}, "window": "5m"}]})
    assert "error_e_value has no window" in problem.message
    assert "leave `window` out" in problem.remedy


def test_a_rule_on_changes_has_a_window_and_blames_nobody():
    rules = "deployments.btc.policy.rules"
    change = {"id": "c", "metric": "loss_change", "labels": {"role": "shadow"}, "above": 0}
    outcomes = {"topics.outcomes": "outcomes"}
    alert = change | {"subject": "deployment", "action": "alert"}
    assert problems({rules: [alert | {"window": "1h"}], **outcomes}) == []
    assert "needs a window" in only_problem({rules: [alert], **outcomes}).message
    demote = change | {"subject": "shadow", "action": "demote", "window": "1h"}
    assert "blames no model" in only_problem({rules: [demote], **outcomes}).message
