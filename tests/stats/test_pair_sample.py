"""The bottom-k sample is the same whatever was merged in which order, and uniform where it was cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.stats.sample import PairSample, cap_for

# Few distinct hashes, times and symbols, so that ties in each part of the key are frequent.
hashes = st.one_of(st.integers(0, 5), st.integers(0, 2**64 - 1))
keys = st.tuples(hashes, st.integers(-2, 2), st.sampled_from([1, 2**63]))
sides = st.one_of(st.floats(), st.floats(width=32))
rows = st.lists(st.tuples(keys, sides, sides), max_size=40, unique_by=lambda row: row[0])


def offer(sample, batch):
    key = [row[0] for row in batch]
    sample.update(
        np.array([k[0] for k in key], np.uint64),
        np.array([k[1] for k in key], np.int64),
        np.array([k[2] for k in key], np.uint64),
        np.array([row[1] for row in batch], np.float64),
        np.array([row[2] for row in batch], np.float64),
    )


def sample_of(batch, cap):
    sample = PairSample(cap)
    offer(sample, batch)
    return sample


def kept(pairs):
    columns = [column.tolist() for column in (pairs.hash, pairs.ts, pairs.symbol_key, pairs.a, pairs.b)]
    return [((h, t, s), a, b) for h, t, s, a, b in zip(*columns, strict=True)]


def finite(batch):
    return sorted(row for row in batch if np.isfinite(row[1]) and np.isfinite(row[2]))


@given(rows, st.integers(1, 12))
def test_a_pane_keeps_the_smallest_keys_and_knows_the_first_it_cut(batch, cap):
    sample = sample_of(batch, cap)
    good = finite(batch)
    assert kept(sample.pairs()) == good[:cap]
    assert sample.threshold == (good[cap][0] if len(good) > cap else None)
    assert (sample.seen, sample.non_finite) == (len(good), len(batch) - len(good))


@given(st.data(), rows, st.integers(1, 12))
def test_any_batches_tasks_and_order_give_equal_bytes(data, batch, cap):
    whole = sample_of(batch, cap).to_bytes()
    shuffled = data.draw(st.permutations(batch))
    tasks = [PairSample(cap) for _ in range(data.draw(st.integers(1, 4)))]
    at = 0
    while at < len(shuffled):
        size = data.draw(st.integers(1, len(shuffled) - at))
        offer(data.draw(st.sampled_from(tasks)), shuffled[at : at + size])
        at += size
    while len(tasks) > 1:
        first = tasks.pop(data.draw(st.integers(0, len(tasks) - 1)))
        tasks[data.draw(st.integers(0, len(tasks) - 1))].merge(first)
    assert tasks[0].to_bytes() == whole
    back = PairSample.from_bytes(whole, cap)
    assert back.to_bytes() == whole
    assert kept(back.pairs()) == kept(tasks[0].pairs())


def test_a_tie_in_hash_that_comes_late_is_still_decided_by_time_and_symbol():
    sample = PairSample(2)
    for ts, symbol in [(5, 1), (6, 1), (7, 1), (5, 0), (4, 9)]:
        offer(sample, [((8, ts, symbol), 1.0, 1.0)])
    assert [row[0] for row in kept(sample.pairs())] == [(8, 4, 9), (8, 5, 0)]
    assert sample.threshold == (8, 5, 1)


@given(rows, st.integers(1, 6), st.integers(1, 12), st.integers(1, 3))
def test_a_coarser_pane_of_finer_ones_is_complete_under_its_threshold(batch, fine_cap, coarse_cap, panes):
    coarse, reverse = PairSample(coarse_cap), PairSample(coarse_cap)
    parts = [sample_of(batch[i::panes], fine_cap) for i in range(panes)]
    for part in parts:
        coarse.merge(part)
    for part in reversed(parts):
        reverse.merge(part)
    assert coarse.to_bytes() == reverse.to_bytes()
    below = [row for row in finite(batch) if coarse.threshold is None or row[0] < coarse.threshold]
    assert kept(coarse.pairs()) == below
    assert len(below) <= coarse_cap


@given(st.lists(rows, max_size=4), st.integers(1, 8), st.integers(1, 20))
def test_a_window_holds_what_lies_under_the_smallest_threshold_of_its_panes(panes, cap, k):
    # The pane goes into the key, so that no key repeats in the window.
    panes = [[((h, 10 * i + t, s), a, b) for (h, t, s), a, b in pane] for i, pane in enumerate(panes)]
    window = PairSample.join([sample_of(pane, cap) for pane in panes], k)
    cut = [finite(pane)[cap][0] for pane in panes if len(finite(pane)) > cap]
    everything = sorted(row for pane in panes for row in finite(pane))
    under = [row for row in everything if not cut or row[0] < min(cut)]
    assert kept(window.pairs) == under[:k]
    assert window.exact == (len(window.pairs) == len(everything))
    assert window.seen == len(everything)


def test_a_cut_window_is_a_uniform_sample_of_uneven_panes():
    rng = np.random.default_rng(16)
    panes = []
    for n in (20_000, 1_000, 100):
        pane = PairSample(666)
        hash_ = rng.integers(0, 2**64, n, dtype=np.uint64)
        pane.update(hash_, np.arange(n), np.zeros(n, np.uint64), np.full(n, float(n)), np.zeros(n))
        panes.append(pane)
    window = PairSample.join(panes, 10_000)
    assert not window.exact
    share = (window.pairs.a == 20_000.0).mean()
    # 20,000 / 21,100 = 0.948; standard error of a uniform sample of some 700: 0.0084.
    assert share == pytest.approx(0.948, abs=0.035)


def test_the_cap_is_four_times_the_panes_share_and_at_least_200():
    assert cap_for(10_000, 5, 300) == 666
    assert cap_for(100, 5, 300) == 200
    assert cap_for(10_000, 300, 300) == 40_000


def test_a_sample_does_not_follow_later_changes_of_its_inputs():
    hash_, side = np.array([1], np.uint64), np.array([0.5])
    sample = PairSample(200)
    sample.update(hash_, np.array([0]), hash_, side, side)
    twin = sample.copy()
    hash_[0], side[0] = 9, 9.0
    sample.update(hash_, np.array([0]), hash_, side, side)
    assert kept(twin.pairs()) == [((1, 0, 1), 0.5, 0.5)]
    assert len(sample.pairs()) == 2


def test_predictions_in_single_precision_take_25_bytes_a_pair():
    rng = np.random.default_rng(17)
    sides = rng.standard_normal(600).astype(np.float32).astype(np.float64)
    sample = PairSample(666)
    symbols = rng.integers(0, 5, 600).astype(np.uint64)
    sample.update(rng.integers(0, 2**64, 600, dtype=np.uint64), np.arange(600), symbols, sides, sides)
    assert len(sample.to_bytes()) < 600 * 25 + 100


@settings(max_examples=50)
@given(rows, st.data())
def test_damaged_bytes_are_refused(batch, data):
    good = sample_of(batch, 40).to_bytes()
    with pytest.raises(StateError):
        PairSample.from_bytes(good[: data.draw(st.integers(0, len(good) - 1))], 40)
    with pytest.raises(StateError):
        PairSample.from_bytes(good + b"\0", 40)


def test_more_pairs_than_the_cap_are_refused():
    batch = [((h, 0, 0), 1.0, 1.0) for h in range(9)]
    with pytest.raises(StateError, match="cap of 8"):
        PairSample.from_bytes(sample_of(batch, 9).to_bytes(), 8)
    with pytest.raises(ValueError, match="at least 1"):
        PairSample(0)


def test_nothing_offered_is_empty():
    sample = PairSample(200)
    offer(sample, [])
    assert sample.empty
    assert kept(sample.pairs()) == []
    window = PairSample.join([], 10)
    assert (len(window.pairs), window.exact) == (0, True)
