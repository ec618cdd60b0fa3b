"""Long proofs of the betting test and the change detector: false alarms while looking always, and delays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from betting_paths import Floats, autoregressive, courses, first_time, rows

from monitor.stats.betting import Harm
from monitor.stats.change_detection import ChangeDetector

BETTING = pytest.mark.proof(
    "monitor/stats/betting.py", "monitor/stats/block_correlation.py", "tests/stats/betting_paths.py"
)
LEVELS = (0.05, 0.01)


def alarm_shares(blocks: Iterator[Floats], harm: Harm, paths: int) -> dict[str, float]:
    """Share of sequences in which E ever reaches 1 / alpha."""
    highest = np.zeros(paths)
    for log_e, _ in courses(blocks, harm):
        highest = np.maximum(highest, log_e)
    return {f"{alpha:g}": float((highest >= math.log(1 / alpha)).mean()) for alpha in LEVELS}


def capped_lognormal(rng: np.random.Generator, sign: int):
    """Lognormal values cut at 20, less their mean (e^(1/2) P(z < ln 20 - 1) + 20 P(z > ln 20))."""
    from scipy.stats import norm

    cut = math.log(20)
    mean = math.exp(0.5) * norm.cdf(cut - 1) + 20 * norm.sf(cut)
    return lambda size: sign * (np.minimum(rng.lognormal(size=size), 20) - mean)


def day_effects(rng: np.random.Generator, paths: int, days: int, panes: int, blocks_a_day: int):
    """Means of blocks of panes of unit noise on a zero-mean effect of each day of half a unit."""
    size = panes // blocks_a_day
    for _ in range(days):
        effect = 0.5 * rng.normal(size=paths)
        for _ in range(blocks_a_day):
            yield effect + rng.normal(size=paths) / math.sqrt(size)


@BETTING
def test_false_alarms_are_at_most_nominal_however_often_one_looks(measured: dict[str, Any]):
    rng, paths = np.random.default_rng(101), 4000
    few = 1000
    cases = {
        "Student t3, 3000 blocks": (rows(lambda s: rng.standard_t(3, size=s), paths, 3000), Harm(3.0), paths),
        "lognormal loss, 3000 blocks": (rows(capped_lognormal(rng, 1), paths, 3000), Harm(20.0), paths),
        "lognormal gain, 3000 blocks": (rows(capped_lognormal(rng, -1), paths, 3000), Harm(20.0), paths),
        "two points, 3000 blocks": (
            rows(lambda s: rng.choice([-1.0, 1.0], size=s), paths, 3000),
            Harm(1.0),
            paths,
        ),
        "AR(0.9) in blocks of 190, 500": (autoregressive(rng, 0.9, few, 500, 190), Harm(1.0), few),
        "AR(0.99) in blocks of 1990, 300": (autoregressive(rng, 0.99, few, 300, 1990), Harm(1.0), few),
        "day effects in blocks of a day, 365": (day_effects(rng, paths, 365, 288, 1), Harm(2.0), paths),
    }
    for name, (blocks, harm, number) in cases.items():
        measured[name] = shares = alarm_shares(blocks, harm, number)
        for alpha in LEVELS:
            assert shares[f"{alpha:g}"] <= alpha, name


@BETTING
def test_why_blocks_false_alarms_of_events_that_depend_on_each_other(measured: dict[str, Any]):
    rng, paths = np.random.default_rng(102), 400
    cases = {
        "AR(0.9) event by event, 10000": (autoregressive(rng, 0.9, paths, 10_000), Harm(3.0)),
        "AR(0.99) event by event, 10000": (autoregressive(rng, 0.99, paths, 10_000), Harm(3.0)),
        "AR(0.99) in panes of 50, 10000": (autoregressive(rng, 0.99, paths, 10_000, 50), Harm(3.0)),
        "day effects in panes of 5 minutes, 30 days": (day_effects(rng, paths, 30, 288, 288), Harm(3.0)),
    }
    for name, (blocks, harm) in cases.items():
        measured[name] = shares = alarm_shares(blocks, harm, paths)
        assert shares["0.01"] > 0.1, name


@BETTING
def test_how_soon_harm_is_found(measured: dict[str, Any]):
    """Blocks until E >= 100, from the start; noise of three tenths of the bound."""
    rng, paths, sd = np.random.default_rng(103), 1000, 0.3
    for shift, limit in ((0.1, 4000), (0.5, 300), (1.0, 100)):
        blocks = rows(lambda s, shift=shift: rng.normal(shift * sd, sd, size=s), paths, limit)
        first = first_time((log for log, _ in courses(blocks, Harm(1.0))), math.log(100), paths)
        found = first > 0
        measured[f"{shift:g} sd"] = {
            "found": float(found.mean()),
            "within blocks": limit,
            "median blocks": float(np.median(np.where(found, first, np.inf))),
        }
        assert found.mean() >= 0.9
    assert measured["0.1 sd"]["median blocks"] < 1500
    assert measured["0.5 sd"]["median blocks"] < 80


@BETTING
def test_the_detector_cries_out_no_more_often_than_it_says(measured: dict[str, Any]):
    """Mean blocks to a value of A are at least A where nothing is wrong; a silent run counts as ended."""
    rng, paths = np.random.default_rng(104), 1000
    draws = {
        "normal": lambda s: rng.normal(0, 0.3, size=s),
        "Student t3": lambda s: 0.2 * rng.standard_t(3, size=s),
        "two points": lambda s: rng.choice([-1.0, 1.0], size=s),
        "rarely anything": lambda s: rng.choice([-1.0, 0.0, 1.0], p=[0.01, 0.98, 0.01], size=s),
    }
    for name, draw in draws.items():
        for threshold in (100, 1000):
            limit = 10 * threshold
            logs = (m for _, m in courses(rows(draw, paths, limit), Harm(1.0)))
            first = first_time(logs, math.log(threshold), paths)
            mean = float(np.where(first > 0, first, limit).mean())
            measured[f"{name}, A = {threshold}"] = {"mean blocks, at least": round(mean)}
            assert mean >= threshold, name


@BETTING
def test_a_late_change_is_found_far_sooner_by_the_detector(measured: dict[str, Any]):
    """Half a standard deviation of harm from block 20,000 on; a hundredth reaches the thresholds before."""
    rng, paths, late, limit = np.random.default_rng(105), 200, 20_000, 4000
    thresholds = {"e-process": 100, "e-detector": 100 * late}

    def losses() -> Iterator[Floats]:
        yield from rows(lambda s: rng.normal(0, 0.3, size=s), paths, late)
        yield from rows(lambda s: rng.normal(0.15, 0.3, size=s), paths, limit)

    fired = {"e-process": np.zeros(paths), "e-detector": np.zeros(paths)}
    for t, logs in enumerate(courses(losses(), Harm(1.0)), 1 - late):
        for name, log in zip(fired, logs, strict=True):
            new = (fired[name] == 0) & (log >= math.log(thresholds[name]))
            fired[name][new] = t
    for name, first in fired.items():
        blocks = np.where(first > 0, first, np.inf)
        measured[name] = {
            "threshold": thresholds[name],
            "false alarms before the change": float((first < 0).mean()),
            "median blocks after the change": float(np.median(blocks[first >= 0])),
        }
        assert (first < 0).mean() <= 0.03
    soon = measured["e-detector"]["median blocks after the change"]
    assert soon < 200
    assert measured["e-process"]["median blocks after the change"] > 4 * soon


@pytest.mark.proof("monitor/stats/change_detection.py", "tests/stats/betting_paths.py")
def test_changes_that_are_none(measured: dict[str, Any]):
    """False alarms of ADWIN a 100,000 events of AR(0.9): event by event, and on the means of panes."""
    from river.drift import ADWIN

    rng, events, per_event, in_panes = np.random.default_rng(106), 100_000, [], []
    for _ in range(20):
        values = np.concatenate(list(autoregressive(rng, 0.9, 1, events))).ravel()
        plain, found = ADWIN(), 0
        for value in values.tolist():
            plain.update(value)
            found += plain.drift_detected
        per_event.append(found)
        detector = ChangeDetector(0.002)
        in_panes.append(sum(detector.take(float(m)) for m in values.reshape(-1, 50).mean(axis=1)))
    measured["per event, river's defaults"] = float(np.mean(per_event))
    measured["on means of 50"] = float(np.mean(in_panes))
    assert 400 < np.mean(per_event) < 800
    assert np.mean(in_panes) <= 0.2


@pytest.mark.proof("monitor/stats/change_detection.py", "tests/stats/betting_paths.py")
def test_how_soon_a_change_is_found(measured: dict[str, Any]):
    """Means until a change after 1000 means of noise is said; and false ones in 20,000 means."""
    rng = np.random.default_rng(107)
    for shift in (0.5, 1.0, 3.0):
        delays = []
        for _ in range(100):
            detector = ChangeDetector(0.002)
            values = np.r_[rng.normal(size=1000), shift + rng.normal(size=1000)]
            found = [i - 999 for i, v in enumerate(values.tolist()) if detector.take(v) and i >= 1000]
            delays.append(min(found, default=math.inf))
        measured[f"{shift:g} sd: median means"] = float(np.median(delays))
        assert np.median(delays) < 200
    quiet = ChangeDetector(0.002)
    measured["false in 20,000 means"] = sum(quiet.take(v) for v in rng.normal(size=20_000).tolist())
    assert measured["false in 20,000 means"] <= 2
