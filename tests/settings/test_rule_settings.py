"""A rule is taken only where it can be meant: right subject, right blame, a metric that exists."""

import pytest
from configurations import REMOVED, only_problem, problems, settings

RULES = "deployments.btc.policy.rules"


def rule(**changes):
    """Changes that leave one rule, the example's first, with keys replaced."""
    first = {
        "id": "r",
        "subject": "shadow",
        "metric": "rank_correlation",
        "labels": {"role": "shadow"},
        "window": "5m",
        "below": 0.5,
        "action": "demote",
    }
    first.update({key.rstrip("_"): value for key, value in changes.items()})
    return {RULES: [{key: value for key, value in first.items() if value is not REMOVED}]}


def test_a_rule_is_read_with_its_defaults():
    (first, second) = settings().deployments["btc"].policy.rules
    assert (first.comparator, first.threshold, first.window) == ("below", 0.5, 300 * 10**9)
    assert first.persistence == (3, 0)
    assert (second.window, second.schedule, second.scope) == ("session", "tick", "trading")
    assert second.persistence == (1, 0)
    assert (second.keep_firing_for_ns, second.act_within_ns, second.dry_run) == (0, None, False)


def test_persistence_is_a_count_or_a_duration():
    for written, read in ((2, (2, 0)), ("2", (2, 0)), ("30s", (1, 30 * 10**9))):
        changed_settings = settings(deployments__btc__policy__rules__0__for=written)
        assert changed_settings.deployments["btc"].policy.rules[0].persistence == read


def test_limits_are_named_in_plain_seconds():
    above = {"metric": "serve_latency_above", "subject": "active", "action": "alert", "above": 0.1}
    limits = ("0.50", 0.5, "5e-1", "2", "0.001")
    rules = [
        rule(**above, below=REMOVED, id=f"r{i}", labels={"limit": limit})[RULES][0]
        for i, limit in enumerate(limits)
    ]
    # a bare float has no text to read, which only a file can give it
    rules[1]["labels"]["limit"] = "0.5"
    policy = settings(deployments__btc__policy__rules=rules).deployments["btc"].policy
    assert [r.labels["limit"] for r in policy.rules] == ["0.5", "0.5", "0.5", "2", "0.001"]
    assert policy.latency_limits_ns == (1_000_000, 500_000_000, 2_000_000_000)


ACTIVE = {"subject": "active", "action": "rollback"}
DEPLOYMENT = {"subject": "deployment", "action": "kill"}


