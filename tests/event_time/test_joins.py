from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.event_time.joins import Join
from monitor.wire.table import Table

WINDOW, SLICE = 50, 16
COLUMNS = {"ts": "i8"}


class Arrival(NamedTuple):
    """A row in folding order; `own` beside `eff`, as of rows that came behind."""

    eff: int
    reference: bool
    key: int
    own: int


Met = tuple[int, int, int]
"""Own time of the event, of the reference, and when they met."""


def plainly(rows: list[Arrival]) -> tuple[Counter[Met], list[tuple[int, bool]]]:
    """Pairs, and of each unpaired row when its wait was over and whether it is a reference: row by row."""
    met: Counter[Met] = Counter()
    named = set()
    lonely = []
    for at, row in enumerate(rows):
        if not row.reference:
            continue
        near = [
            (n, e) for n, e in enumerate(rows)
            if not e.reference and e.key == row.key and abs(e.eff - row.eff) <= WINDOW
        ]  # fmt: skip
        before, after = [x for x in near if x[0] < at], [x for x in near if x[0] > at]
        partner = before[-1] if before else after[0] if after else None
        if partner is None:
            lonely.append((row.eff + WINDOW, True))
        else:
            named.add(partner[0])
            met[partner[1].own, row.own, max(row.eff, partner[1].eff)] += 1
    lonely += [
        (e.eff + WINDOW, False) for n, e in enumerate(rows) if not e.reference and n not in named
    ]  # fmt: skip
    return met, sorted(lonely)


def side(rows: list[Arrival]) -> Table:
    return Table(
        {
            "key": np.array([r.key for r in rows], np.uint64),
            "eff": np.array([r.eff for r in rows], np.int64),
            "ts": np.array([r.own for r in rows], np.int64),
        }
    )


def fresh(slice_ns: int = SLICE) -> Join:
    return Join(WINDOW, slice_ns, COLUMNS, COLUMNS)


def take(join: Join, rows: list[Arrival], met: Counter[Met]) -> None:
    events = [r for r in rows if not r.reference]
    references = [r for r in rows if r.reference]
    pairs = join.take(side(events) if events else None, side(references) if references else None)
    assert pairs.at.tolist() == sorted(pairs.at.tolist())
    assert pairs.events["key"].tolist() == pairs.references["key"].tolist()
    columns = (pairs.events["ts"].tolist(), pairs.references["ts"].tolist(), pairs.at.tolist())
    met.update(zip(*columns, strict=True))


@st.composite
def histories(draw: st.DrawFn) -> list[Arrival]:
    """Rows in folding order: at equal time events first, as streams are ordered."""
    now, rows = 1_000, []
    for gap, reference, key, age in draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 0, 1, 5, 17, 49, 50, 51, 120]),
                st.booleans(),
                st.integers(0, 3),
                st.sampled_from([0, 0, 0, 3, 200]),
            ),
            max_size=30,
        )
    ):
        now += gap
        rows.append(Arrival(now, reference, key, now - age))
    return sorted(rows, key=lambda r: (r.eff, r.reference))


def run(
    rows: list[Arrival], cuts: list[int], instants: list[int], restart: bool, slice_ns: int = SLICE
) -> tuple[Counter[Met], dict[int, list[int]]]:
    """Slices at `cuts`, but never between rows of one time; time passes to each of `instants` before the
    rows at or after it; with `restart` every slice is folded by a join restored from the records."""
    join, met, unpaired = fresh(slice_ns), Counter(), {}
    stored: dict[str, bytes] = {}
    edges = sorted({r.eff for i, r in enumerate(rows) if i in cuts} | set(instants))
    steps = [*edges, 10**6]
    low = 0
    for step in steps:
        take(join, [r for r in rows if low <= r.eff < step], met)
        if step in instants or step == steps[-1]:
            found = join.expire(step)
            unpaired[step] = [found.events, found.references]
        low = step
        if restart:
            for key, data in join.records().items():
                stored.pop(key, None) if data is None else stored.update({key: data})
            join = fresh(slice_ns)
            join.restore(dict(reversed(stored.items())))
    assert len(join) == 0
    return met, unpaired


