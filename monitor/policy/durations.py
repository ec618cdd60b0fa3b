"""Durations as people write them (`5m`, `1h30m`, `250ms`) and integer nanoseconds."""

from __future__ import annotations

import re
from fractions import Fraction

SECOND = 1_000_000_000
DAY = 86_400 * SECOND

NANOSECONDS = {
    "w": 7 * DAY,
    "d": DAY,
    "h": 3_600 * SECOND,
    "m": 60 * SECOND,
    "s": SECOND,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
"""Units, the largest first."""

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h|d|w)")


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration such as `5m` or `1h30m`.

    Raises:
        ValueError: not a duration, or not a whole number of nanoseconds.
    """
    squeezed = text.replace(" ", "")
    parts = _PART.findall(squeezed)
    if not parts or "".join(number + unit for number, unit in parts) != squeezed:
        raise ValueError(f"{text!r} is not a duration such as 250ms, 5m or 1h30m")
    total = sum((Fraction(number) * NANOSECONDS[unit] for number, unit in parts), Fraction(0))
    if total.denominator != 1:
        raise ValueError(f"{text!r} is not a whole number of nanoseconds")
    return int(total)


def format_duration(ns: int) -> str:
    """The shortest exact spelling; `0s` for none.

    >>> format_duration(5_400_000_000_000)
    '1h30m'
    """
    parts = []
    for unit, size in NANOSECONDS.items():
        count, ns = divmod(ns, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
