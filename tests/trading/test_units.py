"""Conversions between decimals and integers are exact, or refused."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trading_cases import BTC, BUND, FUTURE

from monitor.trading.units import InstrumentUnits, divide_half_even, format_money, money_of, parse_money


@given(st.integers(-(10**40), 10**40))
def test_money_text_is_canonical_and_comes_back(money: int) -> None:
    text = format_money(money)
    assert parse_money(text) == money
    assert Fraction(text) == Fraction(money, 10**18)
    assert "e" not in text.lower()
    assert text == "0" if money == 0 else not text.endswith(".")
    assert "." not in text or not text.endswith("0")


@pytest.mark.parametrize(
    "text", ["", "-", "1.", ".5", "1e5", "--1", "1.1234567890123456789", "nan", "٣", "1_0"]
)
def test_what_is_no_money_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"money|finer"):
        parse_money(text)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20))
def test_division_rounds_half_even(numerator: int, denominator: int) -> None:
    assert divide_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(
    st.integers(-(10**12), 10**12),
    st.decimals(-(10**7), 10**7, places=6),
    st.sampled_from([BTC, FUTURE, BUND]),
)
def test_money_of_a_trade_is_exact(lots: int, price: Decimal, units: InstrumentUnits) -> None:
    exact = lots * Fraction(units.lot_size) * Fraction(price) * Fraction(units.multiplier) * 10**18
    assert units.money(lots, price) == exact


def test_money_of_a_price_beyond_1e_18_rounds_the_whole_trade_once() -> None:
    price = Decimal("0.00000000005")
    assert [BTC.money(lots, price) for lots in (1, 2, 3, -1, -3)] == [0, 1, 2, 0, -2]


@given(st.integers(-(10**15), 10**15), st.sampled_from([BTC, FUTURE, BUND]))
def test_value_at_a_mark_equals_quantity_times_price_times_multiplier(
    half_ticks: int, units: InstrumentUnits
) -> None:
    quantity, price = units.format_quantity(-7), units.format_price(half_ticks)
    exact = Fraction(quantity) * Fraction(price) * Fraction(units.multiplier)
    assert Fraction(format_money(units.value(-7, half_ticks))) == exact
    assert units.half_ticks(Decimal(price)) == half_ticks


def test_quantities_convert_exactly_or_not_at_all() -> None:
    assert BTC.lots(Decimal("-0.1")) == -10_000_000
    assert BUND.lots(Decimal("1e1")) == 20
    with pytest.raises(ValueError, match=r"FGBL: quantity 0\.3 is not a multiple of lot_size 0\.5"):
        BUND.lots(Decimal("0.3"))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999999", "1e-999999"])
def test_decimals_without_bound_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="finite decimal"):
        BTC.lots(Decimal(text))
    with pytest.raises(ValueError, match="finite decimal"):
        money_of(Decimal(text))


def test_an_instrument_whose_half_tick_is_no_money_is_refused() -> None:
    with pytest.raises(ValueError, match="instrument X: half a tick x lot_size x multiplier"):
        InstrumentUnits.of("X", Decimal("1e-10"), Decimal("1e-9"), Decimal("0.01"), "USD")
    with pytest.raises(ValueError, match="instrument X: lot_size is 0"):
        InstrumentUnits.of("X", Decimal("0.01"), Decimal(0), Decimal(1), "USD")


def test_open_instruments_fit() -> None:
    units = InstrumentUnits.of("ANY", Decimal("1e-8"), Decimal("1e-8"), Decimal(1), "USD")
    assert (units.unit, units.format_quantity(150_000_000), units.format_price(3)) == (
        50,
        "1.5",
        "0.000000015",
    )
