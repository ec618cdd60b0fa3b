"""The row-independence probe: does a row get the same bits whatever rows it is scored with?

With one thread most models do; some do not (reductions over an odd width, dynamically quantised int8, where a
neighbour moves the others by several standard deviations). Production scores one row at a time, so a model
that fails is scored one row a run here as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PROBE_ROWS: Final = 512
BATCH_SIZES: Final = (1, 2, 3, 7, 16, 33, 64, 129, 256, 512)
NEIGHBOUR_SCALE: Final = 1e3

Run = Callable[[NDArray[Any]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """`independent`: every row kept its bits in every company; else `reason` says where it first did not.

    `single_ns` and `batch_ns` are the cost of a row one a run and 512 a run (the best of several;
    `batch_ns` is None where the model takes one row a run). `repeatable`: the same row alone gave the same
    bits twice.
    """

    independent: bool
    repeatable: bool
    reason: str
    single_ns: int
    batch_ns: int | None

    @property
    def row_ns(self) -> int:
        """Cost of a row the way it is scored."""
        return self.batch_ns if self.independent and self.batch_ns is not None else self.single_ns

    def cost(self) -> str:
        """How rows are scored and what one costs, for a person."""
        single = f"{self.single_ns / 1000:.2f} us a row"
        if self.batch_ns is None:
            return f"one row a run, {single}"
        batch = f"{self.batch_ns / 1000:.2f} us"
        if self.independent:
            return f"in batches, {batch} a row (alone {self.single_ns / 1000:.2f} us)"
        return f"one row a run, {single} (in batches it would be {batch})"


def probe_rows(golden: NDArray[Any]) -> NDArray[Any]:
    """512 rows of golden's dtype: the golden rows, then normal noise of each column's size in them,
    `golden` (g, F)."""
    noise = np.random.Generator(np.random.PCG64(512)).standard_normal((PROBE_ROWS, golden.shape[1]))
    size = np.abs(golden.astype(np.float64)).max(axis=0)
    rows = (noise * np.where(size > 0, size, 1.0)).astype(golden.dtype)
    known = golden[:PROBE_ROWS]
    rows[: len(known)] = known
    return rows


def probe(run: Run, rows: NDArray[Any], batches: bool, clock: Callable[[], int]) -> ProbeReport:
    """Score `rows` (512, F) alone and in company. `run` is a single run; `batches`: it takes more than one
    row; `clock` is in ns."""
    alone, single_ns = _alone(run, rows, clock)
    again, single_again_ns = _alone(run, rows, clock)
    single_ns = min(single_ns, single_again_ns)
    if not _same_bits(alone, again).all():
        return ProbeReport(False, False, "the same row alone gave two answers", single_ns, None)
    if not batches:
        return ProbeReport(False, True, "the model takes one row a run", single_ns, None)
    try:
        batch_ns = _batch_cost(run, rows, clock)
        reason = _first_difference(run, rows, alone)
    except Exception as error:
        return ProbeReport(False, True, f"a batch raised: {error}", single_ns, None)
    return ProbeReport(not reason, True, reason, single_ns, batch_ns)


def _alone(run: Run, rows: NDArray[Any], clock: Callable[[], int]) -> tuple[NDArray[np.float64], int]:
    """Each row's answer by itself (NaN where the model raises) and the median cost of a run in ns."""
    answers = np.full(len(rows), np.nan)
    costs = np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        row = aligned_copy(rows[i : i + 1])
        start = clock()
        try:
            answers[i] = run(row)[0]
        except Exception:  # noise may lie outside what the model takes; its batches then raise as well
            answers[i] = np.nan
        costs[i] = clock() - start
    return answers, int(np.median(costs))


def _batch_cost(run: Run, rows: NDArray[Any], clock: Callable[[], int]) -> int:
    costs = []
    for _ in range(5):
        start = clock()
        run(rows)
        costs.append(clock() - start)
    return min(costs) // len(rows)


def _first_difference(run: Run, rows: NDArray[Any], alone: NDArray[np.float64]) -> str:
    """Where rows' bits first differ in company, empty if nowhere."""
    shuffle = np.random.Generator(np.random.PCG64(10))
    with np.errstate(over="ignore"):
        loud = (rows.astype(np.float64) * NEIGHBOUR_SCALE).astype(rows.dtype)
    for size in BATCH_SIZES:
        order = shuffle.permutation(len(rows))
        got = _in_batches(run, rows[order], size)
        if not _same_bits(got, alone[order]).all():
            return _difference(got, alone[order], f"in batches of {size}")
    for size in BATCH_SIZES[1:]:
        order = shuffle.permutation(len(rows))
        mixed = np.empty((2 * len(rows), rows.shape[1]), rows.dtype)
        mixed[0::2], mixed[1::2] = rows[order], loud[order[::-1]]
        got = _in_batches(run, mixed, size)[0::2]
        if not _same_bits(got, alone[order]).all():
            return _difference(
                got, alone[order], f"beside rows {NEIGHBOUR_SCALE:g} times larger, {size} a run"
            )
    return ""


def _difference(got: NDArray[np.float64], alone: NDArray[np.float64], where: str) -> str:
    changed = int((~_same_bits(got, alone)).sum())
    largest = np.nanmax(np.abs(got - alone), initial=0.0)
    return f"{changed} of {len(got)} rows change by up to {largest:.1e} {where}"


def _in_batches(run: Run, rows: NDArray[Any], size: int) -> NDArray[np.float64]:
    return np.concatenate([run(rows[i : i + size]) for i in range(0, len(rows), size)])


def _same_bits(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.equal(a.view(np.int64), b.view(np.int64))


def aligned_copy(rows: NDArray[Any]) -> NDArray[Any]:
    """The same rows at a 64-byte boundary, so that where they lie in memory cannot change the answer."""
    room = np.empty(rows.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + rows.nbytes].view(rows.dtype).reshape(rows.shape)
    copy[:] = rows
    return copy
