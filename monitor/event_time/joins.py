"""`Join`: orders and outcomes meet the feature events they name, whichever comes first.

Symmetric: a row waits for its partner, and then counts as unpaired with its side. Knows no streams: keys and
numbers go in, pairs and counts come out, the same however the rows were sliced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError
from monitor.event_time.join_records import Columns, decode, encode, kept
from monitor.wire.table import NO_TIME, Table

EVENTS, REFERENCES, PASSED = "events", "references", "passed"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Row by row an event, a reference to it, and when they met: the later effective time, never falling.

    The tables have `key`, `eff` and the columns that the join was asked to hold; events also `paired`: a
    reference had named it in an earlier call. References to one event are in folding order.
    """

    events: Table
    references: Table
    at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, slots=True)
class Unpaired:
    """Rows of each side that found nobody, in no particular order, with `key`, `eff` and what is held."""

    event_rows: Table
    reference_rows: Table

    @property
    def events(self) -> int:
        return len(self.event_rows)

    @property
    def references(self) -> int:
        return len(self.reference_rows)


class Join:
    """Pairs references, each of which names one event, with events, which any number may name.

    A reference takes the event of its key that was folded last before it, else the first that is folded after
    it, where their effective times are at most `window` ns apart. Rows go in by effective time; in one call
    an event comes before a reference of the same time.

    Args:
        slice_ns: length of the slice of time that one state record holds, and that is written whole.
        events, references: columns kept beside `key` (u8) and `eff` (i8).
    """

    def __init__(self, window: int, slice_ns: int, events: Columns, references: Columns) -> None:
        self._window, self._slice = window, slice_ns
        self._events = _Events(slice_ns, events)
        self._columns = references
        self._waiting = kept(None, references)
        self._dirty: set[int] = set()
        self._passed = self._said = NO_TIME

    def __len__(self) -> int:
        """Rows kept, of both sides."""
        return len(self._events) + len(self._waiting)

    @property
    def oldest(self) -> int | None:
        """Effective time of the oldest row within the window; None where there is none."""
        found = self._events.oldest(self._passed)
        if len(self._waiting):
            first = int(self._waiting["eff"][0])
            found = first if found is None else min(found, first)
        return found

    @property
    def newest(self) -> int | None:
        """Effective time of the newest row; None where there is none."""
        return max((int(eff.max()) for eff in self._times() if len(eff)), default=None)

    def _times(self) -> Iterator[NDArray[np.int64]]:
        yield from self._events.times()
        yield self._waiting["eff"]

    def take(self, events: Table | None, references: Table | None) -> Pairs:
        """Rows folded next, of either side or both; returns the pairs they make, with those before them.

        Duplicates and rows that enter nothing are the caller's to leave out.
        """
        asking = kept(references, self._columns)
        named = np.empty(0, np.int64)
        if events is not None and len(events):
            self._events.add(events)
            if len(self._waiting):
                named = np.flatnonzero(np.isin(self._waiting["key"], events["key"]))
                asking = Table.concat([self._waiting.take(named), asking])
        met, rows = self._events.find(asking["key"], asking["eff"], len(named), self._window)
        self._keep(asking, named, met)
        found = asking.take(met)
        at = np.maximum(found["eff"], rows["eff"])
        order = np.lexsort((met, at))
        return Pairs(rows.take(order), found.take(order), at[order])

    def _keep(self, asking: Table, named: NDArray[np.int64], met: NDArray[np.int64]) -> None:
        """References that were waiting and have met their event go, new ones that have not begin to wait."""
        alone = np.ones(len(asking), np.bool_)
        alone[met] = False
        gone = named[~alone[: len(named)]]
        stay = len(named) + np.flatnonzero(alone[len(named) :])
        if len(gone):
            self._dirty.update((self._waiting["eff"][gone] // self._slice).tolist())
            self._waiting = self._waiting.take(np.delete(np.arange(len(self._waiting)), gone))
        if len(stay):
            self._dirty.update((asking["eff"][stay] // self._slice).tolist())
            self._waiting = Table.concat([self._waiting, asking.take(stay)])

    def expire(self, instant: int) -> Unpaired:
        """Time has passed to `instant`: rows that have waited longer than the window, since the last call."""
        until = instant - self._window
        if until <= self._passed:
            return Unpaired(self._events.none, kept(None, self._columns))
        events = self._events.expire(self._passed, until)
        references = self._waiting_before(until)
        self._passed = until
        return Unpaired(events, references)

    def forget(self, limit: int) -> Unpaired:
        """Keep about the newest `limit` rows of both sides: what is older goes, rows of one time together.

        Returns:
            What of it found nobody, and was not told by `expire`.
        """
        over = len(self) - limit
        if over <= 0:
            return Unpaired(self._events.none, kept(None, self._columns))
        times = np.concatenate(list(self._times()))
        until = int(np.partition(times, over - 1)[over - 1]) + 1
        return Unpaired(self._events.forget(self._passed, until), self._waiting_before(until))

    def _waiting_before(self, until: int) -> Table:
        """Takes out the references that have waited since before `until`."""
        gone = int(self._waiting["eff"].searchsorted(until))
        rows = self._waiting.take(slice(gone))
        self._dirty.update((rows["eff"] // self._slice).tolist())
        self._waiting = self._waiting.take(slice(gone, None))
        return rows

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out = self._events.records()
        for number in sorted(self._dirty):
            edges = self._waiting["eff"].searchsorted([number * self._slice, (number + 1) * self._slice])
            rows = self._waiting.take(slice(*edges.tolist()))
            key = f"{REFERENCES}/{number * self._slice}"
            out[key] = encode(rows, number * self._slice, self._columns) if len(rows) else None
        self._dirty.clear()
        if self._said != self._passed:
            out[PASSED] = msgspec.msgpack.encode(self._passed)
            self._said = self._passed
        return out

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from all records that stand.

        Raises:
            StateError: one cannot be read.
        """
        waiting: list[tuple[int, Table]] = []
        try:
            for key, data in records.items():
                side, _, start = key.partition("/")
                if side == PASSED:
                    self._passed = self._said = msgspec.msgpack.decode(data, type=int)
                elif side == EVENTS:
                    self._events.restore(int(start), data)
                else:
                    waiting.append((int(start), decode(data, int(start), self._columns)))
        except (msgspec.DecodeError, ValueError) as error:
            raise StateError(f"state of a join, record {key!r}, cannot be read: {error}") from error
        waiting.sort(key=lambda entry: entry[0])
        self._waiting = Table.concat([self._waiting, *(rows for _, rows in waiting)])


class _Events:
    """The many side: by slice of effective time, runs in order of (key, folding), older runs first.

    Rows are sorted when they are first searched; a run is merged with the one before it unless that is much
    longer, so that a slice has few.
    """

    def __init__(self, slice_ns: int, columns: Columns) -> None:
        self._slice, self._columns = slice_ns, {**columns, "paired": "?"}
        self._runs: dict[int, list[Table]] = {}
        self._fresh: dict[int, list[Table]] = {}
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        return sum(len(run) for by in (self._runs, self._fresh) for runs in by.values() for run in runs)

    def add(self, events: Table) -> None:
        """Rows by effective time, all folded after those that are here."""
        rows = kept(events.with_columns(paired=np.zeros(len(events), np.bool_)), self._columns)
        number = rows["eff"] // self._slice
        starts = np.flatnonzero(np.diff(number, prepend=number[0] - 1)).tolist()
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            at = int(number[start])
            self._fresh.setdefault(at, []).append(rows.take(slice(start, end)))
            self._dirty.add(at)

    def find(
        self, keys: NDArray[np.uint64], eff: NDArray[np.int64], waited: int, window: int
    ) -> tuple[NDArray[np.int64], Table]:
        """Which references meet an event, and that event, row by row.

        The first `waited` references were folded in an earlier call and met nobody then: whatever they meet
        now was folded after them, also at the same time.
        """
        alone = np.ones(len(keys), np.bool_)
        met, rows = [np.empty(0, np.int64)], [kept(None, self._columns)]
        since = eff.copy()
        since[:waited] -= 1
        named: list[tuple[Table, NDArray[np.int64]]] = []
        for after in (False, True):
            asked = np.flatnonzero(alone) if after else np.arange(waited, len(keys))
            # By key, so that neighbours in memory are looked at one after the other.
            asked = asked[np.argsort(keys[asked])]
            for number, run in self._search(eff[asked], window, after=after):
                at = (_first_after if after else _last_before)(run, keys[asked], since[asked])
                if at is None:
                    continue
                hit = (at >= 0) & (np.abs(run["eff"][at] - eff[asked]) <= window)
                met.append(asked[hit])
                alone[asked[hit]] = False
                rows.append(run.take(at[hit]))
                named.append((run, at[hit]))
                self._dirty.add(number)
                asked = asked[~hit]
                if not len(asked):
                    break
        for run, at in named:
            run["paired"][at] = True
        return np.concatenate(met), Table.concat(rows)

    def _search(self, eff: NDArray[np.int64], window: int, *, after: bool) -> Iterator[tuple[int, Table]]:
        """Slices and runs in which events for references at these times may lie, the likeliest first."""
        if not len(eff):
            return
        low, high = int(eff.min()), int(eff.max())
        first, last = (low, high + window) if after else (low - window, high)
        for number in sorted({*self._runs, *self._fresh}, reverse=not after):
            if first // self._slice <= number <= last // self._slice:
                for run in self._settled(number)[:: 1 if after else -1]:
                    yield number, run

    def _settled(self, number: int) -> list[Table]:
        """The runs of a slice, all sorted."""
        runs = self._runs.setdefault(number, [])
        if number in self._fresh:
            runs.append(_by_key(self._fresh.pop(number)))
            while len(runs) > 1 and len(runs[-2]) < 2 * len(runs[-1]):
                runs[-2:] = [_by_key(runs[-2:])]
        return runs

    @property
    def none(self) -> Table:
        """No rows."""
        return kept(None, self._columns)

    def times(self) -> Iterator[NDArray[np.int64]]:
        """Effective times of all rows."""
        for by in (self._runs, self._fresh):
            for runs in by.values():
                yield from (run["eff"] for run in runs)

    def oldest(self, since: int) -> int | None:
        """The smallest effective time from `since` on."""
        for number in sorted({*self._runs, *self._fresh}):
            runs = [*self._runs.get(number, ()), *self._fresh.get(number, ())]
            found = [int(eff.min()) for run in runs if len(eff := run["eff"][run["eff"] >= since])]
            if found:
                return min(found)
        return None

    def expire(self, since: int, until: int) -> Table:
        """Unpaired rows with `since` <= effective time < `until`; past slices are dropped."""
        unpaired = [self.none]
        for number in self._before(until):
            unpaired += self._unpaired(number, since, until)
            if (number + 1) * self._slice <= until:
                del self._runs[number]
                self._dirty.add(number)
        return Table.concat(unpaired)

    def forget(self, since: int, until: int) -> Table:
        """The same, and all rows before `until` are dropped."""
        unpaired = [self.none]
        for number in self._before(until):
            unpaired += self._unpaired(number, since, until)
            kept = [run.take(np.flatnonzero(run["eff"] >= until)) for run in self._settled(number)]
            self._runs[number] = [run for run in kept if len(run)]
            if not self._runs[number]:
                del self._runs[number]
            self._dirty.add(number)
        return Table.concat(unpaired)

    def _before(self, until: int) -> list[int]:
        """Slices that begin before `until`."""
        return [n for n in sorted({*self._runs, *self._fresh}) if n * self._slice < until]

    def _unpaired(self, number: int, since: int, until: int) -> Iterator[Table]:
        for run in self._settled(number):
            eff = run["eff"]
            yield run.take(np.flatnonzero((eff >= since) & (eff < until) & ~run["paired"]))

    def records(self) -> dict[str, bytes | None]:
        """Records of slices changed since the last call."""
        out: dict[str, bytes | None] = {}
        for number in sorted(self._dirty):
            start = number * self._slice
            runs = self._settled(number) if number in self._runs or number in self._fresh else []
            out[f"{EVENTS}/{start}"] = encode(_by_key(runs), start, self._columns) if runs else None
        self._dirty.clear()
        return out

    def restore(self, start: int, data: bytes) -> None:
        """Put a slice back."""
        self._runs[start // self._slice] = [decode(data, start, self._columns)]


_Places = NDArray[np.int64] | None


def _last_before(run: Table, keys: NDArray[np.uint64], eff: NDArray[np.int64]) -> _Places:
    """For each key the place of its last event with effective time <= `eff`, else -1; None: the run has none
    of the keys."""
    at = run["key"].searchsorted(keys, "right") - 1
    if not bool(_holds(run, at, keys).any()):
        return None
    while bool((later := _holds(run, at, keys) & (run["eff"].take(at, mode="clip") > eff)).any()):
        at = at - later
    return np.where(_holds(run, at, keys), at, -1)


def _first_after(run: Table, keys: NDArray[np.uint64], eff: NDArray[np.int64]) -> _Places:
    """For each key the place of its first event with effective time > `eff`, else -1; None as above."""
    at = run["key"].searchsorted(keys)
    if not bool(_holds(run, at, keys).any()):
        return None
    while bool((sooner := _holds(run, at, keys) & (run["eff"].take(at, mode="clip") <= eff)).any()):
        at = at + sooner
    return np.where(_holds(run, at, keys), at, -1)


def _holds(run: Table, at: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether there is a row of this key at that place."""
    there: NDArray[np.bool_] = run["key"].take(at, mode="clip") == keys
    return there & (at >= 0) & (at < len(run))


def _by_key(runs: Sequence[Table]) -> Table:
    """Rows of runs in folding order as one run."""
    rows = Table.concat(runs)
    return rows.take(np.argsort(rows["key"], kind="stable"))
