"""Windows out of the cascade of panes, against counting the rows themselves."""

from __future__ import annotations

import numpy as np
import pytest
from engine_cases import S, keep
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine.evidence import Evidence
from monitor.engine.grid import Grid
from monitor.engine.panes import PANES_PER_WINDOW, Kind, PaneBytes, pane_length
from monitor.engine.partials import Closed, Open, Partial
from monitor.engine.scope import Source
from monitor.errors import StateError
from monitor.stats.counts import Counts
from monitor.stats.sample import PairSample, cap_for

MINUTE, HOUR, DAY = 60 * S, 3600 * S, 86_400 * S
WINDOWS = (MINUTE, 5 * MINUTE, HOUR, DAY, 2 * DAY, 7 * DAY, 30 * DAY)
SCHEDULES = {"fates/fast": 0, "slow": 5 * S, "slower": 60 * S}
ROW = ("rows",)
TICK = S // 10


def counting() -> Kind:
    def join(panes):
        total = panes[0].copy()
        for pane in panes[1:]:
            total.merge(pane)
        return total

    return Kind(lambda _: Counts(ROW), lambda data, _: Counts.from_bytes(data, ROW), join)


SOURCES = tuple(
    Source(key, "features", counting(), lambda *_: None, every) for key, every in SCHEDULES.items()
)


def pane_of(grid: Grid, times: np.ndarray, keys) -> PaneBytes:
    counts = Counts(ROW)
    counts.update("rows", len(times))
    offsets = {"features-0": (int(times[0]), int(times[-1]))}
    return PaneBytes({key: counts.to_bytes() for key in keys}, offsets)


