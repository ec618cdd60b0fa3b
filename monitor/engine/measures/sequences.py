"""Sequences: anytime-valid tests of whether a shadow does harm, and changes of level of scalar streams.

Every difference is shadow minus active, and harm is what is positive: more errors, a larger loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from monitor.engine.family import Series, nothing, sorted_labels
from monitor.engine.measures.errors import FAILED_ANSWERS
from monitor.engine.memories.labels import LABELLED
from monitor.engine.panes import Pane
from monitor.engine.rings import WindowView
from monitor.engine.rows import ScoreStatus
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.engine.sequences import SequenceKind, Standing
from monitor.stats.betting import BettingTest, Harm
from monitor.stats.change_detection import CALIBRATION, ChangeDetector
from monitor.stats.counts import Counts
from monitor.stats.estimate import Estimate, Status
from monitor.stats.exact_sums import ExactSums
from monitor.stats.histogram import LatencyHistogram

PAIRED_ERRORS = ("pairs", "only_shadow", "only_active")
GAP = ("gap",)
FAILED = np.isin([status.name.lower() for status in ScoreStatus], FAILED_ANSWERS)
"""By status: whether the answer failed."""

UNIT_BOUND = 1.0
"""Of the loss of a probability or a class, which lies in [0, 1]."""

PREDICTION, LOSS, SERVING, INFERENCE = (
    "prediction_gap_change",
    "loss_change",
    "serve_latency_change",
    "inference_latency_change",
)
TESTS_OF_LOSS = ("loss_e_value", "loss_e_detector")
"""Metrics that need a bound of the loss."""

TESTS_OF_PNL = ("pnl_e_value", "pnl_e_detector")
"""Metrics that need a bound of the model effect."""

CHANGES = (PREDICTION, LOSS, SERVING, INFERENCE)
"""Metrics of the change detectors; they exist where a rule names them."""


def sources(scope: Scope) -> Iterator[Source]:
    """Of each shadow against the active: rows where one of them failed, gaps of losses and of predictions."""
    active = scope.roles[0]
    for shadow in scope.shadows:
        errors = plain(Counts, PAIRED_ERRORS)
        yield Source(f"paired_errors/{shadow}", "features", errors, _feed_errors(active, shadow))
        if _paired_kind(scope, shadow) in _LOSSES:
            feed = _feed_losses(active, shadow, _LOSSES[_paired_kind(scope, shadow)])
            yield Source(f"loss_gap/{shadow}", LABELLED, plain(ExactSums, GAP), feed)
        if PREDICTION in scope.sequences.changes:
            feed = _feed_predictions(active, shadow)
            yield Source(f"prediction_gap/{shadow}", "features", plain(ExactSums, GAP), feed)


def sequences(scope: Scope) -> Iterator[SequenceKind]:
    """The tests of every shadow, and the detectors that rules name."""
    rules = scope.sequences
    for shadow in scope.shadows:
        key = f"paired_errors/{shadow}"
        yield _test(f"errors/{shadow}", key, rules.block_ns, _error_gap(key), rules.error)
        harm = loss_harm(scope, shadow)
        if harm is not None:
            key = f"loss_gap/{shadow}"
            yield _test(f"loss/{shadow}", key, rules.block_ns, _gap(key), harm)
        if rules.pnl is not None:
            yield _test(pnl_test(shadow), "", rules.block_ns, None, rules.pnl)
    for name in CHANGES:
        if name in rules.changes:
            for key, value in _STREAMS[name](scope):
                yield SequenceKind(
                    key=f"{name}/{key}",
                    takes=(key,),
                    length_ns=rules.pane_ns,
                    value=value(key),
                    empty=lambda: ChangeDetector(rules.delta),
                    decode=lambda data: ChangeDetector.from_bytes(data, rules.delta),
                )


def pnl_test(shadow: str) -> str:
    """Key of the test of a shadow's P&L, which is fed by the books."""
    return f"pnl/{shadow}"


def _test(
    name: str, key: str, block_ns: int, value: Callable[[Pane], float | None] | None, harm: Harm
) -> SequenceKind:
    return SequenceKind(
        key=name,
        takes=(key,) if key else (),
        length_ns=block_ns,
        value=value,
        empty=lambda: BettingTest(harm),
        decode=lambda data: BettingTest.from_bytes(data, harm),
    )


