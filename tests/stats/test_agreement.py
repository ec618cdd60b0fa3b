"""Signs, gaps and differences are exact over all pairs; parity counts what came out again."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.stats.agreement import (
    GAP,
    Agreement,
    disagreement_gap,
    disagreement_rate,
    gaps,
    max_abs_difference,
    sign_agreement,
)
from monitor.stats.differences import abs_difference
from monitor.stats.estimate import Status
from monitor.stats.exact_sum import exact_sum, mean_of
from monitor.stats.exact_sums import ExactSums
from monitor.stats.intervals import share_interval, wilson
from monitor.stats.pair_counts import LARGEST
from monitor.stats.parity import Parity, Tolerance, serving_parity
from monitor.stats.sample import PairSample

ZERO = (0.0, 0.0)
ugly = st.one_of(st.sampled_from([0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan]), st.floats())
pairs = st.lists(st.tuples(ugly, ugly), max_size=40)


def sides(rows):
    return np.array(rows, np.float64).reshape(-1, 2).T


def agreement_of(a, b, neutral=ZERO):
    statistic = Agreement(neutral)
    statistic.update(np.asarray(a, np.float64), np.asarray(b, np.float64))
    return statistic


def gap_of(a, b):
    sums = ExactSums(GAP)
    sums.update(gaps(np.asarray(a, np.float64), np.asarray(b, np.float64), ZERO))
    return sums


@given(pairs)
def test_signs_and_the_largest_difference_are_those_of_their_definitions(rows):
    good = [(a, b) for a, b in rows if math.isfinite(a) and math.isfinite(b)]
    signs = [((a > 0) - (a < 0), (b > 0) - (b < 0)) for a, b in good]
    panes = [agreement_of(*sides(rows))]
    share, rate, largest = (
        value(panes, 3, 9) for value in (sign_agreement, disagreement_rate, max_abs_difference)
    )
    if not good:
        assert {e.status for e in (share, rate, largest)} == {Status.INSUFFICIENT}
        assert {e.value for e in (share, rate, largest)} == {None}
    else:
        assert share.value == sum(a == b for a, b in signs) / len(good)
        assert rate.value == sum(a != b for a, b in signs) / len(good)
        assert share.low <= share.value <= share.high
        assert largest.value == min(LARGEST, max(abs(b - a) for a, b in good))
    assert (share.n, share.extra["non_finite"]) == (len(good), len(rows) - len(good))
    assert share.extra["both_neutral"] == sum(a == b == 0 for a, b in signs)
    assert share.extra["one_neutral"] == sum((a == 0) != (b == 0) for a, b in signs)
    assert (largest.from_ns, largest.to_ns, largest.n) == (3, 9, len(good))


def test_a_probability_has_its_sign_about_one_half():
    statistic = agreement_of([0.2, 0.7, 0.5, 0.5], [0.4, 0.3, 0.5, 0.6], (0.5, 0.5))
    assert (statistic.same, statistic.both_neutral, statistic.one_neutral) == (2, 1, 1)


def test_the_interval_of_sign_agreement_is_wilsons_and_widens_with_the_scatter_of_panes():
    rng = np.random.default_rng(51)
    a = rng.choice([-1.0, 1.0], 6_000)
    lasting = np.repeat(rng.choice([-1.0, 1.0], 60, p=[0.2, 0.8]), 100)
    single = sign_agreement([agreement_of(a, a * lasting)], 0, 1)
    assert (single.low, single.high) == wilson(single.value, 6_000)
    panes = [agreement_of(a[i : i + 100], (a * lasting)[i : i + 100]) for i in range(0, 6_000, 100)]
    apart = sign_agreement(panes, 0, 1)
    assert apart.value == single.value
    assert apart.n_eff < 120
    same = share_interval(np.array([p.same for p in panes]), np.full(60, 100))
    assert (apart.low, apart.high) == (same.low, same.high)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=60), st.randoms())
def test_a_sum_of_floats_is_exact_in_any_order(values, random):
    total = exact_sum(np.array(values, np.float64))
    assert Fraction(total, 1 << 1074) == sum(map(Fraction, values))
    random.shuffle(values)
    cut = random.randint(0, len(values))
    parts = exact_sum(np.array(values[:cut])) + exact_sum(np.array(values[cut:]))
    assert parts == total


def test_the_mean_of_an_exact_sum_is_correctly_rounded():
    values = np.random.default_rng(52).standard_normal(10_000) * 1e-5
    assert mean_of(exact_sum(values), 10_000) == float(sum(map(Fraction, values.tolist())) / 10_000)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=50))
def test_the_gap_is_the_mean_difference_of_the_pairs_that_disagree(rows):
    a, b = sides(rows)
    differ = np.sign(a) != np.sign(b)
    estimate = disagreement_gap([gap_of(a[:20], b[:20]), gap_of(a[20:], b[20:])], 3, 9)
    assert estimate.n == differ.sum()
    if not differ.any():
        assert (estimate.status, estimate.value) == (Status.INSUFFICIENT, None)
        return
    assert estimate.value == float(Fraction(int((b - a)[differ].sum()), int(differ.sum())))
    if estimate.n > 1:
        half = 1.959963984540054 * np.std((b - a)[differ]) / math.sqrt(estimate.n)
        assert estimate.high - estimate.value == pytest.approx(half, rel=1e-9, abs=1e-12)


def test_what_both_agree_on_does_not_thin_the_gap():
    a, b = np.array([1.0, 1.0, -1.0]), np.array([9.0, -2.0, 4.0])
    assert disagreement_gap([gap_of(a, b)], 0, 1).value == (-3.0 + 5.0) / 2


def test_gaps_beyond_the_floats_have_a_value_and_no_interval():
    a, b = np.array([1e308, -1e308, 1.0, np.inf]), np.array([-1e308, 1e308, -1.0, 0.0])
    estimate = disagreement_gap([gap_of(a, b)], 0, 1)
    assert (estimate.n, estimate.low, estimate.high) == (3, None, None)
    assert math.isfinite(estimate.value)
    assert max_abs_difference([agreement_of(a, b)], 0, 1).value == LARGEST


def window_of(a, b, k=100_000, cap=100_000):
    sample = PairSample(cap)
    hash_ = np.random.default_rng(53).permutation(len(a)).astype(np.uint64)
    sample.update(hash_, np.arange(len(a)), np.zeros(len(a), np.uint64), a, b)
    return PairSample.join([sample], k)


@pytest.mark.parametrize("n", [1, 2, 7, 1_000])
@pytest.mark.parametrize("q", [0.0, 0.25, 0.5, 0.99, 1.0])
def test_quantiles_of_the_difference_equal_numpy(n, q):
    rng = np.random.default_rng(54)
    for a, b in (rng.standard_cauchy((2, n)), rng.integers(0, 3, (2, n)).astype(float), np.zeros((2, n))):
        estimate = abs_difference(window_of(a, b), q, 0, 1)
        assert estimate.value == np.quantile(np.abs(a - b), q, method="inverted_cdf")
        assert estimate.extra["exact"]
        assert estimate.low is None or estimate.low <= estimate.value
        assert estimate.high is None or estimate.value <= estimate.high


def test_the_interval_of_a_quantile_covers_it_in_95_of_100():
    rng = np.random.default_rng(55)
    covered = 0
    for _ in range(600):
        a, b = rng.standard_normal((2, 500))
        estimate = abs_difference(window_of(a, b), 0.9, 0, 1)
        # 1.6449 sqrt(2); a sample that scatters much may mark no bound.
        covered += (estimate.low or 0.0) <= 2.326174 <= (estimate.high or math.inf)
    assert covered / 600 >= 0.93


def test_differences_without_pairs_are_insufficient_and_huge_ones_the_largest_float():
    none = abs_difference(window_of(np.array([np.nan]), np.array([1.0])), 0.5, 0, 1)
    assert (none.status, none.value, none.extra["non_finite"]) == (Status.INSUFFICIENT, None, 1)
    assert abs_difference(window_of(np.array([1e308]), np.array([-1e308])), 0.5, 0, 1).value == LARGEST


@given(pairs)
def test_parity_counts_what_lies_within_the_tolerance(rows):
    parity = Parity(Tolerance(1e-5, 1e-3))
    parity.update(*sides(rows))
    good = [(a, b) for a, b in rows if math.isfinite(a) and math.isfinite(b)]
    within = sum(abs(b - a) <= 1e-5 + 1e-3 * abs(a) for a, b in good)
    estimate = serving_parity([parity], 3, 9)
    assert (estimate.n, estimate.extra["non_finite"]) == (len(good), len(rows) - len(good))
    if good:
        assert estimate.value == within / len(good)
        assert estimate.extra["largest_difference"] == min(LARGEST, max(abs(b - a) for a, b in good))
    else:
        assert (estimate.status, estimate.value) == (Status.INSUFFICIENT, None)


def test_agreement_of_other_neutral_values_or_tolerances_does_not_merge_and_damage_is_refused():
    with pytest.raises(ValueError, match="specifications"):
        agreement_of([1], [1]).merge(Agreement((0.5, 0.5)))
    with pytest.raises(ValueError, match="specifications"):
        Parity(Tolerance(0, 0)).merge(Parity(Tolerance(1, 0)))
    with pytest.raises(StateError):
        Agreement.from_bytes(agreement_of([1], [1]).to_bytes()[:-1], ZERO)
    with pytest.raises(StateError):
        Parity.from_bytes(b"", Tolerance(0, 0))