@settings(max_examples=200, deadline=None)
@given(
    histories(),
    st.lists(st.integers(0, 30), max_size=6),
    st.lists(st.integers(990, 1_500), max_size=5),
    st.booleans(),
)
def test_whichever_comes_first_waits_and_is_then_counted_with_its_side(
    rows: list[Arrival], cuts: list[int], instants: list[int], restart: bool
) -> None:
    check(rows, *run(rows, cuts, instants, restart))


def check(rows: list[Arrival], met: Counter[Met], unpaired: dict[int, list[int]]) -> None:
    expected, lonely = plainly(rows)
    assert met == expected
    since = 0
    for instant, counts in unpaired.items():
        over = [reference for at, reference in lonely if since <= at < instant]
        assert counts == [over.count(False), over.count(True)]
        since = instant


@pytest.mark.parametrize("slice_ns", [1, 7, 64, 10_000])
@pytest.mark.parametrize("restart", [False, True])
def test_many_events_and_references_of_few_keys_meet_as_they_were_folded(
    slice_ns: int, restart: bool
) -> None:
    for seed in range(12):
        random_ = random.Random(seed)
        times = [random_.randrange(1_000, 1_300) for _ in range(90)]
        rows = [
            Arrival(t, random_.random() < 0.4, random_.randrange(6), t - random_.randrange(3)) for t in times
        ]
        rows.sort(key=lambda r: (r.eff, r.reference))
        cuts = random_.sample(range(90), 12)
        check(rows, *run(rows, cuts, random_.sample(range(1_000, 1_400), 4), restart, slice_ns))


def test_an_event_that_is_folded_later_at_the_same_time_is_met() -> None:
    join, met = fresh(), Counter()
    for row in (Arrival(1_000, True, 1, 990), Arrival(1_000, False, 1, 991), Arrival(1_000, False, 1, 992)):
        take(join, [row], met)
    take(join, [Arrival(1_000, True, 1, 993)], met)
    assert met == {(991, 990, 1_000): 1, (992, 993, 1_000): 1}


def test_records_do_not_depend_on_the_slicing() -> None:
    random_ = random.Random(5)
    times = sorted(random_.randrange(1_000, 1_200) for _ in range(300))
    rows = sorted(
        (Arrival(t, random_.random() < 0.2, random_.randrange(200), t) for t in times),
        key=lambda r: (r.eff, r.reference),
    )
    states = []
    for step in (1, 7, 1_000):
        join, stored = fresh(), {}
        for low in range(1_000, 1_200, step):
            take(join, [r for r in rows if low <= r.eff < low + step], Counter())
            stored.update(join.records())
        join.expire(1_200)
        stored.update(join.records())
        states.append({key: data for key, data in stored.items() if data is not None})
    assert states[0] == states[1] == states[2]


def test_only_slices_that_changed_are_written_and_a_row_costs_thirteen_bytes() -> None:
    join = Join(5_000, 500, COLUMNS, COLUMNS)
    rows = [Arrival(10_000 + k, False, k + 2**40, 10_000 + k) for k in range(2_000)]
    take(join, rows, Counter())
    records = join.records()
    assert sorted(records) == ["events/10000", "events/10500", "events/11000", "events/11500"]
    assert sum(len(data or b"") for data in records.values()) < 13.2 * len(rows)
    assert join.records() == {}
    take(join, [Arrival(12_000, True, 2**40 + 600, 11_990), Arrival(12_000, True, 1, 12_000)], Counter())
    assert sorted(join.records()) == ["events/10500", "references/12000"]
    take(join, [Arrival(12_300, False, 1, 12_300)], Counter())
    assert join.records()["references/12000"] is None
    found = join.expire(15_700)
    assert (found.events, found.references) == (699, 0)
    gone = join.records()
    assert gone["events/10000"] is None
    assert "events/10500" not in gone


