"""Sessions in a live run: rules that slept through a dying feed see it at the opening, as in the replay."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from house import configuration, group_of, write_configuration
from simulation import MS, SECOND, START_NS, World
from streams import Script

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