def loss_harm(scope: Scope, shadow: str) -> Harm | None:
    """What is tested of a shadow's loss; None where it has none, or no bound."""
    kind = _paired_kind(scope, shadow)
    bound = scope.sequences.loss_bound
    if kind in ("probability", "class"):
        bound = bound or UNIT_BOUND
    return Harm(bound, scope.sequences.loss_margin) if kind in _LOSSES and bound is not None else None


def _paired_kind(scope: Scope, shadow: str) -> str:
    """The kind of output of the active and this shadow; "" where they differ, or labels do not come."""
    kinds = {scope.kinds.get(role, "") for role in (scope.roles[0], shadow)}
    return kinds.pop() if scope.labels is not None and len(kinds) == 1 else ""


def _squares(answer: Any, label: Any) -> Any:
    with np.errstate(over="ignore"):
        return (answer - label) ** 2


def _brier(answer: Any, label: Any) -> Any:
    usable = (answer >= 0.0) & (answer <= 1.0) & ((label == 0.0) | (label == 1.0))
    return np.where(usable, (answer - label) ** 2, np.nan)


def _mistaken(answer: Any, label: Any) -> Any:
    return np.where(np.isfinite(answer) & np.isfinite(label), (answer != label).astype(np.float64), np.nan)


_LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "return": _squares,
    "probability": _brier,
    "class": _mistaken,
}
"""Loss of answers against labels, by kind of output; NaN where there is none."""


def _feed_errors(active: str, shadow: str) -> Callable[[Counts, Batch], None]:
    def feed(statistic: Counts, batch: Batch) -> None:
        ours, theirs = batch.scores[active].status, batch.scores[shadow].status
        asked = (ours != ScoreStatus.INCOMPLETE) & (theirs != ScoreStatus.INCOMPLETE)
        we, they = FAILED[ours] & asked, FAILED[theirs] & asked
        counts = [np.count_nonzero(rows) for rows in (asked, they & ~we, we & ~they)]
        statistic.update_all(np.array(counts, np.int64))

    return feed


def _feed_losses(
    active: str, shadow: str, loss: Callable[[Any, Any], Any]
) -> Callable[[ExactSums, Batch], None]:
    def feed(statistic: ExactSums, batch: Batch) -> None:
        rows = batch.derived[LABELLED]
        ours, theirs, label = rows[f"value/{active}"], rows[f"value/{shadow}"], rows["label"]
        both = np.isfinite(ours) & np.isfinite(theirs) & np.isfinite(label)
        ours, theirs, label = ours[both], theirs[both], label[both]
        with np.errstate(invalid="ignore"):
            statistic.update((loss(theirs, label) - loss(ours, label))[:, None])

    return feed


def _feed_predictions(active: str, shadow: str) -> Callable[[ExactSums, Batch], None]:
    def feed(statistic: ExactSums, batch: Batch) -> None:
        ours, theirs = batch.scores[active], batch.scores[shadow]
        both = (ours.status == ScoreStatus.OK) & (theirs.status == ScoreStatus.OK)
        with np.errstate(over="ignore"):
            statistic.update((theirs.value[both] - ours.value[both])[:, None])

    return feed


def _error_gap(key: str) -> Callable[[Pane], float | None]:
    def value(pane: Pane) -> float | None:
        counts: Counts | None = pane.statistics.get(key)
        if counts is None or not counts["pairs"]:
            return None
        return (counts["only_shadow"] - counts["only_active"]) / counts["pairs"]

    return value


def _gap(key: str) -> Callable[[Pane], float | None]:
    def value(pane: Pane) -> float | None:
        sums: ExactSums | None = pane.statistics.get(key)
        return sums.mean("gap") if sums is not None and sums.n else None

    return value


def _log_latency(key: str) -> Callable[[Pane], float | None]:
    def value(pane: Pane) -> float | None:
        histogram: LatencyHistogram | None = pane.statistics.get(key)
        return histogram.mean_log() if histogram is not None and histogram.n else None

    return value


Stream = tuple[str, Callable[[str], Callable[[Pane], float | None]]]


def _prediction_gaps(scope: Scope) -> Iterator[Stream]:
    for shadow in scope.shadows:
        yield f"prediction_gap/{shadow}", _gap


