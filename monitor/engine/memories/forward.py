"""`ForwardReturns`: predictions wait until it is known how the mid of their symbol moved after them.

Derives pairs of prediction and return, by horizon; knows neither panes nor what is thought of a prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.engine.memories.mids import Mids, mid_of
from monitor.engine.scope import Batch
from monitor.engine.skill_rules import Forward
from monitor.errors import StateError
from monitor.wire.table import Table

FARTHEST = 2.0
"""A mid that doubles or halves within a horizon comes of a bad tick: there is no return. One among ten
thousand moves a mean by 1 bp at most."""

RECORDS_PER_SPAN = 64
"""State records over the time that a prediction waits: one slice of time each."""

SKIPPED = "forward_skipped"
"""A derived row: how many predictions did not wait, since their symbol had too many in that slot."""

_NS, _UNSIGNED, _FLOAT = "<i8", "<u8", "<f8"


def derived(horizon_ns: int) -> str:
    """Name of the derived rows: `sample_key`, `ts`, `symbol_key`, `slot`, `leads`, `value/<role>` and
    `return`, the mid return over [t + lag, t + lag + horizon), NaN where a mid is missing. `leads`: the first
    prediction of its symbol in the slot of time that begins at `slot`."""
    return f"forward/{horizon_ns}"


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `rows` predictions of a symbol wait from each slot of `slot_ns`: the first ones.

    By symbol, so that it does not matter which task has which symbols; by slots, so that what is taken is
    spread evenly over time.
    """

    slot_ns: int
    rows: int

    @staticmethod
    def of(forward: Forward) -> Quota:
        """Shares `limit` rows among the symbols, and a symbol's among the slots of the time they wait."""
        step = forward.evaluation_ns
        # A row goes at the first instant of evaluation after its horizon; two more slots lie over the ends.
        span = forward.lag_ns + max(forward.horizons_ns) + step
        mine = max(1, forward.limit // max(1, forward.symbols))
        slot_ns = -(-span // (max(1, mine - 2) * step)) * step
        return Quota(slot_ns, max(1, mine * slot_ns // (span + 2 * slot_ns)))


class ForwardReturns:
    """A prediction of time t meets the mids as of t + lag and t + lag + h of each horizon h.

    t is the effective time of its row. Mids are of the rows' own quotes, as of an instant: the last one at or
    before it. What a prediction is paired with depends on rows alone; it is said at the first instant of
    evaluation after its horizon has passed.

    Memory and state: at most `limit` rows in all (or four a symbol) of 41 bytes and 8 for each role and
    horizon, and 24 bytes a symbol.
    """

    key = "forward"

    def __init__(self, forward: Forward, roles: Sequence[str]) -> None:
        self._forward, self._roles = forward, tuple(roles)
        self._quota = Quota.of(forward)
        self._offsets = [forward.lag_ns, *(forward.lag_ns + horizon for horizon in forward.horizons_ns)]
        """Of the instants at which a prediction needs a mid."""
        self._slice = max(forward.evaluation_ns, max(self._offsets) // RECORDS_PER_SPAN)
        self._kinds = {
            "eff": _NS,
            "ts": _NS,
            "sample_key": _UNSIGNED,
            "symbol_key": _UNSIGNED,
            "leads": "?",
            **{f"value/{role}": _FLOAT for role in roles},
            **{f"mid/{place}": _FLOAT for place in range(len(self._offsets))},
        }
        self._mids = Mids(forward.stale_ns)
        self._rows = Table({name: np.empty(0, kind) for name, kind in self._kinds.items()})
        self._known = 0
        """Mids as of all times before this one have been found."""
        self._passed = 0
        """Pairs whose horizon ended before this time have been said."""
        self._said: tuple[int, int] | None = None
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        """Predictions that wait."""
        return len(self._rows)

    def take(self, batch: Batch) -> Mapping[str, Table]:
        """Predictions begin to wait, quotes end the wait of others; what has ended is said by `expire`."""
        if "features" not in batch or not len(batch.features["eff"]):
            return {}
        rows = batch.features
        mid = mid_of(rows["bid"], rows["ask"], self._forward.max_spread)
        quoted = np.flatnonzero(~np.isnan(mid))
        quotes = rows["symbol_key"][quoted], rows["eff"][quoted], mid[quoted]
        skipped = self._begin(batch)
        self._find(quotes, int(rows["eff"][-1]))
        self._mids.take(quotes)
        return {SKIPPED: Table({"rows": np.array([skipped])})} if skipped else {}

    @property
    def due(self) -> int | None:
        """When the next horizon of a prediction ends."""
        ends = []
        for offset in self._offsets[1:]:
            place = int(np.searchsorted(self._rows["eff"], self._passed - offset))
            if place < len(self._rows):
                ends.append(int(self._rows["eff"][place]) + offset)
        return min(ends, default=None)

    def expire(self, until: int) -> Mapping[str, Table]:
        """Pairs whose horizon ended before `until`."""
        none = np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0)
        self._find(none, until)
        self._mids.forget(until)
        rows, out = self._rows, {}
        for place, horizon in enumerate(self._forward.horizons_ns, 1):
            since, to = np.searchsorted(
                rows["eff"], [self._passed - self._offsets[place], until - self._offsets[place]]
            ).tolist()
            if to > since:
                out[derived(horizon)] = self._pairs(rows.take(slice(since, to)), place)
        self._passed = until
        # The rows of a slot are counted against the quota until it is over.
        slot_ns = self._quota.slot_ns
        over = min(until - max(self._offsets), until // slot_ns * slot_ns)
        gone = int(np.searchsorted(rows["eff"], over))
        self._touch(rows["eff"][:gone])
        self._rows = rows.take(slice(gone, None))
        return out

    def _pairs(self, rows: Table, place: int) -> Table:
        with np.errstate(over="ignore", invalid="ignore"):
            begin, end = rows["mid/0"], rows[f"mid/{place}"]
            wild = (end > FARTHEST * begin) | (begin > FARTHEST * end)
            returns = np.where(wild, np.nan, (end - begin) / begin)
        eff = rows["eff"]
        columns = {name: rows[name] for name in ("sample_key", "ts", "symbol_key", "leads")}
        columns |= {f"value/{role}": rows[f"value/{role}"] for role in self._roles}
        return Table(columns | {"slot": eff - eff % self._quota.slot_ns, "return": returns})

    def _begin(self, batch: Batch) -> int:
        """Append the predictions of a batch, as far as the quota of their symbol goes; how many it left
        out."""
        features = batch.features
        values = {role: batch.scores[role].value for role in self._roles}
        answered = np.isfinite(np.array(list(values.values()))).any(axis=0)
        asked = np.flatnonzero(answered)
        symbols, eff = features["symbol_key"][asked], features["eff"][asked]
        number = self._number(symbols, eff)
        taken = number < self._quota.rows
        skipped = int(len(asked) - np.count_nonzero(taken))
        asked = asked[taken]
        if not len(asked):
            return skipped
        missing = np.full(len(asked), np.nan)
        columns: dict[str, NDArray[Any]] = {
            "eff": features["eff"][asked],
            "ts": features["ts"][asked],
            "sample_key": features["sample_key"][asked],
            "symbol_key": features["symbol_key"][asked],
            "leads": number[taken] == 0,
            **{f"value/{role}": value[asked] for role, value in values.items()},
            **{f"mid/{place}": missing for place in range(len(self._offsets))},
        }
        self._touch(columns["eff"])
        # Copied, since mids are written into the columns later.
        self._rows = Table({c: np.concatenate([self._rows[c], column]) for c, column in columns.items()})
        return skipped

    def _number(self, symbols: NDArray[np.uint64], eff: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many predictions of its symbol and slot stand before each, those that wait included."""
        if not len(eff):
            return np.empty(0, np.int64)
        slot_ns = self._quota.slot_ns
        first = int(eff[0]) // slot_ns * slot_ns
        before = slice(int(np.searchsorted(self._rows["eff"], first)), None)
        keys = np.concatenate([self._rows["symbol_key"][before], symbols])
        slots = np.concatenate([self._rows["eff"][before], eff]) // slot_ns
        order = np.lexsort((keys, slots))
        new = np.ones(len(keys), np.bool_)
        new[1:] = (np.diff(keys[order]) != 0) | (np.diff(slots[order]) != 0)
        starts = np.flatnonzero(new)
        number = np.empty(len(keys), np.int64)
        number[order] = np.arange(len(keys)) - np.repeat(starts, np.diff(starts, append=len(keys)))
        return number[len(keys) - len(eff) :]

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
            rows[f"mid/{place}"][since:to] = found[at : at + to - since]
            at += to - since
            self._touch(rows["eff"][since:to])

    def _touch(self, eff: NDArray[np.int64]) -> None:
        if len(eff):
            self._dirty.update(np.unique(eff // self._slice).tolist())

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out = {f"mids/{key}": data for key, data in self._mids.records().items()}
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
        prefix = "mids/"
        self._mids.restore({k.removeprefix(prefix): d for k, d in records.items() if k.startswith(prefix)})
        slices: list[tuple[int, Table]] = []
        for key, data in records.items():
            try:
                if key == "passed":
                    self._known, self._passed = msgspec.msgpack.decode(data, type=tuple[int, int])
                    self._said = (self._known, self._passed)
                elif key.startswith("rows/"):
                    slices.append((int(key.removeprefix("rows/")), self._decoded(data)))
            except (msgspec.MsgspecError, ValueError) as error:
                message = f"state of forward returns, record {key!r}, cannot be read: {error}"
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
