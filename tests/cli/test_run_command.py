"""`run`: a configuration is refused with all its mistakes, before any broker is asked."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from command_cases import call

from monitor.cli.run import run
from monitor.demo.story import MODELS, RECORDED_START_NS, story_config, write_story


@pytest.fixture
def command():
    return partial(call, run)


def test_five_mistakes_are_all_named_with_remedies_at_once(command, tmp_path: Path) -> None:
    text = story_config(RECORDED_START_NS, kind="kafka", models=MODELS)
    for right, wrong in (
        ("partitioner: murmur2", "partitioner: murmur3"),
        ('tick_size: "0.01"', 'tick_sise: "0.01"'),
        ("tenant: demo", "tenant: [demo]"),
        ("metric: served_error_rate", "metric: served_error_ratio"),
        ("above: 0.25", "above: a quarter"),
    ):
        assert right in text
        text = text.replace(right, wrong, 1)
    config = tmp_path / "config.yaml"
    config.write_text(text)
    result = command("--config", config)
    assert result.exit_code == 2
    for key in (
        "transport.partitioner",
        "tick_sise",
        "deployments.demo.tenant",
        "served_error_ratio",
        "above",
    ):
        assert key in result.stderr
    assert result.stderr.count(str(config)) == 5
    assert result.stderr.count("remedy:") == 5


def test_a_configuration_for_another_transport_says_what_to_use_instead(command, tmp_path: Path) -> None:
    write_story(tmp_path, 7)
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("kind: kafka", "kind: memory"))
    result = command("--config", config)
    assert result.exit_code == 2
    assert "transport.kind" in result.stderr
    assert "`demo`" in result.stderr
