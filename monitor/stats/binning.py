"""`Binner` finds the reference bin of every value of a matrix; `BinCounts` holds the counts of a pane.

It knows edges only, not how drift is measured from the counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.stats.integer_counts import IntegerCounts, stacked
from monitor.stats.reference import Distribution

_CELLS = 4096
_MAX_STEPS = 4
"""Edges in one cell of the grid; where more fall into one (heavy tails) a binary search is as fast."""

_CHUNK_VALUES = 32_768
"""Values binned at a time, so that intermediate arrays stay in the cache."""


class Binner:
    """Bins of columns, by the edges or categories of their reference distributions.

    Bin of a number `x` = number of edges <= `x`, exactly `np.searchsorted(edges, x, side="right")`, for every
    float and infinity; that of a category as `Distribution.bins` has it. Missing values (NaN) have a place of
    their own.

    A column is mapped to a grid of 4,096 cells over its edges. Subtraction, multiplication by a positive
    number, clipping and truncation are monotone in floating point too, so all edges in cells below that of
    `x` are below `x`, and only those in its own cell are left to compare: the table holds the count of the
    former, a few steps `bin += x >= next edge` (NaN after the last) do the rest.

    >>> binner = Binner([Distribution(edges=(0.0, 1.0), counts=(1, 1, 1), null_count=0, infinite_count=0,
    ...                               n=3, psi_starts=(0, 1, 2), mean=0.5, std=1.0)])
    >>> binner.bins(np.array([[-5.0], [0.0], [0.5], [1.0], [np.inf], [np.nan]])).ravel().tolist()
    [0, 1, 1, 2, 2, 3]
    """

    def __init__(self, distributions: Sequence[Distribution]) -> None:
        columns = len(distributions)
        self.edges = tuple(distribution.edges for distribution in distributions)
        self._categories = tuple((d.categories, d.tail) for d in distributions)
        self.widths = tuple(len(distribution.counts) for distribution in distributions)
        """Bins of each column, the place of missing values not counted."""
        self.stride = max(self.widths, default=1) + 1
        edges = [np.array(column_edges, np.float64) for column_edges in self.edges]
        self._origin = np.array([e[0] if e.size else 0.0 for e in edges])
        self._scale = np.array([_scale(e) for e in edges])
        self._first_cell = np.arange(columns, dtype=np.int32) * np.int32(_CELLS + 1)
        self._first_place = np.arange(columns, dtype=np.int32) * np.int32(self.stride)
        self._next_edge = np.full(columns * self.stride, np.nan)
        # As small as may be, for the cache.
        small = columns * self.stride <= np.iinfo(np.int16).max
        self._table = np.empty((columns, _CELLS + 1), np.int16 if small else np.int32)
        self._steps = 0
        self._heavy: list[tuple[int, NDArray[np.float64]]] = []
        self._categorical = [(i, d) for i, d in enumerate(distributions) if d.kind == "categorical"]
        for column, column_edges in enumerate(edges):
            place = column * self.stride
            self._next_edge[place : place + column_edges.size] = column_edges
            cells = _cells(column_edges, self._origin[column], self._scale[column]).astype(np.int64)
            self._table[column, :_CELLS] = place + np.searchsorted(cells, np.arange(_CELLS))
            self._table[column, _CELLS] = place + self.stride - 1
            steps = int(np.bincount(cells).max(initial=0))
            if steps > _MAX_STEPS:
                self._heavy.append((column, column_edges))
            else:
                self._steps = max(self._steps, steps)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Binner) and (self.edges, self._categories) == (other.edges, other._categories)
        )

    def __hash__(self) -> int:
        return hash((self.edges, self._categories))

    def places(self, matrix: NDArray[np.float64]) -> NDArray[np.signedinteger[Any]]:
        """Place of each value of `matrix`, (n, columns) float64: `column * stride + bin`, missing values at
        `column * stride + stride - 1`."""
        if matrix.ndim != 2 or matrix.shape[1] != len(self.widths):
            raise ValueError(f"binning: a matrix of {len(self.widths)} columns is wanted, got {matrix.shape}")
        grid = _cells(matrix, self._origin, self._scale)
        if np.isnan(grid).any():
            # Of NaN and a number it takes the number.
            np.fmin(grid, float(_CELLS), out=grid)
        cells = grid.astype(np.int32)
        cells += self._first_cell
        places = self._table.take(cells)
        for _ in range(self._steps):
            places += matrix >= self._next_edge.take(places)
        for column, edges in self._heavy:
            values = matrix[:, column]
            bins = np.searchsorted(edges, values, side="right")
            bins[np.isnan(values)] = self.stride - 1
            places[:, column] = bins + column * self.stride
        for column, distribution in self._categorical:
            values = matrix[:, column]
            bins = distribution.bins(values)
            bins[np.isnan(values)] = self.stride - 1
            places[:, column] = bins + column * self.stride
        return places

    def bins(self, matrix: NDArray[np.float64]) -> NDArray[np.signedinteger[Any]]:
        """Bin of each value of `matrix`, (n, columns) float64; missing values have bin `stride - 1`."""
        return self.places(matrix) - self._first_place


def _scale(edges: NDArray[np.float64]) -> float:
    """Cells per unit; any positive number is right, this one spreads the edges over the grid."""
    if edges.size < 2:
        return 1.0
    with np.errstate(over="ignore"):
        scale = float((_CELLS - 1) / (edges[-1] - edges[0]))
    return scale if 0.0 < scale < np.inf else 1.0


def _cells(
    values: NDArray[np.float64], origin: NDArray[np.float64] | float, scale: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Cell of each value, not yet truncated; NaN stays."""
    with np.errstate(over="ignore"):
        grid = values - origin
        grid *= scale
    return np.clip(grid, 0.0, _CELLS - 1.0, out=grid)


