"""Drift of features against the frozen reference: how they are spread, whether they are there, and move."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.engine.family import Series, Value, estimate, nothing, sorted_labels
from monitor.engine.measures.feature_readings import Features
from monitor.engine.memories.previous import DERIVED, Previous
from monitor.engine.memory import Memory
from monitor.engine.rings import WindowView
from monitor.engine.scope import Batch, Scope, Source, plain, sampled
from monitor.stats.binning import BinCounts, Binner
from monitor.stats.estimate import Estimate, Status
from monitor.stats.ks import exact_ks
from monitor.stats.moments import Moments
from monitor.stats.sample import PairSample, WindowSample
from monitor.stats.significance import significant
from monitor.stats.staleness import Staleness

DRIFT_EVERY_NS = 60_000_000_000

_NAMED = 16
"""Drifted features that a value names."""


def sources(scope: Scope) -> Iterator[Source]:
    """Features by reference bin, their sums, repetitions and ages, and samples of some."""
    if not scope.features:
        return
    features = scope.once(Features)
    binned = plain(BinCounts, Binner(features.distributions))
    yield Source("features", "features", binned, _feed_columns(scope.columns), DRIFT_EVERY_NS)
    if features.measured:
        columns = tuple(scope.columns[place] for place in features.measured)
        kind = plain(Moments, features.scale)
        yield Source("moments", "features", kind, _feed_columns(columns), DRIFT_EVERY_NS)
    kind = plain(Staleness, len(scope.columns))
    yield Source("staleness", DERIVED, kind, _feed_staleness, DRIFT_EVERY_NS)
    for feature in scope.drift.ks_features:
        column = scope.columns[scope.features.index(feature)]
        kind = sampled(scope, PairSample, scope.drift.ks_k)
        yield Source(_sample_of(feature), "features", kind, _feed_sample(column), DRIFT_EVERY_NS)


def memories(scope: Scope) -> Iterator[Memory]:
    """The last value of each symbol's features."""
    if scope.features:
        yield Previous(scope.columns)


def _feed_columns(columns: Sequence[int]) -> Callable[[Any, Batch], None]:
    places: slice | NDArray[np.int64] = np.array(columns, np.int64)
    if list(columns) == list(range(columns[0], columns[0] + len(columns))):
        places = slice(columns[0], columns[0] + len(columns))

    def feed(statistic: Any, batch: Batch) -> None:
        statistic.update(batch.features["values"][:, places])

    return feed


def _feed_staleness(statistic: Staleness, batch: Batch) -> None:
    statistic.update(batch.derived[DERIVED]["counts"])


def _feed_sample(column: int) -> Callable[[PairSample, Batch], None]:
    def feed(statistic: PairSample, batch: Batch) -> None:
        rows = batch.features
        values = rows["values"][:, column]
        statistic.update(rows["sample_key"], rows["ts"], rows["symbol_key"], values, np.zeros(len(values)))

    return feed


def _sample_of(feature: str) -> str:
    return f"values/{feature}"


def of_reading(name: str) -> Callable[[Scope], Series]:
    """A metric of each feature that its reading gives: `psi`, `psi_excess`, `psi_p_value`, `ks_p_value`."""

    def of(scope: Scope) -> Series:
        if not scope.features:
            return
        features = scope.once(Features)
        for place, feature in enumerate(scope.features):

            def value(view: WindowView, place: int = place) -> Estimate:
                found = view.once(features.estimates)
                return nothing(view) if found is None else found[place][name]

            yield sorted_labels(("feature", feature)), value

    return of


psi = of_reading("psi")
psi_excess = of_reading("psi_excess")
psi_p_value = of_reading("psi_p_value")
ks_p_value = of_reading("ks_p_value")


def ks(scope: Scope) -> Series:
    """Distance of Kolmogorov and Smirnov: binned, or on samples of the features that are named for it."""
    if not scope.features:
        return
    features = scope.once(Features)
    for place, feature in enumerate(scope.features):
        sampled_feature = feature if feature in scope.drift.ks_features else None
        yield sorted_labels(("feature", feature)), _ks(features, place, sampled_feature)


def _ks(features: Features, place: int, sampled_feature: str | None) -> Value:
    frozen = np.array(features.distributions[place].sample or (), np.float64)

    def value(view: WindowView) -> Estimate:
        found = view.once(features.estimates)
        if found is None:
            return nothing(view)
        binned = found[place]["ks"]
        if sampled_feature is None or binned.status is not Status.OK:
            return binned
        sample: WindowSample | None = view.statistic(_sample_of(sampled_feature))
        distance = exact_ks(frozen, sample.pairs.a) if sample is not None else None
        if sample is None or distance is None:
            return binned
        extra = {
            **binned.extra,
            "method": "exact" if sample.exact else "sample",
            "binned": binned.value,
            "sample_n": len(sample.pairs),
            "reference_sample_n": frozen.size,
            "error": _sampling_error(frozen.size)
            + (0.0 if sample.exact else _sampling_error(len(sample.pairs))),
        }
        return msgspec.structs.replace(binned, value=distance, extra=extra)

    return value


