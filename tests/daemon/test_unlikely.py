"""What works and can hardly be meant is said, in a sentence that names the key; what is usual is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from house import DEPLOYMENT, configuration, rule

from monitor.cli.configuration import load_configuration
from monitor.daemon.unlikely import unlikely

NOW = 1_800_000_000 * 10**9


def said(house: Path, directory: Path, *rules: dict[str, Any], **changes: Any) -> list[str]:
    path = directory / "config.yaml"
    policy = {"name": "p", "rules": list(rules)}
    path.write_text(yaml.safe_dump(configuration(house, policy=policy, **changes)))
    settings = load_configuration(path)
    return list(unlikely(settings.deployments[DEPLOYMENT], NOW))


@pytest.mark.parametrize(
    ("section", "change", "says"),
    [
        ("books", {"mark_staleness": "99ms"}, "books.mark_staleness (99ms) is less than grids.tick"),
        ("books", {"exec_horizon": "1m"}, "sent once more after that is booked twice"),
        ("books", {"max_spread_bps": 1e-7}, "books.max_spread_bps (0.0000001) is less than a tick"),
        ("books", {"mark_band_bps": "0.0001"}, "every mark must be confirmed"),
        ("paper", {"latency": "50000d"}, "paper.latency (50000d): paper hardly ever trades"),
        ("models", {"promoted_at": "2036-01-01T00:00:00Z"}, "models.promoted_at lies in the future"),
    ],
)
def test_absurd_settings_are_named(
    house: Path, tmp_path: Path, section: str, change: dict[str, Any], says: str
) -> None:
    usual = configuration(house)["deployments"][DEPLOYMENT][section]
    [one] = said(house, tmp_path, **{section: {**usual, **change}})
    assert says in one


LATENCY = rule("r", "serve_latency", labels={"quantile": "0.99"}, window="2s", above=10)


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (LATENCY, "rule r: above 10 of serve_latency is in seconds; 0.01 where ms are meant"),
        (
            rule("r", "serve_latency_above", labels={"limit": "500"}, window="2s", above=0.05),
            "limit 500 of serve_latency_above is in seconds; 0.5 where ms are meant",
        ),
        (
            rule("r", "inference_latency", labels={"role": "active", "quantile": "0.99"}, window="2s",
                 above=0.5, subject="active", action="rollback"),
            "how fast production answers is serve_latency",
        ),
    ],
)  # fmt: skip
def test_latencies_in_another_unit_or_of_another_machine_are_named(
    house: Path, tmp_path: Path, one: dict[str, Any], says: str
) -> None:
    [doubt] = said(house, tmp_path, one)
    assert says in doubt


def test_what_is_usual_is_not(house: Path, tmp_path: Path) -> None:
    slow = rule("t", "time_to_fill", labels={"quantile": "0.99"}, window="2s", above=60)
    assert not said(house, tmp_path, {**LATENCY, "above": 0.5}, slow)
