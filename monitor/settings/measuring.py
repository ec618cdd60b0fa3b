"""Mistakes of what books are measured by: conversion of currencies, grids of returns, benchmark.

Knows sections as far as they are valid by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.policy.durations import format_duration
from monitor.settings.deployment import PerformanceSettings
from monitor.settings.document import Location
from monitor.settings.instruments import USUAL
from monitor.settings.mistakes import suggestion
from monitor.settings.parts import Parts, deployment_parts, deployments_of
from monitor.settings.sections import InstrumentSettings

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
    bases = set(_bases(data, context).values()) or {USUAL}
    for pair, symbol in fx.items():
        if listed and symbol not in listed:
            yield ("fx", pair), f"{symbol!r} is no instrument", suggestion(symbol, listed)
        if any(pair == 2 * base for base in bases):
            message = "is the price of a currency in itself"
            yield ("fx", pair), message, "leave it out: that is 1, and needs no mark"
        elif not any(pair != base and (pair.startswith(base) or pair.endswith(base)) for base in bases):
            message = f"converts from or to no currency of capital ({', '.join(sorted(bases))})"
            yield ("fx", pair), message, "write two currencies, such as EURUSD for the price of 1 EUR in USD"


def currency_findings(data: Any, shared: Parts, context: dict[str, Any]) -> Iterator[Finding]:
    """Currencies spelt in two ways, and those of instruments that nothing converts to a deployment's: its
    books, and with them its drawdown, would be unknown as soon as one is traded."""
    if not (shared.has("instruments") and shared.has("fx")):
        return
    bases, fx = _bases(data, context), shared.get("fx")
    traded = _traded(shared.get("instruments"), min(_capitals(data, context).values(), default=USUAL))
    ways: dict[str, str] = {}
    twice = set()
    for place, currency in _named(bases, fx, traded):
        first = ways.setdefault(currency.casefold(), currency)
        if first != currency and currency not in twice:
            twice |= {first, currency}
            yield place, f"{currency!r} is not {first!r}: case tells currencies apart", "spell both the same"
    for name, base in bases.items():
        for currency, (where, who) in traded.items():
            if currency in {base, *twice} or {currency + base, base + currency} & fx.keys():
                continue
            at = where or ("deployments", name, "capital")
            yield (
                at,
                f"{who} in {currency}, and nothing converts {currency} to {base}: all money of {name} "
                "would be unknown, its drawdown too",
                f"write `fx: {{{currency}{base}: SYMBOL}}`, SYMBOL being the instrument whose price is "
                f"that of one {currency} in {base}; or correct the currency",
            )


def _capitals(data: Any, context: dict[str, Any]) -> dict[str, str]:
    """The currency of the capital of each deployment that has one."""
    capitals = {name: deployment_parts(d, context).get("capital") for name, d in deployments_of(data).items()}
    return {name: capital.currency for name, capital in capitals.items() if capital is not None}


def _bases(data: Any, context: dict[str, Any]) -> dict[str, str]:
    """The currency of the books of each deployment whose capital is not mistaken."""
    capitals = _capitals(data, context)
    known = [name for name, d in deployments_of(data).items() if deployment_parts(d, context).has("capital")]
    return {name: capitals.get(name, USUAL) for name in known}


def _traded(
    listed: Mapping[str, InstrumentSettings] | None, usual: str
) -> dict[str, tuple[Location | None, str]]:
    """Where currencies of instruments are written, and which those are, for a person; `listed`: None where
    they are open, `usual`: that of those that name none."""
    if listed is None:
        return {usual: (None, "open instruments are")}
    symbols: dict[str, list[str]] = {}
    for symbol, entry in listed.items():
        symbols.setdefault(entry.currency or usual, []).append(symbol)
    return {
        currency: (
            ("instruments", of[0], "currency"),
            f"{of[0]} is" if len(of) == 1 else f"{of[0]} and {len(of) - 1} more are",
        )
        for currency, of in symbols.items()
    }


def _named(
    bases: Mapping[str, str], fx: Mapping[str, str], traded: Mapping[str, tuple[Location | None, str]]
) -> Iterator[tuple[Location, str]]:
    """All currencies, and where they are written."""
    for name, base in bases.items():
        yield ("deployments", name, "capital", "currency"), base
    for currency, (where, _) in traded.items():
        if where is not None:
            yield where, currency
    for base in sorted(set(bases.values())):
        for pair in fx:
            other = pair.removesuffix(base) if pair.endswith(base) else pair.removeprefix(base)
            if other not in ("", pair):
                yield ("fx", pair), other
