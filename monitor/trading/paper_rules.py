"""`PaperRules`: what the paper broker takes of an order and what it charges, in exact integers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec

from monitor.trading.units import InstrumentUnits, money_of, ratio

HOUR_NS = 3_600_000_000_000

MAX_LOTS = 1 << 53
"""A paper quantity has at most as many lots: up to here float64 counts them exactly."""

_BPS = 10_000
_NO_LIMIT = 1 << 53
"""Half-ticks of bid and ask together; there are no more."""
_WORTH_AN_ORDER = 100
"""A part of a paper quantity: less room than that is no reason to order again."""

Rate = tuple[int, int]
"""A fraction: numerator, positive denominator."""


class PaperRules(msgspec.Struct, frozen=True):
    """The same for every role.

    `quantity`: of a full target; `quantities`: by symbol, where it is another. `holding_ns`: from an order's
    first quote that it may trade on (its first fill, but where caps leave nothing to fill) to the next
    decision; `latency_ns`: from a decision to the market.

    A row with bid and ask fills at them, one with a price alone at the price +- `half_spread_bps`. That and
    then `slippage_bps` of the money paid, and `fee_bps` of the result, are rounded against the book.

    `share`: of the volume shown with a quote, the most that a fill takes; None: whole orders fill.
    `max_exposure`: of |position| x mid, in the instrument's currency: no fill raises it beyond that;
    reductions pass, and a position that the market carried beyond it is left alone. `max_turnover`: of the
    money traded at quoted prices in one hour of event time by the UTC clock, reductions too.
    """

    quantity: Decimal | None
    holding_ns: int = 1_000_000_000
    latency_ns: int = 50_000_000
    slippage_bps: Decimal = Decimal(0)
    fee_bps: Decimal = Decimal(0)
    half_spread_bps: Decimal = Decimal(0)
    share: Decimal | None = None
    max_exposure: Decimal | None = None
    max_turnover: Decimal | None = None
    quantities: Mapping[str, Decimal] = {}

    @property
    def capped(self) -> bool:
        """Whether exposure or turnover is."""
        return self.max_exposure is not None or self.max_turnover is not None

    def lots(self, units: InstrumentUnits) -> int:
        """The quantity of an instrument in lots.

        Raises:
            ValueError: there is none, it is not a multiple of the lot size, or more than 2^53 lots.
        """
        quantity = self.quantities.get(units.symbol, self.quantity)
        if quantity is None:
            raise ValueError(f"{units.symbol}: no quantity is said of it")
        lots = units.lots(quantity)
        if lots > MAX_LOTS:
            raise ValueError(f"{units.symbol}: {quantity} is more than 2^53 lots of {units.lot_size}")
        return lots


class Charges:
    """What a trade costs beyond the quoted price."""

    __slots__ = ("_fee", "_half_spread", "_slippage")

    def __init__(self, rules: PaperRules) -> None:
        self._half_spread = _bps(rules.half_spread_bps)
        self._slippage = _bps(rules.slippage_bps)
        self._fee = _bps(rules.fee_bps)

    def of(self, quoted: int, *, bare: bool) -> tuple[int, int]:
        """Money paid (signed) and fee of a trade that is worth `quoted` at the quoted price; `bare`: that one
        is a price without bid and ask."""
        paid = quoted + _ceil(abs(quoted), self._half_spread) if bare else quoted
        paid += _ceil(abs(paid), self._slippage)
        return paid, _ceil(abs(paid), self._fee)


class Participation:
    """How many lots a quote gives: at most `share` of the volume that is shown with it."""

    __slots__ = ("_share",)

    def __init__(self, share: Decimal) -> None:
        self._share = ratio(share)

    def least(self, units: InstrumentUnits) -> float:
        """The smallest volume that gives a lot."""
        lot, share = units.lot, self._share
        nearest = lot[0] * share[1] / (lot[1] * share[0])
        return nearest if self.lots(units, nearest) else math.nextafter(nearest, math.inf)

    def lots(self, units: InstrumentUnits, volume: float) -> int:
        """Whole lots within the share of a finite `volume` (units of quantity)."""
        numerator, denominator = volume.as_integer_ratio()
        share, lot = self._share, units.lot
        return numerator * share[0] * lot[1] // (denominator * share[1] * lot[0])


class Room(NamedTuple):
    """Quotes at which caps leave enough to `side` (+1 buys) of a position: |bid + ask| is at most `mid`, and
    |price on that side| at most `now` until `turns_ns`, when the hour ends, then `later`; in half-ticks."""

    side: int
    mid: int
    now: int
    later: int
    turns_ns: int


class Caps:
    """How much of an order exposure and turnover of its symbol leave."""

    __slots__ = ("_exposure", "_turnover")

    def __init__(self, rules: PaperRules) -> None:
        self._exposure = None if rules.max_exposure is None else money_of(rules.max_exposure)
        self._turnover = None if rules.max_turnover is None else money_of(rules.max_turnover)

    def exposure(self, held: int, side: int, lots: int, mid_worth: int) -> int:
        """Of `lots` to `side` (+1 buys) of a position of `held` lots, as many as leave |position| x mid
        within the limit; `mid_worth`: of one lot at the mid."""
        if self._exposure is None or not mid_worth:
            return lots
        return max(0, min(lots, self._exposure // abs(mid_worth) - side * held))

    def turnover(self, traded: int, lots: int, quoted_worth: int) -> int:
        """Of `lots`, as many as the hour leaves in which `traded` money was traded; `quoted_worth`: of one
        lot at the quoted price."""
        if self._turnover is None or not quoted_worth:
            return lots
        return max(0, min(lots, (self._turnover - traded) // abs(quoted_worth)))

    def room(self, units: InstrumentUnits, held: int, side: int, lots: int, hour: tuple[int, int]) -> Room:
        """Where `exposure` and `turnover` leave `lots` to `side` of a position of `held`; `hour`: of the UTC
        clock, and what was traded in it."""
        mid = now = later = _NO_LIMIT
        if self._exposure is not None and (reached := side * held + lots) > 0:
            mid = min(mid, 2 * self._exposure // (reached * units.unit))
        if self._turnover is not None:
            now = min(now, max(0, self._turnover - hour[1]) // (lots * units.unit))
            later = min(later, self._turnover // (lots * units.unit))
        return Room(side, mid, now, later, (hour[0] + 1) * HOUR_NS)


def enough(quantity: int, missing: int) -> int:
    """Lots that caps must leave for a stopped target to be ordered again: a hundredth of the paper quantity,
    so that the market's every move makes no order of its own; or all that is `missing`."""
    return min(-(-quantity // _WORTH_AN_ORDER), missing)


def _bps(rate: Decimal) -> Rate:
    numerator, denominator = ratio(rate)
    return numerator, denominator * _BPS


def _ceil(amount: int, rate: Rate) -> int:
    """`amount` x `rate` as a cost: rounded towards plus infinity, against the book."""
    return -(-amount * rate[0] // rate[1])
