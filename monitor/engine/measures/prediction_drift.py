"""Drift of predictions: each role against its own reference, a shadow against the active."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from monitor.engine.family import Series, nothing, sorted_labels
from monitor.engine.measures.drift import DRIFT_EVERY_NS
from monitor.engine.measures.feature_readings import of_present, read_window
from monitor.engine.rings import WindowView
from monitor.engine.rows import ScoreStatus
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.stats.binning import BinCounts, Binner
from monitor.stats.divergence import Divergence, divergence
from monitor.stats.drift import DriftReader, DriftReading
from monitor.stats.estimate import Estimate, Status
from monitor.stats.moments import Moments, Scale, mean_shifts
from monitor.stats.reference import Distribution


def sources(scope: Scope) -> Iterator[Source]:
    """Predictions by reference bin and their sums, by role; a shadow's beside the active's on its bins."""
    for role, distribution in _frozen(scope).items():
        feed = _feed(role)
        binned = plain(BinCounts, Binner((distribution,)))
        yield Source(f"predictions/{role}", "features", binned, feed, DRIFT_EVERY_NS)
        if distribution.mean is not None:
            kind = plain(Moments, Scale([distribution.mean], [distribution.std or 0.0]))
            yield Source(f"prediction_moments/{role}", "features", kind, feed, DRIFT_EVERY_NS)
    active = scope.roles[0]
    if active in _frozen(scope):
        both = plain(BinCounts, Binner((_frozen(scope)[active],) * 2))
        for role in scope.shadows:
            feed_both = _feed_both(active, role)
            yield Source(f"divergence/{role}", "features", both, feed_both, DRIFT_EVERY_NS)


def _frozen(scope: Scope) -> dict[str, Distribution]:
    """Reference of the predictions of each role that has one."""
    known = scope.reference.predictions if scope.reference else {}
    return {role: known[sha] for role in scope.roles if (sha := scope.artifacts[role]) in known}


def _feed(role: str) -> Callable[[BinCounts | Moments, Batch], None]:
    def feed(statistic: BinCounts | Moments, batch: Batch) -> None:
        scores = batch.scores[role]
        statistic.update(scores.value[scores.status == ScoreStatus.OK][:, None])

    return feed


def _feed_both(active: str, shadow: str) -> Callable[[BinCounts, Batch], None]:
    def feed(statistic: BinCounts, batch: Batch) -> None:
        ours, theirs = batch.scores[active], batch.scores[shadow]
        answered = (ours.status == ScoreStatus.OK) & (theirs.status == ScoreStatus.OK)
        statistic.update(np.column_stack([ours.value[answered], theirs.value[answered]]))

    return feed


def _by_pane(panes: list[BinCounts]) -> NDArray[np.int64]:
    return np.array([pane.columns() for pane in panes])


class _Predictions:
    """What a window says of one role's predictions."""

    def __init__(self, role: str, distribution: Distribution) -> None:
        self._key = f"predictions/{role}"
        self._reader = DriftReader((distribution,))

    def reading(self, view: WindowView) -> DriftReading | None:
        panes = view.by_pane(self._key, _by_pane)
        if panes is None:
            return None
        live, rows = panes.sum(axis=0), panes[:, 0].sum(axis=1)
        return read_window(self._reader, view, self._key, live, rows)[0]

    def estimates(self, view: WindowView) -> dict[str, Estimate] | None:
        reading = view.once(self.reading)
        if reading is None:
            return None
        # A prediction that is counted is there.
        return of_present(reading, reading.n, reading.estimates(view.from_ns, view.to_ns))


def _all(scope: Scope) -> dict[str, _Predictions]:
    return {role: _Predictions(role, distribution) for role, distribution in _frozen(scope).items()}


def of_reading(name: str) -> Callable[[Scope], Series]:
    """A metric of each role's predictions that their reading gives."""

    def of(scope: Scope) -> Series:
        for role, predictions in scope.once(_all).items():

            def value(view: WindowView, predictions: _Predictions = predictions) -> Estimate:
                found = view.once(predictions.estimates)
                return nothing(view) if found is None else found[name]

            yield sorted_labels(("role", role)), value

    return of


prediction_psi = of_reading("psi")
prediction_psi_excess = of_reading("psi_excess")
prediction_psi_p_value = of_reading("psi_p_value")
prediction_ks = of_reading("ks")
prediction_ks_p_value = of_reading("ks_p_value")


def prediction_mean_shift_sigma(scope: Scope) -> Series:
    """Shift of the mean prediction in standard deviations of the reference, by role."""
    for role, distribution in _frozen(scope).items():

        def value(
            view: WindowView, role: str = role, known: bool = distribution.mean is not None
        ) -> Estimate:
            if not known:
                return nothing(view, Status.NOT_APPLICABLE)
            panes = view.by_pane(f"prediction_moments/{role}", list)
            return nothing(view) if panes is None else mean_shifts(panes, view.from_ns, view.to_ns)[0]

        yield sorted_labels(("role", role)), value


def _diverged(name: str) -> Callable[[Scope], Series]:
    def of(scope: Scope) -> Series:
        active = _frozen(scope).get(scope.roles[0])
        if active is None:
            return
        for role in scope.shadows:

            def value(view: WindowView, key: str = f"divergence/{role}") -> Estimate:
                counts: BinCounts | None = view.statistic(key)
                if counts is None:
                    return nothing(view)
                found: Divergence = divergence(active, counts.column(0), counts.column(1))
                return found.estimates(view.from_ns, view.to_ns)[name]

            yield sorted_labels(("role", role)), value

    return of


prediction_divergence_psi = _diverged("psi")
prediction_divergence_ks = _diverged("ks")