def _loss_gaps(scope: Scope) -> Iterator[Stream]:
    for shadow in scope.shadows:
        if _paired_kind(scope, shadow) in _LOSSES:
            yield f"loss_gap/{shadow}", _gap


def _serving(scope: Scope) -> Iterator[Stream]:
    yield "serve_latency", _log_latency


def _inference(scope: Scope) -> Iterator[Stream]:
    for role in scope.roles:
        yield f"inference_latency/{role}", _log_latency


_STREAMS = {PREDICTION: _prediction_gaps, LOSS: _loss_gaps, SERVING: _serving, INFERENCE: _inference}


def _evidence(
    test: str, harm_of: Callable[[Scope, str], Harm | None], read: Callable[[BettingTest], float]
) -> Callable[[Scope], Series]:
    def series(scope: Scope) -> Series:
        for shadow in scope.shadows:
            harm = harm_of(scope, shadow)
            if harm is not None:
                block_s = scope.sequences.block_ns / 1e9
                yield sorted_labels(("role", shadow)), _read(f"{test}/{shadow}", harm, block_s, read)

    return series


def _read(
    key: str, harm: Harm, block_s: float, read: Callable[[BettingTest], float]
) -> Callable[[WindowView], Estimate]:
    def value(view: WindowView) -> Estimate:
        standing: Standing | None = view.sequences.get(key)
        if standing is None or standing.since is None or standing.until is None:
            return nothing(view)
        test: BettingTest = standing.state
        sound = standing.sound and not test.dependent
        return Estimate(
            value=read(test) if sound else None,
            n=test.blocks,
            status=Status.OK if sound else Status.UNKNOWN,
            from_ns=standing.since,
            to_ns=standing.until,
            extra={
                "hypothesis": f"mean loss of a block, given the past, <= {harm.margin:g}",
                "bound": harm.bound,
                "margin": harm.margin,
                "block_s": block_s,
                "blocks": test.blocks,
                "void_blocks": standing.void,
                "clip_share": test.clip_share,
                "clipped_off": test.clipped_off,
                "lag1": test.lag1,
                "log": _finite(test.log_e if read is _e_value else test.log_detector),
                "p_against": test.p_against,
            },
        )

    return value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _e_value(test: BettingTest) -> float:
    return test.e_value


def _detector(test: BettingTest) -> float:
    return test.detector


def _error_harm(scope: Scope, shadow: str) -> Harm:
    return scope.sequences.error


error_e_value = _evidence("errors", _error_harm, _e_value)
error_e_detector = _evidence("errors", _error_harm, _detector)


def _pnl_harm(scope: Scope, shadow: str) -> Harm | None:
    return scope.sequences.pnl


pnl_e_value = _evidence("pnl", _pnl_harm, _e_value)
pnl_e_detector = _evidence("pnl", _pnl_harm, _detector)
loss_e_value = _evidence("loss", loss_harm, _e_value)
loss_e_detector = _evidence("loss", loss_harm, _detector)


def _changes(name: str) -> Callable[[Scope], Series]:
    def series(scope: Scope) -> Series:
        if name not in scope.sequences.changes:
            return
        for key, _ in _STREAMS[name](scope):
            role = key.partition("/")[2]
            labels = sorted_labels(("role", role)) if role else ()
            yield labels, _found(f"{name}/{key}", scope.sequences.pane_ns / 1e9)

    return series


def _found(key: str, pane_s: float) -> Callable[[WindowView], Estimate]:
    def value(view: WindowView) -> Estimate:
        standing: Standing | None = view.sequences.get(key)
        if standing is None or not standing.taken:
            return nothing(view)
        inside = [end for end in standing.onsets if view.from_ns < end <= view.to_ns]
        enough = standing.taken > CALIBRATION
        status = Status.INSUFFICIENT if not enough else Status.OK if standing.sound else Status.UNKNOWN
        return Estimate(
            value=len(inside) if status is Status.OK else None,
            n=standing.taken,
            status=status,
            from_ns=view.from_ns,
            to_ns=view.to_ns,
            extra={
                "pane_s": pane_s,
                "void_panes": standing.void,
                "last_change_ns": standing.onsets[-1] if standing.onsets else None,
            },
        )

    return value


prediction_gap_change = _changes(PREDICTION)
loss_change = _changes(LOSS)
serve_latency_change = _changes(SERVING)
inference_latency_change = _changes(INFERENCE)
