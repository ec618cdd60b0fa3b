"""Durations, instants and exact decimals as text -> integer nanoseconds and `Decimal`. Knows no section."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from monitor.settings.document import WrittenFloat
from monitor.settings.mistakes import mistake

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
_UNITS = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": MILLISECOND, "us": 1_000, "ns": 1}

LONGEST_NAME = 200
_UNSEEN = ("Cc", "Cs", "Zl", "Zp")
"""Categories of Unicode: control characters, halves of characters, ends of lines and paragraphs."""

_LONGEST_NS = 2**62
_DURATION_PART = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?)(ns|us|ms|s|m|h|d)")
_INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_duration(value: object) -> int:
    """Nanoseconds of `100ms`, `5m`, `1h30m`, `30d`; a plain 0 needs no unit."""
    if value == 0 and not isinstance(value, bool):
        return 0
    remedy = "write numbers with units (ns us ms s m h d), as in 100ms, 5m or 1h30m"
    parts = _DURATION_PART.findall(value) if isinstance(value, str) else []
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise mistake(f"{_shown(value)} is not a duration", remedy)
    duration = sum(Decimal(number) * _UNITS[unit] for number, unit in parts)
    if duration != int(duration) or duration > _LONGEST_NS:
        raise mistake(f"{value} is no whole number of ns up to 146 years", "write a coarser or shorter one")
    return int(duration)


def parse_instant(value: object) -> int:
    """Nanoseconds since the Unix epoch of an RFC 3339 time; the zone is required."""
    found = _INSTANT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is not None:
        year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
        offset = timedelta(hours=int(found[9] or 0), minutes=int(found[10] or 0))
        try:
            zone = timezone(-offset if found[8] == "-" else offset)
            since = datetime(year, month, day, hour, minute, second, tzinfo=zone) - _EPOCH
        except (ValueError, OverflowError):
            found = None
        else:
            return (since.days * 86_400 + since.seconds) * SECOND + int((found[7] or "0").ljust(9, "0"))
    raise mistake(
        f"{_shown(value)} is not an RFC 3339 time", "write the time with its zone, as in 2026-03-01T09:30:00Z"
    )


def parse_exact(value: object) -> Decimal:
    """The decimal as it is written: text, an integer, or a YAML number; never a bare float."""
    if isinstance(value, Decimal):
        return value
    text = value.text if isinstance(value, WrittenFloat) else value
    if isinstance(text, (str, int)) and not isinstance(text, bool):
        try:
            number = Decimal(text)
        except InvalidOperation:
            number = Decimal("NaN")
        if number.is_finite() and abs(number.adjusted()) <= 36 and len(number.as_tuple().digits) <= 40:
            return number
    raise mistake(f"{_shown(value)} is not a decimal number", 'write a decimal in quotes, as in "0.01"')


def parse_text(value: object) -> Any:
    """Numbers as the text that was written, for values such as labels that are text by nature."""
    if isinstance(value, WrittenFloat):
        return value.text
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _shown(value: object) -> str:
    text = value.text if isinstance(value, WrittenFloat) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def refuse_boolean(value: object) -> Any:
    """The value, unless it is `true` or `false`, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise mistake(f"{value} is not a number", "write a number")
    return value


def _readable(value: str) -> str:
    if len(value) > LONGEST_NAME or any(unicodedata.category(c) in _UNSEEN for c in value):
        remedy = f"write at most {LONGEST_NAME} characters in one line"
        raise mistake(f"{_shown(value)} is too long, or has characters that cannot be seen", remedy)
    return value


def _within_64_bits(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise mistake(f"{_shown(value)} is beyond 64 bits", "write a smaller number")
    return value


def _positive(value: int) -> int:
    if value <= 0:
        raise mistake("must be longer than zero", "write a duration such as 1s")
    return value


def _beside_configuration(value: object, info: ValidationInfo) -> Any:
    """Relative paths are relative to the configuration file, wherever the program is started."""
    directory: Path = (info.context or {}).get("directory", Path())
    return directory / value if isinstance(value, (str, Path)) and str(value) else value


Whole = Annotated[int, BeforeValidator(refuse_boolean), AfterValidator(_within_64_bits)]
"""An integer of 64 bits; `true` is none."""
Number = Annotated[float, BeforeValidator(refuse_boolean)]
"""A finite float; `true` is none."""
Duration = Annotated[int, BeforeValidator(parse_duration)]
"""Nanoseconds, zero or more."""
PositiveDuration = Annotated[int, BeforeValidator(parse_duration), AfterValidator(_positive)]
"""Nanoseconds, more than zero."""
Instant = Annotated[int, BeforeValidator(parse_instant)]
"""Nanoseconds since the Unix epoch, UTC."""
Exact = Annotated[Decimal, BeforeValidator(parse_exact)]
"""A decimal as written."""
Name = Annotated[str, BeforeValidator(parse_text), Field(min_length=1), AfterValidator(_readable)]
"""Text in one line that may look like a number."""
FilePath = Annotated[Path, BeforeValidator(_beside_configuration)]
"""A path, absolute or beside the configuration file; it need not exist."""
