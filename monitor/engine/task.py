"""`TaskFold`: fold 1. One partition task's rows, in order, into partials of one deployment.

Knows neither Kafka nor models: rows come ordered and scored, time comes with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.engine.panes import Kind, Pane, PaneBytes, cover
from monitor.engine.partials import BookState, Closed, Holding, Open, Partial
from monitor.engine.rows import Scores
from monitor.engine.sources import Batch, Source
from monitor.event_time.timing import FOLDED, Fate
from monitor.trading.books import BookSet
from monitor.trading.units import InstrumentUnits
from monitor.wire.table import NO_TIME, Table


@dataclass(frozen=True, slots=True)
class Grid:
    """Instants of a deployment, ns: `tick` for books and hard limits, `evaluation` for rules, finest `pane`.

    Each divides the next.
    """

    tick: int
    evaluation: int
    pane: int


_NO_SCORES = np.empty(0, np.float64)
_NO_FEATURES = Table(
    {
        "symbol": np.empty(0, np.int32),
        "eff": np.empty(0, np.int64),
        **{name: np.empty(0, np.float64) for name in ("bid", "ask", "price")},
    }
)


class FoldState(msgspec.Struct, frozen=True, array_like=True):
    """What a task keeps of a deployment beside the open pane and the books."""

    first: int | None
    at: int | None
    pane_start: int | None


def _runs(values: NDArray[np.int64]) -> Iterator[tuple[int, slice]]:
    """Runs of equal values in a sorted array: (value, rows)."""
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    ends = [*starts[1:].tolist(), len(values)]
    for start, end in zip(starts.tolist(), ends, strict=True):
        yield int(values[start]), slice(start, end)


class TaskFold:
    """Folds the rows of one task for one deployment.

    `partition`: of the inputs that the rows lie in (the task's number, or 0 for plain files).
    `matches(report)`: whether an execution report of a shared topic is this deployment's. `listed(n)`:
    units of the symbols from the n-th on, in the order of the symbol table; `books` begins with none.
    """

    def __init__(
        self,
        deployment: str,
        task: int,
        partition: int,
        digest: str,
        grid: Grid,
        sources: tuple[Source, ...],
        books: BookSet,
        matches: Callable[[Any], bool],
        listed: Callable[[int], Sequence[InstrumentUnits]],
    ) -> None:
        self._deployment, self._task, self._partition, self._digest = deployment, task, partition, digest
        self._grid = grid
        self._sources = sources
        self._kinds: Mapping[str, Kind] = {s.key: s.kind for s in sources}
        self._books = books
        self._matches = matches
        self._listed = listed
        self._symbols = 0
        self._touched = True
        self._said_books: dict[str, BookState] | None = None
        self._first: int | None = None
        self._at: int | None = None
        self._pane = Pane(self._kinds, grid.pane)
        self._pane_start: int | None = None
        self._unsaid: set[str] = set()
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
        """At the end of a replay: everything before `at`, which need not be an instant of the grid."""
        return Partial(
            self._deployment,
            self._task,
            at,
            self._first,
            idle,
            self._digest,
            self._book_states(at),
            Open(at - at % self._grid.pane, self._pane.encode()),
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
        if self._touched:
            return self._at + grid.tick
        if self._unsaid:
            return min(instant, self._at - self._at % grid.evaluation + grid.evaluation)
        if self._pane_start is not None:
            return min(instant, self._at - self._at % grid.pane + grid.pane)
        return instant

    def _say(self, at: int, idle: bool) -> Partial | None:
        grid = self._grid
        books = self._changed_books(at)
        opened: Open | None = None
        closed: tuple[Closed, ...] = ()
        if at % grid.pane == 0:
            if self._pane_start is not None:
                closed = (Closed(self._pane_start, self._pane.encode()),)
            self._pane = Pane(self._kinds, grid.pane)
            self._pane_start = None
            self._unsaid.clear()
            self._dirty = True
        elif at % grid.evaluation == 0 and self._pane_start is not None:
            due = {s.key for s in self._sources if s.every_ns == 0 or at % s.every_ns == 0} & self._unsaid
            if due:
                opened = Open(self._pane_start, self._pane.encode(due))
                self._unsaid -= due
        if books is None and opened is None and not closed:
            return None
        return Partial(
            self._deployment, self._task, at, self._first, idle, self._digest, books, opened, closed
        )

    def _take(
        self, part: dict[str, Table], answers: Mapping[str, Scores], out: list[Partial], idle: bool
    ) -> None:
        """Rows between two evaluations: books tick by tick, statistics at once."""
        self._extend()
        tick = self._grid.tick
        begins = min(int(table["eff"][0]) for table in part.values())
        if self._first is None:
            self._first = (begins // tick + 1) * tick
            self._at = self._first - tick
        self._pass(begins // tick * tick, out, idle)
        if "orders" in part:
            part["orders"] = self._without_known(part["orders"])
        cuts: dict[int, dict[str, slice]] = {}
        for stream in ("features", "orders"):
            if stream in part:
                for at, rows in _runs(part[stream]["eff"] // tick):
                    cuts.setdefault(at, {})[stream] = rows
        for at in sorted(cuts):
            self._pass(at * tick, out, idle)
            self._trade(part, cuts[at], answers)
        self._pane_start = begins // self._grid.pane * self._grid.pane
        batch = Batch.of(part, answers)
        for source in self._sources:
            source.feed(self._pane.statistic(source.key), batch)
        for stream, table in part.items():
            offsets = table["offset"]
            cover(
                self._pane.offsets, {f"{stream}-{self._partition}": (int(offsets.min()), int(offsets.max()))}
            )
        self._unsaid = set(self._kinds)
        self._dirty = True

    def _extend(self) -> None:
        """Symbols that appeared while running join the books."""
        more = self._listed(self._symbols)
        if more:
            self._books.extend(more)
            self._symbols += len(more)

    def _without_known(self, orders: Table) -> Table:
        """Executions that the ledger knows are duplicates, however long ago they were folded."""
        fate = orders["fate"]
        again = [
            row
            for row in np.flatnonzero(np.isin(fate, FOLDED)).tolist()
            if self._matches(orders["report"][row])
            and self._books.ledger.known(orders["report"][row], int(orders["eff"][row]))
        ]
        if not again:
            return orders
        fate = fate.copy()
        fate[again] = Fate.DUPLICATE
        return orders.with_columns(fate=fate)

    def _trade(
        self, part: Mapping[str, Table], rows: Mapping[str, slice], answers: Mapping[str, Scores]
    ) -> None:
        """Marks, paper books and executions of one tick."""
        features, scores = _NO_FEATURES, dict.fromkeys(self._books.papers, _NO_SCORES)
        if "features" in rows:
            features = part["features"].take(rows["features"])
            scores = {role: s.value[rows["features"]] for role, s in answers.items()}
            folded = np.isin(features["fate"], FOLDED)
            if not bool(folded.all()):
                keep = np.flatnonzero(folded)
                features = features.take(keep)
                scores = {role: values[keep] for role, values in scores.items()}
        reports: list[tuple[Any, int]] = []
        if "orders" in rows:
            orders = part["orders"].take(rows["orders"])
            reports = [
                (report, eff)
                for report, eff, fate in zip(
                    orders["report"], orders["eff"].tolist(), orders["fate"].tolist(), strict=True
                )
                if fate in FOLDED and self._matches(report)
            ]
        if len(features) or reports:
            self._books.fold(
                symbol=features["symbol"],
                eff=features["eff"],
                bid=features["bid"],
                ask=features["ask"],
                price=features["price"],
                predictions=scores,
                reports=reports,
            )
            self._touched = True

    def _book_states(self, at: int) -> dict[str, BookState]:
        positions = self._books.positions()
        return {
            name: BookState(
                {
                    currency: (
                        str(view.cash.get(currency, 0)),
                        str(view.value.get(currency, 0)),
                        str(view.transfers.get(currency, 0)),
                    )
                    for currency in sorted({*view.cash, *view.value, *view.transfers})
                },
                view.complete,
                view.oldest_mark_ns or 0,
                {
                    symbol: Holding(held.quantity, held.mark or 0, held.mark_ts_ns or 0)
                    for symbol, held in positions[name].items()
                },
            )
            for name, view in self._books.at(at).items()
        }

    def _changed_books(self, at: int) -> dict[str, BookState] | None:
        """The books where they differ from what was last said."""
        if not self._touched:
            return None
        self._touched = False
        states = self._book_states(at)
        if states == self._said_books:
            return None
        self._said_books = states
        return states

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out = self._books.records(dirty_only=True)
        self._books.mark_clean()
        if self._dirty:
            out["fold"] = msgspec.msgpack.encode(FoldState(self._first, self._at, self._pane_start))
            out["pane"] = msgspec.msgpack.encode(self._pane.encode())
            self._dirty = False
        return out

    def restore(self, records: Mapping[str, bytes], watermark: int) -> None:
        """Go on from records committed at `watermark`: every instant up to there has been said."""
        if "fold" in records:
            state = msgspec.msgpack.decode(records["fold"], type=FoldState)
            self._first, self._at = state.first, state.at
            if self._at is not None:
                self._at = max(self._at, watermark - watermark % self._grid.tick)
            self._restore_pane(records.get("pane"), state.pane_start)
        self._extend()
        self._books.restore({key: data for key, data in records.items() if key not in ("fold", "pane")})

    def _restore_pane(self, data: bytes | None, start: int | None) -> None:
        """The open pane back; one made under another configuration is not among the records."""
        if data is not None:
            encoded = msgspec.msgpack.decode(data, type=PaneBytes)
            self._pane, self._pane_start = Pane.decode(encoded, self._kinds, self._grid.pane), start
            self._unsaid = set(self._pane.statistics)
