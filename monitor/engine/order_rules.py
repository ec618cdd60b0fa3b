"""What orders are told apart by and held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from monitor.trading.lifecycle import LifecycleRules
from monitor.trading.names import OTHER
from monitor.trading.reject_reasons import NAMED, PRE_TRADE

TAGS = (
    "model_version",
    "model_run_id",
    "feature_version",
    "dataset_manifest_id",
    "onnx_model",
    "inference_latency_ms",
    "deployed_at",
)
"""What every order should say of the model behind it."""


def _plain(_: str) -> tuple[float, str]:
    return 1.0, "USD"


@dataclass(frozen=True, slots=True)
class OrderRules:
    """`reject_reasons`: those with a name of their own, in normal form; `pre_trade`: of checks before the
    trade. `paper_type`: type of the paper broker's orders; `model_version`: of the active model.
    `instrument`: multiplier and currency of a symbol; `by_notional`: whether a fill weighs by its notional:
    not where that is in several currencies.
    """

    lifecycle: LifecycleRules = field(default_factory=LifecycleRules)
    reject_reasons: tuple[str, ...] = NAMED
    pre_trade: tuple[str, ...] = PRE_TRADE
    paper_type: str = "market"
    model_version: str = ""
    instrument: Callable[[str], tuple[float, str]] = _plain
    by_notional: bool = True

    @property
    def order_types(self) -> tuple[str, ...]:
        """Types that are told apart, and `other`."""
        return (*self.lifecycle.order_types, OTHER)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons that are told apart, and `other`."""
        return (*self.reject_reasons, OTHER)
