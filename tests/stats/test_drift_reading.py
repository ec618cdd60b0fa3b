"""Drift of a window: equal to its parts where nothing is calibrated, honest about chance where it is."""

import math

import numpy as np
import pytest
from drift_market import MINUTE_NS, PANES, Ticks, looks
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monitor.stats.binning import BinCounts, Binner
from monitor.stats.drift import DriftReader
from monitor.stats.estimate import Status
from monitor.stats.psi import collapse, psi
from monitor.stats.reference import freeze

HOUR = [(0, 60 * MINUTE_NS)]
TEN_A_SECOND = 10**8


def read(distribution, column, spans=HOUR):
    counts = BinCounts(Binner([distribution]))
    counts.update(np.asarray(column, np.float64)[:, None])
    (reading,) = DriftReader([distribution]).read(counts.columns(), spans)
    return reading


@pytest.fixture(scope="module")
def calm():
    """A reference of seven days of independent values, two a second."""
    return Ticks(rate=2).reference(np.random.default_rng(1))


ugly = st.lists(
    st.one_of(st.integers(-2, 2).map(float), st.floats(allow_nan=True, allow_infinity=True)), max_size=80
)


@settings(max_examples=60, deadline=None)
@given(ugly, st.lists(ugly, min_size=1, max_size=3))
def test_columns_read_side_by_side_give_what_each_gives_alone(reference, lives):
    rng = np.random.default_rng(len(reference))
    distributions = [freeze(np.array(reference)), freeze(rng.standard_normal(3_000))][: len(lives)]
    rows = min(map(len, lives))
    matrix = np.array([live[:rows] for live in lives[: len(distributions)]], np.float64)
    matrix = matrix.reshape(len(distributions), rows).T
    counts = BinCounts(Binner(distributions))
    counts.update(np.repeat(matrix, 40, axis=0))
    together = DriftReader(distributions).read(counts.columns(), HOUR)
    for column, (distribution, reading) in enumerate(zip(distributions, together, strict=True)):
        assert reading == read(distribution, np.repeat(matrix[:, column], 40))
        if reading.psi is not None:
            before = collapse((*distribution.counts, distribution.null_count), distribution.psi_starts)
            now = collapse(counts.column(column), distribution.psi_starts)
            assert reading.psi == pytest.approx(psi(before, now), abs=1e-12)
            assert math.isfinite(reading.psi_excess)
            assert 0.0 <= reading.ks <= reading.ks_bound <= 1.0


def test_constant_against_the_same_constant_is_nothing():
    reading = read(freeze(np.full(5_000, 2.5), ts_ns=np.arange(5_000) * 10**9), np.full(600, 2.5))
    assert (reading.psi, reading.psi_excess, reading.ks, reading.ks_bound) == (0.0, 0.0, 0.0, 1.0)


def test_a_constant_that_changes_is_drift():
    frozen = freeze(np.full(5_000, 2.5), ts_ns=np.arange(5_000) * 10**9)
    live = np.full(600, 2.5)
    live[:300] = 2.6
    reading = read(frozen, live)
    assert reading.psi_excess > 1
    assert reading.ks == 0.5