def _sampling_error(n: int) -> float:
    """How far the distribution of a sample of n lies from that of all in 95 % of cases, at most.

    Source: Dvoretzky, Kiefer, Wolfowitz (1956) with Massart's constant (1990).
    """
    return math.sqrt(math.log(2 / 0.05) / (2 * n))


def mean_shift_sigma(scope: Scope) -> Series:
    """Shift of the mean in standard deviations of the reference, by feature."""
    if not scope.features:
        return
    features = scope.once(Features)
    for place, feature in enumerate(scope.features):

        def value(view: WindowView, place: int = place) -> Estimate:
            if place not in features.measured:
                return _not_applicable(view)
            return view.once(features.shifts).get(place) or nothing(view)

        yield sorted_labels(("feature", feature)), value


def _of_all(
    read: Callable[[Features], Callable[[WindowView], list[Estimate] | None]],
) -> Callable[[Scope], Series]:
    """A metric that is read of all features at once."""

    def of(scope: Scope) -> Series:
        if not scope.features:
            return
        every = read(scope.once(Features))
        for place, feature in enumerate(scope.features):

            def value(view: WindowView, place: int = place) -> Estimate:
                found = view.once(every)
                return nothing(view) if found is None else found[place]

            yield sorted_labels(("feature", feature)), value

    return of


null_rate = _of_all(lambda features: features.missing)
frozen_rate = _of_all(lambda features: features.frozen)


def unseen_rate(scope: Scope) -> Series:
    """Share of categories that the reference never saw among the values present; of categorical features."""
    if scope.reference is None:
        return
    kinds = [distribution.kind for distribution in scope.reference.features.values()]
    for (labels, value), kind in zip(_unseen_rate(scope), kinds, strict=True):
        yield labels, value if kind == "categorical" else _not_applicable


_unseen_rate = _of_all(lambda features: features.unseen)


def _not_applicable(view: WindowView) -> Estimate:
    return nothing(view, Status.NOT_APPLICABLE)


def feature_age(scope: Scope) -> Series:
    """Mean time since the symbol's value last changed, or was first seen, by feature; seconds."""
    if scope.reference is None:
        return
    for place, (feature, distribution) in enumerate(scope.reference.features.items()):

        def value(
            view: WindowView, place: int = place, was: float | None = distribution.mean_age_s
        ) -> Estimate:
            staleness = view.by_pane("staleness", Staleness.joined)
            if staleness is None:
                return nothing(view)
            extra = {"reference": was}
            return estimate(view, staleness.mean_age_s(place), staleness.present(place), extra=extra)

        yield sorted_labels(("feature", feature)), value


def features_drifted(scope: Scope) -> Series:
    """The number of features that have drifted by `DriftRules`, of the `n` that could be judged.

    `insufficient` where none could (no calibrated p-value of PSI: `extra.reasons` says why). `extra`:
    `alpha`, `correction`, `material_excess`, `unjudged` and `features`, the first 16 that drifted.
    """
    if not scope.features:
        return
    features, rules = scope.once(Features), scope.drift

    def value(view: WindowView) -> Estimate:
        readings = view.once(features.readings)
        if readings is None:
            return nothing(view)
        p_values = [reading.psi_p for reading in readings]
        judged = sum(p is not None for p in p_values)
        extra: dict[str, Any] = {
            "alpha": rules.alpha,
            "correction": rules.correction,
            "material_excess": rules.material_excess,
            "unjudged": len(readings) - judged,
        }
        reasons = sorted({reading.fault for reading in readings if reading.psi_p is None and reading.fault})
        if reasons:
            extra["reasons"] = reasons
        if not judged:
            return msgspec.structs.replace(nothing(view), extra=extra)
        certain = significant(p_values, rules.alpha, rules.correction)
        drifted = [
            feature
            for feature, reading, beyond in zip(scope.features, readings, certain, strict=True)
            if beyond and (reading.psi_excess or 0.0) > rules.material_excess
        ]
        return estimate(view, len(drifted), judged, extra=extra | {"features": drifted[:_NAMED]})

    yield (), value


def drift_score(scope: Scope) -> Series:
    """`max_feature psi_excess`, nats: how far the feature that moved most has moved beyond chance.

    `n` rows of that feature, `extra.feature` its name, `extra.features` how many were compared. It needs no
    calibration, so the more features, the larger it is by chance: `features_drifted` corrects for that.
    `insufficient` where no feature has enough rows.
    """
    if not scope.features:
        return
    features = scope.once(Features)

    def value(view: WindowView) -> Estimate:
        readings = view.once(features.readings) or []
        found = [
            (r.psi_excess, -i, r.n, name)
            for i, (name, r) in enumerate(zip(scope.features, readings, strict=False))
            if r.psi_excess is not None
        ]
        if not found:
            return nothing(view)
        score, _, n, name = max(found)
        return estimate(view, score, n, extra={"feature": name, "features": len(found)})

    yield (), value
