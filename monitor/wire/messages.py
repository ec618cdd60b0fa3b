"""The messages of the contract as types; JSON Schemas are generated from here. Knows no columns.

Unknown fields are ignored. Decimals are read from JSON numbers or strings as decimal text, so that they are
exact. What a type cannot say (fields that a kind requires, lots, bounds) is checked by the decoders.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

SCHEMA_VERSION = "1"
"""Major version in header `schema-version`; absent means this one."""

Identifier = Annotated[str, Meta(min_length=1, max_length=1024)]

Time = Annotated[
    int,
    Meta(
        description="Integer nanoseconds since the Unix epoch, UTC, of the event itself.",
        extra_json_schema={"exclusiveMinimum": 0},
    ),
]

Exact = Annotated[Decimal, Meta(description="Decimal text or a JSON number; exact.")]

Cell = float | str | bool | None

Cells = Annotated[
    list[Cell] | dict[str, Cell],
    Meta(description="Values in the order of the schema, or by name; null is missing; may be a superset."),
]

Price = Annotated[float | str | None, Meta(description="A number or decimal text.")]
Version = str | int | None
Side = Literal["buy", "sell"]
Kind = Literal[
    "new", "ack", "partial_fill", "fill", "cancel", "reject", "expire", "correct", "bust", "position", "cash"
]
Action = Literal[
    "ack",
    "pause",
    "resume",
    "rollback",
    "demote",
    "abort",
    "kill",
    "reset",
    "advance",
    "promote",
    "retrain",
    "attest",
    "reload",
]
Scope = Literal["trading", "model", "serving"]

REQUIRED_BY_KIND: dict[str, tuple[str, ...]] = {
    "partial_fill": ("side", "last_quantity", "last_price"),
    "fill": ("side", "last_quantity", "last_price"),
    "bust": ("side", "last_quantity", "last_price"),
    "correct": ("side", "last_quantity", "last_price", "undoes"),
    "position": ("quantity", "price"),
    "cash": ("amount", "currency"),
}
"""Fields that an execution report of a kind needs beyond those that every report needs."""


class Served(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What production answered for a feature event. Any `status` but `ok` counts as failed; without a
    status, an answer with a prediction is `ok`."""

    model_version: str | None = None
    arm: str | None = None
    prediction: float | None = None
    status: str | None = None
    latency_ms: float | None = None
    cache_hit: bool | None = None


class FeatureEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One row of features as production saw it."""

    event_id: Identifier
    ts_ns: Time
    symbol: Identifier
    features: Cells
    schema_crc32: int | None = None
    feature_version: Version = None
    price: Price = None
    bid: Price = None
    ask: Price = None
    store_hits: int | None = None
    store_lookups: int | None = None
    served: Served | None = None


class Tags(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which model stood behind an order."""

    model_version: str | None = None
    model_run_id: str | None = None
    feature_version: Version = None
    dataset_manifest_id: str | None = None
    onnx_model: str | None = None
    inference_latency_ms: float | None = None
    deployed_at: str | int | None = None


class Undoes(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The economics that a `correct` takes back."""

    side: Side
    last_quantity: Exact
    last_price: Exact
    fee: Exact | None = None
    fee_currency: str | None = None


class ExecutionReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One execution report. `position` is an opening or reconciled position (signed `quantity`, `price` =
    average cost), `cash` funding, dividends and transfers. `exec_id` is unique per (`account`, `symbol`).
    A `bust` repeats the economics of what it undoes; a `correct` carries the new and, in `undoes`, the old.
    """

    order_id: str
    exec_id: Identifier
    ts_ns: Time
    symbol: Identifier
    kind: Kind
    side: Side | None = None
    order_type: str | None = None
    time_in_force: str | None = None
    limit_price: Exact | None = None
    quantity: Exact | None = None
    price: Exact | None = None
    last_quantity: Exact | None = None
    last_price: Exact | None = None
    cum_quantity: Exact | None = None
    fee: Exact | None = None
    amount: Exact | None = None
    fee_currency: str | None = None
    currency: str | None = None
    account: str | None = None
    strategy: str | None = None
    exec_ref_id: str | None = None
    reason: str | None = None
    feature_event_id: str | None = None
    prediction: float | None = None
    tags: Tags | None = None
    undoes: Undoes | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What came true for a feature event."""

    event_id: Identifier
    ts_ns: Time
    symbol: Identifier
    label: float | bool


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """An order from a person to a deployment. `scope` belongs to a `kill`."""

    command_id: Identifier
    ts_ns: Time
    actor: Identifier
    reason: Identifier
    action: Action
    deployment: Identifier
    subject: str | None = None
    scope: Scope | None = None
    expected_epoch: int | None = None
    attestation: dict[str, Any] | str | None = None
    signature: str | None = None


class RoleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How one role answered: `value` is null unless `status` is `ok`, `latency_ns` null where unmeasured."""

    value: float | None
    latency_ns: int | None
    status: str


class PredictionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What every role predicted for one feature event."""

    deployment: str
    event_id: str
    ts_ns: Time
    symbol: str
    roles: dict[str, RoleAnswer]


class LatchState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a subject's latch stands. Of a halted deployment, `scopes` of its kills and in `scope` the one
    that weighs most."""

    state: str
    scope: Scope | None = None
    scopes: tuple[Scope, ...] = ()


class StatusRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Latches by subject, for a trading engine to read at start; past `valid_until_ns` it goes to reduce-only
    by itself."""

    deployment: str
    epoch: int
    latches: dict[str, LatchState]
    last_event_id: str | None
    as_of_ns: int
    valid_until_ns: int
