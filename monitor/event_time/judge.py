"""`Judge`: bound, fate and own time of each row of one input partition, from its own log alone.

The bound is the largest accepted `ts` - `allowed_lateness`, never back. Judged row by row, so that no batch
boundary changes a fate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.event_time.timing import DAY_NS, Fate, Timing
from monitor.wire.table import NO_TIME, Table

JUMP_NS = DAY_NS
"""Without record timestamps: a jump beyond this is held until further records confirm it."""

CONFIRMING = 3


class Judge:
    """Judges one input. `bound` is NO_TIME until a row was accepted."""

    def __init__(self, timing: Timing, bound: int = NO_TIME) -> None:
        self._timing = timing
        self.bound = bound
        self._held: Table | None = None

    def judge(self, rows: Table, *, end: bool = False) -> Table:
        """Rows in offset order with columns `own`, `fate` and `bound_before` (int64, int8, int64).

        Rows without record timestamps may be held back until later rows confirm a jump of more than 24 h
        (or, at the very start, give a first bound); `end` says that no row follows.
        """
        if self._held is not None:
            rows = Table.concat([self._held, rows]) if len(rows) else self._held
            self._held = None
        if len(rows) and bool((rows["record_ts"] == NO_TIME).any()):
            quarantined, ready = self._unconfirmed(rows, end)
            if ready < len(rows):
                self._held = rows.take(slice(ready, None))
                rows = rows.take(slice(0, ready))
            return self._fates(rows, quarantined[:ready])
        with np.errstate(over="ignore"):
            future = rows["ts"] > rows["record_ts"] + self._timing.max_future
        return self._fates(rows, future & (rows["reason"] == 0))

    def _fates(self, rows: Table, quarantined: NDArray[np.bool_]) -> Table:
        n = len(rows)
        ts = rows["ts"]
        good = (rows["reason"] == 0) & ~quarantined
        bounds = np.empty(n + 1, np.int64)
        bounds[0] = self.bound
        bounds[1:] = np.where(good, ts - self._timing.allowed_lateness, NO_TIME)
        np.maximum.accumulate(bounds, out=bounds)
        before = bounds[:-1]
        late = good & (ts < before)
        fate = np.full(n, Fate.ON_TIME, np.int8)
        fate[late] = Fate.LATE
        fate[quarantined] = Fate.QUARANTINED
        fate[rows["reason"] != 0] = Fate.REJECTED
        own = np.where(good & ~late, ts, np.where(before == NO_TIME, self._placeless(rows, bounds), before))
        self.bound = int(bounds[-1])
        return rows.with_columns(own=own, fate=fate, bound_before=before)

    def _placeless(self, rows: Table, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Own time of a bad row before any bound: its record timestamp, else the first bound after it."""
        later = bounds[bounds != NO_TIME]
        first = int(later[0]) if len(later) else 0
        record_ts = rows["record_ts"]
        return np.where(record_ts == NO_TIME, first, record_ts)

    def _unconfirmed(self, rows: Table, end: bool) -> tuple[NDArray[np.bool_], int]:
        """Which rows jump by more than 24 h unconfirmed, and how many leading rows are decided."""
        n = len(rows)
        ts = rows["ts"]
        good = np.flatnonzero(rows["reason"] == 0)
        quarantined = np.zeros(n, np.bool_)
        top: int | None = None if self.bound == NO_TIME else self.bound + self._timing.allowed_lateness
        if top is None and not len(good) and not end:
            return quarantined, 0
        at = 0
        while at < len(good):
            if top is not None:
                run = np.maximum.accumulate(ts[good[at:]])
                steps = np.diff(np.concatenate(([top], run)))
                jumps = np.flatnonzero(steps > JUMP_NS)
                if not len(jumps):
                    break
                top = int(run[jumps[0] - 1]) if jumps[0] else top
                at += int(jumps[0])
            row = int(good[at])
            further = ts[good[at + 1 : at + 1 + CONFIRMING]]
            if len(further) < CONFIRMING and not end:
                return quarantined, 0 if top is None else row
            # At the end of a file nobody confirms a lone last row, and nobody denies a lone first one.
            if bool((further >= ts[row] - JUMP_NS).all()) and (len(further) or top is None):
                top = int(ts[row])
            else:
                quarantined[row] = True
            at += 1
        return quarantined, n
