"""Skill over symbols and over time: cross-sections of instants, and intervals that know of overlap."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from engine_cases import MS, START, House, S
from scipy.stats import spearmanr
from test_skill_memories import batch, features

from monitor.engine.catalogue import Catalogue
from monitor.engine.measures import labelled, skill
from monitor.engine.memories.forward import ForwardReturns
from monitor.engine.panes import Pane
from monitor.engine.rings import Rings, WindowView
from monitor.engine.scope import NO_ROWS, Batch, plain
from monitor.engine.skill_rules import Forward
from monitor.stats.calibration_curve import CalibrationCurve, calibration_edges
from monitor.stats.estimate import Status
from monitor.stats.information_coefficient import information_coefficient
from monitor.stats.newey_west import lag_panes
from monitor.stats.sample import PairSample

SYMBOLS = 25
FORWARD = Forward((2 * S,), 50 * MS, 0.5, 100_000, SYMBOLS, 0.01, S)


def test_the_cross_section_ranks_the_first_prediction_of_each_symbol_and_second():
    rng = np.random.default_rng(7)
    scope = replace(House(windows_ns=(60 * S,), rank_k=60_000).scope, forward=FORWARD)
    memory, sources = ForwardReturns(FORWARD, scope.roles), list(skill.sources(scope))
    pane = Pane({s.key: s.kind for s in sources}, S)
    price = np.full(SYMBOLS, 100.0)
    series: dict[int, list[tuple[int, float]]] = {k: [] for k in range(SYMBOLS)}
    asked: list[tuple[int, int, float]] = []
    for second in range(30):
        at = START + second * S
        symbol = np.repeat(np.arange(SYMBOLS), 2)
        eff = at + np.sort(rng.integers(1, S, len(symbol)))
        rng.shuffle(symbol)
        value, seen = rng.normal(size=len(symbol)), set()
        middle = np.empty(len(symbol))
        for i, s in enumerate(symbol.tolist()):
            price[s] *= 1 + 1e-4 * rng.normal()
            middle[i] = price[s]
            series[s].append((int(eff[i]), (price[s] - 0.01) / 2 + (price[s] + 0.01) / 2))
            if s not in seen:
                asked.append((int(eff[i]), s, float(value[i])))
            seen.add(s)
        if memory.due is not None and memory.due < at:
            feed(sources, pane, memory.expire(at))
        keys = np.arange(len(symbol)) + 100 * second
        memory.take(batch(features(eff, symbol, middle - 0.01, middle + 0.01, keys), value))
    feed(sources, pane, memory.expire(START + 40 * S))
    rhos = []
    for second in range(30):
        rows = [a for a in asked if a[0] // S == START // S + second]
        assert len(rows) == SYMBOLS
        changes = []
        for eff, s, _ in rows:
            times = [t for t, _ in series[s]]
            first, last = (
                series[s][int(np.searchsorted(times, eff + after, side="right")) - 1][1]
                for after in (50 * MS, 2050 * MS)
            )
            changes.append((last - first) / first)
        rhos.append(spearmanr([v for _, _, v in rows], changes).statistic)
    rings = Rings({s.key: s.kind for s in sources}, (60 * S,))
    view = rings.window(60 * S, START + 40 * S, pane)
    metric = Catalogue(scope).find("ic_cross_section", (("role", "active"),))
    found = metric.value(view)
    assert (found.status, found.n) == (Status.OK, 30)
    assert found.value == pytest.approx(np.mean(rhos), abs=1e-12)
    assert found.extra["pairs"] == 30 * SYMBOLS


def feed(sources, pane, tables):
    for source in sources:
        if source.takes in tables:
            source.feed(pane.statistic(source.key), Batch({}, NO_ROWS, {}, tables))


def test_fewer_than_twenty_symbols_have_no_cross_section():
    scope = replace(House().scope, forward=replace(FORWARD, symbols=19))
    assert not any(m.family.name == "ic_cross_section" for m in Catalogue(scope).metrics)


@pytest.mark.parametrize("persistence", [0.0, 0.95])
def test_returns_that_overlap_make_noise_significant_about_as_often_as_nominal(persistence):
    """One prediction a second, returns over 20 s, windows of 20 minutes, panes of 5 s; no skill at all."""
    rng = np.random.default_rng(17)
    n, horizon, pane = 1_200, 20, 5
    missed = late = naive = 0
    trials = 120
    for _ in range(trials):
        price = np.cumsum(rng.normal(size=n + horizon))
        change = price[horizon:] - price[:-horizon]
        noise, signal = rng.normal(size=n), np.empty(n)
        state = 0.0
        for i in range(n):
            state = persistence * state + np.sqrt(1 - persistence**2) * noise[i]
            signal[i] = state
        panes = []
        for low, high in pairwise(range(0, n + 1, pane)):
            sample = PairSample(10**6)
            hashes = rng.integers(0, 2**63, high - low).astype(np.uint64)
            ts = np.arange(low, high) * S
            sample.update(hashes, ts, np.zeros(high - low, np.uint64), signal[low:high], change[low:high])
            panes.append(sample)
        lag = lag_panes(horizon * S, pane * S)
        window = PairSample.join(panes, 10**6)
        found = information_coefficient(window, [p.pairs() for p in panes], lag, 0, n * S)
        missed += not found.low <= 0.0 <= found.high
        late += abs(found.extra["t"]) > 1.96
        naive += abs(found.value) * np.sqrt(n) > 1.96
    assert missed / trials < 0.14
    assert late / trials < 0.14
    assert naive / trials > 0.4 or persistence == 0.0


@pytest.mark.parametrize(
    ("rows", "status"), [(30, Status.INSUFFICIENT), (149, Status.INSUFFICIENT), (150, Status.OK)]
)
def test_few_rows_do_not_pass_as_calibrated(rows, status):
    scope = replace(House().scope, kinds={"active": "probability", "shadow": "probability"})
    read = dict(labelled.ece_debiased(scope))[(("role", "active"),)]
    edges = calibration_edges(None)
    kind = plain(CalibrationCurve, edges)
    curve = kind.empty(S)
    p = (np.arange(rows) % 15 + 0.5) / 15
    curve.update(p, (np.arange(rows) % 2).astype(float))
    pane = Pane({"calibration/active": kind}, S, {"calibration/active": curve})
    found = read(WindowView({"calibration/active": kind}, (pane,), (START,), START, START + S, START))
    assert (found.status, found.n) == (status, rows)
