"""Statistics of skill: exact whatever the order, and what SciPy, NumPy and fractions make of them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from monitor.errors import StateError
from monitor.stats.calibration_curve import (
    CalibrationCurve,
    calibration_edges,
    debiased_calibration_error,
    expected_calibration_error,
    expected_when_calibrated,
    jackknife_error,
)
from monitor.stats.confusion import CELLS, RATIOS, confuse, f1_of
from monitor.stats.counts import Counts
from monitor.stats.edges import disagreement_edges, hits, net_edges
from monitor.stats.exact_sums import ExactSums
from monitor.stats.information_coefficient import (
    after_costs,
    information_coefficient,
    pane_coefficients,
)
from monitor.stats.losses import brier, clipped, confidence, log_loss, signs, squared_error
from monitor.stats.newey_west import enough, lag_panes, newey_west, ratio_error
from monitor.stats.reference import freeze
from monitor.stats.roc import area_under_curve
from monitor.stats.sample import Pairs, PairSample

finite = st.floats(allow_nan=False, allow_infinity=False)
columns = ("x", "y")


def fed_sums(rows):
    sums = ExactSums(columns)
    sums.update(np.array(rows, np.float64).reshape(-1, 2))
    return sums


@given(st.lists(st.tuples(finite, finite), max_size=40), st.randoms())
def test_sums_are_those_of_fractions_in_any_order_and_any_split(rows, random):
    whole = fed_sums(rows)
    shuffled = random.sample(rows, len(rows))
    cut = len(rows) // 3
    parts = [fed_sums(shuffled[:cut]), fed_sums([]), fed_sums(shuffled[cut:])]
    joined = parts[0].copy()
    for part in parts[1:]:
        joined.merge(ExactSums.from_bytes(part.to_bytes(), columns))
    assert joined.to_bytes() == whole.to_bytes()
    assert whole.empty == (not rows)
    for place, name in enumerate(columns):
        exact = sum((Fraction(row[place]) for row in rows), Fraction(0))
        try:
            expected = float(exact)
        except OverflowError:
            expected = math.inf if exact > 0 else -math.inf
        assert whole.sum(name) == expected
        if rows:
            assert whole.mean(name) == float(exact / len(rows))
    if rows:
        mean, squares = (sum((Fraction(r[i]) for r in rows), Fraction(0)) / len(rows) for i in (0, 1))
        try:
            variance = float(max(Fraction(0), squares - mean * mean))
        except OverflowError:
            variance = math.inf
        assert whole.variance("x", "y") == variance


def test_rows_that_are_not_finite_enter_no_sum_and_are_counted():
    sums = fed_sums([(1.0, 1.0), (math.nan, 2.0), (3.0, math.inf), (2.0, 4.0)])
    assert (sums.n, sums.left_out, sums.sum("x"), sums.sum("y")) == (2, 2, 3.0, 5.0)
    assert math.isnan(ExactSums(columns).mean("x"))
    assert math.isnan(ExactSums(columns).variance("x", "y"))


@pytest.mark.parametrize("data", [b"", b"\xc1", ExactSums(("x",)).to_bytes()])
def test_bytes_that_hold_no_such_sums_are_refused(data):
    with pytest.raises(StateError):
        ExactSums.from_bytes(data, columns)


labelled = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1e-300, 0.1, 0.25, 0.5, 0.5000001, 0.9, 1.0]), st.sampled_from([0.0, 1.0])
    ),
    min_size=1,
    max_size=60,
)


@given(labelled, st.integers(0, 5))
def test_calibration_errors_are_those_of_the_bins(rows, cut):
    p, y = np.array(rows).T
    edges = calibration_edges(None)
    curve, other = CalibrationCurve(edges), CalibrationCurve(edges)
    curve.update(p[:cut], y[:cut])
    other.update(p[cut:], y[cut:])
    curve.merge(CalibrationCurve.from_bytes(other.to_bytes(), edges))
    bins = [np.searchsorted(edges, value, side="right") for value in p]
    ece, squares, expected, used = Fraction(0), Fraction(0), 0.0, 0
    for b in set(bins):
        mine = [(Fraction(a), int(c)) for a, c, at in zip(p, y, bins, strict=True) if at == b]
        n, mean = len(mine), sum(a for a, _ in mine) / len(mine)
        share = Fraction(sum(c for _, c in mine), n)
        ece += Fraction(n, len(rows)) * abs(mean - share)
        near = (share * n + Fraction(1, 2)) / (n + 1)
        expected += n / len(rows) * math.sqrt(2 / math.pi * float(near * (1 - near)) / n)
        if n > 1:
            used += n
            squares += n * ((mean - share) ** 2 - share * (1 - share) / (n - 1))
    assert expected_calibration_error(curve) == pytest.approx(float(ece), abs=1e-12)
    assert expected_when_calibrated(curve) == pytest.approx(expected, abs=1e-12)
    debiased = debiased_calibration_error(curve)
    if used:
        assert debiased**2 == pytest.approx(max(0.0, float(squares / used)), abs=1e-12)
    else:
        assert math.isnan(debiased)


def test_the_raw_error_of_a_calibrated_model_falls_with_n_as_foretold_and_the_debiased_one_is_about_zero():
    rng = np.random.default_rng(4)
    for n, low, high in ((200, 0.06, 0.12), (1_000, 0.03, 0.055), (10_000, 0.008, 0.02)):
        found = []
        for _ in range(40):
            p = rng.random(n)
            curve = CalibrationCurve(calibration_edges(None))
            curve.update(p, (rng.random(n) < p).astype(float))
            found.append(
                (
                    expected_calibration_error(curve),
                    expected_when_calibrated(curve),
                    debiased_calibration_error(curve),
                )
            )
        raw, foretold, debiased = np.mean(found, axis=0)
        assert low < raw < high
        assert raw == pytest.approx(foretold, rel=0.1)
        assert debiased < raw / 2 + 0.01


def test_a_uniform_offset_is_found_as_the_root_of_its_square():
    rng = np.random.default_rng(8)
    p = rng.uniform(0.1, 0.9, 50_000)
    curve = CalibrationCurve(calibration_edges(None))
    curve.update(p, (rng.random(50_000) < p - 0.08).astype(float))
    assert debiased_calibration_error(curve) == pytest.approx(0.08, abs=0.01)


def test_bins_are_of_equal_mass_in_the_reference():
    predictions = np.random.default_rng(1).beta(2, 8, 5_000)
    edges = calibration_edges(freeze(predictions))
    assert len(edges) <= 14
    mass = np.bincount(np.searchsorted(edges, predictions, side="right")) / len(predictions)
    assert mass.min() > 0.5 / len(mass)
    assert mass.max() < 2.0 / len(mass)


def test_the_interval_of_a_calibration_error_covers_repeated_windows():
    rng = np.random.default_rng(2)
    values, errors = [], []
    for _ in range(60):
        panes = []
        for _ in range(32):
            p = rng.random(60)
            pane = CalibrationCurve(calibration_edges(None))
            pane.update(p, (rng.random(60) < np.clip(p + 0.2, 0, 1)).astype(float))
            panes.append(pane)
        whole = panes[0].copy()
        for pane in panes[1:]:
            whole.merge(pane)
        values.append(debiased_calibration_error(whole))
        errors.append(jackknife_error(panes, debiased_calibration_error))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.35)
    assert jackknife_error(panes[:7], debiased_calibration_error) is None


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=50))
def test_a_confusion_is_counted_cell_by_cell(rows):
    said, true = np.array(rows, np.float64).T
    counts = Counts(CELLS)
    counts.update_all(confuse(said, true))
    yes = sum(a == 1 for a, _ in rows)
    hits = sum(a == b == 1 for a, b in rows)
    positives = sum(b == 1 for _, b in rows)
    assert counts.total(CELLS[:4]) == len(rows)
    expected = {
        "accuracy": (sum(a == b for a, b in rows), len(rows)),
        "precision": (hits, yes),
        "recall": (hits, positives),
        "false_positive_rate": (yes - hits, len(rows) - positives),
        "false_negative_rate": (positives - hits, positives),
    }
    for name, (above, below) in RATIOS.items():
        assert (counts.total(above), counts.total(below)) == expected[name], name
    if yes + positives - hits:
        assert f1_of(hits / (yes + positives - hits)) == pytest.approx(2 * hits / (yes + positives))


def test_losses_are_the_same_wherever_a_value_stands():
    p = np.random.default_rng(0).random(1_000)
    y = (p > 0.3).astype(float)
    for loss in (brier, log_loss, squared_error):
        whole = loss(p, y)
        assert whole.tolist() == [loss(p[i : i + 1], y[i : i + 1])[0] for i in range(1_000)]
    assert log_loss(p, y) == pytest.approx(-np.where(y == 1, np.log(p), np.log(1 - p)), rel=1e-13)
    assert clipped(np.array([0.0, 1e-16, 1e-15, 0.5, 1.0])) == 3
    assert np.isfinite(log_loss(np.array([0.0, 1.0]), np.array([1.0, 0.0]))).all()
    assert confidence(p).tolist() == [max(v, 1 - v) for v in p.tolist()]
    assert signs(np.array([1.0, -1.0, 0.0, 2.0]), np.array([3.0, 3.0, 3.0, 0.0])).tolist() == [1, 1, 2]


def test_an_error_that_cannot_be_squared_twice_leaves_the_others_their_sum():
    errors = squared_error(np.array([1e80, -1e200, 3.0]), np.array([0.0, 1e200, 1.0]))
    assert np.isnan(errors).tolist() == [True, True, False]
    assert errors[2] == 4.0


@given(
    st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 2.0, 1e300]), st.booleans()), min_size=1, max_size=40)
)
def test_auc_counts_pairs_of_both_classes(rows):
    score = np.array([row[0] for row in rows])
    label = np.array([float(row[1]) for row in rows])
    area = area_under_curve(score, label)
    ones, zeros = score[label == 1], score[label == 0]
    if not len(ones) or not len(zeros):
        assert math.isnan(area.value)
        return
    above = sum(Fraction(int(a > b)) + Fraction(int(a == b), 2) for a in ones for b in zeros)
    assert area.value == float(above / (len(ones) * len(zeros)))
    assert area.influence.mean() == pytest.approx(0.0, abs=1e-12)
    if min(len(ones), len(zeros)) > 1:
        share = [np.mean((a > zeros) + (a == zeros) / 2) for a in ones]
        other = [np.mean((b < ones) + (b == ones) / 2) for b in zeros]
        expected = math.sqrt(np.var(share, ddof=1) / len(ones) + np.var(other, ddof=1) / len(zeros))
        assert area.error == pytest.approx(expected, abs=1e-12)


def naive_newey_west(x: np.ndarray, lag: int) -> float:
    u = x - x.mean()
    s = sum(
        (1 - abs(i - j) / (lag + 1)) * u[i] * u[j]
        for i in range(len(x))
        for j in range(len(x))
        if abs(i - j) <= lag
    )
    return math.sqrt(max(0.0, s) / (len(x) - 1) / len(x))


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=25), st.integers(0, 30))
def test_newey_west_is_the_weighted_sum_of_all_products(values, lag):
    x = np.array(values)
    if lag < len(x):
        assert newey_west(x, lag) == pytest.approx(naive_newey_west(x, lag), abs=1e-7, rel=1e-7)


def test_overlap_is_worth_as_much_as_its_lag_says():
    """Means of overlapping sums: without the lag t exceeds 2 far too often, with it about as it should."""
    rng = np.random.default_rng(6)
    plain = with_lag = 0
    for _ in range(300):
        noise = rng.normal(size=420)
        overlapping = np.convolve(noise, np.ones(20), "valid")[:400]
        mean = overlapping.mean()
        plain += abs(mean / newey_west(overlapping, 0)) > 1.96
        with_lag += abs(mean / newey_west(overlapping, 40)) > 1.96
    assert plain / 300 > 0.4
    assert with_lag / 300 < 0.15
    assert (lag_panes(62 * 10**9, 5 * 10**9), lag_panes(60 * 10**9, 5 * 10**9)) == (13, 12)
    assert [enough(panes, 12) for panes in (38, 39)] == [False, True]


def test_the_error_of_a_ratio_is_that_of_its_residuals():
    rng = np.random.default_rng(3)
    below = rng.integers(1, 50, 60).astype(float)
    above = below * 0.4 + rng.normal(size=60)
    ratio = above.sum() / below.sum()
    expected = naive_newey_west(above - ratio * below, 4) / below.mean()
    assert ratio_error(above.tolist(), below.tolist(), 4) == pytest.approx(expected)
    assert ratio_error([1.0] * 7, [1.0] * 7, 0) is None


def pairs_of(a, b, symbol=None, ts=None, hash_=None):
    n = len(a)
    return Pairs(
        np.arange(n, dtype=np.uint64) if hash_ is None else hash_,
        np.arange(n) if ts is None else ts,
        np.zeros(n, np.uint64) if symbol is None else symbol,
        np.asarray(a, np.float64),
        np.asarray(b, np.float64),
    )


def sampled(pairs: Pairs, cap: int = 10**6) -> PairSample:
    sample = PairSample(cap)
    sample.update(*pairs.columns())
    return sample


def test_pane_coefficients_are_spearman_within_symbol_by_pane():
    rng = np.random.default_rng(12)
    panes, expected = [], []
    for size in (40, 2, 0, 60, 5):
        symbol = rng.integers(0, 3, size).astype(np.uint64)
        a, b = rng.integers(0, 9, size), rng.integers(0, 9, size)
        panes.append(pairs_of(a, b, symbol))
        total = weighted = 0.0
        for key in range(3):
            mine = symbol == key
            if mine.sum() > 2:
                rho = spearmanr(a[mine], b[mine]).statistic
                if not math.isnan(rho):
                    total, weighted = total + mine.sum(), weighted + mine.sum() * rho
        if total:
            expected.append(weighted / total)
    assert pane_coefficients(panes) == pytest.approx(expected, abs=1e-12)
    assert pane_coefficients([]).size == 0
    sample = PairSample.join([sampled(panes[0])], 10**6)
    found = information_coefficient(sample, panes, 1, 0, 1)
    assert found.extra["pane_mean"] == pytest.approx(np.mean(expected))
    assert found.extra["icir"] == pytest.approx(np.mean(expected) / np.std(expected, ddof=1))
    assert "t" not in found.extra, "too few panes"


def test_costs_work_against_the_prediction():
    sample = PairSample.join([sampled(pairs_of([0.6, 0.4, 0.5], [0.01, 0.01, 0.01]))], 9)
    assert after_costs(sample, 0.002, 0.5).pairs.b.tolist() == [0.008, 0.012, 0.01]
    edges = net_edges(np.array([0.6, 0.4, 0.5, math.nan]), 0.5, np.full(4, 0.01), 20.0)
    assert edges.tolist() == pytest.approx([80.0, -120.0])
    prediction = np.array([0.6, 0.4, 0.5, 0.9, 0.9, math.nan])
    move = np.array([0.01, 0.01, 0.01, 0.0, math.nan, 0.01])
    assert hits(prediction, 0.5, move).tolist() == [1, 1, 2, 1]
    assert hits(-prediction, -0.5, move).tolist() == [1, 1, 2, 1]
    one = disagreement_edges(
        np.array([1.0, -1.0, 0.0, math.nan]), np.array([-1.0, -1.0, 1.0, 1.0]), np.full(4, 0.01)
    )
    assert one.tolist() == pytest.approx([100.0, -50.0])
