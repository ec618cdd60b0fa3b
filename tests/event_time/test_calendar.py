"""Sessions by the clock on the wall, across changes of the clocks, holidays and midnight."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.event_time.calendar import ALWAYS, Calendar, Hours, Session
from monitor.event_time.timing import DAY_NS

HOUR = 3_600 * 10**9
NEW_YORK = ZoneInfo("America/New_York")
FLOOR = Hours(9 * HOUR + HOUR // 2, 16 * HOUR)
FUTURES = Hours(-6 * HOUR, 17 * HOUR)


def day(text: str) -> int:
    return date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal()


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def shown(session: Session | None) -> tuple[str, str] | None:
    """As UTC, to the minute."""
    if session is None:
        return None
    start, end = (datetime.fromtimestamp(at // 10**9, UTC).strftime("%m-%dT%H:%M") for at in session)
    return start, end


def floor(special: dict[str, Hours | None] | None = None) -> Calendar:
    given = {day(name): hours for name, hours in (special or {}).items()}
    return Calendar(NEW_YORK, FLOOR, range(5), given)


def test_the_floor_opens_an_hour_earlier_by_utc_when_clocks_go_forward():
    assert shown(floor().session_at(ns("2026-03-06T20:59:59Z"))) == ("03-06T14:30", "03-06T21:00")
    assert floor().session_at(ns("2026-03-06T21:00:00Z")) is None
    assert shown(floor().next_session(ns("2026-03-06T14:31:00Z"))) == ("03-09T13:30", "03-09T20:00")


def test_the_floor_opens_an_hour_later_by_utc_when_clocks_go_back():
    assert shown(floor().last_session(ns("2026-10-31T12:00:00Z"))) == ("10-30T13:30", "10-30T20:00")
    assert shown(floor().session_at(ns("2026-11-02T14:30:00Z"))) == ("11-02T14:30", "11-02T21:00")


@pytest.mark.parametrize(
    ("sunday_noon", "before", "after", "hours"),
    [
        ("2026-03-08T17:00:00Z", ("03-05T23:00", "03-06T22:00"), ("03-08T22:00", "03-09T21:00"), 23),
        ("2026-11-01T17:00:00Z", ("10-29T22:00", "10-30T21:00"), ("11-01T23:00", "11-02T22:00"), 23),
    ],
)
def test_the_first_futures_session_of_the_week_opens_on_sunday_evening(sunday_noon, before, after, hours):
    futures = Calendar(NEW_YORK, FUTURES, range(5))
    noon = ns(sunday_noon)
    assert not futures.is_open(noon)
    assert shown(futures.last_session(noon)) == before
    monday = futures.next_session(noon)
    assert shown(monday) == after
    assert monday is not None
    assert monday.end_ns - monday.start_ns == hours * HOUR
    assert futures.session_at(monday.start_ns + 3 * HOUR) == monday


@pytest.mark.parametrize(
    ("changed", "hours"), [("2026-03-08", 22), ("2026-11-01", 24), ("2026-03-09", 23), ("2026-11-02", 23)]
)
def test_the_session_in_which_clocks_change_is_an_hour_shorter_or_longer(changed, hours):
    everyday = Calendar(NEW_YORK, FUTURES, range(7))
    session = everyday.session_at(ns(f"{changed}T12:00:00Z"))
    assert session is not None
    assert session.end_ns - session.start_ns == hours * HOUR


def test_a_time_that_is_skipped_is_the_jump_and_one_that_comes_twice_the_first():
    night = Calendar(NEW_YORK, Hours(2 * HOUR + HOUR // 2, 5 * HOUR), range(7))
    assert shown(night.next_session(ns("2026-03-08T05:00:00Z"))) == ("03-08T07:00", "03-08T09:00")
    late = Calendar(NEW_YORK, Hours(HOUR + HOUR // 2, 5 * HOUR), range(7))
    assert shown(late.next_session(ns("2026-11-01T05:00:00Z"))) == ("11-01T05:30", "11-01T10:00")
    swallowed = Calendar(NEW_YORK, Hours(2 * HOUR + 1800 * 10**9, 3 * HOUR), range(7))
    assert shown(swallowed.next_session(ns("2026-03-08T05:00:00Z"))) == ("03-09T06:30", "03-09T07:00")


def test_holidays_have_no_session_and_half_days_end_early():
    calendar = floor({"2026-11-26": None, "2026-11-27": Hours(FLOOR.open_ns, 13 * HOUR)})
    thanksgiving = ns("2026-11-26T18:00:00Z")
    assert not calendar.is_open(thanksgiving)
    assert shown(calendar.last_session(thanksgiving)) == ("11-25T14:30", "11-25T21:00")
    friday = calendar.next_session(thanksgiving)
    assert shown(friday) == ("11-27T14:30", "11-27T18:00")
    assert friday is not None
    assert calendar.open_between(thanksgiving, ns("2026-11-30T15:00:00Z")) == 4 * HOUR


def test_a_session_on_a_day_that_has_none_by_rule():
    calendar = floor({"2026-01-03": Hours(10 * HOUR, 12 * HOUR)})
    assert shown(calendar.session_at(ns("2026-01-03T16:00:00Z"))) == ("01-03T15:00", "01-03T17:00")


def test_always_is_the_utc_day_and_365_of_them_a_year():
    at = ns("2026-03-08T07:30:00Z")
    assert shown(ALWAYS.session_at(at)) == ("03-08T00:00", "03-09T00:00")
    assert ALWAYS.last_session(at) == ALWAYS.session_at(at)
    assert ALWAYS.sessions_per_year == 365
    assert ALWAYS.open_ns_per_year == 525_600 * 60 * 10**9
    assert ALWAYS.open_between(5, 10 * DAY_NS) == 10 * DAY_NS - 5


def test_a_year_counts_its_holidays_and_half_days():
    assert floor().sessions_per_year == pytest.approx(365 * 5 / 7)
    # 2026 has 261 weekdays.
    calendar = floor({"2026-12-25": None, "2026-12-24": Hours(FLOOR.open_ns, 13 * HOUR)})
    assert calendar.sessions_per_year == 260
    assert calendar.open_ns_per_year == 260 * 6.5 * HOUR - 3 * HOUR


@pytest.mark.parametrize(
    ("hours", "weekdays", "special", "what"),
    [
        (FLOOR, (), {}, "no day"),
        (Hours(HOUR, HOUR), range(5), {}, "close before"),
        (Hours(-10 * HOUR, 17 * HOUR), range(5), {}, "overlap"),
        (Hours(1, HOUR), range(5), {}, "whole seconds"),
        (FUTURES, range(5), {"2026-01-06": Hours(-8 * HOUR, 17 * HOUR)}, "2026-01-06 begins before"),
        (FUTURES, range(5), {"2026-01-06": Hours(-6 * HOUR, 19 * HOUR)}, "2026-01-06 ends after"),
        (FLOOR, range(5), {"2026-01-06": Hours(9 * HOUR, 8 * HOUR)}, "2026-01-06 close before"),
    ],
)
def test_sessions_that_cannot_be_are_refused(hours, weekdays, special, what):
    with pytest.raises(ValueError, match=what):
        Calendar(NEW_YORK, hours, weekdays, {day(name): given for name, given in special.items()})


def test_a_calendar_of_holidays_alone_has_no_last_session():
    closed = {day("2026-01-01") + i: None for i in range(900)}
    calendar = Calendar(NEW_YORK, FLOOR, range(5), closed)
    at = (day("2026-01-01") + 450) * DAY_NS
    assert (calendar.last_session(at), calendar.next_session(at)) == (None, None)


ZONES = [
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Pacific/Apia",
    "America/Sao_Paulo",
]
HALF_HOURS = st.integers(-24, 47)


@st.composite
def calendars(draw: st.DrawFn) -> tuple[str, Hours, frozenset[int], dict[int, Hours | None]]:
    start = draw(HALF_HOURS)
    hours = Hours(start * HOUR // 2, draw(st.integers(start + 1, min(start + 48, 48))) * HOUR // 2)
    middle = (hours.open_ns + hours.length_ns // 2) // 10**9 * 10**9
    other = st.sampled_from([None, Hours(hours.open_ns, middle), Hours(middle, hours.close_ns)])
    special = draw(st.dictionaries(st.integers(13_800, 16_500), other, max_size=5))
    weekdays = draw(st.frozensets(st.integers(0, 6), min_size=1))
    return draw(st.sampled_from(ZONES)), hours, weekdays, special


def made(drawn: tuple[str, Hours, frozenset[int], dict[int, Hours | None]]) -> Calendar:
    zone, *rest = drawn
    return Calendar(ZoneInfo(zone), *rest)


TIMES = st.integers(13_800 * DAY_NS, 16_500 * DAY_NS)
"""2007 to 2015: Apia skips a day in December 2011, Lord Howe changes by half an hour."""


@given(calendars(), st.lists(TIMES, min_size=1, max_size=20), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_sessions_hold_what_they_are_asked_for_whatever_was_asked_before(drawn, times, rng: random.Random):
    calendar, other = made(drawn), made(drawn)
    answers = {}
    for at in times:
        session, last, following = (
            f(at) for f in (calendar.session_at, calendar.last_session, calendar.next_session)
        )
        answers[at] = (session, last, following)
        assert calendar.is_open(at) == (session is not None)
        if session is not None:
            assert session.start_ns <= at < session.end_ns
            assert last == session
        if last is not None:
            assert last.start_ns <= at
            assert calendar.session_at(last.start_ns) == calendar.session_at(last.end_ns - 1) == last
        if last is not None and following is not None:
            assert last == following or last.end_ns <= following.start_ns
            assert at <= following.start_ns
            assert calendar.last_session(following.start_ns - 1) == (
                last if at < following.start_ns else calendar.last_session(at - 1)
            )
    again = list(answers)
    rng.shuffle(again)
    for at in again:
        assert (other.session_at(at), other.last_session(at), other.next_session(at)) == answers[at]


@given(calendars(), TIMES, st.integers(0, 40 * DAY_NS))
@settings(max_examples=60)
def test_open_time_is_that_of_the_sessions_one_by_one(drawn, start, length):
    calendar, end = made(drawn), start + length
    total, at = 0, start
    while at < end:
        session = calendar.session_at(at)
        if session is None:
            following = calendar.next_session(at)
            at = end if following is None else following.start_ns
        else:
            total += min(session.end_ns, end) - at
            at = session.end_ns
    assert calendar.open_between(start, end) == total


@given(calendars(), TIMES)
@settings(max_examples=100)
def test_the_wall_shows_the_hours_where_clocks_do_not_change(drawn, at):
    zone, hours, weekdays, special = drawn
    session = made(drawn).last_session(at)
    if session is None:
        return
    start, end = (datetime.fromtimestamp(s // 10**9, UTC).astimezone(ZoneInfo(zone)) for s in session)
    if (start - timedelta(days=2)).utcoffset() != (end + timedelta(days=2)).utcoffset():
        return
    closes = start.replace(tzinfo=None) - timedelta(seconds=hours.open_ns / 1e9)
    each = special.get((closes.date() - date(1970, 1, 1)).days, hours)
    if each != hours:
        return
    assert closes.time().isoformat() == "00:00:00"
    assert closes.weekday() in weekdays or (closes.date() - date(1970, 1, 1)).days in special
    assert (end - start) == timedelta(seconds=hours.length_ns / 1e9)
