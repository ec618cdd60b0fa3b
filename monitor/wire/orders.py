"""Execution reports -> columns, the report itself beside them. Checks what a kind needs; keeps no book."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, Subnormal

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.transport.contract import ORDERS, Record
from monitor.wire.claims import Claim, claim_of
from monitor.wire.dead_letters import Rejected, Rejection
from monitor.wire.gate import (
    MAX_BYTES,
    MAX_TS_NS,
    SHALLOW_BYTES,
    UNUSUAL,
    Gate,
    Plugin,
    Unusual,
    readable,
    too_deep,
    typed,
)
from monitor.wire.keys import combine, hash64, hash64_many
from monitor.wire.messages import REQUIRED_BY_KIND, ExecutionReport
from monitor.wire.symbols import SymbolTable
from monitor.wire.table import Table

MAX_ADJUSTED, MIN_ADJUSTED = 24, -36
MAX_CHARS = 64
"""A number's first digit stands at 10^24 at most and 10^-36 at least, and it is written in at most 64
characters: exact arithmetic on what a message can hold stays small."""

_EXACT = Context(prec=200)
_few_digits = Context(
    prec=28, Emax=MAX_ADJUSTED, Emin=MIN_ADJUSTED, traps=[Inexact, Overflow, Subnormal, InvalidOperation]
).plus
"""Raises at a number that is out of bounds, and at some long ones that are within."""

_ZERO = Decimal(0)
_FILLS = frozenset(("partial_fill", "fill"))
_EXECUTED = _FILLS | {"bust", "correct"}
_LIFE = frozenset(("new", "ack", "cancel", "expire"))

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
        `ExecutionReport` or None where rejected, and `claim`, the `Claim` of a rejected record that can be
        read as an object, else None. `dedupe_key` is of (account, symbol, exec_id).

        The usual report is taken as it is; whatever is unusual about one sends it through `_judge`, which
        alone defines what is refused and why.
        """
        reports: list[ExecutionReport | None] = []
        ts: list[int] = []
        codes: list[int] = []
        accounts: list[str] = []
        exec_ids: list[str] = []
        rejected: dict[int, Rejection] = {}
        claims: dict[int, Claim | None] = {}
        gate, decode, lots = self._gate, self._typed.decode, self._symbols.lot_sizes
        homes, plain, keyed, by_record_clock = gate.homes, gate.plain, gate.keyed, gate.by_record_clock
        report: ExecutionReport | None
        for record in records:
            _, stamp, key, value, headers = record
            try:
                try:
                    if value is None or not plain or (headers and not readable(headers)):
                        raise Unusual
                    if len(value) > SHALLOW_BYTES and (len(value) > MAX_BYTES or too_deep(value)):
                        raise Unusual
                    if not value.isascii():
                        value.decode()
                    report = decode(value)
                    moment = stamp if by_record_clock else report.ts_ns
                    symbol, code = homes[key if keyed else report.symbol]
                    if symbol != report.symbol or not 0 < moment <= MAX_TS_NS:
                        raise Unusual
                    if not _plain(report, lots[code]):
                        raise Unusual
                except UNUSUAL:
                    report, moment, code = self._judge(record)
                account, exec_id = report.account or "", report.exec_id
            except Rejected as why:
                rejected[len(reports)] = why.rejection
                claims[len(reports)] = self._claim(record)
                report, moment, code, account, exec_id = None, 0, -1, "", ""
            reports.append(report)
            ts.append(moment)
            codes.append(code)
            accounts.append(account)
            exec_ids.append(exec_id)
        columns = gate.columns(records, np.array(ts, np.int64), np.array(codes, np.int32), rejected)
        keys = combine(self._hashed(accounts), columns["symbol_key"], hash64_many(exec_ids))
        keys[list(rejected)] = 0
        # Assigned, each would be asked first whether it is a sequence.
        said = np.fromiter(reports, object, len(reports))
        claim = np.full(len(reports), None, object)
        for row, names in claims.items():
            claim[row] = names
        return Table(columns | {"dedupe_key": keys, "report": said, "claim": claim})

    def _hashed(self, accounts: list[str]) -> NDArray[np.uint64]:
        """(n,) hashes of n accounts, of which there are few."""
        hashes = {name: hash64(name.encode()) for name in set(accounts)}
        return np.fromiter(map(hashes.__getitem__, accounts), np.uint64, len(accounts))

    def _claim(self, record: Record) -> Claim | None:
        try:
            return claim_of(self._gate.open(record))
        except Rejected:
            return None

    def _judge(self, record: Record) -> tuple[ExecutionReport, int, int]:
        """Any record at all: its report, time and symbol.

        Raises:
            Rejected: with every reason that decoding knows.
        """
        report = typed(self._typed, self._gate.open(record))
        code = self._gate.place(report.symbol, record.key)
        moment = self._gate.time(report.ts_ns, record.timestamp_ns)
        check(report, self._symbols.lot_sizes[code])
        return report, moment, code


