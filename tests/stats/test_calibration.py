"""What the panes of a reference say about how far its shares wander by themselves."""

import json

import msgspec
import numpy as np
import pytest
from drift_market import MINUTE_NS, PANES, Ticks
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from monitor.errors import ArtifactError
from monitor.stats.calibration import calibrate, pane_counts
from monitor.stats.long_run import MIN_BLOCKS
from monitor.stats.reference import build_reference, freeze, load_reference
from monitor.stats.season import DAY_NS, SLOT_NS, SLOTS, interpolated, slot_of, slot_seconds

WEEK = np.arange(7 * PANES) * MINUTE_NS


def drawn(rng, shares, n=600, panes=7 * PANES):
    """Counts of panes of `n` independent values each; `shares` alike for all, or a row a pane."""
    return rng.multinomial(n, np.broadcast_to(shares, (panes, np.shape(shares)[-1])))


def test_independent_draws_wander_as_the_textbook_says():
    found = calibrate(WEEK, drawn(np.random.default_rng(1), np.full(65, 1 / 65)))
    assert (found.fault, found.cycles, found.block_s) == (None, 7, 60)
    assert len(found.eigenvalues) == 15
    assert found.design_effect == pytest.approx(1, abs=0.02)
    assert min(found.eigenvalues) > 0.9
    assert max(found.eigenvalues) < 1.1
    assert np.allclose(found.edge_effects, 1, atol=0.08)
    assert np.allclose(found.scales, 1, atol=0.05)
    assert found.events_per_s == 10.0


def test_correlation_of_ar1_is_found_with_its_time_and_blocks_hold_ten_of_it():
    found = Ticks(0.9).reference(np.random.default_rng(2), days=3).calibration
    # (1 + rho) / (1 - rho) = 19 for the slowest direction; of the median: 1 + 2 sum 2 asin(rho^k) / pi.
    assert found.fault is None
    assert found.eigenvalues[0] == pytest.approx(19, rel=0.12)
    assert found.correlation_s == pytest.approx(1.9, rel=0.12)
    median = 1 + 2 * np.sum(2 / np.pi * np.arcsin(0.9 ** np.arange(1, 400)))
    assert found.edge_effects[31] == pytest.approx(median, rel=0.12)
    assert found.block_s >= 10 * found.correlation_s


def test_a_season_of_the_day_is_no_dependence():
    quiet = Ticks(0.0, 0.0, 2).reference(np.random.default_rng(3)).calibration
    swinging = Ticks(0.0, 0.5, 2).reference(np.random.default_rng(3)).calibration
    assert swinging.design_effect == pytest.approx(quiet.design_effect, abs=0.05)
    assert max(swinging.eigenvalues) < 1.25


def test_nights_that_wander_more_than_days_are_known_by_the_clock():
    rng = np.random.default_rng(4)
    panes = drawn(rng, np.full(16, 1 / 16))
    minute = (WEEK // MINUTE_NS) % PANES
    night = minute < 6 * 60
    # By night each value comes eight times over.
    panes[night] = 8 * drawn(rng, np.full(16, 1 / 16), 75, int(night.sum()))
    found = calibrate(WEEK, panes)
    by_night, by_day = np.mean(found.scales[3:9]), np.mean(found.scales[18:42])
    assert by_night / by_day == pytest.approx(8, rel=0.15)


def test_weak_dependence_over_minutes_is_found_among_hundreds_of_values_a_minute():
    rng = np.random.default_rng(10)
    tilt = lfilter([0.8], [1, -0.6], rng.standard_normal(len(WEEK)))[:, None]
    shares = 1 + 0.17 * tilt * np.linspace(-1, 1, 15)
    found = calibrate(WEEK, drawn(rng, shares / shares.sum(axis=1, keepdims=True)))
    # 1 + 600 sum (0.17 x)^2 / 15 of one minute, over minutes (1 + 0.6) / (1 - 0.6) = 4 times as much.
    slowest = 1 + 4 * 600 * 0.17**2 * np.mean(np.linspace(-1, 1, 15) ** 2)
    assert found.eigenvalues[0] == pytest.approx(slowest, rel=0.2)
    assert found.block_s >= 480


def test_days_that_differ_as_wholes_cannot_be_calibrated_from_a_week():
    rng = np.random.default_rng(5)
    tilt = np.repeat(rng.normal(0, 0.2, 7), PANES)[:, None] * np.linspace(-1, 1, 10)
    found = calibrate(WEEK, drawn(rng, (1 + tilt) / 10))
    assert "blocks" in found.fault
    assert found.eigenvalues == ()


@pytest.mark.parametrize("panes", [0, 1, MIN_BLOCKS - 1])
def test_a_short_reference_says_what_it_lacks(panes):
    found = calibrate(WEEK[:panes], drawn(np.random.default_rng(6), np.full(16, 1 / 16), panes=panes))
    assert found.fault == ("no data" if panes == 0 else f"fewer than {MIN_BLOCKS} panes")


@pytest.mark.parametrize("column", [np.full(5_000, 3.0), np.full(5_000, np.nan)])
def test_a_column_that_never_varies_has_nothing_to_calibrate(column):
    found = freeze(column, ts_ns=np.arange(5_000) * 10**9).calibration
    assert found.fault == "a single value: nothing varies"


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 400), st.sampled_from([60, 7, 3_600]))
def test_the_profile_holds_every_value_once_whatever_the_order(seed, n, pane_s):
    rng = np.random.default_rng(seed)
    ts = rng.integers(-DAY_NS, 9 * DAY_NS, n)
    column = np.where(rng.random(n) < 0.1, np.nan, rng.integers(0, 40, n).astype(float))
    frozen = freeze(column, 16, ts_ns=ts, pane_ns=pane_s * 10**9)
    profile = np.array(frozen.calibration.profile)
    assert profile.sum(axis=0).tolist() == [*frozen.counts, frozen.null_count]
    shuffled = rng.permutation(n)
    assert freeze(column[shuffled], 16, ts_ns=ts[shuffled], pane_ns=pane_s * 10**9) == frozen
    if pane_s == 60:
        assert profile.sum(axis=1).tolist() == np.bincount(slot_of(ts), minlength=SLOTS).tolist()


