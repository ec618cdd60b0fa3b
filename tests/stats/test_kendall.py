"""Kendall's tau-b equals SciPy's on any finite pairs, and its variance that of repeated samples."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_cases import N, columns, few
from scipy.stats import kendalltau

from monitor.stats.kendall import kendall, taus
from monitor.stats.rank import kendall_tau
from monitor.stats.ranks import Ranks
from monitor.stats.sample import PairSample


def worse():
    """Also what Spearman's rho has no value for, and more pairs than 16 bits count."""
    rng = np.random.default_rng(31)
    seven = np.full(N, 7.0)
    return {
        **columns(31),
        "constant": (seven, rng.standard_normal(N)),
        "both_constant": (seven, seven),
        "past_16_bits": tuple(rng.standard_normal((2, 70_001)).round(3)),
    }


COLUMNS = worse()


@pytest.mark.parametrize("name", COLUMNS)
def test_tau_equals_scipy(name):
    a, b = COLUMNS[name]
    assert kendall(a, b).tau == pytest.approx(kendalltau(a, b).statistic, abs=1e-12, nan_ok=True)


@settings(max_examples=300)
@given(st.lists(st.tuples(few, few), min_size=0, max_size=40), st.randoms())
def test_tau_of_any_finite_pairs_equals_scipy_in_any_order(pairs, random):
    a, b = np.array(pairs, np.float64).reshape(-1, 2).T
    found = kendall(a, b)
    if len(pairs) < 2 or len(set(a.tolist())) == 1 or len(set(b.tolist())) == 1:
        assert math.isnan(found.tau)
    else:
        assert found.tau == pytest.approx(kendalltau(a, b).statistic, abs=1e-12)
        assert -1 <= found.tau <= 1
    random.shuffle(pairs)
    again = kendall(*np.array(pairs, np.float64).reshape(-1, 2).T)
    assert again == found or math.isnan(found.tau)


def by_definition(a, b):
    """The delta method on P, wa and wb, pair by pair."""
    n = a.size
    signs_a, signs_b = (np.sign(np.subtract.outer(side, side)).astype(int) for side in (a, b))
    d = (signs_a * signs_b).sum(axis=1)
    r, c = (signs_a == 0).sum(axis=1), (signs_b == 0).sum(axis=1)
    wa, wb = n * n - r.sum(), n * n - c.sum()
    w = math.sqrt(wa * wb)
    tau = d.sum() / w
    influence = (2 * w * d + tau * (r * wb + c * wa)) / (w * w)
    return ((influence - influence.mean()) ** 2).sum()


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_the_variance_is_that_of_its_definition_pair_by_pair(decimals):
    rng = np.random.default_rng(32)
    a, noise = rng.standard_normal((2, 257))
    a, b = a.round(decimals), (a + noise).round(decimals)
    assert kendall(a, b).variance == pytest.approx(by_definition(a, b), rel=1e-12)


@pytest.mark.parametrize("decimals", [0, 9])
def test_the_variance_is_that_of_repeated_samples(decimals):
    rng = np.random.default_rng(33)
    found = []
    for _ in range(2_000):
        a, noise = rng.standard_normal((2, 100))
        found.append(kendall(a.round(decimals), (a + noise).round(decimals)))
    # Standard error of a variance from 2,000 samples: 3.2 %; the delta method is of order 1 / n = 1 % off.
    assert np.mean([tau.variance for tau in found]) == pytest.approx(
        np.var([tau.tau for tau in found]), rel=0.12
    )


@pytest.mark.parametrize("n", [2, 3, 7, 1_000, 65_537])
def test_perfect_agreement_is_exactly_one(n):
    a = np.random.default_rng(34).standard_normal(n)
    assert kendall(a, np.exp(a)).tau == 1.0
    assert kendall(a, -a).tau == -1.0


def test_every_group_has_its_own_tau():
    rng = np.random.default_rng(35)
    label = rng.integers(0, 60, 3_000).astype(np.uint64) << np.uint64(55)
    a, b = rng.standard_normal((2, 3_000)).round(1)
    found = taus(Ranks.of(label, a, b))
    for symbol, tau in zip(np.unique(label), found, strict=True):
        mine = label == symbol
        assert tau == kendall(a[mine], b[mine])


def test_within_symbol_averages_by_pairs():
    rng = np.random.default_rng(36)
    symbol = rng.choice(30, 2_000)
    a, b = rng.standard_normal((2, symbol.size)).round(1) + symbol
    sample = PairSample(5_000)
    hashes = rng.permutation(symbol.size).astype(np.uint64)
    sample.update(hashes, np.arange(symbol.size), symbol.astype(np.uint64), a, b)
    estimate = kendall_tau(PairSample.join([sample], 5_000), 3, 9)
    expected = [
        (np.sum(symbol == s), kendalltau(a[symbol == s], b[symbol == s]).statistic) for s in range(30)
    ]
    assert estimate.value == pytest.approx(
        np.average([tau for _, tau in expected], weights=[n for n, _ in expected]), abs=1e-12
    )
    assert (estimate.n, estimate.extra["symbols"], estimate.extra["scope"]) == (2_000, 30, "within")
    assert estimate.low < estimate.value < estimate.high
    assert (estimate.from_ns, estimate.to_ns) == (3, 9)
