"""Agreement metrics of both folds are SciPy's and NumPy's on the rows of the window, however they came."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from busy_desk import BusyDesk
from engine_cases import MS, START, SYMBOLS, House, Rows, S, made_up, rule, told
from scipy.stats import kendalltau, spearmanr

from monitor.daemon.report import series
from monitor.engine.catalogue import sources
from monitor.engine.rows import Scores, ScoreStatus
from monitor.event_time.timing import FOLDED
from monitor.policy.rules import Action, Comparator
from monitor.stats.estimate import Status
from monitor.trading.units import InstrumentUnits
from monitor.wire.keys import hash64_many

MANY = (*SYMBOLS, *(f"SYM{i:02d}" for i in range(27)))
UNITS = tuple(InstrumentUnits.of(s, Decimal("0.01"), Decimal("0.1"), Decimal(1), "USD") for s in MANY)
RULES = (
    rule("ranks", "kendall_tau", labels={"role": "shadow"}, window=10 * S, comparator=Comparator.BELOW,
         threshold=0.9, min_samples=20, action=Action.DEMOTE),
    rule("sides", "rank_correlation_cross_section", labels={"role": "shadow"}, window=60 * S, threshold=0.1,
         min_samples=2),
    rule("signs", "sign_agreement", labels={"role": "shadow"}, window=10 * S, threshold=0.3),
    rule("skew", "serving_parity", subject="active", window=60 * S, comparator=Comparator.BELOW,
         threshold=0.99),
    rule("far", "abs_difference", labels={"quantile": "0.5", "role": "shadow"}, window=60 * S, threshold=1.0),
)  # fmt: skip
HOUSE = House(windows_ns=(10 * S, 60 * S), rank_k=100_000, rules=RULES, units=UNITS)
END = START + 20 * S + 1


def many_symbols(seed: int, n: int = 3_000, seconds: float = 20.0) -> Rows:
    """Rows of 30 symbols; answers of some discreteness, so that ties are there."""
    rows = made_up(seed, seconds=seconds, n=n)
    symbol = np.random.default_rng(seed).integers(0, len(MANY), n).astype(np.int32)
    scores = {
        role: Scores(np.round(s.value, 1) + 0.0, s.status, s.latency) for role, s in rows.scores.items()
    }
    features = rows.features.with_columns(symbol=symbol, symbol_key=hash64_many(MANY)[symbol])
    return Rows(features, rows.orders, scores)


ROWS = many_symbols(71)
TOLD = told(HOUSE, ROWS, END, tasks=2, steps=40)
ESTIMATES = {series(v.name, v.labels, v.window): v.estimate for v in TOLD.values}


def inside(estimate):
    """Rows of the window that both answered: their places, and both sides."""
    features, (a, b) = ROWS.features, (ROWS.scores[role] for role in ("active", "shadow"))
    within = (features["eff"] >= estimate.from_ns) & (features["eff"] < estimate.to_ns)
    ok = (a.status == ScoreStatus.OK) & (b.status == ScoreStatus.OK)
    rows = np.flatnonzero(within & ok & np.isin(features["fate"], FOLDED))
    return rows, a.value[rows], b.value[rows]


@pytest.mark.parametrize("window", [10, 60])
@pytest.mark.parametrize(
    ("name", "coefficient"), [("rank_correlation", spearmanr), ("kendall_tau", kendalltau)]
)
def test_within_symbol_is_scipys_averaged_by_pairs(window, name, coefficient):
    estimate = ESTIMATES[f"{name}{{role=shadow}}@{window}"]
    rows, a, b = inside(estimate)
    symbol = ROWS.features["symbol"][rows]
    groups = [symbol == s for s in range(len(MANY)) if np.sum(symbol == s) >= 3]
    values = [coefficient(a[mine], b[mine]).statistic for mine in groups]
    assert estimate.value == pytest.approx(np.average(values, weights=[g.sum() for g in groups]), abs=1e-12)
    assert estimate.n == sum(g.sum() for g in groups)
    assert estimate.extra["exact"]
    assert estimate.low < estimate.value < estimate.high


def test_pooled_is_scipys_over_all():
    estimate = ESTIMATES["rank_correlation_pooled{role=shadow}@60"]
    _, a, b = inside(estimate)
    assert estimate.value == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_across_symbols_ranks_what_each_showed_last_before_an_instant():
    estimate = ESTIMATES["rank_correlation_cross_section{role=shadow}@60"]
    rows, a, b = inside(estimate)
    instant, symbol = ROWS.features["eff"][rows] // S, ROWS.features["symbol"][rows]
    rhos = []
    # The last instant, at the very end, has not come.
    for at in sorted(set(instant.tolist()) - {int(END // S)}):
        last = {int(s): place for place, s in enumerate(symbol) if instant[place] == at}
        if len(last) >= 20:
            places = sorted(last.values())
            rhos.append(spearmanr(a[places], b[places]).statistic)
    assert len(rhos) > 10
    assert estimate.value == pytest.approx(np.mean(rhos), abs=1e-12)
    assert estimate.n == len(rhos)


def test_signs_and_differences_are_numpys_over_all_pairs():
    estimate = ESTIMATES["sign_agreement{role=shadow}@60"]
    _, a, b = inside(estimate)
    same = np.sign(a) == np.sign(b)
    gap = ESTIMATES["disagreement_gap{role=shadow}@60"]
    assert estimate.value == same.mean()
    assert ESTIMATES["disagreement_rate{role=shadow}@60"].value == (~same).mean()
    assert gap.value == pytest.approx((b - a)[~same].mean(), rel=1e-12)
    assert gap.n == (~same).sum()
    assert ESTIMATES["max_abs_difference{role=shadow}@60"].value == np.abs(b - a).max()
    for q in ("0.5", "0.95", "0.99", "0.999"):
        expected = np.quantile(np.abs(b - a), float(q), method="inverted_cdf")
        assert ESTIMATES[f"abs_difference{{quantile={q},role=shadow}}@60"].value == expected


def test_production_is_held_against_what_the_active_says_again():
    parity = ESTIMATES["serving_parity@60"]
    features, active = ROWS.features, ROWS.scores["active"]
    within = (features["eff"] >= parity.from_ns) & (features["eff"] < parity.to_ns)
    recorded, again = features["served_prediction"], active.value
    rows = (
        within & np.isin(features["fate"], FOLDED) & ~np.isnan(recorded) & (active.status == ScoreStatus.OK)
    )
    apart = np.abs(recorded - again)[rows]
    assert parity.value == np.mean(apart <= 1e-5 + 1e-5 * np.abs(recorded[rows]))
    assert 0 < parity.value < 1
    assert parity.extra["largest_difference"] == apart.max()
    difference = ESTIMATES["serving_difference{quantile=0.99}@60"]
    # The sample of this window was cut: 2,000 answers.
    sampled = difference.n
    assert difference.extra["exact"] == (sampled == apart.size)
    assert difference.low is None or difference.low <= np.quantile(apart, 0.99)
    assert difference.extra["rank_correlation"] > 0.99


@pytest.mark.parametrize(("kinds", "undefined"), [
    ({"active": "class", "shadow": "class"}, {"sign_agreement", "disagreement_rate", "disagreement_gap",
                                              "max_abs_difference", "abs_difference"}),
    ({"active": "return", "shadow": "probability"},
     {"disagreement_gap", "max_abs_difference", "abs_difference"}),
])  # fmt: skip
def test_what_the_kinds_of_output_do_not_have_is_not_applicable(kinds, undefined):
    class Other(House):
        @property
        def scope(self):
            return replace(super().scope, kinds=kinds)

    values = told(Other(windows_ns=(60 * S,), rules=(), units=UNITS), ROWS, END, steps=3).values
    agreement = {name.split("{")[0] for name in ESTIMATES if "role=shadow" in name} & undefined
    assert agreement == undefined
    assert {v.name for v in values if v.estimate.status is Status.NOT_APPLICABLE} >= undefined
    assert not {v.name for v in values if v.name in undefined and v.estimate.status is Status.OK}


@pytest.mark.parametrize(("tasks", "steps", "seed"), [(1, 1, 1), (3, 200, 2), (5, 7, 3)])
def test_batches_and_tasks_change_nothing(tasks, steps, seed):
    again = told(HOUSE, ROWS, END, tasks=tasks, steps=steps, seed=seed)
    assert again.events == TOLD.events
    assert again.values == TOLD.values
    assert TOLD.events.count(b'"metric":"kendall_tau"') > 0


def test_a_cut_sample_does_not_depend_on_them_either():
    house = House(windows_ns=(10 * S, 60 * S), rank_k=300, rules=RULES, units=UNITS)
    one, other = (told(house, ROWS, END, tasks=t, steps=n) for t, n in ((1, 11), (4, 90)))
    assert one.values == other.values
    cut = [v for v in one.values if v.estimate.extra.get("exact") is False]
    assert {v.name for v in cut} >= {"rank_correlation", "rank_correlation_cross_section", "abs_difference"}


def test_restarts_change_nothing():
    instants = frozenset(range(START, END, 700 * MS))
    rng = np.random.default_rng(0)
    inner = rng.integers(START - S + 1, END, 60)
    again = told(HOUSE, ROWS, END, steps=60, restart1=frozenset(inner.tolist()), restart2=instants)
    assert again.events == TOLD.events
    assert again.values == TOLD.values


def test_no_two_groups_of_metrics_share_a_statistic():
    keys = [source.key for source in sources(BusyDesk().scope)]
    assert len(keys) == len(set(keys))
