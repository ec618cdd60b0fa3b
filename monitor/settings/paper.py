"""The paper broker, as configured: the same for every role."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from monitor.settings.mistakes import SHAPES, mistake
from monitor.settings.quantities import MILLISECOND, SECOND, Duration, Exact, Name, Number
from monitor.settings.section import Section

QUANTILE = Decimal("0.8")
BPS = 10_000
"""All of a price: no cost is as large."""
DEFAULT = "default"
"""Names the quantity of all symbols that have none of their own."""
_BY_SYMBOL, _OF_ALL = SHAPES


def _kind(value: object) -> str:
    return _BY_SYMBOL if isinstance(value, Mapping) else _OF_ALL


Quantity = Annotated[Exact, Field(gt=0)]
WrittenQuantity = Annotated[
    Annotated[Mapping[Name, Quantity], Tag(_BY_SYMBOL)] | Annotated[Quantity, Tag(_OF_ALL)],
    Discriminator(_kind),
]
"""One quantity of all symbols, or by symbol: `{default: "0.1", ES: "1"}`."""


class ParticipationSettings(Section):
    """What part of the volume a paper fill takes at most."""

    share: Exact = Field(gt=0, le=1)
    volume: Name
    """The feature that holds it, in units of quantity, as of the quote: where it is missing, not finite or
    too small for a lot nothing fills."""


class PaperSettings(Section):
    """Targets, orders, fills and costs of paper books; the rules to the letter: docs/paper-broker.md.

    A prediction wants a position, its target; one that differs from that of the working order, or without
    one from what is held, is a decision. Predictions that are probabilities want nothing at 0.5, all others
    at 0; those of `quantile` between its quantiles. Each paper order is marketable: from `latency` on it
    fills at bid or ask of the first quote that renews the mark.
    """

    target: Literal["sign", "linear", "quantile"] = "sign"
    """`sign`: `quantity` long or short. `linear`: prediction / `scale`, between -1 and 1, times `quantity`,
    rounded half even to lots. `quantile`: long above the `quantile` of the role's predictions in the
    reference, short below 1 - `quantile`."""
    threshold: Number = Field(default=0, ge=0)
    """Predictions within +- threshold want no position; not of `quantile`."""
    scale: Number | None = Field(default=None, gt=0)
    """Of `linear`: the prediction that wants all of `quantity`."""
    quantile: Exact | None = Field(default=None, ge=Decimal("0.5"), lt=1)
    """Of `quantile`; 0.8."""
    quantity: WrittenQuantity = Decimal(1)
    """Of a full target, in units of the symbol: one for all, or by symbol with a `default` for those that are
    not named. Model effect is that of the dearest where symbols of unlike worth share one."""
    holding_ns: Duration = Field(default=SECOND, alias="holding")
    """From an order's first quote that it may trade on to the next decision: from its first fill, but where
    caps leave nothing to fill."""
    latency_ns: Duration = Field(default=50 * MILLISECOND, alias="latency")
    """From a decision to the market; until then an order cannot be replaced."""
    half_spread_bps: Exact = Field(default=Decimal(0), ge=0, lt=BPS)
    """Where a row has a price and neither bid nor ask, fills are this far from it."""
    slippage_bps: Exact = Field(default=Decimal(0), ge=0, lt=BPS)
    fee_bps: Exact = Field(default=Decimal(0), gt=-BPS, lt=BPS)
    """Negative is a rebate."""
    participation: ParticipationSettings | None = None
    """Without it orders fill whole. With it the rest of an order waits for later quotes, until a newer
    decision ends it."""
    max_exposure: Exact | None = Field(default=None, gt=0)
    """Of |position| x mid of a symbol, in its currency: no fill raises it beyond this. Reductions pass, and
    none is forced."""
    max_turnover: Exact | None = Field(default=None, gt=0)
    """The most that a symbol trades at quoted prices, in its currency, in one hour of the UTC clock."""
    order_type: Name = "market"
    """The type of order that paper orders compare with real ones as."""

    @property
    def default_quantity(self) -> Decimal | None:
        """Of symbols without one of their own; None: each has its own."""
        return self.quantity.get(DEFAULT) if isinstance(self.quantity, Mapping) else self.quantity

    @property
    def own_quantities(self) -> dict[str, Decimal]:
        """By symbol."""
        written = self.quantity if isinstance(self.quantity, Mapping) else {}
        return {symbol: quantity for symbol, quantity in written.items() if symbol != DEFAULT}

    @model_validator(mode="after")
    def _of_the_target(self) -> PaperSettings:
        if self.target == "linear" and self.scale is None:
            raise mistake("`target: linear` needs a scale", "set scale: the prediction that wants `quantity`")
        if self.target != "linear" and self.scale is not None:
            raise mistake(f"`target: {self.target}` has no scale", "leave it out, or write `target: linear`")
        if self.target != "quantile" and self.quantile is not None:
            raise mistake(
                f"`target: {self.target}` has no quantile", "leave it out, or write `target: quantile`"
            )
        if self.target == "quantile" and self.threshold:
            raise mistake("`target: quantile` has no threshold", "leave it out: quantiles are its thresholds")
        return self
