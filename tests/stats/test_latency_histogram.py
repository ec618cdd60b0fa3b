"""Quantiles within 1 % of the order statistic for any distribution; counts above limits exact."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.stats.histogram import (
    HIGHEST_NS,
    LOWEST_NS,
    TIMEOUT_NS,
    LagHistogram,
    LatencyHistogram,
    PaneCounts,
)

QUANTILES = (0.0001, 0.01, 0.07, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)


def order_statistic_s(latency_ns, q):
    rank = max(1, math.ceil(Fraction(str(q)) * len(latency_ns)))
    return sorted(latency_ns)[rank - 1] / 1e9


def assert_quantiles_within_one_percent(latency_ns):
    histogram = LatencyHistogram(())
    histogram.update(np.array(latency_ns, np.int64))
    for q in QUANTILES:
        true = order_statistic_s(latency_ns, q)
        assert abs(histogram.quantile(q) - true) <= 0.01 * true, (q, true)


def distributions():
    rng = np.random.default_rng(4)
    n = 20_000
    return {
        "bimodal": np.where(rng.random(n) < 0.989, rng.normal(2e6, 1e5, n), rng.normal(9e8, 1e7, n)),
        "heavy_tail": 1e4 * (1 + rng.pareto(0.7, n)),
        "lognormal": rng.lognormal(14, 2, n),
        "constant": np.full(n, 1_234_567),
        "two_values": rng.choice([LOWEST_NS, HIGHEST_NS], n),
        "one": np.array([77_777_777]),
    }


@pytest.mark.parametrize("name", distributions())
def test_quantiles_of_every_shape_are_within_one_percent(name):
    assert_quantiles_within_one_percent(
        np.clip(distributions()[name], LOWEST_NS, HIGHEST_NS).astype(np.int64).tolist()
    )


@given(st.lists(st.integers(LOWEST_NS, HIGHEST_NS), min_size=1, max_size=50))
def test_quantiles_of_anything_in_range_are_within_one_percent(latency_ns):
    assert_quantiles_within_one_percent(latency_ns)


def test_ranks_follow_the_quantile_as_written_not_its_binary_neighbour():
    # 0.07 * 100 is 7.000000000000001 in floating point.
    assert_quantiles_within_one_percent([LOWEST_NS * 2**i for i in range(20)] * 5)
    histogram = LatencyHistogram(())
    histogram.update(np.repeat([10**6, 10**9], [7, 93]))
    assert histogram.quantile(0.07) == pytest.approx(1e-3, rel=0.01)


@settings(max_examples=300)
@given(st.integers(LOWEST_NS, HIGHEST_NS), st.sampled_from([-1, 0, 1]))
def test_a_single_latency_is_read_within_one_percent(latency_ns, step):
    assert_quantiles_within_one_percent([min(max(latency_ns + step, LOWEST_NS), HIGHEST_NS)])


@given(
    st.lists(st.integers(0, 3_000), max_size=50),
    st.integers(0, 5),
    st.lists(st.integers(0, 3_000), max_size=3),
)
def test_shares_above_limits_are_exact_and_a_timeout_is_above_all(latency_ns, timeouts, limits):
    histogram = LatencyHistogram(tuple(limits))
    histogram.update(np.array(latency_ns, np.int64), timeouts)
    for limit in limits:
        above = sum(x > limit for x in latency_ns) + timeouts
        assert histogram.count_above(limit) == above
        if histogram.n:
            assert histogram.above(limit) == above / (len(latency_ns) + timeouts)


def test_what_lies_outside_the_range_is_counted_apart():
    histogram = LatencyHistogram((HIGHEST_NS * 2,))
    histogram.update(np.array([-1, -(2**63), 0, 999, 1_000, HIGHEST_NS, HIGHEST_NS + 1, TIMEOUT_NS]))
    assert (histogram.negative, histogram.underflow, histogram.overflow, histogram.timeouts) == (2, 2, 1, 1)
    assert histogram.n == 6
    assert histogram.quantile(0.01) == 1e-6
    assert histogram.quantile(1.0) == 100.0
    assert histogram.above(HIGHEST_NS * 2) == 1 / 6


def test_nothing_measured_has_no_value():
    histogram = LatencyHistogram((5,))
    histogram.update(np.array([], np.int64))
    assert histogram.empty
    histogram.update(np.array([-5]))
    assert not histogram.empty
    assert math.isnan(histogram.quantile(0.5))
    assert math.isnan(histogram.above(5))


def test_a_limit_that_was_not_named_is_an_error():
    with pytest.raises(ValueError, match="not in tuple"):
        LatencyHistogram((5,)).above(6)


def test_a_quantile_at_the_end_of_the_range_says_that_it_lies_beyond():
    histogram = LatencyHistogram(())
    histogram.update(np.array([5, 10**6, HIGHEST_NS * 3]), timeouts=1)
    counts = PaneCounts([histogram])
    bounds = [counts.quantile(q).bound for q in (0.2, 0.5, 0.7, 1.0)]
    assert bounds == ["below", None, "above", "above"]
    assert histogram.outside == {"underflow": 1, "overflow": 1, "timeouts": 1}


@given(st.lists(st.lists(st.integers(-5_000, HIGHEST_NS), max_size=20), min_size=1, max_size=5))
def test_panes_side_by_side_read_what_their_sum_reads(panes):
    kinds = []
    for latencies in panes:
        kinds.append(LatencyHistogram((10**6,)))
        kinds[-1].update(np.array(latencies, np.int64))
    whole = LatencyHistogram((10**6,))
    for kind in kinds:
        whole.merge(kind)
    counts = PaneCounts(kinds)
    assert int(counts.totals.sum()) == whole.n
    assert int(counts.above(10**6).sum()) == whole.count_above(10**6)
    if whole.n:
        for q in QUANTILES:
            assert counts.quantile(q).value_s == whole.quantile(q)


@given(st.lists(st.integers(-2 * HIGHEST_NS, 2 * HIGHEST_NS), min_size=1, max_size=50))
def test_lags_of_either_sign_are_within_one_percent_or_a_microsecond(lags):
    histogram = LagHistogram(())
    histogram.update(np.array(lags, np.int64))
    for q in QUANTILES:
        true = min(max(order_statistic_s(lags, q), -HIGHEST_NS / 1e9), HIGHEST_NS / 1e9)
        assert abs(histogram.quantile(q) - true) <= max(0.01 * abs(true), 1e-6), q
    assert histogram.n == len(lags)
    assert histogram.outside.get("negative", 0) == sum(lag < 0 for lag in lags)
    assert histogram.outside.get("overflow", 0) == sum(lag > HIGHEST_NS for lag in lags)
    assert histogram.outside.get("underflow", 0) == sum(lag < -HIGHEST_NS for lag in lags)
