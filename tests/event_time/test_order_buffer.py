from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_rows import Row, table

from monitor.event_time.ordering import OrderBuffer
from monitor.event_time.trail import Trail
from monitor.wire.table import NO_TIME, Table

times = st.lists(st.lists(st.integers(0, 30), max_size=7), max_size=8)


def rows(own: list[int], start: int) -> Table:
    return table([Row(t, t) for t in own], start).with_columns(own=np.array(own, np.int64))


@settings(max_examples=200, deadline=None)
@given(times, st.lists(st.integers(0, 31), max_size=5))
def test_rows_leave_whole_once_and_in_order(batches: list[list[int]], marks: list[int]) -> None:
    buffer, waiting, left, expected = OrderBuffer(), [], [], []
    offset, schedule = 0, sorted(marks)
    for at, own in enumerate(batches):
        buffer.add(rows(own, offset))
        waiting += [(t, offset + i) for i, t in enumerate(own)]
        offset += len(own)
        for mark in schedule[at : at + 1]:
            out = buffer.release(mark)
            expected += sorted(w for w in waiting if w[0] < mark)
            waiting = [w for w in waiting if w[0] >= mark]
            if out is not None:
                left += list(zip(out["own"].tolist(), out["offset"].tolist(), strict=True))
                assert out["values"].tolist() == [[o] * 3 for o in out["offset"].tolist()]
                assert out["name"].tolist() == [f"row{o}" for o in out["offset"].tolist()]
            assert len(buffer) == len(waiting)
            for time in (0, mark, mark + 3, 99):
                assert sorted(buffer.own(time).tolist()) == sorted(w[0] for w in waiting if w[0] >= time)
                assert buffer.count(time) == sum(w[0] >= time for w in waiting)
    assert left == expected


def test_a_batch_that_leaves_whole_and_in_order_is_not_copied() -> None:
    buffer, batch = OrderBuffer(), rows([1, 2, 2, 3], 0)
    buffer.add(batch)
    assert buffer.release(1) is None
    assert buffer.release(4) is batch


@settings(max_examples=200, deadline=None)
@given(times, st.lists(st.integers(0, 31), max_size=8))
def test_the_trail_knows_the_lowest_row_still_needed(batches: list[list[int]], keeps: list[int]) -> None:
    trail, seen, offset = Trail(), [], 0
    for own, keep in zip(batches, [NO_TIME, *sorted(keeps)], strict=False):
        offsets = np.arange(offset, offset + len(own))
        trail.add(offsets, np.array(own, np.int64), offsets * 10)
        seen += zip(own, offsets.tolist(), strict=True)
        offset += len(own)
        needed = [(o, o * 10) for t, o in seen if t >= keep]
        assert trail.lowest(keep) == (needed[0] if needed else None)
