"""`Group`: all deployments of one configuration: what is decoded, scored, folded and decided.

Everything here is made once at start, from the configuration and the verified artifacts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import msgspec
import orjson

from monitor.daemon.deployed import Deployed
from monitor.daemon.markout_scope import markout_rules_of
from monitor.daemon.money_scope import money_problems, twins_of
from monitor.daemon.order_scope import built_in_rules, order_rules_of
from monitor.daemon.paper_scope import paper_problems, volume_problem
from monitor.daemon.policy_scope import policy_of, policy_problems
from monitor.daemon.references import unfit
from monitor.daemon.sequence_scope import sequence_problems, sequence_rules_of
from monitor.daemon.skill_scope import forward_of, label_join_of, skill_problems
from monitor.engine.catalogue import Catalogue, sources
from monitor.engine.drift_rules import DriftRules
from monitor.engine.grid import Grid
from monitor.engine.panes import pane_length
from monitor.engine.scope import Scope
from monitor.errors import ArtifactError, ConfigError, Problem
from monitor.event_time.timing import Timing
from monitor.models.artifact import Artifact, load_artifact
from monitor.models.model import Model
from monitor.models.scoring import Scorer
from monitor.policy import events as policy_events
from monitor.policy.audit import Subjects
from monitor.settings.calendars import calendar_of
from monitor.settings.configuration import Settings
from monitor.settings.deployment import Deployment, FilterSettings
from monitor.settings.digest import config_sha256
from monitor.stats.parity import Tolerance
from monitor.stats.reference import Reference, load_reference
from monitor.trading.units import InstrumentUnits
from monitor.transport.contract import FEATURES, ORDERS, OUTCOMES
from monitor.wire.features import FeatureDecoder, FeatureSpace
from monitor.wire.gate import Plugin, load_plugin
from monitor.wire.keys import feature_schema_crc32
from monitor.wire.messages import ExecutionReport
from monitor.wire.orders import OrderDecoder
from monitor.wire.outcomes import OutcomeDecoder
from monitor.wire.symbols import SymbolTable
from monitor.wire.table import Table

DEFAULT_LIMITS_NS = (200_000_000, 250_000_000, 500_000_000)


class Decoder(Protocol):
    """Records of one input as columns."""

    def decode(self, records: Sequence[Any]) -> Table: ...


class Group:
    """All deployments of a configuration: they share streams, decode and order.

    Raises (on construction):
        ConfigError: with every artifact, reference, schema or rule that cannot be used.
    """

    def __init__(self, settings: Settings, path: Path) -> None:
        self.settings = settings
        self._file = str(path)
        self._problems: list[Problem] = []
        instruments = settings.instruments
        self.symbols = SymbolTable(None if instruments.open else instruments.listed)
        self._models = {name: self._load_models(name, d) for name, d in settings.deployments.items()}
        self._references = {name: self._load_reference(name, d) for name, d in settings.deployments.items()}
        self.space = self._feature_space()
        self.plugin = self._load_plugin()
        self.streams = (FEATURES, ORDERS, OUTCOMES) if settings.topics.outcomes else (FEATURES, ORDERS)
        self.deployments: dict[str, Deployed] = {}
        if not self._problems:
            for name, deployment in settings.deployments.items():
                self._deploy(name, deployment)
        if self._problems:
            raise ConfigError(self._problems)

    @cached_property
    def timing(self) -> Timing:
        """Event time as configured."""
        time = self.settings.event_time
        return Timing(
            time.allowed_lateness_ns,
            time.idle_after_ns,
            time.idle_grace_ns,
            time.max_future_ns,
            time.dedupe_window_ns,
            time.join_window_ns,
            time.buffer_limit,
        )

    def decoders(self, partition: int | None, partitions: int | None) -> dict[str, Decoder]:
        """One decoder for each input stream; None, None for plain files, whose keys are not checked."""
        settings = self.settings
        rest = (
            partition,
            partitions,
            settings.transport.partitioner,
            self.plugin,
            settings.event_time.clock,
        )
        made: dict[str, Decoder] = {
            FEATURES: FeatureDecoder(self.space, self.symbols, *rest),
            ORDERS: OrderDecoder(self.symbols, *rest),
            OUTCOMES: OutcomeDecoder(self.symbols, *rest),
        }
        return {stream: made[stream] for stream in self.streams}

    def scorers(self, make: Callable[[Deployed], Scorer]) -> dict[str, Scorer]:
        """A scorer for each deployment."""
        return {name: make(deployed) for name, deployed in self.deployments.items()}

    def listed(self, start: int) -> list[InstrumentUnits]:
        """Units of the symbols from the `start`-th on."""
        return [self.units_of(symbol) for symbol in self.symbols.names[start:]]

    def units_of(self, symbol: str) -> InstrumentUnits:
        """Units of an instrument."""
        instrument = self.settings.instruments.get(symbol)
        assert instrument is not None, "only instruments are asked for"
        return InstrumentUnits.of(
            symbol, instrument.tick_size, instrument.lot_size, instrument.multiplier, instrument.currency
        )

    def _wrong(self, key: str, message: str, remedy: str) -> None:
        self._problems.append(Problem(self._file, key, message, remedy))

    def _load_models(self, name: str, deployment: Deployment) -> dict[str, Model]:
        models: dict[str, Model] = {}
        for role, path in {"active": deployment.models.active, **deployment.models.shadows}.items():
            try:
                models[role] = Model.load(load_artifact(path))
            except ArtifactError as error:
                self._wrong(f"deployments.{name}.models.{role}", str(error), "Point it at a sound artifact.")
        return {role: models[role] for role in deployment.roles if role in models}

    def _load_reference(self, name: str, deployment: Deployment) -> Reference | None:
        if deployment.reference is None:
            return None
        try:
            reference = load_reference(deployment.reference)
        except ArtifactError as error:
            remedy = "Make it with `shadow-monitor baseline`."
            self._wrong(f"deployments.{name}.reference", str(error), remedy)
            return None
        for key, message, remedy in unfit(reference, deployment.samples, self._models[name]):
            self._wrong(f"deployments.{name}.{key}", message, remedy)
        return reference

    def _feature_space(self) -> FeatureSpace:
        names: dict[str, None] = {}
        for models in self._models.values():
            for model in models.values():
                names.update(dict.fromkeys(model.features))
        kinds: dict[str, str] = {}
        for deployment, reference in self._references.items():
            for name, distribution in (reference.features if reference else {}).items():
                names.setdefault(name)
                if kinds.setdefault(name, distribution.kind) != distribution.kind:
                    message = f"feature {name!r} is {distribution.kind}, in another reference {kinds[name]}."
                    self._wrong(f"deployments.{deployment}.reference", message, "Make both from one schema.")
        schemas: dict[int, tuple[str, ...]] = {}
        for path in self.settings.feature_schemas:
            try:
                pairs = msgspec.convert(orjson.loads(path.read_bytes()), list[tuple[str, str]])
                schemas[feature_schema_crc32(pairs)] = tuple(column for column, _ in pairs)
            except (OSError, ValueError) as error:
                remedy = "Write a JSON array of [name, dtype] pairs."
                self._wrong("feature_schemas", f"{path}: {error}", remedy)
        for models in self._models.values():
            for model in models.values():
                schemas.setdefault(model.manifest.feature_crc32, model.features)
        known = {*names, *chain.from_iterable(schemas.values())}
        whole = not self._problems
        for deployment, section in self.settings.deployments.items():
            # Of what cannot be read nobody knows what it holds.
            if whole and (problem := volume_problem(section.paper, known)) is not None:
                key, message, remedy = problem
                self._wrong(f"deployments.{deployment}.{key}", message, remedy)
            elif section.paper.participation is not None:
                names.setdefault(section.paper.participation.volume)
        categorical = frozenset(name for name, kind in kinds.items() if kind == "categorical")
        return FeatureSpace(tuple(names), schemas, categorical)

    def _load_plugin(self) -> Plugin | None:
        if self.settings.decoder is None:
            return None
        try:
            return load_plugin(self.settings.decoder)
        except ValueError as error:
            self._wrong("decoder", str(error), "Name an importable package:function.")
            return None

    def _deploy(self, name: str, deployment: Deployment) -> None:
        models, reference = self._models[name], self._references[name]
        grid = Grid(
            deployment.grids.tick_ns,
            deployment.grids.evaluation_interval_ns,
            min(pane_length(window) for window in deployment.windows_ns),
        )
        if grid.pane % grid.evaluation:
            self._wrong(
                f"deployments.{name}.grids.evaluation_interval",
                f"does not divide the finest pane of {grid.pane / 1e9:g} s.",
                "Use a divisor of it, such as 1s.",
            )
            return
        artifacts = {role: model.artifact.sha256 for role, model in models.items()}
        evidence = (models["active"].manifest, artifacts, reference)
        rules = dict(enumerate(deployment.policy.rules))
        problems = (
            sequence_problems(deployment.sequences, rules, *evidence),
            skill_problems(deployment.labels, models["active"].manifest),
            paper_problems(deployment.paper, artifacts, reference),
            money_problems(rules, deployment.paper, deployment.orders),
        )
        for key, message, remedy in chain.from_iterable(problems):
            self._wrong(f"deployments.{name}.{key}", message, remedy)
        place = {feature: i for i, feature in enumerate(self.space.names)}
        participation = deployment.paper.participation
        scope = Scope(
            roles=deployment.roles,
            streams=self.streams,
            windows_ns=deployment.windows_ns,
            limits_ns=tuple(sorted({*DEFAULT_LIMITS_NS, *deployment.policy.latency_limits_ns})),
            rank_k=deployment.samples.rank_k,
            reference=reference,
            columns=tuple(place[feature] for feature in reference.features) if reference else (),
            artifacts=artifacts,
            twins=twins_of(models),
            sequences=sequence_rules_of(deployment, *evidence),
            kinds={role: model.manifest.kind for role, model in models.items()},
            evaluation_ns=grid.evaluation,
            parity=Tolerance(deployment.parity.atol, deployment.parity.rtol),
            lateness_ns=self.timing.allowed_lateness,
            join_window_ns=self.timing.join_window,
            mine=_matching(deployment.filter),
            drift=DriftRules(
                alarms_per_month=deployment.drift.alarms_per_month,
                looks_per_day=deployment.drift.looks_per_day,
                correction=deployment.drift.correction,
                material_excess=deployment.drift.material_excess,
                ks_features=deployment.samples.ks_features,
                ks_k=deployment.samples.ks_k,
            ),
            orders=order_rules_of(self.settings, deployment, models["active"].manifest),
            forward=forward_of(self.settings, deployment, models["active"].manifest),
            labels=label_join_of(deployment, models["active"].manifest) if OUTCOMES in self.streams else None,
            markouts=markout_rules_of(self.settings, deployment),
        )
        catalogue = Catalogue(scope)
        for key, message, remedy in policy_problems(deployment.policy, scope, catalogue):
            self._wrong(f"deployments.{name}.{key}", message, remedy)
        previous = self._previous(name, deployment)
        subjects = Subjects(
            deployment=name,
            tenant=deployment.tenant,
            active=_named(models["active"].artifact),
            previous=_named(previous) if previous else None,
            shadows={role: _named(models[role].artifact) for role in scope.shadows},
            config_sha256=config_sha256(self.settings, name),
        )
        self.deployments[name] = Deployed(
            name=name,
            settings=deployment,
            digest=scope.digest(subjects.config_sha256),
            grid=grid,
            scope=scope,
            sources=tuple(sources(scope)),
            catalogue=catalogue,
            policy=policy_of(deployment.policy, catalogue, grid, built_in_rules(deployment)),
            calendar=calendar_of(deployment.calendar),
            subjects=subjects,
            models=models,
            listed=self.listed,
            volume=place[participation.volume] if participation is not None else None,
            units_of=self.units_of,
            fx=self.settings.fx,
        )

    def _previous(self, name: str, deployment: Deployment) -> Artifact | None:
        if deployment.models.previous is None:
            return None
        try:
            return load_artifact(deployment.models.previous)
        except ArtifactError as error:
            remedy = "Point it at a sound artifact."
            self._wrong(f"deployments.{name}.models.previous", str(error), remedy)
            return None


def _matching(wanted: FilterSettings) -> Callable[[ExecutionReport], bool]:
    return lambda report: (
        wanted.strategy in (None, report.strategy) and wanted.account in (None, report.account)
    )


def _named(artifact: Artifact) -> policy_events.Artifact:
    return policy_events.Artifact(artifact.manifest.artifact_id, artifact.sha256)
