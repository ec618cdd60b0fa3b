"""Intervals against SciPy where rows are independent, and their coverage where they are not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pane_series import events_and_totals, levels, true_share
from scipy import stats

from monitor.stats.histogram import LatencyHistogram, PaneCounts
from monitor.stats.intervals import (
    LEAST_PANES,
    _binomial_quantile,
    mean_interval,
    quantile_ranks,
    scatter,
    share_interval,
    wilson,
)

whole = st.integers(0, 400)


@given(whole, whole)
def test_a_share_of_independent_rows_has_wilsons_interval(events, rest):
    n = events + rest
    if n == 0:
        return
    low, high = wilson(events / n, n)
    expected = stats.binomtest(events, n).proportion_ci(method="wilson")
    assert low == pytest.approx(expected.low, abs=1e-12)
    assert high == pytest.approx(expected.high, abs=1e-12)


@given(st.integers(1, 5000), st.floats(0.001, 0.999), st.sampled_from([0.025, 0.975]))
def test_ranks_follow_the_binomial_distribution(n, q, level):
    assert _binomial_quantile(level, n, q) == int(stats.binom.ppf(level, n, q))


@pytest.mark.parametrize("q", [0.0001, 0.5, 0.999])
def test_beyond_a_million_rows_ranks_are_within_one(q):
    for n in (2 * 10**6, 10**9):
        for level in (0.025, 0.975):
            assert abs(_binomial_quantile(level, n, q) - stats.binom.ppf(level, n, q)) <= 1


@given(st.integers(1, 300), st.sampled_from([0.5, 0.95, 0.99, 0.999]))
def test_a_quantile_of_independent_rows_lies_between_order_statistics(n, q):
    ranks = quantile_ranks(q, np.array([math.ceil(q * n)]), np.array([n]))
    assert ranks.n_eff == n
    if ranks.low is not None:
        assert stats.binom.cdf(ranks.low - 1, n, q) <= 0.025 + 1e-12
    if ranks.high is not None:
        assert stats.binom.cdf(ranks.high - 1, n, q) >= 0.975 - 1e-12
    assert (ranks.high is None) == (stats.binom.cdf(n - 1, n, q) < 0.975)
    assert (ranks.low is None) == (stats.binom.cdf(0, n, q) > 0.025)


def test_the_worst_of_few_rows_has_no_upper_bound():
    histogram = LatencyHistogram(())
    histogram.update(np.arange(1, 101) * 10**6)
    found = PaneCounts([histogram]).quantile(0.99)
    assert found.high_s is None
    assert found.low_s <= found.value_s == pytest.approx(0.099, rel=0.01)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=70))
def test_any_pane_counts_give_an_interval_around_the_share(pairs):
    events, rest = np.array(pairs).T
    totals = events + rest
    if not totals.sum():
        return
    found = share_interval(events, totals)
    share = events.sum() / totals.sum()
    assert 0 <= found.low <= share <= found.high <= 1
    assert 1 <= found.n_eff <= totals.sum()
    if len(pairs) < LEAST_PANES or share in (0, 1):
        assert found.n_eff == totals.sum()


def test_rows_that_come_in_clumps_count_once_a_clump():
    totals = np.full(100, 50)
    events = np.where(np.random.default_rng(1).random(100) < 0.3, 50, 0)
    assert share_interval(events, totals).n_eff == pytest.approx(100, rel=0.3)


def test_a_long_disturbance_counts_for_less_than_one_scattered_over_the_window():
    together = np.repeat([10, 0], [10, 50])
    apart = np.random.default_rng(2).permutation(together)
    totals = np.full(60, 100)
    assert share_interval(together, totals).n_eff < 0.5 * share_interval(apart, totals).n_eff


def test_panes_that_scatter_less_than_chance_gain_nothing():
    assert scatter([0.0] * 30, 3000, 0.25).design_effect == 1.0
    assert scatter([1.0, -1.0] * 30, 6000, 0.25).design_effect == 1.0


def test_a_mean_of_independent_rows_has_the_normal_interval():
    rows = np.random.default_rng(3).normal(5, 2, (60, 40))
    found = mean_interval(rows.sum(axis=1), np.full(60, 40), 4.0)
    assert found.low == pytest.approx(rows.mean() - 1.96 * 2 / math.sqrt(found.n_eff), rel=0.01)
    assert found.n_eff > 1200
    assert mean_interval([3.0], np.array([1]), 0.0) == (1.0, None, None)


def coverage(trials: int, panes: int, rows: int, share: float, sd: float, correlation: float) -> float:
    rng = np.random.default_rng(panes + rows)
    truth = true_share(share, sd)
    found = [
        share_interval(*events_and_totals(rng, panes, rows, share, sd, correlation)) for _ in range(trials)
    ]
    return float(np.mean([interval.low <= truth <= interval.high for interval in found]))


@pytest.mark.parametrize(
    ("sd", "correlation", "least"), [(0.0, 0.0, 0.93), (1.0, 0.0, 0.91), (0.7, 0.5, 0.87), (0.7, 0.9, 0.75)]
)
def test_shares_are_covered_also_where_panes_depend_on_each_other(sd, correlation, least):
    assert coverage(400, 60, 200, 0.05, sd, correlation) >= least


def quantile_coverage(trials: int, correlation: float, q: float) -> float:
    """Lognormal latencies whose level moves from pane to pane."""
    rng = np.random.default_rng(7)
    sd = 0.5 if correlation else 0.0
    truth = 0.05 * math.exp(stats.norm.ppf(q) * math.hypot(sd, 0.6))
    hits = 0
    for _ in range(trials):
        panes = []
        for level in sd * levels(rng, 60, correlation):
            panes.append(LatencyHistogram(()))
            panes[-1].update((5e7 * np.exp(level + 0.6 * rng.normal(size=50))).astype(np.int64))
        found = PaneCounts(panes).quantile(q)
        low = found.low_s if found.low_s is not None else 0.0
        hits += low <= truth <= (found.high_s if found.high_s is not None else math.inf)
    return hits / trials


@pytest.mark.parametrize(("correlation", "least"), [(0.0, 0.91), (0.9, 0.75)])
def test_quantiles_are_covered_also_where_panes_depend_on_each_other(correlation, least):
    assert quantile_coverage(100, correlation, 0.95) >= least


@pytest.mark.proof("monitor/stats/intervals.py", "monitor/stats/histogram.py")
def test_coverage_of_95_percent_intervals(measured):
    for panes in (60, 120):
        for sd, correlation in ((0.0, 0.0), (1.0, 0.0), (0.7, 0.5), (0.7, 0.9)):
            name = "independent" if not sd else f"clustered, AR({correlation:g})"
            found = coverage(4000, panes, 200, 0.05, sd, correlation)
            measured[f"share, {panes} panes, {name}"] = found
            assert found >= (
                0.94 if not sd else 0.92 if not correlation else 0.88 if correlation < 0.9 else 0.8
            )
    for q in (0.5, 0.95, 0.99):
        for correlation in (0.0, 0.9):
            found = quantile_coverage(1000, correlation, q)
            measured[f"quantile {q:g}, 60 panes, AR({correlation:g})"] = found
            assert found >= (0.8 if correlation else 0.93)