class Task:
    """Says the panes of rows at these times (sorted, ns) as `TaskFold` does, at the instants asked for."""

    def __init__(self, grid: Grid, times: np.ndarray) -> None:
        self.grid, self.times, self.at = grid, times, 0
        self.unsaid: set[str] = set()

    def _rows(self, low: int, high: int) -> np.ndarray:
        return self.times[np.searchsorted(self.times, low) : np.searchsorted(self.times, high)]

    def say(self, at: int) -> list[Partial]:
        """What it says from the instant before on."""
        pane, before = self.grid.pane, self.at
        starts = sorted({int(t) // pane * pane for t in self._rows(before // pane * pane, at)})
        closed = tuple(
            Closed(start, pane_of(self.grid, self._rows(start, start + pane), SCHEDULES))
            for start in starts
            if start + pane <= at and start + pane > before
        )
        opened, start = None, self.grid.slot(at)
        if start > before:
            self.unsaid.clear()
        if len(self._rows(max(start, before), at)):
            self.unsaid = set(SCHEDULES)
        due = {key for key in self.unsaid if at % self.grid.schedule(SCHEDULES[key]) == 0}
        if at % self.grid.evaluation == 0 and due and at != start:
            opened = Open(start, pane_of(self.grid, self._rows(start, at), due))
            self.unsaid -= due
        self.at = at
        return [Partial("d", 0, at, None, False, "", None, opened, closed)]


def rows_within(times: np.ndarray, low: int, high: int) -> int:
    return int(np.searchsorted(times, high) - np.searchsorted(times, low))


def check(evidence: Evidence, grid: Grid, windows, at: int, times: np.ndarray, since: int | None) -> None:
    """Every window of every schedule against counting; bounds against their definition."""
    for key, every in SCHEDULES.items():
        schedule = grid.schedule(every)
        last_due = at - at % schedule
        for window in windows:
            view = evidence.window(window, schedule)
            assert view.to_ns == max(last_due, at - at % grid.pane)
            length = pane_length(window)
            start = view.to_ns // length * length - window
            if since is not None:
                start = min(max(start, since), view.to_ns)
            assert view.from_ns == start
            if since is None:
                assert window <= view.to_ns - view.from_ns < window + length
            found = view.statistic(key)
            assert (found["rows"] if found else 0) == rows_within(times, view.from_ns, view.to_ns)


@pytest.mark.parametrize(
    ("window", "pane"),
    [(10 * S, S), (MINUTE, S), (5 * MINUTE, 5 * S), (HOUR, MINUTE), (DAY, 30 * MINUTE), (30 * DAY, DAY // 2)],
)
def test_pane_lengths_are_those_of_the_ladder(window, pane):
    assert pane_length(window) == pane
    assert window % pane == 0


def instants_of(rng, grid: Grid, low: int, high: int, n: int) -> list[int]:
    """Evaluation instants, ticks between them, and boundaries of panes of all lengths."""
    steps = rng.choice([TICK, grid.evaluation, grid.pane, MINUTE, HOUR, DAY], n)
    found = rng.integers(low, high, n) // steps * steps
    # The instant before each, so that what a schedule says between two ticks is heard.
    both = {*found.tolist(), *(found // grid.evaluation * grid.evaluation).tolist()}
    for every in SCHEDULES.values():
        both |= {at // grid.schedule(every) * grid.schedule(every) for at in both}
    return sorted(at for at in both if at > 0)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sets(st.sampled_from(WINDOWS), min_size=1),
    st.sampled_from([100 * 10**6, 500 * 10**6, S]),
    st.sampled_from([3 * MINUTE, 3 * HOUR, 75 * DAY]),
)
def test_every_window_holds_exactly_the_rows_between_its_bounds(seed, windows, evaluation, span):
    rng = np.random.default_rng(seed)
    grid = Grid(TICK, evaluation, min(pane_length(w) for w in windows))
    base = int(rng.integers(40, 60)) * 365 * DAY // 12
    low, high = base, base + span
    steps = rng.choice([1, TICK, grid.pane], 400)
    times = np.sort(rng.integers(low, high, 400) // steps * steps)
    mine = rng.integers(0, 3, len(times))
    tasks = [Task(grid, times[mine == number]) for number in range(3)]
    evidence, store, since = Evidence(grid, SOURCES, tuple(windows)), {}, None
    late: dict[int, list[Partial]] = {0: [], 1: [], 2: []}
    bound = sum(max(w for w in windows if pane_length(w) == n) // n + 2 for n in map(pane_length, windows))
    for at in instants_of(rng, grid, low, high, 40):
        missing = {int(rng.integers(0, 3))} if rng.random() < 0.2 else set()
        for number, task in enumerate(tasks):
            late[number] += task.say(at)
        parts = {number: late[number] for number in late if number not in missing}
        evidence.fold(at, parts, known=not missing)
        for number in parts:
            late[number] = []
        if not missing:
            check(evidence, grid, windows, at, times, since)
        if rng.random() < 0.05:
            evidence.restart(at)
            since = at - at % grid.pane + grid.pane
        keep(store, evidence.records())
        assert not evidence.records()
        if at % grid.pane == 0:
            assert sum(key.startswith("ring/") for key in store) <= bound
        if rng.random() < 0.2:
            evidence = Evidence(grid, SOURCES, tuple(windows))
            evidence.restore(store, at, since)
    last = max(task.at for task in tasks)
    evidence.fold(last, late, known=True)
    assert evidence.totals["fates/fast"]["rows"] == rows_within(times, 0, last - last % evaluation)


def test_a_fold_that_ends_a_replay_knows_all_schedules_as_of_that_instant():
    grid = Grid(TICK, S, MINUTE)
    evidence = Evidence(grid, SOURCES, (HOUR,))
    times = np.array([1, 7 * S, 8 * S])
    evidence.fold(8 * S, {0: Task(grid, times).say(8 * S)}, known=True)
    assert evidence.window(HOUR, 60 * S).to_ns == 0
    final = Open(0, pane_of(grid, times, SCHEDULES))
    at = 8 * S + 1
    evidence.fold(at, {0: [Partial("d", 0, at, None, False, "", None, final)]}, known=True, complete=True)
    view = evidence.window(HOUR, 60 * S)
    assert (view.to_ns, view.statistic("slower")["rows"]) == (at, 3)


def test_an_open_pane_is_left_out_while_a_task_is_missing_and_its_panes_join_when_it_is_back():
    grid = Grid(TICK, S, S)
    evidence = Evidence(grid, SOURCES, (10 * S,))
    slow, fast = Task(grid, np.array([1, S + 1])), Task(grid, np.array([2, S + 2]))
    evidence.fold(S, {0: slow.say(S), 1: fast.say(S)}, known=True)
    evidence.fold(2 * S, {1: fast.say(2 * S)}, known=False)
    assert evidence.window(10 * S, S).statistic("fates/fast")["rows"] == 3
    evidence.fold(3 * S, {0: slow.say(3 * S), 1: fast.say(3 * S)}, known=True)
    assert evidence.window(10 * S, S).statistic("fates/fast")["rows"] == 4


def test_offsets_of_a_window_are_the_smallest_and_largest_of_its_panes():
    grid = Grid(TICK, S, S)
    evidence = Evidence(grid, SOURCES, (10 * S,))
    task = Task(grid, np.arange(0, 30 * S, S // 4))
    evidence.fold(25 * S, {0: task.say(25 * S)}, known=True)
    assert evidence.window(10 * S, S).offsets == {"features-0": (15 * S, 25 * S - S // 4)}


def test_a_coarse_pane_that_a_restart_cuts_keeps_only_what_came_after():
    grid = Grid(TICK, S, 5 * S)
    windows = (5 * MINUTE, HOUR)
    times = np.arange(0, 600 * S, S)
    evidence, task = Evidence(grid, SOURCES, windows), Task(grid, times)
    for at in range(S, 200 * S, S):
        evidence.fold(at, {0: task.say(at)}, known=True)
        if at == 91 * S:
            evidence.restart(at)
    view = evidence.window(HOUR, S)
    assert view.from_ns == 95 * S
    assert view.statistic("fates/fast")["rows"] == 199 - 95


def pairs(rng, n: int) -> tuple[np.ndarray, ...]:
    ts = np.sort(rng.integers(0, 1000 * S, n))
    keys = rng.integers(0, 2**62, n).astype(np.uint64)
    return keys, ts, np.full(n, 7, np.uint64), rng.normal(size=n), rng.normal(size=n)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([20, 100, 5000]), st.integers(1, 4))
def test_the_pairs_of_a_window_are_those_with_the_smallest_hashes_whatever_the_tasks(seed, k, tasks):
    rng = np.random.default_rng(seed)
    windows = (5 * MINUTE, 10 * MINUTE)
    shortest = min(windows)
    kind = Kind(
        lambda n: PairSample(cap_for(k, n, shortest)),
        lambda data, n: PairSample.from_bytes(data, cap_for(k, n, shortest)),
        lambda panes: PairSample.join(panes, k),
    )
    grid = Grid(TICK, S, 5 * S)
    columns = pairs(rng, 4000)
    home = rng.integers(0, tasks, 4000)
    evidence = Evidence(grid, (Source("pairs", "features", kind, lambda *_: None),), windows)
    said: dict[int, list[Partial]] = {}
    for number in range(tasks):
        for start in range(0, 1000 * S, 5 * S):
            mine = (home == number) & (columns[1] >= start) & (columns[1] < start + 5 * S)
            sample = PairSample(cap_for(k, 5 * S, shortest))
            sample.update(*(column[mine] for column in columns))
            pane = Closed(start, PaneBytes({"pairs": sample.to_bytes()}, {}))
            said.setdefault(number, []).append(
                Partial("d", number, start + 5 * S, None, False, "", None, None, (pane,))
            )
    for at in range(50 * S, 1000 * S + 1, 50 * S):
        parts = {n: [p for p in p_ if at - 50 * S < p.at <= at] for n, p_ in said.items()}
        evidence.fold(at, parts, known=True)
    for window in windows:
        view = evidence.window(window, S)
        sample = view.statistic("pairs")
        inside = (columns[1] >= view.from_ns) & (columns[1] < view.to_ns)
        assert sample.seen == int(inside.sum())
        smallest = np.sort(columns[0][inside])[: len(sample.pairs)]
        assert np.array_equal(np.sort(sample.pairs.hash), smallest)
        assert len(sample.pairs) == (sample.seen if sample.exact else len(smallest))
        assert len(sample.pairs) >= min(k, sample.seen) // 2


def test_no_window_up_to_a_year_takes_more_than_30_times_48_panes():
    for window in range(S, 366 * DAY, 997 * S):
        assert window // pane_length(window) < 30 * PANES_PER_WINDOW


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ring/5000000000/x", b"\x92\x80\x80"),
        ("ring/5000000000/0", b"\x91"),
        ("ring/5000000000/0", b"\x92\x81\xa4slow\xc4\x01\xff\x80"),
        ("open/1", b"\xc1"),
        ("open/one", b"\x92\x00\x92\x80\x80"),
        ("totals", b"\x93"),
    ],
)
def test_a_damaged_record_is_refused_with_its_key(key, value):
    evidence = Evidence(Grid(TICK, S, 5 * S), SOURCES, (5 * MINUTE,))
    with pytest.raises(StateError):
        evidence.restore({key: value}, 0, None)


def opened(grid: Grid, at: int, first: int | None, task: int = 0, rows: int = 1) -> Partial:
    """A task's open pane at `at`, said by one whose grid starts at `first`."""
    start = grid.slot(at)
    return Partial(
        "d", task, at, first, False, "", None, Open(start, pane_of(grid, np.array([start] * rows), SCHEDULES))
    )


def test_a_window_knows_since_when_it_can_hold_rows_to_the_tick():
    grid = Grid(TICK, S, 5 * S)
    evidence, base = Evidence(grid, SOURCES, (5 * MINUTE, HOUR)), 1000 * MINUTE
    assert evidence.window(HOUR, S).filled_ns == evidence.window(HOUR, S).from_ns
    first = base + 2 * S + 3 * TICK
    evidence.fold(base + 3 * S, {1: [opened(grid, base + 3 * S, first, task=1)]}, known=True)
    view = evidence.window(HOUR, S)
    assert (view.filled_ns, view.to_ns) == (first - TICK, base + 3 * S)
    assert view.from_ns < view.filled_ns
    # Another task began earlier, and is heard of later.
    parts = {0: [opened(grid, base + 4 * S, base + S)], 1: [opened(grid, base + 4 * S, first, task=1)]}
    evidence.fold(base + 4 * S, parts, known=True)
    assert evidence.window(HOUR, S).filled_ns == base + S - TICK
    store: dict[str, bytes] = {}
    keep(store, evidence.records())
    again = Evidence(grid, SOURCES, (5 * MINUTE, HOUR))
    again.restore(store, base + 4 * S, None)
    assert again.window(HOUR, S).filled_ns == base + S - TICK
    at = base + 6 * MINUTE
    again.fold(at, {0: [opened(grid, at, base + S, rows=2)]}, known=True)
    assert again.window(5 * MINUTE, S).filled_ns == again.window(5 * MINUTE, S).from_ns
    assert again.window(HOUR, S).filled_ns == base + S - TICK


def test_rows_from_before_another_configuration_fill_no_window():
    grid = Grid(TICK, S, 5 * S)
    evidence, base = Evidence(grid, SOURCES, (HOUR,)), 1000 * MINUTE
    # The task's grid began long ago, under statistics that are gone.
    evidence.fold(base + 3 * S, {0: [opened(grid, base + 3 * S, 7 * MINUTE)]}, known=True)
    assert evidence.window(HOUR, S).filled_ns == base


def test_a_restart_takes_evidence_out_of_what_a_window_can_hold():
    grid = Grid(TICK, S, 5 * S)
    evidence, base = Evidence(grid, SOURCES, (HOUR,)), 1000 * MINUTE
    evidence.fold(base + 3 * S, {0: [opened(grid, base + 3 * S, base + TICK)]}, known=True)
    evidence.restart(base + 3 * S)
    evidence.fold(base + 9 * S, {0: [opened(grid, base + 9 * S, base + TICK)]}, known=True)
    assert evidence.window(HOUR, S).filled_ns == base + 5 * S
