"""Sessions in a live run: rules that slept through a dying feed see it at the opening, as in the replay."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from house import configuration, group_of, write_configuration
from simulation import MS, SECOND, START_NS, World
from streams import SYMBOLS, Script, Sent, encode

from monitor.daemon.group import Group
from monitor.engine import deployment, marks
from monitor.policy.schedule import OPENING_NS

DAY = 86_400 * SECOND
MIDNIGHT_NS = START_NS - START_NS % DAY
OPEN_NS, CLOSE_NS = (10 * 3_600 - 60) * SECOND, (10 * 3_600 + 57) * SECOND
"""The market of the script begins at 10:00:54.5 and lasts a second and a half."""


def ns(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000) * MS


@pytest.fixture(scope="module")
def sessions(house: Path) -> Group:
    """A deployment that is awake for two minutes a day, and with a rule that waits for closes."""
    document = configuration(
        house, calendar={"zone": "UTC", "open": "09:59", "close": "10:00:57", "days": ["mon", "tue", "wed"]}
    )
    [desk] = document["deployments"].values()
    desk["policy"]["rules"].append(
        {
            "id": "daily",
            "subject": "deployment",
            "metric": "event_rate",
            "labels": {"stream": "features"},
            "window": "6s",
            "above": 0.001,
            "schedule": "1d",
            "no_data": "alert",
            "action": "alert",
        }
    )
    return group_of(write_configuration(house, document, "sessions.yaml"))


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_feed_that_dies_overnight_is_known_at_the_opening(
    sessions: Group, partitions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "SETTLING_NS", 70 * SECOND)
    world = World(sessions, Script(3, seconds=1.5, start_ns=START_NS, gap_ms=120).messages(), partitions)
    world.quiet(MIDNIGHT_NS + CLOSE_NS + 3 * SECOND, step_ns=200 * MS)
    world.quiet(MIDNIGHT_NS + DAY + OPEN_NS, step_ns=20 * SECOND)
    world.quiet(MIDNIGHT_NS + DAY + CLOSE_NS + 5 * SECOND, step_ns=SECOND)
    world.quiet(MIDNIGHT_NS + 2 * DAY + CLOSE_NS + 5 * SECOND, step_ns=600 * SECOND)
    world.settle()
    assert world.trace.complaints(settled=True) == []
    said = [(ns(e["time"]), e["data"]["rule"], e["data"]["phase"]) for e in world.trace.published()]
    close, dead = MIDNIGHT_NS + CLOSE_NS, MIDNIGHT_NS + DAY + OPEN_NS + OPENING_NS
    assert [each for each in said if each[0] > START_NS + 2 * SECOND] == [
        (close, "daily", "firing"),
        (dead + 100 * MS, "drawdown", "no_data"),
        (dead + 500 * MS, "features-flow", "no_data"),
        (dead + 500 * MS, "orders-flow", "no_data"),
        (MIDNIGHT_NS + DAY + CLOSE_NS, "daily", "no_data"),
    ]
    begun = [mark.at for mark in world.trace.marks() if isinstance(mark, marks.Start)]
    assert begun[-2:] == [MIDNIGHT_NS + DAY + OPEN_NS + 100 * MS, MIDNIGHT_NS + DAY + CLOSE_NS]


def held(exec_id: str, at_ns: int, quantity: int) -> Sent:
    """A position report."""
    message = {
        "order_id": "",
        "exec_id": exec_id,
        "ts_ns": at_ns,
        "symbol": SYMBOLS[0],
        "kind": "position",
        "quantity": quantity,
        "price": "100.00",
        "account": "a1",
        "strategy": "desk",
    }
    return Sent(at_ns + 5 * MS, "orders", SYMBOLS[0].encode(), encode(message))


@pytest.mark.parametrize("partitions", [1, 3])
def test_positions_reported_at_night_are_held_against_the_ledger_after_any_silence(
    sessions: Group, partitions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "SETTLING_NS", 70 * SECOND)
    evening = MIDNIGHT_NS + 16 * 3_600 * SECOND + 5 * 60 * SECOND
    night = [
        held("p1", evening, 1000),
        held("p2", evening + 3_600 * SECOND, 1000),
        held("p3", evening + 4 * 3_600 * SECOND, -7),
        held("p4", evening + 4 * 3_600 * SECOND + 20 * SECOND, 3),
    ]
    world = World(
        sessions, [*Script(3, seconds=1.5, start_ns=START_NS, gap_ms=120).messages(), *night], partitions
    )
    world.quiet(MIDNIGHT_NS + CLOSE_NS + 100 * SECOND, step_ns=200 * MS)
    for each in night[:3]:
        world.quiet(each.clock_ns - 120 * SECOND, step_ns=60 * SECOND)
        assert world.evaluated[-1][1] < each.clock_ns - 1_000 * SECOND
        world.quiet(each.clock_ns + SECOND, step_ns=SECOND)
        world.quiet(each.clock_ns + 40 * SECOND, step_ns=200 * MS)
    world.settle()
    assert world.trace.complaints(settled=True) == []
    said = [
        (ns(e["time"]) - evening, e["data"]["phase"], e["data"]["reason"])
        for e in world.trace.published()
        if e["data"]["rule"] == "reconciliation-break"
    ]
    firing = [(round(at / SECOND), reason) for at, phase, reason in said if phase == "firing"]
    assert [at for at, _ in firing] == [0, 4 * 3_600, 4 * 3_600 + 20]
    assert [reason.partition(" held ")[2] for _, reason in firing][1:] == [
        "1000, the position report says -7; taken over.",
        "-7, the position report says 3; taken over.",
    ]
    assert firing[0][1].startswith(f"the ledger of {SYMBOLS[0]} (account a1) held ")
    assert [phase for _, phase, _ in said] == ["firing", "resolved"] * 3
