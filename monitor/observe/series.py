"""What Prometheus is told of a deployment: names, types, help and labels of every series, and nothing else.

Pure: from a `Shown`, taken on the evaluating loop, to metric families, made in whatever thread renders them.
Names follow Prometheus: base units, `_total` on counters only, no identifier and no symbol as a label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.metrics_core import Metric

from monitor.engine.catalogue import BY_NAME, FAMILIES
from monitor.engine.family import Family, Labels, seconds_text
from monitor.engine.readings import Value
from monitor.policy.audit import Subjects
from monitor.policy.evaluation import Phase
from monitor.policy.latches import LatchState
from monitor.policy.rules import Rule
from monitor.stats.estimate import Status
from monitor.trading.units import MONEY

PREFIX = "shadow_monitor_"

SUFFIXES = {
    "seconds": "_seconds",
    "fraction": "_ratio",
    "ratio": "_ratio",
    "per second": "_per_second",
    "count": "",
    "correlation": "",
    "nats": "",
    "evidence": "",
    "distance": "",
    "sigma": "",
    "annualised ratio": "",
    "probability": "",
    "prediction": "",
    "bps": "_ratio",
    "squared probability": "",
    "money": "",
}
"""By unit of the catalogue; money is in the currency that `deployment_info` names."""

BPS = 10_000
"""Basis points are no base unit: metrics in them are shown as ratios, without `_bps` in the name."""

PHASES = {
    Phase.INACTIVE: 0,
    Phase.RESOLVED: 1,
    Phase.INSUFFICIENT: 2,
    Phase.PENDING: 3,
    Phase.NO_DATA: 4,
    Phase.FIRING: 5,
}
"""By gravity, so that the largest of several rules says how bad it is."""

LATCHES = {
    LatchState.ACTIVE: 0,
    LatchState.SERVING: 0,
    LatchState.RUNNING: 0,
    LatchState.REDUCE_ONLY: 1,
    LatchState.HALTED: 2,
    LatchState.ROLLED_BACK: 2,
    LatchState.DEMOTED: 2,
}

UNMEASURED = "unmeasured"
"""Counted beside how the row was answered: no answer of its own."""

SHA256_SHOWN = 12
"""Hex digits of an artifact's SHA-256 in its info series."""


def _numbered(numbers: Mapping[Phase, int] | Mapping[LatchState, int]) -> str:
    return ", ".join(f"{number} {name.value}" for name, number in numbers.items())


OWN: dict[str, tuple[str, str]] = {
    "answers": ("counter", "Rows by how a role answered them."),
    "artifact": ("info", "The model artifact in each role; previous is what a rollback returns to."),
    "buffered_rows": ("gauge", "Rows of a partition task that wait for its watermark."),
    "build": ("info", "What this process is made of."),
    "dead_letters": (
        "counter",
        "Messages that could not be used, by stream and reason, as written to dead-letters.",
    ),
    "decisions": ("counter", "Decisions published by this process, by event type; a resolve counts too."),
    "deployment": ("info", "Currency of a deployment's money metrics, and its policy."),
    "epoch": ("gauge", "Epoch of a deployment: rises by one when a latch moves; a reset must name it."),
    "evaluation_lag_seconds": ("gauge", "Clock time less the last instant of event time that was evaluated."),
    "latch_state": ("gauge", f"Latch of a subject: {_numbered(LATCHES)}."),
    "ready": ("gauge", "1 where /readyz answers 200, else 0."),
    "rows": ("counter", "Rows by stream and fate, each counted once, when its pane closes."),
    "rule": ("info", "What a rule is about and what it does."),
    "rule_phase": ("gauge", f"Phase of a rule, by gravity: {_numbered(PHASES)}."),
    "rule_threshold": ("gauge", "Threshold of a rule, in the unit of its metric."),
    "rule_value": ("gauge", "Value that a rule judges; absent without one that is ok."),
    "tasks": ("gauge", "Partition tasks that this process runs, restored."),
    "watermark_lag_seconds": ("gauge", "Clock time less the watermark of a partition task."),
}
"""Type and help of the series that the catalogue does not name; prefix, `_total` and `_info` left out."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Values of the metrics of one schedule, as of event time `at`."""

    at: int
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A deployment as it is shown: immutable, taken at clock time `taken_ns`.

    `values` by schedule (ns); `totals` by `kind/name` and counter, over the deployment's whole life.
    """

    taken_ns: int
    values: Mapping[int, Taken]
    rules: tuple[tuple[Rule, Phase], ...]
    latches: Mapping[str, LatchState]
    epoch: int
    totals: Mapping[str, Mapping[str, int]]
    currency: str
    policy: str


class Page:
    """The metric families of one scrape, in the order in which they were first met."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def __iter__(self) -> Iterator[Metric]:
        for family in self._families.values():
            # OpenMetrics wants the quantiles of one summary side by side.
            family.samples.sort(key=lambda s: sorted((s.labels | {"quantile": ""}).items()))
            yield family

    def own(self, name: str, labels: Mapping[str, str], value: float = 1.0) -> None:
        """A sample of one of `OWN`; an info has the value 1."""
        kind, meaning = OWN[name]
        ending = {"counter": "_total", "info": "_info"}.get(kind, "")
        self._add(PREFIX + name, kind, meaning, ending, labels, value)

    def metric(self, family: Family, labels: Mapping[str, str], value: float) -> None:
        """A sample of a metric of the catalogue."""
        shown = value / BPS if family.unit == "bps" else value
        self._add(metric_name(family), metric_type(family), family.meaning, "", labels, shown)

    def _add(
        self, name: str, kind: str, meaning: str, ending: str, labels: Mapping[str, str], value: float
    ) -> None:
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = Metric(name, meaning, kind)
        family.add_sample(name + ending, dict(labels), value)


