"""Instants are kept or cut whole, whatever was merged; ranks among symbols are averaged over instants."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import spearmanr

from monitor.errors import StateError
from monitor.stats.cross_section import InstantSample, cross_section_correlation
from monitor.stats.estimate import Status

# A bijection, as the hash of an instant is.
cells = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 5)), unique=True, max_size=60)


def hash_of(instants):
    return np.asarray(instants).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def offer(sample, rows):
    instant = np.array([row[0] for row in rows], np.int64)
    symbol = np.array([row[1] for row in rows], np.uint64)
    sample.update(hash_of(instant), instant, symbol, instant / 4 + symbol, symbol * 0.5)


def kept(pairs):
    return set(zip(pairs.ts.tolist(), pairs.symbol_key.tolist(), strict=True))


def whole_instants(rows, cap):
    """Cells of the instants of smallest hash that fit into `cap`, or of the first two; and what is cut."""
    order = sorted({row[0] for row in rows}, key=lambda instant: int(hash_of(instant)))
    found = set()
    for place, instant in enumerate(order):
        more = {row for row in rows if row[0] == instant}
        if place >= 2 and len(found) + len(more) > cap:
            return found, int(hash_of(instant))
        found |= more
    return found, None


@given(cells, st.integers(1, 40))
def test_a_pane_keeps_whole_instants_of_the_smallest_hash(rows, cap):
    sample = InstantSample(cap)
    offer(sample, rows)
    assert (kept(sample.pairs()), sample.threshold) == whole_instants(rows, cap)
    assert sample.seen == len(rows)


@given(st.data(), cells, st.integers(1, 40))
def test_any_batches_tasks_and_order_give_equal_bytes(data, rows, cap):
    whole = InstantSample(cap)
    offer(whole, rows)
    rows = data.draw(st.permutations(rows))
    tasks = [InstantSample(cap) for _ in range(3)]
    at = 0
    while at < len(rows):
        size = data.draw(st.integers(1, len(rows) - at))
        offer(data.draw(st.sampled_from(tasks)), rows[at : at + size])
        at += size
    tasks = [InstantSample.from_bytes(task.to_bytes(), cap) for task in tasks]
    tasks[1].merge(tasks[2])
    tasks[0].merge(tasks[1])
    assert tasks[0].to_bytes() == whole.to_bytes()


@given(st.lists(cells, min_size=1, max_size=4), st.integers(1, 30), st.integers(1, 60))
def test_a_window_holds_whole_instants_under_the_smallest_threshold(panes, cap, k):
    panes = [[(16 * i + instant, symbol) for instant, symbol in pane] for i, pane in enumerate(panes)]
    samples = [InstantSample(cap) for _ in panes]
    for sample, rows in zip(samples, panes, strict=True):
        offer(sample, rows)
    thresholds = [sample.threshold for sample in samples if sample.threshold is not None]
    under = [
        row for rows in panes for row in rows if not thresholds or int(hash_of(row[0])) < min(thresholds)
    ]
    window = InstantSample.join(samples, k)
    assert kept(window.pairs) == whole_instants(under, k)[0]
    assert window.exact == (len(window.pairs) == sum(map(len, panes)))


def test_two_instants_are_kept_however_many_symbols_there_are():
    sample = InstantSample(200)
    offer(sample, [(instant, symbol) for instant in range(9) for symbol in range(1_000)])
    assert np.unique(sample.pairs().ts).size == 2
    assert len(sample.pairs()) == 2_000
    assert len(sample.to_bytes()) < 2_000 * 10 + 1_000 * 8 + 200


def test_non_finite_pairs_are_left_out_and_counted():
    sample = InstantSample(9)
    keys = np.zeros(3, np.uint64)
    sides = np.array([1.0, np.nan, 1.0]), np.array([1.0, 1.0, -np.inf])
    sample.update(keys, np.arange(3), keys, *sides)
    assert (sample.seen, sample.non_finite, len(sample.pairs())) == (1, 2, 1)


@settings(max_examples=50)
@given(cells, st.data())
def test_damaged_bytes_are_refused(rows, data):
    sample = InstantSample(40)
    offer(sample, rows)
    good = sample.to_bytes()
    for bad in (good[: data.draw(st.integers(0, len(good) - 1))], good + b"\0"):
        with pytest.raises(StateError):
            InstantSample.from_bytes(bad, 40)


def window_of(instant, symbol, a, b):
    sample = InstantSample(10**6)
    sample.update(hash_of(instant), instant, symbol.astype(np.uint64), a, b)
    return InstantSample.join([sample], 10**6)


def test_the_value_is_scipys_rho_within_instants_averaged():
    rng = np.random.default_rng(61)
    instant, symbol = (side.ravel() for side in np.meshgrid(np.arange(40), np.arange(50)))
    keep = rng.random(instant.size) < 0.45  # 22 symbols an instant: some have fewer than 20.
    instant, symbol = instant[keep], symbol[keep]
    a = rng.standard_normal(instant.size).round(1) + 100 * instant
    b = (a + rng.standard_normal(instant.size)).round(1)
    estimate = cross_section_correlation(window_of(instant, symbol, a, b), 3, 9)
    rhos = [
        spearmanr(a[instant == t], b[instant == t]).statistic for t in range(40) if np.sum(instant == t) >= 20
    ]
    assert 5 < len(rhos) < 40
    assert estimate.value == pytest.approx(np.mean(rhos), abs=1e-12)
    assert (estimate.n, estimate.extra["instants_left_out"]) == (len(rhos), 40 - len(rhos))
    assert estimate.extra["standard_error"] == pytest.approx(
        np.std(rhos, ddof=1) / math.sqrt(estimate.n_eff), rel=1e-12
    )
    assert estimate.low < estimate.value < estimate.high


def test_agreement_of_levels_is_seen_across_symbols_and_agreement_in_time_is_not():
    rng = np.random.default_rng(62)
    instant, symbol = (side.ravel() for side in np.meshgrid(np.arange(60), np.arange(30)))
    market = rng.standard_normal(60)[instant]
    a, b = market + 0.1 * rng.standard_normal((2, instant.size))
    assert abs(cross_section_correlation(window_of(instant, symbol, a, b), 0, 1).value) < 0.1
    level = rng.standard_normal(30)[symbol]
    a, b = level + 0.1 * rng.standard_normal((2, instant.size))
    assert cross_section_correlation(window_of(instant, symbol, a, b), 0, 1).value > 0.9


@pytest.mark.parametrize("phi", [0.0, 0.8])
def test_the_interval_covers_no_agreement_in_95_of_100(phi):
    rng = np.random.default_rng(63)
    instant, symbol = (side.ravel() for side in np.meshgrid(np.arange(200), np.arange(25), indexing="ij"))
    covered = 0
    for _ in range(150):
        a, b = lfilter([1.0], [1.0, -phi], rng.standard_normal((2, 200, 25)), axis=1).reshape(2, -1)
        estimate = cross_section_correlation(window_of(instant, symbol, a, b), 0, 1)
        covered += estimate.low <= 0.0 <= estimate.high
    assert covered / 150 >= 0.89


def test_no_data_is_never_a_pass():
    def estimate(instants, symbols, side):
        instant, symbol = (s.ravel() for s in np.meshgrid(np.arange(instants), np.arange(symbols)))
        return cross_section_correlation(window_of(instant, symbol, symbol * side, symbol * 1.0), 0, 1)

    assert estimate(50, 19, 1.0).status is Status.INSUFFICIENT
    assert estimate(1, 20, 1.0).status is Status.INSUFFICIENT
    assert estimate(0, 0, 1.0).status is Status.INSUFFICIENT
    assert estimate(2, 20, 0.0).status is Status.UNKNOWN
    agreed = estimate(2, 20, 1.0)
    assert (agreed.status, agreed.value, agreed.low, agreed.high) == (Status.OK, 1.0, 1.0, 1.0)
