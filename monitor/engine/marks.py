"""`Mark`: what the log does not hold, journaled in the commit in which the core was told.

Of a task: `Behind`, `Observed`, `Effective`; of an owner: `Start`, `Missing`, `Applied`, `Old`.
"""

from __future__ import annotations

import msgspec


class Behind(msgspec.Struct, frozen=True, tag="behind", kw_only=True):
    """Rows (offsets of one input, in this order) came behind, and were folded at `watermark`."""

    task: int
    stream: str
    offsets: list[int]
    watermark: int
    sequence: int


class Observed(msgspec.Struct, frozen=True, tag="observed", kw_only=True):
    """How a role answered one scored batch.

    `runs`: the batch's feature offsets as runs (first, count); `latency_ns`: its rows' latencies, in the same
    order, as runs (latency, count); `status`: by offset, of the rows whose answer a replay of the model would
    not give again (`engine.rows.ScoreStatus`).
    """

    task: int
    deployment: str
    role: str
    runs: list[tuple[int, int]]
    latency_ns: list[tuple[int, int]]
    status: dict[int, int] = {}


class Effective(msgspec.Struct, frozen=True, tag="effective", kw_only=True):
    """A task's panes are made under `digest` from here on, and its inputs are read from these `offsets`.

    Said when a task begins without state, and when it finds state of another configuration.
    """

    task: int
    deployment: str
    digest: str
    watermark: int
    offsets: dict[str, int]


class Start(msgspec.Struct, frozen=True, tag="start", kw_only=True):
    """The owner's grid starts at `at`: at first, and anew after a silence longer than any window."""

    deployment: str
    at: int


class Missing(msgspec.Struct, frozen=True, tag="missing", kw_only=True):
    """`at` was evaluated without these tasks."""

    deployment: str
    at: int
    tasks: list[int]


class Applied(msgspec.Struct, frozen=True, tag="applied", kw_only=True):
    """The command at `offset` of `partition` was applied after instant `at` (None: before any)."""

    deployment: str
    partition: int
    offset: int
    at: int | None


class Old(msgspec.Struct, frozen=True, tag="old", kw_only=True):
    """`at` was evaluated `age_ns` late: a rule's `act_within` had passed, and that changed a decision."""

    deployment: str
    at: int
    age_ns: int


Mark = Behind | Observed | Effective | Start | Missing | Applied | Old

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Mark] = msgspec.json.Decoder(Mark)


def encode(mark: Mark) -> bytes:
    """JSON, tagged by `type`."""
    return _encoder.encode(mark)


def decode(data: bytes) -> Mark:
    """The mark back.

    Raises:
        msgspec.DecodeError: not a mark of this version.
    """
    return _decoder.decode(data)