def _plain(report: ExecutionReport, lot_size: Decimal) -> bool:
    """Whether `check` passes without a closer look: of an order or a fill, with few digits."""
    ordered, last, done = report.quantity, report.last_quantity, report.cum_quantity
    limit, price, fee = report.limit_price, report.last_price, report.fee
    try:
        if report.kind in _FILLS:
            if report.side is None or last is None or price is None:
                return False
            if last <= _ZERO or last % lot_size:
                return False
        elif report.kind not in _LIFE:
            return False
        return not (
            (last is not None and not _few_digits(last).is_finite())
            or (ordered is not None and not _few_digits(ordered).is_finite())
            or (done is not None and not _few_digits(done).is_finite())
            or (limit is not None and not _few_digits(limit).is_finite())
            or (price is not None and not _few_digits(price).is_finite())
            or (fee is not None and not _few_digits(fee).is_finite())
            or report.price is not None
            or report.amount is not None
            or report.undoes is not None
        )
    except ArithmeticError:
        return False


def check(report: ExecutionReport, lot_size: Decimal) -> None:
    """What the type of a report cannot say: fields its kind needs, finite and bounded numbers, and whole lots
    of what is executed or held. What an order asks for may be anything: a fill of it is a fill.

    Raises:
        Rejected: missing_field, non_finite, out_of_range, off_lot.
    """
    for name in REQUIRED_BY_KIND.get(report.kind, ()):
        if getattr(report, name) is None:
            raise Rejected("missing_field", f"`{name}` is required of a {report.kind}")
    counted = "quantity" if report.kind == "position" else "last_quantity" if report.kind in _EXECUTED else ""
    _check_numbers("", _NUMBERS, msgspec.structs.astuple(report)[_OF_REPORT], counted, lot_size)
    old = report.undoes
    if old is not None:
        numbers = (old.last_quantity, old.last_price, old.fee)
        names = ("last_quantity", "last_price", "fee")
        _check_numbers("undoes.", names, numbers, "last_quantity", lot_size)


def _check_numbers(
    prefix: str,
    names: tuple[str, ...],
    numbers: tuple[Decimal | None, ...],
    counted: str,
    lot_size: Decimal,
) -> None:
    """`counted`: the one that is a number of lots."""
    for name, number in zip(names, numbers, strict=True):
        if number is None:
            continue
        if not number.is_finite():
            raise Rejected("non_finite", f"`{prefix}{name}` is {number}")
        if not MIN_ADJUSTED <= number.adjusted() <= MAX_ADJUSTED or len(str(number)) > MAX_CHARS:
            raise Rejected("out_of_range", f"`{prefix}{name}` has too many digits")
        if name != counted:
            continue
        if name == "last_quantity" and number <= 0:
            raise Rejected("out_of_range", f"`{prefix}{name}` is {number}, a fill is of more than nothing")
        if not _whole(number, lot_size):
            text = f"`{prefix}{name}` {number} is not a multiple of the lot size {lot_size}"
            raise Rejected("off_lot", text)


def _whole(number: Decimal, lot_size: Decimal) -> bool:
    try:
        return not number % lot_size
    except InvalidOperation:
        # More lots than the precision of the usual arithmetic can count.
        return not _EXACT.remainder(number, lot_size)
