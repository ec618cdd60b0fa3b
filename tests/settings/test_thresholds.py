"""A rule that could never fire, or always would, is refused with what was probably meant."""

import pytest
from configurations import only_problem, problems

RULES = "deployments.btc.policy.rules"
REAL = {"role": "active", "fills": "real"}


def of(metric, labels=None, **changes):
    written = {"id": "r", "subject": "deployment", "metric": metric, "labels": labels or {}, "window": "5m"}
    return {RULES: [{**written, "action": "alert", **changes}]}


@pytest.mark.parametrize(
    ("metric", "labels", "threshold", "remedy"),
    [
        ("drawdown", REAL, {"above": 2}, "write 0.02 where 2 % are meant"),
        ("drawdown", REAL, {"above": 1}, "write 0.01 where 1 % are meant"),
        ("drawdown", REAL, {"below": 0}, "between 0 and 1"),
        ("served_error_rate", {}, {"above": 2}, "write 0.02 where 2 % are meant"),
        ("uptime", {"role": "active"}, {"below": 99.9}, "write 0.999 where 99.9 % are meant"),
        ("rank_correlation", {"role": "shadow"}, {"below": 2}, "between -1 and 1"),
        ("rank_correlation", {"role": "shadow"}, {"below": -1.5}, "between -1 and 1"),
        ("rank_correlation", {"role": "shadow"}, {"above": 1}, "between -1 and 1"),
        ("psi_p_value", {}, {"below": 5}, "write 0.05 where 5 % are meant"),
        ("psi", {}, {"below": 0}, "more than 0"),
        ("serve_latency", {"quantile": "0.99"}, {"above": -1}, "more than 0"),
        ("reconciliation_breaks", {}, {"above": -1}, "more than 0"),
        ("event_rate", {"stream": "orders"}, {"below": 0}, "more than 0"),
        ("drawdown", REAL, {"above": 25000}, "between 0 and 1"),
    ],
)
def test_a_threshold_beyond_what_the_metric_can_be_is_refused(metric, labels, threshold, remedy):
    found = only_problem(of(metric, labels, **threshold))
    assert found.key == f"{RULES}[0].{next(iter(threshold))}"
    assert remedy in found.remedy
    assert "never" in found.message or "always" in found.message


@pytest.mark.parametrize(
    ("metric", "labels", "threshold"),
    [
        ("drawdown", REAL, {"above": 0}),
        ("drawdown", REAL, {"above": 0.02}),
        ("serving_parity", {}, {"below": 1}),
        ("uptime", {"role": "active"}, {"below": 0.999}),
        ("rank_correlation", {"role": "shadow"}, {"below": -0.5}),
        ("turnover", REAL, {"above": 3}),
        ("position_gap", {}, {"above": 2}),
        ("pnl_divergence_relative", {"role": "active"}, {"below": -1.5}),
        ("psi_excess", {}, {"below": -0.1}),
        ("event_lag", {"quantile": "0.99"}, {"below": -1}),
        ("sharpe", REAL, {"below": -1}),
        ("pnl_after_costs", REAL, {"below": -500}),
        ("reconciliation_breaks", {}, {"above": 0}),
        ("features_drifted", {}, {"above": 5}),
    ],
)
def test_a_threshold_that_can_be_crossed_and_not_crossed_is_taken(metric, labels, threshold):
    assert problems(of(metric, labels, **threshold)) == []


@pytest.mark.parametrize(
    ("metric", "labels", "changes", "most"),
    [
        ("rank_correlation", {"role": "shadow"}, {}, 10_000),
        ("kendall_tau", {"role": "shadow"}, {}, 10_000),
        ("rank_correlation_cross_section", {"role": "shadow"}, {}, 500),
        ("serving_difference", {"quantile": "0.99"}, {}, 2_000),
        ("drawdown", REAL, {}, 3_051),
        ("model_effect", {"role": "shadow"}, {}, 3_051),
        ("drawdown", REAL, {"window": "session"}, 864_001),
        ("equity", REAL, {"window": 0}, 1),
        ("uptime", {"role": "active"}, {}, 32),
        ("sharpe", REAL, {"window": "1h"}, 61),
    ],
)
def test_more_samples_than_there_can_be_are_refused_with_how_many_there_are(metric, labels, changes, most):
    def at(count):
        return of(metric, labels, **({"above": 0.5} | changes), min_samples=count)

    found = only_problem(at(most + 1))
    assert found.key == f"{RULES}[0].min_samples"
    assert f"{most} samples at most" in found.message
    assert problems(at(most)) == []


def test_rows_and_the_window_since_promotion_have_no_bound():
    assert problems(of("served_error_rate", {}, above=0.02, min_samples=10**9)) == []
    assert problems(of("drawdown", REAL, above=0.02, window="promotion", min_samples=10**9)) == []


def test_a_larger_sample_or_a_finer_tick_holds_more():
    rank = of("rank_correlation", {"role": "shadow"}, below=0.5, min_samples=20_000)
    assert only_problem(rank).remedy == "write 10000 or less, or raise samples.rank_k."
    assert problems({**rank, "deployments.btc.samples.rank_k": 20_000}) == []
    book = of("drawdown", REAL, above=0.02, min_samples=5000)
    assert "ticks of 100ms of a window of 5m" in only_problem(book).message
    assert problems({**book, "deployments.btc.grids.tick": "50ms"}) == []


def test_a_mistaken_section_bounds_nothing():
    rank = of("rank_correlation", {"role": "shadow"}, below=0.5, min_samples=20_000)
    assert [p.key for p in problems({**rank, "deployments.btc.samples": {"rank_k": "many"}})] == [
        "deployments.btc.samples.rank_k"
    ]
