"""Errors: how rows fared on their way in, and whether production and the monitor's own models answered.

A count over rows of which none is of interest is 0, resting on the rows there were; without any row there is
no value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from monitor.engine.family import Series, counts_of, estimate, nothing, ratio, share, sorted_labels
from monitor.engine.memories.orders import ORDER_JOINS, Outcome
from monitor.engine.panes import PANES_PER_WINDOW
from monitor.engine.rings import WindowView
from monitor.engine.rows import UNMEASURED_NS, ScoreStatus
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.event_time.timing import FOLDED, Fate
from monitor.stats.counts import Counts
from monitor.stats.estimate import Estimate
from monitor.stats.histogram import LatencyHistogram, PaneCounts
from monitor.stats.integer_counts import stacked
from monitor.stats.slots import Slots
from monitor.wire.dead_letters import REASONS
from monitor.wire.table import NO_TIME

FATES = tuple(f.name.lower() for f in Fate if f not in (Fate.ON_TIME, Fate.REJECTED))
ROWS = tuple(s.name.lower() for s in ScoreStatus)
"""What became of feature rows, each counted once."""
ANSWERS = (*ROWS, "unmeasured")
FAILED_ANSWERS = ("error", "timeout", "non_finite", "wrong_shape")
SERVED_OK, SERVED_FAILED = 1, 2
JOINS = tuple(outcome.name.lower() for outcome in Outcome)

TARDY = ("late", "late_applied", "reordered")

NO_SCHEMA_REASONS = ("unkeyed", "misrouted", "unknown_symbol", "quarantined", "late")
"""Reasons for a dead letter that say nothing against the message itself."""

SLOT_NS = 10_000_000_000
SECOND_NS = 1_000_000_000


def sources(scope: Scope) -> Iterator[Source]:
    """Counters of fates, rejections and answers; slots answered; how far rows lay behind."""
    for stream in scope.streams:
        yield Source(f"fates/{stream}", stream, plain(Counts, FATES), _feed_fates(stream))
        yield Source(f"rejected/{stream}", stream, plain(Counts, REASONS[1:]), _feed_rejected(stream))
        yield Source(
            f"disorder/{stream}",
            stream,
            plain(LatencyHistogram, ()),
            _feed_disorder(stream, scope.lateness_ns),
        )
    yield Source("served", "features", plain(Counts, ("ok", "failed")), _feed_served)
    yield Source("uptime_served", "features", plain(Slots, SLOT_NS), _feed_slots_served)
    yield Source("order_joins", ORDER_JOINS, plain(Counts, JOINS), _feed_joins)
    for role in scope.roles:
        yield Source(f"answers/{role}", "features", plain(Counts, ANSWERS), _feed_answers(role))
        yield Source(f"uptime/{role}", "features", plain(Slots, SLOT_NS), _feed_slots(role))


def _feed_fates(stream: str) -> Callable[[Counts, Batch], None]:
    def feed(statistic: Counts, batch: Batch) -> None:
        fates = np.bincount(batch.streams[stream]["fate"], minlength=len(Fate))
        statistic.update_all(fates[Fate.QUARANTINED :])

    return feed


def _feed_rejected(stream: str) -> Callable[[Counts, Batch], None]:
    def feed(statistic: Counts, batch: Batch) -> None:
        reasons = batch.streams[stream]["reason"]
        if reasons.any():
            statistic.update_all(np.bincount(reasons, minlength=len(REASONS))[1:])

    return feed


def _feed_disorder(stream: str, lateness_ns: int) -> Callable[[LatencyHistogram, Batch], None]:
    """How far rows lay behind the largest time before them, of those that did."""

    def feed(statistic: LatencyHistogram, batch: Batch) -> None:
        rows = batch.streams[stream]
        new = np.isin(rows["fate"], (Fate.LATE, *FOLDED))
        placed = np.flatnonzero(new & (rows["bound_before"] != NO_TIME))
        behind = rows["bound_before"][placed] + lateness_ns - rows["ts"][placed]
        statistic.update(behind[behind > 0])

    return feed


def _feed_served(statistic: Counts, batch: Batch) -> None:
    served = np.bincount(batch.features["served"], minlength=3)
    statistic.update_all(served[[SERVED_OK, SERVED_FAILED]])


def _feed_slots_served(statistic: Slots, batch: Batch) -> None:
    asked = np.flatnonzero(batch.features["served"])
    statistic.update(batch.features["eff"][asked], batch.features["served"][asked] == SERVED_OK)


def _feed_joins(statistic: Counts, batch: Batch) -> None:
    joins = batch.derived[ORDER_JOINS]
    for name, outcome in zip(JOINS, Outcome, strict=True):
        statistic.update(name, int(joins["count"][joins["outcome"] == outcome].sum()))


def _feed_answers(role: str) -> Callable[[Counts, Batch], None]:
    def feed(statistic: Counts, batch: Batch) -> None:
        scores = batch.scores[role]
        asked = scores.status != ScoreStatus.INCOMPLETE
        unmeasured = int((asked & (scores.latency == UNMEASURED_NS)).sum())
        counts = np.bincount(scores.status, minlength=len(ScoreStatus))
        statistic.update_all(np.append(counts, unmeasured))

    return feed


def answered(answers: Counts | None) -> tuple[int, int]:
    """Feature rows, and those that the model answered, of the counters `answers/<role>`."""
    return (answers.total(ROWS), answers["ok"]) if answers is not None else (0, 0)


def _feed_slots(role: str) -> Callable[[Slots, Batch], None]:
    def feed(statistic: Slots, batch: Batch) -> None:
        status = batch.scores[role].status
        asked = np.flatnonzero(status != ScoreStatus.INCOMPLETE)
        statistic.update(batch.features["eff"][asked], status[asked] == ScoreStatus.OK)

    return feed


def error_rate(scope: Scope) -> Series:
    """Share of asked rows that raised, timed out, or came back non-finite or misshapen, by role."""
    asked = tuple(a for a in ANSWERS if a not in ("incomplete", "unmeasured"))
    for role in scope.roles:
        yield sorted_labels(("role", role)), ratio(f"answers/{role}", FAILED_ANSWERS, asked)


def served_error_rate(scope: Scope) -> Series:
    """Share of production's recorded answers that failed."""
    yield (), ratio("served", ("failed",), ("ok", "failed"))


