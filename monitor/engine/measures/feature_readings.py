"""What a window says of all features at once: readings of drift, mean shifts, shares. Names no metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.engine.family import estimate, share
from monitor.engine.rings import WindowView
from monitor.engine.scope import Scope
from monitor.stats.binning import BinCounts
from monitor.stats.drift import DriftReader, DriftReading
from monitor.stats.estimate import Estimate, Status
from monitor.stats.integer_counts import stacked
from monitor.stats.intervals import wilson
from monitor.stats.moments import Scale, mean_shifts
from monitor.stats.staleness import Staleness


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
        # Without a value in the reference there is nothing to be distant from.
        self._filled = np.array([any(d.counts) for d in self.distributions], np.int64)
        self._unseen = {
            place: d.unseen_bin for place, d in enumerate(self.distributions) if d.unseen_bin is not None
        }

    def counted(self, panes: list[BinCounts]) -> Counted:
        """Counts of the panes that have any."""
        by_pane = BinCounts.stacked(panes)
        missing = by_pane[:, :, -1]
        unseen = np.zeros_like(missing)
        for place, bin_ in self._unseen.items():
            unseen[:, place] = by_pane[:, place, bin_]
        return Counted(by_pane.sum(axis=0), by_pane[:, 0].sum(axis=1), missing, unseen)

    def readings(self, view: WindowView) -> list[DriftReading] | None:
        """Drift by feature; None without a row."""
        counted = view.by_pane("features", self.counted)
        if counted is None:
            return None
        return read_window(self._reader, view, "features", counted.live, counted.rows)

    def missing(self, view: WindowView) -> list[Estimate] | None:
        """`null_rate = missing / rows` by feature, a fraction; `extra.reference` is that of the reference.

        `n_eff` and Wilson's interval by how the panes scatter; `insufficient` without a row. Missing values
        are a bin of PSI too, so that a feed that dries up is drift whatever is left of it.
        """
        counted = view.by_pane("features", self.counted)
        if counted is None:
            return None
        rows = np.broadcast_to(counted.rows[:, None], counted.missing.shape)
        return rates(view, counted.missing, rows, [d.null_rate for d in self.distributions])

    def unseen(self, view: WindowView) -> list[Estimate] | None:
        """`unseen_rate = values of categories that the reference never saw / values present`, a fraction.

        `n_eff` and Wilson's interval by how the panes scatter; `insufficient` without a value present,
        `not_applicable` to numbers. What is unseen is a group of PSI by itself.
        """
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
        counted = view.by_pane("features", self.counted)
        assert counted is not None, "there are readings"
        present = counted.live[:, :-1].sum(axis=1) * self._filled
        return [
            of_present(reading, n, reading.estimates(view.from_ns, view.to_ns))
            for reading, n in zip(readings, present.tolist(), strict=True)
        ]

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
    filled = view.filled_ns
    ends = (*view.starts[1:], view.to_ns)
    spans = [
        (start if start >= filled else min(filled, end), min(start + pane.length_ns, end))
        for pane, start, end in zip(view.panes, view.starts, ends, strict=True)
        if key in pane.statistics
    ]
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


def of_present(reading: DriftReading, present: int, found: dict[str, Estimate]) -> dict[str, Estimate]:
    """Distances of the values that are there: `n` counts these, too few of them are `insufficient`.

    `ks` has `method` and `upper`: the true distance lies between it and `upper` for certain.
    """
    ks, p_value = found["ks"], found["ks_p_value"]
    if ks.status is Status.NOT_APPLICABLE:
        return found
    enough = present >= reading.n_needed and present > 0
    extra = {**ks.extra, "method": "binned", "upper": reading.ks_bound if enough else None}
    del extra["ks_upper_bound"]
    if enough:
        found["ks"] = msgspec.structs.replace(ks, n=present, extra=extra)
        found["ks_p_value"] = msgspec.structs.replace(p_value, n=present)
    else:
        missing = {"value": None, "status": Status.INSUFFICIENT, "n": present}
        found["ks"] = msgspec.structs.replace(ks, **missing, extra=extra)
        found["ks_p_value"] = msgspec.structs.replace(p_value, **missing)
    return found
