"""Calendars as written: what is taken, what it means, and what is refused with which remedy."""

from __future__ import annotations

import sys
import zoneinfo
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import exchange_calendars
import pytest
from configurations import only_problem, problems, settings

from monitor.event_time.calendar import Calendar, Session
from monitor.settings import zones
from monitor.settings.calendars import calendar_of
from monitor.settings.digest import config_sha256
from monitor.settings.exchanges import exchange
from monitor.settings.quantities import DAY, HOUR

KEY = "deployments.btc.calendar"
FLOOR = {"zone": "America/New_York", "open": "09:30", "close": "16:00"}
FUTURES = {"zone": "America/New_York", "open": "18:00", "close": "17:00", "overnight": True}


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def calendar(written: Any) -> Calendar:
    return calendar_of(settings(deployments__btc__calendar=written).deployments["btc"].calendar)


def shown(session: Session | None) -> list[str]:
    return [datetime.fromtimestamp(at // 10**9, UTC).strftime("%m-%dT%H:%M") for at in session or ()]


def test_sessions_are_hours_on_weekdays_in_a_zone_but_for_holidays_and_half_days():
    floor = calendar({**FLOOR, "holidays": ["2026-11-26"], "early_closes": {"2026-11-27": "13:00"}})
    assert shown(floor.session_at(ns("2026-11-25T15:00Z"))) == ["11-25T14:30", "11-25T21:00"]
    assert shown(floor.next_session(ns("2026-11-25T22:00Z"))) == ["11-27T14:30", "11-27T18:00"]


def test_overnight_sessions_are_named_by_the_day_on_which_they_close():
    futures = calendar({**FUTURES, "holidays": ["2026-12-25"], "early_closes": {"2026-12-24": "12:15"}})
    assert shown(futures.next_session(ns("2026-11-28T12:00Z"))) == ["11-29T23:00", "11-30T22:00"]
    assert shown(futures.session_at(ns("2026-12-24T00:00Z"))) == ["12-23T23:00", "12-24T17:15"]
    assert shown(futures.next_session(ns("2026-12-24T18:00Z"))) == ["12-27T23:00", "12-28T22:00"]


def test_a_day_may_end_at_24_00_and_sessions_may_meet():
    whole = calendar({"zone": "UTC", "open": "00:00", "close": "24:00"})
    monday = whole.session_at(ns("2026-03-02T23:59Z"))
    assert monday == (ns("2026-03-02T00:00Z"), ns("2026-03-03T00:00Z"))
    forex = calendar({**FUTURES, "open": "17:00"})
    assert forex.open_between(ns("2026-03-01T22:00Z"), ns("2026-03-06T22:00Z")) == 5 * DAY


@pytest.mark.parametrize(
    ("written", "key", "message", "remedy"),
    [
        ({**FLOOR, "zone": "America/NewYork"}, ".zone", "no time zone", "did you mean `America/New_York`?"),
        ({**FLOOR, "zone": "../etc/passwd"}, ".zone", "no time zone", "IANA name"),
        ({**FLOOR, "open": "16:00", "close": "09:30"}, "", "close before they open", "overnight: true"),
        ({**FLOOR, "close": "09:30"}, "", "close before they open", "overnight: true"),
        ({**FLOOR, "overnight": True}, "", "longer than a day, and overlap", "is not `overnight`"),
        ({**FLOOR, "open": "9:30"}, ".open", "is not a time of day", '"09:30"'),
        ({**FLOOR, "open": 570}, ".open", "is not a time of day", "in quotes"),
        ({**FLOOR, "close": "25:00"}, ".close", "is not a time of day", '"09:30"'),
        ({**FLOOR, "days": ["mon", "tues"]}, ".days[1]", "not a day of the week", "did you mean `tue`?"),
        ({**FLOOR, "days": ["mon", "mon"]}, ".days", "twice", "once"),
        ({**FLOOR, "days": []}, ".days", "is empty", "add an entry"),
        ({**FLOOR, "holidays": ["25.12.2026"]}, ".holidays[0]", "is not a date", "2026-12-25"),
        ({**FLOOR, "holidays": ["1066-10-14"]}, ".holidays[0]", "is not a date", "2026-12-25"),
        ({**FLOOR, "holidays": ["2026-12-25", "2026-12-25"]}, ".holidays", "twice", "once"),
        ({**FLOOR, "early_closes": {"2026-11-28": "13:00"}}, "", "no session closes on a sat", "the day"),
        ({**FLOOR, "early_closes": {"2026-11-27": "17:00"}}, "", "outside the session", "between"),
        ({**FLOOR, "early_closes": {"2026-11-27": "09:00"}}, "", "outside the session", "between"),
        (
            {**FLOOR, "early_closes": {"2026-11-27": "13:00"}, "holidays": ["2026-11-27"]},
            "",
            "is a holiday and closes early",
            "keep one",
        ),
        ({"zone": "UTC", "open": "09:30"}, ".close", "is required and missing", "add `close: ...`"),
        ({**FLOOR, "holiday": []}, ".holiday", "unknown key", "did you mean `holidays`?"),
        ("Always", "", "no calendar 'Always'", "did you mean `always`?"),
        ("xnys", "", "no calendar 'xnys'", "did you mean `XNYS`?"),
        ("mine", "", "no calendar 'mine'", "such as XNYS"),
        (5, "", "5 is no calendar", "write `always`"),
        (None, "", "None is no calendar", "write `always`"),
    ],
)
def test_a_calendar_that_cannot_be_is_one_problem_with_a_remedy(written, key, message, remedy):
    found = only_problem({KEY: written})
    assert found.key == KEY + key
    assert message in found.message
    assert remedy in found.remedy


def test_a_name_without_the_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    exchange.cache_clear()
    found = only_problem({KEY: "XNYS"})
    assert "needs the package exchange_calendars, which is not installed" in found.message
    assert "shadow-monitor[calendars]" in found.remedy
    assert problems({KEY: FLOOR}) == []


@pytest.mark.parametrize("name", ["XNYS", "CMES", "24/7"])
def test_a_named_exchange_has_the_sessions_that_the_package_gives_it(name):
    ours = calendar(name)
    table = exchange_calendars.get_calendar(name, start="2019-01-01", end="2027-12-31").schedule
    theirs = [
        Session(opens.as_unit("ns").value, closes.as_unit("ns").value)
        for opens, closes in zip(table["open"], table["close"], strict=True)
    ]
    assert len(theirs) > 2000
    assert [ours.session_at(session.start_ns) for session in theirs] == theirs
    assert [ours.next_session(before.end_ns) for before in theirs[:-1]] == theirs[1:]


def test_the_year_of_an_exchange_has_about_252_sessions():
    assert calendar("XNYS").sessions_per_year == pytest.approx(252, abs=1)
    assert calendar("XNYS").open_ns_per_year / HOUR == pytest.approx(252 * 6.5, abs=20)


def test_beyond_what_the_package_knows_the_week_goes_on():
    christmas = ns("2060-12-27T15:00Z")
    assert shown(calendar("XNYS").session_at(christmas)) == ["12-27T14:30", "12-27T21:00"]


def test_an_instrument_has_the_calendar_of_the_deployment_or_always():
    both = {KEY: FLOOR, "instruments.BTCUSD.calendar": FLOOR}
    assert problems(both) == problems({KEY: FLOOR, "instruments.BTCUSD.calendar": "always"}) == []
    other = {**both, "instruments.BTCUSD.calendar": {**FLOOR, "close": "15:00"}}
    for written in ({**both, KEY: "always"}, other):
        found = only_problem(written)
        assert found.key == "instruments.BTCUSD.calendar"
        assert "differs from the calendar of btc" in found.message
        assert "deployment" in found.remedy


@pytest.mark.parametrize(("schedule", "refused"), [("1d", False), ("6h", False), ("7h", True), ("7d", True)])
def test_a_rule_that_may_never_be_awake_is_refused(schedule, refused):
    rule = "deployments.btc.policy.rules.0.schedule"
    assert problems({rule: schedule}) == []
    if refused:
        found = only_problem({KEY: FLOOR, rule: schedule})
        assert "longer than a session" in found.message
        assert "1d: once a session, at its close" in found.remedy
    else:
        assert problems({KEY: FLOOR, rule: schedule}) == []


def test_the_digest_follows_what_the_calendar_says_not_how_it_is_written():
    def digest(written: Any) -> str:
        return config_sha256(settings(deployments__btc__calendar=written), "btc")

    plain = digest(FLOOR)
    assert digest({**FLOOR, "days": ["fri", "mon", "tue", "wed", "thu"], "open": "09:30:00"}) == plain
    others = [
        "always",
        "XNYS",
        {**FLOOR, "zone": "America/Chicago"},
        {**FLOOR, "close": "16:15"},
        {**FLOOR, "holidays": ["2026-12-25"]},
        {**FLOOR, "early_closes": {"2026-12-24": "13:00"}},
    ]
    assert len({plain, *map(digest, others)}) == len(others) + 1


def test_zones_are_those_of_the_package_and_not_of_the_machine(tmp_path):
    (tmp_path / "America").mkdir()
    utc = (files("tzdata") / "zoneinfo" / "UTC").read_bytes()
    (tmp_path / "America" / "New_York").write_bytes(utc)
    zoneinfo.reset_tzpath([str(tmp_path)])
    zones.zone.cache_clear()
    try:
        assert shown(calendar(FLOOR).session_at(ns("2026-07-01T15:00Z"))) == ["07-01T13:30", "07-01T20:00"]
    finally:
        zoneinfo.reset_tzpath()
    assert {"UTC", "America/New_York", "Asia/Tokyo"} <= zones.zone_names()
