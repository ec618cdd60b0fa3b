"""Mistakes of what books are measured by: conversion of currencies, grids of returns, benchmark.

Knows sections as far as they are valid by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from monitor.policy.durations import format_duration
from monitor.settings.deployment import PerformanceSettings
from monitor.settings.document import Location
from monitor.settings.mistakes import suggestion
from monitor.settings.parts import Parts, deployment_parts, deployments_of

Finding = tuple[Location, str, str]
"""Where, what, remedy."""


def performance_findings(at: Location, shared: Parts, parts: Parts) -> Iterator[Finding]:
    """What a deployment cannot be measured by."""
    performance: PerformanceSettings | None = parts.get("performance")
    grids, sequences = parts.get("grids"), parts.get("sequences")
    if performance is None:
        return
    if grids is not None and performance.grid_ns % grids.tick_ns:
        message = f"is not a multiple of grids.tick ({format_duration(grids.tick_ns)})"
        yield (*at, "performance", "grid"), message, "write a multiple of it, such as 1m"
    listed = shared.get("instruments")
    if listed and performance.benchmark not in ("traded", *listed):
        message = f"{performance.benchmark!r} is no instrument"
        remedy = suggestion(performance.benchmark, {"traded", *listed})
        yield (*at, "performance", "benchmark"), message, remedy
    tested = sequences is not None and sequences.pnl.bound is not None
    if tested and parts.has("capital") and parts.get("capital") is None:
        message = "P&L is tested in bps of capital, and there is none"
        yield (*at, "sequences", "pnl", "bound"), message, "set capital"


def fx_findings(data: Any, shared: Parts, context: dict[str, Any]) -> Iterator[Finding]:
    """Pairs that no deployment can use, or whose symbol can have no mark."""
    fx, listed = shared.get("fx") or {}, shared.get("instruments")
    if not fx:
        return
    capitals = [deployment_parts(d, context).get("capital") for d in deployments_of(data).values()]
    bases = {capital.currency if capital is not None else "USD" for capital in capitals}
    for pair, symbol in fx.items():
        if listed and symbol not in listed:
            yield ("fx", pair), f"{symbol!r} is no instrument", suggestion(symbol, listed)
        if not any(pair != base and (pair.startswith(base) or pair.endswith(base)) for base in bases):
            message = f"converts from or to no currency of capital ({', '.join(sorted(bases))})"
            yield ("fx", pair), message, "write two currencies, such as EURUSD for the price of 1 EUR in USD"
