"""Integer nanoseconds as people write durations: `5m`, `1h30m`, `250ms`."""

from __future__ import annotations

SECOND = 1_000_000_000
DAY = 86_400 * SECOND

_UNITS = (
    ("d", DAY),
    ("h", 3_600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
)


def format_duration(ns: int) -> str:
    """The shortest exact spelling; `0s` for none.

    >>> format_duration(5_400_000_000_000)
    '1h30m'
    """
    parts = []
    for unit, size in _UNITS:
        count, ns = divmod(ns, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
