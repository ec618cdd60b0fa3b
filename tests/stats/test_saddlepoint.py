"""The far tail of weighted chi-squares against exact laws and against numerical inversion."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from monitor.stats.saddlepoint import tail


def one(weights, x, dof=np.inf):
    return float(tail(np.array([weights], np.float64), np.array([float(x)]), np.array([float(dof)]))[0])


def inverted(weights, x, dof):
    """P(sum w chi2 - x chi2_dof / dof > 0) by Imhof's integral; `dof` infinite: P(sum w chi2 > x)."""
    known = np.isinf(dof)
    weights = np.asarray(weights if known else [*weights, -x / dof])
    degrees = np.ones(weights.size)
    if not known:
        degrees[-1] = dof

    def integrand(u):
        angle = 0.5 * np.sum(degrees * np.arctan(weights * u)) - (0.5 * x * u if known else 0.0)
        return np.sin(angle) * np.exp(-np.sum(degrees * np.log1p((weights * u) ** 2)) / 4) / u

    value, _ = integrate.quad(integrand, 1e-12, np.inf, limit=2_000, epsabs=1e-13)
    return 0.5 + value / np.pi


@pytest.mark.parametrize(("k", "error"), [(1, 0.07), (2, 0.03), (5, 0.01), (15, 0.002)])
@pytest.mark.parametrize("p", [0.9, 0.5, 0.1, 1e-2, 1e-4, 1e-6])
def test_equal_weights_give_chi_square_and_with_finite_blocks_f(k, error, p):
    assert one([3.7] * k, 3.7 * stats.chi2.isf(p, k)) == pytest.approx(p, rel=error)
    assert one([0.2] * k, 0.2 * k * stats.f.isf(p, k, 300), 300) == pytest.approx(p, rel=1.1 * error)


@pytest.mark.parametrize("k", [5, 15])
@pytest.mark.parametrize("p", [1e-6, 1e-3, 0.05])
def test_what_is_nearly_certain_is_as_exact_as_what_is_rare(k, p):
    assert 1 - one([3.7] * k, 3.7 * stats.chi2.ppf(p, k)) == pytest.approx(p, rel=0.03)
    assert 1 - one([0.2] * k, 0.2 * k * stats.f.ppf(p, k, 300), 300) == pytest.approx(p, rel=0.03)


@pytest.mark.parametrize("dof", [np.inf, 2_520, 60])
@pytest.mark.parametrize("x", [300, 600, 1_500, 3_000, 5_000])
def test_weights_that_fall_as_those_of_ar1_do_agree_with_numerical_inversion(x, dof):
    weights = 190 / np.arange(1.0, 16.0)
    assert one(weights, x, dof) == pytest.approx(inverted(weights, x, dof), rel=0.07)


@given(
    st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=16),
    st.floats(1e-3, 50),
    st.sampled_from([np.inf, 40, 1_000]),
    st.floats(1e-6, 1e6),
)
def test_falls_with_x_and_knows_neither_unit_nor_padding(weights, times, dof, unit):
    x = times * sum(weights)
    p = one(weights, x, dof)
    assert 0.0 <= p <= 1.0
    assert one(weights, 1.01 * x, dof) <= p + 1e-12
    assert one([w * unit for w in weights], x * unit, dof) == pytest.approx(p, rel=1e-6, abs=1e-300)
    assert one([0.0, *weights, 0.0], x, dof) == pytest.approx(p, rel=1e-9, abs=1e-300)


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
def test_passes_smoothly_through_the_mean_where_the_formula_is_nought_by_nought():
    weights = [5.0, 2.0, 1.0]
    near = [one(weights, 8 + step) for step in (-1e-3, -1e-6, 0.0, 1e-6, 1e-3)]
    assert near == sorted(near, reverse=True)
    assert near[0] - near[-1] < 1e-3
    assert near[2] == pytest.approx(inverted(weights, 8.0, np.inf), rel=0.05)


def test_nothing_that_varies_allows_nothing():
    assert one([0.0, 0.0], 0.0) == 1.0
    assert one([0.0, 0.0], 1e-9) == 0.0
    assert one([1.0], 0.0) == 1.0


def test_rows_do_not_touch_each_other_and_the_farthest_tail_is_quiet():
    rng = np.random.default_rng(1)
    weights, x = rng.exponential(size=(40, 15)), np.geomspace(1e-6, 1e9, 40)
    dof = np.where(np.arange(40) % 2, np.inf, 500.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        together = tail(weights, x, dof)
    alone = [tail(weights[i : i + 1], x[i : i + 1], dof[i : i + 1])[0] for i in range(40)]
    assert together == pytest.approx(alone, rel=1e-9, abs=1e-300)
    assert together[-1] == 0.0
