"""Types and reasons of orders as configured: one form of a name, and what cannot be is refused."""

from __future__ import annotations

import pytest
from configurations import only_problem, problems, settings

from monitor.trading.reject_reasons import NAMED, PRE_TRADE

AT = "deployments.btc.orders"


def deployment(**orders):
    return settings(deployments__btc__orders=orders).deployments["btc"].orders


def test_all_has_defaults():
    defaults = settings().deployments["btc"].orders
    assert defaults.order_types == ("market", "limit", "ioc", "stop")
    assert (defaults.reject_reasons, defaults.pre_trade) == (NAMED, PRE_TRADE)
    assert set(PRE_TRADE) <= set(NAMED)
    assert (defaults.repeat_within_ns, defaults.open_limit, defaults.ended_limit) == (10**9, 10_000, 1_000)
    assert defaults.alert_on_breaks


def test_names_have_one_form_whatever_is_written():
    read = deployment(order_types=["Stop-Limit", "MARKET"], reject_reasons=["Fat Finger", "risk-limit"])
    assert read.order_types == ("stop_limit", "market")
    assert read.reject_reasons == ("fat_finger", "risk_limit")
    assert read.pre_trade == ("risk_limit",), "of the usual ones those that are named"
    named = deployment(reject_reasons=["Fat Finger"], pre_trade_reasons=["fat finger", "other"])
    assert named.pre_trade == ("fat_finger", "other")


@pytest.mark.parametrize(
    ("orders", "says"),
    [
        ({"order_types": ["limit", "Limit"]}, "listed twice"),
        ({"reject_reasons": ["other"]}, "no name of its own"),
        ({"pre_trade_reasons": ["riks_limit"]}, "none of reject_reasons"),
        ({"open_limit": 0}, "must be at least 1"),
        ({"repeat_within": "soon"}, "not a duration"),
        ({"remember": 5}, "unknown key"),
    ],
)
def test_what_cannot_be_is_refused(orders, says):
    assert says in only_problem({AT: orders}).message


def test_the_id_of_the_built_in_alert_is_reserved():
    rule = {"id": "reconciliation-break", "subject": "deployment", "metric": "reconciliation_breaks"}
    rule |= {"window": "5m", "above": 0, "action": "alert"}
    found = only_problem({"deployments.btc.policy": {"name": "p", "rules": [rule]}})
    assert "reserved" in found.message
    assert problems({"deployments.btc.policy": {"name": "p", "rules": [rule | {"id": "mine"}]}}) == []


@pytest.mark.parametrize("key", ["order_types", "reject_reasons"])
def test_more_names_than_anyone_reads_series_of_are_refused(key):
    names = [f"name{i}" for i in range(65)]
    found = only_problem({f"deployments.btc.orders.{key}": names})
    assert found.key == f"deployments.btc.orders.{key}"
    assert "at most 64" in found.message
    assert "count as `other`" in found.remedy
    assert not problems({f"deployments.btc.orders.{key}": names[:64]})
