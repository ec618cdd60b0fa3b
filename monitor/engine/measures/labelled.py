"""Skill on labels: how right each role's predictions were, by what its model puts out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.engine.family import Series, Value, estimate, mean, nothing, ratio, share, sorted_labels
from monitor.engine.measures.skill import SKILL_EVERY_NS, skill_sample
from monitor.engine.memories.labels import COUNTED, COUNTS, LABELLED, UNLABELLED, Labels
from monitor.engine.memory import Memory
from monitor.engine.rings import WindowView
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.stats import losses
from monitor.stats.calibration_curve import (
    CalibrationCurve,
    calibration_edges,
    debiased_calibration_error,
    expected_calibration_error,
    expected_when_calibrated,
    jackknife_error,
)
from monitor.stats.confusion import CELLS, JACCARD, RATIOS, THRESHOLD, confuse, f1_of
from monitor.stats.counts import Counts
from monitor.stats.dependence import effective_size
from monitor.stats.estimate import Estimate, Status
from monitor.stats.exact_sums import ExactSums
from monitor.stats.intervals import Z_95
from monitor.stats.roc import area_under_curve
from monitor.stats.sample import PairSample, WindowSample
from monitor.transport.contract import OUTCOMES

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


def by_role(
    of: Callable[[str], Value], kinds: tuple[str, ...] = (), *, labels: bool = True
) -> Callable[[Scope], Series]:
    """A series a role; `not_applicable` where the role's kind of output has no such metric."""

    def series(scope: Scope) -> Series:
        if labels and scope.labels is None:
            return
        for role in scope.roles:
            if role in scope.kinds:
                has = not kinds or scope.kinds[role] in kinds
                yield sorted_labels(("role", role)), of(role) if has else not_applicable

    return series


def not_applicable(view: WindowView) -> Estimate:
    """The role's model puts out something that has no such metric."""
    return nothing(view, Status.NOT_APPLICABLE)


def confused(name: str) -> Callable[[Scope], Series]:
    """A ratio of cells of the confusion matrix."""
    return by_role(lambda role: ratio(f"confusion/{role}", *RATIOS[name]), CLASSES)


def _f1(role: str) -> Value:
    jaccard = ratio(f"confusion/{role}", *JACCARD)

    def value(view: WindowView) -> Estimate:
        found = jaccard(view)
        if found.value is None:
            return found
        low, high = (None if bound is None else f1_of(bound) for bound in (found.low, found.high))
        return msgspec.structs.replace(found, value=f1_of(found.value), low=low, high=high)

    return value


f1 = by_role(_f1, CLASSES)


def _mean(key: str, name: str, square: str) -> Callable[[str], Value]:
    def of(role: str) -> Value:
        def value(view: WindowView) -> Estimate:
            sums: ExactSums | None = view.statistic(f"{key}/{role}")
            panes = view.by_pane(f"{key}/{role}", list)
            if sums is None or panes is None or not sums.n:
                return nothing(view)
            totals = np.array([pane.n for pane in panes])
            extra = {"left_out": sums.left_out}
            found = mean(
                view, [pane.sum(name) for pane in panes], totals, sums.variance(name, square), extra=extra
            )
            return msgspec.structs.replace(found, value=sums.mean(name))

        return value

    return of


brier = by_role(_mean("losses", "brier", "brier_squared"), PROBABILITY)
confidence = by_role(_mean("confidence", *CONFIDENCE), PROBABILITY, labels=False)


def _log_loss(role: str) -> Value:
    loss = _mean("losses", "log_loss", "log_loss_squared")(role)

    def value(view: WindowView) -> Estimate:
        found = loss(view)
        answered: Counts | None = view.statistic(f"labelled/{role}")
        clipped = answered["clipped"] if answered else 0
        return msgspec.structs.replace(found, extra=found.extra | {"clipped": clipped})

    return value


log_loss = by_role(_log_loss, PROBABILITY)


def _rmse(role: str) -> Value:
    squares = _mean("errors", *ERRORS)(role)

    def value(view: WindowView) -> Estimate:
        found = squares(view)
        if found.value is None:
            return found
        low, high = (None if b is None else math.sqrt(max(0.0, b)) for b in (found.low, found.high))
        return msgspec.structs.replace(found, value=math.sqrt(found.value), low=low, high=high)

    return value


rmse = by_role(_rmse, RETURN)


def _sign_accuracy(role: str) -> Value:
    agree = ratio(f"signs/{role}", ("agree",), ("agree", "differ"))

    def value(view: WindowView) -> Estimate:
        found = agree(view)
        signs: Counts | None = view.statistic(f"signs/{role}")
        return msgspec.structs.replace(found, extra={"zeros": signs["zero"] if signs else 0})

    return value


