"""Relations between equities, against cases worked by hand."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.trading.performance import bps_of, difference, drawdown, net_profit

USD = 10**18
MONEY = st.integers(-(10**30), 10**30)


def test_drawdown_counts_from_the_starting_capital() -> None:
    capital = 1_000_000 * USD
    assert drawdown(capital, capital - 20_000 * USD) == 0.02
    assert drawdown(capital, capital) == 0.0
    assert drawdown(capital + 100_000 * USD, capital) == pytest.approx(1 / 11, abs=0)


def test_a_loss_beyond_the_capital_is_a_drawdown_above_one() -> None:
    assert drawdown(100 * USD, -50 * USD) == 1.5


@pytest.mark.parametrize(("high", "allocated"), [(0, 0), (-1, -2), (5, 6)])
def test_a_drawdown_without_capital_does_not_exist(high: int, allocated: int) -> None:
    with pytest.raises(ValueError, match="high-water mark"):
        drawdown(high, allocated)


@given(st.integers(1, 10**30), MONEY)
def test_drawdown_is_the_nearest_float_of_the_exact_fraction(high: int, fall: int) -> None:
    assert drawdown(high, high - abs(fall)) == float(Fraction(abs(fall), high))


@given(MONEY, MONEY, MONEY)
def test_model_and_execution_effect_add_up_to_the_divergence(shadow: int, active: int, real: int) -> None:
    assert difference(shadow, active) + difference(active, real) == difference(shadow, real)


def test_transfers_are_no_profit() -> None:
    assert net_profit(equity=150 * USD, transfers=100 * USD) == 50 * USD
    assert net_profit(equity=150 * USD, transfers=100 * USD, start=80 * USD) == -30 * USD


def test_basis_points_of_capital() -> None:
    assert bps_of(-50 * USD, 1_000_000 * USD) == -0.5
    with pytest.raises(ValueError, match="capital"):
        bps_of(1, 0)