def metric_name(family: Family) -> str:
    """The Prometheus name of a metric: `drawdown`, a fraction -> `shadow_monitor_drawdown_ratio`."""
    name = family.name.replace("_bps", "") if family.unit == "bps" else family.name
    return PREFIX + name + SUFFIXES[family.unit]


def metric_type(family: Family) -> str:
    """A gauge; quantiles over a window are what Prometheus calls a summary."""
    return "summary" if "quantile" in family.labels else "gauge"


def catalogue_names() -> dict[str, str]:
    """Metric of the catalogue by its Prometheus name.

    Raises:
        KeyError: a unit has no suffix in `SUFFIXES`.
    """
    return {metric_name(family): family.name for family in FAMILIES}


def whose(subjects: Subjects) -> dict[str, str]:
    """The labels that every series of a deployment carries."""
    tenant = {"tenant": subjects.tenant} if subjects.tenant else {}
    return {"deployment": subjects.deployment, **tenant}


def add_artifacts(page: Page, subjects: Subjects) -> None:
    """The artifacts of a deployment, by role."""
    roles = {"active": subjects.active, "previous": subjects.previous, **subjects.shadows}
    for role, artifact in roles.items():
        if artifact is not None:
            named = {"artifact_id": artifact.artifact_id, "sha256": artifact.sha256[:SHA256_SHOWN]}
            page.own("artifact", {**whose(subjects), "role": role, **named})


def add_deployment(page: Page, subjects: Subjects, shown: Shown) -> None:
    """Metrics, rules, latches and counts of a deployment."""
    base = whose(subjects)
    values: dict[tuple[str, Labels, int | str], Value] = {
        (v.name, v.labels, v.window): v for taken in shown.values.values() for v in taken.values
    }
    page.own("deployment", {**base, "currency": shown.currency, "policy": shown.policy})
    for value in values.values():
        number = _number(value)
        if number is not None:
            labels = {**base, **dict(value.labels), **_window(value.window)}
            page.metric(BY_NAME[value.name], labels, number)
    for rule, phase in shown.rules:
        _add_rule(page, base, rule, phase, values.get((rule.metric, rule.labels, rule.window)))
    for subject, state in shown.latches.items():
        page.own("latch_state", {**base, "subject": subject}, LATCHES[state])
    page.own("epoch", base, shown.epoch)
    _add_totals(page, base, shown.totals)


def _add_rule(page: Page, base: Mapping[str, str], rule: Rule, phase: Phase, value: Value | None) -> None:
    labels = {**base, "rule": rule.id, **_rule_labels(rule.labels), **_window(rule.window)}
    about = {
        "subject": rule.subject,
        "metric": rule.metric,
        "comparator": rule.comparator.value,
        "severity": rule.severity.value,
        "action": rule.action.value,
        "dry_run": str(rule.dry_run).lower(),
    }
    page.own("rule", {**labels, **about})
    page.own("rule_phase", labels, PHASES[phase])
    page.own("rule_threshold", labels, rule.threshold)
    number = _number(value) if value is not None else None
    if number is not None:
        page.own("rule_value", labels, number)


def _add_totals(page: Page, base: Mapping[str, str], totals: Mapping[str, Mapping[str, int]]) -> None:
    dead: Counter[tuple[str, str]] = Counter()
    for key, counts in totals.items():
        kind, _, name = key.partition("/")
        if kind == "answers":
            for status, n in counts.items():
                if status != UNMEASURED:
                    page.own("answers", {**base, "role": name, "status": status}, n)
        elif kind == "fates":
            for fate, n in counts.items():
                page.own("rows", {**base, "stream": name, "fate": fate}, n)
            # They are dead letters, though decoding found nothing wrong with them.
            dead[name, "quarantined"] += counts["quarantined"]
        elif kind == "rejected":
            page.own("rows", {**base, "stream": name, "fate": "rejected"}, sum(counts.values()))
            for reason, n in counts.items():
                dead[name, reason] += n
    for (stream, reason), n in dead.items():
        page.own("dead_letters", {**base, "stream": stream, "reason": reason}, n)


def _number(value: Value) -> float | None:
    """The value in base units; None unless it is ok: an absent series is what "no data" looks like."""
    estimate = value.estimate
    if estimate.status is not Status.OK or estimate.value is None:
        return None
    return estimate.value / MONEY if BY_NAME[value.name].unit == "money" else float(estimate.value)


def _window(window: int | str) -> dict[str, str]:
    """`window="300"`, `window="session"`; no label for a value without one."""
    if isinstance(window, str):
        return {"window": window}
    return {"window": seconds_text(window)} if window else {}


def _rule_labels(labels: Labels) -> dict[str, str]:
    """The labels of a rule's metric; `quantile` belongs to summaries alone."""
    return {"metric_quantile" if name == "quantile" else name: value for name, value in labels}
