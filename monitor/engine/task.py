"""`TaskFold`: fold 1. One partition task's rows, in order, into partials of one deployment.

Knows neither Kafka nor models: rows come ordered and scored, time comes with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.engine.grid import Grid
from monitor.engine.memory import Memory
from monitor.engine.panes import Kind, Pane, PaneBytes, cover
from monitor.engine.partials import BookState, Closed, Open, Partial
from monitor.engine.rows import Scores
from monitor.engine.scope import NO_ROWS, Batch, Source
from monitor.engine.task_books import TaskBooks
from monitor.event_time.timing import Fate
from monitor.state.records import read_value
from monitor.wire.table import NO_TIME, Table

_MEMORY = "memory/"


class FoldState(msgspec.Struct, frozen=True, array_like=True):
    """What a task keeps of a deployment beside the open pane and the books."""

    first: int | None
    pane_start: int | None


def _runs(values: NDArray[np.int64]) -> Iterator[tuple[int, slice]]:
    """Runs of equal values in a sorted array: (value, rows)."""
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    ends = [*starts[1:].tolist(), len(values)]
    for start, end in zip(starts.tolist(), ends, strict=True):
        yield int(values[start]), slice(start, end)


class TaskFold:
    """Folds the rows of one task for one deployment.

    `partition`: of the inputs that the rows lie in (the task's number, or 0 for plain files). `digest`: of
    what its panes hang on. `memories` and `books` begin empty.
    """

    def __init__(
        self,
        deployment: str,
        task: int,
        partition: int,
        digest: str,
        grid: Grid,
        sources: tuple[Source, ...],
        memories: Sequence[Memory],
        books: TaskBooks,
    ) -> None:
        self._deployment, self._task, self._partition, self._digest = deployment, task, partition, digest
        self._grid = grid
        self._sources = sources
        self._kinds: Mapping[str, Kind] = {s.key: s.kind for s in sources}
        self._every = {s.key: grid.schedule(s.every_ns) for s in sources}
        self._memories = memories
        self._books = books
        self._first: int | None = None
        self._at: int | None = None
        self._pane = Pane(self._kinds, grid.pane)
        self._pane_start: int | None = None
        self._unsaid: set[str] = set()
        self._covered = True
        self._said: int | None = None
        self._dirty = True

    @property
    def at(self) -> int | None:
        """The last instant passed."""
        return self._at

    def fold(
        self,
        tables: Mapping[str, Table],
        scores: Mapping[str, Scores],
        watermark: int,
        *,
        idle: bool,
    ) -> list[Partial]:
        """Fold rows sorted by effective time, then let time pass to `watermark`.

        Rows that came behind have effective time `watermark`: they follow all instants <= `watermark`.

        Args:
            tables: by stream, rows with `eff` and final `fate`.
            scores: by role, aligned with the rows of `features`.
        """
        out: list[Partial] = []
        for part, answers in self._slices(tables, scores):
            self._take(part, answers, out, idle)
        if watermark != NO_TIME:
            self._pass(watermark - watermark % self._grid.tick, out, idle)
        return out

    def finish(self, at: int, idle: bool) -> Partial:
        """At the end of a replay: everything before `at`, which need not be an instant of the grid.

        Time has passed to `at` before, so that its pane is the open one. What fell due since the last instant
        of evaluation counts too: the report is as of `at`.
        """
        self._expire(at)
        return Partial(
            self._deployment,
            self._task,
            at,
            self._first,
            idle,
            self._digest,
            self._books.states(at),
            Open(self._grid.slot(at), self._pane.encode()),
            cover=(self._grid.slot(at), dict(self._pane.offsets)),
            marks=self._books.marks(),
        )

    def progress(self, watermark: int, idle: bool) -> Partial | None:
        """How far the task has come, where its last partial does not say it; None before any time."""
        if watermark == NO_TIME:
            return None
        at = self._at if self._at is not None else watermark - watermark % self._grid.tick
        if self._said is not None and self._said >= at:
            return None
        self._said = at
        return Partial(self._deployment, self._task, at, self._first, idle, self._digest)

    def _slices(
        self, tables: Mapping[str, Table], scores: Mapping[str, Scores]
    ) -> Iterator[tuple[dict[str, Table], dict[str, Scores]]]:
        """Rows between two evaluations at a time, in order."""
        cuts: dict[int, dict[str, slice]] = {}
        for stream, table in tables.items():
            for at, rows in _runs(table["eff"] // self._grid.evaluation):
                cuts.setdefault(at, {})[stream] = rows
        for at in sorted(cuts):
            rows_of = cuts[at]
            part = {stream: tables[stream].take(rows) for stream, rows in rows_of.items()}
            features = rows_of.get("features")
            yield part, {} if features is None else {r: s.take(features) for r, s in scores.items()}

    def _pass(self, instant: int | None, out: list[Partial], idle: bool) -> None:
        """Say every instant <= `instant` at which something is due."""
        if instant is None or self._first is None or instant < self._first:
            return
        grid = self._grid
        if self._at is None:
            self._at = self._first - grid.tick
        while self._at < instant:
            at = self._next(instant)
            self._at = at
            partial = self._say(at, idle)
            if partial is not None:
                self._said = at
                out.append(partial)

    def _next(self, instant: int) -> int:
        """The next instant <= `instant` at which something may be due."""
        assert self._at is not None
        grid = self._grid
        if self._books.touched or not self._covered:
            return self._at + grid.tick
        if self._unsaid:
            return min(instant, self._at - self._at % grid.evaluation + grid.evaluation)
        ends = [memory.due for memory in self._memories]
        waits = [end - end % grid.evaluation + grid.evaluation for end in ends if end is not None]
        if self._pane_start is not None:
            waits.append(self._at - self._at % grid.pane + grid.pane)
        return min([instant, *waits])

    def _say(self, at: int, idle: bool) -> Partial | None:
        grid = self._grid
        marks = self._books.marks() if self._books.touched else {}
        books: dict[str, BookState] | None = self._books.changed(at)
        opened: Open | None = None
        closed: tuple[Closed, ...] = ()
        if at % grid.evaluation == 0:
            self._expire(at)
        if at % grid.pane == 0:
            if self._pane_start is not None:
                closed = (Closed(self._pane_start, self._pane.encode()),)
            self._pane = Pane(self._kinds, grid.pane)
            self._pane_start = None
            self._unsaid.clear()
            self._covered = self._dirty = True
        elif at % grid.evaluation == 0 and self._pane_start is not None:
            due = {key for key in self._unsaid if at % self._every[key] == 0}
            if due:
                opened = Open(self._pane_start, self._pane.encode(due))
                self._unsaid -= due
        cover = None
        if not self._covered and self._pane_start is not None:
            cover, self._covered = (self._pane_start, dict(self._pane.offsets)), True
        if books is None and opened is None and cover is None and not closed and not marks:
            return None
        said = (self._deployment, self._task, at, self._first, idle, self._digest)
        return Partial(*said, books, opened, closed, cover, marks)

    def _take(
        self, part: dict[str, Table], answers: Mapping[str, Scores], out: list[Partial], idle: bool
    ) -> None:
        """Rows between two evaluations: books tick by tick, statistics at once."""
        self._books.extend()
        tick = self._grid.tick
        begins = min(int(table["eff"][0]) for table in part.values())
        if self._first is None:
            self._first = (begins // tick + 1) * tick
            self._at = self._first - tick
        self._pass(begins // tick * tick, out, idle)
        self._pane_start = self._grid.slot(begins)
        self._trade(part, answers, out, idle)
        derived = self._books.derived()
        batch = replace(Batch.of(part, answers), derived=dict(derived))
        for memory in self._memories:
            derived.update(memory.take(batch))
        self._feed(replace(batch, derived=derived))

    def _expire(self, at: int) -> None:
        """What waited in vain until `at`, an instant of evaluation, belongs to the slice that ends there."""
        derived: dict[str, Table] = {}
        for memory in self._memories:
            if memory.due is not None and memory.due < at:
                derived.update(memory.expire(at))
        if derived:
            self._pane_start = self._grid.slot(at - 1)
            self._feed(Batch({}, NO_ROWS, {}, derived))

    def _feed(self, batch: Batch) -> None:
        for source in self._sources:
            if source.takes in batch:
                source.feed(self._pane.statistic(source.key), batch)
                self._unsaid.add(source.key)
        self._dirty = True

    def _trade(
        self, part: dict[str, Table], answers: Mapping[str, Scores], out: list[Partial], idle: bool
    ) -> None:
        """Books tick by tick; orders that the ledger knew become duplicates in `part`."""
        ticks: dict[int, dict[str, slice]] = {}
        for stream, table in part.items():
            for at, rows in _runs(table["eff"] // self._grid.tick):
                ticks.setdefault(at, {})[stream] = rows
        again: list[int] = []
        for at in sorted(ticks):
            rows_of = ticks[at]
            self._pass(at * self._grid.tick, out, idle)
            self._cover(part, rows_of)
            mine, theirs = rows_of.get("features"), rows_of.get("orders")
            known = self._books.trade(
                part["features"].take(mine) if mine is not None else None,
                part["orders"].take(theirs) if theirs is not None else None,
                {role: scores.take(mine) for role, scores in answers.items()} if mine is not None else {},
            )
            again += [theirs.start + row for row in known] if theirs is not None else []
        if again:
            fate = part["orders"]["fate"].copy()
            fate[again] = Fate.DUPLICATE
            part["orders"] = part["orders"].with_columns(fate=fate)

    def _cover(self, part: Mapping[str, Table], rows_of: Mapping[str, slice]) -> None:
        """The offsets of a tick's rows."""
        for stream, rows in rows_of.items():
            offsets = part[stream]["offset"][rows]
            name = f"{stream}-{self._partition}"
            cover(self._pane.offsets, {name: (int(offsets.min()), int(offsets.max()))})
        self._covered = False

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out = self._books.records()
        for memory in self._memories:
            records = memory.records()
            out.update({f"{_MEMORY}{memory.key}/{key}": data for key, data in records.items()})
        if self._dirty:
            out["fold"] = msgspec.msgpack.encode(FoldState(self._first, self._pane_start))
            out["pane"] = msgspec.msgpack.encode(self._pane.encode())
            self._dirty = False
        return out

    def restore(self, records: Mapping[str, bytes], watermark: int) -> None:
        """Go on from records committed at `watermark`: every instant up to there has been said.

        The open pane made under another configuration is not among the records.

        Raises:
            StateError: a record cannot be read.
        """
        tick = self._grid.tick
        if "fold" in records:
            state = read_value(FoldState, "fold", records["fold"])
            if state.first is not None:
                # Under another configuration the grid may be another.
                self._first = -(-state.first // tick) * tick
                self._at = watermark - watermark % tick
            if "pane" in records:
                encoded = read_value(PaneBytes, "pane", records["pane"])
                self._pane = Pane.decode(encoded, self._kinds, self._grid.pane)
                self._pane_start, self._unsaid = state.pane_start, set(self._pane.statistics)
                self._covered = self._pane_start is None
        of: dict[str, dict[str, bytes]] = {"": {}}
        for key, data in records.items():
            if key.startswith(_MEMORY):
                _, name, rest = key.split("/", 2)
                of.setdefault(name, {})[rest] = data
            elif key not in ("fold", "pane"):
                of[""][key] = data
        for memory in self._memories:
            memory.restore(of.get(memory.key, {}))
        self._books.restore(of[""])
