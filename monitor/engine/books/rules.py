"""`PerformanceRules`: how a deployment's books are measured, as its configuration says."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.event_time.calendar import ALWAYS, Calendar

SECOND_NS = 1_000_000_000

TRADED = "traded"
"""The benchmark of the symbols that any book of the deployment has traded."""


@dataclass(frozen=True, slots=True)
class PerformanceRules:
    """`capital` in 1e-18 of `currency`, None: what is measured against it does not exist.

    Returns are differences of equity between instants `grid_ns` apart; over windows of `daily_from_ns` and
    more, between the closes of sessions. A Sharpe ratio takes at least `min_returns` of them. Denominators
    are at least `floor_bps` of the capital. Above `max_position_gap` (None: never) effects are not believed.
    `benchmark`: a symbol, or `traded`. `promoted_ns`: when the active was promoted; None: the window begins
    with the first instant.
    """

    currency: str = "USD"
    capital: int | None = None
    staleness_ns: int = 5 * SECOND_NS
    promoted_ns: int | None = None
    calendar: Calendar = ALWAYS
    grid_ns: int = 60 * SECOND_NS
    daily_from_ns: int = 7 * 86_400 * SECOND_NS
    min_returns: int = 20
    floor_bps: float = 1.0
    max_position_gap: float | None = None
    benchmark: str = TRADED
    block_ns: int | None = None
    """Blocks of the tests of model effect; None: there are none."""

    @property
    def floor(self) -> int:
        """The least denominator, 1e-18 of the currency; 0 without capital."""
        return int(self.capital * self.floor_bps / 10_000) if self.capital is not None else 0
