"""Times of feature rows that cannot be nanoseconds since 1970: refused, with the unit they look to be in."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.wire.gate import MAX_TS_NS

EARLIEST_NS: Final = 631_152_000 * 10**9
"""1990-01-01, UTC: no row is older, but a time in a coarser unit that is read as nanoseconds is."""

_COARSER: Final = (("microseconds", 10**3), ("milliseconds", 10**6), ("seconds", 10**9))


def too_early(ts_ns: NDArray[np.int64]) -> int | None:
    """Index of the first row before 1990; None where there is none."""
    early = ts_ns < EARLIEST_NS
    return int(np.argmax(early)) if early.any() else None


def wording(ts_ns: int) -> tuple[str, str]:
    """What is wrong with a time before 1990, and what to do."""
    if ts_ns <= 0:
        return "`ts_ns` is missing or not positive", "write ns since 1970"
    remedy = "write ns since 1970"
    for unit, factor in _COARSER:
        if EARLIEST_NS <= ts_ns * factor <= MAX_TS_NS:
            remedy = f"looks like {unit}: multiply by {factor:,}"
    return f"`ts_ns` {ts_ns} lies before 1990", remedy
