"""`Role`: a model seated in a deployment's feature space; `Batch`: the rows of one release it answers,
slice by slice.

Synchronous, and the same for the live scorer and for replay. What a row is answered depends on the row
alone, never on the rows beside it: where a run over several rows fails, each is run by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.engine.rows import TIMEOUT_NS, UNMEASURED_NS, Scores, ScoreStatus
from monitor.errors import ArtifactError
from monitor.models.model import RowModel
from monitor.models.session import WrongShape

Clock = Callable[[], int]


class Role:
    """Takes a model's columns by name from the rows of a feature space, and fills what the manifest lets it
    fill."""

    __slots__ = ("_columns", "_fill", "failure", "model", "name")

    def __init__(self, name: str, model: RowModel, space: Sequence[str]) -> None:
        """`space`: column names of the rows that will come.

        Raises:
            ArtifactError: the space lacks a column of the model.
        """
        place = {column: i for i, column in enumerate(space)}
        missing = [feature for feature in model.features if feature not in place]
        if missing:
            raise ArtifactError(
                f"model of role {name!r}: no message carries {', '.join(missing)}. "
                "Remedy: add a feature schema that has them, or seat a model that does without."
            )
        self.name = name
        self.model = model
        self.failure = ""
        """What the latest run that failed said."""
        columns = [place[feature] for feature in model.features]
        self._columns = None if columns == list(range(len(space))) else np.array(columns, np.int64)
        self._fill = None if np.isnan(model.fill).all() else model.fill

    def batch(self, values: NDArray[np.float64]) -> Batch:
        """The rows of `values` (n, space) that this role can score."""
        picked = values if self._columns is None else values.take(self._columns, axis=1)
        with np.errstate(over="ignore"):  # beyond float32 is infinite, hence not scored
            rows = np.ascontiguousarray(picked, self.model.dtype)
        known = np.isfinite(rows)
        if known.all():
            return Batch(self, rows, None, len(rows))
        if self._fill is not None:
            rows = np.where(known, rows, self._fill.astype(rows.dtype))
            known = np.isfinite(rows)
        complete = np.flatnonzero(known.all(axis=1))
        return Batch(self, rows.take(complete, axis=0), complete, len(values))


class Batch:
    """Rows under way. One thread steps, another may read `scores`, once and for all, at any moment."""

    __slots__ = (
        "_answered",
        "_complete",
        "_latency",
        "_n",
        "_role",
        "_rows",
        "_status",
        "_value",
        "abandoned",
    )

    def __init__(self, role: Role, rows: NDArray[Any], complete: NDArray[np.int64] | None, n: int) -> None:
        """`rows` (m, F) are those at positions `complete` of the n rows of the release (None: all of
        them)."""
        self._role, self._rows, self._complete, self._n = role, rows, complete, n
        self._value = np.empty(len(rows))
        self._status = np.empty(len(rows), np.int8)
        self._latency = np.empty(len(rows), np.int64)
        self._answered = 0
        self.abandoned = False

    @property
    def open(self) -> bool:
        """Whether rows are left that somebody still waits for."""
        return self._answered < len(self._rows) and not self.abandoned

    def step(self, most: int, clock: Clock) -> None:
        """Answer the next rows, at most `most` of them; fewer if abandoned meanwhile."""
        start, stop = self._answered, min(self._answered + most, len(self._rows))
        if self._role.model.independent and stop - start > 1:
            try:
                self._run_together(start, stop, clock)
            except Exception as error:  # some row in it, and only those, will fail again alone
                self._role.failure = _in_words(error)
                self._run_singly(start, stop, clock)
        else:
            self._run_singly(start, stop, clock)

    def _run_together(self, start: int, stop: int, clock: Clock) -> None:
        begin = clock()
        value = self._role.model.run(self._rows[start:stop])
        self._latency[start:stop] = clock() - begin
        finite = np.isfinite(value)
        self._value[start:stop] = value if finite.all() else np.where(finite, value, np.nan)
        self._status[start:stop] = np.where(finite, np.int8(ScoreStatus.OK), np.int8(ScoreStatus.NON_FINITE))
        self._answered = stop  # last: what lies before it may be read from another thread

    def _run_singly(self, start: int, stop: int, clock: Clock) -> None:
        for i in range(start, stop):
            if self.abandoned:
                return
            value, status = math.nan, ScoreStatus.NON_FINITE
            begin = clock()
            try:
                value = float(self._role.model.run(self._rows[i : i + 1])[0])
            except Exception as error:  # a model may raise anything; it is counted, and harms nobody else
                status = ScoreStatus.WRONG_SHAPE if isinstance(error, WrongShape) else ScoreStatus.ERROR
                self._role.failure = _in_words(error)
            self._latency[i] = clock() - begin
            finite = math.isfinite(value)
            self._value[i] = value if finite else math.nan
            self._status[i] = ScoreStatus.OK if finite else status
            self._answered = i + 1

    def scores(self) -> Scores:
        """Answers to all n rows: what was not scored is incomplete, what is not answered by now timed out."""
        done = self._answered
        if self._complete is None and done == self._n:
            return Scores(self._value, self._status, self._latency)
        value = np.full(self._n, np.nan)
        status = np.full(self._n, ScoreStatus.INCOMPLETE, np.int8)
        latency = np.full(self._n, UNMEASURED_NS, np.int64)
        where = np.arange(self._n) if self._complete is None else self._complete
        value[where[:done]] = self._value[:done]
        status[where[:done]] = self._status[:done]
        latency[where[:done]] = self._latency[:done]
        status[where[done:]] = ScoreStatus.TIMEOUT
        latency[where[done:]] = TIMEOUT_NS
        return Scores(value, status, latency)


def _in_words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
