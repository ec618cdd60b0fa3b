"""How often calibrated drift cries wolf, and how soon it finds a wolf, on ticks that depend on each other.

Each reference is seven days of ten events a second; looks are at one-hour windows of the days after it.
"""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from drift_market import DAY_S, MINUTE_NS, PANES, Ticks, looks, shifted

from monitor.stats.drift import DriftReader
from monitor.stats.reference import Distribution

CODE = (
    "monitor/stats/calibration.py",
    "monitor/stats/drift.py",
    "monitor/stats/grouping.py",
    "monitor/stats/ks.py",
    "monitor/stats/long_run.py",
    "monitor/stats/reference.py",
    "monitor/stats/saddlepoint.py",
    "monitor/stats/season.py",
    "tests/stats/drift_market.py",
)
WORKERS = 2
FEATURES, LOOKS_A_DAY, DAYS_A_MONTH, MONTHS = 32, 200, 30, 20
BUDGET = 1 / (FEATURES * LOOKS_A_DAY * DAYS_A_MONTH)
"""p-value of one drift alarm a month over all looks and features: 5.2e-6."""


def side_by_side(task, arguments):
    with ProcessPoolExecutor(WORKERS) as pool:
        return list(pool.map(task, arguments))


def joined(task, arguments):
    return list(itertools.chain.from_iterable(side_by_side(task, arguments)))


def live(ticks: Ticks, rng: np.random.Generator, distribution: Distribution, days: int) -> np.ndarray:
    return np.concatenate([ticks.panes(day, distribution) for day in ticks.days(rng, days)])


def p_values(argument) -> np.ndarray:
    """(looks, 2): of PSI and of KS, 240 looks a day at some days after one reference."""
    ticks, seed, days = argument
    rng = np.random.default_rng(seed)
    distribution = ticks.reference(rng)
    _, readings = looks(distribution, live(ticks, rng, distribution, days))
    return np.array([(each.psi_p, each.ks_p) for each in readings], np.float64)


@pytest.mark.timeout(1_800)
@pytest.mark.proof(*CODE)
@pytest.mark.parametrize(
    "ticks",
    [Ticks(rho, season) for rho in (0.0, 0.9, 0.99) for season in (0.0, 0.5)],
    ids=lambda ticks: f"ar{ticks.rho}-season{ticks.season}",
)
def test_p_values_keep_their_word_at_a_hundredth_and_at_a_ten_thousandth(ticks, measured):
    days, references = 25, 34
    found = side_by_side(p_values, [(ticks, 1_000 + seed, days) for seed in range(references)])
    psi, ks = np.concatenate(found).T
    apart = np.concatenate([each[::10, 0] for each in found])
    measured["looks"], measured["windows_apart"] = psi.size, apart.size
    for alpha in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5):
        measured[f"psi_at_{alpha:g}"] = float(np.mean(psi < alpha))
        measured[f"ks_at_{alpha:g}"] = float(np.mean(ks < alpha))
    measured["psi_apart_at_0.01"] = float(np.mean(apart < 0.01))
    by_reference = [float(np.mean(each[:, 0] < 0.01)) for each in found]
    measured["psi_at_0.01_by_reference"] = [min(by_reference), max(by_reference)]
    assert psi.size >= 200_000
    assert apart.size >= 5_000
    assert 0.005 <= measured["psi_apart_at_0.01"] <= 0.02
    assert 0.005 <= measured["psi_at_0.01"] <= 0.02
    assert 1e-4 / 3 <= measured["psi_at_0.0001"] <= 3e-4
    for alpha in (1e-2, 1e-3, 1e-4):
        assert measured[f"ks_at_{alpha:g}"] <= alpha


def onsets(argument) -> int:
    """Of one feature over some days: looks that find drift after one that did not."""
    p = p_values(argument)[:, 0]
    found = p < BUDGET
    return int(np.count_nonzero(found[1:] & ~found[:-1]) + found[0])


