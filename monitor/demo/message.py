"""`Message`: one record of a generated stream, before any transport."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """`stream` is a logical name of the transport contract; `ts_ns` the record's own timestamp in the log,
    that is when it was published, not when the event happened."""

    stream: str
    key: bytes
    value: bytes
    ts_ns: int
