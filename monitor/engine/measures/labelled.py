"""Skill on labels: how right each role's predictions were, by what its model puts out."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.engine.family import Series, Value, estimate, mean, nothing, ratio, share, sorted_labels
from monitor.engine.measures.labelled_rows import (
    ANSWERED,
    CLASSES,
    CONFIDENCE,
    ERRORS,
    PROBABILITY,
    RETURN,
    VAIN,
)
from monitor.engine.memories.labels import COUNTS
from monitor.engine.rings import WindowView
from monitor.engine.scope import Scope
from monitor.stats.calibration_curve import (
    CalibrationCurve,
    debiased_calibration_error,
    expected_calibration_error,
    expected_when_calibrated,
    jackknife_error,
)
from monitor.stats.confusion import JACCARD, RATIOS, f1_of
from monitor.stats.counts import Counts
from monitor.stats.dependence import effective_size
from monitor.stats.estimate import Estimate, Status
from monitor.stats.exact_sums import ExactSums
from monitor.stats.intervals import Z_95
from monitor.stats.roc import area_under_curve
from monitor.stats.sample import WindowSample
from monitor.transport.contract import OUTCOMES


def by_role(of: Callable[[str], Value], kinds: tuple[str, ...]) -> Callable[[Scope], Series]:
    """A series a role; `not_applicable` where the role's kind of output has no such metric, and
    `insufficient` where there are no labels."""

    def series(scope: Scope) -> Series:
        for role in scope.roles:
            if role in scope.kinds:
                has = scope.kinds[role] in kinds
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
            # None of these is ever negative, which a symmetric interval cannot know.
            low = None if found.low is None else max(0.0, found.low)
            return msgspec.structs.replace(found, value=sums.mean(name), low=low)

        return value

    return of


brier = by_role(_mean("losses", "brier", "brier_squared"), PROBABILITY)
confidence = by_role(_mean("confidence", *CONFIDENCE), PROBABILITY)


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


ROWS_A_BIN = 10
"""Of a calibration curve, for noise to be told from miscalibration: fewer would pass as calibrated."""


def _calibration(read: Callable[[CalibrationCurve], float], rows_a_bin: int = 0) -> Callable[[str], Value]:
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
            if n < (needed := rows_a_bin * extra["bins"]):
                return msgspec.structs.replace(nothing(view), n=n, extra={**extra, "n_needed": needed})
            return estimate(view, found, n, low=low, high=high, extra=extra)

        return value

    return of


ece = by_role(_calibration(expected_calibration_error), PROBABILITY)
ece_debiased = by_role(_calibration(debiased_calibration_error, ROWS_A_BIN), PROBABILITY)


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
    waited in vain; `dropped`: had to go, since more than `labels.limit` waited; `pending`: by how much
    `waiting` exceeds these three, which is how many still wait, once the window is much longer than the wait;
    `unknown`: outcomes for no event within `labels.wait`; `duplicate`: outcomes for an event that has one,
    the first counts; `lost`: outcomes that had to go; `late`: outcomes behind their input's bound, which
    enter nothing.
    """
    for reason in (*COUNTS, "pending", "late"):

        def value(view: WindowView, reason: str = reason) -> Estimate:
            rows: Counts | None = view.statistic("label_rows")
            fates: Counts | None = view.statistic(f"fates/{OUTCOMES}")
            if rows is None and fates is None:
                return nothing(view)
            n = rows[reason] if rows and reason in COUNTS else 0
            if rows and reason == "pending":
                n = max(0, rows["waiting"] - rows.total(("labelled", "expired", "dropped")))
            if fates and reason in ("late", "duplicate"):
                n += fates[reason]
            return Estimate(value=n, n=n, status=Status.OK, from_ns=view.from_ns, to_ns=view.to_ns)

        yield sorted_labels(("reason", reason)), value
