"""The demo market: reproducible, in order, on the grid, with a signal that is really there, and no memory."""

import itertools

import numpy as np
import pytest
from scipy.stats import spearmanr

from monitor.demo.faults import Fault, FaultKind, Faults
from monitor.demo.market import FEATURE_COUNT, LISTINGS, SIGNAL_WEIGHTS, STEP_NS, Market
from monitor.stats.reference import freeze

START_NS = 1_767_607_200 * 10**9


def columns(slices):
    """The slices of a market as one dictionary of columns."""
    slices = list(slices)
    names = ("ts_ns", "listing", "number", "features", "bid", "ask")
    return {name: np.concatenate([getattr(s, name) for s in slices]) for name in names}


def psi(before, after):
    """PSI by the textbook on 16 quantile bins, written apart from the product's."""
    edges = np.quantile(before, np.arange(1, 16) / 16)
    p, q = (np.bincount(np.searchsorted(edges, x), minlength=16) + 0.5 for x in (before, after))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


@pytest.fixture(scope="module")
def healthy():
    return columns(Market(3, START_NS).slices(120))


def test_a_seed_gives_the_same_market_and_another_seed_another():
    first, again, other = (columns(Market(seed, START_NS).slices(5)) for seed in (3, 3, 4))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["features"], other["features"])


def test_a_longer_run_begins_like_a_shorter_one():
    longer = itertools.islice(Market(3, START_NS).slices(50), 5)
    assert np.array_equal(columns(longer)["bid"], columns(Market(3, START_NS).slices(5))["bid"])


def test_each_symbol_has_twenty_events_a_second_in_order(healthy):
    assert len(healthy["ts_ns"]) == 120 * 20 * len(LISTINGS)
    assert (np.diff(healthy["ts_ns"]) >= 0).all()
    for listing in range(len(LISTINGS)):
        own = healthy["listing"] == listing
        assert (np.diff(healthy["ts_ns"][own]) > 0).all()
        assert np.array_equal(healthy["number"][own], np.arange(own.sum()))
        assert np.array_equal((healthy["ts_ns"][own] - START_NS) // STEP_NS, np.arange(own.sum()))


def test_quotes_are_never_crossed_and_the_spread_is_as_listed(healthy):
    assert (healthy["bid"] < healthy["ask"]).all()
    spread_bps = (healthy["ask"] - healthy["bid"]) / healthy["bid"] * 1e4
    for i, listing in enumerate(LISTINGS):
        own = spread_bps[healthy["listing"] == i]
        tick_bps = float(listing.tick / listing.open) * 1e4
        assert (own >= 2 * listing.half_spread_bps * 0.99).all()
        assert (own <= 2 * listing.half_spread_bps + 2.2 * tick_bps).all()


def test_features_are_standard_and_the_first_four_predict_the_next_second(healthy):
    assert np.abs(healthy["features"].std(axis=0) - 1).max() < 0.1
    own = healthy["listing"] == 0
    mid = (healthy["bid"] + healthy["ask"])[own] / 2
    ahead = mid[20:] / mid[:-20] - 1
    features = healthy["features"][own][:-20]
    signal = features[:, : len(SIGNAL_WEIGHTS)] @ np.array(SIGNAL_WEIGHTS)
    # This seed: 2.3 bps a standard deviation of signal, of 4.5 bps in all; a correlation of 0.48.
    assert spearmanr(signal, ahead)[0] > 0.3
    # 2,380 overlapping, autocorrelated rows: about 100 independent ones, a standard error of 0.1.
    assert abs(spearmanr(features[:, 10:].sum(axis=1), ahead)[0]) < 0.35


@pytest.mark.parametrize(
    ("kind", "dose", "mean", "spread"),
    [(FaultKind.FEATURE_SCALE, 10.0, 0.0, 10.0), (FaultKind.FEATURE_SHIFT, 3.0, 3.0, 1.0)],
)
def test_a_broken_feature_drifts_alone_in_its_time_and_prices_do_not_care(healthy, kind, dose, mean, spread):
    fault = Fault(kind, dose, 60.0, 120.0, feature=5)
    broken = columns(Market(3, START_NS, Faults((fault,))).slices(120))
    late = broken["ts_ns"] >= START_NS + 60 * 10**9
    assert np.array_equal(broken["bid"], healthy["bid"])
    others = [i for i in range(FEATURE_COUNT) if i != 5]
    assert np.array_equal(broken["features"][:, others], healthy["features"][:, others])
    assert np.array_equal(broken["features"][~late], healthy["features"][~late])
    assert broken["features"][late, 5].mean() == pytest.approx(mean, abs=0.5 * spread)
    assert broken["features"][late, 5].std() == pytest.approx(spread, rel=0.1)
    assert psi(healthy["features"][~late, 5], broken["features"][late, 5]) > 2.0
    assert psi(healthy["features"][~late, 6], broken["features"][late, 6]) < 0.1


def test_the_reference_of_a_healthy_feature_has_all_its_bins(healthy):
    assert len(freeze(healthy["features"][:, 5].astype(float)).counts) == 64


def test_doses_add_up_and_factors_multiply_only_while_they_hold():
    faults = Faults(
        (
            Fault(FaultKind.SERVED_LATENCY, 2.0, 1.0, 3.0),
            Fault(FaultKind.SERVED_LATENCY, 4.0, 2.0, 4.0),
            Fault(FaultKind.ADVERSE_FILLS, 10.0, 2.0, 4.0),
            Fault(FaultKind.ADVERSE_FILLS, 5.0, 2.0, 3.0),
        )
    )
    factors = [faults.factor(FaultKind.SERVED_LATENCY, t) for t in (0.0, 1.0, 2.0, 3.0, 4.0)]
    assert factors == [1.0, 2.0, 8.0, 4.0, 1.0]
    assert [faults.total(FaultKind.ADVERSE_FILLS, t) for t in (1.9, 2.0, 3.0, 4.0)] == [0.0, 15.0, 10.0, 0.0]
    assert faults.total(FaultKind.SERVED_ERRORS, 2.0) == 0.0


def test_a_fault_that_never_holds_or_breaks_no_column_is_refused():
    with pytest.raises(ValueError, match="later than start_s"):
        Fault(FaultKind.ADVERSE_FILLS, 1.0, 5.0, 5.0)
    with pytest.raises(ValueError, match="must name a column"):
        Fault(FaultKind.FEATURE_SHIFT, 1.0, 0.0, 5.0)
