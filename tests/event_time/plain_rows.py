"""Event time row by row, as its rules are worded, without arrays: what the package is held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from monitor.event_time.sequencer import Step
from monitor.event_time.timing import Fate, Timing
from monitor.wire.table import NO_TIME, Table

DAY = 86_400 * 10**9
NEVER = float("-inf")
STREAMS = ("features", "orders", "outcomes")
LATE_APPLIES = frozenset({"orders"})


class Row(NamedTuple):
    """One record: `ts` 0 and `sound` False where undecodable; `record` None where the log has no times."""

    ts: int
    record: int | None
    key: int = 0
    sound: bool = True


class Judged(NamedTuple):
    own: int
    fate: str
    bound_before: float


class Folded(NamedTuple):
    """One row in folding order."""

    stream: str
    offset: int
    eff: int
    own: int
    fate: str
    behind: bool


def table(rows: Sequence[Row], start: int = 0) -> Table:
    """Rows as decoding yields them; a wide and an object column show that rows stay whole."""
    offsets = np.arange(start, start + len(rows), dtype=np.int64)
    names = np.empty(len(rows), object)
    names[:] = [f"row{o}" for o in offsets.tolist()]
    return Table(
        {
            "offset": offsets,
            "record_ts": np.array([NO_TIME if r.record is None else r.record for r in rows], np.int64),
            "ts": np.array([r.ts if r.sound else 0 for r in rows], np.int64),
            "reason": np.array([0 if r.sound else 3 for r in rows], np.int8),
            "dedupe_key": np.array([r.key for r in rows], np.uint64),
            "values": np.repeat(offsets[:, None].astype(np.float64), 3, axis=1),
            "name": names,
        }
    )


def judged_rows(rows: Sequence[Row], timing: Timing) -> list[Judged]:
    """Bound, fate and own time of every row of a finished input."""
    out: list[Judged] = []
    largest: int | None = None
    for at, row in enumerate(rows):
        bound = NEVER if largest is None else largest - timing.allowed_lateness
        if not row.sound:
            fate = "rejected"
        elif row.record is not None:
            fate = "quarantined" if row.ts > row.record + timing.max_future else ""
        else:
            fate = "" if _believed(row, rows[at + 1 :], largest, timing) else "quarantined"
        if fate or row.ts < bound:
            fate = fate or "late"
            own = bound if bound != NEVER else row.record
        else:
            fate, own = "on_time", row.ts
            largest = row.ts if largest is None else max(largest, row.ts)
        out.append(Judged(own, fate, bound))  # type: ignore[arg-type]
    firsts = [j.own + 0 for j, r in zip(out, rows, strict=True) if j.fate == "on_time"][:1]
    first = firsts[0] - timing.allowed_lateness if firsts else None
    return [j._replace(own=first) if j.own is None else j for j in out]


def _believed(row: Row, following: Sequence[Row], largest: int | None, timing: Timing) -> bool:
    """Without record timestamp: does a first row, or a jump of more than 24 h, stand?"""
    further = [
        r.ts for r in following if r.sound and (r.record is None or r.ts <= r.record + timing.max_future)
    ][:3]
    agreeing = [ts for ts in further if ts >= row.ts - DAY]
    if largest is None:
        return 2 * len(agreeing) >= len(further)
    return row.ts - largest <= DAY or len(agreeing) == 3


@dataclass
class PlainTask:
    """One partition task, row by row: lists, loops and no memory saved."""

    timing: Timing
    streams: tuple[str, ...] = STREAMS
    watermark: float = NEVER
    folded: list[Folded] = field(default_factory=list)
    waiting: list[tuple[int, int, int, str]] = field(default_factory=list)
    keys: dict[tuple[str, int], list[tuple[int, int]]] = field(default_factory=dict)
    bound: dict[str, float] = field(default_factory=dict)
    front: dict[str, float] = field(default_factory=dict)
    idle: dict[str, bool] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)
    past: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    key_of: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.front = dict.fromkeys(self.streams, NEVER)
        self.idle = dict.fromkeys(self.streams, False)

    def read(self, stream: str, rows: Iterable[tuple[int, Row, Judged]], now: int) -> None:
        place = self.streams.index(stream)
        for offset, row, judged in rows:
            self.key_of[stream, offset] = row.key
            self.heard[stream], self.idle[stream] = now, False
            if judged.own < self.watermark:
                self._fold(stream, offset, int(self.watermark), judged.own, judged.fate, behind=True)
            else:
                self.waiting.append((judged.own, place, offset, judged.fate))
            bound = judged.bound_before
            if judged.fate == "on_time":
                bound = max(bound, row.ts - self.timing.allowed_lateness)
            self.front[stream] = max(self.front[stream], bound)

    def silent(self, stream: str, now: int, sent: int, others: float) -> None:
        if now - self.heard.setdefault(stream, now) < self.timing.idle_after:
            return
        self.idle[stream] = True
        then = next(fronts for at, fronts in reversed(self.past) if at <= sent)
        if all(self.idle.values()):
            target = max([*then.values(), others, sent - self.timing.idle_grace])
        else:
            target = min(then[name] for name in self.streams if not self.idle[name])
        self.front[stream] = max(self.front[stream], target)

    def release(self) -> None:
        self.watermark = max(self.watermark, *[min(self.front.values())])
        for own, place, offset, fate in sorted(w for w in self.waiting if w[0] < self.watermark):
            self._fold(self.streams[place], offset, own, own, fate, behind=False)
        self.waiting = [w for w in self.waiting if w[0] >= self.watermark]

    def _fold(self, stream: str, offset: int, eff: int, own: int, fate: str, *, behind: bool) -> None:
        if fate == "on_time" or (fate == "late" and stream in LATE_APPLIES):
            seen = self.keys.setdefault((stream, self.key_of[stream, offset]), [])
            if any(earlier >= eff - self.timing.dedupe_window for earlier, _ in seen):
                fate = "duplicate"
            elif fate == "late":
                fate = "late_applied"
            else:
                fate = "reordered" if behind else "accepted"
            seen.append((own, offset))
        self.folded.append(Folded(stream, offset, eff, own, fate, behind))


def flat(steps: Iterable[Step], streams: tuple[str, ...] = STREAMS) -> list[Folded]:
    """The rows of steps in folding order: effective time, stream, as they stand in their table."""
    out: list[Folded] = []
    for step in steps:
        rows: list[tuple[int, int, int, Folded]] = []
        for stream, t in step.tables.items():
            columns = (t["offset"].tolist(), t["eff"].tolist(), t["own"].tolist(), t["fate"].tolist())
            for at, (offset, eff, own, fate) in enumerate(zip(*columns, strict=True)):
                assert t["name"][at] == f"row{offset}"
                assert t["values"][at].tolist() == [offset] * 3
                row = Folded(stream, offset, eff, own, Fate(fate).name.lower(), step.behind)
                rows.append((eff, streams.index(stream), at, row))
        out += [row for *_, row in sorted(rows)]
    return out


def logs_of(rows: Mapping[str, Sequence[tuple[int, Row]]]) -> dict[str, list[Row]]:
    """The logs without arrival times."""
    return {stream: [row for _, row in arrivals] for stream, arrivals in rows.items()}
