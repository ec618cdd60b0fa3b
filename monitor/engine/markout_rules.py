"""After which times trades are held against the mid, and how many wait for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MarkoutRules:
    """Mids as of t + each of `horizons_ns` after a trade of time t.

    `limit`: trades that wait, in a deployment, shared among `symbols` and the books; `max_spread`: of a
    quote, a fraction of its mid; `stale_ns`: an older mid is none; `evaluation_ns`: the grid of rules.
    `by_notional`: whether a trade counts by its notional: not where that is in several currencies.
    """

    horizons_ns: tuple[int, ...]
    limit: int
    symbols: int
    max_spread: float
    evaluation_ns: int
    stale_ns: int
    by_notional: bool = True
