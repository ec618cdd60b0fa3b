"""What books did: trades that counted, and paper orders that ended. Values only; knows no book."""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple


class Trade(NamedTuple):
    """A trade that counted in a book.

    `book`: index in `BookSet.names`; `symbol`: index of the instrument; `eff_ns`: effective time. `lots`
    signed; `paid`: money of the trade without fees in 1e-18 of the instrument's currency, signed like `lots`
    where prices are positive. `fee` in 1e-18 of that currency, 0 where it is in another; rebates negative.
    """

    book: int
    symbol: int
    eff_ns: int
    lots: int
    paid: int
    fee: int


class Capped(IntFlag):
    """What kept a paper order from filling all that it was decided for."""

    EXPOSURE = 1
    TURNOVER = 2
    PARTICIPATION = 4


class PaperOrder(NamedTuple):
    """A paper order that ended at `eff_ns`: filled, or given up. `ordered`, `filled` in lots, not signed;
    `ordered` is 0 where caps on exposure and turnover left nothing."""

    book: int
    symbol: int
    eff_ns: int
    ordered: int
    filled: int
    capped: Capped
