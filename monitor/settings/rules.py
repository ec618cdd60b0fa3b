"""A policy as written: its rules, typed. What a rule does with a value belongs to `policy`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from monitor.policy.rules import BUILT_IN, TASK_SILENT
from monitor.settings.mistakes import mistake, not_yet, suggestion
from monitor.settings.quantities import (
    SECOND,
    Duration,
    Name,
    Number,
    PositiveDuration,
    Whole,
    parse_duration,
    parse_exact,
    parse_text,
)
from monitor.settings.section import Section

ACTIONS = ("alert", "demote", "rollback", "reduce", "kill")
LATER_ACTIONS = ("abort", "promote", "retrain")
NAMED_WINDOWS = ("session", "promotion")
LIMIT = "limit"
"""Label of latency metrics `..._above`: seconds, in plain decimal text."""


_MOST_EVALUATIONS = 10**9


class Persistence(NamedTuple):
    """How long a condition must hold: consecutive evaluations, or (where longer than 0) a duration."""

    evaluations: int = 1
    duration_ns: int = 0


def _persistence(value: object) -> Persistence:
    if isinstance(value, str) and value.isdecimal() and len(value) <= 40:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= _MOST_EVALUATIONS:
            remedy = "write 1 for the first evaluation, or a duration such as 30s"
            raise mistake(f"must be 1 to {_MOST_EVALUATIONS:,} evaluations", remedy)
        return Persistence(evaluations=value)
    return Persistence(duration_ns=parse_duration(value))


def _window(value: object) -> Any:
    if value in NAMED_WINDOWS:
        return value
    duration = parse_duration(value)
    if duration % SECOND:
        raise mistake("a window is a whole number of seconds", "write e.g. 5m")
    return duration


def _schedule(value: object) -> Any:
    if value in ("tick", "evaluation"):
        return value
    duration = parse_duration(value)
    if duration == 0:
        raise mistake("must be longer than zero", "write tick, evaluation, or a duration such as 60s")
    return duration


def _action(value: object) -> Any:
    if value in LATER_ACTIONS:
        raise not_yet(f"action {value}", f"use one of: {', '.join(ACTIONS)}")
    if value not in ACTIONS:
        raise mistake(f"unknown action {value!r}", suggestion(str(value), ACTIONS))
    return value


Window = Annotated[int | Literal["session", "promotion"], BeforeValidator(_window)]


def _labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    if (limit := labels.get(LIMIT)) is None:
        return labels
    try:
        limit_ns = parse_duration(f"{parse_exact(limit):f}s")
    except ValueError:
        limit_ns = 0
    if limit_ns == 0:
        raise mistake(f"limit {limit!r} is not a positive number of seconds", "write e.g. `limit: 0.5`")
    return {**labels, LIMIT: f"{parse_exact(limit).normalize():f}"}


class RuleSettings(Section):
    """One rule: a metric, a bare threshold, how long it must be crossed, and what then happens to whom."""

    id: Name
    subject: Name
    """`active`, `deployment`, or a shadow's name: whom the rule is about and on whom alone it acts."""
    metric: Name
    labels: Annotated[Mapping[str, Annotated[str, BeforeValidator(parse_text)]], AfterValidator(_labels)] = (
        Field(default_factory=dict)
    )
    """Labels that a series must carry; the rule is one for each series that does."""
    window: Window = 0
    """Nanoseconds, 0 for a metric without a window, `session` or `promotion`."""
    above: Number | None = None
    below: Number | None = None
    min_samples: Whole = Field(default=0, ge=0)
    persistence: Annotated[Persistence, PlainValidator(_persistence)] = Field(
        default=Persistence(), alias="for"
    )
    schedule: Annotated[int | Literal["tick", "evaluation"], BeforeValidator(_schedule)] = "evaluation"
    """`tick`, `evaluation`, or nanoseconds."""
    no_data: Literal["hold", "alert", "halt"] = "hold"
    severity: Literal["info", "warning", "critical"] = "warning"
    action: Annotated[Literal["alert", "demote", "rollback", "reduce", "kill"], BeforeValidator(_action)]
    scope: Literal["trading", "model", "serving"] = "trading"
    """What a kill stops."""
    keep_firing_for_ns: Duration = Field(default=0, alias="keep_firing_for")
    act_within_ns: PositiveDuration | None = Field(default=None, alias="act_within")
    dry_run: bool = False

    @property
    def comparator(self) -> Literal["above", "below"]:
        return "below" if self.above is None else "above"

    @property
    def threshold(self) -> float:
        """Money in units of the currency, time in seconds, fractions as fractions."""
        limit = self.below if self.above is None else self.above
        assert limit is not None, "validated below"
        return limit

    @model_validator(mode="after")
    def _meaningful(self) -> RuleSettings:
        if (self.above is None) == (self.below is None):
            raise mistake("needs exactly one of `above` and `below`", "keep the one that is a failure")
        if self.id in (TASK_SILENT, *BUILT_IN):
            raise mistake(f"the id {self.id} is reserved", "choose another id")
        if self.no_data == "halt" and self.action == "alert":
            raise mistake("no_data: halt takes the action of the rule, which is none", "write no_data: alert")
        if "scope" in self.model_fields_set and self.action != "kill":
            raise mistake("`scope` belongs to a kill", "leave `scope` out, or write `action: kill`")
        return self


class PolicySettings(Section):
    """Rules in the order in which they apply at one instant."""

    name: Name
    rules: tuple[RuleSettings, ...] = ()

    @property
    def latency_limits_ns(self) -> tuple[int, ...]:
        """The limits that rules name for latencies `..._above`, ascending, in nanoseconds."""
        named = {rule.labels[LIMIT] for rule in self.rules if LIMIT in rule.labels}
        return tuple(sorted(parse_duration(f"{seconds}s") for seconds in named))
