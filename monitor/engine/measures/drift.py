"""Drift of features against the frozen reference: how they are spread, whether they are there, and move."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

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
from monitor.stats.intervals import wilson
from monitor.stats.ks import exact_ks
from monitor.stats.moments import Moments, Scale, mean_shifts
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


class Counted(NamedTuple):
    """What the panes of a window counted: values by column and bin (missing ones last) over all, (columns,
    bins); rows by pane, (panes,); missing and unseen values by pane and column, (panes, columns)."""

    live: NDArray[np.int64]
    rows: NDArray[np.int64]
    missing: NDArray[np.int64]
    unseen: NDArray[np.int64]


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
        self._unseen = np.array([d.unseen_bin or 0 for d in self.distributions], np.int64)

    def counted(self, panes: list[BinCounts]) -> Counted:
        """Counts of the panes that have any."""
        columns = [pane.columns() for pane in panes]
        live = columns[0].copy()
        for more in columns[1:]:
            live += more
        places = np.arange(len(live))
        return Counted(
            live,
            np.array([pane[0].sum() for pane in columns]),
            np.array([pane[:, -1] for pane in columns]),
            np.array([pane[places, self._unseen] for pane in columns]),
        )

    def readings(self, view: WindowView) -> list[DriftReading] | None:
        """Drift by feature; None without a row."""
        counted = view.by_pane("features", self.counted)
        if counted is None:
            return None
        return read_window(self._reader, view, "features", counted.live, counted.rows)

    def missing(self, view: WindowView) -> list[Estimate] | None:
        """Share of missing values by feature."""
        counted = view.by_pane("features", self.counted)
        if counted is None:
            return None
        rows = np.broadcast_to(counted.rows[:, None], counted.missing.shape)
        return rates(view, counted.missing, rows, [d.null_rate for d in self.distributions])

    def unseen(self, view: WindowView) -> list[Estimate] | None:
        """Share of unseen categories among the values present, by feature; of numbers it means nothing."""
        counted = view.by_pane("features", self.counted)
        if counted is None:
            return None
        present = counted.rows[:, None] - counted.missing
        return rates(view, counted.unseen, present, [0.0 for _ in self.distributions])

    def frozen(self, view: WindowView) -> list[Estimate] | None:
        """Share of values that repeat the one before, by feature."""
        panes = view.by_pane("staleness", stacked)
        if panes is None:
            return None
        width = len(self.distributions)
        frozen, compared = (
            panes[:, place * width : (place + 1) * width]
            for place in map(Staleness.PARTS.index, ("frozen", "compared"))
        )
        return rates(view, frozen, compared, [d.frozen_rate for d in self.distributions])

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


def read_window(
    reader: DriftReader, view: WindowView, key: str, live: NDArray[np.int64], rows: NDArray[np.int64]
) -> list[DriftReading]:
    """Readings of a window, from counts (columns, bins) and the rows of each pane that has `key`."""
    spans = []
    ends = (*view.starts[1:], view.to_ns)
    for pane, start, end in zip(view.panes, view.starts, ends, strict=True):
        if key in pane.statistics:
            spans.append((max(start, min(view.filled_ns, end)), min(start + pane.length_ns, end)))
    return reader.read(live, spans, rows.tolist())


def rates(
    view: WindowView,
    events: NDArray[np.int64],
    totals: NDArray[np.int64],
    reference: Sequence[float | None],
) -> list[Estimate]:
    """`family.share` of each column, (panes, columns) each, with the share that the reference had."""
    found = []
    columns = zip(events.sum(axis=0).tolist(), totals.sum(axis=0).tolist(), reference, strict=True)
    for place, (event, total, was) in enumerate(columns):
        extra = {"reference": was}
        if 0 < event < total or not total:
            found.append(share(view, events[:, place], totals[:, place], extra=extra))
        else:
            # None or all: panes cannot scatter, which spares most features most of the work.
            low, high = wilson(event / total, total)
            found.append(
                estimate(view, event / total, total, n_eff=float(total), low=low, high=high, extra=extra)
            )
    return found


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
