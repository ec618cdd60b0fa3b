"""The catalogue keeps its word: labels as declared, names as published, values as SciPy has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine_cases import FEATURES, MARKOUTS, MS, REFERENCE, START, House, S, made_up, rule, told
from scipy.stats import spearmanr

from monitor.cli.metrics import BLAMES
from monitor.daemon.report import series
from monitor.engine.catalogue import BY_NAME, FAMILIES, Catalogue, sources
from monitor.engine.family import nothing, seconds_text
from monitor.engine.measures.latency import QUANTILES
from monitor.engine.memories.markouts import derived
from monitor.engine.memories.order_flow import FILL_COSTS, ORDER_COUNTS
from monitor.engine.memories.orders import NEW_ORDERS
from monitor.engine.rings import Rings
from monitor.engine.rows import UNMEASURED_NS, ScoreStatus
from monitor.event_time.timing import FOLDED, Fate
from monitor.stats.estimate import Status
from monitor.stats.psi import collapse, psi

HOUSE = House(windows_ns=(10 * S, 60 * S, 300 * S))
END = START + 20 * S + 1
ROWS = made_up(21, n=3000)
REPORTED = told(HOUSE, ROWS, END, steps=40, tasks=2)
BY_SERIES = {series(v.name, v.labels, v.window): v for v in REPORTED.values}

PUBLISHED = (
    "rank_correlation{role=shadow}@300",
    "serve_latency{quantile=0.99}@300",
    "serve_latency_above{limit=0.5}@300",
    "inference_latency{quantile=0.999,role=active}@60",
    "inference_latency_above{limit=0.01,role=shadow}@60",
    "served_error_rate@10",
    "error_rate{role=shadow}@10",
    "event_rate{stream=orders}@10",
    "psi{feature=f1}@60",
    "prediction_psi{role=active}@60",
    "hit_rate{role=shadow}@300",
    "markout{fills=real,horizon=1,role=active}@300",
    "equity{fills=real,role=active}@0",
    "pnl_after_costs{fills=paper,role=shadow}@session",
    "drawdown{fills=real,role=active}@promotion",
    "model_effect{role=shadow}@session",
)


def view(window_ns: int = 10 * S):
    kinds = {s.key: s.kind for s in sources(HOUSE.scope)}
    return Rings(kinds, HOUSE.windows_ns).window(window_ns, START, None)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_series_is_named_as_the_contract_says(name):
    assert name in BY_SERIES


def test_every_series_has_the_labels_that_its_family_declares():
    seen = set()
    for value in REPORTED.values:
        assert tuple(name for name, _ in value.labels) == BY_NAME[value.name].labels
        seen.add(value.name)
    assert seen == {family.name for family in FAMILIES}
    assert len(BY_SERIES) == len(REPORTED.values)


def test_labels_are_declared_in_order_and_blame_is_one_of_the_words():
    for family in FAMILIES:
        assert family.labels == tuple(sorted(family.labels))
        assert family.blame in BLAMES
        assert family.unit
        assert family.meaning.endswith(".")


def test_a_metric_is_found_by_exactly_its_labels():
    catalogue = Catalogue(HOUSE.scope)
    for metric in catalogue.metrics:
        assert catalogue.find(metric.family.name, metric.labels) is metric
    assert catalogue.find("rank_correlation", ()) is None
    assert catalogue.find("rank_correlation", (("role", "active"),)) is None
    assert catalogue.find("psi", (("feature", "unheard"),)) is None
    assert catalogue.find("equity", (("fills", "real"), ("role", "active"))) is None, "of books, not of panes"


def test_without_rows_no_metric_is_ok():
    for metric in Catalogue(HOUSE.scope).metrics:
        estimate = metric.value(view())
        assert estimate.status in (Status.INSUFFICIENT, Status.NOT_APPLICABLE)
        assert (estimate.value, estimate.n) == (None, 0)
        assert (estimate.from_ns, estimate.to_ns) == (START - 10 * S, START)
    assert nothing(view()).status is Status.INSUFFICIENT


def test_rows_that_enter_no_statistic_leave_every_metric_of_them_without_data():
    rows = made_up(2, fills=0)
    rows.features["fate"][:] = Fate.LATE
    told_of = told(HOUSE, rows, END, steps=2)
    of_all_rows = {"schema_violations", "late_events", "duplicate_events", "disorder", "refused_executions"}
    for value in told_of.values:
        if BY_NAME[value.name].of is not None and value.name not in of_all_rows:
            assert value.estimate.status is not Status.OK


def test_latencies_that_nobody_measured_are_unknown_and_those_of_rows_not_asked_insufficient():
    for status, expected in ((ScoreStatus.OK, Status.UNKNOWN), (ScoreStatus.INCOMPLETE, Status.INSUFFICIENT)):
        rows = made_up(2)
        for scores in rows.scores.values():
            scores.latency[:] = UNMEASURED_NS
            scores.status[:] = status
        values = told(HOUSE, rows, END, steps=2).values
        latencies = [v.estimate for v in values if v.name in ("inference_latency", "inference_latency_above")]
        assert {e.status for e in latencies} == {expected}


def inside(value, columns="features"):
    """The rows of a value's window that enter statistics."""
    table = getattr(ROWS, columns)
    eff, fate = table["eff"], table["fate"]
    estimate = value.estimate
    within = (eff >= estimate.from_ns) & (eff < estimate.to_ns)
    return np.flatnonzero(within & np.isin(fate, FOLDED))


