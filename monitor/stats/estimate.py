"""`Estimate`: the value of a metric with what is needed to judge it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

NO_RATE = "no_rate"
"""In `extra`: the currencies for want of whose rate a value is unknown."""


NO_POSITION, NO_MARK, STALE_MARKS, STALE_RATE = "no_position", "no_mark", "stale_marks", "stale_rate"
"""In `extra`, what a book is unknown or stale for: symbols whose position is not known, that have no mark, or
an old one; currencies with an old rate."""

BLIND = (NO_RATE, STALE_RATE, NO_POSITION, NO_MARK, STALE_MARKS)
"""Every such cause, in the order in which they are told."""

BEGUN_ANEW = "begun_anew"
"""In `extra`, true: a changed configuration began the statistics anew within the window."""


class Status(StrEnum):
    """`OK` alone may pass, fail or resolve a rule."""

    OK = "ok"
    INSUFFICIENT = "insufficient"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not_applicable"


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A metric's value over `[from_ns, to_ns)`.

    `value` is None unless `status` is OK, except that a hard limit may carry a `stale` value. Money is an
    integer in 1e-18 of the currency where `unit` is "money"; every other value is a float or an integer.
    `extra` holds the formula's parameters and published error bounds.
    """

    value: float | int | None
    n: int
    status: Status
    from_ns: int
    to_ns: int
    n_eff: float | None = None
    low: float | None = None
    high: float | None = None
    stale: bool = False
    extra: dict[str, Any] = {}
