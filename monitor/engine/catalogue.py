"""The catalogue: one family a metric. Prometheus names, documents, `check` and the report are made from it.

Adding a metric is a line here, and a `Source` in `measures` where it needs a new pane statistic; no engine file changes.
"""

from __future__ import annotations

from collections.abc import Iterator

from monitor.engine.family import Family, Labels, Metric
from monitor.engine.measures import agreement, drift, errors, latency
from monitor.engine.memory import Memory
from monitor.engine.scope import Scope, Source

GROUPS = (latency, errors, agreement, drift)


def sources(scope: Scope) -> Iterator[Source]:
    """Every pane statistic of a deployment."""
    for group in GROUPS:
        yield from group.sources(scope)


def memories(scope: Scope) -> Iterator[Memory]:
    """Fresh memories of one task of a deployment."""
    return iter(())


FAMILIES: tuple[Family, ...] = (
    Family("serve_latency", ("quantile",), "seconds", "active", 0, "Latency of production's answers, as served.", latency.quantiles("serve_latency", None)),
    Family("serve_latency_above", ("limit",), "fraction", "active", 0, "Share of production's answers slower than the limit (s), timeouts included.", latency.above("serve_latency", None)),
    Family("inference_latency", ("quantile", "role"), "seconds", "role", 0, "Latency of the monitor's own scoring: compares roles, never production's SLO.", latency.quantiles("inference_latency", "role")),
    Family("inference_latency_above", ("limit", "role"), "fraction", "role", 0, "Share of the monitor's own answers slower than the limit (s).", latency.above("inference_latency", "role")),
    Family("served_error_rate", (), "fraction", "active", 0, "Share of production's answers that failed.", errors.served_error_rate),
    Family("error_rate", ("role",), "fraction", "role", 0, "Share of asked rows that raised, timed out, or came back non-finite or misshapen.", errors.error_rate),
    Family("event_rate", ("stream",), "per second", "nobody", 0, "Rows folded a second.", errors.event_rate),
    Family("rank_correlation", ("role",), "correlation", "shadow", agreement.RANK_EVERY_NS, "Spearman correlation of active and shadow within symbol, averaged by n.", agreement.rank),
    Family("psi", ("feature",), "nats", "nobody", drift.DRIFT_EVERY_NS, "Population stability index of a feature against the reference.", drift.psi),
    Family("prediction_psi", ("role",), "nats", "role", drift.DRIFT_EVERY_NS, "Population stability index of a role's predictions against the reference.", drift.prediction_psi),
    Family("equity", ("fills", "role"), "money", "deployment", 0, "Cash plus quantity x mark of a book, all tasks marked at one instant.", None),
    Family("pnl_after_costs", ("fills", "role"), "money", "deployment", 0, "Change of equity since the window began, transfers left out.", None),
    Family("drawdown", ("fills", "role"), "fraction", "deployment", 0, "(high-water mark - E) / high-water mark; E = capital + P&L since the window began.", None),
    Family("model_effect", ("role",), "money", "shadow", 0, "P&L of the shadow's paper book minus that of the active's.", None),
)  # fmt: skip
"""Every metric there is, in the order of the report."""

BY_NAME = {family.name: family for family in FAMILIES}


class Catalogue:
    """The pane metrics of one deployment, by name and labels."""

    def __init__(self, scope: Scope) -> None:
        self.metrics = tuple(
            Metric(family, labels, value)
            for family in FAMILIES
            if family.of is not None
            for labels, value in family.of(scope)
        )
        self._by_key = {(m.family.name, m.labels): m for m in self.metrics}

    def find(self, name: str, labels: Labels) -> Metric | None:
        """The metric with exactly these labels; None where the deployment has no such metric."""
        return self._by_key.get((name, labels))
