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
"""Of a row without record timestamp: a jump beyond this is held until further records confirm it."""

CONFIRMING = 3


class Judge:
    """Judges one input. `bound` is NO_TIME until a row was accepted."""

    def __init__(self, timing: Timing, bound: int = NO_TIME) -> None:
        self._timing = timing
        self.bound = bound
        self._held: Table | None = None

    @property
    def held_from(self) -> int | None:
        """Offset of the first row that is not judged yet."""
        return None if self._held is None else int(self._held["offset"][0])

    def judge(self, rows: Table, *, end: bool = False) -> Table:
        """Rows in offset order with columns `own`, `fate` and `bound_before` (int64, int8, int64).

        From the first row without record timestamp on, rows may be held until later ones confirm a jump of
        more than 24 h, or give a first bound; `end` says that no row follows.
        """
        if self._held is not None:
            rows = Table.concat([self._held, rows]) if len(rows) else self._held
            self._held = None
        quarantined = self._future(rows)
        if bool((rows["record_ts"] == NO_TIME).any()):
            judged = self._confirm(rows, quarantined, end)
            if judged < len(rows):
                self._held = rows.take(slice(judged, None))
                rows, quarantined = rows.take(slice(0, judged)), quarantined[:judged]
        return self._fates(rows, quarantined)

    def rest(self) -> Table | None:
        """At the end: bad rows still held, since no bound has placed them; `own` is NO_TIME where they have
        no record timestamp either."""
        rows, self._held = self._held, None
        return None if rows is None else self._fates(rows, self._future(rows))

    def _future(self, rows: Table) -> NDArray[np.bool_]:
        """Which rows lie too far after their record."""
        record_ts = rows["record_ts"]
        # Event times are positive: the difference cannot overflow.
        future: NDArray[np.bool_] = (
            (rows["ts"] - self._timing.max_future > record_ts)
            & (record_ts != NO_TIME)
            & (rows["reason"] == 0)
        )
        return future

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
        own = np.where(good & ~late, ts, before)
        if self.bound == NO_TIME:
            own = np.where(own == NO_TIME, self._placeless(rows, bounds), own)
        self.bound = int(bounds[-1])
        return rows.with_columns(own=own, fate=fate, bound_before=before)

    def _placeless(self, rows: Table, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Own time of a bad row before any bound: its record timestamp, else the first bound after it."""
        later = bounds[bounds != NO_TIME]
        record_ts = rows["record_ts"]
        return np.where(record_ts == NO_TIME, later[0] if len(later) else NO_TIME, record_ts)

    def _confirm(self, rows: Table, quarantined: NDArray[np.bool_], end: bool) -> int:
        """Quarantines unconfirmed jumps of rows without record timestamp; returns how many are judged."""
        timed = rows["record_ts"] != NO_TIME
        good = np.flatnonzero((rows["reason"] == 0) & ~quarantined)
        times, known = rows["ts"][good], timed[good]
        top: int | None = None if self.bound == NO_TIME else self.bound + self._timing.allowed_lateness
        at, judged = 0, len(rows)
        while at < len(good):
            if top is not None:
                tops = np.maximum.accumulate(np.concatenate(([top], times[at:])))
                jumps = np.flatnonzero(~known[at:] & (times[at:] - tops[:-1] > JUMP_NS))
                if not len(jumps):
                    break
                at += int(jumps[0])
                top = int(tops[jumps[0]])
            further = times[at + 1 : at + 1 + CONFIRMING]
            if not known[at] and len(further) < CONFIRMING and not end:
                judged = int(good[at])
                break
            if known[at] or self._stands(int(times[at]), further, first=top is None):
                top = int(times[at])
            else:
                quarantined[good[at]] = True
            at += 1
        if top is None:
            # No bound yet: a row without any time has no place before the first one.
            judged = min(judged, int(np.argmin(timed)))
        return judged

    @staticmethod
    def _stands(ts: int, further: NDArray[np.int64], *, first: bool) -> bool:
        """Whether further records confirm a jump to `ts`; a first record stands unless most deny it."""
        near = int((further >= ts - JUMP_NS).sum())
        return 2 * near >= len(further) if first else near == CONFIRMING
