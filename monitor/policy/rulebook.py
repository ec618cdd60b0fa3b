"""`Policy`: rules in their order, taken over from the settings and bound to what a deployment has.

Knows no metric and no stream: the catalogue tells `Policy.bind` and `Policy.spread` what they must know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from monitor.errors import Problem
from monitor.policy.durations import format_duration
from monitor.policy.rules import (
    ACTIVE,
    DEPLOYMENT,
    TASK_SILENT,
    Action,
    Comparator,
    Grids,
    Labels,
    NoData,
    Rule,
    Scope,
    Severity,
)


class WrittenPersistence(Protocol):
    """How long a breach must last, as written: evaluations, or where longer than 0 a duration."""

    @property
    def evaluations(self) -> int: ...
    @property
    def duration_ns(self) -> int: ...


class WrittenRule(Protocol):
    """A rule as the settings validated it; durations in ns."""

    @property
    def id(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def window(self) -> int | str: ...
    @property
    def comparator(self) -> str: ...
    @property
    def threshold(self) -> float: ...
    @property
    def min_samples(self) -> int: ...
    @property
    def persistence(self) -> WrittenPersistence: ...
    @property
    def schedule(self) -> int | str: ...
    @property
    def no_data(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def scope(self) -> str: ...
    @property
    def keep_firing_for_ns(self) -> int: ...
    @property
    def act_within_ns(self) -> int | None: ...
    @property
    def dry_run(self) -> bool: ...


class WrittenPolicy(Protocol):
    """A policy as the settings validated it."""

    @property
    def name(self) -> str: ...
    @property
    def rules(self) -> Sequence[WrittenRule]: ...


class Policy(msgspec.Struct, frozen=True):
    """Rules in the order in which they apply at one instant; `sha256` is that of the policy as written."""

    name: str
    rules: tuple[Rule, ...]
    sha256: str

    @staticmethod
    def from_settings(written: WrittenPolicy, sha256: str) -> Policy:
        """The policy that the settings hold, with the digest they give it."""
        return Policy(written.name, tuple(_rule(rule) for rule in written.rules), sha256)

    def problems(self, shadows: Collection[str], grids: Grids, file: str = "policy") -> list[Problem]:
        """Rules that this core could not run as they are meant."""
        return [
            Problem(file, f"rules[{rule.id}].{key}", message, remedy)
            for position, rule in enumerate(self.rules)
            for key, message, remedy in (
                *_problems(rule, {DEPLOYMENT, ACTIVE, *shadows}, grids),
                *_twins(rule, self.rules[:position]),
            )
        ]

    def spread(self, series: Callable[[str, Labels], Sequence[Labels]]) -> Policy:
        """Every rule that leaves labels out becomes one rule for each of the series that match it.

        Args:
            series: label sets of a metric that carry the given labels, in a fixed order; a rule that no
                series matches stays as it is.
        """
        spread = [
            replace(rule, labels=labels)
            for rule in self.rules
            for labels in (series(rule.metric, rule.labels) or [rule.labels])
        ]
        return Policy(self.name, tuple(spread), self.sha256)

    def bind(self, grids: Grids, shortest_ns: Mapping[str, int], money: Collection[str]) -> Policy:
        """The policy with what the catalogue knows of the metrics.

        Args:
            grids: the deployment's.
            shortest_ns: by metric, its shortest useful period; a rule that asks for more gets that one.
            money: metrics whose values are integers in 1e-18 of a currency.
        """
        bound = []
        for rule in self.rules:
            shortest = shortest_ns.get(rule.metric, 0)
            schedule = shortest if shortest > rule.period_ns(grids) else rule.schedule
            bound.append(replace(rule, schedule=schedule, money=rule.metric in money))
        return Policy(self.name, tuple(bound), self.sha256)


def _rule(written: WrittenRule) -> Rule:
    action = Action(written.action)
    return Rule(
        id=written.id,
        subject=written.subject,
        metric=written.metric,
        labels=tuple(sorted(written.labels.items())),
        window=written.window,
        comparator=Comparator(written.comparator),
        threshold=written.threshold,
        min_samples=written.min_samples,
        for_count=written.persistence.evaluations,
        for_ns=written.persistence.duration_ns,
        keep_firing_ns=written.keep_firing_for_ns,
        schedule=written.schedule,
        no_data=NoData(written.no_data),
        act_within_ns=written.act_within_ns,
        severity=Severity(written.severity),
        action=action,
        scope=Scope(written.scope) if action is Action.KILL else None,
        dry_run=written.dry_run,
    )


def _problems(rule: Rule, subjects: Collection[str], grids: Grids) -> list[tuple[str, str, str]]:
    """Key, message and remedy of each."""
    found = []
    if rule.id == TASK_SILENT:
        found.append(("id", "is reserved for tasks that do not report.", "Choose another id."))
    if rule.subject not in subjects:
        names = ", ".join(sorted(subjects))
        found.append(("subject", f"there is no subject {rule.subject!r}.", f"Use one of {names}."))
    if rule.action is Action.ALERT and rule.no_data is NoData.HALT:
        found.append(
            ("no_data", "halt takes the rule's action, which is none.", "Use alert, or give an action.")
        )
    if rule.period_ns(grids) % grids.tick_ns:
        tick = format_duration(grids.tick_ns)
        found.append(("schedule", "does not lie on the grid.", f"Use a multiple of the tick ({tick})."))
    return found


def _twins(rule: Rule, before: Sequence[Rule]) -> list[tuple[str, str, str]]:
    if any(rule.key == other.key for other in before):
        return [("id", f"{rule.key} stands twice.", "Give each rule its own id.")]
    return []
