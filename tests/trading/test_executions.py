"""What is remembered of executions depends on age and rank alone, not on chunks, commits or restarts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.trading import executions as module
from monitor.trading.executions import Economics, Executions


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(0, 30))
def test_memory_equals_its_definition_through_commits_and_restarts(
    seed: int, limit: int, horizon: int
) -> None:
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", 3)
        memory = Executions(horizon, limit)
        stored: dict[int, bytes] = {}
        added: list[tuple[int, int, bytes]] = []
        now = 0
        for step in range(80):
            now += rng.choice([0, 0, 1, 4])
            key = rng.randrange(12)
            alive = [note for k, at, note in added[-limit:] if k == key and at >= now - horizon]
            assert memory.get(key, now) == (alive[-1] if alive else None)
            if not alive:
                memory.add(key, now, b"%d" % step)
                added.append((key, now, b"%d" % step))
            if rng.random() < 0.3:
                for number, raw in memory.records(dirty_only=True):
                    if raw is None:
                        stored.pop(number, None)
                    else:
                        stored[number] = raw
                memory.mark_clean()
                assert len(stored) <= limit // 3 + 2
                if rng.random() < 0.5:
                    memory = Executions(horizon, limit)
                    for number in sorted(stored):
                        memory.restore(number, stored[number])
        assert len(memory) <= limit + 2 * 3


def test_economics_come_back() -> None:
    economics = Economics(-3, 10**30, -5, "US D")
    assert Economics.decode(economics.encode()) == economics


def test_a_damaged_chunk_is_refused() -> None:
    with pytest.raises(StateError, match="chunk 4 of execution ids"):
        Executions(1, 1).restore(4, b"\xc1")
