"""Latency: how long production's answers took, and the monitor's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from monitor.engine.family import (
    Labels,
    Series,
    Value,
    counts_of,
    estimate,
    nothing,
    seconds_text,
    sorted_labels,
)
from monitor.engine.rings import WindowView
from monitor.engine.rows import TIMEOUT_NS, UNMEASURED_NS, ScoreStatus
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.stats.estimate import Estimate, Status
from monitor.stats.histogram import LatencyHistogram

QUANTILES = ("0.5", "0.95", "0.99", "0.999")


def sources(scope: Scope) -> Iterator[Source]:
    """Histograms of latencies."""
    kind = plain(LatencyHistogram, scope.limits_ns)
    yield Source("serve_latency", "features", kind, _feed_served)
    for role in scope.roles:
        yield Source(f"inference_latency/{role}", "features", kind, _feed_inference(role))


def _feed_served(statistic: LatencyHistogram, batch: Batch) -> None:
    latency = batch.features["served_latency"]
    answered = (batch.features["served"] != 0) & (latency != UNMEASURED_NS)
    timed_out = answered & (latency == TIMEOUT_NS)
    statistic.update(latency[answered & ~timed_out], int(timed_out.sum()))


def _feed_inference(role: str) -> Callable[[LatencyHistogram, Batch], None]:
    def feed(statistic: LatencyHistogram, batch: Batch) -> None:
        scores = batch.scores[role]
        timeouts = scores.status == ScoreStatus.TIMEOUT
        asked = (scores.status != ScoreStatus.INCOMPLETE) & (scores.latency != UNMEASURED_NS)
        statistic.update(scores.latency[asked & ~timeouts], int(timeouts.sum()))

    return feed


def _latency(key: str, read: Callable[[LatencyHistogram], float], unmeasured: str | None) -> Value:
    def value(view: WindowView) -> Estimate:
        histogram: LatencyHistogram | None = view.statistic(key)
        if histogram is None or histogram.n == 0:
            answers = counts_of(view, unmeasured) if unmeasured else None
            return nothing(view, Status.UNKNOWN if answers and answers["unmeasured"] else Status.INSUFFICIENT)
        return estimate(view, read(histogram), histogram.n)

    return value


def quantiles(key: str, role: str | None) -> Callable[[Scope], Series]:
    """Quantiles of a histogram, of each role where `role` is given."""

    def of(scope: Scope) -> Series:
        for q in QUANTILES:
            for name, more in _roles(scope, role):
                unmeasured = f"answers/{name}" if role else None

                def read(histogram: LatencyHistogram, q: str = q) -> float:
                    return histogram.quantile(float(q))

                yield sorted_labels(("quantile", q), *more), _latency(_key(key, name), read, unmeasured)

    return of


def above(key: str, role: str | None) -> Callable[[Scope], Series]:
    """Share above each named limit, of each role where `role` is given."""

    def of(scope: Scope) -> Series:
        for limit in scope.limits_ns:
            for name, more in _roles(scope, role):
                unmeasured = f"answers/{name}" if role else None

                def read(histogram: LatencyHistogram, limit: int = limit) -> float:
                    return histogram.above(limit)

                label = ("limit", seconds_text(limit))
                yield sorted_labels(label, *more), _latency(_key(key, name), read, unmeasured)

    return of


def _roles(scope: Scope, role: str | None) -> Iterator[tuple[str, Labels]]:
    if role is None:
        yield "", ()
        return
    for name in scope.roles:
        yield name, (("role", name),)


def _key(key: str, role: str) -> str:
    return f"{key}/{role}" if role else key
