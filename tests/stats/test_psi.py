"""PSI against an oracle, and what it must say on ugly data."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats.binning import BinCounts, Binner
from monitor.stats.drift import DriftReader
from monitor.stats.estimate import Status
from monitor.stats.psi import collapse, psi
from monitor.stats.reference import freeze


def counted(distribution, column):
    counts = BinCounts(Binner([distribution]))
    counts.update(np.asarray(column, np.float64)[:, None])
    return counts.column(0)


def estimates(distribution, counts):
    (reading,) = DriftReader([distribution]).read(counts[None, :], [(0, 3_600 * 10**9)])
    return reading.estimates(0, 3_600 * 10**9)


def psi_of(reference, live):
    distribution = freeze(np.asarray(reference, np.float64))
    return estimates(distribution, counted(distribution, live))["psi"]


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=16))
def test_psi_equals_exact_shares_with_half_added(bins):
    filled = [(r, m) for r, m in bins if r or m]
    k = Fraction(len(filled), 2)
    expected = 0.0
    for r, m in filled:
        p = (r + Fraction(1, 2)) / (sum(r for r, _ in filled) + k)
        q = (m + Fraction(1, 2)) / (sum(m for _, m in filled) + k)
        expected += float(q - p) * math.log(q / p)
    value = psi([r for r, _ in bins], [m for _, m in bins])
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert value >= -1e-15
    assert math.isfinite(value)


def test_psi_of_columns_equals_an_independent_numpy_computation():
    rng = np.random.default_rng(9)
    reference, live = rng.standard_t(3, 20_000), rng.standard_t(3, 3_000) + 0.3
    live[:40] = np.nan
    frozen = freeze(reference)
    group = np.searchsorted(frozen.psi_starts, np.arange(len(frozen.counts)), side="right") - 1

    def shares(column):
        present = column[~np.isnan(column)]
        groups = group[np.searchsorted(frozen.edges, present, side="right")]
        counts = np.append(np.bincount(groups, minlength=15), column.size - present.size)
        return (counts + 0.5) / (counts.sum() + 8)

    p, q = shares(reference), shares(live)
    assert psi_of(reference, live).value == pytest.approx(np.sum((q - p) * np.log(q / p)), abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(10_000, 10_000), (10_000, 50), (30, 9_999)])
def test_constant_against_the_same_constant_is_zero(n, m):
    estimate = psi_of(np.full(n, 2.5), np.full(m, 2.5))
    assert (estimate.status, estimate.value) == (Status.OK, 0.0)


def test_one_wild_value_moves_one_count():
    rng = np.random.default_rng(10)
    frozen = freeze(rng.standard_normal(50_000))
    live = rng.standard_normal(10_000)
    wild = live.copy()
    wild[17] = 1e6
    before, after = counted(frozen, live), counted(frozen, wild)
    assert np.abs(after - before).sum() == 2
    assert after[-2] == before[-2] + 1
    assert estimates(frozen, after)["psi"].value == pytest.approx(
        estimates(frozen, before)["psi"].value, abs=1e-4
    )


def test_an_outlier_does_not_hide_a_shift():
    rng = np.random.default_rng(11)
    reference, live = rng.standard_normal(50_000), rng.standard_normal(10_000) + 2
    live[0] = 1e6
    assert psi_of(reference, live).value > 3


def test_missing_values_are_drift():
    rng = np.random.default_rng(12)
    reference, live = rng.standard_normal(10_000), rng.standard_normal(10_000)
    live[:9_500] = np.nan
    estimate = psi_of(reference, live)
    assert estimate.value > 2
    assert estimate.extra["null_rate"] == 0.95
    assert psi_of(reference, np.full(500, np.nan)).value > 2


def test_a_feature_that_was_always_missing_and_comes_to_life_is_drift():
    assert psi_of(np.full(1_000, np.nan), np.ones(1_000)).value > 2
    assert psi_of(np.full(1_000, np.nan), np.full(77, np.nan)).value == 0.0


def test_infinities_are_drift_and_finite():
    estimate = psi_of(np.random.default_rng(13).standard_normal(9_999), np.full(200, np.inf))
    assert estimate.value > 2
    assert math.isfinite(estimate.value)


@pytest.mark.parametrize("live", [[], [1.0], [1.0] * 159])
def test_too_few_live_values_are_insufficient(live):
    reference = np.append(np.random.default_rng(14).standard_normal(10_000), np.nan)
    estimate = psi_of(reference, live)
    assert (estimate.status, estimate.value, estimate.n) == (Status.INSUFFICIENT, None, len(live))
    assert estimate.extra["n_needed"] == 160


def test_ten_live_values_a_filled_bin_are_enough():
    reference = np.append(np.random.default_rng(14).standard_normal(10_000), np.nan)
    assert psi_of(reference, [1.0] * 160).status is Status.OK


def test_an_empty_reference_is_insufficient():
    assert psi_of([], np.ones(1_000)).status is Status.INSUFFICIENT


def test_excess_over_chance_is_about_zero_without_drift():
    rng = np.random.default_rng(15)
    frozen = freeze(rng.standard_normal(100_000))
    raw, excess = [], []
    for _ in range(200):
        said = estimates(frozen, counted(frozen, rng.standard_normal(500)))
        raw.append(said["psi"].value)
        excess.append(said["psi_excess"].value)
    # The null mean is 14 (1/N + 1/M) = 0.028; its standard error over 200 runs is below 0.001.
    assert np.mean(raw) == pytest.approx(0.028, abs=0.003)
    assert np.mean(excess) < 0.006


@given(st.lists(st.integers(0, 9), min_size=2, max_size=65), st.data())
def test_collapsing_keeps_every_count_and_the_missing_ones_apart(counts, data):
    bins = len(counts) - 1
    starts = (
        [0, *sorted(data.draw(st.sets(st.integers(1, max(1, bins - 1)), max_size=bins - 1)))]
        if bins > 1
        else [0]
    )
    collapsed = collapse(counts, starts)
    ends = [*starts[1:], bins]
    assert collapsed == [sum(counts[a:b]) for a, b in zip(starts, ends, strict=True)] + [counts[-1]]
