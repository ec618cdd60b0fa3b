"""`Benchmark`: what the capital would be worth, bought and held.

A sequence in exact integers: it depends on when each symbol joined. Knows no book.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from monitor.engine.books.rates import Rates
from monitor.engine.books.rules import TRADED
from monitor.engine.partials import Mark
from monitor.trading.units import divide_half_even


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A symbol since it was bought: for how much money, and at which price, as a fraction; decimal text."""

    money: str
    numerator: str
    denominator: str


class StoredBenchmark(msgspec.Struct, frozen=True, array_like=True):
    """Symbols held, money that is in none of them, and symbols that wait for a mark."""

    held: dict[str, Held]
    cash: str
    waiting: list[str]


class Benchmark:
    """Equal shares of the capital in the symbols that have joined, or all of it in the one that is named.

    Whenever a symbol joins, with the first positive mark that is known of it, all is sold and bought again in
    equal shares; else nothing is traded, and nothing costs anything. Without a symbol it is all cash. Of
    `traded`, a symbol joins once any book has traded it.

    `worth`: in 1e-18 of the currency, each holding at `money x mark / mark when bought`, rounded half even.
    `sound`: all symbols that have joined, or wait, have a mark, and none is stale.

    Args:
        capital: in 1e-18 of the currency.
        name: `traded`, or a symbol.
        currency: of a symbol.
    """

    def __init__(self, capital: int, name: str, currency: Callable[[str], str]) -> None:
        self._name, self._currency = name, currency
        self._cash = capital
        self._held: dict[str, tuple[int, int, int]] = {}
        self._values: dict[str, int] = {}
        self._waiting: set[str] = set() if name == TRADED else {name}
        self._version: int | None = None
        self._stamps: dict[str, int] = {}
        self.worth = capital
        self.sound = True
        self.dirty = False

    def take(
        self, at: int, fresh: Collection[str], rates: Rates, staleness_ns: int, *, missing: bool
    ) -> None:
        """The instant `at`; `fresh`: symbols whose mark is new since the last one."""
        if self._name == TRADED:
            joining = {s for s in fresh if rates.marks[s].traded} - self._held.keys() - self._waiting
            self._waiting |= joining
            self.dirty |= bool(joining)
        self._value(fresh, rates)
        if self._waiting:
            self._join(rates)
        oldest = min(self._stamps.values(), default=at)
        self.sound = not (missing or self._waiting or at - oldest > staleness_ns)

    def _value(self, fresh: Collection[str], rates: Rates) -> None:
        all_anew = self._version != rates.version
        changed = self._held if all_anew else [symbol for symbol in fresh if symbol in self._held]
        self._version = rates.version
        for symbol in changed:
            price = self._price(symbol, rates)
            if price is None:
                continue
            money, numerator, denominator = self._held[symbol]
            value = divide_half_even(money * price[0] * denominator, price[1] * numerator)
            self.worth += value - self._values.get(symbol, 0)
            self._values[symbol] = value

    def _price(self, symbol: str, rates: Rates) -> tuple[int, int] | None:
        """Half-ticks in the deployment's currency, as a fraction; units of the price cancel out."""
        mark: Mark | None = rates.marks.get(symbol)
        if mark is None or not mark.ts:
            return None
        rate = rates.of(self._currency(symbol))
        if rate is None:
            return None
        self._stamps[symbol] = min(mark.ts, rate.ts or mark.ts)
        return mark.half_ticks * rate.numerator, rate.denominator

    def _join(self, rates: Rates) -> None:
        """Buy anew, where symbols that waited have a price; the others go on waiting."""
        prices = {symbol: self._price(symbol, rates) for symbol in self._waiting | self._held.keys()}
        held = {s: price for s, price in prices.items() if price is not None and price[0] > 0}
        joining = self._waiting & held.keys()
        if not joining or self._held.keys() - held.keys():
            return
        members = sorted(held)
        share = self.worth // len(members)
        self._held = {symbol: (share, *held[symbol]) for symbol in members}
        self._values = dict.fromkeys(members, share)
        self._cash = self.worth - share * len(members)
        self._waiting -= joining
        self.dirty = True

    def encode(self) -> bytes:
        """The stored form."""
        self.dirty = False
        held = {symbol: Held(*(str(each) for each in of)) for symbol, of in sorted(self._held.items())}
        return msgspec.msgpack.encode(StoredBenchmark(held, str(self._cash), sorted(self._waiting)))

    def restore(self, stored: StoredBenchmark, rates: Rates) -> None:
        """Go on from what was held, at the marks known.

        Raises:
            ValueError: money that is no integer.
        """
        self._held = {
            symbol: (int(of.money), int(of.numerator), int(of.denominator))
            for symbol, of in stored.held.items()
        }
        self._cash, self._waiting = int(stored.cash), set(stored.waiting)
        self._values = {symbol: money for symbol, (money, _, _) in self._held.items()}
        self.worth = self._cash + sum(self._values.values())
        self._value(self._held, rates)

    @staticmethod
    def symbols(name: str) -> frozenset[str]:
        """Whose marks are needed, whether traded or not."""
        return frozenset() if name == TRADED else frozenset({name})