def test_missing_values_are_drift_by_every_measure_of_psi(calm):
    live = np.random.default_rng(2).integers(0, 8_192, 7_200).astype(float)
    live[: 7_200 * 19 // 20] = np.nan
    reading = read(calm, live)
    assert reading.null_rate == 0.95
    assert reading.psi > 2
    assert reading.psi_excess > 2
    assert reading.psi_p < 1e-100
    assert read(calm, np.full(7_200, np.nan)).psi_p == 0.0


@pytest.mark.parametrize("wild", [1e6, np.inf, -np.inf, np.nan])
def test_one_wild_value_among_ten_thousand_moves_one_count(calm, wild):
    (cells,) = Ticks(rate=2).days(np.random.default_rng(3), 1)
    live = cells[:7_200].astype(np.float64)
    before = read(calm, live)
    live[17] = wild
    after = read(calm, live)
    assert after.psi == pytest.approx(before.psi, abs=2e-3)
    assert after.psi_p == pytest.approx(before.psi_p, abs=0.3)
    assert after.ks == pytest.approx(before.ks, abs=1 / 7_000)


def test_infinities_alone_are_drift_and_finite(calm):
    reading = read(calm, np.full(7_200, np.inf))
    assert math.isfinite(reading.psi)
    assert reading.psi > 2
    assert reading.psi_p < 1e-100


def test_too_little_is_insufficient_and_says_how_much_is_needed(calm):
    reading = read(calm, np.arange(100.0))
    assert (reading.psi, reading.psi_p, reading.ks) == (None, None, None)
    for estimate in reading.estimates(0, 5).values():
        assert (estimate.status, estimate.value, estimate.n) == (Status.INSUFFICIENT, None, 100)
        assert estimate.extra["n_needed"] == 150


def test_an_empty_window_or_reference_is_insufficient_without_a_warning(calm):
    with np.errstate(all="raise"):
        assert read(calm, []).psi is None
        assert read(freeze(np.array([])), np.ones(500)).psi is None
        assert DriftReader([]).read(np.zeros((0, 2), np.int64), HOUR) == []


def test_without_calibration_the_excess_is_over_independent_draws_and_there_is_no_p_value():
    rng = np.random.default_rng(4)
    frozen = freeze(rng.standard_normal(100_000))
    reading = read(frozen, rng.standard_normal(2_000) + 0.3)
    by_chance = 14 * (1 / 100_000 + 1 / 2_000)
    assert reading.psi_excess == pytest.approx(reading.psi - by_chance, abs=1e-6)
    said = reading.estimates(0, 1)
    assert said["psi_excess"].status is Status.OK
    assert said["psi_excess"].extra["calibration"] == "iid"
    assert said["psi_p_value"].status is Status.INSUFFICIENT
    assert "without times" in said["psi_p_value"].extra["reason"]


def test_under_five_daily_cycles_a_window_under_a_day_is_uncalibrated():
    ticks, rng = Ticks(rate=2), np.random.default_rng(5)
    frozen = ticks.reference(rng, days=4)
    (cells,) = ticks.days(rng, 1)
    panes = ticks.panes(cells, frozen)
    reader = DriftReader([frozen])
    (hour,) = reader.read(panes[:60].sum(axis=0)[None], HOUR)
    (day,) = reader.read(panes.sum(axis=0)[None], [(0, PANES * MINUTE_NS)])
    assert hour.psi_p is None
    assert "5 daily cycles" in hour.estimates(0, 1)["psi_p_value"].extra["reason"]
    assert hour.calibration == "iid"
    assert day.psi_p > 1e-4
    assert day.calibration == "panes"


def test_hours_that_the_reference_never_saw_are_uncalibrated():
    rng = np.random.default_rng(6)
    ts = (np.arange(7)[:, None] * PANES + np.arange(480, 960)).ravel()[:, None] * MINUTE_NS
    ts = (ts + np.arange(20) * 3 * 10**9).ravel()
    frozen = freeze(rng.standard_normal(ts.size), ts_ns=ts)
    noon = [(600 * MINUTE_NS, 660 * MINUTE_NS)]
    assert read(frozen, rng.standard_normal(1_200), noon).psi_p > 1e-4
    night = read(frozen, rng.standard_normal(1_200), HOUR)
    assert night.psi_p is None
    assert "time of day" in night.fault


def test_few_events_weigh_as_few_and_many_no_more_than_the_reference_knows(calm):
    rng = np.random.default_rng(7)
    (cells,) = Ticks(rate=2).days(rng, 1)
    usual, half, double = (read(calm, cells[:n].astype(float)) for n in (7_200, 3_600, 14_400))
    assert usual.n_eff == pytest.approx(7_200, rel=0.05)
    assert half.n_eff == pytest.approx(3_600, rel=0.05)
    # More events in the same hour may be the same news repeated.
    assert double.n_eff == pytest.approx(usual.n_eff, rel=1e-9)


def test_panes_say_when_the_events_of_a_window_came():
    ticks, rng = Ticks(season=0.5, rate=2), np.random.default_rng(8)
    frozen = ticks.reference(rng)
    (cells,) = ticks.days(rng, 1)
    panes = ticks.panes(cells, frozen)
    # A day that was silent from 03:00 to 21:00: spread wide, as those hours are.
    panes[180:1260] = 0
    spans = [(start * MINUTE_NS, (start + 60) * MINUTE_NS) for start in range(0, PANES, 60)]
    counts = panes.reshape(24, 60, -1).sum(axis=(1, 2)).tolist()
    reader = DriftReader([frozen])
    (blind,) = reader.read(panes.sum(axis=0)[None], [(0, PANES * MINUTE_NS)])
    (aware,) = reader.read(panes.sum(axis=0)[None], spans, counts)
    assert blind.psi_p < 1e-50
    assert aware.psi_p > 1e-3


def test_without_season_and_dependence_the_p_value_is_that_of_chi_square(calm):
    (cells,) = Ticks(rate=2).days(np.random.default_rng(9), 1)
    reading = read(calm, cells[36_000:43_200].astype(float), [(300 * MINUTE_NS, 360 * MINUTE_NS)])
    size = 1 / 7_200 + 1 / (7 * 7_200 * 1.28)
    textbook = stats.chi2.sf(reading.psi_expected / size, 14)
    assert reading.psi_p == pytest.approx(textbook, rel=0.2)


@pytest.mark.parametrize("ticks", [Ticks(0.0, 0.5, 2), Ticks(0.9, 0.5, 2)], ids=["season", "season-ar0.9"])
def test_calibrated_p_values_are_about_right_where_textbook_ones_are_absurd(ticks):
    psi_p, ks_p, textbook = [], [], []
    for seed in range(6):
        rng = np.random.default_rng(100 + seed)
        frozen = ticks.reference(rng)
        panes = np.concatenate([ticks.panes(day, frozen) for day in ticks.days(rng, 8)])
        _, readings = looks(frozen, panes, every=30)
        psi_p += [each.psi_p for each in readings]
        ks_p += [each.ks_p for each in readings]
        textbook += [stats.chi2.sf(each.psi / (1 / each.n + 1 / each.reference_n), 14) for each in readings]
    # 2,292 windows, half of them apart: 1 % is 23 of them.
    assert 0.003 <= np.mean(np.array(psi_p) < 0.01) <= 0.025
    assert 0.06 <= np.mean(np.array(psi_p) < 0.1) <= 0.15
    assert np.mean(np.array(ks_p) < 0.01) <= 0.01
    assert np.mean(np.array(textbook) < 0.01) > 0.9


def test_a_shift_of_half_a_sigma_is_material_and_beyond_chance():
    ticks, rng = Ticks(0.9), np.random.default_rng(11)
    frozen = ticks.reference(rng)
    (cells,) = ticks.days(rng, 1)
    panes = ticks.panes(np.clip(cells + 320, 0, 8_191).astype(np.int16), frozen)
    _, readings = looks(frozen, panes, every=60)
    assert all(each.psi_p < 5e-6 and each.psi_excess > 0.1 and each.ks_p < 5e-6 for each in readings)


def test_dependence_that_leaves_too_few_independent_values_says_how_many():
    ticks, rng = Ticks(0.999), np.random.default_rng(12)
    frozen = ticks.reference(rng)
    (cells,) = ticks.days(rng, 1)
    _, readings = looks(frozen, ticks.panes(cells, frozen), every=120)
    for reading in readings:
        estimate = reading.estimates(0, 1)["psi_p_value"]
        assert estimate.status is Status.INSUFFICIENT
        assert estimate.n_eff < estimate.extra["n_eff_needed"] == 225
        assert estimate.extra["reason"] == "too few independent values"
