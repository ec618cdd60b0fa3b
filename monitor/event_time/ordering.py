"""`OrderBuffer`: rows wait here until time has passed them, then leave in folding order."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from monitor.wire.table import Table

_Places = NDArray[np.int64] | slice


class _Chunk:
    """Rows that were read together: their own times in order, and how many of them have left."""

    __slots__ = ("gone", "order", "own", "rows")

    def __init__(self, rows: Table) -> None:
        own = rows["own"]
        self.rows = rows
        self.order: NDArray[np.int64] | None = None
        if len(own) > 1 and bool((own[1:] < own[:-1]).any()):
            self.order = np.argsort(own, kind="stable")
            own = own[self.order]
        self.own: NDArray[np.int64] = own
        self.gone = 0

    def leave(self, watermark: int) -> tuple[NDArray[np.int64], _Places]:
        """Own times of the rows before `watermark` that leave now, and where they are in `rows`."""
        start, self.gone = self.gone, int(self.own.searchsorted(watermark))
        where = slice(start, self.gone)
        return self.own[where], where if self.order is None else self.order[where]


class OrderBuffer:
    """Judged rows of one input until the watermark passes them. A row is copied once, as it leaves."""

    def __init__(self) -> None:
        # By the smallest own time that has not left; numbered in offset order.
        self._chunks: list[tuple[int, int, _Chunk]] = []
        self._number = 0
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, rows: Table) -> None:
        """Rows in offset order, all later in the log than those already here."""
        if len(rows):
            chunk = _Chunk(rows)
            heapq.heappush(self._chunks, (int(chunk.own[0]), self._number, chunk))
            self._number += 1
            self._rows += len(rows)

    def release(self, watermark: int) -> Table | None:
        """Take out the rows with own time < `watermark`, ordered by (own time, offset)."""
        passed: list[tuple[int, _Chunk]] = []
        while self._chunks and self._chunks[0][0] < watermark:
            _, number, chunk = heapq.heappop(self._chunks)
            passed.append((number, chunk))
        if not passed:
            return None
        passed.sort(key=lambda entry: entry[0])
        owns: list[NDArray[np.int64]] = []
        parts: list[tuple[Table, _Places]] = []
        for number, chunk in passed:
            own, where = chunk.leave(watermark)
            owns.append(own)
            parts.append((chunk.rows, where))
            if chunk.gone < len(chunk.own):
                heapq.heappush(self._chunks, (int(chunk.own[chunk.gone]), number, chunk))
        out = _merge(owns, parts)
        self._rows -= len(out)
        return out

    def count(self, time: int) -> int:
        """How many rows have own time >= `time`."""
        return sum(
            len(chunk.own) - max(chunk.gone, int(chunk.own.searchsorted(time))) for *_, chunk in self._chunks
        )

    def own(self, time: int) -> NDArray[np.int64]:
        """Own times >= `time` of waiting rows, in no order."""
        return np.concatenate(
            [
                np.empty(0, np.int64),
                *(c.own[max(c.gone, int(c.own.searchsorted(time))) :] for *_, c in self._chunks),
            ]
        )


def _merge(owns: list[NDArray[np.int64]], parts: list[tuple[Table, _Places]]) -> Table:
    """One table of parts that are each in order, ordered by own time, then as given."""
    if len(parts) == 1:
        rows, where = parts[0]
        whole = isinstance(where, slice) and where == slice(0, len(rows))
        return rows if whole else rows.take(where)
    own = np.concatenate(owns)
    places = np.arange(len(own))
    mixed = bool((own[1:] < own[:-1]).any())
    if mixed:
        places[np.argsort(own, kind="stable")] = np.arange(len(own))
    ends = np.cumsum([len(part) for part in owns])
    spans = [slice(end - len(part), end) for end, part in zip(ends.tolist(), owns, strict=True)]
    targets: list[_Places] = [places[span] for span in spans] if mixed else [*spans]
    columns = {}
    for name, first in parts[0][0].columns.items():
        column = np.empty((len(own), *first.shape[1:]), first.dtype)
        for target, (rows, where) in zip(targets, parts, strict=True):
            values = rows.columns[name]
            column[target] = values[where] if isinstance(where, slice) else values.take(where, axis=0)
        columns[name] = column
    return Table(columns)
