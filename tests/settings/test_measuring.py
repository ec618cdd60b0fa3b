"""What books cannot be measured by is refused: pairs without a mark, grids off the tick."""

from __future__ import annotations

import pytest
from configurations import REMOVED, example, only_problem, problems, settings

AT = "deployments.btc"


EUROS = {"instruments.EURUSD": {"tick_size": "0.0001"}, "fx": {"EURUSD": "EURUSD"}}


@pytest.mark.parametrize(
    ("fx", "says"),
    [
        ({"EURUSD": "EURUSX"}, "is no instrument"),
        ({"EURGBP": "BTCUSD"}, "no currency of capital (USD)"),
        ({"USD": "BTCUSD"}, "is not two currencies written together"),
        ({"EUR/USD": "BTCUSD"}, "is not two currencies written together"),
        ({"USDUSD": "BTCUSD"}, "price of a currency in itself"),
        ({"EURUSD": "BTCUSD"}, "and BTCUSD that of one BTC"),
        ({"USDJPY": "BTCUSD"}, "price of one USD in JPY, and that of BTCUSD is in USD"),
    ],
)
def test_a_pair_that_converts_nothing_is_refused(fx, says):
    found = only_problem({"fx": fx})
    assert found.key == f"fx.{next(iter(fx))}"
    assert says in found.message


def test_pairs_of_either_direction_and_of_open_instruments_are_taken():
    assert not problems({**EUROS, "instruments.YEN": {"currency": "JPY"}, "fx.USDJPY": "YEN"})
    assert not problems({"fx": {"EURUSD": "anything"}, "instruments": "open"})
    future = {"instruments.6E": {"tick_size": "0.00005", "multiplier": "125000", "currency": "USD"}}
    assert not problems({**future, "fx": {"EURUSD": "6E"}})


def test_executions_are_remembered_as_long_as_duplicates_are_at_least():
    found = only_problem({f"{AT}.books.exec_horizon": "1s"})
    assert found.key == f"{AT}.books.exec_horizon"
    assert "booked twice" in found.message
    assert not problems({f"{AT}.books.exec_horizon": "1s", "event_time.dedupe_window": "1s"})


def test_a_pair_and_its_inverse_at_once_are_refused():
    both = {**EUROS, "instruments.USDEUR": {"currency": "EUR"}, "fx.USDEUR": "USDEUR"}
    found = only_problem(both)
    assert (found.key, found.message) == ("fx.USDEUR", "is the inverse of EURUSD.")


def test_a_symbol_whose_own_price_is_in_the_other_currency_is_refused():
    found = only_problem({"instruments.EURUSD": {"currency": "EUR"}, "fx": {"EURUSD": "EURUSD"}})
    assert found.key == "fx.EURUSD"
    assert "price of one EUR in USD, and that of EURUSD is in EUR" in found.message


EURO = {"tick_size": "0.01", "lot_size": "0.1", "currency": "EUR"}


def test_an_instrument_in_a_currency_that_nothing_converts_is_refused_with_the_pair_to_write():
    found = only_problem({"instruments.DAX": EURO})
    assert found.key == "instruments.DAX.currency"
    assert (
        "DAX is in EUR, and nothing converts EUR to USD: all money of btc would be unknown" in found.message
    )
    assert "`fx: {EURUSD: SYMBOL}`" in found.remedy
    more = only_problem({"instruments.DAX": EURO, "instruments.MDAX": EURO})
    assert "DAX and 1 more are in EUR" in more.message


def test_a_capital_in_a_currency_that_no_instrument_converts_to_is_refused():
    found = only_problem({f"{AT}.capital.currency": "EUR"})
    assert found.key == "instruments.BTCUSD.currency"
    assert "BTCUSD is in USD, and nothing converts USD to EUR" in found.message
    without = only_problem({f"{AT}.capital": REMOVED, "instruments.BTCUSD.currency": "EUR",
                            f"{AT}.policy.rules": []})  # fmt: skip
    assert "EUR to USD" in without.message, "figures without a capital are in USD"


def test_one_of_two_deployments_whose_capital_nothing_converts_to_is_refused():
    second = {**example()["deployments"]["btc"], "capital": {"amount": "1", "currency": "CHF"}}
    found = only_problem({"deployments.swiss": second, "instruments": "open"})
    assert found.key == "deployments.btc.capital"
    assert "open instruments are in CHF, and nothing converts CHF to USD" in found.message


def test_a_pair_of_either_direction_converts_an_instrument():
    assert not problems({"instruments.DAX": EURO, **EUROS})
    inverse = {"instruments.USDEUR": {"currency": "EUR"}, "fx": {"USDEUR": "USDEUR"}}
    assert not problems({"instruments.DAX": EURO, **inverse})
    assert not problems({f"{AT}.capital.currency": "EUR", "instruments.BTCUSD.currency": REMOVED})


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"instruments.DAX": EURO | {"currency": "usd"}}, "instruments.DAX.currency"),
        ({"instruments.DAX": EURO, **EUROS, "fx.eurUSD": "EURUSD"}, "fx.eurUSD"),
        ({f"{AT}.capital.currency": "Usd"}, "instruments.BTCUSD.currency"),
    ],
)
def test_currencies_that_differ_only_in_case_are_refused(change, key):
    found = only_problem(change)
    assert found.key == key
    assert "case tells currencies apart" in found.message


@pytest.mark.parametrize(
    ("change", "key", "says"),
    [
        ({f"{AT}.performance.grid": "150ms"}, "performance.grid", "multiple of grids.tick"),
        ({f"{AT}.performance.benchmark": "BTCUSX"}, "performance.benchmark", "no instrument"),
        ({f"{AT}.performance.min_returns": 1}, "performance.min_returns", ""),
        ({f"{AT}.performance.max_position_gap": -0.1}, "performance.max_position_gap", ""),
        ({f"{AT}.performance.floor_bps": 1e300}, "performance.floor_bps", ""),
        ({f"{AT}.sequences.pnl": {"margin": 3, "bound": 2}}, "sequences.pnl", "never reached"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, key, says):
    found = only_problem(change)
    assert found.key == f"{AT}.{key}"
    assert says in found.message


def test_without_capital_what_needs_it_is_refused_and_the_rest_is_not():
    rule = {"id": "x", "subject": "deployment", "metric": "sharpe", "window": "session", "below": 0.5,
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
