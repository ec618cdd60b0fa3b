"""Ticks to measure drift on: AR(1) columns with a season of the day, ten events a second, binned by panes.

Values lie on a grid of 8,192 cells, so that a day of 864,000 of them takes 20 ms and binning is a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from scipy.signal import lfilter

from monitor.stats.calibration import calibrate
from monitor.stats.drift import DriftReader, DriftReading
from monitor.stats.reference import Distribution, freeze

DAY_S, PANE_S = 86_400, 60
PANES = DAY_S // PANE_S
MINUTE_NS = 60 * 10**9
CELLS, REACH = 8_192, 6.4
CELLS_PER_SIGMA = CELLS / (2 * REACH)


@dataclass(frozen=True)
class Ticks:
    """`rho`: correlation from one event to the next; `season`: share by which the standard deviation swings
    over a day; `rate`: events a second."""

    rho: float = 0.0
    season: float = 0.0
    rate: int = 10

    def days(self, rng: np.random.Generator, days: int) -> Iterator[np.ndarray]:
        """Cells, (events of a day,) int16, one day after the other without a break."""
        size = DAY_S * self.rate
        spread = 1 + self.season * np.cos(2 * np.pi * np.arange(size) / size)
        state = np.array([self.rho * rng.standard_normal()])
        innovation = np.sqrt(1 - self.rho**2)
        for _ in range(days):
            day = np.empty(size, np.int16)
            for start in range(0, size, size // 20):
                values = rng.standard_normal(size // 20)
                if self.rho:
                    values, state = lfilter([innovation], [1.0, -self.rho], values, zi=state)
                if self.season:
                    values *= spread[start : start + values.size]
                day[start : start + values.size] = np.clip((values + REACH) * CELLS_PER_SIGMA, 0, CELLS - 1)
            yield day

    def reference(self, rng: np.random.Generator, days: int = 7) -> Distribution:
        """What `freeze` makes of so many days, but for edges from part of the first: sorting takes long."""
        cells = list(self.days(rng, days))
        first = freeze(cells[0][:: self.rate].astype(np.float64))
        panes = np.concatenate([self.panes(day, first) for day in cells])
        counts = panes.sum(axis=0).tolist()
        return msgspec.structs.replace(
            first,
            counts=tuple(counts[:-1]),
            n=sum(counts),
            calibration=calibrate(np.arange(len(panes)) * MINUTE_NS, panes),
        )

    def panes(self, cells: np.ndarray, distribution: Distribution) -> np.ndarray:
        """Counts of a day's panes, (1440, bins + 1)."""
        width = len(distribution.counts) + 1
        table = distribution.bins(np.arange(float(CELLS))).astype(np.int32)
        pane = np.repeat(np.arange(PANES, dtype=np.int32) * width, PANE_S * self.rate)
        return np.bincount(table.take(cells) + pane, minlength=PANES * width).reshape(PANES, width)


def shifted(cells: np.ndarray, sigmas: float) -> np.ndarray:
    return np.clip(cells.astype(np.int64) + round(sigmas * CELLS_PER_SIGMA), 0, CELLS - 1).astype(np.int16)


def looks(
    distribution: Distribution, panes: np.ndarray, every: int = 6, window: int = 60, first: int = 0
) -> tuple[np.ndarray, list[DriftReading]]:
    """Readings of the windows of `window` panes that end at every `every`-th, and those ends in order.

    `panes` follow each other without a break from midnight; windows at one time of day are read at once.
    """
    total = np.concatenate((np.zeros((1, panes.shape[1]), np.int64), np.cumsum(panes, axis=0)))
    ends = np.arange(max(window, first), len(panes) + 1, every)
    readings: list[DriftReading] = [None] * ends.size  # type: ignore[list-item]
    readers: dict[int, DriftReader] = {}
    for minute in np.unique(ends % PANES).tolist():
        places = np.flatnonzero(ends % PANES == minute)
        if places.size not in readers:
            readers[places.size] = DriftReader([distribution] * places.size)
        end_ns = (PANES + minute) * MINUTE_NS
        counts = total[ends[places]] - total[ends[places] - window]
        read = readers[places.size].read(counts, [(end_ns - window * MINUTE_NS, end_ns)])
        for place, reading in zip(places.tolist(), read, strict=True):
            readings[place] = reading
    return ends, readings
