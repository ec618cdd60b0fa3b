"""SIGKILL at random moments under load: nothing lost, nothing doubled, nothing counted twice."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import orjson
import pytest
from kafka_run import INSTANCE, SCRIPTED, Daemon, Desk, decisions, finish, record_and_replay
from scripted_daemon import scripted
from short_story import RESTLESS_RULES, RULES, SECONDS, short_story, write_config

from monitor.daemon.recording import read_journal
from monitor.policy.chain import verify
from monitor.policy.events import encode

KILLS = int(os.environ.get("SHADOW_MONITOR_TEST_KILLS", "10"))
LONGEST_S = (0.5, 1.2)
"""How long a daemon lives at most: from when it has its partitions, and from its first commit."""


@pytest.mark.parametrize("seed", range(int(os.environ.get("SHADOW_MONITOR_TEST_SEEDS", "1"))))
async def test_decisions_survive_sigkill_as_if_nothing_had_happened(
    kafka: str, tmp_path: Path, seed: int
) -> None:
    name = f"kill-{time.time_ns()}"
    start = time.time_ns()
    end = start + SECONDS * 10**9
    rules = RULES + RESTLESS_RULES
    config = write_config(tmp_path, kafka, name, start, rules)
    chance = random.Random(seed)
    async with Desk(kafka, name) as desk:
        story = asyncio.create_task(desk.publish(short_story(start), speed=SECONDS / (2.2 * KILLS)))
        for life in range(KILLS):
            daemon = Daemon(SCRIPTED, config, INSTANCE)
            await daemon.until(lambda daemon=daemon: daemon.said("assigned"))
            # By turns early, while it restores, and at work.
            if life % 2:
                await daemon.committed()
            await asyncio.sleep(chance.uniform(0.0, LONGEST_S[life % 2]))
            await daemon.kill()
        await story
        survivor = Daemon(SCRIPTED, config, INSTANCE)
        rows, counted = await finish(desk, survivor, end)
        assert (await survivor.terminate())[0] == 0

        # A run of its own over the same log, undisturbed.
        other = f"{name}-undisturbed"
        undisturbed = write_config(tmp_path, kafka, other, start, rules, inputs=name)
        daemon = Daemon(SCRIPTED, undisturbed, INSTANCE)
        await daemon.evaluated(end + 7 * 10**9)
        assert (await daemon.terminate())[0] == 0

    published = await decisions(kafka, name)
    events = [orjson.loads(value) for value in published]
    assert len(events) >= 30
    assert verify(events) == []
    assert len({event["id"] for event in events}) == len(events)

    fold = (await record_and_replay(config, tmp_path, scripted)).folds["demo"]
    assert [encode(event) for event in fold.decisions] == published
    # Every row counted once, by the daemon that died ten times and by the replay.
    assert counted == rows
    for stream, count in rows.items():
        fates = fold.totals[f"fates/{stream}"]
        assert {fate: fates[fate] for fate in fates.spec if fates[fate]} == {"accepted": count}

    journal = read_journal(tmp_path / "recorded" / "journal.jsonl")
    assert not any(journal.behind.values())
    assert not any(journal.missing.values())
    # How far each went on after its last row was a matter of when it was stopped.
    assert until(end, await decisions(kafka, other)) == until(end, published)


def until(end_ns: int, published: list[bytes]) -> list[bytes]:
    """The decisions up to an instant."""
    return [value for value in published if orjson.loads(value)["data"]["to_ns"] <= end_ns]
