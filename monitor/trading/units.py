"""`InstrumentUnits`: one instrument's integers: lots, half-ticks, and money in 1e-18 of its currency.

Knows decimals and integers only; where the instrument was configured is none of its business.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

MONEY_PLACES = 18
MONEY = 10**MONEY_PLACES
"""Integer money units in one unit of currency."""

_MAGNITUDE = 40
"""Decimals beyond 10^40 or below 10^-40 are refused: as fractions they would be integers without bound."""


def divide_half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` (> 0) to the nearest integer, ties to even: odd in `numerator`."""
    quotient, rest = divmod(numerator, denominator)
    if not rest:
        return quotient
    if 2 * rest > denominator or (2 * rest == denominator and quotient & 1):
        quotient += 1
    return quotient


def ratio(value: Decimal) -> tuple[int, int]:
    """`value` as (numerator, positive denominator).

    Raises:
        ValueError: not finite, or out of 10^-40 .. 10^40.
    """
    # Those that are not finite are of magnitude 0, and have no ratio.
    if -_MAGNITUDE <= value.adjusted() <= _MAGNITUDE or not value:
        try:
            return value.as_integer_ratio()
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"{value} is not a finite decimal between 1e-{_MAGNITUDE} and 1e{_MAGNITUDE}")


def money_of(amount: Decimal) -> int:
    """A decimal amount of currency in money units (1e-18), rounded half even where it is finer."""
    numerator, denominator = ratio(amount)
    money, rest = divmod(numerator * MONEY, denominator)
    return money if not rest else divide_half_even(numerator * MONEY, denominator)


def format_scaled(number: int, places: int) -> str:
    """`number / 10**places` as decimal text: no exponent, no trailing zeros, "0" for zero."""
    if places <= 0:
        return f"{number}{'0' * -places}" if number else "0"
    digits = str(abs(number)).rjust(places + 1, "0")
    fraction = digits[-places:].rstrip("0")
    text = f"{digits[:-places]}.{fraction}" if fraction else digits[:-places]
    return f"-{text}" if number < 0 else text


def format_money(money: int) -> str:
    """Money units as decimal text of the currency.

    >>> format_money(-1_500_000_000_000_000_000)
    '-1.5'
    """
    return format_scaled(money, MONEY_PLACES)


def parse_money(text: str) -> int:
    """The inverse of `format_money`.

    Raises:
        ValueError: not decimal text, or finer than 1e-18.
    """
    sign = -1 if text.startswith("-") else 1
    whole, dot, fraction = text.removeprefix("-").partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit() and whole) or bool(dot) != bool(fraction):
        raise ValueError(f"{text!r} is not decimal money")
    if len(fraction) > MONEY_PLACES:
        raise ValueError(f"{text!r} is finer than 1e-{MONEY_PLACES}")
    return sign * int(digits + "0" * (MONEY_PLACES - len(fraction)))


def _scaled(value: Decimal) -> tuple[int, int]:
    """`value` as (integer, decimal places)."""
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    return int("".join(str(digit) for digit in digits)), -int(exponent)


@dataclass(frozen=True, slots=True)
class InstrumentUnits:
    """Integer arithmetic of one instrument; made by `InstrumentUnits.of`.

    `unit`: money (1e-18 of `currency`) that one lot gains when its price rises by half a tick.
    """

    symbol: str
    currency: str
    tick_size: Decimal
    lot_size: Decimal
    multiplier: Decimal
    unit: int
    per_price: tuple[int, int]
    """Money of one lot at price 1, as a fraction."""
    lot: tuple[int, int]
    half_tick: tuple[int, int]

    @classmethod
    def of(
        cls, symbol: str, tick_size: Decimal, lot_size: Decimal, multiplier: Decimal, currency: str
    ) -> InstrumentUnits:
        """Derive the integers of an instrument.

        Raises:
            ValueError: a size is not positive and finite, or half a tick x lot x multiplier is not a multiple
                of 1e-18.
        """
        sizes = {"tick_size": tick_size, "lot_size": lot_size, "multiplier": multiplier}
        for name, size in sizes.items():
            if not (size.is_finite() and size > 0):
                raise ValueError(f"instrument {symbol}: {name} is {size}; it must be a positive number")
        tick, lot, multiple = (ratio(size) for size in sizes.values())
        per_price = (lot[0] * multiple[0] * MONEY, lot[1] * multiple[1])
        unit, rest = divmod(per_price[0] * tick[0], per_price[1] * tick[1] * 2)
        if rest:
            raise ValueError(
                f"instrument {symbol}: half a tick x lot_size x multiplier = "
                f"{tick_size} / 2 x {lot_size} x {multiplier} is finer than 1e-{MONEY_PLACES} {currency}; "
                "choose a larger tick_size or lot_size"
            )
        return cls(
            symbol=symbol,
            currency=currency,
            tick_size=tick_size,
            lot_size=lot_size,
            multiplier=multiplier,
            unit=unit,
            per_price=per_price,
            lot=lot,
            half_tick=(tick[0], tick[1] * 2),
        )

    def lots(self, quantity: Decimal) -> int:
        """A quantity in lots.

        Raises:
            ValueError: not a multiple of the lot size.
        """
        numerator, denominator = ratio(quantity)
        lots, rest = divmod(numerator * self.lot[1], denominator * self.lot[0])
        if rest:
            raise ValueError(
                f"{self.symbol}: quantity {quantity} is not a multiple of lot_size {self.lot_size}"
            )
        return lots

    def money(self, lots: int, price: Decimal) -> int:
        """What `lots` (signed) cost at `price`, in money units: exact for any price on the tick or half-tick
        grid; rounded half even, once for the whole quantity, where a finer price needs more than 1e-18."""
        numerator, denominator = ratio(price)
        whole, parts = lots * numerator * self.per_price[0], denominator * self.per_price[1]
        money, rest = divmod(whole, parts)
        return money if not rest else divide_half_even(whole, parts)

    def half_ticks(self, price: Decimal) -> int:
        """A price in half-ticks, rounded half even."""
        numerator, denominator = ratio(price)
        return divide_half_even(numerator * self.half_tick[1], denominator * self.half_tick[0])

    def value(self, lots: int, half_ticks: int) -> int:
        """Money units of `lots` at a mark."""
        return lots * half_ticks * self.unit

    def quantity(self, lots: int) -> float:
        """Lots as a quantity, the nearest float."""
        return lots * self.lot[0] / self.lot[1]

    def price(self, lots: int, paid: int) -> float:
        """What one unit of quantity cost where `lots` (not 0) cost `paid`, the nearest float."""
        return paid * self.per_price[1] / (lots * self.per_price[0])

    def format_quantity(self, lots: int) -> str:
        """Lots as decimal text of a quantity."""
        number, places = _scaled(self.lot_size)
        return format_scaled(lots * number, places)

    def format_price(self, half_ticks: int) -> str:
        """Half-ticks as decimal text of a price."""
        number, places = _scaled(self.tick_size)
        return format_scaled(half_ticks * number * 5, places + 1)
