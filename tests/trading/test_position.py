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


def tripped(*trades: tuple[int, ...]) -> Position:
    position = Position()
    for lots, paid, *fee in trades:
        position.trade(lots, paid, *fee)
    return position


def test_a_round_trip_ends_flat_and_is_won_net_of_fees() -> None:
    assert tripped((2, 200, 1)).trips == (0, 0, 0)
    assert tripped((2, 200, 1), (-1, -101), (-1, -101)).trips == (1, 1, 0)
    assert tripped((2, 200, 1), (-2, -201, 1)).trips == (1, 0, 1)
    assert tripped((2, 200, 1), (-2, -202, 1)).trips == (1, 0, 0)
    assert tripped((2, 200, 1), (-2, -200, -2)).trips == (1, 1, 0), "a rebate is money"


def test_a_trade_through_zero_shares_its_fee_by_lots_out_to_both_trips() -> None:
    position = tripped((3, 300), (-5, -550, 7))
    assert position.trips == (1, 1, 0)
    # 3 of 5 lots close: 330 received, floor(7 x 3 / 5) = 4 of the fee; the rest opens.
    assert position.trip == 220 - 3
    position.trade(2, 218)
    assert position.trips == (2, 1, 1)
    assert position.trip == 0


@given(TRADES)
def test_trips_add_up_to_all_money_that_moved(trades: list[tuple[int, int]]) -> None:
    position, moved, ended = Position(), 0, 0
    for place, (lots, price) in enumerate(trades):
        before, trip = position.trips, position.trip
        paid, fee = lots * price, place % 5 - 2
        position.trade(lots, paid, fee)
        moved -= paid + fee
        if position.trips != before:
            net = trip - paid - fee - position.trip
            ended += net
            assert position.trips == (before[0] + 1, before[1] + (net > 0), before[2] + (net < 0))
        assert ended + position.trip == moved
        assert position.quantity or position.trip == 0


def test_what_is_taken_back_ends_no_trip_and_leaves_those_that_ended() -> None:
    position = tripped((1, 100), (-1, -110))
    position.amend(1, 110)
    position.settle()
    assert (position.trips, position.trip, position.quantity) == ((1, 1, 0), -110, 1)
    busted = tripped((1, 100, 1))
    busted.amend(-1, -100, -1)
    busted.settle()
    assert (busted.trips, busted.trip) == ((0, 0, 0), 0)


def test_a_correction_passes_through_flat_without_losing_the_trip() -> None:
    position = tripped((1, 100), (1, 100), (-1, -110))
    position.amend(-1, -100)
    position.amend(1, 105)
    position.settle()
    position.trade(-1, -96)
    assert position.trips == (1, 1, 0), "-100 - 105 + 110 + 96 = 1"


def test_a_stated_position_goes_on_with_the_trip_unless_it_is_flat_or_turned() -> None:
    for lots, cost, trip in ((3, 330, -300 - 30), (0, 0, 0), (-2, -210, 210)):
        position = tripped((3, 300))
        position.restate(lots, cost)
        assert (position.trips, position.trip) == ((0, 0, 0), trip)


def test_a_position_stored_is_the_position_again() -> None:
    position = tripped((3, 300, 2), (-5, -(10**30), 7))
    position.traded["USD"] = 10**30 + 300
    again = Position.decode(position.encode())
    assert all(getattr(again, name) == getattr(position, name) for name in Position.__slots__)
