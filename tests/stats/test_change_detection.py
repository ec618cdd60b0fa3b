"""ADWIN on pane means: finds changes at any scale, stays silent on noise, and goes on from its bytes."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from monitor.errors import StateError
from monitor.stats.change_detection import CALIBRATION, KEPT, ChangeDetector, available
from monitor.stats.histogram import LatencyHistogram

DELTA = 0.002


def changes(values) -> list[int]:
    detector = ChangeDetector(DELTA)
    return [i for i, value in enumerate(values) if detector.take(float(value))]


def test_why_not_event_by_event():
    """100,000 events of AR(0.9): hundreds of changes that are none; on means of 50, not one."""
    noise = np.random.default_rng(0).normal(size=100_000)
    events = lfilter([1.0], [1.0, -0.9], math.sqrt(1 - 0.81) * noise)
    from river.drift import ADWIN

    plain, found = ADWIN(), 0
    for event in events.tolist():
        plain.update(event)
        found += plain.drift_detected
    assert 300 < found < 1000
    assert changes(events.reshape(-1, 50).mean(axis=1)) == []


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("middle", [0.0, 100.0])
def test_a_change_is_found_at_any_scale_and_level(scale, middle):
    rng = np.random.default_rng(1)
    values = np.r_[rng.normal(size=400), rng.normal(2, 1, 100)]
    found = changes(scale * (middle + values))
    assert found == changes(values)
    assert len(found) == 1
    assert 400 < found[0] < 430


def test_noise_of_any_shape_is_no_change():
    rng = np.random.default_rng(2)
    for values in (
        rng.normal(size=3000),
        rng.standard_t(3, size=3000),
        rng.lognormal(size=3000),
        np.ones(500),
    ):
        assert changes(values) == []


def test_one_outlier_is_no_change():
    values = np.random.default_rng(3).normal(size=600)
    values[300] = 1e300
    assert changes(values) == []


def test_a_stream_that_never_moved_and_then_does_has_changed():
    assert changes([7.0] * 100 + [8.0] * 50) != []
    assert changes([7.0] * 3000) == []


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 200), st.integers(0, 120), st.sampled_from([0.0, 1.0]))
def test_it_goes_on_from_its_bytes(seed, before, after, noise):
    rng = np.random.default_rng(seed)
    values = noise * rng.normal(size=before + after) + np.where(np.arange(before + after) > before, 3, 0)
    one = ChangeDetector(DELTA)
    for value in values[:before].tolist():
        one.take(value)
    other = ChangeDetector.from_bytes(one.to_bytes(), DELTA)
    assert [one.take(v) for v in values[before:].tolist()] == [
        other.take(v) for v in values[before:].tolist()
    ]
    assert one.to_bytes() == other.to_bytes()


@pytest.mark.parametrize("restarts", [(2 * KEPT - 1,), (2 * KEPT,), (2 * KEPT + 1, 3 * KEPT), (100, 2500)])
def test_it_is_made_anew_at_the_same_value_wherever_it_was_restarted(restarts):
    rng = np.random.default_rng(4)
    values = np.r_[rng.normal(size=2000), rng.normal(1, 1, 1400)].tolist()
    whole, parts, found = changes(values), ChangeDetector(DELTA), []
    for i, value in enumerate(values):
        if i in restarts:
            parts = ChangeDetector.from_bytes(parts.to_bytes(), DELTA)
        if parts.take(value):
            found.append(i)
        assert len(parts.to_bytes()) < 8 * 2 * KEPT
    assert found == whole != []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_never_reaches_it(value):
    detector = ChangeDetector(DELTA)
    for i in range(CALIBRATION + 5):
        detector.take(float(i % 3))
    before = detector.to_bytes()
    with pytest.raises(ValueError, match="finite"):
        detector.take(value)
    assert detector.to_bytes() == before


@pytest.mark.parametrize("data", [b"\x00" * 7, b"\x00" * 8 * 2 * KEPT])
def test_other_bytes_are_refused(data):
    with pytest.raises(StateError):
        ChangeDetector.from_bytes(data, DELTA)


def test_river_is_imported_only_where_a_detector_has_a_scale():
    code = (
        "import sys; from monitor.stats.change_detection import ChangeDetector, available; available();"
        "d = ChangeDetector(0.002); print('river' in sys.modules, 'scipy.stats' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "False"]
    assert available()


def test_the_mean_log_of_a_histogram_is_that_of_its_latencies_within_a_hundredth():
    latencies = (np.random.default_rng(6).lognormal(-6, 2, 5000) * 1e9).astype(np.int64).clip(1_000, 10**11)
    histogram = LatencyHistogram(())
    assert math.isnan(histogram.mean_log())
    histogram.update(latencies)
    assert histogram.mean_log() == pytest.approx(np.log(latencies / 1e9).mean(), abs=0.01)
    other = LatencyHistogram(())
    other.update(np.empty(0, np.int64), timeouts=3)
    assert other.mean_log() == pytest.approx(math.log(100))
