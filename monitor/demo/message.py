"""`Message`: one record of a generated stream, before any transport; and streams as files."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from monitor.transport.contract import FEATURES, ORDERS


class Message(NamedTuple):
    """`stream` is a logical name of the transport contract; `ts_ns` the record's own timestamp in the log,
    that is when it was published, not when the event happened."""

    stream: str
    key: bytes
    value: bytes
    ts_ns: int


def write_streams(directory: Path, messages: Iterable[Message]) -> dict[str, int]:
    """Write `features.jsonl` and `orders.jsonl`, one plain message a line; returns how many of each."""
    directory.mkdir(parents=True, exist_ok=True)
    counts = {FEATURES: 0, ORDERS: 0}
    with ExitStack() as files:
        out = {s: files.enter_context((directory / f"{s}.jsonl").open("wb")) for s in counts}
        for message in messages:
            out[message.stream].write(message.value + b"\n")
            counts[message.stream] += 1
    return counts
