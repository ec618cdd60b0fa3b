"""What every command does with a configuration: load it against the metric catalogue, show its mistakes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, cast

from rich.console import Console

from monitor.engine.catalogue import FAMILIES
from monitor.engine.measures.agreement import PARITY_PAIRS
from monitor.engine.measures.latency import QUANTILES
from monitor.errors import Problem
from monitor.settings.configuration import Settings
from monitor.settings.loading import Examined, examine, load
from monitor.settings.metric_info import Blame, MetricInfo, NOf
from monitor.transport.contract import INPUTS

BAD_CONFIGURATION: Final = 2
"""Exit code of a command that cannot use its configuration."""

_LABEL_VALUES: Final[Mapping[str, tuple[str, ...]]] = {"quantile": QUANTILES, "stream": INPUTS}

_MOST: Final[Mapping[str, int]] = {"parity pairs": PARITY_PAIRS, "one": 1}

_AGAINST_REFERENCE: Final = ("drift", "prediction_drift")
"""Groups of metrics that there are with a reference only."""


def known_metrics() -> dict[str, MetricInfo]:
    """The metrics a rule may name, by name."""
    return {
        family.name: MetricInfo(
            name=family.name,
            labels=family.labels,
            windowed=family.windowed,
            blame=cast(Blame, family.blame),
            sessions=family.book is not None,
            capital=family.capital,
            reference=family.group in _AGAINST_REFERENCE,
            values={label: _LABEL_VALUES[label] for label in family.labels if label in _LABEL_VALUES},
            n_of=cast(NOf, family.n_of),
            most=_MOST.get(family.n_of),
            low=family.bounds[0],
            high=family.bounds[1],
            unit=family.unit,
        )
        for family in FAMILIES
    }


def load_configuration(path: Path) -> Settings:
    """The configuration at `path` under this process's environment.

    Raises:
        ConfigError: with every mistake at once.
    """
    return load(path, os.environ, known_metrics=known_metrics())


def examine_configuration(path: Path) -> Examined:
    """The same, for who also wants what a mistaken configuration says."""
    return examine(path, os.environ, known_metrics=known_metrics())


def show_problems(console: Console, problems: Iterable[Problem]) -> None:
    """Every problem as two lines: where and what; what to do."""
    for problem in problems:
        console.print(
            f"{problem.file}: {problem.key}: {problem.message}",
            markup=False,
            highlight=False,
            soft_wrap=True,
            style="red",
        )
        console.print(f"    remedy: {problem.remedy}", markup=False, highlight=False, soft_wrap=True)
