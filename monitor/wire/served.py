"""What production said of its own answer: whether it came, how late, and what it looked up; as columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TIMEOUT_NS = np.iinfo(np.int64).max
"""`served_latency` of a request that timed out: above every limit."""

UNKNOWN_NS = -1
"""`served_latency` that production did not say."""

MAX_LOOKUPS = 1 << 20
"""Lookups that one event can have made; a message that says more, or more hits than lookups, said nothing."""

OK, FAILED, TIMEOUT, UNSAID = 1.0, 2.0, 3.0, 4.0
MARKS: dict[str | None, float] = {"ok": OK, "timeout": TIMEOUT, None: UNSAID}
"""Of the status of an answer; any other status is `FAILED`. 0: no answer is spoken of."""


def answered(mark: NDArray[np.float64], prediction: NDArray[np.float64]) -> NDArray[np.int8]:
    """0 not said, 1 ok, 2 failed; without a status, an answer with a prediction is ok."""
    unsaid = np.where(np.isnan(prediction), FAILED, OK)
    return np.where(mark == UNSAID, unsaid, np.minimum(mark, FAILED)).astype(np.int8)


def latency_ns(latency_ms: NDArray[np.float64], timed_out: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Nanoseconds; `UNKNOWN_NS` where absent or negative (clocks were set), `TIMEOUT_NS` for a timeout."""
    with np.errstate(over="ignore"):
        ns = np.rint(latency_ms * 1e6)
    known = ns >= 0
    endless = timed_out | (ns >= float(TIMEOUT_NS))
    whole = np.where(known & ~endless, ns, float(UNKNOWN_NS)).astype(np.int64)
    return np.where(endless, TIMEOUT_NS, whole)


def store_counts(
    rows: int, told: Sequence[tuple[int, int | None, int]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hits and lookups by row, 0 where they were not said."""
    counts = np.zeros((2, rows), np.int64)
    for row, hits, lookups in told:
        if hits is not None and 0 <= hits <= lookups <= MAX_LOOKUPS:
            counts[0, row], counts[1, row] = hits, lookups
    return counts[0], counts[1]
