"""What becomes of values, rules and latches as series: only what is ok, in base units, bounded."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitor.engine.catalogue import FAMILIES
from monitor.engine.readings import Value
from monitor.observe.series import (
    LATCHES,
    OWN,
    PHASES,
    PREFIX,
    Page,
    Shown,
    Taken,
    add_artifacts,
    add_deployment,
    catalogue_names,
)
from monitor.policy.audit import Subjects
from monitor.policy.evaluation import Phase
from monitor.policy.events import Artifact
from monitor.policy.latches import LatchState
from monitor.policy.rules import Comparator, Rule
from monitor.stats.estimate import Estimate, Status

S = 1_000_000_000
SUBJECTS = Subjects(
    deployment="btc",
    tenant="crypto",
    config_sha256="c" * 64,
    active=Artifact("model_v7", "7" * 64),
    previous=Artifact("model_v6", "6" * 64),
    shadows={"shadow": Artifact("model_v8", "8" * 64)},
)


def value(name, number, labels=(), window=300 * S, status=Status.OK, **more):
    return Value(name, labels, window, Estimate(value=number, n=9, status=status, from_ns=0, to_ns=S, **more))


def shown(*values, **more):
    fields = {
        "taken_ns": 0,
        "values": {S: Taken(S, values)},
        "rules": (),
        "latches": {},
        "epoch": 0,
        "totals": {},
        "currency": "USD",
        "policy": "demo",
        **more,
    }
    return Shown(**fields)


class Printed:
    """A page as Prometheus reads it; `[name, label=value...]` is the value, None where there is no series."""

    def __init__(self, *values, subjects=SUBJECTS, **more):
        page = Page()
        add_artifacts(page, subjects)
        add_deployment(page, subjects, shown(*values, **more))
        registry = CollectorRegistry()
        registry.register(type("Printer", (), {"collect": lambda _: iter(page), "describe": lambda _: []})())
        families = text_string_to_metric_families(generate_latest(registry).decode())
        self.samples = {
            (s.name.removeprefix(PREFIX), frozenset(s.labels.items())): s.value
            for f in families
            for s in f.samples
        }

    def get(self, name, **labels):
        whole = {"deployment": "btc", "tenant": "crypto", **labels}
        return self.samples.get((name, frozenset(whole.items())))


def rule(**changes):
    fields = {
        "id": "r",
        "subject": "shadow",
        "metric": "drawdown",
        "window": 300 * S,
        "comparator": Comparator.ABOVE,
        "threshold": 0.02,
    }
    return Rule(**{**fields, **changes})


def test_units_stand_in_the_name_and_the_window_in_seconds():
    printed = Printed(
        value("serve_latency", 0.004, (("quantile", "0.99"),)),
        value("drawdown", 0.02, (("fills", "real"), ("role", "active")), "session"),
        value("event_rate", 12.5, (("stream", "features"),), 500_000_000),
        value("rank_correlation", 0.9, (("role", "shadow"),), 3600 * S),
    )
    assert printed.get("serve_latency_seconds", quantile="0.99", window="300") == 0.004
    assert printed.get("drawdown_ratio", fills="real", role="active", window="session") == 0.02
    assert printed.get("event_rate_per_second", stream="features", window="0.5") == 12.5
    assert printed.get("rank_correlation", role="shadow", window="3600") == 0.9


def test_money_is_shown_in_units_of_the_currency():
    book = (("fills", "real"), ("role", "active"))
    printed = Printed(
        value("equity", -1_500_000_000_000_000_000, book, 0),
        value("pnl_after_costs", 10**40 + 1, book, "session"),
    )
    assert printed.get("equity", **dict(book)) == -1.5
    assert printed.get("pnl_after_costs", **dict(book), window="session") == 1e22
    assert printed.get("deployment_info", currency="USD", policy="demo") == 1


def test_basis_points_are_shown_as_ratios_but_beside_their_threshold():
    role = (("role", "active"),)
    about = rule(metric="net_edge_bps", labels=role, threshold=1.0)
    printed = Printed(value("net_edge_bps", 2.5, role), rules=((about, Phase.FIRING),))
    assert printed.get("net_edge_ratio", role="active", window="300") == 0.00025
    assert printed.get("rule_value", rule="r", role="active", window="300") == 2.5
    assert printed.get("rule_threshold", rule="r", role="active", window="300") == 1.0


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.OK])
def test_a_value_that_is_not_ok_is_an_absent_series(status):
    printed = Printed(
        value("drawdown", 0.5, (("role", "active"),), status=status, stale=True),
        rules=((rule(labels=(("role", "active"),)), Phase.INACTIVE),),
    )
    assert printed.get("drawdown_ratio", role="active", window="300") is None
    assert printed.get("rule_value", rule="r", role="active", window="300") is None
    assert printed.get("rule_threshold", rule="r", role="active", window="300") == 0.02


def test_a_rule_shows_value_and_threshold_side_by_side_and_its_phase():
    judged = rule(labels=(("fills", "real"), ("role", "active")), window="session", threshold=0.02)
    printed = Printed(
        value("drawdown", 0.03, judged.labels, "session"),
        value("drawdown", 0.9, judged.labels, 300 * S),
        rules=((judged, Phase.FIRING),),
    )
    labels = {"rule": "r", "fills": "real", "role": "active", "window": "session"}
    assert printed.get("rule_value", **labels) == 0.03
    assert printed.get("rule_threshold", **labels) == 0.02
    assert printed.get("rule_phase", **labels) == PHASES[Phase.FIRING] == max(PHASES.values())
    about = {"subject": "shadow", "metric": "drawdown", "comparator": "above", "severity": "warning"}
    assert printed.get("rule_info", **labels, **about, action="alert", dry_run="false") == 1


def test_a_rule_on_a_quantile_does_not_take_the_label_of_summaries():
    printed = Printed(
        value("serve_latency", 0.004, (("quantile", "0.99"),)),
        rules=((rule(metric="serve_latency", labels=(("quantile", "0.99"),)), Phase.PENDING),),
    )
    assert printed.get("rule_value", rule="r", metric_quantile="0.99", window="300") == 0.004


def test_every_phase_and_every_latch_has_a_number_that_its_help_names():
    assert set(PHASES) == set(Phase)
    assert len(set(PHASES.values())) == len(Phase)
    assert set(LATCHES) == set(LatchState)
    for phase, number in PHASES.items():
        assert f"{number} {phase.value}" in OWN["rule_phase"][1]
    for state, number in LATCHES.items():
        assert f"{number} {state.value}" in OWN["latch_state"][1]


def test_latches_and_epoch():
    states = {
        "deployment": LatchState.REDUCE_ONLY,
        "shadow": LatchState.DEMOTED,
        "active": LatchState.SERVING,
    }
    printed = Printed(latches=states, epoch=7)
    assert printed.get("latch_state", subject="deployment") == 1
    assert printed.get("latch_state", subject="shadow") == 2
    assert printed.get("latch_state", subject="active") == 0
    assert printed.get("epoch") == 7


def test_every_row_is_counted_once_and_every_dead_letter_by_reason():
    totals = {
        "fates/features": {"accepted": 90, "late": 2, "quarantined": 3},
        "fates/orders": {"accepted": 10, "late": 0, "quarantined": 1},
        "rejected/features": {"undecodable": 4, "quarantined": 0},
        "rejected/orders": {"undecodable": 1, "quarantined": 0},
        "answers/shadow": {"ok": 80, "timeout": 10, "unmeasured": 80},
    }
    printed = Printed(totals=totals)
    assert printed.get("rows_total", stream="features", fate="rejected") == 4
    rows = [number for (name, _), number in printed.samples.items() if name == "rows_total"]
    assert sum(rows) == 111
    for stream, undecodable, quarantined in (("features", 4, 3), ("orders", 1, 1)):
        assert printed.get("dead_letters_total", stream=stream, reason="undecodable") == undecodable
        assert printed.get("dead_letters_total", stream=stream, reason="quarantined") == quarantined
    assert printed.get("answers_total", role="shadow", status="timeout") == 10
    assert printed.get("answers_total", role="shadow", status="unmeasured") is None


def test_artifacts_are_named_by_role_with_the_head_of_their_digest():
    printed = Printed()
    for role, version in (("active", "7"), ("previous", "6"), ("shadow", "8")):
        named = {"role": role, "artifact_id": f"model_v{version}", "sha256": version * 12}
        assert printed.get("artifact_info", **named) == 1


def test_a_deployment_without_a_tenant_has_no_such_label():
    printed = Printed(subjects=Subjects(deployment="btc", config_sha256="c" * 64), epoch=1)
    assert printed.samples["epoch", frozenset({("deployment", "btc")})] == 1


def test_every_metric_of_the_catalogue_has_a_name_of_its_own():
    names = catalogue_names()
    assert len(names) == len(FAMILIES)
    assert not names.keys() & {PREFIX + name for name in OWN}
