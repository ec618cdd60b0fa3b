"""Execution reports -> columns, the report itself beside them. Checks what a kind needs; keeps no book."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal, InvalidOperation

import msgspec
import numpy as np

from monitor.transport.contract import ORDERS, Record
from monitor.wire.dead_letters import Rejected, Rejection
from monitor.wire.gate import Gate, Plugin, typed
from monitor.wire.keys import combine, hash64_many
from monitor.wire.messages import REQUIRED_BY_KIND, ExecutionReport
from monitor.wire.symbols import SymbolTable
from monitor.wire.table import Table

MAX_ADJUSTED, MIN_ADJUSTED = 24, -36
MAX_CHARS = 64
"""A number's first digit stands at 10^24 at most and 10^-36 at least, and it is written in at most 64
characters: exact arithmetic on what a message can hold stays small."""

_EXACT = Context(prec=200)
_QUANTITIES = ("quantity", "last_quantity", "cum_quantity")

# The decimals of a report lie side by side in its fields.
_NUMBERS = (
    "limit_price",
    "quantity",
    "price",
    "last_quantity",
    "last_price",
    "cum_quantity",
    "fee",
    "amount",
)
_FIRST = ExecutionReport.__struct_fields__.index(_NUMBERS[0])
_OF_REPORT = slice(_FIRST, _FIRST + len(_NUMBERS))


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
        ts, codes = [0] * len(records), [-1] * len(records)
        accounts, exec_ids = [""] * len(records), [""] * len(records)
        reports = np.full(len(records), None, object)
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
        columns = self._gate.columns(records, np.array(ts, np.int64), np.array(codes, np.int32), rejected)
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
    lots = None if report.kind == "reject" else lot_size
    _check_numbers("", _NUMBERS, msgspec.structs.astuple(report)[_OF_REPORT], lots)
    old = report.undoes
    if old is not None:
        numbers = (old.last_quantity, old.last_price, old.fee)
        _check_numbers("undoes.", ("last_quantity", "last_price", "fee"), numbers, lots)


def _check_numbers(
    prefix: str, names: tuple[str, ...], numbers: tuple[Decimal | None, ...], lot_size: Decimal | None
) -> None:
    for name, number in zip(names, numbers, strict=True):
        if number is None:
            continue
        if not number.is_finite():
            raise Rejected("non_finite", f"`{prefix}{name}` is {number}")
        if not MIN_ADJUSTED <= number.adjusted() <= MAX_ADJUSTED or len(str(number)) > MAX_CHARS:
            raise Rejected("out_of_range", f"`{prefix}{name}` has too many digits")
        if name not in _QUANTITIES:
            continue
        if name == "last_quantity" and number <= 0:
            raise Rejected("out_of_range", f"`{prefix}{name}` is {number}, a fill is of more than nothing")
        if lot_size is not None and not _whole(number, lot_size):
            text = f"`{prefix}{name}` {number} is not a multiple of the lot size {lot_size}"
            raise Rejected("off_lot", text)


def _whole(number: Decimal, lot_size: Decimal) -> bool:
    try:
        return not number % lot_size
    except InvalidOperation:
        # More lots than the precision of the usual arithmetic can count.
        return not _EXACT.remainder(number, lot_size)