class BinCounts(IntegerCounts[Binner]):
    """Values counted by column and reference bin of the binner `spec`; a pane statistic.

    >>> binner = Binner([Distribution(edges=(0.0,), counts=(1, 1), null_count=0, infinite_count=0, n=2,
    ...                               psi_starts=(0, 1), mean=0.0, std=1.0)])
    >>> counts = BinCounts(binner)
    >>> counts.update(np.array([[-1.0], [2.0], [1e6], [np.inf], [np.nan]]))
    >>> counts.column(0).tolist(), counts.infinite(0)
    ([1, 3, 1], 1)
    """

    __slots__ = ()

    @staticmethod
    def _size(spec: Binner) -> int:
        # Columns x (bins + missing), then the infinities of each column.
        return len(spec.widths) * (spec.stride + 1)

    def update(self, matrix: NDArray[np.float64]) -> None:
        """Count the rows of `matrix`, (n, columns) float64 with NaN = missing."""
        columns = len(self.spec.widths)
        cells = columns * self.spec.stride
        rows = max(1, _CHUNK_VALUES // max(1, columns))
        for start in range(0, len(matrix), rows):
            chunk = matrix[start : start + rows]
            self._vector[:cells] += np.bincount(self.spec.places(chunk).ravel(), minlength=cells)
            infinite = np.isinf(chunk)
            if infinite.any():
                self._vector[cells:] += np.count_nonzero(infinite, axis=0)

    def column(self, column: int) -> NDArray[np.int64]:
        """Counts of one column by bin, (bins + 1,); the last are missing values."""
        stride = self.spec.stride
        row = self._vector[column * stride : (column + 1) * stride]
        return np.append(row[: self.spec.widths[column]], row[-1])

    def columns(self) -> NDArray[np.int64]:
        """Counts of all columns by bin, (columns, stride); the last place is that of missing values."""
        cells = len(self.spec.widths) * self.spec.stride
        return self._vector[:cells].reshape(-1, self.spec.stride)

    @staticmethod
    def stacked(panes: Sequence[BinCounts]) -> NDArray[np.int64]:
        """`columns` of at least one pane of one binner, (panes, columns, stride)."""
        columns, stride = len(panes[0].spec.widths), panes[0].spec.stride
        return stacked(panes)[:, : columns * stride].reshape(len(panes), columns, stride)

    def infinite(self, column: int) -> int:
        """Infinite values of one column; they are in its end bins too."""
        return int(self._vector[len(self.spec.widths) * self.spec.stride + column])
