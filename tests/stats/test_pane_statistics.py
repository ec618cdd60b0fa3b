"""Every pane statistic: any batches, order, panes and tasks give equal bytes; examples in docstrings run."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import monitor.stats
from monitor.stats.agreement import Agreement
from monitor.stats.binning import BinCounts, Binner
from monitor.stats.calibration_curve import CalibrationCurve, calibration_edges
from monitor.stats.counts import Counts
from monitor.stats.cross_section import InstantSample
from monitor.stats.exact_sums import ExactSums
from monitor.stats.histogram import LagHistogram, LatencyHistogram
from monitor.stats.moments import Moments, Scale
from monitor.stats.pane_statistic import PaneStatistic
from monitor.stats.parity import Parity, Tolerance
from monitor.stats.reference import freeze
from monitor.stats.sample import PairSample
from monitor.stats.slots import Slots
from monitor.stats.staleness import Staleness

BINNER = Binner([freeze(np.arange(100.0)), freeze(np.random.default_rng(25).standard_cauchy(2_000))])


def feed_counts(statistic, rows):
    for row in rows:
        statistic.update("even" if row % 2 == 0 else "odd")


def feed_histogram(statistic, rows):
    latency = rows * 7_919 - 5_000
    slow = latency > 10**9
    statistic.update(latency[~slow], int(slow.sum()))


def feed_bins(statistic, rows):
    special = np.array([np.nan, np.inf, -np.inf])
    values = np.where(rows % 10 < 3, special[rows % 3], rows / 7.0)
    statistic.update(np.column_stack((values, -values)))


def feed_pairs(statistic, rows):
    hash_ = (rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(3)
    statistic.update(
        hash_, rows, (rows % 3).astype(np.uint64), np.where(rows % 11, rows / 3, np.nan), rows * 0.5
    )


def feed_instants(statistic, rows):
    instant = rows // 7
    hash_ = instant.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    sides = np.where(rows % 11, rows / 3, np.nan), rows * 0.5
    statistic.update(hash_, instant, (rows % 7).astype(np.uint64), *sides)


def feed_both(statistic, rows):
    statistic.update(np.where(rows % 11, rows % 7 - 3.0, np.inf), (rows % 5 - 2.0) * 1e300)


def feed_slots(statistic, rows):
    statistic.update(rows * 10**9, rows % 3 == 0)


def feed_sums(statistic, rows):
    x = np.where(rows % 7, (rows - 5e5) / 3, np.nan)
    statistic.update(np.column_stack((x, x * x)))


def feed_probabilities(statistic, rows):
    statistic.update(rows / 1e6, (rows % 2).astype(np.float64))


def feed_moments(statistic, rows):
    special = np.array([np.nan, np.inf, 1e300])
    statistic.update(np.column_stack((rows / 7.0, np.where(rows % 10 < 3, special[rows % 3], -5.0))))


def feed_staleness(statistic, rows):
    ones = np.ones_like(rows)
    statistic.update(np.column_stack((ones, ones, rows % 2, rows % 2 * 5, rows * 4_000)))


STATISTICS = {
    "moments": (Moments, Scale([10.0, -5.0], [1e3, 0.0]), feed_moments),
    "staleness": (Staleness, 1, feed_staleness),
    "counts": (Counts, ("even", "odd", "never"), feed_counts),
    "histogram": (LatencyHistogram, (0, 5_000, 10**8), feed_histogram),
    "lags": (LagHistogram, (0, 10**8), lambda statistic, rows: statistic.update(rows * 7_919 - 10**9)),
    "slots": (Slots, 10**10, feed_slots),
    "bins": (BinCounts, BINNER, feed_bins),
    "pairs": (PairSample, 10, feed_pairs),
    "instants": (InstantSample, 10, feed_instants),
    "agreement": (Agreement, (0.0, 0.5), feed_both),
    "parity": (Parity, Tolerance(1e-5, 1e-5), feed_both),
    "sums": (ExactSums, ("x", "square"), feed_sums),
    "calibration": (CalibrationCurve, calibration_edges(None), feed_probabilities),
}
distinct_rows = st.lists(st.integers(0, 10**6), unique=True, max_size=60)


@pytest.mark.parametrize("name", STATISTICS)
@given(data=st.data(), rows=distinct_rows)
def test_any_batches_order_panes_and_tasks_give_equal_bytes(name, data, rows):
    kind, spec, feed = STATISTICS[name]
    whole: PaneStatistic = kind(spec)
    feed(whole, np.array(rows, np.int64))
    rows = data.draw(st.permutations(rows))
    parts = [kind(spec) for _ in range(3)]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        feed(data.draw(st.sampled_from(parts)), np.array(rows[start:end], np.int64))
    a, b, c = (kind.from_bytes(part.to_bytes(), spec) for part in parts)
    left, right, turned = a.copy(), b.copy(), c.copy()
    left.merge(b)
    left.merge(c)
    right.merge(c)
    a.merge(right)
    turned.merge(b)
    turned.merge(parts[0])
    assert left.to_bytes() == a.to_bytes() == turned.to_bytes() == whole.to_bytes()
    assert whole.empty == (not rows)


@pytest.mark.parametrize("name", STATISTICS)
def test_merging_leaves_the_other_side_and_copies_alone(name):
    kind, spec, feed = STATISTICS[name]
    first, second = kind(spec), kind(spec)
    feed(first, np.arange(0, 30))
    feed(second, np.arange(30, 60))
    before, twin = second.to_bytes(), first.copy()
    frozen = twin.to_bytes()
    first.merge(second)
    assert second.to_bytes() == before
    assert twin.to_bytes() == frozen
    assert kind(spec).empty
    assert not first.empty


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(monitor.stats.__path__)])
def test_examples_in_docstrings_run(module):
    failures, _ = doctest.testmod(importlib.import_module(f"monitor.stats.{module}"))
    assert failures == 0
