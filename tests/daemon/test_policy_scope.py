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
    group = group_of(written(house, tmp_path, metric, labels=labels))
    assert [dict(bound.labels) for bound in group.deployments[DEPLOYMENT].policy.rules] == series


def test_a_rule_that_no_series_answers_is_named_with_a_remedy(house: Path, tmp_path: Path) -> None:
    path = written(house, tmp_path, "ic_decay", labels={"horizon": "17"})
    with pytest.raises(ConfigError) as refused:
        group_of(path)
    (problem,) = refused.value.problems
    assert problem.key == f"deployments.{DEPLOYMENT}.policy.rules.r"
    assert "no series of ic_decay has these labels" in problem.message
    assert problem.remedy
