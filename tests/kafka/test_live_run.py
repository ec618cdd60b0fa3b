"""A whole run of the daemon on a real Kafka, as a desk, an operator and a third party see it."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import orjson
from kafka_run import INSTANCE, SHADOW_MONITOR, Daemon, Desk, command, decisions, interrupt, start_command
from short_story import RULES, SECONDS, closing, short_story, write_config

from monitor.daemon.recording import read_journal

MINUTE_NS = 60 * 10**9


def full_minute(now_ns: int) -> int:
    return -(-now_ns // MINUTE_NS) * MINUTE_NS


async def test_a_run_is_seen_recorded_and_replayed_byte_for_byte(kafka: str, tmp_path: Path) -> None:
    """Real models, measured latencies: what the log does not hold, the journal does."""
    name = f"live-{time.time_ns()}"
    start = full_minute(time.time_ns())
    config = write_config(tmp_path, kafka, name, start, RULES)
    async with Desk(kafka, name) as desk:
        daemon = Daemon(SHADOW_MONITOR, "run", "--config", config, "--instance", INSTANCE)
        assert (await daemon.get("/healthz"))[0] == 200
        await daemon.until(lambda: daemon.said("assigned"))
        watching = await start_command("events", "--config", config, "--follow", "--type", "rollback")
        recording = await start_command(
            "record", "--config", config, "--out", tmp_path / "followed", "--follow"
        )
        await desk.publish(short_story(start))
        await desk.publish(closing(start + (SECONDS + 5) * 10**9))
        await daemon.evaluated(start + SECONDS * 10**9)
        # What is committed while it still runs.
        assert await interrupt(recording) == 0
        status, page = await daemon.get("/metrics")
        assert status == 200
        assert 'shadow_monitor_decisions_total{deployment="demo",tenant="demo",type="rollback"} 1.0' in page
        assert (await daemon.get("/readyz"))[0] == 200
        code, took = await daemon.terminate()
        assert code == 0, "".join(daemon.lines)
        assert took < 5
    published = await decisions(kafka, name)
    events = [orjson.loads(value) for value in published]
    firing = [e for e in events if e["data"]["phase"] == "firing"]
    assert [(e["type"].split(".")[2], e["data"]["rule"]) for e in firing] == [
        ("alert", "serving-is-fast"),
        ("demote", "shadow-agrees"),
        ("rollback", "serving-answers"),
        ("kill_switch", "drawdown"),
        ("alert", "feature-drift"),
    ]
    watching.terminate()
    assert watching.stdout is not None
    assert b"active is rolled back to demo_v6" in await watching.stdout.read()
    verified = command("events", "--config", config, "--verify")
    assert f"demo: holds up to sequence {len(events)}, {events[-1]['data']['hash']}" in verified.stdout

    command("record", "--config", config, "--out", tmp_path / "recorded")
    for name in ("followed", "recorded"):
        replay(config, tmp_path / name, tmp_path / f"{name}-replayed")
        live = (tmp_path / name / "events.jsonl").read_bytes()
        assert live == (tmp_path / f"{name}-replayed" / "events.jsonl").read_bytes(), name
    assert live == b"".join(line + b"\n" for line in published)
    predictions = gzip.decompress((tmp_path / "recorded" / "predictions.jsonl.gz").read_bytes())
    assert predictions == (tmp_path / "recorded-replayed" / "predictions.jsonl").read_bytes()
    # Everything that was published was read and committed before the daemon left.
    metas = read_journal(tmp_path / "recorded" / "journal.jsonl").metas
    read = {s: sum(m.inputs[s].read for m in metas.values()) for s in desk.counts}
    assert read == desk.counts


def replay(config: Path, recording: Path, out: Path) -> None:
    files = [f"--{s}={recording / s}.jsonl.gz" for s in ("features", "orders")]
    command("replay", "--config", config, *files, "--journal", recording / "journal.jsonl", "--out", out)
