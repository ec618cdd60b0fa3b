"""Weighted means: exact sums, intervals that know of weights, of panes that scatter and of overlap."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats.exact_sums import ExactSums
from monitor.stats.weighted_mean import WEIGHTED, weighted_mean, weighted_rows

ODD = st.floats(-1e12, 1e12, allow_nan=False)
WEIGHT = st.floats(1e-6, 1e12) | st.sampled_from([0.0, 1.0, 1.0])


def summed(values, weights) -> ExactSums:
    sums = ExactSums(WEIGHTED)
    sums.update(weighted_rows(np.asarray(values, np.float64), np.asarray(weights, np.float64)))
    return sums


@given(st.lists(st.tuples(ODD, WEIGHT), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_mean_is_that_of_fractions_in_any_order(pairs, order):
    found = weighted_mean(summed(*zip(*pairs, strict=True)), [], 0)
    whole = sum(Fraction(w) for _, w in pairs)
    if not whole:
        assert found is None
        return
    # Products are floats before they are summed exactly.
    exact = float(sum(Fraction(x * w) for x, w in pairs) / whole)
    assert found is not None
    assert found.value == pytest.approx(exact, rel=1e-15, abs=1e-300)
    order.shuffle(pairs)
    assert weighted_mean(summed(*zip(*pairs, strict=True)), [], 0) == found


def test_values_that_are_not_finite_are_counted_and_left_out():
    sums = summed([1.0, math.nan, 3.0], [1.0, 5.0, 1.0])
    assert (sums.n, sums.left_out) == (2, 1)
    assert weighted_mean(sums, [sums], 0).value == 2.0


def test_equal_weights_give_the_plain_mean_and_its_interval():
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    sums = summed(values, np.full(400, 7.0))
    found = weighted_mean(sums, [sums], 0)
    half = 1.959963984540054 * values.std() / 20
    assert (found.value, found.n_eff) == pytest.approx((values.mean(), 400.0))
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))
    assert found.t == pytest.approx(values.mean() / (values.std() / 20))


def test_one_large_weight_says_little():
    found = weighted_mean(summed([1.0, 2.0, 3.0], [1e9, 1.0, 1.0]), [], 0)
    assert found.value == pytest.approx(1.0, abs=1e-8)
    assert found.n_eff == pytest.approx(1.0, abs=1e-8)
    single = weighted_mean(summed([4.0], [2.0]), [], 0)
    assert (single.value, single.n_eff, single.low, single.high, single.t) == (4.0, 1.0, None, None, None)


def test_values_that_never_differ_have_an_interval_of_no_width():
    found = weighted_mean(summed([0.1] * 50, np.arange(1.0, 51.0)), [], 0)
    assert found.value == pytest.approx(0.1, rel=1e-15)
    assert found.high - found.low < 1e-8


@pytest.mark.parametrize(("lag", "shared"), [(0, False), (4, True)])
def test_intervals_cover_the_truth_about_as_often_as_nominal(lag, shared):
    """Trades of random size in 60 panes; `shared`: values of five panes have the same move in them."""
    rng = np.random.default_rng(23)
    missed, naive, trials = 0, 0, 200
    for _ in range(trials):
        moves = rng.normal(size=60 + lag)
        panes, values, weights = [], [], []
        for pane in range(60):
            n = int(rng.integers(1, 8))
            common = moves[pane : pane + lag + 1].sum() if shared else 0.0
            x, w = 1.0 + common + rng.normal(size=n), rng.lognormal(0.0, 0.7, n)
            panes.append(summed(x, w))
            values.append(x)
            weights.append(w)
        x, w = np.concatenate(values), np.concatenate(weights)
        found = weighted_mean(summed(x, w), panes, lag)
        missed += not found.low <= 1.0 <= found.high
        naive += abs(found.value - 1.0) > 1.96 * x.std() / math.sqrt(len(x))
    assert missed / trials < (0.17 if shared else 0.1)
    assert naive / trials > 0.3 or not shared
