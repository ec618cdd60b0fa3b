"""Errors: how rows fared, and how production and the monitor's own models answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from monitor.engine.family import Series, counts_of, estimate, ratio, sorted_labels
from monitor.engine.rings import WindowView
from monitor.engine.rows import UNMEASURED_NS, ScoreStatus
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.event_time.timing import Fate
from monitor.stats.counts import Counts
from monitor.stats.estimate import Estimate
from monitor.wire.dead_letters import REASONS

FATES = tuple(f.name.lower() for f in Fate if f not in (Fate.ON_TIME, Fate.REJECTED))
ANSWERS = (*(s.name.lower() for s in ScoreStatus), "unmeasured")
FAILED_ANSWERS = ("error", "timeout", "non_finite", "wrong_shape")
SERVED_OK, SERVED_FAILED = 1, 2


def sources(scope: Scope) -> Iterator[Source]:
    """Counters of fates, rejections and answers."""
    for stream in scope.streams:
        yield Source(f"fates/{stream}", stream, plain(Counts, FATES), _feed_fates(stream))
        yield Source(f"rejected/{stream}", stream, plain(Counts, REASONS[1:]), _feed_rejected(stream))
    yield Source("served", "features", plain(Counts, ("ok", "failed")), _feed_served)
    for role in scope.roles:
        yield Source(f"answers/{role}", "features", plain(Counts, ANSWERS), _feed_answers(role))


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


def _feed_served(statistic: Counts, batch: Batch) -> None:
    served = np.bincount(batch.features["served"], minlength=3)
    statistic.update_all(served[[SERVED_OK, SERVED_FAILED]])


def _feed_answers(role: str) -> Callable[[Counts, Batch], None]:
    def feed(statistic: Counts, batch: Batch) -> None:
        scores = batch.scores[role]
        asked = scores.status != ScoreStatus.INCOMPLETE
        unmeasured = int((asked & (scores.latency == UNMEASURED_NS)).sum())
        counts = np.bincount(scores.status, minlength=len(ScoreStatus))
        statistic.update_all(np.append(counts, unmeasured))

    return feed


def error_rate(scope: Scope) -> Series:
    """Failed answers in those that were asked for, by role."""
    asked = tuple(a for a in ANSWERS if a not in ("incomplete", "unmeasured"))
    for role in scope.roles:
        yield sorted_labels(("role", role)), ratio(f"answers/{role}", FAILED_ANSWERS, asked)


def served_error_rate(scope: Scope) -> Series:
    """Failed answers of production in all that it recorded."""
    yield (), ratio("served", ("failed",), ("ok", "failed"))


def event_rate(scope: Scope) -> Series:
    """Rows folded a second, by stream."""
    for stream in scope.streams:

        def value(view: WindowView, key: str = f"fates/{stream}") -> Estimate:
            counts = counts_of(view, key)
            n = counts.total(("accepted", "reordered", "late_applied")) if counts else 0
            # A silent stream is no data, not a rate of zero that could pass.
            return estimate(view, n * 1e9 / (view.to_ns - view.from_ns) if n else 0.0, n)

        yield sorted_labels(("stream", stream)), value
