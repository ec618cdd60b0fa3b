"""What a memory derives belongs to the slice in which it was derived or fell due, however rows were read."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from engine_cases import MS, START, House, S, made_up

from monitor.engine.scope import Source, plain
from monitor.stats.counts import Counts
from monitor.wire.table import Table

WAIT = 7300 * MS


class Echoes:
    """Says each feature row at once, and again `WAIT` after its time."""

    key = "echoes"

    def __init__(self):
        self.waiting = np.empty(0, np.int64)

    def take(self, batch):
        if "features" not in batch:
            return {}
        self.waiting = np.append(self.waiting, batch.features["eff"])
        return {"heard": Table({"eff": batch.features["eff"]})}

    @property
    def due(self):
        return int(self.waiting[0]) + WAIT if len(self.waiting) else None

    def expire(self, until):
        over = int(np.searchsorted(self.waiting, until - WAIT))
        gone, self.waiting = self.waiting[:over], self.waiting[over:]
        return {"echoed": Table({"eff": gone + WAIT})}

    def records(self):
        return {"waiting": msgspec.msgpack.encode(self.waiting.tolist())}

    def restore(self, records):
        self.waiting = np.array(msgspec.msgpack.decode(records["waiting"]), np.int64)


def counted(name):
    def feed(counts, batch):
        counts.update("rows", len(batch.derived[name]))

    return Source(name, name, plain(Counts, ("rows",)), feed)


HOUSE = House(
    windows_ns=(300 * S,),
    sources=(counted("heard"), counted("echoed")),
    memories=lambda: (Echoes(),),
)


@pytest.mark.parametrize("steps", [1, 9, 130])
@pytest.mark.parametrize("restarted", [False, True])
def test_rows_that_fall_due_are_counted_in_the_pane_of_that_time(steps, restarted):
    rows, fold = made_up(3, n=400), HOUSE.fold1()
    panes, kept = {}, {}
    ends = np.linspace(START, START + 100 * S, steps + 1).astype(np.int64).tolist()
    for begin, end in pairwise(ends):
        tables, scores = rows.part(begin, end)
        for partial in fold.fold(tables, scores, end, idle=False):
            panes |= {closed.start: closed.pane.statistics for closed in partial.closed}
        kept.update(fold.records())
        if restarted:
            fold = HOUSE.fold1()
            fold.restore({key: data for key, data in kept.items() if data is not None}, end)
    eff = rows.features["eff"][np.isin(rows.features["fate"], (5, 6, 7))]
    for name, times in (("heard", eff), ("echoed", eff + WAIT)):
        starts, counts = np.unique(times // HOUSE.grid.pane * HOUSE.grid.pane, return_counts=True)
        said = {start: Counts.from_bytes(of[name], ("rows",)) for start, of in panes.items() if name in of}
        assert {start: count["rows"] for start, count in said.items()} == dict(
            zip(starts.tolist(), counts.tolist(), strict=True)
        )


def test_the_last_words_of_a_replay_hold_what_fell_due_up_to_them():
    rows, fold = made_up(3, n=400), HOUSE.fold1()
    eff = rows.features["eff"][np.isin(rows.features["fate"], (5, 6, 7))]
    at = int(eff[200]) + WAIT + 1
    assert at % HOUSE.evaluation
    tables, scores = rows.part(START, at)
    fold.fold(tables, scores, at, idle=False)
    said = Counts.from_bytes(fold.finish(at, idle=False).open.pane.statistics["echoed"], ("rows",))
    begins = at // HOUSE.grid.pane * HOUSE.grid.pane
    assert said["rows"] == int(((eff + WAIT >= begins) & (eff + WAIT < at)).sum()) > 0
