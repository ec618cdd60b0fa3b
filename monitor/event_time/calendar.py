"""`Calendar`: when a deployment's sessions are, for any instant of event time.

Pure: it is given a time zone and reads no file and no clock. It has no last day: the sessions of a day are
worked out when they are asked for, from the rule of the week and the days that differ from it, so that a
program that runs for years needs no new table, and no answer depends on what was asked before.

An instant T of the evaluation grid stands for the events before it: its session is that of `T - 1`, so that
the instant at which a session ends still belongs to it, also where the next one begins there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from typing import NamedTuple

from monitor.event_time.timing import DAY_NS, SECOND_NS

YEAR_DAYS = 365
"""Of a year that figures are scaled to: `always` has 365 sessions and 525,600 minutes a year."""

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1)
_KEPT_DAYS = 4096
_LONGEST_PAUSE = 400
"""Days without a session after which a calendar counts as having none."""


class Session(NamedTuple):
    """Nanoseconds since the Unix epoch, half open: `start_ns <= t < end_ns`."""

    start_ns: int
    end_ns: int


class Hours(NamedTuple):
    """Open and close by the clock on the wall: ns since midnight of the session's day, whole seconds.

    The session's day is the local day on which it closes; a negative `open_ns` is the evening before.
    """

    open_ns: int
    close_ns: int

    @property
    def length_ns(self) -> int:
        """Time from open to close where the clocks do not change."""
        return self.close_ns - self.open_ns


class Calendar:
    """Sessions of `hours` on the given weekdays in a zone, but for the `special` days.

    Where clocks go forward, a time that is skipped is the instant of the jump; where they go back, a time
    that comes twice is the first. So sessions never overlap, and those that meet on the wall meet in fact.

    >>> from zoneinfo import ZoneInfo
    >>> hour = 3_600_000_000_000
    >>> floor = Calendar(ZoneInfo("America/New_York"), Hours(9 * hour + hour // 2, 16 * hour), range(5))
    >>> friday = floor.last_session(1_772_928_000 * SECOND_NS)  # Sunday 2026-03-08, clocks have changed
    >>> [datetime.fromtimestamp(ns / 1e9, UTC).isoformat() for ns in friday]
    ['2026-03-06T14:30:00+00:00', '2026-03-06T21:00:00+00:00']
    >>> monday = floor.next_session(friday.end_ns)
    >>> datetime.fromtimestamp(monday.start_ns / 1e9, UTC).isoformat()
    '2026-03-09T13:30:00+00:00'

    Args:
        zone: the clock on the wall.
        hours: of a regular session.
        weekdays: on which sessions close, 0 = Monday.
        special: by day since 1970-01-01: other hours, or None for a day without session.

    Raises:
        ValueError: no weekday, or sessions that overlap or have no length.
    """

    def __init__(
        self,
        zone: tzinfo,
        hours: Hours,
        weekdays: Collection[int],
        special: Mapping[int, Hours | None] | None = None,
    ) -> None:
        self.hours = hours
        self.zone, self._weekdays, self._special = zone, frozenset(weekdays), dict(special or {})
        if not self._weekdays:
            raise ValueError("no day of the week has a session")
        if hours.length_ns > DAY_NS:
            raise ValueError("sessions are longer than a day and overlap")
        self._check(hours, "regular hours")
        for day in self._special:
            self._check_special(day)
        self._sessions: dict[int, Session | None] = {}
        self._near = Session(0, 0)

    def session_at(self, ns: int) -> Session | None:
        """The session that the time `ns` lies in."""
        if self._near.start_ns <= ns < self._near.end_ns:
            return self._near
        day = ns // DAY_NS
        for session in self._between(day - 2, day + 2):
            if session.start_ns <= ns < session.end_ns:
                self._near = session
                return session
        return None

    def is_open(self, ns: int) -> bool:
        """Whether the time `ns` lies in a session."""
        return self.session_at(ns) is not None

    def last_session(self, ns: int) -> Session | None:
        """The running session, else the one that ended last; None after 400 days without."""
        if (running := self.session_at(ns)) is not None:
            return running
        day = ns // DAY_NS
        for each in range(day + 2, day - _LONGEST_PAUSE, -1):
            session = self._session_of(each)
            if session is not None and session.start_ns <= ns:
                return session
        return None

    def next_session(self, ns: int) -> Session | None:
        """The first session that starts at `ns` or later; None where there is none for 400 days."""
        day = ns // DAY_NS
        return next((s for s in self._between(day - 2, day + _LONGEST_PAUSE) if s.start_ns >= ns), None)

    def open_between(self, from_ns: int, to_ns: int) -> int:
        """How many of the nanoseconds `from_ns <= t < to_ns` lie in sessions."""
        near = self._near
        if near.start_ns <= from_ns <= to_ns <= near.end_ns:
            return to_ns - from_ns
        days = self._between(from_ns // DAY_NS - 2, to_ns // DAY_NS + 2)
        return sum(max(0, min(s.end_ns, to_ns) - max(s.start_ns, from_ns)) for s in days)

    @property
    def sessions_per_year(self) -> float:
        """Sessions in 365 days.

        Counted over the whole years from the first to the last special day, or from the week alone where no
        day is special: a week of five days has 260.7, an exchange with its holidays about 252.
        """
        return self._year[0]

    @property
    def open_ns_per_year(self) -> float:
        """Nanoseconds in sessions in 365 days, counted as the sessions are; by the clock on the wall."""
        return self._year[1]

    @cached_property
    def _year(self) -> tuple[float, float]:
        if not self._special:
            count = len(self._weekdays) * YEAR_DAYS / 7
            return count, count * self.hours.length_ns
        first = date.fromordinal(min(self._special) + _EPOCH_DAY).year
        last = date.fromordinal(max(self._special) + _EPOCH_DAY).year
        start, end = (date(year, 1, 1).toordinal() - _EPOCH_DAY for year in (first, last + 1))
        lengths = [h.length_ns for day in range(start, end) if (h := self._hours_of(day)) is not None]
        return len(lengths) * YEAR_DAYS / (end - start), sum(lengths) * YEAR_DAYS / (end - start)

    def _between(self, first: int, last: int) -> Iterator[Session]:
        """The sessions of days `first` to `last`, in order."""
        for day in range(first, last + 1):
            if (session := self._session_of(day)) is not None:
                yield session

    def _session_of(self, day: int) -> Session | None:
        if day in self._sessions:
            return self._sessions[day]
        if len(self._sessions) >= _KEPT_DAYS:
            self._sessions.clear()
        session = self._sessions[day] = self._made(day)
        return session

    def _made(self, day: int) -> Session | None:
        hours = self._hours_of(day)
        if hours is None:
            return None
        start, end = (self._instant(day * DAY_NS + wall_ns) for wall_ns in hours)
        # A change of the clocks may swallow a session whole.
        return Session(start, end) if start < end else None

    def _hours_of(self, day: int) -> Hours | None:
        if day in self._special:
            return self._special[day]
        return self.hours if (day + _EPOCH_DAY - 1) % 7 in self._weekdays else None

    def _instant(self, wall_ns: int) -> int:
        """The instant at which the wall shows `wall_ns`, ns since 1970-01-01T00:00 there."""
        wall_s = wall_ns // SECOND_NS
        before, after = self._offset(wall_s, 0), self._offset(wall_s, 1)
        if after <= before:
            return (wall_s - before) * SECOND_NS
        # Skipped: the jump lies between what the two offsets say.
        low, high = wall_s - after, wall_s - before
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset_at(middle) == before:
                low = middle
            else:
                high = middle
        return high * SECOND_NS

    def _offset(self, wall_s: int, fold: int) -> int:
        """Seconds ahead of UTC when the wall shows that time, first (0) or again (1)."""
        shown = (_EPOCH + timedelta(seconds=wall_s)).replace(tzinfo=self.zone, fold=fold)
        return _seconds(shown)

    def _offset_at(self, utc_s: int) -> int:
        return _seconds((_EPOCH + timedelta(seconds=utc_s)).replace(tzinfo=UTC).astimezone(self.zone))

    def _check(self, hours: Hours, what: str) -> None:
        if hours.length_ns <= 0:
            raise ValueError(f"{what} close before they open")
        if hours.open_ns % SECOND_NS or hours.close_ns % SECOND_NS:
            raise ValueError(f"{what} are no whole seconds")

    def _check_special(self, day: int) -> None:
        hours, name = self._special[day], date.fromordinal(day + _EPOCH_DAY)
        if hours is None:
            return
        self._check(hours, f"the hours of {name}")
        before, after = self._hours_of(day - 1), self._hours_of(day + 1)
        if before is not None and before.close_ns - DAY_NS > hours.open_ns:
            raise ValueError(f"the session of {name} begins before the one before it ends")
        if after is not None and after.open_ns + DAY_NS < hours.close_ns:
            raise ValueError(f"the session of {name} ends after the next one begins")


def _seconds(at: datetime) -> int:
    offset = at.utcoffset()
    assert offset is not None, "a zone has an offset at any time"
    return round(offset.total_seconds())


ALWAYS = Calendar(UTC, Hours(0, DAY_NS), range(7))
"""Open all the time; a session is the UTC day."""
