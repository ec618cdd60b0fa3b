from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from live_task import TIMING, arrivals, live, replay
from plain_rows import DAY, PlainTask, Row, judged_rows, logs_of, table

from monitor.event_time.sequencer import Sequencer
from monitor.event_time.timing import Timing


@pytest.mark.parametrize("seed", range(30))
def test_every_row_is_folded_as_the_rules_say_row_by_row(seed: int) -> None:
    log = arrivals(seed, tame=seed % 4 == 0)
    plain = PlainTask(TIMING)
    life = live(seed, log, pause=seed % 3 == 0, plain=plain)
    assert not plain.waiting
    assert Counter((f.stream, f.offset) for f in life.committed.folded) == Counter(
        (stream, offset) for stream, rows in log.items() for offset in range(len(rows))
    )


def test_the_schedules_meet_every_fate() -> None:
    fates: Counter[str] = Counter()
    for seed in range(6):
        fates.update(f.fate for f in live(seed, arrivals(seed, tame=False)).committed.folded)
    wanted = "rejected quarantined late duplicate late_applied reordered accepted"
    assert set(fates) == set(wanted.split())
    assert min(fates.values()) > 5


@pytest.mark.parametrize("seed", range(8))
def test_where_nothing_comes_behind_any_reading_gives_the_same_folding(seed: int) -> None:
    log = arrivals(seed, tame=True)
    patient = replace(TIMING, idle_after=10**6)
    plain = replay(logs_of(log), patient)
    assert sum(f.fate == "duplicate" for f in plain)
    seen = 0
    for schedule in range(4):
        life = live(100 * seed + schedule, log, patient, until=1_900)
        assert not life.committed.behind
        seen = max(seen, len(life.committed.folded))
        assert life.committed.folded == plain[: len(life.committed.folded)]
    assert seen > 0.8 * len(plain)


@pytest.mark.parametrize("batch", [1, 3, 64, 10_000])
def test_a_replay_does_not_depend_on_its_batches(batch: int) -> None:
    for seed in range(4):
        log = logs_of(arrivals(seed, tame=False))
        whole = replay(log, batch=50)
        assert replay(log, batch=batch) == whole
        assert len(whole) == sum(map(len, log.values()))


def test_a_replay_orders_all_rows_by_own_time_stream_and_offset() -> None:
    log = logs_of(arrivals(3, tame=False))
    judged = {s: judged_rows(rows, TIMING) for s, rows in log.items()}
    order = sorted((j.own, list(log).index(s), o) for s, rows in judged.items() for o, j in enumerate(rows))
    assert [(f.own, list(log).index(f.stream), f.offset) for f in replay(log)] == order


def test_an_input_that_ended_does_not_fill_the_buffer_of_the_others() -> None:
    log = {"features": [Row(1000 + k, 1000 + k, k) for k in range(400)], "orders": [Row(1000, 1000, 1)]}
    sequencer = Sequencer(TIMING, tuple(log), late_applies=frozenset({"orders"}))
    sequencer.read("orders", table(log["orders"]), 1, 0)
    sequencer.read("orders", table([], 1), 0, 0, end=True)
    sequencer.end("orders")
    for at in range(0, 400, 10):
        sequencer.read("features", table(log["features"][at : at + 10], at), at + 10, 0)
        sequencer.release()
        assert sequencer.buffered <= TIMING.allowed_lateness + 11


@pytest.mark.parametrize("record", [None, 5_000])
def test_a_stream_of_nothing_but_rubbish_is_counted_to_the_last_row(record: int | None) -> None:
    log = {
        "features": [Row(1_000 + k, None, k) for k in range(30)],
        "orders": [Row(0, record, sound=False) for _ in range(5)],
    }
    for batch in (1, 7, 100):
        folded = replay(log, batch=batch)
        assert [f.offset for f in folded if f.stream == "orders"] == [0, 1, 2, 3, 4]
        assert {f.eff for f in folded if f.stream == "orders"} == {1_029}
        assert len(folded) == 35
    assert len(replay({"orders": log["orders"]})) == 5


@pytest.mark.parametrize("batch", [1, 2, 3, 50])
def test_plain_files_fold_the_same_whatever_the_batches(batch: int) -> None:
    base = 10**18
    times = [base - 7 * DAY, *[base + 3 * k for k in range(20)], base + 90 * DAY, base + 60]
    times += [base + 3 * DAY + 5 * k for k in range(10)] + [base + 99 * DAY]
    log = {
        "features": [Row(t, None, k, sound=k % 9 != 0) for k, t in enumerate(times)],
        "orders": [Row(base + 10 * k, None, k) for k in range(8)],
    }
    folded = replay(log, Timing(), batch=batch)
    assert folded == replay(log, Timing(), batch=1_000)
    assert len(folded) == sum(map(len, log.values()))
    assert [f.offset for f in folded if f.fate == "quarantined"] == [21, 33]
