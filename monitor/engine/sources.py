"""The pane statistics of a deployment: how each begins, and what it takes from a batch of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from monitor.engine.panes import Kind, pane_length
from monitor.engine.rows import TIMEOUT_NS, UNMEASURED_NS, Scores, ScoreStatus
from monitor.event_time.timing import FOLDED, Fate
from monitor.stats.binning import BinCounts, Binner
from monitor.stats.counts import Counts
from monitor.stats.histogram import LatencyHistogram
from monitor.stats.reference import Reference
from monitor.stats.sample import PairSample, cap_for
from monitor.wire.dead_letters import REASONS
from monitor.wire.table import Table

FATES = tuple(f.name.lower() for f in Fate if f not in (Fate.ON_TIME, Fate.REJECTED))
ANSWERS = (*(s.name.lower() for s in ScoreStatus), "unmeasured")
SERVED_OK, SERVED_FAILED = 1, 2


@dataclass(frozen=True, slots=True)
class Scope:
    """What a deployment watches; statistics and metrics follow from it.

    `columns`: of each feature of the reference, its place in the feature space; `artifacts`: SHA-256 of the
    model by role; `limits_ns`: named latency limits; `rank_k`: pairs a window's sample holds.
    """

    roles: tuple[str, ...]
    streams: tuple[str, ...]
    windows_ns: tuple[int, ...]
    limits_ns: tuple[int, ...]
    rank_k: int
    reference: Reference | None
    columns: tuple[int, ...]
    artifacts: Mapping[str, str]

    @property
    def shadows(self) -> tuple[str, ...]:
        """All roles but the active."""
        return self.roles[1:]

    @property
    def features(self) -> tuple[str, ...]:
        """Features with a reference distribution."""
        return tuple(self.reference.features) if self.reference else ()

    def digest(self, configuration: str) -> str:
        """SHA-256 of what the bytes of panes hang on: the digest of the configuration, and what it does not
        hold: limits that rules name, streams, and the content of models and reference.

        Without it, a policy that names another limit would read old counts in the wrong places.
        """
        reference = hashlib.sha256(self.reference.to_bytes()).hexdigest() if self.reference else None
        artifacts = sorted(self.artifacts.items())
        whole = [configuration, self.limits_ns, self.streams, artifacts, reference]
        return hashlib.sha256(orjson.dumps(whole)).hexdigest()


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one pane to feed: all rows of each stream, and the feature rows that enter statistics."""

    streams: Mapping[str, Table]
    features: Table | None
    scores: Mapping[str, Scores]

    @staticmethod
    def of(streams: Mapping[str, Table], scores: Mapping[str, Scores]) -> Batch:
        """`scores` are aligned with all rows of the features table."""
        rows = streams.get("features")
        if rows is None:
            return Batch(streams, None, {})
        folded = np.isin(rows["fate"], FOLDED)
        if folded.all():
            return Batch(streams, rows, scores)
        keep = np.flatnonzero(folded)
        return Batch(streams, rows.take(keep), {role: s.take(keep) for role, s in scores.items()})


@dataclass(frozen=True, slots=True)
class Source:
    """One pane statistic: its key, kind, and what it takes from a batch with at least one row.

    `every_ns`: the shortest schedule of a metric made of it (0: every evaluation); the open pane is said only
    when one is due.
    """

    key: str
    kind: Kind
    feed: Callable[[Any, Batch], None]
    every_ns: int = 0


def _summed(panes: Sequence[Any]) -> Any:
    total = panes[0].copy()
    for pane in panes[1:]:
        total.merge(pane)
    return total


def _plain(statistic: Any, spec: Any) -> Kind:
    return Kind(lambda _: statistic(spec), lambda data, _: statistic.from_bytes(data, spec), _summed)


def sources(scope: Scope) -> Iterator[Source]:
    """Every pane statistic of the deployment."""
    for stream in scope.streams:
        yield Source(f"fates/{stream}", _plain(Counts, FATES), _feed_fates(stream))
        yield Source(f"rejected/{stream}", _plain(Counts, REASONS[1:]), _feed_rejected(stream))
    yield Source("serve_latency", _plain(LatencyHistogram, scope.limits_ns), _feed_serve_latency)
    yield Source("served", _plain(Counts, ("ok", "failed")), _feed_served)
    for role in scope.roles:
        yield Source(f"answers/{role}", _plain(Counts, ANSWERS), _feed_answers(role))
        yield Source(
            f"inference_latency/{role}", _plain(LatencyHistogram, scope.limits_ns), _feed_latency(role)
        )
    for role in scope.shadows:
        yield Source(f"pairs/{role}", _pairs(scope), _feed_pairs(scope.roles[0], role), RANK_EVERY_NS)
    if scope.reference is not None:
        yield from _binned(scope, scope.reference)


