"""Drift of features against the frozen reference: how they are spread, whether they are there, and move."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.engine.family import Series, Value, estimate, nothing, share, sorted_labels
from monitor.engine.memories.previous import DERIVED, Previous
from monitor.engine.memory import Memory
from monitor.engine.rings import WindowView
from monitor.engine.scope import Batch, Scope, Source, plain, sampled
from monitor.stats.binning import BinCounts, Binner
from monitor.stats.drift import DriftReader, DriftReading
from monitor.stats.estimate import Estimate, Status
from monitor.stats.integer_counts import stacked
from monitor.stats.ks import exact_ks
from monitor.stats.moments import Moments, Scale, mean_shifts
from monitor.stats.reference import Distribution
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


class Features:
    """The features of a reference, and what a window says of all of them at once.

    `measured`: places of those with a mean and standard deviation.
    """

    def __init__(self, scope: Scope) -> None:
        assert scope.reference is not None
        self.distributions = tuple(scope.reference.features.values())
        self.measured = tuple(i for i, d in enumerate(self.distributions) if d.mean is not None)
        chosen = [self.distributions[place] for place in self.measured]
        self.scale = Scale([d.mean or 0.0 for d in chosen], [d.std or 0.0 for d in chosen])
        self._reader = DriftReader(self.distributions)

    def readings(self, view: WindowView) -> list[DriftReading] | None:
        """Drift by feature; None without a row."""
        panes = view.by_pane("features", _columns)
        return None if panes is None else read_window(self._reader, view, "features", panes)

    def estimates(self, view: WindowView) -> list[dict[str, Estimate]] | None:
        """By feature the estimates that its reading gives, by name."""
        readings = view.once(self.readings)
        if readings is None:
            return None
        return [reading.estimates(view.from_ns, view.to_ns) for reading in readings]

    def shifts(self, view: WindowView) -> dict[int, Estimate]:
        """Mean shift by place of the feature."""
        panes = view.by_pane("moments", list)
        if panes is None:
            return {}
        return dict(zip(self.measured, mean_shifts(panes, view.from_ns, view.to_ns), strict=True))


def _columns(panes: list[BinCounts]) -> NDArray[np.int64]:
    """Counts by pane, column and bin, missing values last."""
    return np.array([pane.columns() for pane in panes])


def read_window(
    reader: DriftReader, view: WindowView, key: str, panes: NDArray[np.int64]
) -> list[DriftReading]:
    """Readings of a window from counts of the panes that have the statistic `key`, (panes, columns, bins)."""
    spans = []
    ends = (*view.starts[1:], view.to_ns)
    for pane, start, end in zip(view.panes, view.starts, ends, strict=True):
        if key in pane.statistics:
            spans.append((max(start, min(view.filled_ns, end)), min(start + pane.length_ns, end)))
    return reader.read(panes.sum(axis=0), spans, panes[:, 0].sum(axis=1).tolist())


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
        readings = view.once(features.readings)
        if found is None or readings is None:
            return nothing(view)
        binned = with_bound(found[place]["ks"], readings[place])
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


def with_bound(binned: Estimate, reading: DriftReading) -> Estimate:
    """A binned distance with `method` and `upper`: the true one lies between the two for certain."""
    if binned.status is not Status.OK:
        return binned
    extra = {k: v for k, v in binned.extra.items() if k != "ks_upper_bound"}
    extra |= {"method": "binned", "upper": reading.ks_bound}
    return msgspec.structs.replace(binned, extra=extra)


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
                return nothing(view, Status.NOT_APPLICABLE)
            return view.once(features.shifts).get(place) or nothing(view)

        yield sorted_labels(("feature", feature)), value


def null_rate(scope: Scope) -> Series:
    """Share of missing values, by feature."""

    def of(place: int, distribution: Distribution) -> Value:
        def value(view: WindowView) -> Estimate:
            panes = view.by_pane("features", _columns)
            if panes is None:
                return nothing(view)
            extra = {"reference": distribution.null_rate}
            return share(view, panes[:, place, -1], panes[:, place].sum(axis=1), extra=extra)

        return value

    yield from _by_feature(scope, of)


def unseen_rate(scope: Scope) -> Series:
    """Share of categories that the reference never saw among those present, by categorical feature."""

    def of(place: int, distribution: Distribution) -> Value:
        unseen = distribution.unseen_bin

        def value(view: WindowView) -> Estimate:
            if unseen is None:
                return nothing(view, Status.NOT_APPLICABLE)
            panes = view.by_pane("features", _columns)
            if panes is None:
                return nothing(view)
            return share(view, panes[:, place, unseen], panes[:, place, :-1].sum(axis=1))

        return value

    yield from _by_feature(scope, of)


def frozen_rate(scope: Scope) -> Series:
    """Share of values that repeat the symbol's previous one, by feature."""

    def of(place: int, distribution: Distribution) -> Value:
        compared, frozen = (_staleness_place(scope, part, place) for part in ("compared", "frozen"))

        def value(view: WindowView) -> Estimate:
            panes = view.by_pane("staleness", stacked)
            if panes is None:
                return nothing(view)
            extra = {"reference": distribution.frozen_rate}
            return share(view, panes[:, frozen], panes[:, compared], extra=extra)

        return value

    yield from _by_feature(scope, of)


def feature_age(scope: Scope) -> Series:
    """Mean time since the symbol's value last changed, by feature."""

    def of(place: int, distribution: Distribution) -> Value:
        def value(view: WindowView) -> Estimate:
            staleness: Staleness | None = view.statistic("staleness")
            if staleness is None:
                return nothing(view)
            extra = {"reference": distribution.mean_age_s}
            return estimate(view, staleness.mean_age_s(place), staleness.present(place), extra=extra)

        return value

    yield from _by_feature(scope, of)


def _staleness_place(scope: Scope, part: str, place: int) -> int:
    return Staleness.PARTS.index(part) * len(scope.columns) + place


def _by_feature(scope: Scope, of: Callable[[int, Distribution], Value]) -> Series:
    if scope.reference is not None:
        for place, (feature, distribution) in enumerate(scope.reference.features.items()):
            yield sorted_labels(("feature", feature)), of(place, distribution)


def features_drifted(scope: Scope) -> Series:
    """Number of features that have drifted by the deployment's rules; `n` could be judged."""
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
    """The largest excess PSI of all features, and whose it is."""
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
