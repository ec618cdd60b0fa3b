"""Mean shifts are exact in fixed point, whatever the order, and no wild value moves them far."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monitor.errors import StateError
from monitor.stats.estimate import Status
from monitor.stats.moments import CLIP_SIGMA, UNITS, Moments, Scale, mean_shifts
from monitor.stats.staleness import Staleness

SCALE = Scale([0.0, 5.0, -1e6, 7.0, 1e300], [1.0, 0.25, 1e3, 0.0, 1e-310])
ugly = st.floats(width=64) | st.sampled_from([7.0, 5.0, 1e6, -1e6, math.nan, math.inf, -math.inf, 1e308])
matrices = st.lists(st.lists(ugly, min_size=5, max_size=5), min_size=1, max_size=60)


def moments(matrix, scale=SCALE):
    made = Moments(scale)
    made.update(np.asarray(matrix, np.float64))
    return made


def exactly(column, mean, std):
    """Finite values, their clipped sum in sigma as a fraction, how many were clipped, how many infinite."""
    finite = [x for x in column if math.isfinite(x)]
    total, clipped = Fraction(0), 0
    for x in finite:
        if std < 1e-300:
            z = 0 if x == mean else math.copysign(math.inf, x - mean)
        else:
            z = (Fraction(x) - Fraction(mean)) / Fraction(std)
        if abs(z) > CLIP_SIGMA:
            z, clipped = (CLIP_SIGMA if z > 0 else -CLIP_SIGMA), clipped + 1
        total += Fraction(z)
    return len(finite), total, clipped, sum(map(math.isinf, column))


@settings(deadline=None, max_examples=200)
@given(matrices)
def test_sums_are_those_of_fractions_to_a_unit_a_value(rows):
    made = moments(rows)
    for place in range(5):
        mean, std = SCALE.means[place], SCALE.stds[place]
        n, total, clipped, infinite = exactly([row[place] for row in rows], mean, std)
        assert made.counts[place] == n
        assert made.infinite[place] == infinite
        assert abs(made.clipped[place] - clipped) <= sum(
            abs(abs((row[place] - mean) / max(std, 1e-300)) - CLIP_SIGMA) < 1e-5 for row in rows
        )
        assert abs(Fraction(int(made.sums[place]), UNITS) - total) <= Fraction(n, UNITS)


@settings(deadline=None, max_examples=100)
@given(matrices, st.randoms(use_true_random=False))
def test_neither_order_nor_batches_nor_panes_change_a_byte(rows, random):
    whole = moments(rows).to_bytes()
    random.shuffle(rows)
    cut = random.randint(0, len(rows))
    first, second = moments(np.array(rows)[:cut].reshape(-1, 5)), Moments(SCALE)
    for row in rows[cut:]:
        second.update(np.array([row]))
    second.merge(Moments.from_bytes(first.to_bytes(), SCALE))
    assert second.to_bytes() == whole
    assert second.copy().to_bytes() == whole


def test_large_batches_are_cut_without_changing_a_byte():
    rng = np.random.default_rng(1)
    rows = rng.standard_t(2, (20_000, 5)) * 100
    rows[rng.random(rows.shape) < 0.05] = np.nan
    one, many = moments(rows), Moments(SCALE)
    for part in np.array_split(rows[::-1], 37):
        many.update(part)
    assert one.to_bytes() == many.to_bytes()


def test_negative_sums_survive_bytes_and_cut_bytes_are_refused():
    made = moments(np.full((3, 5), -50.0))
    assert (made.sums[:2] < 0).all()
    again = Moments.from_bytes(made.to_bytes(), SCALE)
    assert again.sums.tolist() == made.sums.tolist()
    assert not made.empty
    assert Moments(SCALE).to_bytes() == b""
    with pytest.raises(StateError):
        Moments.from_bytes(made.to_bytes()[:-1] + b"\xff", SCALE)


def test_one_wild_value_among_ten_thousand_moves_the_mean_by_the_bound_at_most():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(10_000, 1))
    scale = Scale([0.0], [1.0])
    (calm,) = mean_shifts([moments(rows, scale)], 0, 1)
    rows[77] = 1e6
    (wild,) = mean_shifts([moments(rows, scale)], 0, 1)
    assert wild.value - calm.value <= (CLIP_SIGMA + 5) / 10_000
    assert (wild.extra["clipped"], wild.extra["clip_sigma"]) == (1, CLIP_SIGMA)


def test_a_shift_of_half_a_sigma_is_half_with_an_interval_that_holds_it():
    rng = np.random.default_rng(5)
    panes = [moments(rng.normal(10.5, 1.0, (100, 1)), Scale([10.0], [1.0])) for _ in range(60)]
    (shift,) = mean_shifts(panes, 3, 4)
    assert shift.status is Status.OK
    assert shift.low < 0.5 < shift.high
    assert (shift.n, shift.from_ns, shift.to_ns, shift.extra["blocks"]) == (6000, 3, 4, 16)
    assert shift.n_eff > 1000
    total = sum(int(pane.sums[0]) for pane in panes)
    assert shift.value == total / 6000 / UNITS
    blocks = [sum(panes[i].sums[0] for i in part) for part in np.array_split(range(60), 16)]
    assert len(blocks) == 16


def test_the_interval_is_that_of_batch_means():
    rng = np.random.default_rng(6)
    panes = [moments(rng.normal(size=(50, 1)), Scale([0.0], [1.0])) for _ in range(16)]
    (shift,) = mean_shifts(panes, 0, 1)
    means = [pane.sums[0] / pane.counts[0] / UNITS for pane in panes]
    half = stats.t.ppf(0.975, 15) * np.std(means, ddof=1) / 4
    assert shift.high - shift.value == pytest.approx(half, rel=1e-9)
    assert shift.value - shift.low == pytest.approx(half, rel=1e-9)
    assert shift.n_eff == pytest.approx(min(800, 16 / np.var(means, ddof=1)), rel=1e-9)


def test_correlated_rows_have_fewer_effective_ones():
    rng = np.random.default_rng(7)
    x = np.zeros(60_000)
    for i in range(1, x.size):
        x[i] = 0.99 * x[i - 1] + rng.normal() * math.sqrt(1 - 0.99**2)
    panes = [moments(part[:, None], Scale([0.0], [1.0])) for part in np.array_split(x, 60)]
    (shift,) = mean_shifts(panes, 0, 1)
    assert 60_000 / 199 / 3 < shift.n_eff < 60_000 / 199 * 3


def test_what_cannot_be_said_is_not_said():
    few = mean_shifts([moments(np.full((9, 5), 7.0))], 0, 1)
    assert [e.status for e in few] == [Status.INSUFFICIENT] * 5
    rows = np.full((20, 5), 7.0)
    rows[:, 0] = np.nan
    rows[:, 1] = np.inf
    rows[0, 3] = 8.0
    blank, infinite, _, constant, _ = mean_shifts([moments(rows)], 0, 1)
    assert (blank.status, blank.n) == (Status.INSUFFICIENT, 0)
    assert (infinite.status, infinite.n) == (Status.INSUFFICIENT, 0)
    assert constant.value == CLIP_SIGMA / 20
    same = mean_shifts([moments(np.full((20, 5), 7.0)), moments(np.full((30, 5), 7.0))], 0, 1)[3]
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_panes_of_unequal_size_and_empty_ones_count_by_their_rows():
    scale = Scale([0.0], [1.0])
    panes = [moments(np.full((20, 1), 1.0), scale), Moments(scale), moments(np.full((60, 1), 3.0), scale)]
    (shift,) = mean_shifts(panes, 0, 1)
    assert shift.value == 2.5
    assert shift.extra["blocks"] == 2


def test_ages_sum_beyond_63_bits_and_merge_to_the_same_bytes():
    ages = np.array([[1 << 40, 0, 1 << 41, 5], [1 << 40, 0, 3, 7], [1 << 40, 0, 0, 9]])
    rows = np.hstack([np.ones((3, 6), np.int64), ages])
    staleness, parts = Staleness(2), Staleness(2)
    staleness.update(rows)
    for row in rows:
        part = Staleness(2)
        part.update(row[None])
        parts.merge(part)
    assert parts.to_bytes() == staleness.to_bytes()
    for _ in range(20):
        staleness.merge(staleness.copy())
    assert staleness.mean_age_s(0) == pytest.approx(((3 << 72) + (1 << 41) + 3) / 3 / 1e9)
    assert staleness.mean_age_s(1) == 7e-9
    assert math.isnan(Staleness(1).frozen_rate(0))
    assert math.isnan(Staleness(1).mean_age_s(0))
    assert Staleness.from_bytes(staleness.to_bytes(), 2).to_bytes() == staleness.to_bytes()
