"""`DriftRules`: what a deployment counts as drift, as its configuration says."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.stats.significance import Correction

MONTH_DAYS = 30


@dataclass(frozen=True, slots=True)
class DriftRules:
    """A feature has drifted when its PSI is significant and its excess above `material_excess`.

    Significant: its calibrated p-value is, after the `correction` for all features, below the chance that a
    budget of `alarms_per_month` leaves a look, `looks_per_day` being independent looks a day. Windows
    overlap, so real ones are fewer, and alarms fewer than the budget. `ks_features`: those whose KS is exact
    on a sample of `ks_k` values a window.
    """

    alarms_per_month: float = 1.0
    looks_per_day: float = 200.0
    correction: Correction = "bonferroni"
    material_excess: float = 0.1
    ks_features: tuple[str, ...] = ()
    ks_k: int = 5_000

    @property
    def alpha(self) -> float:
        """Chance of any false alarm among all features that the budget leaves a look.

        >>> f"{DriftRules().alpha:.2e}"
        '1.67e-04'
        """
        return self.alarms_per_month / (self.looks_per_day * MONTH_DAYS)
