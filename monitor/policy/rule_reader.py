"""`RuleReader`: one rule's mapping, in the words of the YAML -> `Rule`, with every mistake in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from monitor.errors import Problem
from monitor.policy.durations import parse_duration
from monitor.policy.rules import (
    ACTIVE,
    DEPLOYMENT,
    EVALUATION,
    TASK_SILENT,
    TICK,
    Action,
    Comparator,
    Labels,
    NoData,
    Rule,
    Scope,
    Severity,
)

_E = TypeVar("_E", bound=StrEnum)

_KEYS = {
    *("id", "subject", "metric", "labels", "window", "above", "below", "min_samples", "for"),
    *("keep_firing_for", "schedule", "no_data", "act_within", "severity", "action", "scope", "dry_run"),
}

_FITS = {Action.ROLLBACK: ACTIVE, Action.REDUCE: DEPLOYMENT, Action.KILL: DEPLOYMENT}
"""The only subject of an action."""


class RuleReader:
    """Reads one mapping; `problems` lists what is wrong with it, each at a key below `where` in `file`."""

    def __init__(self, mapping: Mapping[str, Any], file: str, where: str) -> None:
        self._mapping, self._file, self._where = mapping, file, where
        self.problems: list[Problem] = []

    def read(self) -> Rule | None:
        """The rule; None where there are problems."""
        for key in self._mapping:
            if key not in _KEYS:
                self._wrong(str(key), "no such key.", f"Use one of {', '.join(sorted(_KEYS))}.")
        comparator, threshold = self._threshold()
        for_count, for_ns = self._persistence()
        action = self._choice("action", Action, Action.ALERT)
        rule = Rule(
            id=self._text("id"),
            subject=self._text("subject"),
            metric=self._text("metric"),
            labels=self._labels(),
            window=self._span("window", ("session", "promotion"), 0),
            comparator=comparator,
            threshold=threshold,
            min_samples=self._count("min_samples", 0, least=0),
            for_count=for_count,
            for_ns=for_ns,
            keep_firing_ns=self._duration("keep_firing_for"),
            schedule=self._span("schedule", (TICK, EVALUATION), EVALUATION),
            no_data=self._choice("no_data", NoData, NoData.HOLD),
            act_within_ns=self._duration("act_within") or None,
            severity=self._choice("severity", Severity, Severity.WARNING),
            action=action,
            scope=self._scope(action),
            dry_run=self._flag("dry_run"),
        )
        self._check(rule)
        return None if self.problems else rule

    def _check(self, rule: Rule) -> None:
        if rule.id == TASK_SILENT:
            self._wrong("id", f"{TASK_SILENT} is reserved.", "Choose another id.")
        needed = _FITS.get(rule.action, rule.subject)
        if needed != rule.subject:
            self._wrong(
                "action", f"{rule.action} acts on {needed}, not on {rule.subject}.", f"Use subject: {needed}."
            )
        if rule.action is Action.DEMOTE and rule.subject in (DEPLOYMENT, ACTIVE):
            self._wrong(
                "action", f"demote acts on a shadow, not on {rule.subject}.", "Name the shadow as subject."
            )
        if rule.action is Action.ALERT and rule.no_data is NoData.HALT:
            self._wrong("no_data", "halt takes the rule's action, which is none.", "Use alert.")

    def _wrong(self, key: str, message: str, remedy: str) -> None:
        self.problems.append(Problem(self._file, f"{self._where}.{key}", message, remedy))

    def _text(self, key: str) -> str:
        value = self._mapping.get(key)
        if isinstance(value, str) and value:
            return value
        self._wrong(key, "is missing or no text.", f"Give the rule a {key}.")
        return ""

    def _labels(self) -> Labels:
        value = self._mapping.get("labels") or {}
        if not isinstance(value, Mapping) or any(isinstance(v, (Mapping, list)) for v in value.values()):
            self._wrong("labels", "is no mapping of names to values.", "Write {role: shadow}.")
            return ()
        return tuple(sorted((str(k), str(v)) for k, v in value.items()))

    def _threshold(self) -> tuple[Comparator, float]:
        given = [c for c in Comparator if self._mapping.get(c.value) is not None]
        if len(given) != 1:
            self._wrong("above", "needs exactly one of above and below.", "Give the one that is bad.")
            return Comparator.ABOVE, 0.0
        value = self._mapping[given[0].value]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            self._wrong(given[0].value, "is no finite number.", "Write a number such as 0.02.")
            return given[0], 0.0
        return given[0], float(value)

    def _persistence(self) -> tuple[int, int]:
        if isinstance(self._mapping.get("for", 1), int):
            return self._count("for", 1, least=1), 0
        return 1, self._duration("for")

    def _scope(self, action: Action) -> Scope | None:
        if action is Action.KILL:
            return self._choice("scope", Scope, Scope.TRADING)
        if self._mapping.get("scope") is not None:
            self._wrong("scope", "belongs to a kill.", "Leave it out, or use action: kill.")
        return None

    def _count(self, key: str, default: int, least: int) -> int:
        value = self._mapping.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return value
        self._wrong(key, f"is no whole number of at least {least}.", f"Write {max(least, 1)}.")
        return default

    def _flag(self, key: str) -> bool:
        value = self._mapping.get(key, False)
        if not isinstance(value, bool):
            self._wrong(key, "is neither true nor false.", "Write true or false.")
            return False
        return value

    def _choice(self, key: str, kind: type[_E], default: _E) -> _E:
        value = self._mapping.get(key)
        if value is None:
            return default
        try:
            return kind(value)
        except ValueError:
            self._wrong(key, f"there is no {value!r}.", f"Use one of {', '.join(kind)}.")
            return default

    def _span(self, key: str, words: tuple[str, ...], default: int | str) -> int | str:
        value = self._mapping.get(key)
        if value in words:
            return str(value)
        return self._duration(key) or default

    def _duration(self, key: str) -> int:
        value = self._mapping.get(key)
        if value is None or (value == 0 and not isinstance(value, bool)):
            return 0
        try:
            if isinstance(value, str):
                return parse_duration(value)
        except ValueError:
            pass
        self._wrong(key, f"{value!r} is no duration.", "Write a number with a unit, such as 5m.")
        return 0