def of(name: str, **labels: str):
    wanted = tuple(sorted(labels.items()))
    found = [v for v in REPORTED.values if v.name == name and set(wanted) <= set(v.labels)]
    assert found
    return found


def test_latency_quantiles_are_within_one_percent_of_numpy():
    checked = 0
    for q in QUANTILES:
        for value in of("serve_latency", quantile=q):
            rows = inside(value)
            latency = ROWS.features["served_latency"][rows]
            asked = latency[(ROWS.features["served"][rows] != 0) & (latency != UNMEASURED_NS)]
            assert value.estimate.n == len(asked)
            exact = min(np.quantile(asked, float(q), method="inverted_cdf") / S, 100.0)
            assert value.estimate.value == pytest.approx(exact, rel=0.0101)
            checked += 1
    assert checked == 12


def test_shares_above_a_limit_are_exact():
    for limit in (10 * MS, 500 * MS):
        for value in of("serve_latency_above", limit=seconds_text(limit)):
            rows = inside(value)
            latency = ROWS.features["served_latency"][rows]
            asked = latency[(ROWS.features["served"][rows] != 0) & (latency != UNMEASURED_NS)]
            assert value.estimate.value == float((asked > limit).sum() / len(asked))


def test_error_rates_count_what_failed_of_what_was_asked():
    for value in of("served_error_rate"):
        served = ROWS.features["served"][inside(value)]
        assert value.estimate.n == (served > 0).sum()
        assert value.estimate.value == (served == 2).sum() / (served > 0).sum()
    for role in ("active", "shadow"):
        for value in of("error_rate", role=role):
            status = ROWS.scores[role].status[inside(value)]
            asked = status != ScoreStatus.INCOMPLETE
            assert value.estimate.n == asked.sum()
            assert value.estimate.value == (asked & (status != ScoreStatus.OK)).sum() / asked.sum()


def test_event_rate_counts_rows_folded_a_second():
    for value in of("event_rate", stream="features"):
        n, estimate = len(inside(value)), value.estimate
        begun = min(int(table["eff"][0]) for table in (ROWS.features, ROWS.orders))
        since = max(estimate.from_ns, begun - begun % HOUSE.tick)
        assert (estimate.n, estimate.value) == (n, n * 1e9 / (estimate.to_ns - since))


