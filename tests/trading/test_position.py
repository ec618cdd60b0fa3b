"""Average cost in integers: exact in total, within one unit a close in the split."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from monitor.trading.position import Position

TRADES = st.lists(
    st.tuples(st.integers(-50, 50).filter(bool), st.integers(-(10**6), 10**24)), min_size=1, max_size=60
)


@given(TRADES)
def test_cash_plus_cost_is_realised_profit_at_every_trade(trades: list[tuple[int, int]]) -> None:
    position, cash = Position(), 0
    for lots, price in trades:
        position.trade(lots, lots * price)
        cash -= lots * price
        assert cash + position.cost == position.realised
        assert position.quantity or position.cost == 0


@given(TRADES)
def test_realised_profit_is_within_one_unit_a_close_of_exact_average_cost(
    trades: list[tuple[int, int]],
) -> None:
    position = Position()
    held, cost, realised, closes = 0, Fraction(0), Fraction(0), 0
    for lots, price in trades:
        position.trade(lots, lots * price)
        if held and (held > 0) != (lots > 0):
            closed = min(abs(lots), abs(held)) * (1 if held > 0 else -1)
            realised += closed * price - cost * closed / held
            cost -= cost * closed / held
            opened = lots + closed
            closes += 1
        else:
            opened = lots
        cost += opened * price
        held += lots
        assert position.quantity == held
        assert abs(position.realised - realised) <= closes
        if not held:
            assert position.cost == 0


def test_a_trade_through_zero_is_a_close_and_an_open() -> None:
    position = Position()
    position.trade(3, 3 * 100)
    position.trade(-5, -5 * 110)
    assert (position.quantity, position.cost, position.realised) == (-2, -2 * 110, 30)


def test_a_partial_close_leaves_the_remainder_of_the_cost_in_the_position() -> None:
    position = Position()
    position.trade(3, 100)
    position.trade(-1, -40)
    assert (position.cost, position.realised) == (67, 7)
    position.trade(-2, -80)
    assert (position.cost, position.realised) == (0, 20)
