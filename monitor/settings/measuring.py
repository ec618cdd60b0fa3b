"""Mistakes of what books hold and are measured by: quantities of paper, conversion of currencies, grids of
returns, benchmark.

Knows sections as far as they are valid by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from monitor.policy.durations import format_duration
from monitor.settings.deployment import PerformanceSettings
from monitor.settings.document import Location
from monitor.settings.instruments import DEFAULT_STEP, USUAL
from monitor.settings.mistakes import suggestion
from monitor.settings.paper import DEFAULT, PaperSettings
from monitor.settings.parts import Parts, deployment_parts, deployments_of
from monitor.settings.rates import rate_findings
from monitor.settings.sections import InstrumentSettings
from monitor.trading.paper_rules import MAX_LOTS

Finding = tuple[Location, str, str]
"""Where, what, remedy."""


def quantity_findings(at: Location, shared: Parts, parts: Parts) -> Iterator[Finding]:
    """Quantities of paper that no instrument has, or that its lots do not make; instruments without one."""
    paper: PaperSettings | None = parts.get("paper")
    if paper is None or not shared.has("instruments"):
        return
    here = (*at, "paper", "quantity")
    own, default, listed = paper.own_quantities, paper.default_quantity, shared.get("instruments")
    if listed is None:
        lots = {**dict.fromkeys(own, DEFAULT_STEP), "an open instrument": DEFAULT_STEP}
    else:
        lots = {symbol: entry.lot_size for symbol, entry in listed.items()}
        for symbol in sorted(own.keys() - listed.keys()):
            yield (*here, symbol), f"{symbol!r} is no instrument", suggestion(symbol, {*listed, DEFAULT})
    if default is None and (without := [symbol for symbol in lots if symbol not in own]):
        message = f"says nothing of {', '.join(without)}"
        yield here, message, f"name each instrument, or add `{DEFAULT}`, the quantity of all others"
    for symbol, lot in lots.items():
        if (quantity := own.get(symbol, default)) is not None:
            place = symbol if symbol in own else DEFAULT
            key = (*here, place) if isinstance(paper.quantity, Mapping) else here
            yield from ((key, *said) for said in _no_lots(symbol, quantity, lot))


def _no_lots(symbol: str, quantity: Decimal, lot: Decimal) -> Iterator[tuple[str, str]]:
    # As fractions: a quotient of decimals has 28 digits, and no more.
    lots = Fraction(quantity) / Fraction(lot)
    if lots.denominator > 1:
        message = f"{quantity} is not a multiple of the lot of {symbol} ({lot})"
        yield message, 'write a multiple of it; by symbol: {default: "0.1", ES: "1"}'
    elif lots > MAX_LOTS:
        yield f"{quantity} is more than 2^53 lots of {symbol} ({lot})", "write less, or a larger lot_size"


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
    bases = set(_bases(data, context).values()) or {USUAL}
    yield from rate_findings(fx, bases, listed, min(_capitals(data, context).values(), default=USUAL))


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
