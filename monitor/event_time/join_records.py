"""Rows of a join's side as state records: what is kept of a table, and its bytes by slice of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.wire.table import Table

Columns = Mapping[str, str]
"""Names and NumPy dtypes of what is held of a side beside `key` (u8) and `eff` (i8)."""


class _Slice(msgspec.Struct, frozen=True, array_like=True):
    """Rows of one slice of time as bytes; `eff` from its start. A column that equals `eff` is left out;
    floats are in 32 bits where that loses nothing."""

    keys: bytes
    eff: bytes
    columns: dict[str, bytes]


def kept(rows: Table | None, columns: Columns) -> Table:
    """Of the caller's rows what is kept."""
    kinds = {"key": "u8", "eff": "i8", **columns}
    if rows is None:
        return Table({c: np.empty(0, kind) for c, kind in kinds.items()})
    return Table({c: rows[c].astype(kind, copy=False) for c, kind in kinds.items()})


def encode(rows: Table, start: int, columns: Columns) -> bytes:
    """At least one row, none before `start`."""
    eff = rows["eff"]
    within = eff - start
    return msgspec.msgpack.encode(
        _Slice(
            _bytes(rows["key"], "u8"),
            _bytes(within, "u4" if int(within.max()) < 1 << 32 else "u8"),
            {c: _bytes(rows[c], kind) for c, kind in columns.items() if not np.array_equal(rows[c], eff)},
        )
    )


def _bytes(values: NDArray[Any], kind: str) -> bytes:
    if kind == "f8":
        with np.errstate(over="ignore", under="ignore"):
            single = values.astype("<f4")
        if np.array_equal(single.astype(np.float64), values, equal_nan=True):
            return single.tobytes()
    return values.astype(np.dtype(kind).newbyteorder("<")).tobytes()


def decode(data: bytes, start: int, columns: Columns) -> Table:
    """The rows that `encode` wrote.

    Raises:
        msgspec.DecodeError, ValueError: the bytes are no such rows.
    """
    found = msgspec.msgpack.decode(data, type=_Slice)
    key = _array(found.keys, "u8")
    eff = start + _array(found.eff, "u4" if len(found.eff) == 4 * len(key) else "u8").astype(np.int64)
    kept = {c: eff.astype(kind) for c, kind in columns.items() if c not in found.columns}
    for c, written in found.columns.items():
        kept[c] = _array(written, _kind(written, columns[c], len(key))).astype(columns[c])
    if any(len(column) != len(key) for column in (eff, *kept.values())):
        raise ValueError("its columns are not equally long")
    return Table({"key": key, "eff": eff, **kept})


def _kind(data: bytes, kind: str, n: int) -> str:
    return "f4" if kind == "f8" and len(data) == 4 * n else kind


def _array(data: bytes, kind: str) -> NDArray[Any]:
    return np.frombuffer(data, np.dtype(kind).newbyteorder("<")).astype(kind)
