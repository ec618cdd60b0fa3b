"""Latency: of production's answers and orders, of events on their way, and of the monitor's own scoring.

Nanoseconds inside, seconds outside. A timeout is above every limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from monitor.engine.family import (
    Labels,
    Series,
    counts_of,
    estimate,
    nothing,
    seconds_text,
    share,
    sorted_labels,
)
from monitor.engine.memories.order_flow import ACK_TIMES, FILL_TIMES
from monitor.engine.memories.orders import NEW_ORDERS, ORDER_PAIRS
from monitor.engine.rings import WindowView
from monitor.engine.rows import TIMEOUT_NS, UNMEASURED_NS, ScoreStatus
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.stats.estimate import Estimate, Status
from monitor.stats.histogram import LagHistogram, LatencyHistogram, PaneCounts
from monitor.wire.table import NO_TIME

QUANTILES = ("0.5", "0.95", "0.99", "0.999")

_TAGGED = "serve_latency_tagged"
_ACK, _FILL = "order_ack_latency", "time_to_fill"


def sources(scope: Scope) -> Iterator[Source]:
    """Histograms of latencies."""
    kind = plain(LatencyHistogram, scope.limits_ns)
    yield Source("serve_latency", "features", kind, _feed_served)
    yield Source(_TAGGED, NEW_ORDERS, kind, _feed_tagged)
    for key, rows in (("end_to_end_latency", ORDER_PAIRS), (_ACK, ACK_TIMES), (_FILL, FILL_TIMES)):
        yield Source(key, rows, kind, _feed_derived(rows))
    yield Source("event_lag", "features", plain(LagHistogram, ()), _feed_lag)
    for role in scope.roles:
        yield Source(f"inference_latency/{role}", "features", kind, _feed_inference(role))


def _feed_served(statistic: LatencyHistogram, batch: Batch) -> None:
    answered = batch.features["served"] != 0
    _measured(statistic, batch.features["served_latency"][answered])


def _feed_tagged(statistic: LatencyHistogram, batch: Batch) -> None:
    _measured(statistic, batch.derived[NEW_ORDERS]["tagged"])


def _measured(statistic: LatencyHistogram, latency: NDArray[np.int64]) -> None:
    timeouts = int((latency == TIMEOUT_NS).sum())
    statistic.update(latency[(latency != UNMEASURED_NS) & (latency != TIMEOUT_NS)], timeouts)


def _feed_derived(rows: str) -> Callable[[LatencyHistogram, Batch], None]:
    return lambda statistic, batch: statistic.update(batch.derived[rows]["latency"])


def _feed_lag(statistic: LagHistogram, batch: Batch) -> None:
    stamped = np.flatnonzero(batch.features["record_ts"] != NO_TIME)
    statistic.update(batch.features["record_ts"][stamped] - batch.features["ts"][stamped])


def _feed_inference(role: str) -> Callable[[LatencyHistogram, Batch], None]:
    def feed(statistic: LatencyHistogram, batch: Batch) -> None:
        scores = batch.scores[role]
        timeouts = scores.status == ScoreStatus.TIMEOUT
        asked = (scores.status != ScoreStatus.INCOMPLETE) & (scores.latency != UNMEASURED_NS)
        statistic.update(scores.latency[asked & ~timeouts], int(timeouts.sum()))

    return feed


@dataclass(frozen=True, slots=True)
class _Reading:
    """The histograms that a metric reads in one window, and what is said of them beside the values."""

    panes: PaneCounts[Any]
    extra: Mapping[str, Any]


Find = Callable[[WindowView], "_Reading | Status"]
"""What to read; else why there is nothing to."""


def _histogram(view: WindowView, key: str, **extra: Any) -> _Reading | None:
    panes: PaneCounts[Any] | None = view.by_pane(key, PaneCounts)
    if panes is None or panes.whole.empty:
        return None
    return _Reading(panes, {**extra, **panes.whole.outside})


def _plain(key: str) -> Find:
    return lambda view: _histogram(view, key) or Status.INSUFFICIENT


def _served(view: WindowView) -> _Reading | Status:
    """As recorded with the features; where the window has none, as tagged on orders: only of those requests
    that became an order, which slow ones seldom do."""
    return (
        _histogram(view, "serve_latency") or _histogram(view, _TAGGED, selected=True) or Status.INSUFFICIENT
    )


def _inferred(role: str) -> Find:
    def find(view: WindowView) -> _Reading | Status:
        found = _histogram(view, f"inference_latency/{role}")
        if found is not None:
            return found
        answers = counts_of(view, f"answers/{role}")
        return Status.UNKNOWN if answers is not None and answers["unmeasured"] else Status.INSUFFICIENT

    return find


def _none(view: WindowView, found: _Reading | Status) -> Estimate:
    """Negative latencies alone say that clocks differ, and nothing else."""
    if isinstance(found, Status):
        return nothing(view, found)
    return replace(nothing(view, Status.UNKNOWN), extra=dict(found.extra))


def _quantile(find: Find, view: WindowView, q: float) -> Estimate:
    found = find(view)
    if isinstance(found, Status) or not found.panes.whole.n:
        return _none(view, found)
    value_s, n_eff, low_s, high_s, bound = found.panes.quantile(q)
    extra = {**found.extra, "bound": bound} if bound is not None else dict(found.extra)
    return estimate(view, value_s, found.panes.whole.n, n_eff=n_eff, low=low_s, high=high_s, extra=extra)


def _above(find: Find, view: WindowView, limit_ns: int) -> Estimate:
    found = find(view)
    if isinstance(found, Status) or not found.panes.whole.n:
        return _none(view, found)
    return share(view, found.panes.above(limit_ns), found.panes.totals, extra=dict(found.extra))


def _quantiles(find: Find, labels: Labels) -> Series:
    for q in QUANTILES:

        def value(view: WindowView, q: float = float(q)) -> Estimate:
            return _quantile(find, view, q)

        yield sorted_labels(("quantile", q), *labels), value


def _limits(scope: Scope, find: Find, labels: Labels) -> Series:
    for limit in scope.limits_ns:

        def value(view: WindowView, limit: int = limit) -> Estimate:
            return _above(find, view, limit)

        yield sorted_labels(("limit", seconds_text(limit)), *labels), value


def serve_latency(scope: Scope) -> Series:
    """Quantiles of production's latency, as served.

    Of the requests whose answer says `latency_ms`, a timeout above all. Where the window has none, of new
    orders that say `tags.inference_latency_ms`, with `extra.selected`: requests that never became an order
    are not seen.
    """
    return _quantiles(_served, ())


def serve_latency_above(scope: Scope) -> Series:
    """Share of production's answers slower than the limit, exact; timeouts are. Of orders as
    `serve_latency`."""
    return _limits(scope, _served, ())


def inference_latency(scope: Scope) -> Series:
    """Quantiles of the monitor's own scoring: of the batch that a row sat in. It compares roles, never
    production's SLO. Unknown where answers were not measured (replay without a journal)."""
    for role in scope.roles:
        yield from _quantiles(_inferred(role), (("role", role),))