sign_accuracy = by_role(_sign_accuracy, RETURN)


def _calibration(read: Callable[[CalibrationCurve], float]) -> Callable[[str], Value]:
    def of(role: str) -> Value:
        def value(view: WindowView) -> Estimate:
            curve: CalibrationCurve | None = view.statistic(f"calibration/{role}")
            panes = view.by_pane(f"calibration/{role}", list)
            if curve is None or panes is None:
                return nothing(view)
            n, found = int(curve.rows.sum()), read(curve)
            if math.isnan(found):
                return nothing(view)
            error = jackknife_error(panes, read)
            low = None if error is None else max(0.0, found - Z_95 * error)
            high = None if error is None else min(1.0, found + Z_95 * error)
            extra = {
                "bins": int(np.count_nonzero(curve.rows)),
                "expected_when_calibrated": expected_when_calibrated(curve),
            }
            return estimate(view, found, n, low=low, high=high, extra=extra)

        return value

    return of


ece = by_role(_calibration(expected_calibration_error), PROBABILITY)
ece_debiased = by_role(_calibration(debiased_calibration_error), PROBABILITY)


def _auc(role: str) -> Value:
    def value(view: WindowView) -> Estimate:
        sample: WindowSample | None = view.statistic(f"roc/{role}")
        if sample is None:
            return nothing(view)
        pairs = sample.pairs.take(np.argsort(sample.pairs.ts, kind="stable"))
        area = area_under_curve(pairs.a, pairs.b)
        n = len(pairs)
        extra = {
            "positives": area.positives,
            "negatives": area.negatives,
            "exact": sample.exact,
            "pairs_seen": sample.seen,
        }
        if math.isnan(area.value):
            return msgspec.structs.replace(nothing(view), n=n, extra=extra)
        n_eff = effective_size(area.influence)
        low = high = None
        if not math.isnan(area.error):
            error = area.error * math.sqrt(n / n_eff)
            low, high = max(0.0, area.value - Z_95 * error), min(1.0, area.value + Z_95 * error)
        return estimate(view, area.value, n, n_eff=n_eff, low=low, high=high, extra=extra)

    return value


auc = by_role(_auc, PROBABILITY)


def label_coverage(scope: Scope) -> Series:
    """Label coverage: share of a role's predictions that met their outcome, of those that no longer wait.

    The others waited in vain (`expired`), or had to go since too many waited (`dropped`). Each counts in the
    pane in which its wait ended. `unusable`: met an outcome that the kind of output cannot be held against (a
    probability: one that is neither 0 nor 1). Wilson's interval on the rows that the scatter of panes leaves.
    """
    if scope.labels is None:
        return
    for role in scope.roles:

        def value(view: WindowView, role: str = role) -> Estimate:
            met = _by_pane(view, f"labelled/{role}", ANSWERED)
            vain = _by_pane(view, f"unlabelled/{role}", VAIN)
            labelled, unusable, _ = met.T
            totals = labelled + vain.sum(axis=1)
            extra = dict(zip(VAIN, vain.sum(axis=0).tolist(), strict=True))
            extra |= {"labelled": int(labelled.sum()), "unusable": int(unusable.sum())}
            filled = totals > 0
            return share(view, labelled[filled], totals[filled], extra=extra)

        yield sorted_labels(("role", role)), value


def _by_pane(view: WindowView, key: str, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Counters of all panes, (panes, names); 0 where a pane has none."""
    found = [pane.statistics.get(key) for pane in view.panes]
    counts = [[counts[name] if counts else 0 for name in names] for counts in found]
    return np.array(counts, np.int64).reshape(len(counts), len(names))


def label_rows(scope: Scope) -> Series:
    """Label rows: what became of predictions and outcomes in the window, by reason; a count.

    `waiting`: predictions that began to wait; `labelled`: met their outcome, whichever came first; `expired`:
    waited in vain; `dropped`: had to go, since more than `labels.limit` waited; `unknown`: outcomes for no
    event within `labels.wait`; `duplicate`: outcomes for an event that has one, the first counts; `lost`:
    outcomes that had to go; `late`: outcomes behind their input's bound, which enter nothing.
    """
    if scope.labels is None:
        return
    for reason in (*COUNTS, "late"):

        def value(view: WindowView, reason: str = reason) -> Estimate:
            rows: Counts | None = view.statistic("label_rows")
            fates: Counts | None = view.statistic(f"fates/{OUTCOMES}")
            if rows is None and fates is None:
                return nothing(view)
            n = rows[reason] if rows and reason in COUNTS else 0
            if fates and reason in ("late", "duplicate"):
                n += fates[reason]
            return Estimate(value=n, n=n, status=Status.OK, from_ns=view.from_ns, to_ns=view.to_ns)

        yield sorted_labels(("reason", reason)), value