def uptime(scope: Scope) -> Series:
    """Share of slots of 10 s (UTC) with demand in which at least one request was answered `ok`, by role.

    A slot without demand is left out; of a slot that the window cuts, what lies in the window counts. Demand
    of a shadow: rows that the monitor asked it. Of the active: requests that production served, with
    `extra.source` = `served` and the monitor's own answers as `extra.scored`; where the window has no
    recorded request, the monitor's own, with `extra.source` = `scored`. `n` counts slots.
    """
    active, *shadows = scope.roles
    yield sorted_labels(("role", active)), lambda view: _uptime_of_active(view, active)
    for role in shadows:

        def value(view: WindowView, key: str = f"uptime/{role}") -> Estimate:
            return _uptime(view, key, {"source": "scored"})

        yield sorted_labels(("role", role)), value


def _uptime_of_active(view: WindowView, active: str) -> Estimate:
    served: Slots | None = view.statistic("uptime_served")
    scored: Slots | None = view.statistic(f"uptime/{active}")
    if served is None or served.empty:
        return _uptime(view, f"uptime/{active}", {"source": "scored"})
    extra: dict[str, Any] = {"source": "served"}
    if scored is not None and scored.demanded:
        extra["scored"] = scored.answered / scored.demanded
    return _uptime(view, "uptime_served", extra)


def _uptime(view: WindowView, key: str, extra: dict[str, Any]) -> Estimate:
    slots: Slots | None = view.statistic(key)
    if slots is None or slots.empty:
        return nothing(view)
    answered, demanded = slots.blocks(PANES_PER_WINDOW)
    return share(view, answered, demanded, extra=extra)


def event_rate(scope: Scope) -> Series:
    """Rows folded a second, by stream: over the window, or since the deployment's first row while that is
    younger (at least 1 s; `extra.seconds`). A silent stream is no data: no rate of zero that could pass."""
    for stream in scope.streams:

        def value(view: WindowView, key: str = f"fates/{stream}") -> Estimate:
            counts = counts_of(view, key)
            n = counts.total(("accepted", "reordered", "late_applied")) if counts else 0
            span = max(view.to_ns - view.filled_ns, SECOND_NS)
            extra = {"seconds": span / SECOND_NS} if view.filled_ns > view.from_ns else {}
            return estimate(view, n * SECOND_NS / span, n, extra=extra)

        yield sorted_labels(("stream", stream)), value


