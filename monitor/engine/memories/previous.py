"""`Previous`: by symbol the last value of each feature and when it changed; whether values move at all.

Derives counts and sums of ages; knows neither panes nor what is thought of a value that stands still.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.engine.scope import Batch
from monitor.errors import StateError
from monitor.wire.table import Table

DERIVED = "previous"
"""Derived rows, one for some rows of features, as `Staleness.update` takes them: `present`, `compared`, `frozen`,
`age_ns`, each (m, features)."""

FORGOTTEN_NS = 86_400 * 10**9
"""A symbol not seen for a day begins anew: its last value says nothing of the feed any more."""

MAX_BYTES = 512 * 1024
"""Of values and times in memory and state; symbols beyond are not remembered (nor compared) until others are
forgotten: 1,000 symbols of 32 features."""

_ROWS = 512
"""Rows compared at a time: symbols among them x `_APART` stays within int64, and the arrays in the cache."""

_OLDEST = 1 << 52
"""Ages end here (52 days)."""
_APART = 1 << 53


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
        self._values = np.empty((0, self._width))
        self._changed = np.empty((0, self._width), np.int64)
        self._seen = np.empty(0, np.int64)
        self._dirty: set[int] = set()

    def take(self, batch: Batch) -> Mapping[str, Table]:
        """Compare the feature rows that enter statistics."""
        rows = batch.features
        n = len(rows["eff"]) if self._width and "features" in batch else 0
        if not n:
            return {}
        values = rows["values"][:, self._columns]
        symbols, keys, times = rows["symbol"], rows["symbol_key"], rows["eff"]
        sums = [
            self._compare(values[part], symbols[part], keys[part], times[part])
            for part in (slice(start, start + _ROWS) for start in range(0, n, _ROWS))
        ]
        present, compared, frozen, ages = (np.stack(column) for column in zip(*sums, strict=True))
        return {DERIVED: Table({"present": present, "compared": compared, "frozen": frozen, "age_ns": ages})}

    def expire(self, until: int) -> Mapping[str, Table]:
        """Nothing waits here."""
        return {}

    def _compare(
        self,
        x: NDArray[np.float64],
        symbols: NDArray[np.int32],
        keys: NDArray[np.uint64],
        t: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], ...]:
        """Rows present, compared and frozen, and summed ages, by column, of at most 512 rows in order."""
        n = len(x)
        if (symbols == symbols[0]).all():
            starts = np.zeros(1, np.int64)
        else:
            # Radix sort is for short integers only; codes of symbols hardly ever pass 65,535.
            codes = symbols.astype(np.uint16) if symbols.max() < 1 << 16 else symbols
            order = np.argsort(codes, kind="stable")
            x, keys, t = x.take(order, axis=0), keys[order], t[order]
            starts = np.flatnonzero(np.diff(symbols[order], prepend=-1))
        ends = np.append(starts[1:], n) - 1
        slots = self._slots_of(keys[starts].tolist(), t[starts], t)
        known = slots >= 0
        before = np.full((len(starts), self._width), np.nan)
        before[known] = self._values[slots[known]]

        nulls = np.isnan(x) if np.isnan(np.dot(x.ravel(), np.zeros(x.size))) else None
        if nulls is None or not nulls.any():
            nulls = None
        else:
            x = _filled(x, nulls, starts, before)
        same = np.empty(x.shape, np.bool_)
        np.equal(x[1:], x[:-1], out=same[1:])
        same[starts] = x[starts] == before
        if nulls is not None:
            same &= ~nulls
        last = x[ends]
        present = np.full(self._width, n) if nulls is None else n - np.count_nonzero(nulls, axis=0)
        first = np.count_nonzero(np.isnan(before) & ~np.isnan(last), axis=0)
        frozen = np.zeros(self._width, np.int64)
        ages = np.zeros(self._width, np.int64)
        changed = np.repeat(t[ends][:, None], self._width, axis=1)
        still = np.flatnonzero((same if nulls is None else same | nulls).any(axis=0))
        if still.size:
            same = same[:, still]
            frozen[still] = np.count_nonzero(same, axis=0)
            missing = None if nulls is None else nulls[:, still]
            was = np.zeros((len(starts), still.size), np.int64)
            was[known] = self._changed[slots[known]][:, still]
            ages[still], changed[:, still] = _ages(same, missing, t, starts, ends, was)
        self._keep(slots, known, last, changed, t[ends])
        return present, present - first, frozen, ages

    def _keep(
        self,
        slots: NDArray[np.int64],
        known: NDArray[np.bool_],
        last: NDArray[np.float64],
        changed: NDArray[np.int64],
        seen: NDArray[np.int64],
    ) -> None:
        kept = slots[known]
        self._values[kept], self._changed[kept], self._seen[kept] = last[known], changed[known], seen[known]

    def _slots_of(
        self, keys: list[int], t: NDArray[np.int64], times: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Places of symbols; one that is new, or was forgotten, knows no values yet; -1: no room."""
        slots = np.empty(len(keys), np.int64)
        for i, key in enumerate(keys):
            slot = self._slots.get(key)
            if slot is None:
                slot = self._new(key, int(times.max()))
            elif t[i] - self._seen[slot] > FORGOTTEN_NS:
                self._values[slot] = np.nan
            slots[i] = slot
        self._dirty.update(key for key in keys if key in self._slots)
        return slots

    def _new(self, key: int, now: int) -> int:
        if len(self._slots) >= self._most:
            self._forget(now - FORGOTTEN_NS)
        if len(self._slots) >= self._most:
            return -1
        if not self._free:
            self._grow()
        slot = self._slots[key] = self._free.pop()
        self._values[slot] = np.nan
        self._changed[slot] = 0
        return slot

    def _grow(self) -> None:
        old = len(self._seen)
        size = min(self._most, max(16, 2 * old))
        more = size - old
        self._values = np.concatenate([self._values, np.full((more, self._width), np.nan)])
        self._changed = np.concatenate([self._changed, np.zeros((more, self._width), np.int64)])
        self._seen = np.concatenate([self._seen, np.zeros(more, np.int64)])
        self._free = list(range(size - 1, old - 1, -1))

    def _forget(self, before: int) -> None:
        for key in [key for key, slot in self._slots.items() if self._seen[slot] < before]:
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
            if slot < 0:
                continue
            self._seen[slot] = np.frombuffer(data, "<i8", 1)[0]
            self._values[slot] = np.frombuffer(data, "<f8", self._width, 8)
            self._changed[slot] = np.frombuffer(data, "<i8", self._width, 8 + 8 * self._width)
        self._dirty.clear()


