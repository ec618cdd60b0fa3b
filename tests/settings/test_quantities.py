"""Durations, instants and decimals are exact or refused."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.settings.document import WrittenFloat, parse
from monitor.settings.quantities import parse_duration, parse_exact, parse_instant

SECONDS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": 1,
    "m": 60,
    "h": 3600,
}
SECONDS["d"] = 86_400


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("100ms", 10**8),
        ("5m", 300 * 10**9),
        ("1h", 3600 * 10**9),
        ("1d", 86_400 * 10**9),
        ("30d", 30 * 86_400 * 10**9),
        ("1h30m", 5400 * 10**9),
        ("0.5s", 5 * 10**8),
        (0, 0),
    ],
)
def test_durations_are_nanoseconds(text, ns):
    assert parse_duration(text) == ns


@given(st.integers(0, 50_000), st.sampled_from(sorted(SECONDS)))
def test_every_whole_number_of_a_unit_is_exact(number, unit):
    assert parse_duration(f"{number}{unit}") == number * SECONDS[unit] * 10**9


@pytest.mark.parametrize(
    "value", ["", "5", 5, 1.5, "-1s", "1 s x", "s", "1w", "0.5ns", "99999999d", True, None, "٣s", "1e3s", []]
)
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ValueError, match=r"duration|whole number"):
        parse_duration(value)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))
def test_instants_keep_every_digit(moment):
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{moment.microsecond:06d}007Z"
    whole = int(
        (moment.replace(microsecond=0, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    )
    assert parse_instant(text) == whole * 10**9 + moment.microsecond * 1000 + 7


def test_an_instant_says_its_zone():
    assert parse_instant("1970-01-01T01:00:00+01:00") == 0
    assert parse_instant("1970-01-01T00:00:00-00:30") == 1800 * 10**9
    for value in (
        "1970-01-01T00:00:00",
        "1970-13-01T00:00:00Z",
        "1970-01-01",
        0,
        "1970-01-01T00:00:00+99:00",
    ):
        with pytest.raises(ValueError, match="RFC 3339"):
            parse_instant(value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**9), max_value=10**9))
def test_a_decimal_is_what_was_written(number):
    text = f"{number:f}"
    assert parse_exact(text) == number
    assert parse_exact(WrittenFloat(text)) == number
    assert str(parse_exact(parse(f"a: {text}", "f").data["a"])) == str(parse_exact(text))


@pytest.mark.parametrize("value", [0.1, "abc", "nan", "inf", "1e99", True, None, "", "1" * 50])
def test_what_is_no_exact_decimal_is_refused(value):
    with pytest.raises(ValueError, match="decimal"):
        parse_exact(value)


def test_scalars_are_read_plainly():
    numbers = "1, -2, 0.1, 1e3, 010, 0x1F, 1_000, 1:30, 1.5e3, 1.5e+3, '7', .5, .inf"
    words = "yes, NO, true, null, ~, 2026-03-01"
    assert parse(f"[{numbers}]", "f").data == [
        1, -2, 0.1, "1e3", "010", "0x1F", "1_000", "1:30", "1.5e3", 1500.0, "7", 0.5, ".inf",
    ]  # fmt: skip
    assert parse(f"[{words}]", "f").data == ["yes", "NO", True, None, None, "2026-03-01"]


def test_decimal_default_of_an_instrument_is_exact():
    assert parse_exact(Decimal("1e-8")) == Decimal("1e-8")