def test_an_outage_on_one_morning_is_not_expected_of_every_morning():
    rng = np.random.default_rng(9)
    shares = np.append(np.full(64, 1 / 64), 0.0)
    calm = drawn(rng, shares)
    torn = calm.copy()
    torn[2 * PANES + 600 : 2 * PANES + 610] = np.append(np.zeros(64, np.int64), 600)
    found = calibrate(WEEK, torn)
    assert np.array(found.profile)[:, -1].sum() == 0
    assert found.cycles == 7
    assert found.design_effect == pytest.approx(1, abs=0.05)
    # What comes again and again is the norm.
    often = calm.copy()
    often[::20] = np.append(np.zeros(64, np.int64), 600)
    assert np.array(calibrate(WEEK, often).profile)[:, -1].sum() == 600 * len(often[::20])


def test_values_are_counted_in_the_panes_that_hold_them():
    starts, counts = pane_counts(np.array([130, 59, 60, 61, 0]) * 10**9, np.array([2, 0, 1, 1, 2]), 3)
    assert (starts // 10**9).tolist() == [0, 60, 120]
    assert counts.tolist() == [[1, 0, 1], [0, 2, 0], [0, 0, 1]]


@settings(max_examples=50)
@given(st.integers(-(10**15), 10**18), st.integers(0, 3 * DAY_NS))
@example(-1, 2 * DAY_NS - 2)
@example(-1, DAY_NS - 1)
def test_a_span_weighs_on_the_clock_as_straight_lines_between_the_middles_do(begin, length):
    weights = slot_seconds([(begin, begin + length)])[0]
    assert weights.sum() == pytest.approx(length / 1e9, rel=1e-9, abs=1e-6)
    profile = np.sin(np.arange(SLOTS))[:, None]
    step = max(1, length // 5_000)
    instants = np.arange(begin + step // 2, begin + length, step)
    if instants.size > 1_000:
        mean = interpolated(profile, instants).mean()
        assert weights @ profile[:, 0] / weights.sum() == pytest.approx(mean, abs=2e-3)


def test_an_empty_slot_leaves_its_neighbour_the_word():
    profile = np.ones((SLOTS, 1))
    profile[3] = np.nan
    profile[2] = 7.0
    just_before_the_empty_middle = np.array([3 * SLOT_NS + SLOT_NS // 2 - 1])
    assert interpolated(profile, just_before_the_empty_middle).tolist() == [[7.0]]


def test_a_calibrated_reference_comes_back_from_its_file_and_a_damaged_one_does_not(tmp_path):
    rng = np.random.default_rng(8)
    ts = np.sort(rng.integers(0, 3 * DAY_NS, 60_000))
    column = rng.standard_normal(60_000)
    answers = np.where(rng.random(60_000) < 0.5, np.nan, column)
    reference = build_reference({"a": column}, {"ff": answers}, ts_ns=ts)
    assert reference.features["a"].calibration.fault is None
    # A row without an answer is not a missing prediction.
    assert reference.predictions["ff"].null_count == 0
    assert reference.predictions["ff"].calibration.fault is None
    path = tmp_path / "reference.json"
    path.write_bytes(reference.to_bytes())
    assert load_reference(path) == reference
    for change in ({"scales": []}, {"profile": [[1]]}, {"profile": [[-1, 1]] * 48}, {"blocks": 3}):
        content = json.loads(reference.to_bytes())
        content["features"]["a"]["calibration"].update(change)
        path.write_text(json.dumps(content))
        with pytest.raises(ArtifactError, match=r"reference\.json.*baseline"):
            load_reference(path)


def test_the_bins_of_a_calibration_are_those_of_its_column():
    frozen = freeze(np.arange(5_000.0), ts_ns=np.arange(5_000) * 10**10)
    other = freeze(np.arange(5_000.0) % 3, ts_ns=np.arange(5_000) * 10**10)
    with pytest.raises(ValueError, match="bins of `counts`"):
        type(frozen)(**{**msgspec.structs.asdict(frozen), "calibration": other.calibration})
