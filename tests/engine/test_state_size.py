"""What a deployment with everything on keeps: state of both folds, in real bytes of full panes."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from busy_desk import WINDOWS, BusyDesk, Stream
from engine_cases import START, S, keep

from monitor.engine.panes import LADDER_NS, Pane, PaneBytes, pane_length
from monitor.engine.partials import Partial
from monitor.stats.cross_section import InstantSample

MIB = 1 << 20
SECONDS, RATE = 130, 400


@pytest.fixture(scope="module", params=["return", "probability"])
def told(request: pytest.FixtureRequest) -> tuple[BusyDesk, list[Partial], dict[str, bytes], dict[str, int]]:
    """Two minutes of a task: what it says, its state at the end, and the most of each group of records."""
    desk, stream = BusyDesk(kind=request.param), Stream(RATE)
    fold, store, said = desk.fold1(), {}, []
    most: dict[str, int] = {}
    for number in range(SECONDS):
        tables, answers = stream.second(number)
        said += fold.fold(tables, answers, START + (number + 1) * S, idle=False)
        keep(store, fold.records())
        for group, size in sizes(store).items():
            most[group] = max(most.get(group, 0), size)
    return desk, said, store, most


def sizes(records: Mapping[str, bytes]) -> dict[str, int]:
    """Bytes by group of records: the first word of a key, two of a memory's."""
    found: dict[str, int] = {}
    for key, data in records.items():
        words = key.split("/")
        group = "/".join(words[: 2 if words[0] == "memory" else 1])
        found[group] = found.get(group, 0) + len(key) + len(data)
    return found


def panes_of(desk: BusyDesk, said: list[Partial]) -> list[PaneBytes]:
    return [closed.pane for partial in said for closed in partial.closed]


def full_rings(desk: BusyDesk, said: list[Partial]) -> dict[str, bytes]:
    """Records of rings that are full: panes of all lengths, merged of the finest as often as they hold them.

    Beyond what was folded, panes are merged with themselves: counts grow, samples stay full. Instants do
    not repeat; those that were folded fill their sample.
    """
    kinds = {source.key: source.kind for source in desk.sources_of()}
    finest = panes_of(desk, said)
    records = {}
    for window in WINDOWS:
        length = pane_length(window)
        whole = length // desk.grid.pane
        merged = Pane(kinds, length)
        for pane in finest[: min(whole, len(finest))]:
            merged.merge(Pane.decode(pane, kinds, desk.grid.pane))
        doublings = max(0, (whole // len(finest)).bit_length())
        for _ in range(doublings):
            twin = Pane.decode(merged.encode(), kinds, length)
            for key in [k for k, s in twin.statistics.items() if isinstance(s, InstantSample)]:
                del twin.statistics[key]
            merged.merge(twin)
        encoded = msgspec.msgpack.encode(merged.encode())
        for number in range(window // length + 1):
            records[f"ring/{length}/{(START // length + number) * length}"] = encoded
    return records


def test_a_deployments_state_stays_below_16_mib_with_full_panes(told):
    desk, said, _, _ = told
    fold = desk.fold2()
    at = said[-1].at
    fold.evaluate(at - at % desk.grid.tick, {0: said})
    records: dict[str, bytes] = {}
    keep(records, fold.records())
    records |= full_rings(desk, said)
    fold.restore(records)
    total = sizes(records)
    assert set(LADDER_NS[1:]) == {pane_length(window) for window in WINDOWS}
    assert sum(total.values()) < 16 * MIB


def test_a_tasks_state_stays_below_1_mib_beside_the_rows_that_may_wait_for_labels(told):
    desk, _, _, most = told
    assert sum(size for group, size in most.items() if group != "memory/labels") < MIB
    waiting = RATE * desk.scope.labels.wait_ns // S + RATE * 60
    assert most["memory/labels"] < 40 * waiting


def test_every_statistic_of_every_metric_is_among_them(told):
    desk, said, _, _ = told
    fed = {key for pane in panes_of(desk, said) for key in pane.statistics}
    assert {source.key for source in desk.sources_of()} - fed == set()
