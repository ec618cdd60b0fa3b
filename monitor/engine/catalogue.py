"""The catalogue: one family a metric. Prometheus names, documents, `check` and the report are made from it.

Adding a metric is a line here, and a `Source` in `measures` where it needs a new pane statistic; no engine file changes.
"""

from __future__ import annotations

from collections.abc import Iterator

from monitor.engine.family import Family, Labels, Metric
from monitor.engine.measures import agreement, drift, errors, latency
from monitor.engine.memories.orders import NewOrders
from monitor.engine.memory import Memory
from monitor.engine.scope import Scope, Source

GROUPS = (latency, errors, agreement, drift)


def sources(scope: Scope) -> Iterator[Source]:
    """Every pane statistic of a deployment."""
    for group in GROUPS:
        yield from group.sources(scope)


def memories(scope: Scope) -> Iterator[Memory]:
    """Fresh memories of one task of a deployment."""
    yield NewOrders(scope)
    yield from agreement.memories(scope)


FAMILIES: tuple[Family, ...] = (
    Family("serve_latency", ("quantile",), "seconds", "active", 0, "Latency of production's answers, as served; else as tagged on orders.", latency.serve_latency),
    Family("serve_latency_above", ("limit",), "fraction", "active", 0, "Share of production's answers slower than the limit (s), timeouts included.", latency.serve_latency_above),
    Family("inference_latency", ("quantile", "role"), "seconds", "role", 0, "Latency of the monitor's own scoring: compares roles, never production's SLO.", latency.inference_latency),
    Family("inference_latency_above", ("limit", "role"), "fraction", "role", 0, "Share of the monitor's own answers slower than the limit (s).", latency.inference_latency_above),
    Family("end_to_end_latency", ("quantile",), "seconds", "active", 0, "Time from a feature event to the order that names it.", latency.end_to_end_latency),
    Family("end_to_end_latency_above", ("limit",), "fraction", "active", 0, "Share of orders later than the limit (s) after their feature event.", latency.end_to_end_latency_above),
    Family("event_lag", ("quantile",), "seconds", "nobody", 0, "Timestamp of the log less that of the feature event; negative where clocks differ.", latency.event_lag),
    Family("served_error_rate", (), "fraction", "active", 0, "Share of production's answers that failed.", errors.served_error_rate),
    Family("error_rate", ("role",), "fraction", "role", 0, "Share of asked rows that raised, timed out, or came back non-finite or misshapen.", errors.error_rate),
    Family("uptime", ("role",), "fraction", "role", 0, "Share of slots of 10 s with demand in which at least one request was answered.", errors.uptime),
    Family("event_rate", ("stream",), "per second", "nobody", 0, "Rows folded a second.", errors.event_rate),
    Family("schema_violations", (), "count", "nobody", 0, "Messages rejected for their form, types, values or schema.", errors.schema_violations),
    Family("late_events", (), "count", "nobody", 0, "Messages that came behind their input's bound.", errors.late_events),
    Family("disorder", ("stream",), "fraction", "nobody", 0, "Share of rows that came late or were reordered.", errors.disorder),
    Family("duplicate_events", (), "count", "nobody", 0, "Messages whose key had been folded before.", errors.duplicate_events),
    Family("unpaired_orders", (), "count", "nobody", 0, "Orders whose feature event did not come within the join window.", errors.unpaired_orders),
    Family("rank_correlation", ("role",), "correlation", "shadow", agreement.RANK_EVERY_NS, "Spearman correlation of active and shadow within symbol, averaged by n.", agreement.rank_correlation, heavy=True),
    Family("rank_correlation_pooled", ("role",), "correlation", "shadow", agreement.RANK_EVERY_NS, "Spearman correlation of all symbols together: levels of symbols flatter it.", agreement.rank_correlation_pooled, heavy=True),
    Family("rank_correlation_cross_section", ("role",), "correlation", "shadow", agreement.RANK_EVERY_NS, "Spearman correlation among the symbols of an instant, averaged over instants.", agreement.rank_correlation_cross_section, heavy=True),
    Family("kendall_tau", ("role",), "correlation", "shadow", agreement.RANK_EVERY_NS, "Kendall's tau-b of active and shadow within symbol, averaged by n.", agreement.kendall_tau, heavy=True),
    Family("sign_agreement", ("role",), "fraction", "shadow", 0, "Share of pairs of active and shadow with one sign.", agreement.sign_agreement),
    Family("max_abs_difference", ("role",), "prediction", "shadow", 0, "Largest |shadow - active| of all pairs.", agreement.max_abs_difference),
    Family("abs_difference", ("quantile", "role"), "prediction", "shadow", agreement.RANK_EVERY_NS, "Quantiles of |shadow - active|.", agreement.abs_difference, heavy=True),
    Family("disagreement_rate", ("role",), "fraction", "shadow", 0, "Share of pairs of active and shadow with different signs.", agreement.disagreement_rate),
    Family("disagreement_gap", ("role",), "prediction", "shadow", 0, "Mean of shadow - active over the pairs with different signs.", agreement.disagreement_gap),
    Family("serving_parity", (), "fraction", "active", 0, "Share of production's recorded answers that the active repeats within the tolerance.", agreement.serving_parity),
    Family("serving_difference", ("quantile",), "prediction", "active", agreement.RANK_EVERY_NS, "Quantiles of |recorded answer of production - active scored again|.", agreement.serving_difference, heavy=True),
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
