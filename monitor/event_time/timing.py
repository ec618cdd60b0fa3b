"""The settings of event time and the fates of rows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Timing:
    """All in nanoseconds, except `buffer_limit` in rows; meanings as in the configuration's `event_time`."""

    allowed_lateness: int = 200_000_000
    idle_after: int = 250_000_000
    idle_grace: int = 2 * SECOND_NS
    max_future: int = 60 * SECOND_NS
    dedupe_window: int = 10 * SECOND_NS
    join_window: int = 5 * SECOND_NS
    buffer_limit: int = 200_000


class Fate(IntEnum):
    """What became of a row. `ON_TIME` only until it is released; every row ends in exactly one other."""

    ON_TIME = 0
    REJECTED = 1
    QUARANTINED = 2
    LATE = 3
    DUPLICATE = 4
    LATE_APPLIED = 5
    REORDERED = 6
    ACCEPTED = 7


FOLDED = (Fate.LATE_APPLIED, Fate.REORDERED, Fate.ACCEPTED)
"""Fates that enter statistics and books."""
