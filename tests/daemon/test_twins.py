"""A shadow is a twin of the active only where it is that model on the same features in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from house import DEPLOYMENT, NAMES, configuration, group_of, rule
from models.model_builders import linear, write_artifact

from monitor.daemon.group import Group
from monitor.daemon.warnings import warnings
from monitor.errors import ConfigError

MODEL = linear(np.array([0.5, -0.25]))
RELATIVE = "pnl_divergence_relative"


def deployed(
    house: Path, directory: Path, *, labels: dict[str, str], names: Any = NAMES, **about: Any
) -> Group:
    """A deployment whose shadow is the active's ONNX file on these features."""
    models = {
        "active": str(write_artifact(directory, MODEL, NAMES, out="a", name="a")),
        "shadows": {"shadow": str(write_artifact(directory, MODEL, names, out="s", name="s", **about))},
    }
    policy = {"name": "p", "rules": [rule("r", RELATIVE, labels=labels, window="session", above=0.5)]}
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(configuration(house, policy=policy, models=models, reference=None)))
    return group_of(path)


def judged(group: Group) -> list[str]:
    rules = group.deployments[DEPLOYMENT].policy.rules
    return [dict(one.labels)["role"] for one in rules if one.id == "r"]


def said(group: Group) -> str:
    return " ".join(warned.sentence for warned in warnings(group, 0))


def test_the_same_model_on_the_same_features_is_one_and_is_judged(house: Path, tmp_path: Path) -> None:
    group = deployed(house, tmp_path, labels={})
    assert judged(group) == ["active", "shadow"]
    assert "not judged of" not in said(group)


@pytest.mark.parametrize("other", [{"names": tuple(reversed(NAMES))}, {"kind": "score"}])
def test_the_same_file_fed_or_read_otherwise_is_none(
    house: Path, tmp_path: Path, other: dict[str, Any]
) -> None:
    group = deployed(house, tmp_path, labels={}, **other)
    assert judged(group) == ["active"], "a rule without a role is judged on the twins that there are"
    assert f"rule r: {RELATIVE} is not judged of shadow" in said(group)
    (again := tmp_path / "again").mkdir()
    with pytest.raises(ConfigError) as refused:
        deployed(house, again, labels={"role": "shadow"}, **other)
    [problem] = refused.value.problems
    assert problem.key == f"deployments.{DEPLOYMENT}.policy.rules[0].labels.role"
    assert "would never apply" in problem.message
    assert "model_effect_bps_capital" in problem.remedy
