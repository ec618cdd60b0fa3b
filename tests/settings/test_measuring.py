"""What books cannot be measured by is refused: pairs without a mark, grids off the tick."""

from __future__ import annotations

import pytest
from configurations import REMOVED, only_problem, problems, settings

AT = "deployments.btc"


@pytest.mark.parametrize(
    ("fx", "says"),
    [
        ({"EURUSD": "EURUSX"}, "is no instrument"),
        ({"EURGBP": "BTCUSD"}, "no currency of capital (USD)"),
        ({"USD": "BTCUSD"}, "no currency of capital (USD)"),
    ],
)
def test_a_pair_that_converts_nothing_is_refused(fx, says):
    found = only_problem({"fx": fx})
    assert found.key == f"fx.{next(iter(fx))}"
    assert says in found.message


def test_pairs_of_either_direction_and_of_open_instruments_are_taken():
    assert not problems({"fx": {"EURUSD": "BTCUSD", "USDJPY": "BTCUSD"}})
    assert not problems({"fx": {"EURUSD": "anything"}, "instruments": "open"})


@pytest.mark.parametrize(
    ("change", "key", "says"),
    [
        ({f"{AT}.performance.grid": "150ms"}, "performance.grid", "multiple of grids.tick"),
        ({f"{AT}.performance.benchmark": "BTCUSX"}, "performance.benchmark", "no instrument"),
        ({f"{AT}.performance.min_returns": 1}, "performance.min_returns", ""),
        ({f"{AT}.performance.max_position_gap": -0.1}, "performance.max_position_gap", ""),
        ({f"{AT}.sequences.pnl": {"margin": 3, "bound": 2}}, "sequences.pnl", "never reached"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, key, says):
    found = only_problem(change)
    assert found.key == f"{AT}.{key}"
    assert says in found.message


def test_without_capital_what_needs_it_is_refused_and_the_rest_is_not():
    rule = {"id": "x", "subject": "deployment", "metric": "sharpe", "window": "session", "below": 0,
            "labels": {"role": "active", "fills": "real"}, "action": "alert"}  # fmt: skip
    bare = {f"{AT}.capital": REMOVED, f"{AT}.policy.rules": [rule]}
    assert not problems(bare)
    for metric in ("drawdown", "pnl_vs_benchmark"):
        found = only_problem({**bare, f"{AT}.policy.rules": [{**rule, "metric": metric}]})
        assert "measured against capital" in found.message
    found = only_problem({**bare, f"{AT}.sequences.pnl.bound": 2})
    assert found.key == f"{AT}.sequences.pnl.bound"


def test_what_is_not_written_is_a_minute_a_week_and_twenty_returns():
    performance = settings().deployments["btc"].performance
    assert performance.grid_ns == 60 * 10**9
    assert performance.daily_from_ns == 7 * 86_400 * 10**9
    assert (performance.min_returns, performance.benchmark) == (20, "traded")
    assert settings().deployments["btc"].sequences.pnl.bound is None
