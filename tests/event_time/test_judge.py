from __future__ import annotations

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st
from plain_rows import DAY, NEVER, Judged, Row, judged_rows, table

from monitor.event_time.judge import Judge
from monitor.event_time.timing import Fate, Timing
from monitor.wire.table import NO_TIME, Table

TIMING = Timing(allowed_lateness=20, max_future=50)
HOURS = DAY // 24
slow = settings(max_examples=250, deadline=None)


def judge(rows: list[Row], cuts: list[int], timing: Timing = TIMING) -> list[Judged]:
    """All rows through the judge, cut into batches at `cuts`, the end said apart."""
    judge = Judge(timing)
    edges = [0, *sorted({min(c, len(rows)) for c in cuts}), len(rows)]
    parts = [judge.judge(table(rows[a:b], a)) for a, b in itertools.pairwise(edges)]
    parts.append(judge.judge(table([]), end=True))
    judged = Table.concat([p for p in parts if len(p)]) if any(len(p) for p in parts) else table([])
    assert judged["offset"].tolist() == list(range(len(judged)))
    if not len(judged):
        return []
    names = [Fate(f).name.lower() for f in judged["fate"].tolist()]
    bounds = [NEVER if b == NO_TIME else b for b in judged["bound_before"].tolist()]
    return [Judged(*row) for row in zip(judged["own"].tolist(), names, bounds, strict=True)]


cuts = st.lists(st.integers(0, 40), max_size=8)
sound = st.booleans() | st.just(True)
timed = st.builds(
    lambda ts, lag, ok: Row(ts, max(1, ts - lag), 0, ok), st.integers(1, 300), st.integers(-80, 80), sound
)
wild = st.sampled_from([1, 5 * HOURS, DAY, DAY + 1, 3 * DAY, 60 * DAY, 40_000 * DAY])
untimed = st.builds(lambda base, jitter, ok: Row(base + jitter, None, 0, ok), wild, st.integers(1, 90), sound)


@slow
@given(st.lists(timed, max_size=40), cuts)
def test_rows_with_record_timestamps_are_judged_one_by_one(rows: list[Row], cuts: list[int]) -> None:
    assert judge(rows, cuts) == judged_rows(rows, TIMING)


@slow
@given(st.lists(untimed | untimed | timed, max_size=30), cuts)
def test_jumps_without_record_timestamps_are_judged_the_same_in_any_batches(
    rows: list[Row], cuts: list[int]
) -> None:
    expected = judged_rows(rows, TIMING)
    placed = next((i for i, j in enumerate(expected) if j.fate == "on_time"), None)
    if placed is None:
        # Without a bound, rows without any time have no place: they wait for the end of the replay.
        held = next((i for i, r in enumerate(rows) if r.record is None), len(rows))
        assert judge(rows, cuts) == expected[:held]
    else:
        assert judge(rows, cuts) == expected


def fates(times: list[int]) -> list[str]:
    return [j.fate for j in judge([Row(t, None) for t in times], list(range(len(times))))]


def test_a_weekend_blinds_nothing() -> None:
    friday, monday = 10**18, 10**18 + 65 * HOURS
    times = [friday + i for i in range(5)] + [monday + i for i in range(5)]
    assert fates(times) == ["on_time"] * 10


def test_one_bad_first_record_blinds_nothing() -> None:
    good = [10**18 + i for i in range(6)]
    assert fates([8 * 10**18, *good]) == ["quarantined"] + ["on_time"] * 6
    assert fates([10**18 - 9000 * DAY, *good]) == ["on_time"] * 7
    assert fates([8 * 10**18, good[0]]) == ["quarantined", "on_time"]


def test_a_bad_record_among_the_first_does_not_take_the_good_ones_with_it() -> None:
    times = [10**18 + i for i in range(6)]
    times[1] = 1
    assert fates(times) == ["on_time", "late"] + ["on_time"] * 4


def test_one_wild_record_in_the_middle_is_quarantined_and_the_stream_goes_on() -> None:
    times = [10**18 + i for i in range(9)]
    times[4] += 2 * DAY
    assert fates(times) == ["on_time"] * 4 + ["quarantined"] + ["on_time"] * 4


def test_a_jump_that_the_end_leaves_unconfirmed_is_quarantined() -> None:
    times = [10**18 + i for i in range(4)]
    assert fates([*times, 10**18 + 2 * DAY]) == ["on_time"] * 4 + ["quarantined"]
    assert fates([*times, *[10**18 + 2 * DAY] * 3]) == ["on_time"] * 4 + ["quarantined"] * 3
    assert fates([*times, *[10**18 + 2 * DAY] * 4])[4] == "on_time"


def test_exactly_a_day_is_no_jump() -> None:
    assert fates([10**18, 10**18 + 1, 10**18 + 2, 10**18 + 3, 10**18 + 3 + DAY]) == ["on_time"] * 5


def test_a_held_row_is_shown_until_it_is_judged() -> None:
    judge = Judge(TIMING)
    assert len(judge.judge(table([Row(10**18, 10**18)] * 2))) == 2
    assert len(judge.judge(table([Row(10**18 + 3 * DAY, None)] * 3, 2))) == 0
    assert judge.held_from == 2
    assert len(judge.judge(table([Row(10**18 + 3 * DAY, None)], 5))) == 4
    assert judge.held_from is None


def test_the_largest_times_overflow_nothing() -> None:
    largest = 2**63 - 1 - 366 * DAY
    rows = [Row(largest, largest), Row(largest, 2**63 - 1), Row(largest, 1), Row(1, 2**63 - 1)]
    assert [j.fate for j in judge(rows, [], Timing())] == ["on_time", "on_time", "quarantined", "late"]
    assert math.isfinite(judge(rows, [], Timing())[-1].own)
