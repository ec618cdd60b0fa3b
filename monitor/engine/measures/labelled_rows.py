"""Labelled rows: which statistics of each role's answers are kept, and how a pane is fed with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.engine.measures.skill import SKILL_EVERY_NS, skill_sample
from monitor.engine.memories.labels import COUNTED, COUNTS, LABELLED, UNLABELLED, Labels
from monitor.engine.memory import Memory
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.stats import losses
from monitor.stats.calibration_curve import (
    CalibrationCurve,
    calibration_edges,
)
from monitor.stats.confusion import CELLS, THRESHOLD, confuse
from monitor.stats.counts import Counts
from monitor.stats.exact_sums import ExactSums
from monitor.stats.sample import PairSample

PROBABILITY, CLASSES, RETURN = ("probability",), ("class", "probability"), ("return",)
"""Kinds of output that have a metric."""

LOSSES = ("brier", "brier_squared", "log_loss", "log_loss_squared")
ERRORS = ("squared_error", "fourth_power")
CONFIDENCE = ("confidence", "confidence_squared")
SIGNS = ("agree", "differ", "zero")
ANSWERED = ("labelled", "unusable", "clipped")
VAIN = ("expired", "dropped")

Floats = NDArray[np.float64]


def sources(scope: Scope) -> Iterator[Source]:
    """Counts, sums and samples of labelled rows, by role."""
    for role in scope.roles:
        if scope.kinds.get(role) == "probability":
            spec = plain(ExactSums, CONFIDENCE)
            yield Source(f"confidence/{role}", "features", spec, _feed_confidence(role))
    if scope.labels is None:
        return
    yield Source("label_rows", COUNTED, plain(Counts, COUNTS), _feed_rows)
    for role in scope.roles:
        kind = scope.kinds.get(role, "")
        due = plain(Counts, VAIN)
        yield Source(f"labelled/{role}", LABELLED, plain(Counts, ANSWERED), _feed_answered(role, kind))
        yield Source(f"unlabelled/{role}", UNLABELLED, due, _feed_unlabelled(role))
        if kind == "return":
            yield Source(f"errors/{role}", LABELLED, plain(ExactSums, ERRORS), _fed(role, kind, _errors))
            yield Source(f"signs/{role}", LABELLED, plain(Counts, SIGNS), _fed(role, kind, _signs))
        if kind in CLASSES:
            yield Source(
                f"confusion/{role}", LABELLED, plain(Counts, CELLS), _fed(role, kind, _confusion(kind))
            )
        if kind == "probability":
            curve = plain(CalibrationCurve, calibration_edges(_predictions(scope, role)))
            yield Source(f"losses/{role}", LABELLED, plain(ExactSums, LOSSES), _fed(role, kind, _losses))
            yield Source(
                f"calibration/{role}",
                LABELLED,
                curve,
                _fed(role, kind, CalibrationCurve.update),
                SKILL_EVERY_NS,
            )
            yield Source(f"roc/{role}", LABELLED, skill_sample(scope), _feed_roc(role, kind), SKILL_EVERY_NS)


def memories(scope: Scope) -> Iterator[Memory]:
    """The join of outcomes and predictions."""
    if scope.labels is not None:
        yield Labels(scope.labels, scope.roles)


def _predictions(scope: Scope, role: str) -> Any:
    return scope.reference.predictions.get(scope.artifacts[role]) if scope.reference else None


def _feed_confidence(role: str) -> Callable[[ExactSums, Batch], None]:
    def feed(statistic: ExactSums, batch: Batch) -> None:
        p = batch.scores[role].value
        p = p[(p >= 0.0) & (p <= 1.0)]
        _add(statistic, losses.confidence(p))

    return feed


def _feed_rows(statistic: Counts, batch: Batch) -> None:
    rows = batch.derived[COUNTED]
    statistic.update_all(np.array([int(rows[name].sum()) for name in COUNTS]))


def _feed_unlabelled(role: str) -> Callable[[Counts, Batch], None]:
    def feed(statistic: Counts, batch: Batch) -> None:
        rows = batch.derived[UNLABELLED]
        dropped = rows["dropped"][np.isfinite(rows[f"value/{role}"])]
        gone = int(np.count_nonzero(dropped))
        statistic.update_all(np.array([len(dropped) - gone, gone]))

    return feed


def _feed_answered(role: str, kind: str) -> Callable[[Counts, Batch], None]:
    def feed(statistic: Counts, batch: Batch) -> None:
        p, places = _usable(batch, role, kind)
        answered = int(np.count_nonzero(np.isfinite(batch.derived[LABELLED][f"value/{role}"])))
        clipped = losses.clipped(p) if kind == "probability" else 0
        statistic.update_all(np.array([answered, answered - len(places), clipped]))

    return feed


def _usable(batch: Batch, role: str, kind: str) -> tuple[Floats, NDArray[np.int64]]:
    """Answers of a role that met a label that its kind of output can be held against, and their places.

    A probability lies in [0, 1] and its label is 0 or 1; the label of anything else is any number.
    """
    rows = batch.derived[LABELLED]
    answer, label = rows[f"value/{role}"], rows["label"]
    good = np.isfinite(answer) & np.isfinite(label)
    if kind == "probability":
        good &= (answer >= 0.0) & (answer <= 1.0) & ((label == 0.0) | (label == 1.0))
    places = np.flatnonzero(good)
    return answer[places], places


def _fed(role: str, kind: str, update: Callable[[Any, Floats, Floats], None]) -> Callable[[Any, Batch], None]:
    def feed(statistic: Any, batch: Batch) -> None:
        answer, places = _usable(batch, role, kind)
        if len(places):
            update(statistic, answer, batch.derived[LABELLED]["label"][places])

    return feed


def _feed_roc(role: str, kind: str) -> Callable[[PairSample, Batch], None]:
    def feed(statistic: PairSample, batch: Batch) -> None:
        answer, places = _usable(batch, role, kind)
        rows = batch.derived[LABELLED].take(places)
        # Keys are of symbol and event, so the symbol need not tell them apart once more.
        statistic.update(rows["key"], rows["eff"], np.zeros(len(places), np.uint64), answer, rows["label"])

    return feed


def _errors(statistic: ExactSums, answer: Floats, label: Floats) -> None:
    _add(statistic, losses.squared_error(answer, label))


def _signs(statistic: Counts, answer: Floats, label: Floats) -> None:
    statistic.update_all(losses.signs(answer, label))


def _confusion(kind: str) -> Callable[[Counts, Floats, Floats], None]:
    def update(statistic: Counts, answer: Floats, label: Floats) -> None:
        said = (answer >= THRESHOLD).astype(np.float64) if kind == "probability" else answer
        statistic.update_all(confuse(said, label))

    return update


def _losses(statistic: ExactSums, answer: Floats, label: Floats) -> None:
    _add(statistic, losses.brier(answer, label), losses.log_loss(answer, label))


def _add(statistic: ExactSums, *columns: Floats) -> None:
    """Each column, and its squares, of which standard errors are made."""
    with np.errstate(over="ignore"):
        statistic.update(np.column_stack([part for column in columns for part in (column, column * column)]))
