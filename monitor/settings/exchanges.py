"""Calendars of exchanges by name, as the package `exchange_calendars` (an extra) knows them."""

from __future__ import annotations

import difflib
from collections import Counter
from functools import cache
from typing import Any

from monitor.event_time.calendar import Calendar, Hours
from monitor.settings.mistakes import mistake
from monitor.settings.zones import zone

FIRST, LAST = "1990-01-01", "2050-12-31"
"""Days that are asked for, where the package knows of them: fixed, so that an answer holds in any year."""


@cache
def exchange(name: str) -> Calendar:
    """The calendar of an exchange.

    Every day that the package knows counts as it says, holidays, half days and changes of hours; beyond, the
    hours and weekdays of its last year go on. A pause at noon belongs to the session.

    Raises:
        PydanticCustomError: the package is not installed, or has no such calendar.
    """
    try:
        import exchange_calendars
    except ImportError:
        raise mistake(
            f"the calendar {name!r} needs the package exchange_calendars, which is not installed",
            "pip install 'shadow-monitor[calendars]', or write `always` or sessions: "
            '{zone: America/New_York, open: "09:30", close: "16:00"}',
        ) from None
    if name not in (known := exchange_calendars.get_calendar_names()):
        near = difflib.get_close_matches(name.upper(), known, n=1)
        remedy = f"did you mean `{near[0]}`?" if near else "use `always` or a name such as XNYS, XLON or CMES"
        raise mistake(f"exchange_calendars knows no calendar {name!r}", remedy)
    try:
        return _calendar(exchange_calendars.get_calendar(name))
    except ValueError as error:
        raise mistake(
            f"exchange_calendars cannot work out {name!r}: {str(error)[:100]}",
            "upgrade it, or write the sessions themselves: {zone, open, close, days, holidays}",
        ) from None


def _calendar(recent: Any) -> Calendar:
    kind = type(recent)
    first, last = kind.bound_min(), kind.bound_max()
    exchange = kind(
        FIRST if first is None else max(FIRST, f"{first:%Y-%m-%d}"),
        LAST if last is None else min(LAST, f"{last:%Y-%m-%d}"),
    )
    table = exchange.schedule
    wall = {
        side: (table[side].dt.tz_convert(str(exchange.tz)).dt.tz_localize(None) - table.index).astype(
            "timedelta64[ns]"
        )
        for side in ("open", "close")
    }
    days = table.index.astype("datetime64[s]").astype("int64") // 86_400
    opens, closes = (wall[side].astype("int64").tolist() for side in ("open", "close"))
    sessions = {day: Hours(*hours) for day, *hours in zip(days.tolist(), opens, closes, strict=True)}
    begun, known = min(sessions), max(sessions)
    year = [day for day in sessions if day > known - 365]
    regular, _ = Counter(sessions[day] for day in year).most_common(1)[0]
    weekdays = frozenset((day + 3) % 7 for day in year)
    special = {
        day: sessions.get(day)
        for day in range(begun, known + 1)
        if sessions.get(day) != (regular if (day + 3) % 7 in weekdays else None)
    }
    return Calendar(zone(str(exchange.tz)), regular, weekdays, special)