def inference_latency_above(scope: Scope) -> Series:
    """Share of the monitor's own answers slower than the limit, exact; timeouts are."""
    for role in scope.roles:
        yield from _limits(scope, _inferred(role), (("role", role),))


def end_to_end_latency(scope: Scope) -> Series:
    """Quantiles of `ts_ns` of an order's `new` report less that of the feature event that it names.

    Of orders whose event was folded within `join_window`. Negative ones (clocks differ) are counted in
    `extra.negative` and enter nothing else.
    """
    return _quantiles(_plain("end_to_end_latency"), ())


def end_to_end_latency_above(scope: Scope) -> Series:
    """Share of orders that came later than the limit after their feature event, exact."""
    return _limits(scope, _plain("end_to_end_latency"), ())


def order_ack_latency(scope: Scope) -> Series:
    """Quantiles of `ts_ns` of an order's first `ack` less that of its `new` report.

    Of orders that were acknowledged and whose `new` came, before or after: an order that is filled or
    rejected without an `ack` has none. Negative ones (clocks differ) are counted in `extra.negative` and
    enter nothing else.
    """
    return _quantiles(_plain(_ACK), ())


def order_ack_latency_above(scope: Scope) -> Series:
    """Share of acknowledged orders whose `ack` came later than the limit after their `new`, exact."""
    return _limits(scope, _plain(_ACK), ())


def time_to_fill(scope: Scope) -> Series:
    """Quantiles of `ts_ns` of the report with which an order was first filled whole, less that of its `new`.

    Only of orders that were: those that wait, or end before it, have none, so that it says little where
    `fill_rate` is low. A later bust changes nothing of it. Negative ones as for `order_ack_latency`.
    """
    return _quantiles(_plain(_FILL), ())


def event_lag(scope: Scope) -> Series:
    """Quantiles of the record's timestamp less `ts_ns` of feature events that enter statistics.

    May be negative, where the producer's clock runs ahead of the broker's: such lags count like all others,
    and in `extra.negative`. Insufficient where the log has no timestamps.
    """
    return _quantiles(_plain("event_lag"), ())
