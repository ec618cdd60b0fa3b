"""The catalogue: one family a metric. Prometheus names, documents, `check` and the report are made from it.

Adding a metric is a line here, and a `Source` where it needs a new pane statistic; no engine file changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from monitor.engine.rings import WindowView
from monitor.engine.sources import ANSWERS, DRIFT_EVERY_NS, RANK_EVERY_NS, Scope
from monitor.stats.counts import Counts
from monitor.stats.estimate import Estimate, Status
from monitor.stats.histogram import LatencyHistogram
from monitor.stats.psi import psi_estimate
from monitor.stats.rank import rank_correlation

Labels = tuple[tuple[str, str], ...]
Value = Callable[[WindowView], Estimate]

QUANTILES = ("0.5", "0.95", "0.99", "0.999")
FAILED_ANSWERS = ("error", "timeout", "non_finite", "wrong_shape")


@dataclass(frozen=True, slots=True)
class Family:
    """A metric by name. `blame`: whom it accuses: `shadow`, `role` (the label's), `active`, `deployment` or
    `nobody`.

    `of(scope)` yields labels and value functions of the pane metrics; None for metrics of the books, which
    are made from equity at instants. `every_ns`: shortest useful schedule, 0 = every evaluation.
    """

    name: str
    labels: tuple[str, ...]
    unit: str
    blame: str
    every_ns: int
    meaning: str
    of: Callable[[Scope], Iterator[tuple[Labels, Value]]] | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a deployment: family and labels, sorted by label name."""

    family: Family
    labels: Labels
    value: Value


def _estimate(view: WindowView, value: float, n: int, **more: Any) -> Estimate:
    if n == 0:
        return nothing(view)
    status = Status.OK if math.isfinite(value) else Status.UNKNOWN
    return Estimate(
        value=value if status is Status.OK else None,
        n=n,
        status=status,
        from_ns=view.from_ns,
        to_ns=view.to_ns,
        **more,
    )


def nothing(view: WindowView, status: Status = Status.INSUFFICIENT) -> Estimate:
    """No row in the window."""
    return Estimate(value=None, n=0, status=status, from_ns=view.from_ns, to_ns=view.to_ns)


def _counts(view: WindowView, key: str) -> Counts | None:
    found: Counts | None = view.statistic(key)
    return found


def _ratio(key: str, bad: tuple[str, ...], total: tuple[str, ...]) -> Value:
    def value(view: WindowView) -> Estimate:
        counts = _counts(view, key)
        if counts is None:
            return nothing(view)
        return _estimate(view, counts.ratio(bad, total), counts.total(total))

    return value


def _latency(key: str, read: Callable[[LatencyHistogram], float], unmeasured: str | None) -> Value:
    def value(view: WindowView) -> Estimate:
        histogram: LatencyHistogram | None = view.statistic(key)
        if histogram is None or histogram.n == 0:
            answers = _counts(view, unmeasured) if unmeasured else None
            return nothing(view, Status.UNKNOWN if answers and answers["unmeasured"] else Status.INSUFFICIENT)
        return _estimate(view, read(histogram), histogram.n)

    return value


def _quantiles(key: str, role: str | None) -> Callable[[Scope], Iterator[tuple[Labels, Value]]]:
    def of(scope: Scope) -> Iterator[tuple[Labels, Value]]:
        for q in QUANTILES:
            for name, more in _roles(scope, role):
                unmeasured = f"answers/{name}" if role else None

                def read(histogram: LatencyHistogram, q: str = q) -> float:
                    return histogram.quantile(float(q))

                yield _sorted(("quantile", q), *more), _latency(_key(key, name), read, unmeasured)

    return of


def _above(key: str, role: str | None) -> Callable[[Scope], Iterator[tuple[Labels, Value]]]:
    def of(scope: Scope) -> Iterator[tuple[Labels, Value]]:
        for limit in scope.limits_ns:
            for name, more in _roles(scope, role):
                unmeasured = f"answers/{name}" if role else None

                def read(histogram: LatencyHistogram, limit: int = limit) -> float:
                    return histogram.above(limit)

                label = ("limit", seconds_text(limit))
                yield _sorted(label, *more), _latency(_key(key, name), read, unmeasured)

    return of


def _roles(scope: Scope, role: str | None) -> Iterator[tuple[str, Labels]]:
    if role is None:
        yield "", ()
        return
    for name in scope.roles:
        yield name, (("role", name),)


def _key(key: str, role: str) -> str:
    return f"{key}/{role}" if role else key


def _sorted(*labels: tuple[str, str]) -> Labels:
    return tuple(sorted(labels))


def seconds_text(ns: int) -> str:
    """Nanoseconds as seconds in plain decimal text: 500_000_000 -> "0.5"."""
    whole, rest = divmod(ns, 1_000_000_000)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else str(whole)


def _error_rate(scope: Scope) -> Iterator[tuple[Labels, Value]]:
    asked = tuple(a for a in ANSWERS if a not in ("incomplete", "unmeasured"))
    for role in scope.roles:
        yield _sorted(("role", role)), _ratio(f"answers/{role}", FAILED_ANSWERS, asked)


def _served_error_rate(scope: Scope) -> Iterator[tuple[Labels, Value]]:
    yield (), _ratio("served", ("failed",), ("ok", "failed"))


def _rank(scope: Scope) -> Iterator[tuple[Labels, Value]]:
    for shadow in scope.shadows:

        def value(view: WindowView, key: str = f"pairs/{shadow}") -> Estimate:
            sample = view.statistic(key)
            if sample is None:
                return nothing(view)
            return rank_correlation(sample, view.from_ns, view.to_ns)

        yield _sorted(("role", shadow)), value


def _psi(scope: Scope) -> Iterator[tuple[Labels, Value]]:
    reference = scope.reference
    if reference is None:
        return
    for place, feature in enumerate(scope.features):

        def value(view: WindowView, place: int = place, feature: str = feature) -> Estimate:
            bins = view.statistic("features")
            if bins is None:
                return nothing(view)
            return psi_estimate(reference.features[feature], bins.column(place), view.from_ns, view.to_ns)

        yield _sorted(("feature", feature)), value


def _prediction_psi(scope: Scope) -> Iterator[tuple[Labels, Value]]:
    for role in scope.roles:
        distribution = scope.reference.predictions.get(scope.artifacts[role]) if scope.reference else None
        if distribution is None:
            continue

        def value(view: WindowView, role: str = role, distribution: Any = distribution) -> Estimate:
            bins = view.statistic(f"predictions/{role}")
            if bins is None:
                return nothing(view)
            return psi_estimate(distribution, bins.column(0), view.from_ns, view.to_ns)

        yield _sorted(("role", role)), value


def _event_rate(scope: Scope) -> Iterator[tuple[Labels, Value]]:
    for stream in scope.streams:

        def value(view: WindowView, key: str = f"fates/{stream}") -> Estimate:
            counts = _counts(view, key)
            n = counts.total(("accepted", "reordered", "late_applied")) if counts else 0
            # A silent stream is no data, not a rate of zero that could pass.
            return _estimate(view, n * 1e9 / (view.to_ns - view.from_ns) if n else 0.0, n)

        yield _sorted(("stream", stream)), value


FAMILIES: tuple[Family, ...] = (
    Family("serve_latency", ("quantile",), "seconds", "active", 0, "Latency of production's answers, as served.", _quantiles("serve_latency", None)),
    Family("serve_latency_above", ("limit",), "fraction", "active", 0, "Share of production's answers slower than the limit (s), timeouts included.", _above("serve_latency", None)),
    Family("inference_latency", ("quantile", "role"), "seconds", "role", 0, "Latency of the monitor's own scoring: compares roles, never production's SLO.", _quantiles("inference_latency", "role")),
    Family("inference_latency_above", ("limit", "role"), "fraction", "role", 0, "Share of the monitor's own answers slower than the limit (s).", _above("inference_latency", "role")),
    Family("served_error_rate", (), "fraction", "active", 0, "Share of production's answers that failed.", _served_error_rate),
    Family("error_rate", ("role",), "fraction", "role", 0, "Share of asked rows that raised, timed out, or came back non-finite or misshapen.", _error_rate),
    Family("event_rate", ("stream",), "per second", "nobody", 0, "Rows folded a second.", _event_rate),
    Family("rank_correlation", ("role",), "correlation", "shadow", RANK_EVERY_NS, "Spearman correlation of active and shadow within symbol, averaged by n.", _rank),
    Family("psi", ("feature",), "nats", "nobody", DRIFT_EVERY_NS, "Population stability index of a feature against the reference.", _psi),
    Family("prediction_psi", ("role",), "nats", "role", DRIFT_EVERY_NS, "Population stability index of a role's predictions against the reference.", _prediction_psi),
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