@pytest.mark.timeout(1_800)
@pytest.mark.proof(*CODE)
def test_a_budget_of_one_alarm_a_month_holds_over_twenty_months_of_32_features(measured):
    """A reference serves a feature for four months; a third each are independent, AR(0.9) and AR(0.99), every
    other with a season. At two events a second where that leaves enough independent values."""
    kinds = [
        Ticks(rho, season, rate) for rho, rate in ((0.0, 2), (0.9, 2), (0.99, 10)) for season in (0.0, 0.5)
    ]
    features = [(kinds[i % 6], 50_000 + i, 4 * DAYS_A_MONTH) for i in range(FEATURES * MONTHS // 4)]
    # The slow ones first, so that both workers end together.
    features.sort(key=lambda each: -each[0].rate)
    counts = side_by_side(onsets, features)
    measured["onsets"] = sum(counts)
    measured["months"] = MONTHS
    measured["onsets_a_month"] = sum(counts) / MONTHS
    measured["features_with_an_onset"] = sum(1 for count in counts if count)
    assert sum(counts) <= 2 * MONTHS


def delays(argument) -> list[tuple[float, float]]:
    """Minutes until the p-value falls below the budget, and until the excess is above 0.1, by run."""
    ticks, seed, runs = argument
    rng = np.random.default_rng(seed)
    distribution = ticks.reference(rng)
    found = []
    for _ in range(runs):
        at = int(rng.integers(120, PANES - 100))
        (cells,) = ticks.days(rng, 1)
        event = at * DAY_S * ticks.rate // PANES
        cells[event:] = shifted(cells[event:], 0.5)
        panes = ticks.panes(cells, distribution)
        reader = DriftReader([distribution])
        by_p = by_excess = math.inf
        for minute in range(1, 91):
            counts = panes[at + minute - 60 : at + minute].sum(axis=0)[None, :]
            end_ns = (at + minute) * MINUTE_NS
            (reading,) = reader.read(counts, [(end_ns - 60 * MINUTE_NS, end_ns)])
            if reading.psi_p < BUDGET:
                by_p = min(by_p, minute)
            if reading.psi_excess > 0.1:
                by_excess = min(by_excess, minute)
            if by_p < math.inf and by_excess < math.inf:
                break
        found.append((by_p, by_excess))
    return found


@pytest.mark.timeout(1_800)
@pytest.mark.proof(*CODE)
@pytest.mark.parametrize("rho", [0.0, 0.9, 0.95, 0.99])
def test_a_shift_of_half_a_sigma_is_found_within_the_hour(rho, measured):
    runs = np.array(joined(delays, [(Ticks(rho), 7_000 + seed, 25) for seed in range(8)]))
    by_p, by_excess = runs.T
    either = runs.min(axis=1)
    for name, minutes in (("p", by_p), ("excess", by_excess), ("either", either)):
        measured[f"{name}_median_min"] = float(np.median(minutes))
        measured[f"{name}_95_percent_min"] = float(np.quantile(minutes, 0.95, method="higher"))
        measured[f"{name}_within_30_min"] = float(np.mean(minutes <= 30))
        measured[f"{name}_within_60_min"] = float(np.mean(minutes <= 60))
    measured["runs"] = len(runs)
    if rho <= 0.95:
        assert measured["p_within_30_min"] >= 0.95
        assert measured["excess_within_60_min"] >= 0.95
    assert measured["either_within_60_min"] >= 0.95


def statuses(argument) -> list[tuple[str | None, float, int, bool]]:
    ticks, seed = argument
    rng = np.random.default_rng(seed)
    distribution = ticks.reference(rng)
    _, readings = looks(distribution, live(ticks, rng, distribution, 1), every=60)
    return [(each.fault, each.n_eff, each.n_eff_needed, each.psi_p is None) for each in readings]


@pytest.mark.timeout(1_800)
@pytest.mark.proof(*CODE)
def test_an_hour_of_ar_0999_has_too_few_independent_values_and_says_how_many(measured):
    said = joined(statuses, [(Ticks(0.999), seed) for seed in range(8)])
    measured["n_eff"] = [min(each[1] for each in said), max(each[1] for each in said)]
    measured["n_eff_needed"] = said[0][2]
    assert all(fault == "too few independent values" and silent for fault, _, _, silent in said)
    assert all(n_eff < needed for _, n_eff, needed, _ in said)
    enough = joined(statuses, [(Ticks(0.99), seed) for seed in range(8)])
    measured["n_eff_at_0.99"] = [min(each[1] for each in enough), max(each[1] for each in enough)]
    assert all(fault is None and not silent for fault, _, _, silent in enough)
