"""An action is about the one whose evidence it is: a shadow, paper and drift stop no trading, and nobody
leaves service for another's fault; what desks usually roll back and stop on stays possible."""

import itertools

import pytest
from configurations import only_problem, problems

from monitor.cli.configuration import known_metrics
from monitor.settings.blame import STOPS, VERDICTS

RULES = "deployments.btc.policy.rules"
REAL = {"role": "active", "fills": "real"}
PAPER = {"role": "shadow", "fills": "paper"}
OPENED = {
    f"deployments.btc.{key}": value
    for key, value in {"markouts.horizons": ["1s"], "sequences.pnl.bound": 2.0}.items()
}
FIXED = {"limit": "0.5", "quantile": "0.99", "horizon": "1", "feature": "f0", "stream": "orders"}


def of(action, metric, labels=None, **changes):
    """The example with one rule, that takes the action on whom it acts."""
    subject = {"demote": "shadow", "rollback": "active"}.get(action, "deployment")
    info = known_metrics()[metric]
    written = {
        "id": "r",
        "subject": subject,
        "metric": metric,
        "labels": labels or {},
        "above": 1.5 if info.high is None else 0.5,
        "action": action,
        **({"window": "5m"} if info.windowed else {}),
        **changes,
    }
    return {**OPENED, RULES: [written]}


@pytest.mark.parametrize(
    ("action", "metric", "labels"),
    [
        ("rollback", "sharpe", REAL),
        ("rollback", "drawdown", REAL),
        ("kill", "drawdown", REAL),
        ("kill", "drawdown", {"fills": "real"}),
        ("rollback", "served_error_rate", {}),
        ("rollback", "error_rate", {"role": "active"}),
        ("rollback", "serve_latency_above", {"limit": "0.5"}),
        ("rollback", "fill_rate_mismatch", {"order_type": "market"}),
        ("rollback", "serve_latency", {"quantile": "0.95"}),
        ("rollback", "prediction_psi", {"role": "active"}),
        ("demote", "rank_correlation", {}),
        ("demote", "prediction_psi", {"role": "shadow"}),
        ("kill", "served_error_rate", {}),
        ("kill", "order_rate", {}),
        ("kill", "repeated_orders", {}),
        ("reduce", "reconciliation_breaks", {}),
        ("reduce", "event_rate", {"stream": "features"}),
        ("reduce", "pnl_after_costs", REAL),
        ("kill", "error_rate", {"role": "active"}),
        ("demote", "model_effect", {}),
        ("demote", "drawdown", {"role": "shadow"}),
        ("demote", "drawdown", PAPER),
        ("demote", "markout", {"role": "shadow"}),
        ("rollback", "markout", REAL),
    ],
)
def test_what_speaks_against_the_subject_may_act(action, metric, labels):
    assert problems(of(action, metric, labels)) == []


@pytest.mark.parametrize(
    ("action", "metric", "labels", "key", "remedy"),
    [
        ("kill", "drawdown", PAPER, "metric", "role: active, fills: real"),
        ("kill", "drawdown", {}, "labels", "role: active, fills: real"),
        ("kill", "drawdown", {"fills": "paper"}, "labels", "role: active, fills: real"),
        ("kill", "drawdown", {"role": "active"}, "labels", "role: active, fills: real"),
        ("kill", "drawdown", {"role": "active", "fills": "paper"}, "labels", "fills: real"),
        ("reduce", "pnl_after_costs", {"role": "shadow"}, "metric", "fills: real"),
        ("rollback", "drawdown", {"role": "active"}, "labels", "fills: real"),
        ("rollback", "sharpe", {"role": "active", "fills": "paper"}, "labels", "fills: real"),
        ("rollback", "drawdown", PAPER, "metric", "make `shadow` the subject"),
        ("kill", "rank_correlation", {"role": "shadow"}, "metric", "demote the shadow"),
        ("kill", "rank_correlation", {}, "metric", "demote the shadow"),
        ("reduce", "model_effect", {}, "metric", "demote the shadow"),
        ("kill", "error_rate", {}, "labels", "role: active"),
        ("kill", "error_rate", {"role": "shadow"}, "metric", "demote `shadow`"),
        ("kill", "psi", {}, "metric", "action: alert"),
        ("reduce", "features_drifted", {}, "metric", "action: alert"),
        ("kill", "prediction_psi", {"role": "active"}, "metric", "roll back the active"),
        ("kill", "inference_latency", {"role": "active", "quantile": "0.99"}, "metric", "roll back"),
        ("kill", "fill_rate", {"fills": "paper"}, "labels", "fills: real"),
        ("kill", "fill_rate_mismatch", {}, "metric", "roll back the active"),
        ("kill", "execution_effect", {}, "metric", "action: alert"),
        ("kill", "pnl_divergence_relative", {"role": "active"}, "metric", "demote the shadow"),
        ("demote", "execution_effect", {}, "metric", "action: alert"),
        ("demote", "position_gap", {}, "metric", "action: alert"),
        ("demote", "event_rate", {"stream": "features"}, "metric", "action: alert"),
        ("rollback", "execution_effect", {}, "metric", "action: alert"),
        ("rollback", "position_gap", {}, "metric", "action: alert"),
        ("rollback", "pnl_divergence_relative", {"role": "active"}, "metric", "demote the shadow"),
        ("rollback", "reconciliation_breaks", {}, "metric", "action: alert"),
        ("demote", "pnl_divergence_relative", {}, "labels", "role: shadow"),
        ("demote", "pnl_divergence_relative", {"role": "active"}, "metric", "`active`"),
        ("demote", "drawdown", {}, "labels", "role: shadow, fills: paper"),
        ("demote", "drawdown", {"fills": "paper"}, "labels", "role: shadow, fills: paper"),
        ("demote", "slippage_bps", {}, "metric", "a metric of the shadow"),
    ],
)
def test_what_speaks_against_another_does_not(action, metric, labels, key, remedy):
    found = only_problem(of(action, metric, labels))
    assert found.key == f"{RULES}[0].{key}"
    assert remedy in found.remedy


def test_every_metric_has_a_verdict_and_only_what_is_real_ever_stops_trading():
    for name, info in known_metrics().items():
        for action in VERDICTS[info.blame].actions:
            open_labels = [label for label in ("fills", "role") if label in info.labels]
            fixed = {label: FIXED[label] for label in info.labels if label in FIXED}
            values = {"fills": (None, "paper", "real"), "role": (None, "active", "shadow")}
            for chosen in itertools.product(*(values[label] for label in open_labels)):
                labels = fixed | {k: v for k, v in zip(open_labels, chosen, strict=True) if v is not None}
                if problems(of(action, name, labels)):
                    continue
                if action in (*STOPS, "rollback"):
                    assert "fills" not in open_labels or labels["fills"] == "real", (action, name, labels)
                    assert (
                        "role" not in open_labels
                        or labels.get("role") == "active"
                        or (labels.get("fills") == "real" and "role" not in labels)
                    ), (action, name, labels)
                elif "role" in open_labels and info.blame != "shadow":
                    assert labels["role"] == "shadow", (action, name, labels)


def test_a_dry_run_is_held_to_the_same():
    assert problems(of("kill", "drawdown", PAPER, dry_run=True))


def test_with_mistaken_models_the_labels_still_tell():
    mistaken = {"deployments.btc.models.active": 5}
    assert len(problems({**of("kill", "drawdown", {}), **mistaken})) == 2
    assert len(problems({**of("kill", "drawdown", REAL), **mistaken})) == 1
