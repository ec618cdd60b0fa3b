"""`Sequencer`: the rows of one partition task, judged, ordered, de-duplicated, however they were read.

Knows no Kafka and no statistics: tables go in as they were read, steps come out in folding order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monitor.event_time.dedupe import Dedupe
from monitor.event_time.judge import Judge
from monitor.event_time.ordering import OrderBuffer
from monitor.event_time.timing import Fate, Timing
from monitor.event_time.trail import Trail
from monitor.event_time.watermark import Watermark
from monitor.wire.table import NO_TIME, Table

NEVER = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True)
class Step:
    """Rows to fold next, by stream, with columns `eff` and final `fate`; then time has passed to `watermark`.

    `behind`: these rows came behind the watermark: they are folded at effective time `watermark`, after all
    instants <= `watermark`.
    """

    tables: dict[str, Table]
    watermark: int
    behind: bool = False


@dataclass(frozen=True, slots=True)
class InputMeta:
    """Where to go on with an input: `seek` (lowest row still needed), `bound` before it, next to `read`."""

    seek: int
    bound: int
    read: int


@dataclass(frozen=True, slots=True)
class Behind:
    """From a journal: the row is folded at `watermark`, as the `sequence`-th such row of its task."""

    watermark: int
    sequence: int


class _Input:
    """One input's judge, buffer and what must be read again after a restart."""

    def __init__(self, timing: Timing, meta: InputMeta | None) -> None:
        self.judge = Judge(timing, meta.bound if meta else NO_TIME)
        self.buffer = OrderBuffer()
        self.trail = Trail()
        self.next = meta.seek if meta else 0
        self.read = meta.read if meta else 0

    @property
    def refilling(self) -> bool:
        """Rows that had been read before a restart are still to come."""
        return self.next < self.read

    def reached(self, position: int) -> None:
        """All rows before `position` have been read; those that the judge holds are to be read again."""
        held = self.judge.held_from
        self.next = max(self.next, position if held is None else held)
        self.read = max(self.read, self.next)

    def meta(self, keep: int) -> InputMeta:
        """Where a restart would have to go on, if rows with own time < `keep` are no longer needed."""
        offset, bound = self.trail.lowest(keep) or (self.next, self.judge.bound)
        return InputMeta(offset, bound, self.read)

    def settle(self, last: int) -> None:
        """At the end of a replay whose last instant is `last`: rows that no bound has placed, or a record
        timestamp beyond it, lie there."""
        rest = self.judge.rest()
        if rest is not None:
            self.buffer.add(rest)
        rows = self.buffer.release(NEVER)
        if rows is not None:
            rows = rows.take(np.argsort(rows["offset"]))
            own = np.where(rows["own"] == NO_TIME, last, np.minimum(rows["own"], last))
            self.buffer.add(rows.with_columns(own=own))


