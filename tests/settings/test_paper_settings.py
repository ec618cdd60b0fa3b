"""The paper broker is checked before it runs: a target has what it needs, and nothing it would ignore."""

from __future__ import annotations

from decimal import Decimal

import pytest
from configurations import only_problem, problems, settings

PAPER = "deployments.btc.paper"


def test_paper_orders_fill_whole_at_the_quote_unless_configured():
    paper = settings().deployments["btc"].paper
    assert (paper.participation, paper.max_exposure, paper.max_turnover) == (None, None, None)
    assert (paper.half_spread_bps, paper.order_type) == (0, "market")


def test_all_that_the_broker_can_do_can_be_written():
    written = {
        "target": "linear",
        "scale": 0.002,
        "threshold": 0.0001,
        "quantity": "0.1",
        "participation": {"share": "0.1", "volume": "volume_1s"},
        "max_exposure": "10000",
        "max_turnover": "100000",
        "half_spread_bps": "0.5",
        "order_type": "ioc",
    }
    paper = settings(deployments__btc__paper=written).deployments["btc"].paper
    assert paper.participation is not None
    assert (paper.participation.share, paper.max_exposure) == (Decimal("0.1"), 10_000)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"target": "linear"}, "needs a scale"),
        ({"target": "sign", "scale": 1}, "has no scale"),
        ({"target": "sign", "quantile": "0.9"}, "has no quantile"),
        ({"target": "quantile", "threshold": 0.1}, "has no threshold"),
    ],
)
def test_a_target_has_what_it_needs_and_nothing_that_it_would_ignore(written, said):
    found = only_problem({PAPER: {"quantity": "0.1"} | written})
    assert said in found.message
    assert found.key == PAPER
    assert found.remedy


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("target", "signal"),
        ("scale", 0),
        ("quantile", "0.4"),
        ("quantile", "1"),
        ("half_spread_bps", "-1"),
        ("half_spread_bps", "10000"),
        ("slippage_bps", "10000"),
        ("fee_bps", "10000"),
        ("fee_bps", "-10000"),
        ("participation", {"share": "0.1"}),
        ("participation", {"share": "0", "volume": "v"}),
        ("participation", {"share": "1.5", "volume": "v"}),
        ("max_exposure", "0"),
        ("max_turnover", "-5"),
        ("order_type", ""),
    ],
)
def test_what_means_nothing_is_refused(key, value):
    assert problems({f"{PAPER}.{key}": value})[0].key.startswith(PAPER)


@pytest.mark.parametrize("instruments", ["open", {"X": {"lot_size": "1e-8"}}])
@pytest.mark.parametrize(
    ("quantity", "says"),
    [
        ("1e30", "2^53 lots"),
        ("1e36", "2^53 lots"),
        ("1.000000001", "not a multiple"),
        ("1e-36", "multiple"),
    ],
)
def test_a_quantity_of_too_many_or_broken_lots_is_refused_however_large(instruments, quantity, says):
    found = only_problem({"instruments": instruments, f"{PAPER}.quantity": quantity})
    assert found.key == f"{PAPER}.quantity"
    assert says in found.message


TWO = {"BTCUSD": {"lot_size": "0.1"}, "ES": {"lot_size": "1", "multiplier": "50"}}


def quantities(written, instruments=TWO):
    """What is wrong with a quantity by symbol, as (key below it, message)."""
    changes = {"instruments": instruments, f"{PAPER}.quantity": written, "deployments.btc.performance": {}}
    found = problems(changes)
    assert all(each.remedy for each in found)
    return [(each.key.removeprefix(f"{PAPER}.quantity"), each.message) for each in found]


def test_each_symbol_may_have_a_quantity_of_its_own():
    assert quantities({"default": "0.1", "ES": "1"}) == []
    assert quantities({"BTCUSD": "0.1", "ES": "1"}) == []
    assert quantities({"default": "1"}) == []
    written = {f"{PAPER}.quantity".replace(".", "__"): {"default": "0.1", "ES": "1"}, "instruments": TWO}
    paper = settings(**written).deployments["btc"].paper
    assert (paper.default_quantity, paper.own_quantities) == (Decimal("0.1"), {"ES": 1})
    alone = settings().deployments["btc"].paper
    assert (alone.default_quantity, alone.own_quantities) == (Decimal("0.1"), {})


@pytest.mark.parametrize(
    ("written", "key", "says"),
    [
        ("0.1", "", "0.1 is not a multiple of the lot of ES (1)"),
        ({"default": "0.1"}, ".default", "0.1 is not a multiple of the lot of ES (1)"),
        ({"default": "0.1", "ES": "0.5"}, ".ES", "0.5 is not a multiple of the lot of ES (1)"),
        ({"default": "0.1", "ES": "1", "NQ": "1"}, ".NQ", "'NQ' is no instrument"),
        ({"ES": "1"}, "", "says nothing of BTCUSD"),
        ({}, "", "says nothing of BTCUSD, ES"),
        ({"default": "0.1", "ES": "0"}, ".ES", "must be more than 0"),
        ({"default": "0.1", "ES": "much"}, ".ES", "not a decimal"),
        (["0.1"], "", "not a decimal"),
    ],
)
def test_quantities_fit_the_instruments_and_their_lots(written, key, says):
    [(place, message)] = quantities(written)
    assert place == key
    assert says in message


def test_open_instruments_need_a_default_quantity():
    assert quantities({"default": "0.1", "ES": "1"}, "open") == []
    assert quantities({"ES": "1"}, "open") == [("", "says nothing of an open instrument.")]
    [(key, message)] = quantities({"default": "1", "ES": "1e-9"}, "open")
    assert (key, message) == (".ES", "1E-9 is not a multiple of the lot of ES (1E-8).")
