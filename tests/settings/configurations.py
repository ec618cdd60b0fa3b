"""Configurations for tests: the shipped example, and small changes to it."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.cli.configuration import known_metrics
from monitor.errors import ConfigError, Problem
from monitor.settings.configuration import Settings
from monitor.settings.loading import from_mapping

EXAMPLE = Path(__file__).parents[2] / "config" / "example.yaml"
REMOVED = object()


def example() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    return data


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The example with values at dotted keys replaced; a number is a place in a list."""
    data = example()
    for dotted, value in changes.items():
        *parents, last = (int(part) if part.isdecimal() else part for part in dotted.split("."))
        here: Any = data
        for part in parents:
            here = here[part] if isinstance(here, list) else here.setdefault(part, {})
        if value is REMOVED:
            del here[last]
        else:
            here[last] = copy.deepcopy(value)
    return data


def settings(**changes: Any) -> Settings:
    """The example as settings; `__` in names stands for a dot."""
    return from_mapping(
        changed({key.replace("__", "."): value for key, value in changes.items()}), Path("/x")
    )


def problems(changes: dict[str, Any]) -> list[Problem]:
    """What is wrong with the example after the changes; empty where nothing is."""
    try:
        from_mapping(changed(changes), Path("/x"), known_metrics=known_metrics())
    except ConfigError as error:
        return error.problems
    return []


def only_problem(changes: dict[str, Any]) -> Problem:
    found = problems(changes)
    if len(found) != 1:
        pytest.fail(f"expected one problem, got {[str(p) for p in found]}")
    return found[0]