@pytest.mark.parametrize(
    "changes",
    [
        rule(),
        rule(**ACTIVE, metric="served_error_rate", labels={}),
        rule(**ACTIVE, metric="error_rate", labels={"role": "active"}),
        rule(**ACTIVE, metric="prediction_psi", labels={"role": "active"}),
        rule(**DEPLOYMENT, scope="serving", metric="serving_parity", labels={}),
        rule(subject="deployment", action="reduce", metric="reject_rate", labels={}),
        rule(action="alert", metric="psi", labels={}),
        rule(action="alert", metric="psi", labels={"feature": "f0"}),
        rule(
            subject="deployment", action="alert", metric="equity", labels={"role": "active"}, window=REMOVED
        ),
        rule(metric="model_effect", window="promotion"),
    ],
)
def test_a_rule_that_makes_sense_is_taken(changes):
    assert problems(changes) == []


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        (rule(subject="nobody"), "subject"),
        (rule(subject="active", labels={"role": "shadow"}, action="reduce"), "action"),
        (rule(subject="active", metric="served_error_rate", labels={}), "action"),
        (rule(subject="deployment", metric="error_rate", labels={"role": "shadow"}), "action"),
        (rule(action="rollback"), "action"),
        (rule(action="kill"), "action"),
        (rule(action="reduce"), "action"),
        (rule(**ACTIVE), "metric"),
        (rule(**ACTIVE, labels={}), "metric"),
        (rule(**ACTIVE, metric="model_effect"), "metric"),
        (rule(**ACTIVE, metric="prediction_psi"), "metric"),
        (rule(**ACTIVE, metric="error_rate"), "metric"),
        (rule(**ACTIVE, metric="inference_latency", labels={"role": "shadow", "quantile": "0.99"}), "metric"),
        (rule(**ACTIVE, metric="error_rate", labels={}), "labels"),
        (rule(**ACTIVE, metric="psi", labels={"feature": "f0"}), "metric"),
        (rule(metric="psi", labels={"feature": "f0"}), "metric"),
        (rule(metric="served_error_rate", labels={}), "metric"),
        (rule(metric="error_rate", labels={"role": "active"}), "metric"),
        (rule(metric="rank_corelation"), "metric"),
        (rule(labels={"role": "shadow", "feature": "f0"}), "labels"),
        (rule(action="alert", labels={"role": "other"}), "labels"),
        (rule(action="alert", labels={"role": "active"}), "labels"),
        (rule(action="alert", metric="drawdown", labels={"role": "active", "fills": "reel"}), "labels"),
        (rule(action="alert", metric="serve_latency", labels={"quantile": "p99"}), "labels"),
        (rule(action="alert", metric="event_rate", labels={"stream": "trades"}), "labels"),
        (rule(action="alert", metric="serve_latency_above", labels={}), "labels"),
        (rule(action="alert", metric="serve_latency_above", labels={"limit": "-1"}), "labels"),
        (rule(window="10m"), "window"),
        (rule(window=REMOVED), "window"),
        (rule(window="session"), "window"),
        (rule(window="500ms"), "window"),
        (rule(action="alert", metric="equity", labels={}), "window"),
        (rule(schedule="150ms"), "schedule"),
        (rule(schedule="0s"), "schedule"),
        (rule(for_=0), "for"),
        (rule(for_=True), "for"),
        (rule(below="nan"), "below"),
        (rule(action="kil", subject="deployment"), "action"),
        (rule(no_data="hault"), "no_data"),
        (rule(min_samples=-1), "min_samples"),
        (rule(above=1), ""),
        (rule(below=REMOVED), ""),
        (rule(scope="trading"), ""),
        (rule(id="task-silent"), ""),
        (rule(action="alert", no_data="halt"), ""),
        (rule(id=REMOVED), "id"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_one_problem_at_its_key(changes, key):
    found = only_problem(changes)
    assert found.key == f"{RULES}[0]" + (f".{key}" if key else "")


def test_ids_are_unique_within_a_policy():
    (first,) = rule()[RULES]
    assert only_problem({RULES: [first, first]}).key == f"{RULES}[1].id"


def test_drawdown_needs_capital_and_drift_a_reference_and_rollback_a_predecessor():
    drawdown = {"deployments.btc.capital": REMOVED}
    assert only_problem(drawdown).key == f"{RULES}[1].metric"
    psi = rule(action="alert", metric="psi", labels={})
    assert only_problem({**psi, "deployments.btc.reference": None}).key == f"{RULES}[0].metric"
    rollback = rule(**ACTIVE, metric="served_error_rate", labels={})
    assert only_problem({**rollback, "deployments.btc.models.previous": None}).key == f"{RULES}[0].action"


def test_among_several_shadows_a_demotion_names_the_one_it_rests_on():
    two = {"deployments.btc.models.shadows": {"shadow": "a", "second": "b"}}
    assert problems({**two, **rule()}) == []
    assert only_problem({**two, **rule(labels={})}).key == f"{RULES}[0].labels"
    assert only_problem({**two, **rule(labels={"role": "second"})}).key == f"{RULES}[0].metric"


def test_a_mistake_elsewhere_hides_no_mistake_of_a_rule_and_invents_none():
    found = problems({**rule(window="10m"), "deployments.btc.tennant": 1, "deployments.btc.books": {"a": 1}})
    assert {p.key for p in found} == {
        "deployments.btc.tennant",
        "deployments.btc.books.a",
        f"{RULES}[0].window",
    }
    assert len(problems({**rule(window="10m"), "deployments.btc.windows": ["x"]})) == 1
    assert len(problems({"deployments.btc.capital": {"amount": "x", "currency": "USD"}})) == 1


def test_a_mistake_of_type_in_a_rule_hides_no_name_in_it():
    found = problems(rule(below="much", metric="rank_corelation", subject="shadw"))
    assert {p.key for p in found} == {f"{RULES}[0].{key}" for key in ("below", "metric", "subject")}
    assert {"did you mean `rank_correlation`?", "did you mean `shadow`?"} <= {p.remedy for p in found}


def test_a_mistaken_section_hides_no_book_that_there_is_not():
    shadows = rule(
        metric="pnl_after_costs", labels={"role": "shadow", "fills": "real"}, action="alert", window="5m"
    )
    found = problems({**shadows, "http.port": "many"})
    assert [p.key for p in found] == ["http.port", f"{RULES}[0].labels"]