def test_rank_correlation_is_spearman_within_symbol():
    for value in of("rank_correlation"):
        rows = inside(value)
        both = np.all([s.status[rows] == ScoreStatus.OK for s in ROWS.scores.values()], axis=0)
        rows = rows[both]
        total = weighted = 0.0
        for symbol in np.unique(ROWS.features["symbol"][rows]):
            mine = rows[ROWS.features["symbol"][rows] == symbol]
            pair = [ROWS.scores[role].value[mine] for role in ("active", "shadow")]
            weighted += len(mine) * spearmanr(*pair).statistic
            total += len(mine)
        exact = value.estimate.extra["exact"]
        assert value.estimate.extra["pairs_seen"] == total
        assert value.estimate.value == pytest.approx(weighted / total, abs=1e-9 if exact else 0.1)
        assert exact or HOUSE.rank_k // 2 < value.estimate.n <= HOUSE.rank_k


def test_psi_is_that_of_the_rows_in_the_reference_bins():
    for place, feature in enumerate(FEATURES):
        for value in of("psi", feature=feature):
            distribution = REFERENCE.features[feature]
            column = ROWS.features["values"][inside(value), place]
            bins = np.searchsorted(distribution.edges, column[~np.isnan(column)], side="right")
            live = [*np.bincount(bins, minlength=len(distribution.edges) + 1), np.isnan(column).sum()]
            before = collapse((*distribution.counts, distribution.null_count), distribution.psi_starts)
            expected = psi(before, collapse(live, distribution.psi_starts))
            assert value.estimate.n == len(column)
            assert value.estimate.value == pytest.approx(expected, abs=1e-12)


def test_a_statistic_takes_nothing_from_rows_of_another_stream():
    tables, _ = ROWS.part(START, END)
    fold = HOUSE.fold1()
    said = fold.fold({"orders": tables["orders"]}, {}, END, idle=True)
    closed = {key for partial in said for pane in partial.closed for key in pane.pane.statistics}
    trades = {derived(0, horizon) for horizon in MARKOUTS.horizons_ns}
    ours = {"orders", "ledger", NEW_ORDERS, ORDER_COUNTS, FILL_COSTS, *trades}
    fed = {s.key for s in sources(HOUSE.scope) if s.takes in ours}
    assert closed - {"order_joins"} == fed


def test_the_digest_of_panes_changes_with_all_that_their_bytes_hang_on():
    scopes = [House(limits_ns=limits).scope for limits in ((1,), (1, 2))]
    assert scopes[0].digest("c") != scopes[1].digest("c")
    assert scopes[0].digest("c") != scopes[0].digest("d")
    assert scopes[0].digest("c") == House(limits_ns=(1,), rules=(rule("x", "psi"),)).scope.digest("c")


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (500 * MS, "0.5"),
        (S, "1"),
        (300 * S, "300"),
        (S + MS, "1.001"),
        (10 * S, "10"),
    ],
)
def test_seconds_are_plain_decimal_text(ns, text):
    assert seconds_text(ns) == text


def test_differences_of_a_model_that_answers_nothing_are_unknown_and_name_it():
    rows = made_up(21, n=3000)
    spoken = {value.name: value.estimate for value in told(HOUSE, rows, END).values if value.window == 10 * S}
    assert spoken["model_effect"].status is Status.OK
    scores = rows.scores["shadow"]
    none = np.full(len(scores.value), np.nan), np.full(len(scores.status), ScoreStatus.INCOMPLETE, np.int8)
    rows.scores["shadow"] = replace(scores, value=none[0], status=none[1])
    found = {value.name: value.estimate for value in told(HOUSE, rows, END).values if value.window == 10 * S}
    for name in ("model_effect", "pnl_divergence"):
        assert (found[name].status, found[name].value) == (Status.UNKNOWN, None)
        assert found[name].extra["silent"] == ["shadow"]
    assert found["execution_effect"] == spoken["execution_effect"]
