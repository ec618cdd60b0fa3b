"""`RejectReasons`: why orders are rejected, from a desk's words or FIX numbers to a bounded set of names."""

from __future__ import annotations

from monitor.trading.names import OTHER, normal

FIX_REASONS = {
    0: "broker_exchange_option",
    1: "unknown_symbol",
    2: "exchange_closed",
    3: "order_exceeds_limit",
    4: "too_late_to_enter",
    5: "unknown_order",
    6: "duplicate_order",
    7: "duplicate_of_a_verbally_communicated_order",
    8: "stale_order",
    9: "trade_along_required",
    10: "invalid_investor_id",
    11: "unsupported_order_characteristic",
    12: "surveillance_option",
    13: "incorrect_quantity",
    14: "incorrect_allocated_quantity",
    15: "unknown_account",
    16: "price_exceeds_current_price_band",
    18: "invalid_price_increment",
    99: OTHER,
}
"""Names of OrdRejReason (103) of FIX 5.0 SP2; 17 is not assigned."""

NAMED = (
    "broker_exchange_option",
    "duplicate_order",
    "exchange_closed",
    "incorrect_quantity",
    "insufficient_funds",
    "invalid_price_increment",
    "order_exceeds_limit",
    "price_exceeds_current_price_band",
    "rate_limit",
    "risk_limit",
    "self_trade",
    "stale_order",
    "too_late_to_enter",
    "unknown_account",
    "unknown_order",
    "unknown_symbol",
    "unsupported_order_characteristic",
)
"""Reasons that have a name of their own unless a desk names others."""

PRE_TRADE = (
    "insufficient_funds",
    "order_exceeds_limit",
    "price_exceeds_current_price_band",
    "rate_limit",
    "risk_limit",
    "self_trade",
)
"""Those of checks before the trade, unless a desk names others."""

_LONGEST_NUMBER = 9


class RejectReasons:
    """Names of reasons, in normal form; `index` is that of the name, one past the last for any other.

    >>> reasons = RejectReasons(("exchange_closed", "risk_limit"))
    >>> [reasons.index(text) for text in ("Risk limit", "2", "99", "margin", None)]
    [1, 0, 2, 2, 2]
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._places = {name: place for place, name in enumerate(names)}

    def index(self, reason: str | None) -> int:
        """Of a reason in a desk's words, or the number that FIX gives it."""
        others = len(self._places)
        if reason is None:
            return others
        name = normal(reason)
        if name.isascii() and name.isdigit() and len(name) <= _LONGEST_NUMBER:
            name = FIX_REASONS.get(int(name), OTHER)
        return self._places.get(name, others)
