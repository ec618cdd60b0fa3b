"""Rules that have no value, or not always, are refused or doubted with what is missing; sessions are told."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from house import DEPLOYMENT, configuration, group_of, rule

from monitor.cli.configuration import load_configuration
from monitor.daemon.money_scope import doubts, money_problems, money_sentences
from monitor.errors import ConfigError
from monitor.settings.order_settings import OrderSettings
from monitor.settings.paper import PaperSettings
from monitor.settings.rules import RuleSettings

REAL = {"role": "active", "fills": "real"}
NEW_YORK = {"zone": "America/New_York", "open": "09:30", "close": "16:00",
            "holidays": ["2025-11-27", "2025-12-25", "2026-01-01", "2026-01-19"]}  # fmt: skip
NOW = int(datetime.fromisoformat("2026-02-20T12:00:00-05:00").timestamp()) * 10**9


def written(house: Path, directory: Path, *rules: dict[str, Any], **changes: Any) -> Path:
    path = directory / "config.yaml"
    path.write_text(
        yaml.safe_dump(configuration(house, policy={"name": "p", "rules": list(rules)}, **changes))
    )
    return path


def said(house: Path, directory: Path, one: dict[str, Any], **changes: Any) -> list[str]:
    """What is doubted of a deployment with one rule, which can start."""
    path = written(house, directory, one, **changes)
    group_of(path)
    return list(doubts(load_configuration(path).deployments[DEPLOYMENT], NOW))


def sharpe(window: str) -> dict[str, Any]:
    return rule("r", "sharpe", labels=REAL, window=window, below=0.8)


@pytest.mark.parametrize(
    ("window", "changes", "holds"),
    [
        ("5m", {}, "5 steps of 1m (performance.grid) at most of the 20 that performance.min_returns"),
        ("7d", {}, "7 sessions at most of the 20"),
        ("7d", {"calendar": NEW_YORK}, "6 sessions at most of the 20"),
        ("session", {"calendar": NEW_YORK, "performance": {"grid": "30m"}}, "13 steps of 30m"),
        ("1d", {"calendar": NEW_YORK, "performance": {"grid": "20m"}}, "19 steps of 20m"),
        ("30d", {"calendar": NEW_YORK}, "at times: it holds 18 to 23 sessions of the 20"),
    ],
)
def test_a_ratio_of_too_few_returns_is_doubted_with_how_many_there_are(
    house: Path, tmp_path: Path, window: str, changes: dict[str, Any], holds: str
) -> None:
    windows = [] if window == "session" else [window]
    [doubt] = said(house, tmp_path, sharpe(window), windows=["2s", *windows], **changes)
    assert doubt.startswith(f"rule r: sharpe over {window} has no value")
    assert holds in doubt


@pytest.mark.parametrize(
    ("window", "changes"),
    [
        ("20m", {}),
        ("20d", {}),
        ("1d", {"calendar": NEW_YORK}),
        ("session", {"calendar": NEW_YORK}),
        ("45d", {"calendar": NEW_YORK}),
        ("30d", {"calendar": NEW_YORK, "performance": {"min_returns": 18}}),
        ("5m", {"performance": {"grid": "10s"}}),
    ],
)
def test_a_ratio_of_enough_returns_is_not(
    house: Path, tmp_path: Path, window: str, changes: dict[str, Any]
) -> None:
    windows = [] if window == "session" else [window]
    assert not said(house, tmp_path, sharpe(window), windows=["2s", *windows], **changes)


def test_a_rule_that_looks_at_closes_alone_is_told_what_there_is_then(house: Path, tmp_path: Path) -> None:
    daily = sharpe("30d") | {"schedule": "1d"}
    [doubt] = said(house, tmp_path, daily, windows=["2s", "30d"], calendar=NEW_YORK)
    assert "at times: it holds 19 to 23 sessions" in doubt
    other = {"windows": ["2s", "20d"], "performance": {"min_returns": 21}}
    assert "20 sessions at most" in said(house, tmp_path, sharpe("20d") | {"schedule": "1d"}, **other)[0]


@pytest.mark.parametrize("metric", ["pnl_divergence_z", "pnl_divergence_relative"])
def test_differences_that_rest_on_returns_are_doubted_too(house: Path, tmp_path: Path, metric: str) -> None:
    role = "active" if metric == "pnl_divergence_relative" else "shadow"
    one = rule("r", metric, labels={"role": role}, window="5m", above=3)
    [doubt] = said(house, tmp_path, one, windows=["2s", "5m"])
    assert f"{metric} over 5m has no value" in doubt


def test_since_promotion_without_a_promotion_is_doubted(house: Path, tmp_path: Path) -> None:
    one = rule("r", "pnl_after_costs", labels=REAL, window="promotion", below=-500)
    [doubt] = said(house, tmp_path, one)
    assert "since promotion counts from the first instant on, since models.promoted_at is not set" in doubt
    models = {
        **configuration(house)["deployments"][DEPLOYMENT]["models"],
        "promoted_at": "2026-01-01T00:00:00Z",
    }
    assert not said(house, tmp_path, one, models=models)


def test_a_rule_on_paper_fills_of_all_types_is_told_of_the_only_one_there_is(
    house: Path, tmp_path: Path
) -> None:
    [doubt] = said(house, tmp_path, rule("r", "fill_rate_mismatch", window="2s", above=0.02))
    assert "order_type market alone" in doubt
    assert not said(house, tmp_path, rule("r", "fill_rate", labels={"fills": "real"}, window="2s", below=0.5))


def test_fills_on_paper_of_a_type_that_paper_never_has_are_refused_at_the_start(
    house: Path, tmp_path: Path
) -> None:
    one = rule("r", "fill_rate_mismatch", labels={"order_type": "limit"}, window="2s", above=0.02)
    with pytest.raises(ConfigError) as refused:
        group_of(written(house, tmp_path, one))
    [problem] = refused.value.problems
    assert problem.key == f"deployments.{DEPLOYMENT}.policy.rules[0].labels.order_type"
    assert "orders on paper are of type 'market' (paper.order_type)" in problem.message
    assert "set paper.order_type" in problem.remedy


@pytest.mark.parametrize(
    ("metric", "labels", "order_type", "refused"),
    [
        ("fill_rate", {"fills": "paper", "order_type": "limit"}, "market", True),
        ("fill_rate", {"fills": "real", "order_type": "limit"}, "market", False),
        ("fill_rate", {"fills": "paper", "order_type": "limit"}, "Limit", False),
        ("fill_rate", {"fills": "paper", "order_type": "other"}, "pegged", False),
        ("fill_rate_mismatch", {"order_type": "market"}, "pegged", True),
    ],
)
def test_only_what_could_never_have_a_value_is_refused(
    metric: str, labels: dict[str, str], order_type: str, refused: bool
) -> None:
    one = RuleSettings.model_validate(rule("r", metric, labels=labels, window="5m", above=1))
    paper = PaperSettings.model_validate({"order_type": order_type})
    found = list(money_problems({3: one}, paper, OrderSettings()))
    assert [key.rpartition(".")[0] for key, *_ in found] == ["policy.rules[3].labels"] * refused


def test_sessions_paper_markouts_and_benchmark_are_told(house: Path, tmp_path: Path) -> None:
    paper = {"quantity": "10", "target": "linear", "scale": 0.5, "max_exposure": "5000", "fee_bps": "0.3"}
    path = written(house, tmp_path, calendar=NEW_YORK, paper=paper, markouts={"horizons": ["1s", "5m"]})
    settings = load_configuration(path)
    told = dict(money_sentences(settings, settings.deployments[DEPLOYMENT], NOW))
    assert told["calendar"] == (
        "open until Fri 2026-02-20 16:00, then Mon 2026-02-23 09:30 to Mon 2026-02-23 16:00, "
        "then Tue 2026-02-24 09:30 to Tue 2026-02-24 16:00 (America/New_York)"
    )
    assert told["paper"] == (
        "target prediction / 0.5 x 10, at most that; market orders from 50ms on, "
        "slippage 0 bps, fee 0.3 bps; at most |position| x mid 5000 a symbol"
    )
    assert told["markouts"].startswith("mids 1s, 5m after trades; at most 4,000")
    assert "held in equal shares of all symbols that any book has traded" in told["benchmark"]
    always = written(house, tmp_path)
    settings = load_configuration(always)
    told = dict(money_sentences(settings, settings.deployments[DEPLOYMENT], NOW))
    assert told["calendar"].endswith("then Sun 2026-02-22 00:00 to Mon 2026-02-23 00:00 (UTC)")


def test_more_returns_than_sessions_give_are_doubted_also_where_the_rule_asks_for_them(
    house: Path, tmp_path: Path
) -> None:
    one = sharpe("30d") | {"min_samples": 25}
    [doubt] = said(house, tmp_path, one, windows=["2s", "30d"], calendar=NEW_YORK)
    assert "of the 25 that min_samples asks for" in doubt
