"""What orders of a deployment are told apart by and held against, as configured; and the rules about its
books that every policy has."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.engine.order_rules import OrderRules
from monitor.models.manifest import Manifest
from monitor.policy.rules import (
    DEPLOYMENT,
    EXECUTION_REFUSED,
    ORDERS_FILTERED_OUT,
    RECONCILIATION_BREAK,
    Comparator,
    Rule,
    Severity,
)
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


def order_sentences(settings: Settings, deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Whose orders the real book is made of, what it holds at first, and what converts its money."""
    named = ", ".join(deployment.filter.named)
    yield "orders", f"those of {named}; all others are left out" if named else "all of the topic"
    if deployment.books.start_flat:
        yield "positions", "flat at first (books.start_flat)"
    else:
        yield (
            "positions",
            "unknown until a position report states them, of each symbol with a mark or an order",
        )
    pairs = ", ".join(f"{pair} by {symbol}" for pair, symbol in sorted(settings.fx.items()))
    yield "fx", pairs or "none: one currency alone"


def built_in_rules(deployment: Deployment) -> Iterator[Rule]:
    """Rules beside those of the policy as written.

    A filter that lets nothing through is a warning once the shortest window has passed: on a topic of many
    strategies others may well speak first. Once one report was let through, it is never said again.
    """
    shortest = min(deployment.windows_ns)
    if deployment.orders.alert_on_breaks:
        yield _alert(RECONCILIATION_BREAK, "reconciliation_breaks", shortest, Severity.CRITICAL)
    yield _alert(EXECUTION_REFUSED, "refused_executions", shortest, Severity.CRITICAL)
    if deployment.filter.named:
        yield _alert(ORDERS_FILTERED_OUT, "filtered_out", shortest, Severity.WARNING, for_ns=shortest)


def _alert(name: str, metric: str, window: int, severity: Severity, for_ns: int = 0) -> Rule:
    return Rule(
        id=name,
        subject=DEPLOYMENT,
        metric=metric,
        window=window,
        comparator=Comparator.ABOVE,
        threshold=0.0,
        for_ns=for_ns,
        severity=severity,
    )
