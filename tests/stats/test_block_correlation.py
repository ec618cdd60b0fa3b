"""The correlation of neighbouring blocks: dependence is seen, a change of level is not mistaken for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from betting_paths import autoregressive
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.stats.block_correlation import FEWEST_PAIRS, LONGEST, BlockCorrelation

N = 200


def taken(values) -> BlockCorrelation:
    correlation = BlockCorrelation()
    for value in values:
        if math.isnan(value):
            correlation.skip()
        else:
            correlation.take(float(value))
    return correlation


def share_dependent(draw) -> float:
    rng = np.random.default_rng(1)
    return float(np.mean([taken(draw(rng)).dependent for _ in range(60)]))


def _ar(phi):
    return lambda rng: np.concatenate(list(autoregressive(rng, phi, 1, N)))


DEPENDENT = {
    "AR(0.5)": _ar(0.5),
    "AR(0.9)": _ar(0.9),
    "AR(0.99)": _ar(0.99),
    "days that differ": lambda rng: np.repeat(rng.normal(size=20), 10) + rng.normal(size=N),
}
SEPARATE = {
    "white": lambda rng: rng.normal(size=N),
    "Student t3": lambda rng: rng.standard_t(3, size=N),
    "rarely anything": lambda rng: (rng.random(N) < 0.02) * 1.0,
    "a small change": lambda rng: np.r_[rng.normal(size=150), rng.normal(0.7, 1, 50)],
    "a large change": lambda rng: np.r_[rng.normal(size=180), rng.normal(10, 1, 20)],
    "broken of a sudden": lambda rng: np.r_[np.zeros(180), rng.normal(0.5, 0.01, 20)],
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_blocks_that_depend_on_each_other_are_seen(name):
    assert share_dependent(DEPENDENT[name]) >= 0.9


@pytest.mark.parametrize("name", SEPARATE)
def test_noise_and_a_change_of_level_do_not_silence_a_test(name):
    assert share_dependent(SEPARATE[name]) <= 0.05


@given(st.lists(st.floats(-1e6, 1e6), min_size=FEWEST_PAIRS + 1, max_size=60))
def test_it_is_the_correlation_about_the_best_two_levels(values):
    whole = np.array(values)
    cuts = [np.r_[whole[:k] - whole[:k].mean(), whole[k:] - whole[k:].mean()] for k in range(1, whole.size)]
    lag1 = taken(values).lag1
    least = min(float(rest @ rest) for rest in cuts)
    candidates = [rest for rest in cuts if rest @ rest <= least * (1 + 1e-6) + 1e-9]
    scale = np.abs(whole).max()
    if lag1 == 0.0 or least <= 1e-12 * scale**2 * whole.size:
        return
    expected = [(r[1:] @ r[:-1]) / (r.size - 1) / (r @ r / r.size) for r in candidates]
    assert min(abs(lag1 - e) for e in expected) < 1e-3


def test_values_on_both_sides_of_a_gap_are_no_neighbours():
    values = np.random.default_rng(2).normal(size=60)
    gaps = np.full((30, 3), np.nan)
    gaps[:, :2] = values.reshape(30, 2)
    whole, cut = taken(values), taken(gaps.ravel())
    assert whole.lag1 != cut.lag1
    assert taken([1.0, math.nan, 2.0] * 40).lag1 == pytest.approx(
        taken([1.0, math.nan, 2.0] * 41).lag1, abs=0.1
    )


@pytest.mark.parametrize("values", [[0.1] * 100, [0.0] * 50 + [0.1] * 50, [-7.3e8] * 30])
def test_constants_have_no_correlation(values):
    assert taken(values).lag1 == 0.0


def test_too_few_pairs_say_nothing():
    values = np.arange(float(FEWEST_PAIRS))
    assert taken(values).lag1 is None
    assert not taken(values).dependent
    assert taken([*values, 5.0]).lag1 is not None
    assert BlockCorrelation().lag1 is None


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.floats(-10, 10) | st.just(math.nan), max_size=60), st.lists(st.floats(-10, 10), max_size=30)
)
def test_it_goes_on_from_its_bytes(before, after):
    one = taken(before)
    other = BlockCorrelation.from_bytes(one.to_bytes())
    assert other.lag1 == one.lag1
    for value in after:
        one.take(value)
        other.take(value)
    assert other.to_bytes() == one.to_bytes()


def test_its_memory_is_bounded():
    correlation = taken(np.random.default_rng(3).normal(size=2 * LONGEST))
    assert len(correlation.to_bytes()) == 8 * LONGEST


def test_other_bytes_are_refused():
    with pytest.raises(StateError):
        BlockCorrelation.from_bytes(b"\x00" * 9)
