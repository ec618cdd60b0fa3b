"""`Previous`: by symbol the last value of each feature and when it changed; whether values move at all.

Derives counts and sums of ages; knows neither panes nor what is thought of a value that stands still.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.engine.memories.runs import Runs, fill
from monitor.engine.scope import Batch
from monitor.errors import StateError
from monitor.stats.integer_counts import by_column
from monitor.stats.staleness import Staleness
from monitor.wire.table import Table

DERIVED = "previous"
"""Derived rows, one for some rows of features: `counts`, (m, 5 x features), what `Staleness.update` takes."""

HOUR_NS = 3_600 * 10**9
FORGOTTEN_HOURS = 24
"""A symbol not seen for a day begins anew: its last value says nothing of the feed any more. Counted in whole
hours of the clock, so that all rows of an evaluation slice have one notion of it."""

MAX_BYTES = 512 * 1024
"""Of values and times of a task, in memory and state: 1,000 symbols of 32 features. Those beyond are not
remembered, nor compared, until others are forgotten; only then do rates depend on the number of tasks."""

_ROWS = 512
"""Rows compared at a time, so that the arrays stay in the cache, and sums within 64 bits."""

_NOWHERE = -1
"""The last place: of symbols that are not remembered; it never holds a value."""


class Previous:
    """Compares each present value of a symbol with the one before it; a null neither compares nor changes.

    The age of a value is the effective time of its row less that of the row where the symbol's value last
    changed, or was first seen; 0 where it changes. `columns`: places of the features in `values`.
    """

    key = "previous"
    due: int | None = None

    def __init__(self, columns: Sequence[int]) -> None:
        self._columns: slice | NDArray[np.int64] = np.array(columns, np.int64)
        if columns and list(columns) == list(range(columns[0], columns[0] + len(columns))):
            self._columns = slice(columns[0], columns[0] + len(columns))
        self._width = len(columns)
        self._most = max(1, MAX_BYTES // (16 * max(1, self._width)))
        self._slots: dict[int, int] = {}
        self._free: list[int] = []
        self._values = np.full((1, self._width), np.nan)
        self._changed = np.zeros((1, self._width), np.int64)
        self._seen = np.zeros(1, np.int64)
        self._dirty: set[int] = set()

    def take(self, batch: Batch) -> Mapping[str, Table]:
        """Compare the feature rows that enter statistics."""
        rows = batch.features
        if not self._width or not len(rows):
            return {}
        values = rows["values"][:, self._columns]
        symbols, keys, times = rows["symbol"], rows["symbol_key"], rows["eff"]
        counts = [
            self._compare(values[part], symbols[part], keys[part], times[part])
            for part in (slice(start, start + _ROWS) for start in range(0, len(rows), _ROWS))
        ]
        return {DERIVED: Table({"counts": np.array(counts)})}

    def expire(self, until: int) -> Mapping[str, Table]:
        """Nothing waits here."""
        return {}

    def _compare(
        self,
        x: NDArray[np.float64],
        symbols: NDArray[np.int32],
        keys: NDArray[np.uint64],
        t: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Parts of `Staleness` by column, one after the other, of at most 512 rows in order."""
        n = len(x)
        if (symbols == symbols[0]).all():
            starts = arrival = np.zeros(1, np.int64)
        else:
            # Radix sort is for short integers only; codes of symbols hardly ever pass 65,535.
            codes = symbols.astype(np.uint16) if symbols.max() < 1 << 16 else symbols
            order = np.argsort(codes, kind="stable")
            x, t, codes = x.take(order, axis=0), t[order], codes[order]
            leads = np.ones(n, np.bool_)
            np.not_equal(codes[1:], codes[:-1], out=leads[1:])
            starts = np.flatnonzero(leads)
            arrival = order[starts]
        ends = np.append(starts[1:], n) - 1
        slots = self._slots_of(keys[arrival].tolist(), t[starts], arrival)
        before = self._values[slots]
        counts = np.zeros((len(Staleness.PARTS), self._width), np.int64)
        present, compared, frozen, old, young = counts
        present[:] = n
        was = self._changed[slots]
        changed = np.empty_like(was)
        changed[:] = t[ends][:, None]
        nulls = missing if (missing := np.isnan(x)).any() else None
        if nulls is not None:
            # Not in the rows themselves, where one symbol needed no sorting.
            x = x if x.base is None else x.copy()
            hollow, source = fill(x, nulls, starts, ends, before)
            present -= by_column(nulls)
            changed[hollow] = np.where(nulls.ravel()[source], was[hollow], t[source // self._width])
        same = np.empty(x.shape, np.bool_)
        np.equal(x[1:], x[:-1], out=same[1:])
        same[starts] = x[starts] == before
        last = x[ends]
        compared[:] = present
        if (unknown := np.isnan(before)).any():
            compared -= np.count_nonzero(unknown & ~np.isnan(last), axis=0)
        if nulls is not None:
            same &= ~nulls
        if slots.min() == _NOWHERE:
            lost = slots == _NOWHERE
            # Were they compared with each other, it would hang on which rows came together.
            rows = np.repeat(lost, ends - starts + 1)
            same[rows] = False
            compared += np.count_nonzero(~np.isnan(last[lost]), axis=0)
            compared -= np.count_nonzero(rows) if nulls is None else np.count_nonzero(~nulls[rows], axis=0)
        if same.any():
            frozen[:] = by_column(same)
            still = np.flatnonzero(frozen)
            runs = Runs(same[:, still], None if nulls is None else nulls[:, still], starts, t, was[:, still])
            old[still], young[still] = runs.ages()
            changed[:, still] = runs.changed(ends)
        self._values[slots], self._changed[slots], self._seen[slots] = last, changed, t[ends]
        self._values[_NOWHERE] = np.nan
        return counts.ravel()

    def _slots_of(
        self, keys: list[int], t: NDArray[np.int64], arrival: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Places of symbols; those of one that is new, or was forgotten, hold no values yet.

        Where there is no room for all, those that came first have it.
        """
        known = self._slots
        places = [known.get(key, _NOWHERE) for key in keys]
        if _NOWHERE in places:
            return self._with_new(keys, t, arrival)
        slots = np.array(places)
        late = _forgotten(self._seen[slots], t)
        if late.any():
            self._values[slots[late]] = np.nan
        self._dirty.update(keys)
        return slots

    def _with_new(
        self, keys: list[int], t: NDArray[np.int64], arrival: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """As if row came after row, since one that is forgotten makes room for one that is new."""
        slots = np.empty(len(keys), np.int64)
        for i in np.argsort(arrival).tolist():
            slot = self._slots.get(keys[i])
            if slot is None:
                slot = self._new(keys[i], int(t[i]))
            elif _forgotten(self._seen[slot], t[i]):
                self._values[slot] = np.nan
            slots[i], self._seen[slot] = slot, t[i]
        self._dirty.update(key for key in keys if key in self._slots)
        return slots

    def _new(self, key: int, now: int) -> int:
        if len(self._slots) >= self._most:
            self._forget(now)
        if len(self._slots) >= self._most:
            return _NOWHERE
        if not self._free:
            self._grow()
        slot = self._slots[key] = self._free.pop()
        self._values[slot], self._changed[slot], self._seen[slot] = np.nan, 0, now
        return slot

    def _grow(self) -> None:
        old = len(self._seen) - 1
        size = min(self._most, max(16, 2 * old))
        values, changed, seen = self._values, self._changed, self._seen
        self._values = np.full((size + 1, self._width), np.nan)
        self._changed = np.zeros((size + 1, self._width), np.int64)
        self._seen = np.zeros(size + 1, np.int64)
        self._values[:old], self._changed[:old], self._seen[:old] = values[:old], changed[:old], seen[:old]
        self._free = list(range(size - 1, old - 1, -1))

    def _forget(self, now: int) -> None:
        for key in [key for key, slot in self._slots.items() if _forgotten(self._seen[slot], now)]:
            self._free.append(self._slots.pop(key))
            self._dirty.add(key)

    def records(self) -> dict[str, bytes | None]:
        """Changed symbols: time last seen, values and times of change, little-endian."""
        out = {f"{key:016x}": self._record(key) for key in sorted(self._dirty)}
        self._dirty.clear()
        return out

    def _record(self, key: int) -> bytes | None:
        slot = self._slots.get(key)
        if slot is None:
            return None
        parts = (self._seen[slot : slot + 1], self._values[slot], self._changed[slot])
        return b"".join(part.astype(part.dtype.newbyteorder("<")).tobytes() for part in parts)

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from all records that stand.

        Raises:
            StateError: one cannot be read.
        """
        for name, data in records.items():
            if len(data) != 8 + 16 * self._width:
                raise StateError(f"state record of previous values {name!r}: {len(data)} bytes")
            try:
                key = int(name, 16)
            except ValueError as error:
                raise StateError(f"state record of previous values: {name!r} is no symbol") from error
            slot = self._new(key, 0)
            if slot == _NOWHERE:
                continue
            self._seen[slot] = np.frombuffer(data, "<i8", 1)[0]
            self._values[slot] = np.frombuffer(data, "<f8", self._width, 8)
            self._changed[slot] = np.frombuffer(data, "<i8", self._width, 8 + 8 * self._width)
        self._dirty.clear()


def _forgotten(seen: Any, now: Any) -> Any:
    """Whether what was last seen then is forgotten by now."""
    return now // HOUR_NS - seen // HOUR_NS > FORGOTTEN_HOURS
