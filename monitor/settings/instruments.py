"""What is traded: tick, lot, multiplier and currency of a symbol. Knows no file and no stream."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

DEFAULT_STEP = Decimal("1e-8")
"""Tick and lot of an instrument of which nothing is said."""

USUAL = "USD"
"""Currency where none is named."""


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol; prices in `currency` per unit x `multiplier`, quantities in units of the symbol."""

    symbol: str
    tick_size: Decimal = DEFAULT_STEP
    lot_size: Decimal = DEFAULT_STEP
    multiplier: Decimal = Decimal(1)
    currency: str = USUAL


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