def schema_violations(scope: Scope) -> Series:
    """Messages rejected for what is in them: their form, types, values or schema, over all streams.

    Not those with another's key or symbol, nor quarantined or late ones. `n`: messages read; `extra.reasons`.
    """

    def value(view: WindowView) -> Estimate:
        n, reasons = 0, dict[str, int]()
        for stream in scope.streams:
            n += read_of(view, stream)
            rejected = counts_of(view, f"rejected/{stream}")
            for reason in rejected.spec if rejected is not None else ():
                if rejected is not None and reason not in NO_SCHEMA_REASONS and rejected[reason]:
                    reasons[reason] = reasons.get(reason, 0) + rejected[reason]
        return estimate(view, sum(reasons.values()), n, extra={"reasons": reasons} if reasons else {})

    yield (), value


def late_events(scope: Scope) -> Series:
    """Messages that came behind their input's bound, over all streams: dropped, or of orders applied late.

    `n`: messages read; `extra.streams`: by stream, and `extra.applied`: how many of all were applied.
    """
    yield (), _counted(scope, ("late", "late_applied"), "late_applied")


def duplicate_events(scope: Scope) -> Series:
    """Messages whose key had been folded before, over all streams. `n`: messages read; `extra.streams`."""
    yield (), _counted(scope, ("duplicate",), None)


def _counted(scope: Scope, fates: tuple[str, ...], applied: str | None) -> Callable[[WindowView], Estimate]:
    def value(view: WindowView) -> Estimate:
        n, streams, kept = 0, dict[str, int](), 0
        for stream in scope.streams:
            n += read_of(view, stream)
            counts = counts_of(view, f"fates/{stream}")
            if counts is not None and (found := counts.total(fates)):
                streams[stream] = found
                kept += counts[applied] if applied else 0
        extra: dict[str, Any] = {"streams": streams} if streams else {}
        if kept:
            extra["applied"] = kept
        return estimate(view, sum(streams.values()), n, extra=extra)

    return value


def read_of(view: WindowView, stream: str) -> int:
    """Messages of a stream in the window, whatever became of them."""
    fates, rejected = (counts_of(view, f"{kind}/{stream}") for kind in ("fates", "rejected"))
    return sum(counts.total(counts.spec) for counts in (fates, rejected) if counts is not None)


def disorder(scope: Scope) -> Series:
    """Share of a stream's rows that came after their place in the order: late, or reordered.

    `allowed_lateness` puts all others in order: `extra.out_of_order` is the share that lay behind a row
    before them at all, and `extra.behind_s` by how much, as quantiles of those: an `allowed_lateness` above
    one of them would have put that part in order. `n`: rows that could be read, duplicates left out.
    """
    for stream in scope.streams:

        def value(view: WindowView, stream: str = stream) -> Estimate:
            counts = counts_of(view, f"fates/{stream}")
            panes = view.by_pane(f"fates/{stream}", stacked)
            behind: PaneCounts[Any] | None = view.by_pane(f"disorder/{stream}", PaneCounts)
            if counts is None or panes is None:
                return nothing(view)
            totals = panes[:, counts.places((*TARDY, "accepted"))].sum(axis=1)
            extra: dict[str, Any] = {}
            if behind is not None and behind.whole.n:
                extra["out_of_order"] = behind.whole.n / max(int(totals.sum()), 1)
                extra["behind_s"] = {q: behind.whole.quantile(float(q)) for q in ("0.5", "0.99", "1")}
            return share(view, panes[:, counts.places(TARDY)].sum(axis=1), totals, extra=extra)

        yield sorted_labels(("stream", stream)), value


def unpaired_orders(scope: Scope) -> Series:
    """Orders that name a feature event which was not folded within `join_window` before or after them.

    Counted by their `new` report when the wait is over. `n`: orders that name an event and wait no longer;
    `extra.share` of them; `extra.unnamed_events`: the other side, feature events that no order named.
    """

    def value(view: WindowView) -> Estimate:
        counts = counts_of(view, "order_joins")
        if counts is None:
            return nothing(view)
        paired, unpaired, unnamed = (counts[name] for name in JOINS)
        n = paired + unpaired
        if n == 0:
            return nothing(view)
        return estimate(view, unpaired, n, extra={"share": unpaired / n, "unnamed_events": unnamed})

    yield (), value
