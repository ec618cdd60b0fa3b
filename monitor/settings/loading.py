"""From a YAML file and the environment to `Settings`, or to a list of every mistake in them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from monitor.errors import ConfigError, Problem
from monitor.settings.configuration import Settings
from monitor.settings.consistency import inconsistencies
from monitor.settings.document import Document, Origin, dotted, problem_at, read
from monitor.settings.metric_info import MetricInfo
from monitor.settings.mistakes import problem, problems_of


class Examined(NamedTuple):
    """What became of a configuration: its settings, None where there is any mistake.

    `written`: its keys and values, the environment laid over them and files put in their places; paths are
    relative to `directory`. `origins`: where each is written, by dotted key.
    """

    settings: Settings | None
    problems: list[Problem]
    written: Mapping[str, Any]
    directory: Path
    origins: Mapping[str, Origin]

    def origin(self, key: str) -> str | None:
        """File and line of a dotted key, or of what is around it; None where nothing is written of it."""
        while key and key not in self.origins:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return str(self.origins[key]) if key else None


def load(
    path: Path,
    env: Mapping[str, str] | None = None,
    *,
    known_metrics: Mapping[str, MetricInfo] | None = None,
) -> Settings:
    """The configuration in the YAML file at `path`.

    `env` may hold `SHADOW_MONITOR__SECTION__KEY` variables, which win over the file. Relative paths are
    relative to the file. Models, references and schemas need not exist; an instruments or policy file must.
    With `known_metrics`, rules are also checked against the catalogue.

    Raises:
        ConfigError: with every mistake at once, each with file and line, key, and remedy.
    """
    return _sound(examine(path, env, known_metrics=known_metrics))


def examine(
    path: Path,
    env: Mapping[str, str] | None = None,
    *,
    known_metrics: Mapping[str, MetricInfo] | None = None,
) -> Examined:
    """As `load`, for who also wants what a mistaken configuration says."""
    return _examined(read(path), path.resolve().parent, env, known_metrics)


def from_mapping(
    data: Mapping[str, Any],
    directory: Path,
    *,
    known_metrics: Mapping[str, MetricInfo] | None = None,
) -> Settings:
    """The configuration in plain values shaped like the YAML file, as if it lay in `directory`.

    Raises:
        ConfigError: as `load`.
    """
    document = Document("configuration", copy.deepcopy(dict(data)))
    return _sound(_examined(document, directory, None, known_metrics))


def _sound(examined: Examined) -> Settings:
    if examined.settings is None:
        raise ConfigError(examined.problems)
    return examined.settings


def _examined(
    document: Document,
    directory: Path,
    env: Mapping[str, str] | None,
    known_metrics: Mapping[str, MetricInfo] | None,
) -> Examined:
    problems = document.problems
    if not isinstance(document.data, dict):
        remedy = "write keys and values, as config/example.yaml shows"
        problems.append(problem_at(document.source, (), "is not a mapping", remedy))
    if problems and (not document.data or not isinstance(document.data, dict)):
        return Examined(None, problems, {}, directory, {})
    document.override(env or {})
    _graft_files(document, directory)
    context = {"directory": directory}
    settings = None
    try:
        settings = Settings.model_validate(document.data, context=context)
    except ValidationError as error:
        problems.extend(problems_of(error, document, Settings))
    problems.extend(inconsistencies(document, context, known_metrics))
    origins = {dotted(location): origin for location, origin in document.origins.items()}
    return Examined(None if problems else settings, problems, document.data, directory, origins)


def _graft_files(document: Document, directory: Path) -> None:
    """Read the instruments and policy files that the document names into their places."""
    instruments = document.data.get("instruments")
    if isinstance(instruments, str) and instruments != "open":
        _graft(document, ("instruments",), directory, "write `open`, a mapping, or the path of a YAML file")
    deployments = document.data.get("deployments")
    for name, deployment in deployments.items() if isinstance(deployments, dict) else ():
        if isinstance(deployment, dict) and isinstance(deployment.get("policy"), str):
            _graft(
                document,
                ("deployments", name, "policy"),
                directory,
                "write a mapping, or the path of a YAML file",
            )


def _graft(document: Document, location: tuple[str, ...], directory: Path, remedy: str) -> None:
    parent: Any = document.data
    for part in location[:-1]:
        parent = parent[part]
    file = directory / parent[location[-1]]
    if file.is_file():
        document.graft(location, read(file, parent[location[-1]]))
    else:
        document.problems.append(problem(document, location, f"there is no file {file}", remedy))
        del parent[location[-1]]  # the default stands in, so that the other mistakes are still found
