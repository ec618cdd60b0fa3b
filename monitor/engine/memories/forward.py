"""`ForwardReturns`: predictions wait until it is known how the mid of their symbol moved after them.

Derives pairs of prediction and return, by horizon; knows neither panes nor what is thought of a prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from monitor.engine.memories.mids_ahead import MidsAhead, Quota, Quoting, mid_at, wild
from monitor.engine.scope import Batch
from monitor.engine.skill_rules import Forward
from monitor.wire.table import Table

SKIPPED = "forward_skipped"
"""A derived row: how many predictions did not wait, since their symbol had too many in that slot."""


def derived(horizon_ns: int) -> str:
    """Name of the derived rows: `sample_key`, `ts`, `symbol_key`, `slot`, `leads`, `value/<role>` and
    `return`, the mid return over [t + lag, t + lag + horizon), NaN where a mid is missing. `leads`: the first
    prediction of its symbol in the slot of time that begins at `slot`."""
    return f"forward/{horizon_ns}"


def quota_of(forward: Forward) -> Quota:
    """A share of what waits for each symbol."""
    farthest = forward.lag_ns + max(forward.horizons_ns)
    return Quota.of(forward.limit, forward.symbols, farthest, forward.evaluation_ns)


class ForwardReturns:
    """A prediction of time t meets the mids as of t + lag and t + lag + h of each horizon h (`MidsAhead`).

    t is the effective time of its row.

    Memory and state: at most `limit` rows in all (or four a symbol) of 41 bytes and 8 for each role and
    horizon, and 24 bytes a symbol.
    """

    key = "forward"

    def __init__(self, forward: Forward, roles: Sequence[str]) -> None:
        self._forward, self._roles = forward, tuple(roles)
        kinds = {
            "eff": "<i8",
            "ts": "<i8",
            "sample_key": "<u8",
            "symbol_key": "<u8",
            "leads": "?",
            **{f"value/{role}": "<f8" for role in roles},
        }
        self._ahead = MidsAhead(
            "forward returns",
            kinds,
            [forward.lag_ns],
            [forward.lag_ns + horizon for horizon in forward.horizons_ns],
            Quoting(forward.max_spread, forward.stale_ns, forward.evaluation_ns),
            quota_of(forward),
            share=("symbol_key",),
        )

    def __len__(self) -> int:
        """Predictions that wait."""
        return len(self._ahead)

    def take(self, batch: Batch) -> Mapping[str, Table]:
        """Predictions begin to wait, quotes end the wait of others; what has ended is said by `expire`."""
        if "features" not in batch or not len(batch.features["eff"]):
            return {}
        skipped = self._begin(batch)
        self._ahead.quote(batch.features)
        return {SKIPPED: Table({"rows": np.array([skipped])})} if skipped else {}

    @property
    def due(self) -> int | None:
        """When the next horizon of a prediction ends."""
        return self._ahead.due

    def expire(self, until: int) -> Mapping[str, Table]:
        """Pairs whose horizon ended before `until`."""
        horizons = self._forward.horizons_ns
        return {derived(horizons[at]): self._pairs(rows, at) for at, rows in self._ahead.expire(until)}

    def _pairs(self, rows: Table, place: int) -> Table:
        begin, end = rows[mid_at(0)], rows[mid_at(1 + place)]
        with np.errstate(over="ignore", invalid="ignore"):
            returns = np.where(wild(begin, end), np.nan, (end - begin) / begin)
        eff = rows["eff"]
        columns = {name: rows[name] for name in ("sample_key", "ts", "symbol_key", "leads")}
        columns |= {f"value/{role}": rows[f"value/{role}"] for role in self._roles}
        return Table(columns | {"slot": eff - eff % self._ahead.quota.slot_ns, "return": returns})

    def _begin(self, batch: Batch) -> int:
        """The predictions of a batch, as far as the quota of their symbol goes; how many it left out."""
        features = batch.features
        values = {f"value/{role}": batch.scores[role].value for role in self._roles}
        answered = np.isfinite(np.array(list(values.values()))).any(axis=0)
        columns = {name: features[name] for name in ("eff", "ts", "sample_key", "symbol_key")}
        rows = Table(columns | values).take(np.flatnonzero(answered))
        number = self._ahead.number(rows)
        rows = rows.with_columns(leads=number == 0)
        taken = np.flatnonzero(number < self._ahead.quota.rows)
        if len(taken):
            self._ahead.begin(rows.take(taken))
        return len(rows) - len(taken)

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        return self._ahead.records()

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from all records that stand.

        Raises:
            StateError: one cannot be read.
        """
        self._ahead.restore(records)
