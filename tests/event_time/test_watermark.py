from __future__ import annotations

from monitor.event_time.timing import Timing
from monitor.event_time.watermark import Watermark
from monitor.wire.table import NO_TIME

TIMING = Timing(allowed_lateness=20, idle_after=25, idle_grace=200)
STREAMS = ("features", "orders", "outcomes")


def running(features: int, orders: int, streams: tuple[str, ...] = STREAMS) -> Watermark:
    """Features and orders at these bounds at time 0, no outcome ever."""
    time = Watermark(TIMING, streams)
    time.heard("features", features, 0)
    time.heard("orders", orders, 0)
    time.remember(0)
    return time


def test_time_stands_until_every_input_has_spoken_and_never_goes_back() -> None:
    time = running(500, 300)
    assert time.advance() == NO_TIME
    time.heard("outcomes", 200, 1)
    assert time.advance() == 200
    assert time.slowest() == ["outcomes"]
    time.heard("outcomes", 150, 2)
    assert time.advance() == 200


def test_an_input_is_idle_only_after_its_time_and_only_at_an_empty_fetch() -> None:
    time = running(500, 300)
    time.silent("outcomes", 0, 0)
    time.silent("outcomes", 24, 24)
    assert time.advance() == NO_TIME
    time.silent("outcomes", 25, 25)
    assert time.advance() == 300


def test_an_idle_input_follows_the_slowest_that_is_not_idle() -> None:
    time = running(500, 300)
    for now in (0, 30):
        time.silent("outcomes", now, now)
    time.heard("features", 600, 30)
    time.remember(30)
    time.silent("orders", 30, 30)
    assert time.front("orders") == 600
    time.silent("outcomes", 30, 30)
    assert time.advance() == 600


def test_a_raise_goes_by_the_bounds_as_they_stood_when_the_empty_fetch_was_sent() -> None:
    time = running(500, 300, STREAMS[:2])
    time.remember(40)
    time.heard("features", 900, 50)
    time.remember(60)
    time.silent("orders", 70, 45)
    assert time.front("orders") == 500
    time.silent("orders", 70, 60)
    assert time.front("orders") == 900


def test_a_fetch_older_than_all_that_is_remembered_raises_nothing() -> None:
    time = running(500, 300, STREAMS[:2])
    for now in range(0, 2_000, 10):
        time.heard("features", 500 + now, now)
        time.remember(now)
    time.silent("orders", 2_000, 1_000)
    assert time.front("orders") == 300
    time.silent("orders", 2_000, 1_990)
    assert time.front("orders") == 2_490


def test_when_all_are_idle_time_goes_to_the_largest_of_bounds_others_and_clock() -> None:
    for others, clock, expected in (
        (NO_TIME, 100, 500),
        (800, 100, 800),
        (800, 1_300, 1_100),
        (NO_TIME, 900, 700),
    ):
        time = running(500, 300)
        time.silent("outcomes", 0, 0)
        for stream in STREAMS:
            time.silent(stream, clock, clock)
        assert time.all_idle
        time.remember(clock, others)
        for stream in STREAMS:
            time.silent(stream, clock, clock)
        assert time.advance() == expected


def test_after_a_pause_the_clock_counts_as_it_stood_when_the_fetch_was_sent() -> None:
    time = running(500, 300)
    time.silent("outcomes", 0, 0)
    for stream in STREAMS:
        time.silent(stream, 90_000, 30)
    assert time.advance() <= 500


def test_after_a_pause_other_tasks_count_as_they_stood_when_the_fetch_was_sent() -> None:
    time = running(500, 300)
    time.silent("outcomes", 0, 0)
    time.remember(30, 700)
    time.remember(40, 900)
    for stream in (*STREAMS, *STREAMS):
        time.silent(stream, 100, 35)
    assert time.advance() == 700


def test_one_row_ends_idleness() -> None:
    time = running(500, 300)
    for now in (0, 30):
        time.silent("outcomes", now, now)
    time.heard("outcomes", NO_TIME, 31)
    assert not time.all_idle
    time.silent("outcomes", 55, 55)
    assert time.front("outcomes") == 300
    time.heard("orders", 400, 56)
    time.remember(56)
    time.silent("outcomes", 56, 56)
    assert time.front("outcomes") == 400


def test_an_ended_input_holds_nothing_back() -> None:
    time = running(500, 300)
    time.end("outcomes")
    assert time.advance() == 300
    time.end("orders")
    assert time.slowest() == ["features"]
    assert time.advance(until=450) == 450
    time.end("features")
    assert time.slowest() == []
    assert time.advance() == 450
    time.finish(700)
    assert time.value == 700