def test_time_that_does_not_advance_counts_nothing_twice() -> None:
    join = fresh()
    take(join, [Arrival(1_000, False, 1, 1_000), Arrival(1_000, True, 2, 1_000)], Counter())
    assert (join.expire(1_050).events, join.expire(1_050).references) == (0, 0)
    found = join.expire(1_051)
    assert (found.events, found.references) == (1, 1)
    for instant in (1_051, 1_020, 1_051):
        found = join.expire(instant)
        assert (found.events, found.references) == (0, 0)


def test_over_a_limit_the_oldest_go_and_what_found_nobody_is_said() -> None:
    for restart in (False, True):
        join = fresh()
        rows = [Arrival(1_000 + k // 2, k % 4 == 3, k if k % 4 != 3 else 100 + k, 0) for k in range(20)]
        rows += [Arrival(1_009, True, 0, 7)]
        met: Counter[Met] = Counter()
        take(join, rows, met)
        assert (len(met), len(join), join.oldest, join.newest) == (1, 20, 1_000, 1_009)
        if restart:
            stored = {key: data for key, data in join.records().items() if data is not None}
            join = fresh()
            join.restore(stored)
        assert len(join.forget(20).event_rows) == 0
        gone = join.forget(10)
        assert len(join) == 10
        # Key 0 was paired; 3 and 7 are references, each with its side.
        assert sorted(gone.event_rows["key"].tolist()) == [1, 2, 4, 5, 6, 8, 9]
        assert sorted(gone.reference_rows["key"].tolist()) == [103, 107]
        assert join.oldest == 1_005
        late: Counter[Met] = Counter()
        take(join, [Arrival(1_020, True, 1, 8), Arrival(1_020, True, 10, 9)], late)
        assert list(late) == [(0, 9, 1_020)], "event 1 is forgotten, event 10 is not"
        found = join.expire(10**6)
        assert found.events + found.references == len([10, 12, 13, 14, 16, 17, 18]) - 1 + len(
            [111, 115, 119, 1]
        )
        assert len(join) == 0
        assert join.oldest is None
        assert join.newest is None


def test_forgetting_a_time_forgets_all_rows_of_it() -> None:
    join = fresh()
    take(join, [Arrival(1_000, False, k, 1) for k in range(5)], Counter())
    assert join.forget(3).events == 5
    assert len(join) == 0


def test_pairs_say_whether_an_event_was_named_before() -> None:
    join = fresh()
    first = side([Arrival(1_000, True, 1, 0), Arrival(1_000, True, 1, 1)])
    assert len(join.take(None, first)) == 0
    pairs = join.take(side([Arrival(1_001, False, 1, 5)]), side([Arrival(1_001, True, 1, 2)]))
    assert pairs.references["ts"].tolist() == [0, 1, 2], "in folding order"
    assert pairs.events["paired"].tolist() == [False] * 3
    again = join.take(None, side([Arrival(1_002, True, 1, 3)]))
    assert again.events["paired"].tolist() == [True]


def test_floats_take_four_bytes_where_that_loses_nothing() -> None:
    sizes = {}
    for name, values in {"short": [0.5, np.nan, -np.inf], "long": [0.1, np.nan, -np.inf]}.items():
        join = Join(WINDOW, SLICE, {"x": "f8"}, {})
        table = Table({"key": np.arange(3, dtype=np.uint64), "eff": np.full(3, 1_000), "x": np.array(values)})
        join.take(table, None)
        records = {key: data for key, data in join.records().items() if data is not None}
        sizes[name] = len(records["events/992"])
        again = Join(WINDOW, SLICE, {"x": "f8"}, {})
        again.restore(records)
        asked = Table({"key": np.arange(3, dtype=np.uint64), "eff": np.full(3, 1_001)})
        assert str(again.take(None, asked).events["x"].tolist()) == str(values)
    assert sizes["long"] == sizes["short"] + 12


@pytest.mark.parametrize(
    "record",
    [
        {"events/0": b"\xc1"},
        {"references/x": b""},
        {"passed": b"\xa1x"},
        {"events/0": b"\x93\xc4\x03abc\xc4\x00\x80"},
    ],
)
def test_a_record_that_cannot_be_read_is_named(record: dict[str, bytes]) -> None:
    with pytest.raises(StateError, match=next(iter(record))):
        fresh().restore(record)
