"""A policy as written becomes rules, and the catalogue says how often they are worth evaluating."""

from __future__ import annotations

from policy_builders import GRIDS, S, rule

from monitor.policy.rules import Action, Comparator, NoData, Policy, Rule, Scope, Severity
from monitor.settings.digest import policy_sha256
from monitor.settings.rules import PolicySettings

WRITTEN = PolicySettings.model_validate(
    {
        "name": "demo",
        "rules": [
            {
                "id": "shadow-agrees",
                "subject": "shadow",
                "metric": "rank_correlation",
                "labels": {"role": "shadow"},
                "window": "5m",
                "below": 0.5,
                "min_samples": 500,
                "for": 3,
                "severity": "warning",
                "action": "demote",
                "keep_firing_for": "30s",
                "act_within": "1m",
                "dry_run": True,
            },
            {
                "id": "drawdown",
                "subject": "deployment",
                "metric": "drawdown",
                "window": "session",
                "schedule": "tick",
                "labels": {"role": "active", "fills": "real"},
                "above": 0.02,
                "no_data": "alert",
                "for": "2s",
                "severity": "critical",
                "action": "kill",
            },
        ],
    }
)


def test_what_is_written_is_what_is_judged():
    policy = Policy.from_settings(WRITTEN, policy_sha256(WRITTEN))
    assert (policy.name, policy.sha256) == ("demo", policy_sha256(WRITTEN))
    assert policy.rules == (
        Rule(
            id="shadow-agrees",
            subject="shadow",
            metric="rank_correlation",
            labels=(("role", "shadow"),),
            window=300 * S,
            comparator=Comparator.BELOW,
            threshold=0.5,
            min_samples=500,
            for_count=3,
            keep_firing_ns=30 * S,
            act_within_ns=60 * S,
            action=Action.DEMOTE,
            dry_run=True,
        ),
        Rule(
            id="drawdown",
            subject="deployment",
            metric="drawdown",
            labels=(("fills", "real"), ("role", "active")),
            window="session",
            comparator=Comparator.ABOVE,
            threshold=0.02,
            for_ns=2 * S,
            schedule="tick",
            no_data=NoData.ALERT,
            severity=Severity.CRITICAL,
            action=Action.KILL,
            scope=Scope.TRADING,
        ),
    )


def test_a_rule_is_evaluated_no_more_often_than_its_metric_is_worth():
    rules = (
        rule(id="eager", metric="psi", schedule="tick"),
        rule(id="patient", metric="psi", schedule=120 * S),
        rule(id="hard", metric="equity", schedule="tick"),
    )
    bound = Policy("demo", rules, "x").bind(GRIDS, {"psi": 60 * S, "equity": 0}, {"equity"})
    assert [(each.schedule, each.money) for each in bound.rules] == [
        (60 * S, False),
        (120 * S, False),
        ("tick", True),
    ]
    assert bound.sha256 == "x"
