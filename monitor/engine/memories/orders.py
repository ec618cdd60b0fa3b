"""`NewOrders`: the deployment's new orders, and the feature events that they name.

An order is its `new` report; other reports of it repeat what that says. Which reports are the deployment's,
the scope knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np

from monitor.engine.rows import TIMEOUT_NS, UNMEASURED_NS
from monitor.engine.scope import Batch, Scope
from monitor.event_time.joins import Join
from monitor.event_time.timing import FOLDED
from monitor.wire.keys import combine, hash64_many
from monitor.wire.table import Table

NEW_ORDERS, ORDER_PAIRS, ORDER_JOINS = "new_orders", "order_pairs", "order_joins"
"""Names of the derived rows."""

SLICE_NS = 250_000_000
"""Of one state record: it is written whole at each commit that changes it."""


class Outcome(IntEnum):
    """What became of an order that names a feature event, or of an event."""

    PAIRED = 0
    UNPAIRED = 1
    UNNAMED = 2


class NewOrders:
    """Derives three kinds of rows.

    `new_orders`: `tagged` i8, ns that production's inference took by the order's tags, -1 where unsaid.
    `order_pairs`: `latency` i8, ns from the event's `ts_ns` to the order's; `recorded` f8, the prediction
    that the order says it rests on, NaN where unsaid, and `again` f8, what the active says of the event, NaN
    where it gave no answer.
    `order_joins`: `outcome` i1 of `Outcome` and `count` i8 of how many met with it.

    An order pairs with the event of its symbol and `feature_event_id` that was folded last before it, else
    first after it, at most `join_window` apart. Memory and state: about 28 bytes a feature event of the last
    `join_window`, 24 in state where answers are of 32 bits.
    """

    key = "orders"

    def __init__(self, scope: Scope) -> None:
        self._window, self._mine, self._active = scope.join_window_ns, scope.mine, scope.roles[0]
        self._join = Join(self._window, SLICE_NS, {"ts": "i8", "again": "f8"}, {"ts": "i8", "recorded": "f8"})

    def take(self, batch: Batch) -> Mapping[str, Table]:
        """Rows of one slice of time, in order."""
        orders = self._new(batch.streams["orders"]) if "orders" in batch.streams else None
        events = self._events(batch) if len(batch.features) else None
        derived: dict[str, Table] = {}
        naming = None
        if orders is not None:
            derived[NEW_ORDERS] = Table({"tagged": orders["tagged"]})
            named = np.flatnonzero(orders["named"])
            naming = orders.take(named) if len(named) else None
        if events is None and naming is None:
            return derived
        pairs = self._join.take(events, naming)
        if len(pairs):
            derived[ORDER_PAIRS] = Table(
                {
                    "latency": pairs.references["ts"] - pairs.events["ts"],
                    "recorded": pairs.references["recorded"],
                    "again": pairs.events["again"],
                }
            )
            derived[ORDER_JOINS] = _joins({Outcome.PAIRED: len(pairs)})
        return derived

    def _new(self, orders: Table) -> Table | None:
        folded = np.isin(orders["fate"], FOLDED)
        reports = orders["report"]
        rows = [
            row
            for row in np.flatnonzero(folded).tolist()
            if reports[row].kind == "new" and self._mine(reports[row])
        ]
        if not rows:
            return None
        new = orders.take(np.array(rows, np.int64))
        return Table(
            {
                "eff": new["eff"],
                "ts": new["ts"],
                "key": combine(
                    new["symbol_key"],
                    hash64_many([report.feature_event_id or "" for report in new["report"]]),
                ),
                "named": np.array([bool(report.feature_event_id) for report in new["report"]]),
                "tagged": np.array([_tagged(report) for report in new["report"]], np.int64),
                # None becomes NaN.
                "recorded": np.array([report.prediction for report in new["report"]], np.float64),
            }
        )

    def _events(self, batch: Batch) -> Table:
        features = batch.features
        key = combine(features["symbol_key"], features["sample_key"])
        again = batch.scores[self._active].value
        return Table({"key": key, "eff": features["eff"], "ts": features["ts"], "again": again})

    @property
    def due(self) -> int | None:
        """When the row that has waited longest has its end; None: nothing waits."""
        oldest = self._join.oldest
        return None if oldest is None else oldest + self._window

    def expire(self, until: int) -> Mapping[str, Table]:
        """Orders whose event did not come, and events that no order named, before `until`."""
        gone = self._join.expire(until)
        counts = {Outcome.UNPAIRED: gone.references, Outcome.UNNAMED: gone.events}
        return {ORDER_JOINS: _joins(counts)} if any(counts.values()) else {}

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        return self._join.records()

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from all records that stand.

        Raises:
            StateError: one cannot be read.
        """
        self._join.restore(records)


def _joins(counts: Mapping[Outcome, int]) -> Table:
    return Table({"outcome": np.array([*counts], np.int8), "count": np.array([*counts.values()], np.int64)})


def _tagged(report: Any) -> int:
    """Nanoseconds that the tags of an order's report say; `UNMEASURED_NS` where unsaid or negative."""
    milliseconds = report.tags.inference_latency_ms if report.tags is not None else None
    if milliseconds is None or not milliseconds >= 0:
        return UNMEASURED_NS
    return min(round(milliseconds * 1e6), TIMEOUT_NS) if milliseconds < 1e30 else int(TIMEOUT_NS)
