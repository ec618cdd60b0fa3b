"""`check`: configuration, policies and models, proven before they are run. Connects to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
import yaml
from rich.console import Console
from rich.table import Table

from monitor.cli.configuration import BAD_CONFIGURATION, known_metrics, load_configuration, show_problems
from monitor.daemon.references import never_judged, unfit
from monitor.daemon.sequence_scope import sequence_problems
from monitor.daemon.skill_scope import sentences, skill_problems, unmeasurable
from monitor.errors import ArtifactError, ConfigError, Problem
from monitor.models.artifact import load_artifact
from monitor.models.model import Model
from monitor.policy.durations import format_duration
from monitor.settings.configuration import Settings
from monitor.settings.deployment import Deployment
from monitor.settings.digest import config_sha256, policy_sha256
from monitor.settings.rules import RuleSettings
from monitor.stats.reference import Reference, load_reference
from monitor.wire.gate import load_plugin

T = TypeVar("T")


def check(
    config: Annotated[Path, typer.Argument(help="The configuration file (YAML).", show_default=False)],
) -> None:
    """Check a configuration, its policies and its models; exit 2 with every mistake and its remedy."""
    console = Console(markup=False, highlight=False)
    try:
        settings = load_configuration(config)
    except ConfigError as error:
        _refuse(console, config, [*error.problems, *_named_files(config)])
    files = _Files(str(config), settings)
    files.check()
    if files.problems:
        _refuse(console, config, files.problems)
    for name, deployment in settings.deployments.items():
        console.print(_summary(name, deployment, settings, files.models[name], files.references[name]))
    console.print(f"{config}: fine", style="green")


def _named_files(config: Path) -> list[Problem]:
    """Mistakes in the artifacts and references that a configuration names which is itself mistaken."""
    try:
        document = yaml.safe_load(config.read_bytes())
        deployments = dict(document["deployments"])
    except (OSError, yaml.YAMLError, TypeError, KeyError, ValueError):
        return []
    problems = []
    for name, deployment in deployments.items():
        models = deployment.get("models") if isinstance(deployment, dict) else None
        named: dict[str, tuple[Callable[[Path], object], object]] = {}
        if isinstance(deployment, dict):
            named["reference"] = (load_reference, deployment.get("reference"))
        if isinstance(models, dict):
            shadows = models.get("shadows")
            named |= {f"models.{role}": (load_artifact, models.get(role)) for role in ("active", "previous")}
            if isinstance(shadows, dict):
                named |= {f"models.shadows.{role}": (load_artifact, path) for role, path in shadows.items()}
        for key, (load, path) in named.items():
            if isinstance(path, str):
                try:
                    load(config.resolve().parent / path)
                except ArtifactError as error:
                    problems.append(Problem(str(config), f"deployments.{name}.{key}", *_refused(error)))
    return problems


def _refuse(console: Console, config: Path, problems: list[Problem]) -> NoReturn:
    show_problems(console, problems)
    count = f"{len(problems)} mistake{'s' if len(problems) > 1 else ''}"
    console.print(f"{config}: {count}", style="bold red")
    raise typer.Exit(BAD_CONFIGURATION)


class _Files:
    """What the configuration names and must hold: models, references, schemas, the decoder."""

    def __init__(self, file: str, settings: Settings) -> None:
        self._file = file
        self._settings = settings
        self.problems: list[Problem] = []
        self.models: dict[str, dict[str, Model]] = {}
        """By deployment, then by key under `models`."""
        self.references: dict[str, Reference | None] = {}

    def check(self) -> None:
        """Load everything; what fails goes to `problems`."""
        if (decoder := self._settings.decoder) is not None:
            try:
                load_plugin(decoder)
            except ValueError as error:
                self._problem("decoder", f"{error}.", "install its package, or correct the name.")
        for name, deployment in self._settings.deployments.items():
            at = f"deployments.{name}"
            try:
                config_sha256(self._settings, name)
            except ConfigError as error:
                self.problems += [p for p in error.problems if str(p) not in map(str, self.problems)]
            self.models[name] = {}
            for key, path in _artifacts(deployment):
                model = self._loaded(f"{at}.models.{key}", _load_model, path)
                if model is not None:
                    self.models[name][key] = model
            reference = None
            if deployment.reference is not None:
                reference = self._loaded(f"{at}.reference", load_reference, deployment.reference)
                if reference is not None:
                    self._check_reference(at, deployment, reference, self.models[name])
            self.references[name] = reference
            self._check_sequences(at, deployment, reference, self.models[name])
            self._check_outputs(at, deployment, self.models[name])

    def _loaded(self, key: str, load: Callable[[Path], T], path: Path) -> T | None:
        try:
            return load(path)
        except ArtifactError as error:
            self._problem(key, *_refused(error))
            return None

    def _check_reference(
        self, at: str, deployment: Deployment, reference: Reference, models: dict[str, Model]
    ) -> None:
        for key, message, remedy in unfit(reference, deployment, models):
            self._problem(f"{at}.{key}", message, remedy)
        for position, rule in enumerate(deployment.policy.rules):
            for message, remedy in _beyond_reference(rule, reference, models):
                self._problem(f"{at}.policy.rules[{position}].labels", message, remedy)

    def _check_sequences(
        self, at: str, deployment: Deployment, reference: Reference | None, models: dict[str, Model]
    ) -> None:
        if "active" not in models:
            return
        running = {key: model.artifact.sha256 for key, model in models.items() if key != "previous"}
        active = models["active"].manifest
        for key, *rest in (
            *sequence_problems(deployment, active, running, reference),
            *skill_problems(deployment, active),
        ):
            self._problem(f"{at}.{key}", *rest)

    def _check_outputs(self, at: str, deployment: Deployment, models: dict[str, Model]) -> None:
        streams = [stream for stream, topic in self._settings.topics.by_stream().items() if topic]
        running = {role: models.get(_model_key(role)) for role in deployment.roles}
        kinds = {role: model.manifest.kind for role, model in running.items() if model is not None}
        for position, rule in enumerate(deployment.policy.rules):
            wrong = unmeasurable(rule.metric, rule.labels, kinds, streams)
            if wrong is not None:
                self._problem(f"{at}.policy.rules[{position}].metric", *wrong)

    def _problem(self, key: str, message: str, remedy: str) -> None:
        self.problems.append(Problem(self._file, key, message, remedy))


def _refused(error: ArtifactError) -> tuple[str, str]:
    """What is wrong with a file, and what to do."""
    message, _, remedy = str(error).partition(" Remedy: ")
    return message, remedy or "name what `pack` or `baseline` wrote."


def _load_model(path: Path) -> Model:
    return Model.load(load_artifact(path))


def _artifacts(deployment: Deployment) -> Iterator[tuple[str, Path]]:
    models = deployment.models
    yield "active", models.active
    if models.previous is not None:
        yield "previous", models.previous
    for shadow, path in sorted(models.shadows.items()):
        yield f"shadows.{shadow}", path


def _model_key(role: str) -> str:
    return role if role == "active" else f"shadows.{role}"


def _beyond_reference(
    rule: RuleSettings, reference: Reference, models: dict[str, Model]
) -> Iterator[tuple[str, str]]:
    """What a rule asks of the reference that is not in it, with a remedy."""
    feature, role = rule.labels.get("feature"), rule.labels.get("role")
    of_reference = known_metrics()[rule.metric].reference
    if of_reference and feature is not None and feature not in reference.features:
        yield (
            f"the reference has no feature {feature!r}.",
            "name a feature of the reference, or make it anew.",
        )
    if of_reference and role is not None:
        measured = "active" if rule.metric.startswith("prediction_divergence") else role
        model = models.get(_model_key(measured))
        if model is not None and model.artifact.sha256 not in reference.predictions:
            remedy = "make the reference anew with `baseline --artifact` for each model."
            yield f"the reference holds no predictions of the model of {measured!r}.", remedy


def _summary(
    name: str,
    deployment: Deployment,
    settings: Settings,
    models: dict[str, Model],
    reference: Reference | None,
) -> Table:
    table = Table(title=name, title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, model in models.items():
        identity = f"{model.manifest.artifact_id}, {model.probe_report.cost()}"
        table.add_row(key, identity)
    table.add_row("windows", ", ".join(format_duration(w) for w in deployment.windows_ns))
    for about, sentence in sentences(settings, deployment, models["active"].manifest):
        table.add_row(about, sentence)
    for rule in deployment.policy.rules:
        table.add_row(f"rule {rule.id}", _sentence(rule))
    if reference is not None:
        for sentence in never_judged(reference, deployment):
            table.add_row("warning", sentence)
    table.add_row("policy", f"{deployment.policy.name}, SHA-256 {policy_sha256(deployment.policy)}")
    table.add_row("configuration", f"SHA-256 {config_sha256(settings, name)}")
    return table


def _sentence(rule: RuleSettings) -> str:
    labels = ", ".join(f"{k}={v}" for k, v in sorted(rule.labels.items()))
    metric = f"{rule.metric}{{{labels}}}" if labels else rule.metric
    window = rule.window if isinstance(rule.window, str) else rule.window and format_duration(rule.window)
    over = f" over {window}" if window else ""
    span = rule.persistence.duration_ns
    count = rule.persistence.evaluations
    lasting = f" for {format_duration(span)}" if span else f" {count} times running" if count > 1 else ""
    action = f"{rule.action} of {rule.subject}{' (dry run)' if rule.dry_run else ''}"
    return f"{action} when {metric}{over} is {rule.comparator} {rule.threshold:g}{lasting}"