RANK_EVERY_NS = 5_000_000_000
DRIFT_EVERY_NS = 60_000_000_000


def _pairs(scope: Scope) -> Kind:
    longest = {pane_length(w): w for w in sorted(scope.windows_ns, reverse=True)}

    def cap(length_ns: int) -> int:
        # The shortest window of a ring asks for the largest share of its panes.
        return cap_for(scope.rank_k, length_ns, longest.get(length_ns, min(scope.windows_ns)))

    return Kind(
        lambda length: PairSample(cap(length)),
        lambda data, length: PairSample.from_bytes(data, cap(length)),
        lambda panes: PairSample.join(panes, scope.rank_k),
    )


def _binned(scope: Scope, reference: Reference) -> Iterator[Source]:
    columns = np.array(scope.columns, np.int64)
    binner = Binner(tuple(reference.features.values()))

    def feed(statistic: BinCounts, batch: Batch) -> None:
        if batch.features is not None:
            statistic.update(batch.features["values"][:, columns])

    yield Source("features", _bins(binner), feed, DRIFT_EVERY_NS)
    for role in scope.roles:
        distribution = reference.predictions.get(scope.artifacts[role])
        if distribution is not None:
            yield Source(
                f"predictions/{role}", _bins(Binner((distribution,))), _feed_predictions(role), DRIFT_EVERY_NS
            )


def _bins(binner: Binner) -> Kind:
    return _plain(BinCounts, binner)


def _feed_fates(stream: str) -> Callable[[Counts, Batch], None]:
    def feed(statistic: Counts, batch: Batch) -> None:
        rows = batch.streams.get(stream)
        if rows is not None:
            statistic.update_all(np.bincount(rows["fate"], minlength=len(Fate))[Fate.QUARANTINED :])

    return feed


def _feed_rejected(stream: str) -> Callable[[Counts, Batch], None]:
    def feed(statistic: Counts, batch: Batch) -> None:
        rows = batch.streams.get(stream)
        if rows is not None and rows["reason"].any():
            statistic.update_all(np.bincount(rows["reason"], minlength=len(REASONS))[1:])

    return feed


def _feed_serve_latency(statistic: LatencyHistogram, batch: Batch) -> None:
    if batch.features is None:
        return
    latency = batch.features["served_latency"]
    answered = (batch.features["served"] != 0) & (latency != UNMEASURED_NS)
    timed_out = answered & (latency == TIMEOUT_NS)
    statistic.update(latency[answered & ~timed_out], int(timed_out.sum()))


def _feed_served(statistic: Counts, batch: Batch) -> None:
    if batch.features is not None:
        served = np.bincount(batch.features["served"], minlength=3)
        statistic.update_all(served[[SERVED_OK, SERVED_FAILED]])


def _feed_answers(role: str) -> Callable[[Counts, Batch], None]:
    def feed(statistic: Counts, batch: Batch) -> None:
        if role in batch.scores:
            scores = batch.scores[role]
            asked = scores.status != ScoreStatus.INCOMPLETE
            unmeasured = int((asked & (scores.latency == UNMEASURED_NS)).sum())
            counts = np.bincount(scores.status, minlength=len(ScoreStatus))
            statistic.update_all(np.append(counts, unmeasured))

    return feed


def _feed_latency(role: str) -> Callable[[LatencyHistogram, Batch], None]:
    def feed(statistic: LatencyHistogram, batch: Batch) -> None:
        if role not in batch.scores:
            return
        scores = batch.scores[role]
        timeouts = scores.status == ScoreStatus.TIMEOUT
        asked = (scores.status != ScoreStatus.INCOMPLETE) & (scores.latency != UNMEASURED_NS)
        statistic.update(scores.latency[asked & ~timeouts], int(timeouts.sum()))

    return feed


def _both_ok(first: Scores, second: Scores) -> NDArray[np.int64]:
    ok = (first.status == ScoreStatus.OK) & (second.status == ScoreStatus.OK)
    return np.flatnonzero(ok)


def _feed_pairs(active: str, shadow: str) -> Callable[[PairSample, Batch], None]:
    def feed(statistic: PairSample, batch: Batch) -> None:
        if batch.features is None or shadow not in batch.scores:
            return
        rows = _both_ok(batch.scores[active], batch.scores[shadow])
        features = batch.features
        statistic.update(
            features["sample_key"][rows],
            features["ts"][rows],
            features["symbol_key"][rows],
            batch.scores[active].value[rows],
            batch.scores[shadow].value[rows],
        )

    return feed


def _feed_predictions(role: str) -> Callable[[BinCounts, Batch], None]:
    def feed(statistic: BinCounts, batch: Batch) -> None:
        if role in batch.scores:
            scores = batch.scores[role]
            statistic.update(scores.value[scores.status == ScoreStatus.OK][:, None])

    return feed
