"""The distance of Kolmogorov and Smirnov: exact on samples, certified from bins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitor.stats.ks import binned_ks, exact_ks

ugly = st.lists(
    st.one_of(st.integers(-3, 3).map(float), st.floats(allow_nan=True, allow_infinity=True)), max_size=60
)


@pytest.mark.filterwarnings("ignore:divide by zero")
@given(ugly, ugly)
def test_exact_distance_equals_scipy_on_ties_infinities_and_missing_values(first, second):
    first, second = np.array(first, np.float64), np.array(second, np.float64)
    kept = [column[~np.isnan(column)] for column in (first, second)]
    found = exact_ks(first, second)
    if min(map(len, kept)) == 0:
        assert found is None
    else:
        assert found == pytest.approx(stats.ks_2samp(*kept, method="asymp").statistic, abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(10_000, 7), (3, 3), (1, 9_999)])
def test_constant_against_constant_is_nothing(n, m):
    assert exact_ks(np.full(n, 2.5), np.full(m, 2.5)) == 0.0
    assert binned_ks(np.array([[float(n)]]), np.array([[float(m)]]))[0][0] == 0.0


@given(
    st.lists(st.floats(-9, 9), min_size=1, max_size=80),
    st.lists(st.floats(-9, 9), min_size=1, max_size=80),
    st.sets(st.floats(-9, 9), max_size=6),
)
def test_the_true_distance_lies_between_the_binned_one_and_its_bound(first, second, edges):
    edges = sorted(edges)
    counts = [
        np.bincount(np.searchsorted(edges, column, side="right"), minlength=len(edges) + 1)[None, :]
        for column in (first, second)
    ]
    distance, bound = binned_ks(*(each.astype(np.float64) for each in counts))
    true = exact_ks(np.array(first), np.array(second))
    assert distance[0] - 1e-12 <= true <= bound[0] + 1e-12
    assert bound[0] <= 1.0


def test_bins_of_a_single_value_each_give_the_exact_distance():
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 6, 5_000), rng.integers(0, 6, 300)
    counts = [np.bincount(column, minlength=6)[None, :].astype(float) for column in (first, second)]
    exact = exact_ks(first.astype(float), second.astype(float))
    assert binned_ks(*counts)[0][0] == pytest.approx(exact, abs=1e-12)


def test_64_bins_of_continuous_values_certify_the_distance_within_a_bin_and_a_half():
    rng = np.random.default_rng(2)
    first, second = rng.standard_normal(10_000), rng.standard_normal(10_000) + 0.1
    edges = np.quantile(first, np.arange(1, 64) / 64)
    counts = [np.histogram(column, [-np.inf, *edges, np.inf])[0][None, :] for column in (first, second)]
    distance, bound = binned_ks(*(each.astype(np.float64) for each in counts))
    assert bound[0] - distance[0] < 1.5 / 64
