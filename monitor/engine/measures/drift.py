"""Drift: features and predictions against the frozen reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from monitor.engine.family import Series, nothing, sorted_labels
from monitor.engine.panes import Kind
from monitor.engine.rings import WindowView
from monitor.engine.rows import ScoreStatus
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.stats.binning import BinCounts, Binner
from monitor.stats.estimate import Estimate
from monitor.stats.psi import psi_estimate

DRIFT_EVERY_NS = 60_000_000_000


def sources(scope: Scope) -> Iterator[Source]:
    """Features and predictions counted by reference bin."""
    reference = scope.reference
    if reference is None:
        return
    columns = np.array(scope.columns, np.int64)
    binner = Binner(tuple(reference.features.values()))

    def feed(statistic: BinCounts, batch: Batch) -> None:
        statistic.update(batch.features["values"][:, columns])

    yield Source("features", "features", _bins(binner), feed, DRIFT_EVERY_NS)
    for role in scope.roles:
        distribution = reference.predictions.get(scope.artifacts[role])
        if distribution is not None:
            kind = _bins(Binner((distribution,)))
            yield Source(f"predictions/{role}", "features", kind, _feed_predictions(role), DRIFT_EVERY_NS)


def _bins(binner: Binner) -> Kind:
    return plain(BinCounts, binner)


def _feed_predictions(role: str) -> Callable[[BinCounts, Batch], None]:
    def feed(statistic: BinCounts, batch: Batch) -> None:
        scores = batch.scores[role]
        statistic.update(scores.value[scores.status == ScoreStatus.OK][:, None])

    return feed


def psi(scope: Scope) -> Series:
    """PSI by feature."""
    reference = scope.reference
    if reference is None:
        return
    for place, feature in enumerate(scope.features):

        def value(view: WindowView, place: int = place, feature: str = feature) -> Estimate:
            bins = view.statistic("features")
            if bins is None:
                return nothing(view)
            return psi_estimate(reference.features[feature], bins.column(place), view.from_ns, view.to_ns)

        yield sorted_labels(("feature", feature)), value


def prediction_psi(scope: Scope) -> Series:
    """PSI of predictions by role."""
    for role in scope.roles:
        distribution = scope.reference.predictions.get(scope.artifacts[role]) if scope.reference else None
        if distribution is None:
            continue

        def value(view: WindowView, role: str = role, distribution: Any = distribution) -> Estimate:
            bins = view.statistic(f"predictions/{role}")
            if bins is None:
                return nothing(view)
            return psi_estimate(distribution, bins.column(0), view.from_ns, view.to_ns)

        yield sorted_labels(("role", role)), value
