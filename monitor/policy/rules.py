"""`Rule`: what is judged, when, against which threshold, and what follows. Knows no metric and no stream."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from monitor.policy.durations import format_duration

DEPLOYMENT, ACTIVE = "deployment", "active"
"""The subjects every deployment has; every other subject is the name of a shadow."""

TASK_SILENT = "task-silent"
"""Rule id of the alert about partition tasks that do not report; reserved."""

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

    def period_ns(self, grids: Grids) -> int:
        """Event time between two evaluations of the rule."""
        if isinstance(self.schedule, int):
            return self.schedule
        return grids.tick_ns if self.schedule == TICK else grids.evaluation_ns

    def due(self, at_ns: int, grids: Grids) -> bool:
        """Whether the rule is evaluated at instant `at_ns` (ns): at every multiple of its period."""
        return at_ns % self.period_ns(grids) == 0

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
