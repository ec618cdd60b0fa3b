"""Spearman's rho equals SciPy's, intervals cover the truth, and no data is never a pass."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_cases import columns, few
from scipy.signal import lfilter
from scipy.stats import kendalltau, spearmanr

from monitor.stats.estimate import Status
from monitor.stats.rank import kendall_tau, rank_correlation, spearman
from monitor.stats.sample import PairSample


def window_of(a, b, symbol=None, k=100_000, cap=100_000):
    n = len(a)
    sample = PairSample(cap)
    symbols = np.zeros(n, np.uint64) if symbol is None else np.asarray(symbol, np.uint64)
    hash_ = np.random.default_rng(18).permutation(n).astype(np.uint64) << np.uint64(32)
    sample.update(hash_, np.arange(n), symbols, np.asarray(a, np.float64), np.asarray(b, np.float64))
    return PairSample.join([sample], k)


COLUMNS = columns(19)


@pytest.mark.parametrize("name", COLUMNS)
def test_rho_equals_scipy(name):
    a, b = COLUMNS[name]
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    assert rank_correlation(window_of(a, b), 0, 1).value == pytest.approx(spearman(a, b), abs=1e-15)


@settings(max_examples=200)
@given(st.lists(st.tuples(few, few), min_size=2, max_size=30))
def test_rho_of_any_finite_pairs_equals_scipy(pairs):
    a, b = np.array(pairs).T
    rho = spearman(a, b)
    if len(set(a.tolist())) == 1 or len(set(b.tolist())) == 1:
        assert math.isnan(rho)
    else:
        assert rho == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
        assert -1 <= rho <= 1
    assert math.isnan(rho) or spearman(a[::-1].copy(), b[::-1].copy()) == rho


def test_equal_values_of_two_symbols_are_no_tie():
    a = [1, 2, 3, 3, 4, 5]
    b = [1, 2, 3, 4, 5, 6]
    assert rank_correlation(window_of(a, b, [1, 1, 1, 2, 2, 2]), 0, 1).value == 1.0


@pytest.mark.parametrize("n", [2, 3, 7, 1_000, 99_991])
def test_perfect_agreement_is_exactly_one(n):
    a = np.random.default_rng(20).standard_normal(n)
    assert spearman(a, np.exp(a)) == 1.0
    assert spearman(a, -a) == -1.0


def test_within_symbol_averages_by_pairs_and_pooling_flatters():
    rng = np.random.default_rng(21)
    symbol = rng.choice(50, 10_000)
    level = rng.standard_normal(50)[symbol]
    a, b = level + 0.1 * rng.standard_normal((2, symbol.size))
    window = window_of(a, b, symbol)
    within, pooled = rank_correlation(window, 0, 1), rank_correlation(window, 0, 1, pooled=True)
    expected = [(np.sum(symbol == s), spearmanr(a[symbol == s], b[symbol == s]).statistic) for s in range(50)]
    assert within.value == pytest.approx(
        np.average([r for _, r in expected], weights=[n for n, _ in expected]), abs=1e-12
    )
    assert pooled.value == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    assert abs(within.value) < 0.05
    assert pooled.value > 0.9
    assert (within.extra["scope"], pooled.extra["scope"]) == ("within", "pooled")


def test_symbols_that_say_nothing_are_left_out_and_counted():
    a = [1, 2, 3, 4, 5, 5, 5, 5, 1, 2]
    b = [1, 2, 3, 4, 1, 2, 3, 4, 1, 2]
    estimate = rank_correlation(window_of(a, b, [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]), 10, 20)
    assert (estimate.status, estimate.value, estimate.n) == (Status.OK, 1.0, 4)
    assert (estimate.from_ns, estimate.to_ns) == (10, 20)
    left_out = {
        key: estimate.extra[key] for key in ("symbols", "symbols_left_out", "pairs_left_out", "pairs_seen")
    }
    assert left_out == {"symbols": 1, "symbols_left_out": 2, "pairs_left_out": 6, "pairs_seen": 10}


@pytest.mark.parametrize("coefficient", [rank_correlation, kendall_tau])
@pytest.mark.parametrize(
    ("a", "b", "symbol", "status"),
    [
        ([], [], [], Status.INSUFFICIENT),
        ([1], [1], [1], Status.INSUFFICIENT),
        ([1, 2, 1, 2], [1, 2, 1, 2], [1, 1, 2, 2], Status.INSUFFICIENT),
        ([np.nan] * 9, range(9), [1] * 9, Status.INSUFFICIENT),
        ([7] * 9, [7] * 9, [1] * 9, Status.UNKNOWN),
        (range(9), [7] * 9, [1] * 9, Status.UNKNOWN),
    ],
)
def test_no_data_and_no_order_have_no_value(a, b, symbol, status, coefficient):
    estimate = coefficient(window_of(list(a), list(b), symbol), 0, 1)
    assert (estimate.status, estimate.value, estimate.n) == (status, None, 0)


@pytest.mark.parametrize(
    ("coefficient", "oracle"), [(rank_correlation, spearmanr), (kendall_tau, kendalltau)]
)
def test_non_finite_pairs_are_dropped_and_counted(coefficient, oracle):
    rng = np.random.default_rng(22)
    a, b = rng.standard_normal((2, 500))
    a[3], b[7], a[9] = np.nan, np.inf, -np.inf
    good = np.isfinite(a) & np.isfinite(b)
    estimate = coefficient(window_of(a, b), 0, 1)
    assert estimate.value == pytest.approx(oracle(a[good], b[good]).statistic, abs=1e-12)
    assert (estimate.n, estimate.extra["non_finite"]) == (497, 3)


def autoregressive(rng, n, phi):
    steps = rng.standard_normal((2, n)) * math.sqrt(1 - phi * phi)
    return lfilter([1.0], [1.0, -phi], steps, zi=phi * rng.standard_normal((2, 1)))[0]


@pytest.mark.parametrize(("phi", "n", "trials"), [(0.0, 1_000, 600), (0.9, 2_000, 400), (0.99, 5_000, 200)])
@pytest.mark.parametrize("r", [0.0, 0.8])
def test_intervals_cover_the_truth_in_95_of_100_however_dependent_the_pairs(phi, n, trials, r):
    rng = np.random.default_rng(23)
    true = {rank_correlation: 6 / math.pi * math.asin(r / 2), kendall_tau: 2 / math.pi * math.asin(r)}
    for coefficient, truth in true.items():
        covered = 0
        for _ in range(trials):
            x, noise = autoregressive(rng, n, phi)
            estimate = coefficient(window_of(x, r * x + math.sqrt(1 - r * r) * noise), 0, 1)
            covered += estimate.low <= truth <= estimate.high
        assert 0.90 <= covered / trials <= 0.99


def test_levels_of_symbols_are_no_independent_evidence_when_pooled():
    rng = np.random.default_rng(26)
    symbol = np.repeat(np.arange(20), 200)
    level = rng.standard_normal(20)[symbol]
    a, b = level + 0.1 * rng.standard_normal((2, symbol.size))
    window = window_of(a, b, symbol)
    assert rank_correlation(window, 0, 1).n_eff > 3_000
    assert rank_correlation(window, 0, 1, pooled=True).n_eff < 100


def test_many_tiny_symbols_in_perfect_order_are_no_certainty():
    rng = np.random.default_rng(27)
    x = rng.standard_normal(400)
    estimate = kendall_tau(window_of(x, x + rng.standard_normal(400), np.arange(400) // 4), 0, 1)
    assert 0.03 < estimate.extra["standard_error"] < 0.07


def test_a_cut_sample_says_so_with_its_standard_error():
    rng = np.random.default_rng(24)
    x, noise = rng.standard_normal((2, 60_000))
    a, b = x, x + noise
    whole = rank_correlation(window_of(a, b), 0, 1)
    cut = rank_correlation(window_of(a, b, k=10_000), 0, 1)
    assert whole.extra["exact"] is True
    assert (cut.extra["exact"], cut.n, cut.extra["pairs_seen"]) == (False, 10_000, 60_000)
    assert 9_000 < cut.n_eff <= 10_000
    assert abs(cut.value - whole.value) < 4 * cut.extra["standard_error"]
    assert cut.low < cut.value < cut.high
