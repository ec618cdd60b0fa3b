"""The reason of a rule without data names the currencies without a rate, where that is why."""

from __future__ import annotations

import msgspec
from policy_builders import decider, estimate, rule, run

from monitor.policy.rules import Action, NoData
from monitor.stats.estimate import Status

DRAWDOWN = rule(subject="deployment", action=Action.KILL, no_data=NoData.ALERT)
UNKNOWN = estimate(None, Status.UNKNOWN, n=0)


def test_a_missing_rate_is_named():
    without = msgspec.structs.replace(UNKNOWN, extra={"no_rate": ["CHF", "EUR"]})
    [event] = run(decider(DRAWDOWN), without)
    assert "has no data (status unknown, n = 0, no rate for CHF, EUR) since " in event.data.reason


def test_what_blinds_a_book_is_named():
    extra = {"stale_marks": ["SOL"], "no_position": ["BTC", "ETH"], "no_mark": ["XRP"], "stale_rate": ["EUR"]}
    [event] = run(decider(DRAWDOWN), msgspec.structs.replace(UNKNOWN, extra=extra))
    why = "an old rate of EUR, no position report of BTC, ETH, no mark of XRP, an old mark of SOL"
    assert f"(status unknown, n = 0, {why}) since " in event.data.reason


def test_another_reason_names_none():
    [event] = run(decider(DRAWDOWN), UNKNOWN)
    assert "has no data (status unknown, n = 0) since " in event.data.reason
