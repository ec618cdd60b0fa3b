"""Execution reports -> columns, the report itself beside them. Checks what a kind needs; keeps no book."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Context, Decimal

import msgspec
import numpy as np

from monitor.transport.contract import ORDERS, Record
from monitor.wire.dead_letters import Rejected, Rejection
from monitor.wire.gate import Gate, Plugin, typed
from monitor.wire.keys import combine, hash64_many
from monitor.wire.messages import REQUIRED_BY_KIND, ExecutionReport
from monitor.wire.symbols import SymbolTable
from monitor.wire.table import Table

MAX_ADJUSTED = 24
MIN_EXPONENT = -36
"""A quantity or price has at most 25 digits before the point and 36 after it: exact arithmetic on what a
message can hold stays small."""

_EXACT = Context(prec=MAX_ADJUSTED + 1 - MIN_EXPONENT + 40, traps=[])


class OrderDecoder:
    """Records of the order stream as columns, rejected rows too, in the order given.

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
        self._symbols = symbols
        self._gate = Gate(ORDERS, symbols, partition, partitions, partitioner, decoder, clock)
        self._typed = msgspec.json.Decoder(ExecutionReport)

    def decode(self, records: Sequence[Record]) -> Table:
        """Columns of `docs/architecture.md` for n records: the common ones and `report`, an
        `ExecutionReport` or None where rejected. `dedupe_key` is of (account, symbol, exec_id)."""
        n = len(records)
        ts, codes = np.zeros(n, np.int64), np.full(n, -1, np.int32)
        reports = np.full(n, None, object)
        accounts, exec_ids = [""] * n, [""] * n
        rejected: dict[int, Rejection] = {}
        for row, record in enumerate(records):
            try:
                report = typed(self._typed, self._gate.open(record))
                code = self._gate.place(report.symbol, record.key)
                moment = self._gate.time(report.ts_ns, record.timestamp_ns)
                check(report, self._symbols.lot_size(code))
            except Rejected as why:
                rejected[row] = why.rejection
                continue
            ts[row], codes[row], reports[row] = moment, code, report
            accounts[row], exec_ids[row] = report.account or "", report.exec_id
        columns = self._gate.columns(records, ts, codes, rejected)
        keys = combine(hash64_many(accounts), columns["symbol_key"], hash64_many(exec_ids))
        keys[list(rejected)] = 0
        return Table(columns | {"dedupe_key": keys, "report": reports})


def check(report: ExecutionReport, lot_size: Decimal) -> None:
    """What the type of a report cannot say: fields its kind needs, finite and bounded numbers, whole lots.

    The quantities of a `reject` are as wrong as the order was, and are let pass.

    Raises:
        Rejected: missing_field, non_finite, out_of_range, off_lot.
    """
    for name in REQUIRED_BY_KIND.get(report.kind, ()):
        if getattr(report, name) is None:
            raise Rejected("missing_field", f"`{name}` is required of a {report.kind}")
    for name, number in _numbers(report):
        if not number.is_finite():
            raise Rejected("non_finite", f"`{name}` is {number}")
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        if number and (number.adjusted() > MAX_ADJUSTED or exponent < MIN_EXPONENT):
            raise Rejected("out_of_range", f"`{name}` has too many digits")
        field = name.rpartition(".")[2]
        if field == "last_quantity" and number <= 0:
            raise Rejected("out_of_range", f"`{name}` is {number}, a fill is of more than nothing")
        if "quantity" in field and report.kind != "reject" and _EXACT.remainder(number, lot_size) != 0:
            raise Rejected("off_lot", f"`{name}` {number} is not a multiple of the lot size {lot_size}")


def _numbers(report: ExecutionReport) -> Iterator[tuple[str, Decimal]]:
    for holder, prefix in ((report, ""), (report.undoes, "undoes.")):
        for name in _EXACT_FIELDS:
            number = getattr(holder, name, None)
            if number is not None:
                yield prefix + name, number


_EXACT_FIELDS = (
    "limit_price",
    "quantity",
    "price",
    "last_quantity",
    "last_price",
    "cum_quantity",
    "fee",
    "amount",
)
