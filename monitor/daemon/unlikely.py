"""Settings that work and can hardly be meant: a unit mistaken, a time that has not come. Reads no clock."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from monitor.policy.durations import format_duration
from monitor.settings.deployment import Deployment
from monitor.settings.quantities import DAY, HOUR
from monitor.settings.rules import LIMIT, RuleSettings

LATENCIES = ("serve_latency", "inference_latency", "end_to_end_latency", "order_ack_latency")
SLOW_S = 5.0
"""A latency that is rather milliseconds than seconds."""

NARROW_BPS = Decimal("0.001")
"""Less than a tick of any price there is."""


def unlikely(deployment: Deployment, now_ns: int) -> Iterator[str]:
    """Each as a sentence."""
    books, paper, promoted = deployment.books, deployment.paper, deployment.models.promoted_at_ns
    if promoted is not None and promoted > now_ns:
        yield "models.promoted_at lies in the future: until then the window since promotion holds nothing"
    if books.mark_staleness_ns < deployment.grids.tick_ns:
        yield (
            f"books.mark_staleness ({format_duration(books.mark_staleness_ns)}) is less than grids.tick: "
            "books are unknown at every tick without a quote just before it"
        )
    if books.exec_horizon_ns < HOUR:
        yield (
            f"books.exec_horizon ({format_duration(books.exec_horizon_ns)}): an execution that is sent once "
            "more after that is booked twice"
        )
    for key, bps, effect in (
        ("max_spread_bps", books.max_spread_bps, "hardly any quote makes a mark"),
        ("mark_band_bps", books.mark_band_bps, "every mark must be confirmed"),
    ):
        if bps < NARROW_BPS:
            yield f"books.{key} ({bps.normalize():f}) is less than a tick of most prices: {effect}"
    if paper.latency_ns > DAY:
        yield f"paper.latency ({format_duration(paper.latency_ns)}): paper hardly ever trades"
    for rule in deployment.policy.rules:
        yield from (f"rule {rule.id}: {said}" for said in _of_latency(rule))


def _of_latency(rule: RuleSettings) -> Iterator[str]:
    metric = rule.metric.removesuffix("_above")
    if metric not in LATENCIES:
        return
    seconds = float(rule.labels[LIMIT]) if LIMIT in rule.labels else rule.threshold
    if seconds >= SLOW_S:
        what = f"limit {rule.labels[LIMIT]}" if LIMIT in rule.labels else f"{rule.comparator} {seconds:g}"
        yield f"{what} of {rule.metric} is in seconds; {seconds / 1000:g} where ms are meant"
    if metric == "inference_latency" and rule.action == "rollback":
        yield (
            f"{rule.metric} is the time that the monitor takes to score; how fast production answers is "
            f"{rule.metric.replace('inference', 'serve')}"
        )
