"""A written rule speaks of every series that its labels fit; one that fits none stops the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from house import DEPLOYMENT, configuration, group_of, rule

from monitor.errors import ConfigError


def written(house: Path, directory: Path, metric: str, **more: Any) -> Path:
    policy = {"name": "p", "rules": [rule("r", metric, window="2s", above=0.5, **more)]}
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(configuration(house, policy=policy)))
    return path


@pytest.mark.parametrize(
    ("metric", "labels", "series"),
    [
        ("error_rate", {}, [{"role": "active"}, {"role": "shadow"}]),
        ("error_rate", {"role": "shadow"}, [{"role": "shadow"}]),
        ("served_error_rate", {}, [{}]),
        (
            "pnl_after_costs",
            {},
            [
                {"fills": "real", "role": "active"},
                {"fills": "paper", "role": "active"},
                {"fills": "paper", "role": "shadow"},
            ],
        ),
        ("pnl_after_costs", {"fills": "real"}, [{"fills": "real", "role": "active"}]),
        ("model_effect", {}, [{"role": "shadow"}]),
    ],
)
def test_a_rule_speaks_of_every_series_that_its_labels_fit(
    house: Path, tmp_path: Path, metric: str, labels: dict[str, str], series: list[dict[str, str]]
) -> None:
    rules = group_of(written(house, tmp_path, metric, labels=labels)).deployments[DEPLOYMENT].policy.rules
    assert [dict(bound.labels) for bound in rules if bound.id == "r"] == series


@pytest.mark.parametrize(
    ("metric", "labels", "key", "message", "remedy"),
    [
        ("ic_decay", {"horizon": "17"}, "labels.horizon", "no series of ic_decay has horizon '17'.", "`1`"),
        ("fill_rate", {"order_type": "Market"}, "labels.order_type", "has order_type 'Market'.", "`market`"),
        ("rejects", {"reason": "margin"}, "labels.reason", "has reason 'margin'.", "other"),
        (
            "equity",
            {"role": "shadow", "fills": "real"},
            "labels",
            "equity has no series fills=real, role=shadow.",
            "fills=real, role=active",
        ),
    ],
)
def test_a_rule_that_no_series_answers_is_refused_with_the_labels_there_are(
    house: Path, tmp_path: Path, metric: str, labels: dict[str, str], key: str, message: str, remedy: str
) -> None:
    window = {} if metric == "equity" else {"window": "2s"}
    policy = {"name": "p", "rules": [{**rule("r", metric, above=0.5, labels=labels), **window}]}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(configuration(house, policy=policy)))
    with pytest.raises(ConfigError) as refused:
        group_of(path)
    (problem,) = refused.value.problems
    assert problem.key == f"deployments.{DEPLOYMENT}.policy.rules[0].{key}"
    assert message in problem.message
    assert remedy in problem.remedy


def test_more_features_than_the_reference_has_can_never_be_judged(house: Path, tmp_path: Path) -> None:
    group_of(written(house, tmp_path, "features_drifted", min_samples=2))
    with pytest.raises(ConfigError) as refused:
        group_of(written(house, tmp_path, "features_drifted", min_samples=3))
    [problem] = refused.value.problems
    assert problem.key.endswith("policy.rules[0].min_samples")
    assert "2 samples at most" in problem.message
