"""What skill is measured by: how long predictions wait for labels, and for which forward returns."""

from __future__ import annotations

from dataclasses import dataclass

UNLISTED_SYMBOLS = 64
"""How many symbols a deployment of open instruments is taken to have, where rows are shared out to them."""


@dataclass(frozen=True, slots=True)
class LabelJoin:
    """`wait_ns`: the most time between a prediction and its label; `limit`: rows of both that wait, in a
    task."""

    wait_ns: int
    limit: int


@dataclass(frozen=True, slots=True)
class Forward:
    """Forward mid returns over [t + `lag_ns`, t + `lag_ns` + h) for each of `horizons_ns`, the first of which
    is the models'.

    `cost_bps`: of a round trip, of the money traded; `limit`: predictions that wait, in a deployment, shared
    among `symbols`; `max_spread`: of a quote, a fraction of its mid; `evaluation_ns`: the grid of rules;
    `stale_ns`: an older mid is none, so that a feed of quotes that is dead gives no returns of zero.
    """

    horizons_ns: tuple[int, ...]
    lag_ns: int
    cost_bps: float
    limit: int
    symbols: int
    max_spread: float
    evaluation_ns: int
    stale_ns: int = 5_000_000_000

    @property
    def overlap_ns(self) -> int:
        """How far two returns of the first horizon may lie apart and still depend on each other."""
        return self.lag_ns + self.horizons_ns[0]
