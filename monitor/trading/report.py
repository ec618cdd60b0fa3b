"""`Report`: what the ledger reads of an execution report, as a structural type.

The message itself is `monitor.wire.messages.ExecutionReport`; decimals here are exact values of decimal text.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """The kinds of report that move money or positions; every other kind moves none."""

    PARTIAL_FILL = "partial_fill"
    FILL = "fill"
    CORRECT = "correct"
    BUST = "bust"
    POSITION = "position"
    CASH = "cash"


TRANSFERS = ("transfer", "deposit", "withdrawal")
"""`reason` of a cash report that moves capital and is no profit or loss, in any case."""


class Execution(Protocol):
    """The economics of one execution: of a fill, of what a bust undoes, of a correction's old terms."""

    @property
    def side(self) -> str | None: ...
    @property
    def last_quantity(self) -> Decimal | None: ...
    @property
    def last_price(self) -> Decimal | None: ...
    @property
    def fee(self) -> Decimal | None: ...
    @property
    def fee_currency(self) -> str | None: ...


class Report(Execution, Protocol):
    """An execution report. `quantity`, `price` count for `position`, `amount`, `currency` for `cash`."""

    @property
    def kind(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def exec_id(self) -> str: ...
    @property
    def account(self) -> str | None: ...
    @property
    def exec_ref_id(self) -> str | None: ...
    @property
    def quantity(self) -> Decimal | None: ...
    @property
    def price(self) -> Decimal | None: ...
    @property
    def amount(self) -> Decimal | None: ...
    @property
    def currency(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def undoes(self) -> Execution | None: ...
