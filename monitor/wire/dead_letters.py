"""Everything about bad messages: the closed list of reasons, the record kept, and the limit to them."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import MonitorError
from monitor.transport.contract import DEAD_LETTERS, Outgoing, Record

REASONS = (
    "",
    "empty",
    "oversize",
    "unknown_version",
    "undecodable",
    "not_an_object",
    "missing_field",
    "ill_typed",
    "non_finite",
    "out_of_range",
    "unknown_schema",
    "wrong_width",
    "unkeyed",
    "misrouted",
    "unknown_symbol",
    "bad_time",
    "off_lot",
    "quarantined",
    "late",
)
"""Why a message is a dead letter; column `reason` holds the position, 0 = it is none.

`quarantined` and `late` are found by judging in event time, all others by decoding. New ones go to the end.
"""

REASON_CODES = {name: code for code, name in enumerate(REASONS)}

KEPT_BYTES = 64 * 1024
"""How much of a bad message is kept."""

_DETAIL_CHARS = 500
_KEY_BYTES = 1024
_SHARE_WINDOW = 1000


class Rejection(NamedTuple):
    """Why a message cannot be used: `reason` of `REASONS`, `detail` for a person."""

    reason: str
    detail: str


class Rejected(MonitorError):
    """Raised at a message that cannot be used."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.rejection = Rejection(reason, detail)


def dead_letter(record: Record, topic: str, partition: int, reason: str, detail: str) -> Outgoing:
    """The record for the dead-letter topic: the bytes as they came, cut at 64 KiB, keyed as the original.

    `topic`, `partition`: where `record` was read. Headers hold the reason, the detail, length and SHA-256 of
    the whole original value, and where it lies.

    Raises:
        ValueError: `reason` is not one of `REASONS`.
    """
    if not reason or reason not in REASON_CODES:
        raise ValueError(f"dead letter without a reason of the list: {reason!r}")
    value = record.value or b""
    headers = {
        "schema-version": "1",
        "reason": reason,
        "detail": detail[:_DETAIL_CHARS],
        "length": str(len(value)),
        "sha256": hashlib.sha256(value).hexdigest(),
        "source-topic": topic,
        "source-partition": str(partition),
        "source-offset": str(record.offset),
    }
    return Outgoing(
        topic=DEAD_LETTERS,
        partition=None,
        key=(record.key or b"")[:_KEY_BYTES],
        value=value[:KEPT_BYTES],
        headers=tuple((name, text.encode(errors="replace")) for name, text in headers.items()),
    )


class DeadLetterLimit:
    """Says when nearly everything is bad, so that a bad release stops the daemon instead of draining a topic.

    Counts records of one input, never seconds, and judges after every record, so that batches make no
    difference: stop when more than `max_share` of the last 1,000 records were bad (not before 1,000 were
    seen), or when `max_run` came bad in a row.
    """

    def __init__(self, max_share: float, max_run: int) -> None:
        self._max_share, self._max_run = max_share, max_run
        self._recent = np.zeros(0, np.bool_)
        self._run = 0

    def update(self, bad: NDArray[np.bool_]) -> str | None:
        """Take the next records in log order, (n,) true where bad; the reason to stop, or None to go on."""
        if not len(bad):
            return None
        rows = np.arange(len(bad))
        last_good = np.maximum.accumulate(np.where(bad, -1, rows))
        runs = np.where(last_good < 0, rows + 1 + self._run, rows - last_good)
        self._run = int(runs[-1])
        window = np.concatenate([self._recent, bad])
        self._recent = window[-(_SHARE_WINDOW - 1) :]
        longest = int(runs.max())
        if longest >= self._max_run:
            return f"{self._max_run} records in a row are dead letters (dead_letters.max_run)"
        counts = np.concatenate([[0], np.cumsum(window)])
        shares = (counts[_SHARE_WINDOW:] - counts[:-_SHARE_WINDOW]) / _SHARE_WINDOW
        if len(shares) and shares.max() > self._max_share:
            return (
                f"more than {self._max_share:.0%} of the last {_SHARE_WINDOW} records are dead letters "
                "(dead_letters.max_share)"
            )
        return None
