"""`Moments`: exact fixed-point sums of columns in units of the reference's standard deviation.

Knows means and standard deviations only, not how they were found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from monitor.stats.estimate import Estimate, Status
from monitor.stats.integer_counts import IntegerCounts, by_column, decode_counts, encode_counts, stacked

UNITS = 1 << 20
"""Fixed-point units in a standard deviation: a value is rounded by less than 5e-7 of it."""

CLIP_SIGMA = 256
"""Values count as this far from the reference mean at most: one wild value among n moves it by 256 / n."""

LEAST_VALUES = 10
MAX_BLOCKS = 16

_CHUNK_VALUES = 32_768
_BOUND = float(UNITS * CLIP_SIGMA)
_CHUNK_ROWS = 1024
_MARK_BITS = 40
_MARK = 2.0**_MARK_BITS
"""Put for a missing value: a chunk's sum is less than half of it without, and below 2^53 with all of them."""

_PARTS = 4


class Scale:
    """Mean and standard deviation of each column of the reference.

    A column that was constant (standard deviation 0) has no scale: any value that differs lies beyond all
    bounds, so it counts as clipped, on its side.
    """

    def __init__(self, means: Sequence[float], stds: Sequence[float]) -> None:
        self.means, self.stds = tuple(means), tuple(stds)
        self.centres = np.array(self.means, np.float64)
        with np.errstate(over="ignore", divide="ignore"):
            factors = UNITS / np.array(self.stds, np.float64)
        self.constant = np.flatnonzero(~np.isfinite(factors))
        # What differs from a constant is made infinite before it is scaled.
        factors[self.constant] = 1.0
        self.factors = factors

    def __len__(self) -> int:
        return len(self.means)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scale) and (self.means, self.stds) == (other.means, other.stds)

    def __hash__(self) -> int:
        return hash((self.means, self.stds))


