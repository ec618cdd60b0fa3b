"""`check`: configuration, policies and models, proven before they are run. Connects to nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from monitor.cli.configuration import BAD_CONFIGURATION, examine_configuration, known_metrics, show_problems
from monitor.daemon.group import Group
from monitor.daemon.money_scope import money_problems, money_sentences
from monitor.daemon.order_scope import order_sentences
from monitor.daemon.paper_scope import paper_problems
from monitor.daemon.references import unfit
from monitor.daemon.sequence_scope import sequence_problems
from monitor.daemon.skill_scope import sentences, skill_problems, unmeasurable
from monitor.daemon.warnings import warnings
from monitor.errors import ArtifactError, ConfigError, Problem
from monitor.models.artifact import load_artifact
from monitor.models.model import Model
from monitor.policy.durations import format_duration
from monitor.settings.configuration import Settings
from monitor.settings.deployment import Deployment, ModelSettings
from monitor.settings.digest import config_sha256, policy_sha256, schema_content
from monitor.settings.loading import Examined
from monitor.settings.order_settings import OrderSettings
from monitor.settings.paper import PaperSettings
from monitor.settings.parts import Parts, deployment_parts, deployments_of, shared_parts, valid_rules
from monitor.settings.rules import RuleSettings
from monitor.settings.sections import TopicSettings
from monitor.stats.reference import Reference, load_reference
from monitor.transport.contract import INPUTS
from monitor.wire.gate import load_plugin

T = TypeVar("T")

_SHADOW = "shadows."


def check(
    config: Annotated[Path, typer.Argument(help="The configuration file (YAML).", show_default=False)],
) -> None:
    """Check a configuration, its policies and its models; exit 2 with every mistake and its remedy."""
    console = Console(markup=False, highlight=False)
    examined = examine_configuration(config)
    files = _Files(str(config), examined)
    files.check()
    problems = [*examined.problems, *files.problems]
    settings = examined.settings
    if problems or settings is None:
        _refuse(console, config, problems)
    try:
        group = Group(settings, config)
    except ConfigError as error:
        # What hangs on several sections at once: the rules and the series that there are for them.
        _refuse(console, config, [_placed(problem, examined) for problem in error.problems])
    now_ns = time.time_ns()
    warned = list(warnings(group, now_ns))
    for name, deployment in settings.deployments.items():
        said = [one.sentence for one in warned if one.deployment == name]
        console.print(_summary(name, deployment, settings, files.models[name], now_ns, said))
    console.print(f"{config}: fine", style="green")


def _placed(problem: Problem, examined: Examined) -> Problem:
    """The same, with the line at which its key is written."""
    file = examined.origin(problem.key) or problem.file
    return Problem(file, problem.key, problem.message, problem.remedy)


def _refuse(console: Console, config: Path, problems: list[Problem]) -> NoReturn:
    show_problems(console, problems)
    count = f"{len(problems)} mistake{'s' if len(problems) > 1 else ''}"
    console.print(f"{config}: {count}", style="bold red")
    raise typer.Exit(BAD_CONFIGURATION)


class _Files:
    """What a configuration names and must hold: models, references, schemas, the decoder.

    Of a mistaken configuration, whatever does not hang on its mistakes.
    """

    def __init__(self, file: str, examined: Examined) -> None:
        self._file = file
        self._examined = examined
        self._written = examined.written
        self._context = {"directory": examined.directory}
        self._shared = shared_parts(examined.written, self._context)
        self.problems: list[Problem] = []
        self.models: dict[str, dict[str, Model]] = {}
        """By deployment, then by key under `models`."""
        self.references: dict[str, Reference | None] = {}

    def check(self) -> None:
        """Load everything; what fails goes to `problems`."""
        if (decoder := self._shared.get("decoder")) is not None:
            try:
                load_plugin(decoder)
            except ValueError as error:
                self._problem("decoder", f"{error}.", "install its package, or correct the name.")
        for path in self._shared.get("feature_schemas") or ():
            try:
                schema_content(path)
            except ConfigError as error:
                self.problems += error.problems
        for name, written in deployments_of(self._written).items():
            self._check_deployment(name, written)

    def _check_deployment(self, name: str, written: Mapping[str, Any]) -> None:
        at, parts = f"deployments.{name}", deployment_parts(written, self._context)
        named = _artifacts(written, self._context)
        models: dict[str, Model] = {}
        for key, artifact in named.items():
            if artifact is None:
                continue
            model = self._loaded(f"{at}.models.{key}", _load_model, artifact)
            if model is not None:
                models[key] = model
        path = parts.get("reference")
        reference = None if path is None else self._loaded(f"{at}.reference", load_reference, path)
        self.models[name], self.references[name] = models, reference
        metrics = known_metrics()
        rules = {i: rule for i, rule in valid_rules(written).items() if rule.metric in metrics}
        if reference is not None:
            for problem in unfit(reference, parts.get("samples"), models):
                self._found(at, problem)
            for position, rule in rules.items():
                for message, remedy in _beyond_reference(rule, reference, models):
                    self._problem(f"{at}.policy.rules[{position}].labels", message, remedy)
        paper: PaperSettings | None = parts.get("paper")
        if paper is not None and (path is None) == (reference is None):
            sha256 = {role: model.artifact.sha256 for role, model in _running(models).items()}
            for problem in paper_problems(paper, sha256, reference):
                self._found(at, problem)
        orders: OrderSettings | None = parts.get("orders")
        if paper is not None and orders is not None:
            for problem in money_problems(rules, paper, orders):
                self._found(at, problem)
        if "active" in models:
            running = {key: model.artifact.sha256 for key, model in models.items() if key != "previous"}
            # How long predictions remember is known of all models, or not at all.
            known = reference if named.keys() - {"previous"} == running.keys() else None
            active = models["active"].manifest
            for problem in sequence_problems(parts.get("sequences"), rules, active, running, known):
                self._found(at, problem)
            if parts.has("labels"):
                for problem in skill_problems(parts.get("labels"), active):
                    self._found(at, problem)
        self._check_outputs(at, rules, models)

    def _loaded(self, key: str, load: Callable[[Path], T], path: Path) -> T | None:
        try:
            return load(path)
        except ArtifactError as error:
            self._problem(key, *_refused(error))
            return None

    def _check_outputs(self, at: str, rules: Mapping[int, RuleSettings], models: Mapping[str, Model]) -> None:
        topics: TopicSettings | None = self._shared.get("topics")
        streams = INPUTS if topics is None else tuple(topics.by_stream())
        kinds = {role: model.manifest.kind for role, model in _running(models).items()}
        for position, rule in rules.items():
            wrong = unmeasurable(rule.metric, rule.labels, kinds, streams)
            if wrong is not None:
                self._problem(f"{at}.policy.rules[{position}].metric", *wrong)

    def _found(self, at: str, problem: tuple[str, str, str]) -> None:
        key, message, remedy = problem
        self._problem(f"{at}.{key}", message, remedy)

    def _problem(self, key: str, message: str, remedy: str) -> None:
        self.problems.append(Problem(self._examined.origin(key) or self._file, key, message, remedy))


def _refused(error: ArtifactError) -> tuple[str, str]:
    """What is wrong with a file, and what to do."""
    message, _, remedy = str(error).partition(" Remedy: ")
    return message, remedy or "name what `pack` or `baseline` wrote."


def _load_model(path: Path) -> Model:
    return Model.load(load_artifact(path))


def _artifacts(written: Mapping[str, Any], context: dict[str, Any]) -> dict[str, Path | None]:
    """Artifacts of a deployment's section by key under `models`; None where that key is itself mistaken."""
    models = written.get("models")
    if not isinstance(models, Mapping):
        return {}
    parts = Parts(ModelSettings, models, context)
    found: dict[str, Path | None] = {key: parts.get(key) for key in ("active", "previous") if key in models}
    shadows = models.get("shadows")
    for role, path in sorted(shadows.items()) if isinstance(shadows, Mapping) else ():
        alone = Parts(ModelSettings, {"shadows": {role: path}}, context)
        found[f"{_SHADOW}{role}"] = (alone.get("shadows") or {}).get(role)
    return found


def _running(models: Mapping[str, Model]) -> dict[str, Model]:
    """Models that score, by role."""
    return {key.removeprefix(_SHADOW): model for key, model in models.items() if key != "previous"}


def _model_key(role: str) -> str:
    return role if role == "active" else f"{_SHADOW}{role}"


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
    now_ns: int,
    warned: Sequence[str],
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
    for about, sentence in order_sentences(settings, deployment):
        table.add_row(about, sentence)
    for about, sentence in money_sentences(settings, deployment, now_ns):
        table.add_row(about, sentence)
    for rule in deployment.policy.rules:
        table.add_row(f"rule {rule.id}", _sentence(rule))
    for sentence in warned:
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
