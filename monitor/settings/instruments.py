"""What is traded: tick, lot, multiplier and currency of a symbol. Knows no file and no stream."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, localcontext

import msgspec

MONEY_UNIT = Decimal("1e-18")
"""Money is kept in whole units of 1e-18 of the currency."""

DEFAULT_STEP = Decimal("1e-8")
"""Tick and lot of an instrument of which nothing is said."""


def half_tick_value(tick_size: Decimal, lot_size: Decimal, multiplier: Decimal) -> int:
    """Value of half a tick on one lot, in 1e-18 of the currency.

    Raises:
        ValueError: a step is not positive, or the value is not a whole number of units.
    """
    if min(tick_size, lot_size, multiplier) <= 0:
        raise ValueError("tick_size, lot_size and multiplier must be positive")
    with localcontext(prec=160):
        units = tick_size * lot_size * multiplier / 2 / MONEY_UNIT
        if units != units.to_integral_value():
            raise ValueError(
                f"half a tick x lot x multiplier = {units * MONEY_UNIT} is not a multiple of 1e-18"
            )
        return int(units)


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol; prices in `currency` per unit x `multiplier`, quantities in units of the symbol."""

    symbol: str
    tick_size: Decimal = DEFAULT_STEP
    lot_size: Decimal = DEFAULT_STEP
    multiplier: Decimal = Decimal(1)
    currency: str = "USD"
    calendar: str = "always"

    @property
    def half_tick_value(self) -> int:
        """Value of half a tick on one lot, in 1e-18 of the currency."""
        return half_tick_value(self.tick_size, self.lot_size, self.multiplier)


class Instruments(msgspec.Struct, frozen=True, kw_only=True):
    """The symbols a configuration knows; where `open`, every other symbol is an instrument by default."""

    listed: Mapping[str, Instrument]
    open: bool
    currency: str
    """Currency of instruments that name none."""

    def get(self, symbol: str) -> Instrument | None:
        """The instrument, or None where the symbol is unknown."""
        found = self.listed.get(symbol)
        if found is None and self.open:
            return Instrument(symbol=symbol, currency=self.currency)
        return found