class Moments(IntegerCounts[Scale]):
    """Per column: finite values, their sum of (x - mean) / std of the reference, clipped at +-256, how many
    were clipped, and how many were infinite; a pane statistic.

    Sums are int64 of units of 2^-20 standard deviations, so that no order and no batch changes a bit. They
    hold 3.4e10 rows, 13,000 a second for 30 days, even if every one lay at the bound.

    >>> moments = Moments(Scale([10.0], [2.0]))
    >>> moments.update(np.array([[12.0], [8.0], [11.0], [np.nan], [1e6], [-np.inf]]))
    >>> moments.counts.tolist(), (moments.sums / UNITS).tolist()
    ([4], [256.5])
    >>> moments.clipped.tolist(), moments.infinite.tolist()
    ([1], [1])
    """

    __slots__ = ()

    @staticmethod
    def _size(spec: Scale) -> int:
        return _PARTS * len(spec)

    def update(self, matrix: NDArray[np.float64]) -> None:
        """Take the rows of `matrix`, (n, columns) float64 with NaN = missing."""
        rows = max(1, min(_CHUNK_ROWS, _CHUNK_VALUES // max(1, len(self.spec))))
        for start in range(0, len(matrix), rows):
            self._take(matrix[start : start + rows])

    def _take(self, matrix: NDArray[np.float64]) -> None:
        spec = self.spec
        with np.errstate(over="ignore", invalid="ignore"):
            units = matrix - spec.centres
            for column in spec.constant.tolist():
                units[:, column] = np.sign(units[:, column]) * np.inf
                np.copyto(units[:, column], 0.0, where=matrix[:, column] == spec.centres[column])
            units *= spec.factors
            np.rint(units, out=units)
            plain = units.min() >= -_BOUND and units.max() <= _BOUND
        counts, sums, _, _ = self._parts
        counts += len(matrix)
        if not plain:
            self._set_aside(matrix, units)
        # Whole numbers, and partial sums of them below 2^53: exact in any order.
        total = np.einsum("ij->j", units).astype(np.int64)
        if not plain:
            missing = (total + (1 << _MARK_BITS - 1)) >> _MARK_BITS
            counts -= missing
            total -= missing << _MARK_BITS
        sums += total

    def _set_aside(self, matrix: NDArray[np.float64], units: NDArray[np.float64]) -> None:
        """Count what is infinite or beyond the bound; leave in `units` what counts, and marks for missing."""
        if not (np.fmin.reduce(units, axis=None) >= -_BOUND and np.fmax.reduce(units, axis=None) <= _BOUND):
            counts, _, clipped, infinite = self._parts
            endless = np.isinf(matrix)
            infinite += (ends := by_column(endless))
            counts -= ends
            np.copyto(units, 0.0, where=endless)
            clipped += by_column(np.abs(units) > _BOUND)
            np.clip(units, -_BOUND, _BOUND, out=units)
        # Of NaN and a number it takes the number.
        np.fmin(units, _MARK, out=units)

    @property
    def _parts(self) -> list[NDArray[np.int64]]:
        """Views of the four kinds of counters, each by column."""
        return list(self._vector.reshape(_PARTS, -1))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Finite values by column."""
        return self._parts[0]

    @property
    def sums(self) -> NDArray[np.int64]:
        """Sums by column, in units of 2^-20 standard deviations."""
        return self._parts[1]

    @property
    def clipped(self) -> NDArray[np.int64]:
        """Finite values beyond the bound, by column; they are in the sums at the bound."""
        return self._parts[2]

    @property
    def infinite(self) -> NDArray[np.int64]:
        """Infinite values by column; they are in no sum."""
        return self._parts[3]

    def to_bytes(self) -> bytes:
        """As counts, each sum in two places: what is above zero and what is below."""
        return encode_counts(np.concatenate([self._vector, np.maximum(-self.sums, 0)]).clip(min=0))

    @classmethod
    def from_bytes(cls, data: bytes, spec: Scale) -> Self:
        """The statistic whose `to_bytes` gave `data`.

        Raises:
            StateError: the bytes do not fit the specification.
        """
        statistic = cls(spec)
        *parts, below = np.split(decode_counts(data, (_PARTS + 1) * len(spec)), _PARTS + 1)
        statistic._vector[:] = np.concatenate(parts)
        statistic.sums[:] -= below
        return statistic


def mean_shifts(panes: Sequence[Moments], from_ns: int, to_ns: int) -> list[Estimate]:
    """`mean_shift_sigma` of each column: (mean - reference mean) / reference standard deviation.

    The mean is of the finite values with |x - reference mean| clipped at 256 standard deviations, exact in
    fixed point (2^-20). `insufficient` below 10 values. A reference that was constant gives +-256
    times the share of values that differ from it.

    `n_eff` and the 95 % interval come from batch means: consecutive panes joined into at most 16 blocks, each
    block's deviation d_b = sum - mean n_b, standard error = sqrt(B / (B - 1) sum d_b^2) / n, Student's t with
    B - 1 degrees of freedom; `n_eff` = min(n, 1 / standard error^2) draws of the reference's variance. Below
    two blocks there is neither. Panes much shorter than the correlation time make both optimistic.
    `extra`: `clip_sigma`, `clipped`, `infinite`, `blocks`.

    >>> moments = Moments(Scale([10.0], [2.0]))
    >>> moments.update(np.full((20, 1), 11.0))
    >>> mean_shifts([moments], 0, 1)[0].value
    0.5

    Source: batch means, Law, Simulation Modeling and Analysis (2015), 9.5.3.
    """
    spec = panes[0].spec
    bounds = np.linspace(0, len(panes), min(len(panes), MAX_BLOCKS) + 1).astype(np.int64)[:-1]
    table = np.add.reduceat(stacked(panes), bounds, axis=0)
    blocks = table.reshape(len(bounds), _PARTS, len(spec))
    n, total, clipped, infinite = blocks.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        deviations = blocks[:, 1] - blocks[:, 0] * mean
        full = (blocks[:, 0] > 0).sum(axis=0)
        variance = full / (full - 1.0) * np.square(deviations).sum(axis=0) / np.square(n * float(UNITS))
    half = np.sqrt(variance) * _t_quantiles(len(bounds))[full]
    columns = zip(
        *(part.tolist() for part in (n, mean / UNITS, variance, half, full, clipped, infinite)), strict=True
    )
    return [_estimate(column, from_ns, to_ns) for column in columns]


_QUANTILES: list[NDArray[np.float64]] = []


def _t_quantiles(blocks: int) -> NDArray[np.float64]:
    """97.5 % points of Student's t by number of blocks, NaN below two."""
    if not _QUANTILES:
        freedom = np.arange(-1.0, MAX_BLOCKS)
        _QUANTILES.append(np.where(freedom > 0, stdtrit(np.maximum(freedom, 1.0), 0.975), np.nan))
    return _QUANTILES[0][: blocks + 1]


def _estimate(
    column: tuple[int, float, float, float, int, int, int],
    from_ns: int,
    to_ns: int,
) -> Estimate:
    n, value, variance, half, blocks, clipped, infinite = column
    if n < LEAST_VALUES:
        return Estimate(value=None, n=n, status=Status.INSUFFICIENT, from_ns=from_ns, to_ns=to_ns)
    known = math.isfinite(half)
    return Estimate(
        value=value,
        n=n,
        status=Status.OK,
        from_ns=from_ns,
        to_ns=to_ns,
        n_eff=(min(float(n), 1.0 / variance) if variance > 0 else float(n)) if known else None,
        low=value - half if known else None,
        high=value + half if known else None,
        extra={"clip_sigma": CLIP_SIGMA, "clipped": clipped, "infinite": infinite, "blocks": blocks},
    )
