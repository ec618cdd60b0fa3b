"""The effective size of a series is what its autocorrelation leaves, never more than its length."""

import numpy as np
import pytest
from scipy.signal import lfilter

from monitor.stats.dependence import effective_size


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.99])
def test_an_autoregression_is_worth_what_its_formula_says(phi):
    rng = np.random.default_rng(41)
    series = lfilter([1.0], [1.0, -phi], rng.standard_normal(200_000))
    assert effective_size(series) == pytest.approx(200_000 * (1 - phi) / (1 + phi), rel=0.15)


def test_alternation_is_worth_no_more_than_its_length():
    assert effective_size(np.tile([1.0, -1.0], 500)) == 1_000.0


def test_few_equal_or_huge_values():
    assert [effective_size(np.array(values)) for values in ([], [3.0], [3.0, 3.0])] == [0.0, 1.0, 2.0]
    assert 1 <= effective_size(np.random.default_rng(42).standard_normal(100) * 1e300) <= 100


def test_symbols_one_after_the_other_are_worth_their_sum():
    rng = np.random.default_rng(43)
    series = lfilter([1.0], [1.0, -0.9], rng.standard_normal((40, 500)), axis=1).ravel()
    assert effective_size(series) == pytest.approx(20_000 / 19, rel=0.2)
