"""`Rates`: what currencies are worth in the deployment's, by accepted marks as tasks say them.

A rate that is not there is none: never 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from monitor.engine.partials import Mark
from monitor.trading.units import divide_half_even


class Pair(NamedTuple):
    """The symbol whose price is units of one currency for one of the other; `half_tick`: half a tick of it
    as a fraction. `inverse`: it is the deployment's currency that has this price."""

    symbol: str
    inverse: bool
    half_tick: tuple[int, int]


class Rate(NamedTuple):
    """Units of the deployment's currency for one of another, as a fraction, at `ts` (ns)."""

    numerator: int
    denominator: int
    ts: int

    def convert(self, money: int) -> int:
        """Money units of the deployment's currency, rounded half even, once."""
        return divide_half_even(money * self.numerator, self.denominator)


class Rates:
    """`pairs` by currency, of those that can be converted to `base`."""

    def __init__(self, base: str, pairs: Mapping[str, Pair]) -> None:
        self.base = base
        self._pairs = dict(pairs)
        self.marks: dict[str, Mark] = {}
        self.version = 0
        """Rises with every new mark of a rate."""
        self._symbols = {pair.symbol for pair in self._pairs.values()}

    @property
    def symbols(self) -> frozenset[str]:
        """Whose marks are needed."""
        return frozenset(self._symbols)

    def news(self, marks: Mapping[str, Mark]) -> bool:
        """Whether any of these differs from what is known."""
        return any(self.marks.get(symbol) != mark for symbol, mark in marks.items())

    def take(self, marks: Mapping[str, Mark]) -> list[str]:
        """Marks as of now; returns the symbols of which they are new."""
        fresh = [symbol for symbol, mark in marks.items() if self.marks.get(symbol) != mark]
        for symbol in fresh:
            self.marks[symbol] = marks[symbol]
            self.version += symbol in self._symbols
        return fresh

    def of(self, currency: str) -> Rate | None:
        """None: unknown, for lack of a pair or of a positive mark. Of the deployment's own: 1, for ever."""
        if currency == self.base:
            return Rate(1, 1, 0)
        pair = self._pairs.get(currency)
        mark = self.marks.get(pair.symbol) if pair is not None else None
        if pair is None or mark is None or mark.half_ticks <= 0 or not mark.ts:
            return None
        numerator, denominator = mark.half_ticks * pair.half_tick[0], pair.half_tick[1]
        return (
            Rate(denominator, numerator, mark.ts) if pair.inverse else Rate(numerator, denominator, mark.ts)
        )


def pairs_to(base: str, fx: Mapping[str, str], half_ticks: Mapping[str, tuple[int, int]]) -> dict[str, Pair]:
    """The pairs that convert to `base`, by currency.

    Args:
        fx: symbol by pair: `EURUSD` is the price of one EUR in USD. A pair the other way round serves too,
            where there is none in this direction.
        half_ticks: half a tick of each symbol, as a fraction.
    """
    found: dict[str, Pair] = {}
    for pair, symbol in sorted(fx.items()):
        if pair.startswith(base) and pair != base:
            found[pair.removeprefix(base)] = Pair(symbol, True, half_ticks[symbol])
    for pair, symbol in sorted(fx.items()):
        if pair.endswith(base) and pair != base:
            found[pair.removesuffix(base)] = Pair(symbol, False, half_ticks[symbol])
    return found
