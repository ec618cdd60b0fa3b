"""What is told apart of a deployment's orders, and how many of them are remembered."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from monitor.settings.mistakes import mistake, suggestion
from monitor.settings.quantities import SECOND, Duration, Name, Whole
from monitor.settings.section import Section
from monitor.trading.lifecycle import LifecycleRules
from monitor.trading.names import OTHER, normal
from monitor.trading.reject_reasons import NAMED, PRE_TRADE

MOST_NAMES = 64
"""Each has series of its own."""


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(normal(name) for name in names)
    if len(set(found)) < len(found):
        raise mistake(
            "a name is listed twice; case, spaces and dashes do not tell names apart", "list it once"
        )
    return found


def _named(names: tuple[str, ...]) -> tuple[str, ...]:
    found = _names(names)
    if len(found) > MOST_NAMES:
        message = f"{len(found)} names, of which each has series of its own; there are at most {MOST_NAMES}"
        raise mistake(message, f"leave the rare ones out: they count as `{OTHER}`")
    if OTHER in found:
        raise mistake(f"`{OTHER}` is what has no name of its own", "leave it out")
    return found


Names = Annotated[tuple[Name, ...], AfterValidator(_names)]
OwnNames = Annotated[tuple[Name, ...], AfterValidator(_named)]


class OrderSettings(Section):
    """Orders, as their execution reports tell of them."""

    order_types: OwnNames = LifecycleRules().order_types
    """Types with a `fill_rate` of their own, whatever their case; all others are `other`."""
    reject_reasons: OwnNames = NAMED
    """Reasons with a count of their own, in the desk's words or FIX's names; all others are `other`."""
    pre_trade_reasons: Names | None = None
    """Those of checks before the trade; left out: of a usual list those that are named."""
    repeat_within_ns: Duration = Field(default=SECOND, alias="repeat_within")
    """The most event time between an order and one that repeats it."""
    open_limit: Whole = Field(default=10_000, ge=1)
    """Open orders of a symbol that are remembered: beyond, the oldest is forgotten, and counted."""
    ended_limit: Whole = Field(default=1_000, ge=1)
    """Ended orders of a symbol that are remembered, for `books.exec_horizon` at most."""
    alert_on_breaks: bool = True
    """Whether a position report that contradicts the ledger raises the alert `reconciliation-break`."""

    @property
    def pre_trade(self) -> tuple[str, ...]:
        """Reasons of checks before the trade."""
        if self.pre_trade_reasons is not None:
            return self.pre_trade_reasons
        return tuple(reason for reason in PRE_TRADE if reason in self.reject_reasons)

    @model_validator(mode="after")
    def _counted(self) -> OrderSettings:
        for reason in self.pre_trade_reasons or ():
            if reason not in (*self.reject_reasons, OTHER):
                remedy = suggestion(reason, (*self.reject_reasons, OTHER))
                raise mistake(f"pre_trade_reasons names {reason!r}, which is none of reject_reasons", remedy)
        return self
