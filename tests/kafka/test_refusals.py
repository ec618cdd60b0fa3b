"""What the daemon does not start with: topics that do not fit, and the words it says then."""

from __future__ import annotations

import time
from pathlib import Path

import yaml
from kafka_run import command
from short_story import PARTITIONS, RULES, write_config

from monitor.transport.kafka import make_topics
from monitor.transport.kafka.options import ClientOptions


async def test_topics_that_are_not_co_partitioned_are_refused_by_name(kafka: str, tmp_path: Path) -> None:
    name = f"refused-{time.time_ns()}"
    config = write_config(tmp_path, kafka, name, time.time_ns(), RULES)
    await make_topics(
        ClientOptions({"bootstrap_servers": kafka}), {f"{name}-features": PARTITIONS, f"{name}-orders": 2}
    )
    said = " ".join(command("run", "--config", config, code=1).stderr.split())
    assert f"not co-partitioned: {name}-features has 3, {name}-orders has 2 partitions" in said
    assert "create them with equal counts" in said


async def test_topics_not_to_be_made_are_asked_for_with_their_commands(kafka: str, tmp_path: Path) -> None:
    name = f"commands-{time.time_ns()}"
    path = write_config(tmp_path, kafka, name, time.time_ns(), RULES)
    config = yaml.safe_load(path.read_text())
    config["transport"]["create_topics"] = False
    path.write_text(yaml.safe_dump(config))
    await make_topics(
        ClientOptions({"bootstrap_servers": kafka}),
        {f"{name}-{stream}": PARTITIONS for stream in ("features", "orders")},
    )
    said = command("run", "--config", path, code=1).stderr
    commands = [line for line in said.splitlines() if line.startswith("kafka-topics ")]
    for topic in ("alerts", "status", "state", "journal", "partials", "dead-letters", "predictions"):
        (made,) = [line for line in commands if f"--topic {name}-{topic} " in line]
        assert "--config cleanup.policy=" in made
    made = f"kafka-topics --bootstrap-server {kafka} --create --topic {name}-state --partitions 3"
    assert f"{made} --replication-factor 1 --config cleanup.policy=compact" in said


async def test_a_run_that_never_was_cannot_be_recorded_or_shown(kafka: str, tmp_path: Path) -> None:
    name = f"nothing-{time.time_ns()}"
    config = write_config(tmp_path, kafka, name, time.time_ns(), RULES)
    for arguments in (["record", "--out", tmp_path / "out"], ["events"]):
        said = command(*arguments, "--config", config, code=1)
        assert f"there is no topic {name}-" in said.stdout + said.stderr
    assert not list((tmp_path / "out").glob("*.jsonl*"))
