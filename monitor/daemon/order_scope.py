"""What orders of a deployment are told apart by and held against, as configured; and the rule about the
ledger that every policy has."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.engine.order_rules import OrderRules
from monitor.models.manifest import Manifest
from monitor.policy.rules import DEPLOYMENT, RECONCILIATION_BREAK, Comparator, Rule, Severity
from monitor.settings.configuration import Settings
from monitor.settings.deployment import Deployment
from monitor.trading.lifecycle import LifecycleRules
from monitor.trading.names import normal


def order_rules_of(settings: Settings, deployment: Deployment, active: Manifest) -> OrderRules:
    """Types and reasons that have a name, and what a fill weighs; only where all notional is in one currency
    does it weigh by that."""
    orders, instruments = deployment.orders, settings.instruments

    def instrument(symbol: str) -> tuple[float, str]:
        found = instruments.get(symbol)
        assert found is not None, "decoding lets instruments pass, and nothing else"
        return float(found.multiplier), found.currency

    return OrderRules(
        lifecycle=LifecycleRules(
            order_types=orders.order_types,
            repeat_within_ns=orders.repeat_within_ns,
            open_limit=orders.open_limit,
            ended_limit=orders.ended_limit,
            horizon_ns=deployment.books.exec_horizon_ns,
        ),
        reject_reasons=orders.reject_reasons,
        pre_trade=orders.pre_trade,
        paper_type=normal(deployment.paper.order_type),
        model_version=active.model_version,
        instrument=instrument,
        by_notional=len({instrument(symbol)[1] for symbol in instruments.listed}) <= 1,
    )


def built_in_rules(deployment: Deployment) -> Iterator[Rule]:
    """Rules beside those of the policy as written."""
    if deployment.orders.alert_on_breaks:
        yield Rule(
            id=RECONCILIATION_BREAK,
            subject=DEPLOYMENT,
            metric="reconciliation_breaks",
            window=min(deployment.windows_ns),
            comparator=Comparator.ABOVE,
            threshold=0.0,
            severity=Severity.CRITICAL,
        )
