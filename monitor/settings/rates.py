"""Pairs of `fx` that cannot be meant: no pair, nothing that is converted, the price of something else."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from monitor.settings.document import Location
from monitor.settings.mistakes import suggestion
from monitor.settings.sections import InstrumentSettings

_PAIR = re.compile(r"[A-Za-z0-9]{5,12}")
_CURRENCY = re.compile(r"[A-Za-z0-9]{2,6}")


def rate_findings(
    fx: Mapping[str, str],
    bases: Collection[str],
    listed: Mapping[str, InstrumentSettings] | None,
    usual: str,
) -> Iterator[tuple[Location, str, str]]:
    """Where, what, remedy.

    Args:
        fx: symbol by pair.
        bases: currencies that deployments count in.
        listed: None where instruments are open.
        usual: currency of instruments that name none.
    """
    for pair, symbol in fx.items():
        known = not listed or symbol in listed
        if not known:
            yield ("fx", pair), f"{symbol!r} is no instrument", suggestion(symbol, listed or ())
        if any(pair == 2 * base for base in bases):
            message = "is the price of a currency in itself"
            yield ("fx", pair), message, "leave it out: that is 1, and needs no mark"
        elif (parted := _parted(pair, bases)) is None:
            yield ("fx", pair), *_no_pair(pair, bases)
        else:
            one, price = parted
            if (inverse := price + one) in fx and inverse < pair:
                yield ("fx", pair), f"is the inverse of {inverse}", "keep the one whose symbol is quoted more"
            if known:
                yield from (
                    (("fx", pair), *said) for said in _wrong_symbol(symbol, one, price, listed, usual)
                )


def _parted(pair: str, bases: Collection[str]) -> tuple[str, str] | None:
    """What one is priced, and in what; None where that is no pair with a currency that is counted in."""
    for base in sorted(bases):
        for one, price in ((pair.removesuffix(base), base), (base, pair.removeprefix(base))):
            other = one if price == base else price
            if one + price == pair and other != base and _CURRENCY.fullmatch(other):
                return one, price
    return None


def _no_pair(pair: str, bases: Collection[str]) -> tuple[str, str]:
    if not _PAIR.fullmatch(pair):
        return (
            f"{pair!r} is not two currencies written together",
            "write e.g. EURUSD, without anything between",
        )
    return (
        f"converts from or to no currency of capital ({', '.join(sorted(bases))})",
        "write two currencies, such as EURUSD for the price of 1 EUR in USD",
    )


def _wrong_symbol(
    symbol: str, one: str, price: str, listed: Mapping[str, InstrumentSettings] | None, usual: str
) -> Iterator[tuple[str, str]]:
    """What shows that the price of a symbol is not that of one currency in the other."""
    if listed:
        currency = listed[symbol].currency or usual
        if currency != price:
            yield (
                f"is the price of one {one} in {price}, and that of {symbol} is in {currency}",
                f"name an instrument whose currency is {price}, or correct that of {symbol}",
            )
            return
    other = re.fullmatch(rf"([A-Za-z]{{3,5}}){re.escape(price)}", symbol)
    if other is not None and one.casefold() not in symbol.casefold():
        yield (
            f"is the price of one {one} in {price}, and {symbol} that of one {other[1]}",
            f"name the instrument whose price is that of one {one} in {price}",
        )
