"""`Rule` and `Policy`: what is judged, when, against which threshold, and what follows.

Knows no metric and no stream: the catalogue tells `Policy.bind` what it must know. The settings validate what
is written; `problems` says what this core could not run as it is meant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

import msgspec
from msgspec.structs import replace

from monitor.errors import Problem
from monitor.policy.durations import format_duration

DEPLOYMENT, ACTIVE = "deployment", "active"
"""The subjects every deployment has; every other subject is the name of a shadow."""

TASK_SILENT = "task-silent"
"""Rule id of the alert about partition tasks that do not report; reserved."""

RECONCILIATION_BREAK = "reconciliation-break"
"""Rule id of the alert about a reported position that contradicts the ledger; reserved. Positions are mostly
reported after the close: it is judged at any hour."""

EXECUTION_REFUSED = "execution-refused"
"""Rule id of the alert about records of the order stream that had to be refused: what they say is in no book.
Reserved, and judged at any hour."""

ORDERS_FILTERED_OUT = "orders-filtered-out"
"""Rule id of the alert about a filter that has left out every execution report so far; reserved."""

BUILT_IN = (RECONCILIATION_BREAK, EXECUTION_REFUSED, ORDERS_FILTERED_OUT)
"""Rules of a deployment beside those of its policy, all about the deployment."""

TICK, EVALUATION = "tick", "evaluation"

Labels = tuple[tuple[str, str], ...]
"""Name and value of each label, sorted by name."""

MONEY_UNIT = 10**18
"""A money value is an integer in 1e-18 of its currency."""


class Comparator(StrEnum):
    ABOVE = "above"
    BELOW = "below"


class NoData(StrEnum):
    """What a rule does when its metric has no value: nothing, an alert of its own, or its action."""

    HOLD = "hold"
    ALERT = "alert"
    HALT = "halt"


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Action(StrEnum):
    """What a rule or a person does to a subject; all but `ALERT` move a latch."""

    ALERT = "alert"
    DEMOTE = "demote"
    ROLLBACK = "rollback"
    REDUCE = "reduce"
    KILL = "kill"


class Scope(StrEnum):
    """What a kill stops."""

    TRADING = "trading"
    MODEL = "model"
    SERVING = "serving"


class Grids(msgspec.Struct, frozen=True):
    """The instants of event time at which rules are due, in ns between them."""

    tick_ns: int
    evaluation_ns: int


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence of a policy.

    A breach is strict: `above` means value > threshold. It must hold for `for_count` consecutive evaluations
    and for `for_ns`; a firing ends once passing values have lasted `keep_firing_ns`. `window` is ns,
    `session`, `promotion`, or 0 for a value without one. `schedule` is `tick`, `evaluation` or ns; a rule on
    the tick is a *hard limit*, which may trip on a stale value. `money`: values come as integers in 1e-18.
    """

    id: str
    subject: str
    metric: str
    labels: Labels = ()
    window: int | str = 0
    comparator: Comparator
    threshold: float
    min_samples: int = 0
    for_count: int = 1
    for_ns: int = 0
    keep_firing_ns: int = 0
    schedule: int | str = EVALUATION
    no_data: NoData = NoData.HOLD
    act_within_ns: int | None = None
    severity: Severity = Severity.WARNING
    action: Action = Action.ALERT
    scope: Scope | None = None
    dry_run: bool = False
    money: bool = False

    @property
    def key(self) -> str:
        """Id and labels: what has a phase of its own, unique in a policy."""
        return self.id + _braced(self.labels)

    @property
    def hard(self) -> bool:
        """Whether the rule is a hard limit: it may trip on a stale value, never pass or resolve on one."""
        return self.schedule == TICK

    @property
    def sleeps(self) -> bool:
        """Whether the rule sleeps outside the calendar, and waits for data. One that does not speaks of what
        happens at any hour: where nothing came, nothing did."""
        return self.id not in (RECONCILIATION_BREAK, EXECUTION_REFUSED)

    def period_ns(self, grids: Grids) -> int:
        """Event time between two evaluations of the rule."""
        if isinstance(self.schedule, int):
            return self.schedule
        return grids.tick_ns if self.schedule == TICK else grids.evaluation_ns

    def breached_by(self, value: float | int) -> bool:
        """Whether a finite value lies strictly on the wrong side of the threshold; exact for money."""
        limit = Decimal(repr(self.threshold)) * MONEY_UNIT if self.money else self.threshold
        return value > limit if self.comparator is Comparator.ABOVE else value < limit

    def old(self, age_ns: int) -> bool:
        """Whether a decision of that age comes too late to act on: never a kill, never an alert."""
        return (
            self.act_within_ns is not None
            and age_ns > self.act_within_ns
            and self.action not in (Action.ALERT, Action.KILL)
            and not self.dry_run
        )

    def describe_metric(self) -> str:
        """The metric as people write it: `psi{feature=f1} over 5m`."""
        name = self.metric + _braced(self.labels)
        if isinstance(self.window, str):
            return f"{name} since {'the session began' if self.window == 'session' else self.window}"
        return f"{name} over {format_duration(self.window)}" if self.window else name


def _braced(labels: Labels) -> str:
    return "{" + ",".join(f"{k}={v}" for k, v in labels) + "}" if labels else ""


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
