"""Outcomes (what came true for a feature event) -> columns. Knows no join and no statistic."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from monitor.transport.contract import OUTCOMES, Record
from monitor.wire.dead_letters import Rejected, Rejection
from monitor.wire.gate import Gate, Plugin, typed
from monitor.wire.keys import combine, hash64_many
from monitor.wire.messages import Outcome
from monitor.wire.symbols import SymbolTable
from monitor.wire.table import Table


class OutcomeDecoder:
    """Records of the outcome stream as columns, rejected rows too, in the order given.

    `partition`, `partitions`, `partitioner`, `decoder`, `clock`: as `gate.Gate` has them.
    """

    def __init__(
        self,
        symbols: SymbolTable,
        partition: int | None = None,
        partitions: int | None = None,
        partitioner: str = "murmur2",
        decoder: Plugin | None = None,
        clock: str = "event",
    ) -> None:
        self._gate = Gate(OUTCOMES, symbols, partition, partitions, partitioner, decoder, clock)
        self._typed = msgspec.json.Decoder(Outcome)

    def decode(self, records: Sequence[Record]) -> Table:
        """Columns of `docs/architecture.md` for n records: the common ones, `event_id`, `event_key` (64-bit
        hash of `event_id`), `label` (NaN where rejected). `dedupe_key` is of (symbol, event_id)."""
        n = len(records)
        ts, codes, label = np.zeros(n, np.int64), np.full(n, -1, np.int32), np.full(n, np.nan)
        event_ids = [""] * n
        rejected: dict[int, Rejection] = {}
        for row, record in enumerate(records):
            try:
                outcome = typed(self._typed, self._gate.open(record))
                code = self._gate.place(outcome.symbol, record.key)
                moment = self._gate.time(outcome.ts_ns, record.timestamp_ns)
            except Rejected as why:
                rejected[row] = why.rejection
                continue
            ts[row], codes[row], label[row], event_ids[row] = moment, code, outcome.label, outcome.event_id
        columns = self._gate.columns(records, ts, codes, rejected)
        event_key = hash64_many(event_ids)
        dedupe_key = combine(columns["symbol_key"], event_key)
        dedupe_key[list(rejected)] = event_key[list(rejected)] = 0
        ids = np.array(event_ids, object)
        return Table(
            columns | {"dedupe_key": dedupe_key, "event_id": ids, "event_key": event_key, "label": label}
        )