class Sequencer:
    """Order of one partition task. `late_applies` names the streams whose late rows are folded (orders).

    A replay of a run passes its `journal` and `until`, the watermark at which it ended.
    """

    def __init__(
        self,
        timing: Timing,
        streams: tuple[str, ...],
        *,
        late_applies: frozenset[str],
        watermark: int = NO_TIME,
        metas: Mapping[str, InputMeta] | None = None,
        journal: Mapping[tuple[str, int], Behind] | None = None,
        until: int | None = None,
    ) -> None:
        self._timing = timing
        self._late_applies = late_applies
        self._inputs = {s: _Input(timing, metas[s] if metas and s in metas else None) for s in streams}
        self._dedupe = {s: Dedupe(timing.dedupe_window) for s in streams}
        self._journal = journal
        self._until = until
        self._announced: list[tuple[Behind, str, Table]] = []
        self._restored = watermark
        self.streams = streams
        self.time = Watermark(timing, streams, watermark)

    @property
    def watermark(self) -> int:
        """W, up to which everything has been released."""
        return self.time.value

    @property
    def buffered(self) -> int:
        """Rows waiting for the watermark."""
        return sum(len(i.buffer) for i in self._inputs.values())

    def wanted(self, batch: int) -> dict[str, int]:
        """How many rows to read of each input next: one that runs ahead pauses at `buffer_limit`."""
        if self.buffered < self._timing.buffer_limit:
            return dict.fromkeys(self._inputs, batch)
        refilling = [stream for stream, source in self._inputs.items() if source.refilling]
        return dict.fromkeys(refilling or self.time.slowest(), batch)

    def read(self, stream: str, rows: Table, position: int, now: int, *, end: bool = False) -> list[Step]:
        """Take in decoded rows of one input, in offset order, of a fetch that ended at `position`.

        Returns rows that came behind the watermark: to be folded at once, in this order, and journaled.
        """
        source = self._inputs[stream]
        if not len(rows) and not end:
            source.reached(position)
            return []
        judged = source.judge.judge(rows, end=end)
        behind: list[Step] = []
        if len(judged):
            source.trail.add(judged["offset"], judged["own"], judged["bound_before"])
            source.trail.lowest(self._keep)
            behind = self._admit(stream, source, judged)
        if len(rows) or len(judged):
            self.time.heard(stream, source.judge.bound, now)
        source.reached(position)
        return behind

    def _admit(self, stream: str, source: _Input, rows: Table) -> list[Step]:
        own, offset = rows["own"], rows["offset"]
        if int(offset[0]) < source.read:
            # Read before a restart: what lay before W had been folded, and only refills the duplicates.
            known = (offset < source.read) & (own < self._restored)
            keyed = known & self._keyed(stream, rows)
            self._dedupe[stream].refill(rows["dedupe_key"][keyed], own[keyed])
            rows = rows.take(np.flatnonzero(~known))
        if self._journal is not None:
            return self._announce(stream, source, rows)
        tardy = rows["own"] < self.watermark
        if not bool(tardy.any()):
            source.buffer.add(rows)
            return []
        source.buffer.add(rows.take(np.flatnonzero(~tardy)))
        return [self._behind(stream, rows.take(np.flatnonzero(tardy)), self.watermark)]

    def _announce(self, stream: str, source: _Input, rows: Table) -> list[Step]:
        """A replay knows from the journal which rows had come behind, and where they were folded."""
        assert self._journal is not None
        offsets = rows["offset"].tolist()
        marked = [i for i, offset in enumerate(offsets) if (stream, offset) in self._journal]
        for i in marked:
            mark = self._journal[stream, offsets[i]]
            self._announced.append((mark, stream, rows.take(np.array([i]))))
        if marked:
            self._announced.sort(key=lambda x: (x[0].watermark, x[0].sequence))
            rows = rows.take(np.delete(np.arange(len(rows)), marked))
        source.buffer.add(rows)
        return []

    def silent(self, stream: str, now: int, sent: int) -> None:
        """A fetch of the input came back empty at its end; see `Watermark.silent`."""
        self.time.silent(stream, now, sent)

    def release(self) -> list[Step]:
        """Let time pass as far as the inputs allow. While the log is read again it stands still."""
        if self._refilling:
            return []
        steps = self._release()
        return steps + self._overflow()

    @property
    def _refilling(self) -> bool:
        return any(i.refilling for i in self._inputs.values())

    def _release(self, finish: int = NO_TIME) -> list[Step]:
        before = self.watermark
        self.time.finish(finish)
        target = self.time.advance(self._until)
        steps: list[Step] = []
        while self._announced and self._announced[0][0].watermark <= target:
            mark, stream, row = self._announced.pop(0)
            steps += self._passed(before, mark.watermark)
            before = max(before, mark.watermark)
            steps.append(self._behind(stream, row, mark.watermark))
        return steps + self._passed(before, target)

    def _passed(self, before: int, watermark: int) -> list[Step]:
        if watermark <= before:
            return []
        tables: dict[str, Table] = {}
        for stream, source in self._inputs.items():
            rows = source.buffer.release(watermark)
            if rows is not None:
                tables[stream] = self._decide(stream, rows.with_columns(eff=rows["own"]), behind=False)
        return [Step(tables, watermark)]

    def _overflow(self) -> list[Step]:
        """Where rows that reading on will not soon release fill the buffer, W is raised to release half.

        Those are the rows at or above their own input's front: the burst lies within the lateness. An input
        that merely runs ahead has most of its rows below it, and waits for the others.
        """
        steps: list[Step] = []
        while self.buffered >= self._timing.buffer_limit:
            fronts = [(source.buffer, self.time.front(stream)) for stream, source in self._inputs.items()]
            if sum(buffer.count(front) for buffer, front in fronts) < self._timing.buffer_limit:
                break
            own = np.concatenate([buffer.own(front) for buffer, front in fronts])
            self.time.force(int(np.partition(own, len(own) // 2)[len(own) // 2]) + 1)
            steps += self._release()
        return steps

    def _behind(self, stream: str, rows: Table, watermark: int) -> Step:
        rows = rows.with_columns(eff=np.full(len(rows), watermark, np.int64))
        return Step({stream: self._decide(stream, rows, behind=True)}, watermark, behind=True)

    def _keyed(self, stream: str, rows: Table) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        fate = rows["fate"]
        keyed: np.ndarray[tuple[int], np.dtype[np.bool_]] = fate == Fate.ON_TIME
        if stream in self._late_applies:
            keyed = keyed | (fate == Fate.LATE)
        return keyed

    def _decide(self, stream: str, rows: Table, *, behind: bool) -> Table:
        """Final fates of released rows: the first that applies."""
        keyed = np.flatnonzero(self._keyed(stream, rows))
        fate = rows["fate"].copy()
        late = fate[keyed] == Fate.LATE
        duplicate = self._dedupe[stream].judge(
            rows["dedupe_key"][keyed], rows["own"][keyed], rows["eff"][keyed]
        )
        fate[keyed] = np.where(
            duplicate,
            Fate.DUPLICATE,
            np.where(late, Fate.LATE_APPLIED, Fate.REORDERED if behind else Fate.ACCEPTED),
        )
        return rows.with_columns(fate=fate)

    def end(self, stream: str) -> None:
        """No row follows in this input of a replay."""
        self.time.end(stream)

    def finish(self, watermark: int) -> list[Step]:
        """All inputs of a replay have ended: let time pass to `watermark`. No row is left, unless a journal
        says that the run ended there."""
        if self._journal is None:
            for source in self._inputs.values():
                source.settle(watermark - 1)
        return self._release(watermark)

    @property
    def last(self) -> int:
        """The largest accepted timestamp of all inputs; NO_TIME where there was none."""
        bound = max(source.judge.bound for source in self._inputs.values())
        return bound if bound == NO_TIME else bound + self._timing.allowed_lateness

    def metas(self) -> dict[str, InputMeta]:
        """What `meta` holds of each input."""
        return {stream: source.meta(self._keep) for stream, source in self._inputs.items()}

    @property
    def _keep(self) -> int:
        """Rows with an older own time can no longer make a duplicate."""
        return NO_TIME if self.watermark == NO_TIME else self.watermark - self._timing.dedupe_window
