from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from live_task import TIMING, arrivals, live, replay
from plain_rows import Row, flat, logs_of, table

from monitor.event_time.sequencer import Sequencer


def every_row_once(log: dict[str, list[tuple[int, Row]]]) -> Counter[tuple[str, int]]:
    return Counter((stream, offset) for stream, rows in log.items() for offset in range(len(rows)))


@pytest.mark.parametrize("seed", range(30))
def test_a_run_with_crashes_is_its_log_and_journal_and_nothing_else(seed: int) -> None:
    log = arrivals(seed, tame=seed % 4 == 0)
    life = live(seed, log, crashes=4, pause=seed % 3 == 0)
    assert life.crashes == 4
    assert Counter((f.stream, f.offset) for f in life.committed.folded) == every_row_once(log)
    for batch in (3, 200):
        assert replay(logs_of(log), batch=batch, ended=life.committed) == life.committed.folded


@pytest.mark.parametrize("seed", range(20))
def test_a_replay_ends_where_its_run_ended(seed: int) -> None:
    log = arrivals(seed, tame=False)
    life = live(seed, log, crashes=1, until=1_300 + 20 * seed)
    assert len(life.committed.folded) < sum(map(len, log.values()))
    assert replay(logs_of(log), ended=life.committed) == life.committed.folded


@pytest.mark.parametrize("seed", range(10))
def test_where_nothing_comes_behind_a_restart_leaves_no_trace(seed: int) -> None:
    log = arrivals(seed, tame=True)
    patient = replace(TIMING, idle_after=10**6)
    undisturbed = replay(logs_of(log), patient)
    life = live(seed, log, patient, crashes=5, until=1_900)
    assert not life.committed.behind
    assert life.stood_still
    assert life.committed.folded == undisturbed[: len(life.committed.folded)]
    assert len(life.committed.folded) > 0.7 * len(undisturbed)


def test_a_restart_reads_no_more_than_it_must() -> None:
    sequencer = Sequencer(TIMING, ("features",), late_applies=frozenset())
    rows = [Row(1_000 + k, 1_000 + k, k) for k in range(1_000)]
    for at in range(0, 1_000, 50):
        sequencer.read("features", table(rows[at : at + 50], at), at + 50, 0)
        sequencer.release()
    meta = sequencer.metas()["features"]
    assert sequencer.watermark == 1_979
    assert (meta.seek, meta.bound, meta.read) == (829, 1_808, 1_000)


def test_rows_that_were_held_at_the_commit_are_read_again() -> None:
    day = 86_400 * 10**9
    times = [day + k for k in range(6)] + [4 * day + k for k in range(6)]
    rows = [Row(t, None, k) for k, t in enumerate(times)]
    first = Sequencer(TIMING, ("features",), late_applies=frozenset())
    first.read("features", table(rows[:8]), 8, 0)
    folded = flat(first.release())
    first.silent("features", 0, 0)
    first.silent("features", 9 * day, 9 * day)
    folded += flat(first.release())
    meta = first.metas()["features"]
    assert meta.read == 6
    second = Sequencer(
        TIMING, first.streams, late_applies=frozenset(), watermark=first.watermark, metas={"features": meta}
    )
    folded += flat(second.read("features", table(rows[meta.seek :], meta.seek), 12, 0))
    folded += flat(second.release())
    assert [f.offset for f in folded] == list(range(12))
    assert {f.fate for f in folded[6:]} == {"reordered"}