def _filled(
    x: NDArray[np.float64],
    nulls: NDArray[np.bool_],
    starts: NDArray[np.int64],
    before: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Each null replaced by the symbol's value before it; NaN where there never was one."""
    x = x.copy()
    x[starts] = np.where(nulls[starts], before, x[starts])
    place = np.where(nulls, 0, np.arange(len(x))[:, None])
    place[starts] = starts[:, None]
    np.maximum.accumulate(place, axis=0, out=place)
    filled: NDArray[np.float64] = np.take_along_axis(x, place, axis=0)
    return filled


def _ages(
    same: NDArray[np.bool_],
    nulls: NDArray[np.bool_] | None,
    t: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    was: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum of ages by column, and by symbol and column when the value last changed.

    Rows are sorted by symbol, then time. Times are laid out so that those of later symbols lie above all of
    earlier ones: then the time of the last change is the running maximum of the times of changes.
    """
    base = int(t.min())
    apart = np.arange(len(starts)) * _APART
    clock = t - base + np.repeat(apart, ends - starts + 1)
    stands = same if nulls is None else same | nulls
    times = np.where(stands, np.iinfo(np.int64).min, clock[:, None])
    old = np.maximum(was - base, -_OLDEST) + apart[:, None]
    times[starts] = np.where(stands[starts], old, times[starts])
    np.maximum.accumulate(times, axis=0, out=times)
    final = times[ends]
    # A time cut at the oldest age must not creep forward in the memory.
    changed = np.where(final == old, was, final - apart[:, None] + base)
    ages = clock[:, None] - times
    if nulls is not None:
        np.copyto(ages, 0, where=nulls)
    return np.minimum(ages, _OLDEST).sum(axis=0), changed
