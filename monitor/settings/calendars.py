"""When a deployment's sessions are, as written: `always`, hours in a zone, or the name of an exchange."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from monitor.event_time.calendar import ALWAYS, Calendar, Hours
from monitor.settings.exchanges import exchange
from monitor.settings.mistakes import SHAPES, mistake, suggestion
from monitor.settings.quantities import DAY, HOUR, MINUTE, SECOND, Name
from monitor.settings.section import Section
from monitor.settings.zones import zone, zone_names

_ALWAYS = "always"
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WALL = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_LAST_YEAR = 2200
_BY_HOURS, _BY_NAME = SHAPES


def _zone(value: str) -> str:
    if value not in zone_names():
        near = difflib.get_close_matches(value, zone_names(), n=1)
        remedy = f"did you mean `{near[0]}`?" if near else "use an IANA name, such as America/New_York or UTC"
        raise mistake(f"there is no time zone {value!r}", remedy)
    return value


def _wall_time(value: object) -> Any:
    if value == "24:00":
        return DAY
    found = _WALL.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise mistake(f"{value!r} is not a time of day", 'write the local time in quotes, as in "09:30"')
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return hours * HOUR + minutes * MINUTE + seconds * SECOND


def _weekday(value: object) -> Any:
    if value not in _WEEKDAYS:
        raise mistake(f"{value!r} is not a day of the week", suggestion(str(value), _WEEKDAYS))
    return value


def _week(days: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(days)) < len(days):
        raise mistake("a day is listed twice", "list each day once")
    return tuple(sorted(days, key=_WEEKDAYS.index))


def _day(value: object) -> Any:
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    if day is None or not 1970 <= day.year <= _LAST_YEAR:
        raise mistake(f"{value!r} is not a date", "write the day as in 2026-12-25")
    return day.isoformat()


def _dates(days: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(days)) < len(days):
        raise mistake("a day is listed twice", "list each day once")
    return tuple(sorted(days))


WallTime = Annotated[int, BeforeValidator(_wall_time)]
"""Nanoseconds since local midnight."""
Day = Annotated[str, BeforeValidator(_day)]
"""A date, `2026-12-25`."""


class SessionSettings(Section):
    """A session a day, by the clock on the wall of a zone.

    A session's day is the local day on which it closes: `days`, `holidays` and `early_closes` mean that day.
    A session that opens the evening before says so with `overnight`: `open: "18:00", close: "17:00",
    overnight: true` on `[mon, tue, wed, thu, fri]` opens first on Sunday evening.
    """

    zone: Annotated[Name, AfterValidator(_zone)]
    open_ns: WallTime = Field(alias="open")
    close_ns: WallTime = Field(alias="close")
    """`24:00` is the midnight that ends the day."""
    overnight: bool = False
    """The session opens on the day before that on which it closes."""
    days: Annotated[
        tuple[Annotated[str, BeforeValidator(_weekday)], ...], Field(min_length=1), AfterValidator(_week)
    ] = _WEEKDAYS[:5]
    holidays: Annotated[tuple[Day, ...], AfterValidator(_dates)] = ()
    """Days without session."""
    early_closes: Mapping[Day, WallTime] = Field(default_factory=dict)
    """Days on which the session closes earlier: `{2026-11-27: "13:00"}`."""

    @property
    def hours(self) -> Hours:
        """From midnight of the day on which a regular session closes."""
        return Hours(self.open_ns - (DAY if self.overnight else 0), self.close_ns)

    @cached_property
    def calendar(self) -> Calendar:
        """As a value of the domain."""
        special: dict[int, Hours | None] = {_number(day): None for day in self.holidays}
        for day, close_ns in self.early_closes.items():
            special[_number(day)] = Hours(self.hours.open_ns, close_ns)
        return Calendar(zone(self.zone), self.hours, {_WEEKDAYS.index(day) for day in self.days}, special)

    @model_validator(mode="after")
    def _possible(self) -> SessionSettings:
        if self.hours.length_ns <= 0:
            raise mistake(
                "sessions close before they open",
                "correct the times; where a session opens on the evening before, add `overnight: true`",
            )
        if self.hours.length_ns > DAY:
            raise mistake(
                "sessions are longer than a day, and overlap",
                "a session that opens and closes on one day is not `overnight`",
            )
        for day, close_ns in self.early_closes.items():
            if day in self.holidays:
                raise mistake(f"{day} is a holiday and closes early", "keep one of the two")
            if (weekday := _WEEKDAYS[(_number(day) + 3) % 7]) not in self.days:
                raise mistake(f"{day} closes early, but no session closes on a {weekday}", "correct the day")
            if not self.hours.open_ns < close_ns < self.hours.close_ns:
                raise mistake(
                    f"the early close of {day} lies outside the session",
                    "write a time between open and close",
                )
        return self


def _number(day: str) -> int:
    """Days since 1970-01-01."""
    return date.fromisoformat(day).toordinal() - _EPOCH_DAY


def _written(value: object) -> Any:
    if not isinstance(value, (str, Mapping, SessionSettings)):
        raise mistake(
            f"{value!r} is no calendar",
            'write `always`, an exchange, or {zone: America/New_York, open: "09:30", close: "16:00"}',
        )
    return value


def _kind(value: object) -> str:
    return _BY_NAME if isinstance(value, str) else _BY_HOURS


def _name(value: str) -> str:
    if value != _ALWAYS and not difflib.get_close_matches(value, [_ALWAYS]):
        exchange(value)
    elif value != _ALWAYS:
        raise mistake(f"there is no calendar {value!r}", f"did you mean `{_ALWAYS}`?")
    return value


WrittenCalendar = Annotated[
    Annotated[SessionSettings, Tag(_BY_HOURS)] | Annotated[str, AfterValidator(_name), Tag(_BY_NAME)],
    Discriminator(_kind),
    BeforeValidator(_written),
]
"""`always` (a session is the UTC day), hours in a zone, or the name of a calendar of `exchange_calendars`."""


def calendar_of(written: SessionSettings | str) -> Calendar:
    """The calendar that is meant; reads the data of zones and exchanges where it is needed first."""
    if isinstance(written, SessionSettings):
        return written.calendar
    return ALWAYS if written == _ALWAYS else exchange(written)
