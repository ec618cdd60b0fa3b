"""Mistakes that show only where sections meet: clocks and grids, money and capital, rules and models.

Works on the document itself, part by part, so that a mistake in one section hides none in another. Knows a
metric only by its `MetricInfo`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monitor.engine.panes import pane_length
from monitor.errors import Problem
from monitor.policy.durations import format_duration
from monitor.policy.rules import ACTIVE
from monitor.settings.blame import FILLS, blame_findings, subject_findings, unknown_subject
from monitor.settings.calendars import calendar_of
from monitor.settings.deployment import SequenceSettings
from monitor.settings.document import Document, Location
from monitor.settings.measuring import (
    currency_findings,
    fx_findings,
    performance_findings,
    quantity_findings,
)
from monitor.settings.metric_info import MetricInfo
from monitor.settings.mistakes import problem, suggestion
from monitor.settings.parts import (
    Parts,
    deployment_parts,
    deployments_of,
    rules_of,
    shared_parts,
    valid_rules,
)
from monitor.settings.quantities import DAY
from monitor.settings.rules import LIMIT, RuleSettings
from monitor.settings.surroundings import RuleFinding, RuleSurroundings
from monitor.settings.thresholds import sample_findings, threshold_findings

Finding = tuple[Location, str, str]
"""Where, what, remedy."""


def inconsistencies(
    document: Document, context: dict[str, Any], known_metrics: Mapping[str, MetricInfo] | None
) -> list[Problem]:
    """Every mistake of the kind this module is about."""
    shared = shared_parts(document.data, context)
    found: list[Finding] = [
        *fx_findings(document.data, shared, context),
        *currency_findings(document.data, shared, context),
    ]
    for name, deployment in deployments_of(document.data).items():
        at = ("deployments", name)
        parts = deployment_parts(deployment, context)
        found.extend(_clocks(at, shared, parts))
        found.extend(_blocks(at, parts))
        found.extend(quantity_findings(at, shared, parts))
        found.extend(performance_findings(at, shared, parts))
        found.extend(_calendars(at, shared, parts))
        found.extend(_samples(at, parts))
        found.extend(_rules((*at, "policy", "rules"), deployment, parts, known_metrics))
    return [problem(document, *finding) for finding in found]


def _clocks(at: Location, shared: Parts, parts: Parts) -> Iterator[Finding]:
    event_time, grids = shared.get("event_time"), parts.get("grids")
    if event_time is not None and grids is not None and grids.task_deadline_ns <= event_time.idle_grace_ns:
        yield (
            (*at, "grids", "task_deadline"),
            f"must exceed event_time.idle_grace ({format_duration(event_time.idle_grace_ns)})",
            "raise task_deadline or lower idle_grace",
        )
    books = parts.get("books")
    if event_time is not None and books is not None and books.exec_horizon_ns < event_time.dedupe_window_ns:
        yield (
            (*at, "books", "exec_horizon"),
            f"is shorter than event_time.dedupe_window ({format_duration(event_time.dedupe_window_ns)}): an "
            "execution that is sent once more would be booked twice",
            "write a trading day, 1d, or how long the desk may send an execution again",
        )
    windows: tuple[int, ...] | None = parts.get("windows")
    if not windows:
        return
    for window in windows:
        if window % (pane := pane_length(window)):
            message = f"{format_duration(window)} is not whole in panes of {format_duration(pane)}"
            yield (*at, "windows"), message, f"write a multiple of {format_duration(pane)}"
    finest = pane_length(windows[0])
    if grids is not None and finest % grids.evaluation_interval_ns:
        yield (
            (*at, "grids", "evaluation_interval"),
            f"does not divide the finest pane of the windows ({format_duration(finest)})",
            "write 1s, or a part of it",
        )


def _blocks(at: Location, parts: Parts) -> Iterator[Finding]:
    windows: tuple[int, ...] | None = parts.get("windows")
    sequences: SequenceSettings | None = parts.get("sequences")
    if not windows or sequences is None:
        return
    finest = pane_length(windows[0])
    for keys, length in ((("block",), sequences.block_ns), (("change", "pane"), sequences.change.pane_ns)):
        if length is not None and length % finest:
            message = f"{format_duration(length)} is not whole in panes of {format_duration(finest)}"
            yield (*at, "sequences", *keys), message, f"write a multiple of {format_duration(finest)}"


def _calendars(at: Location, shared: Parts, parts: Parts) -> Iterator[Finding]:
    calendar = parts.get("calendar")
    for symbol, entry in (shared.get("instruments") or {}).items():
        if calendar is not None and entry.calendar not in ("always", calendar):
            yield (
                ("instruments", symbol, "calendar"),
                f"differs from the calendar of {at[-1]}, by which all its rules wake and sleep",
                "leave it out, or write that of the deployment",
            )


def _samples(at: Location, parts: Parts) -> Iterator[Finding]:
    samples = parts.get("samples")
    if samples is not None and samples.ks_features and parts.has("reference") and not parts.get("reference"):
        message = "an exact KS statistic is measured against a reference, and there is none"
        yield (*at, "samples", "ks_features"), message, "set reference, or write `ks_features: []`"


def _rules(
    at: Location,
    deployment: Mapping[str, Any],
    parts: Parts,
    known_metrics: Mapping[str, MetricInfo] | None,
) -> Iterator[Finding]:
    around = RuleSurroundings(
        models=parts.get("models"),
        windows_ns=parts.get("windows"),
        grids=parts.get("grids"),
        calendar=parts.get("calendar"),
        samples=parts.get("samples"),
        performance=parts.get("performance"),
        without_capital=parts.has("capital") and parts.get("capital") is None,
        without_reference=parts.has("reference") and parts.get("reference") is None,
        known_metrics=known_metrics,
    )
    valid = valid_rules(deployment)
    first: dict[str, int] = {}
    for position, written in enumerate(rules_of(deployment)):
        here = (*at, position)
        if isinstance(written, Mapping) and isinstance(name := written.get("id"), str):
            if name in first:
                yield (
                    (*here, "id"),
                    f"{name!r} is also rule {first[name]} of this policy",
                    "give each rule its own id",
                )
            first.setdefault(name, position)
        if (rule := valid.get(position)) is None:
            for key, message, remedy in _misspelt(written, around):
                yield (*here, key), message, remedy
            continue
        for check in _RULE_CHECKS:
            for key, message, remedy in check(rule, around):
                yield (*here, key), message, remedy


def _misspelt(written: Any, around: RuleSurroundings) -> Iterator[RuleFinding]:
    """Names in a rule that is mistaken elsewhere."""
    if not isinstance(written, Mapping):
        return
    subject, metric = written.get("subject"), written.get("metric")
    if isinstance(subject, str) and subject:
        yield from unknown_subject(subject, around)
    if isinstance(metric, str) and metric and around.known_metrics is not None:
        yield from _unknown_metric(metric, around.known_metrics)


def _unknown_metric(metric: str, known: Mapping[str, MetricInfo]) -> Iterator[RuleFinding]:
    if metric not in known:
        yield "metric", f"unknown metric {metric!r}", suggestion(metric, known)


def _foundation(rule: RuleSettings, around: RuleSurroundings) -> Iterator[RuleFinding]:
    info = around.info(rule)
    if around.without_capital and info is not None and info.capital:
        yield "metric", f"{rule.metric} is measured against capital, and there is none", "set capital"
    if around.without_reference and info is not None and info.reference:
        message = f"{rule.metric} is measured against a reference, and there is none"
        yield "metric", message, "set reference"


def _window(rule: RuleSettings, around: RuleSurroundings) -> Iterator[RuleFinding]:
    windows, info, window = around.windows_ns, around.info(rule), rule.window
    if info is not None and info.windowed and window == 0:
        yield "window", f"{rule.metric} needs a window", "write one of the deployment's windows"
    elif info is not None and not info.windowed and window != 0:
        yield "window", f"{rule.metric} has no window", "leave `window` out"
    elif info is not None and isinstance(window, str) and not info.sessions:
        message = f"not yet: {rule.metric} since {window}"
        yield "window", message, "write one of the deployment's windows"
    elif windows is not None and isinstance(window, int) and window and window not in windows:
        listed = ", ".join(format_duration(w) for w in windows)
        message = f"{format_duration(window)} is none of the deployment's windows ({listed})"
        yield "window", message, "add it to `windows`, or use one of them, session or promotion"


def _series(rule: RuleSettings, around: RuleSurroundings) -> Iterator[RuleFinding]:
    info = around.info(rule)
    if info is not None:
        for label in sorted(set(rule.labels) - set(info.labels)):
            known = f"use: {', '.join(info.labels)}" if info.labels else "leave labels out"
            yield "labels", f"{rule.metric} has no label {label!r}", known
        if LIMIT in info.labels and LIMIT not in rule.labels:
            yield "labels", f"{rule.metric} needs its limit", "add a label in seconds, such as `limit: 0.5`"
        for label in sorted(set(info.values) & set(rule.labels)):
            if (value := rule.labels[label]) not in info.values[label]:
                message = f"{rule.metric} has no {label} {value!r}"
                yield "labels", message, suggestion(value, info.values[label])
    elif around.known_metrics is not None:
        yield from _unknown_metric(rule.metric, around.known_metrics)
    role, fills = rule.labels.get("role"), rule.labels.get("fills")
    if role is not None and around.models is not None and role not in around.models.roles:
        yield "labels", f"{role!r} is no role of this deployment", suggestion(role, around.models.roles)
    if role == ACTIVE and info is not None and info.blame == "shadow":
        yield "labels", f"{rule.metric} is a metric of shadows", "name a shadow as role"
    if fills is not None and fills not in FILLS:
        yield "labels", f"unknown fills {fills!r}", suggestion(fills, FILLS)
    elif fills == "real" and role not in (None, ACTIVE) and role in around.roles:
        message = f"{rule.metric} has no series fills=real, role={role}"
        yield "labels", message, "use fills=real, role=active; the fills of a shadow are paper"


def _schedule(rule: RuleSettings, around: RuleSurroundings) -> Iterator[RuleFinding]:
    grids = around.grids
    if isinstance(rule.schedule, int) and grids is not None and rule.schedule % grids.tick_ns:
        yield "schedule", "is not a multiple of grids.tick", "write a multiple of it"
    if isinstance(rule.schedule, int) and around.calendar not in (None, "always"):
        session_ns = calendar_of(around.calendar).hours.length_ns
        if session_ns < rule.schedule != DAY:
            message = f"{format_duration(rule.schedule)} is longer than a session: the rule may never wake"
            yield "schedule", message, "write a shorter one, or 1d: once a session, at its close"


_RULE_CHECKS: tuple[Callable[[RuleSettings, RuleSurroundings], Iterator[RuleFinding]], ...] = (
    subject_findings,
    blame_findings,
    _foundation,
    _window,
    _series,
    threshold_findings,
    sample_findings,
    _schedule,
)
