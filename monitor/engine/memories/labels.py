"""`Labels`: predictions wait for the outcome that names their event, and outcomes for the event.

Derives labelled rows, and counts of what found nobody; knows neither panes nor what a label means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.engine.scope import Batch
from monitor.engine.skill_rules import LabelJoin
from monitor.event_time.joins import Join, Unpaired
from monitor.event_time.timing import FOLDED
from monitor.transport.contract import OUTCOMES
from monitor.wire.table import Table

LABELLED = "labelled"
"""Derived rows: events that met their label: `key`, `eff` (of the event), `at`, `label`, `value/<role>`."""

UNLABELLED = "unlabelled"
"""Derived rows: events that waited in vain, `dropped` where they had to go before their time, since too many
waited; `value/<role>`."""

COUNTED = "label_counts"
"""A derived row: how many of each of `COUNTS`."""

COUNTS = ("waiting", "labelled", "expired", "dropped", "unknown", "duplicate", "lost")
"""Events that began to wait, met a label, waited in vain, had to go; labels for nobody, for an event that has
one, that had to go themselves."""

SECOND_NS = 10**9
_SLICES = 32


def row_bytes(roles: int) -> int:
    """Memory of an event that waits: key, time, whether it has met, and a prediction a role."""
    return 17 + 8 * roles


class Labels:
    """An outcome meets the event of its symbol and `event_id`, whichever comes first, within `wait`.

    The first label of an event counts. Over `limit` rows the oldest go, at the next instant of evaluation, so
    that it does not depend on batches; a limit is a task's own. Memory: `limit` rows and those of one
    interval of evaluation, of `row_bytes` each.
    """

    key = "labels"

    def __init__(self, join: LabelJoin, roles: Sequence[str]) -> None:
        self._limit, self._wait = join.limit, join.wait_ns
        self._values = tuple(f"value/{role}" for role in roles)
        self._roles = tuple(roles)
        slice_ns = max(SECOND_NS, join.wait_ns // _SLICES)
        self._join = Join(join.wait_ns, slice_ns, dict.fromkeys(self._values, "f8"), {"label": "f8"})

    def __len__(self) -> int:
        """Rows kept."""
        return len(self._join)

    def take(self, batch: Batch) -> Mapping[str, Table]:
        """Events and labels of a slice."""
        events = self._events(batch)
        labels = self._labels(batch)
        if events is None and labels is None:
            return {}
        pairs = self._join.take(events, labels)
        out: dict[str, Table] = {}
        first = _firsts(pairs.events)
        counts = {"labelled": len(first), "duplicate": len(pairs) - len(first)}
        if events is not None:
            counts["waiting"] = len(events)
        if len(first):
            rows = pairs.events.take(first)
            values = {name: rows[name] for name in self._values}
            label = pairs.references["label"][first]
            out[LABELLED] = Table(
                {"key": rows["key"], "eff": rows["eff"], "at": pairs.at[first], "label": label, **values}
            )
        return out | _counted(counts)

    @property
    def due(self) -> int | None:
        """When the oldest row has waited long enough; at once, where there are too many."""
        if len(self._join) > self._limit:
            return self._join.newest
        oldest = self._join.oldest
        return None if oldest is None else oldest + self._wait

    def expire(self, until: int) -> Mapping[str, Table]:
        """What waited in vain, and what is too much."""
        expired, dropped = self._join.expire(until), self._join.forget(self._limit)
        counts = {"expired": expired.events, "unknown": expired.references}
        counts |= {"dropped": dropped.events, "lost": dropped.references}
        return self._unlabelled(expired, dropped) | _counted(counts)

    def _unlabelled(self, *parts: Unpaired) -> dict[str, Table]:
        rows = Table.concat([part.event_rows for part in parts])
        if not len(rows):
            return {}
        dropped = np.repeat([False, True], [part.events for part in parts])
        return {UNLABELLED: Table({"dropped": dropped, **{name: rows[name] for name in self._values}})}

    def _events(self, batch: Batch) -> Table | None:
        if "features" not in batch or not len(batch.features["eff"]):
            return None
        rows = batch.features
        values = {f"value/{role}": batch.scores[role].value for role in self._roles}
        return Table({"key": rows["dedupe_key"], "eff": rows["eff"], **values})

    def _labels(self, batch: Batch) -> Table | None:
        if OUTCOMES not in batch:
            return None
        rows = batch.streams[OUTCOMES]
        folded = np.flatnonzero(np.isin(rows["fate"], FOLDED))
        if not len(folded):
            return None
        columns = {"key": rows["dedupe_key"], "eff": rows["eff"], "label": rows["label"]}
        return Table(columns).take(folded)

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        return self._join.records()

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from all records that stand.

        Raises:
            StateError: one cannot be read.
        """
        self._join.restore(records)


def _firsts(events: Table) -> NDArray[np.int64]:
    """Of pairs in order, those that are the first of their event."""
    fresh = np.flatnonzero(~events["paired"])
    if not len(fresh):
        return fresh
    # Of one key there may be several events: by time they are told apart, and two of one time are one.
    order = np.lexsort((fresh, events["eff"][fresh], events["key"][fresh]))
    key, eff = events["key"][fresh][order], events["eff"][fresh][order]
    new = np.ones(len(fresh), np.bool_)
    new[1:] = (np.diff(key) != 0) | (np.diff(eff) != 0)
    return np.sort(fresh[order[new]])


def _counted(counts: Mapping[str, int]) -> dict[str, Table]:
    if not any(counts.values()):
        return {}
    return {COUNTED: Table({name: np.array([counts.get(name, 0)]) for name in COUNTS})}
