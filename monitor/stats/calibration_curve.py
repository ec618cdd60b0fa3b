"""`CalibrationCurve`: probabilities against what came true, in frozen bins, and the errors read from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from monitor.stats.integer_counts import IntegerCounts
from monitor.stats.reference import Distribution

EQUAL_WIDTH_BINS = 15

JACKKNIFE_BLOCKS = 16

_PARTS = 4
_LIMB = float(1 << 26)
_UNITS = 1 << 52
"""Probabilities are summed as integers of 2^-52, in two halves of 26 bits."""

Edges = tuple[float, ...]


def calibration_edges(reference: Distribution | None) -> Edges:
    """Inner edges of at most 15 bins: of equal mass in the reference's predictions, else of equal width.

    >>> len(calibration_edges(None)), round(calibration_edges(None)[0], 6)
    (14, 0.066667)
    """
    if reference is None:
        return tuple(i / EQUAL_WIDTH_BINS for i in range(1, EQUAL_WIDTH_BINS))
    return tuple(reference.edges[start - 1] for start in reference.psi_starts[1:])


class CalibrationCurve(IntegerCounts[Edges]):
    """Per bin of the edges `spec`: rows, sum of the probabilities, and how many came true; a pane statistic.

    Probabilities are rounded to 2^-52; bin i holds edges[i-1] <= p < edges[i].

    >>> curve = CalibrationCurve((0.5,))
    >>> curve.update(np.array([0.2, 0.4, 0.9, 0.7]), np.array([0.0, 1.0, 1.0, 0.0]))
    >>> curve.rows.tolist(), curve.positives.tolist(), [round(gap / _UNITS, 6) for gap in curve.gaps()]
    ([2, 2], [1, 1], [-0.4, 0.6])
    """

    __slots__ = ()

    @staticmethod
    def _size(spec: Edges) -> int:
        return _PARTS * (len(spec) + 1)

    def update(self, probability: NDArray[np.float64], label: NDArray[np.float64]) -> None:
        """Take n probabilities in [0, 1] and their labels, 0 or 1."""
        bins = np.searchsorted(np.array(self.spec), probability, side="right")
        width = len(self.spec) + 1
        units = np.rint(probability * _UNITS)
        high = np.floor(units / _LIMB)
        rows, positives, above, below = self._vector.reshape(_PARTS, -1)
        rows += np.bincount(bins, minlength=width)
        positives += np.bincount(bins[label == 1.0], minlength=width)
        # Weights of 27 bits: exact in float64 up to 2^26 rows.
        above += np.bincount(bins, high, width).astype(np.int64)
        below += np.bincount(bins, units - high * _LIMB, width).astype(np.int64)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows by bin."""
        return self._vector[: len(self.spec) + 1]

    @property
    def positives(self) -> NDArray[np.int64]:
        """Rows with label 1, by bin."""
        width = len(self.spec) + 1
        return self._vector[width : 2 * width]

    def gaps(self) -> list[int]:
        """Sum of (probability - label) by bin, exact, in units of 2^-52."""
        _, positives, above, below = self._vector.reshape(_PARTS, -1).tolist()
        return [
            (int(high) << 26) + int(low) - int(true) * _UNITS
            for high, low, true in zip(above, below, positives, strict=True)
        ]


def expected_calibration_error(curve: CalibrationCurve) -> float:
    """ECE = sum over bins of n_b / n |mean p - share of ones|, a fraction; NaN without rows.

    Bins are the groups of PSI of the reference's predictions, 15 of equal width where it has none. Never 0,
    also of a perfect model: see `expected_when_calibrated`.

    >>> curve = CalibrationCurve((0.5,))
    >>> curve.update(np.array([0.2, 0.4, 0.9, 0.7]), np.array([0.0, 1.0, 1.0, 0.0]))
    >>> expected_calibration_error(curve)
    0.25

    Source: Naeini, Cooper and Hauskrecht, AAAI 2015.
    """
    n = int(curve.rows.sum())
    return sum(map(abs, curve.gaps())) / (n * _UNITS) if n else math.nan


def expected_when_calibrated(curve: CalibrationCurve) -> float:
    """What ECE would be, about, of a calibrated model on as many rows: sum of n_b / n sqrt(2 v_b / (pi n_b)),
    v_b = y (1 - y) with y = (ones + 1/2) / (n_b + 1), so that a bin of one row is not thought certain: mean
    absolute value of a normal deviation. It falls with 1/sqrt(n).
    """
    n = int(curve.rows.sum())
    terms = [
        math.sqrt(2.0 / math.pi * rows * (ones + 0.5) * (rows - ones + 0.5)) / (rows + 1)
        for rows, ones in zip(curve.rows.tolist(), curve.positives.tolist(), strict=True)
        if rows
    ]
    return math.fsum(terms) / n if n else math.nan


def debiased_calibration_error(curve: CalibrationCurve) -> float:
    """sqrt(max(0, CE2)), CE2 = sum over bins of n_b / n [(mean p - y)^2 - y (1 - y) / (n_b - 1)], y the share
    of ones; a fraction: the root mean square of miscalibration by bin, about 0 of a calibrated model.

    Bins with fewer than 2 rows say nothing of their own noise and are left out; NaN where all are. As a
    metric it wants 10 rows a filled bin.

    >>> curve = CalibrationCurve(())
    >>> curve.update(np.full(1000, 0.58), np.repeat([0.0, 1.0], 500))
    >>> round(debiased_calibration_error(curve), 3)
    0.078

    Source: Kumar, Liang and Ma, Verified Uncertainty Calibration, NeurIPS 2019.
    """
    n, terms = 0, []
    for rows, ones, gap in zip(curve.rows.tolist(), curve.positives.tolist(), curve.gaps(), strict=True):
        if rows < 2:
            continue
        n += rows
        difference = gap / (rows * _UNITS)
        terms.append(rows * difference * difference - ones * (rows - ones) / (rows * (rows - 1)))
    return math.sqrt(max(0.0, math.fsum(terms) / n)) if n else math.nan


def jackknife_error(
    panes: Sequence[CalibrationCurve], value: Callable[[CalibrationCurve], float]
) -> float | None:
    """Standard error of `value` of all panes together, from what it is without each of 16 blocks of them.

    sqrt((m - 1) / m sum (v_i - mean)^2) over m blocks of neighbouring panes; None below 8 panes.

    Source: Efron and Stein, Annals of Statistics 9 (1981); blocks: Kuensch, Annals of Statistics 17 (1989).
    """
    blocks = min(len(panes), JACKKNIFE_BLOCKS)
    if blocks < JACKKNIFE_BLOCKS // 2:
        return None
    whole = np.array([pane._vector for pane in panes])
    ends = [len(panes) * block // blocks for block in range(blocks + 1)]
    values = []
    for start, end in pairwise(ends):
        rest = CalibrationCurve(panes[0].spec)
        rest._vector[:] = whole[:start].sum(axis=0) + whole[end:].sum(axis=0)
        values.append(value(rest))
    if not all(map(math.isfinite, values)):
        return None
    mean = math.fsum(values) / blocks
    return math.sqrt((blocks - 1) / blocks * math.fsum([(v - mean) ** 2 for v in values]))
