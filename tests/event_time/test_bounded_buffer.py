from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from live_task import TIMING, Arrivals, arrivals, live, replay
from plain_rows import Row, logs_of, table

from monitor.event_time.sequencer import Sequencer

TIGHT = replace(TIMING, buffer_limit=50)
BATCH = 10


def counted(log: Arrivals) -> Counter[tuple[str, int]]:
    return Counter((stream, offset) for stream, rows in log.items() for offset in range(len(rows)))


@pytest.mark.parametrize(
    "streams", [("features",), ("features", "orders"), ("orders", "outcomes", "features")]
)
@pytest.mark.parametrize("spread", [1, 19])
def test_a_burst_within_the_lateness_keeps_to_the_limit_and_one_batch_an_input(
    streams: tuple[str, ...], spread: int
) -> None:
    log: Arrivals = {
        s: [(1_000, Row(1_000 + (7 * k + n) % spread, 1_000, 1_000 * n + k)) for k in range(400)]
        + [(1_050 + 5 * k, Row(1_050 + 5 * k, 1_050 + 5 * k, 900 + 1_000 * n + k)) for k in range(60)]
        for n, s in enumerate(streams)
    }
    for seed in range(2):
        life = live(seed, log, TIGHT, batches=(BATCH,))
        assert life.fullest <= TIGHT.buffer_limit + BATCH * len(streams)
        assert Counter((f.stream, f.offset) for f in life.committed.folded) == counted(log)
        assert {f.fate for f in life.committed.folded} <= {"accepted", "reordered"}
        assert replay(logs_of(log), TIMING, ended=life.committed) == life.committed.folded


def test_rows_of_one_timestamp_neither_stall_nor_vanish() -> None:
    sequencer = Sequencer(TIGHT, ("features",), late_applies=frozenset())
    folded = 0
    for at in range(0, 300, BATCH):
        assert sequencer.wanted(BATCH) == {"features": BATCH}
        steps = sequencer.read(
            "features", table([Row(1_000, 1_000, k) for k in range(at, at + BATCH)], at), at + BATCH, 0
        )
        steps += sequencer.release()
        assert sequencer.buffered < TIGHT.buffer_limit
        folded += sum(len(t) for step in steps for t in step.tables.values())
    assert folded + sequencer.buffered == 300
    assert folded >= 250


def test_the_input_that_runs_ahead_pauses_until_the_others_have_caught_up() -> None:
    sequencer = Sequencer(TIGHT, ("features", "orders"), late_applies=frozenset())
    at = {"features": 0, "orders": 0}
    rows = {
        "features": [Row(1_000 + 10 * k, 9_000, k) for k in range(300)],
        "orders": [Row(1_000 + k, 9_000, k) for k in range(3_000)],
    }
    behind = turns = paused = 0
    while any(at[s] < len(rows[s]) for s in rows):
        wanted = sequencer.wanted(BATCH)
        paused += "features" not in wanted
        for stream, count in wanted.items():
            got = rows[stream][at[stream] : at[stream] + count]
            behind += len(sequencer.read(stream, table(got, at[stream]), at[stream] + len(got), 0))
            at[stream] += len(got)
            if not got:
                sequencer.end(stream)
        sequencer.release()
        assert sequencer.buffered <= TIGHT.buffer_limit + 2 * BATCH
        turns += 1
        assert turns < 1_000
    assert not behind
    assert paused


@pytest.mark.parametrize("seed", range(12))
def test_a_full_buffer_never_loses_a_row_nor_the_journal_its_place(seed: int) -> None:
    log = arrivals(seed, tame=False)
    tight = replace(TIMING, buffer_limit=12)
    life = live(seed, log, tight, crashes=2, batches=(1, 5, 30))
    assert Counter((f.stream, f.offset) for f in life.committed.folded) == counted(log)
    assert replay(logs_of(log), TIMING, ended=life.committed) == life.committed.folded


def test_while_the_log_is_read_again_only_what_is_missing_is_read_into_a_full_buffer() -> None:
    rows = [Row(1_000 + k, 1_000 + k, k) for k in range(200)]
    first = Sequencer(TIGHT, ("features", "orders"), late_applies=frozenset())
    first.read("features", table(rows[:100]), 100, 0)
    first.read("orders", table(rows[:40]), 40, 0)
    first.release()
    second = Sequencer(
        TIGHT, first.streams, late_applies=frozenset(), watermark=first.watermark, metas=first.metas()
    )
    second.read("features", table(rows), 200, 0)
    assert second.buffered > TIGHT.buffer_limit
    assert second.wanted(BATCH) == {"orders": BATCH}
