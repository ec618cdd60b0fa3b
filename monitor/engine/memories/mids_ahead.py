"""`MidsAhead`: rows that wait until the mids of their symbol at fixed times after them are known.

Rows of any columns, in folding order; knows neither what they are nor what is made of the mids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.engine.memories.mids import Mids, mid_of
from monitor.errors import StateError
from monitor.wire.table import Table

RECORDS_PER_SPAN = 64
"""State records over the time that a row waits: one slice of time each."""

FARTHEST = 2.0
"""A price that doubles or halves within a horizon comes of a bad tick: there is no change. One among ten
thousand moves a mean by 1 bp at most."""

_PREFIX = "mids/"
_NS, _FLOAT = "<i8", "<f8"


def wild(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where one price is more than twice the other.

    >>> wild(np.array([1.0, 1.0, 2.1]), np.array([2.0, 2.1, 1.0])).tolist()
    [False, True, True]
    """
    with np.errstate(over="ignore"):
        found: NDArray[np.bool_] = (after > FARTHEST * before) | (before > FARTHEST * after)
    return found


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `rows` rows of a share (a symbol, say) wait from each slot of `slot_ns`: the first ones.

    By symbol, so that it does not matter which task has which symbols; by slots, so that what is taken is
    spread evenly over time.
    """

    slot_ns: int
    rows: int

    @staticmethod
    def of(limit: int, shares: int, farthest_ns: int, evaluation_ns: int) -> Quota:
        """Shares `limit` rows among the shares, and the rows of each among the slots of the time they wait,
        which is until the first instant of evaluation after `farthest_ns`."""
        # Two more slots lie over the ends.
        span = farthest_ns + evaluation_ns
        mine = max(1, limit // max(1, shares))
        slot_ns = -(-span // (max(1, mine - 2) * evaluation_ns)) * evaluation_ns
        return Quota(slot_ns, max(1, mine * slot_ns // (span + 2 * slot_ns)))


@dataclass(frozen=True, slots=True)
class Quoting:
    """Which mids count (`max_spread`, a fraction of the mid; `stale_ns`), and the grid of evaluation."""

    max_spread: float
    stale_ns: int
    evaluation_ns: int


class MidsAhead:
    """Each row, of effective time t, meets the mids as of t + each of `before_ns` and `ends_ns`; at the ends
    it is said.

    Mids are of the feature rows' own quotes, as of an instant: the last one at or before it. What a row meets
    depends on rows alone; it is said at the first instant of evaluation after the end has passed.

    Args:
        name: of what waits, for a person.
        kinds: of the columns, `eff` and `symbol_key` among them; those of mids (`mid_at`) come after them.
        share: columns whose rows of equal values have one quota together.
    """

    def __init__(
        self,
        name: str,
        kinds: Mapping[str, str],
        before_ns: Sequence[int],
        ends_ns: Sequence[int],
        quoting: Quoting,
        quota: Quota,
        share: tuple[str, ...],
    ) -> None:
        self._name, self._quoting, self.quota, self._share = name, quoting, quota, share
        self._offsets = [*before_ns, *ends_ns]
        """Of the instants at which a row needs a mid."""
        self._first_end = len(before_ns)
        self._slice = max(quoting.evaluation_ns, max(self._offsets) // RECORDS_PER_SPAN)
        self._kinds = {**kinds, **{mid_at(place): _FLOAT for place in range(len(self._offsets))}}
        self._mids = Mids(quoting.stale_ns)
        self._rows = Table({column: np.empty(0, kind) for column, kind in self._kinds.items()})
        self._known = 0
        """Mids as of all times before this one have been found."""
        self._passed = 0
        """Rows whose end came before this time have been said."""
        self._said: tuple[int, int] | None = None
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        """Rows that wait."""
        return len(self._rows)

    def number(self, rows: Table) -> NDArray[np.int64]:
        """How many rows of its share and slot stand before each of these, those that wait included."""
        eff = rows["eff"]
        if not len(eff):
            return np.empty(0, np.int64)
        slot_ns = self.quota.slot_ns
        first = int(eff[0]) // slot_ns * slot_ns
        before = slice(int(np.searchsorted(self._rows["eff"], first)), None)
        keys = [np.concatenate([self._rows[c][before], rows[c]]) for c in self._share]
        keys.append(np.concatenate([self._rows["eff"][before], eff]) // slot_ns)
        order = np.lexsort(keys)
        new = np.zeros(len(order), np.bool_)
        for key in keys:
            new[1:] |= np.diff(key[order]) != 0
        new[0] = True
        starts = np.flatnonzero(new)
        number = np.empty(len(order), np.int64)
        number[order] = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
        return number[len(order) - len(eff) :]

    def begin(self, rows: Table) -> None:
        """These wait, in order of time and none before those that wait; the quota has been asked."""
        missing = np.full(len(rows), np.nan)
        rows = rows.with_columns(**{mid_at(place): missing for place in range(len(self._offsets))})
        self._touch(rows["eff"])
        # Copied, since mids are written into the columns later.
        self._rows = Table({c: np.concatenate([self._rows[c], rows[c]]) for c in self._kinds})

    def quote(self, features: Table) -> None:
        """Feature rows, in order, at least one; rows of the same slice have begun to wait."""
        mid = mid_of(features["bid"], features["ask"], self._quoting.max_spread)
        quoted = np.flatnonzero(~np.isnan(mid))
        quotes = features["symbol_key"][quoted], features["eff"][quoted], mid[quoted]
        self._find(quotes, int(features["eff"][-1]))
        self._mids.take(quotes)

    @property
    def due(self) -> int | None:
        """When the next end of a row comes."""
        ends = []
        for offset in self._offsets[self._first_end :]:
            place = int(np.searchsorted(self._rows["eff"], self._passed - offset))
            if place < len(self._rows):
                ends.append(int(self._rows["eff"][place]) + offset)
        return min(ends, default=None)

    def expire(self, until: int) -> list[tuple[int, Table]]:
        """By place among the ends the rows, at least one, whose end came before `until`, an instant of
        evaluation."""
        none = np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0)
        self._find(none, until)
        self._mids.forget(until)
        eff, out = self._rows["eff"], []
        for place, offset in enumerate(self._offsets[self._first_end :]):
            since, to = np.searchsorted(eff, [self._passed - offset, until - offset]).tolist()
            if to > since:
                out.append((place, self._rows.take(slice(since, to))))
        self._passed = until
        # The rows of a slot are counted against the quota until it is over.
        slot_ns = self.quota.slot_ns
        over = min(until - max(self._offsets), until // slot_ns * slot_ns)
        gone = int(np.searchsorted(eff, over))
        self._touch(eff[:gone])
        self._rows = self._rows.take(slice(gone, None))
        return out

    def _find(
        self, quotes: tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float64]], until: int
    ) -> None:
        """Mids as of all times before `until`, of which all quotes have come."""
        if until <= self._known:
            return
        rows = self._rows
        parts: list[tuple[int, int, int]] = []
        for place, offset in enumerate(self._offsets):
            since, to = np.searchsorted(rows["eff"], [self._known - offset, until - offset]).tolist()
            if to > since:
                parts.append((place, since, to))
        self._known = until
        if not parts:
            return
        symbols = np.concatenate([rows["symbol_key"][since:to] for _, since, to in parts])
        times = np.concatenate([rows["eff"][since:to] + self._offsets[place] for place, since, to in parts])
        found = self._mids.at(quotes, (symbols, times))
        at = 0
        for place, since, to in parts:
            rows[mid_at(place)][since:to] = found[at : at + to - since]
            at += to - since
            self._touch(rows["eff"][since:to])

    def _touch(self, eff: NDArray[np.int64]) -> None:
        if len(eff):
            self._dirty.update(np.unique(eff // self._slice).tolist())

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out = {f"{_PREFIX}{key}": data for key, data in self._mids.records().items()}
        for number in sorted(self._dirty):
            edges = np.searchsorted(self._rows["eff"], [number * self._slice, (number + 1) * self._slice])
            rows = self._rows.take(slice(*edges.tolist()))
            columns = [rows[name].astype(kind).tobytes() for name, kind in self._kinds.items()]
            out[f"rows/{number * self._slice}"] = msgspec.msgpack.encode(columns) if len(rows) else None
        self._dirty.clear()
        if self._said != (said := (self._known, self._passed)):
            out["passed"], self._said = msgspec.msgpack.encode(said), said
        return out

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from all records that stand.

        Raises:
            StateError: one cannot be read.
        """
        self._mids.restore({k.removeprefix(_PREFIX): d for k, d in records.items() if k.startswith(_PREFIX)})
        slices: list[tuple[int, Table]] = []
        for key, data in records.items():
            try:
                if key == "passed":
                    self._known, self._passed = msgspec.msgpack.decode(data, type=tuple[int, int])
                    self._said = (self._known, self._passed)
                elif key.startswith("rows/"):
                    slices.append((int(key.removeprefix("rows/")), self._decoded(data)))
            except (msgspec.MsgspecError, ValueError) as error:
                message = f"state of {self._name}, record {key!r}, cannot be read: {error}"
                raise StateError(message) from error
        if slices:
            slices.sort(key=lambda entry: entry[0])
            self._rows = Table.concat([rows for _, rows in slices])

    def _decoded(self, data: bytes) -> Table:
        parts = msgspec.msgpack.decode(data, type=list[bytes])
        columns = {
            name: np.frombuffer(part, kind).astype(np.dtype(kind).newbyteorder("="))
            for (name, kind), part in zip(self._kinds.items(), parts, strict=True)
        }
        if len({len(column) for column in columns.values()}) > 1:
            raise ValueError("its columns are not equally long")
        return Table(columns)


def mid_at(place: int) -> str:
    """The column of the mid as of the `place`-th time, those before the ends first."""
    return f"mid/{place}"
