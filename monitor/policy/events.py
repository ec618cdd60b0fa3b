"""What is published: CloudEvents 1.0 envelopes, the decision's data, deterministic ids and instants.

Nothing here decides; the decider fills the fields, the audit chain seals them.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

from monitor.policy.canonical import canonical_json, digest
from monitor.policy.rules import Action, Labels

EVIDENCE_LIMIT = 64 * 1024
"""Most bytes of canonical JSON that `evidence` may take."""

SCHEMA = "urn:shadow-monitor:schema:{}:1"


class EventType(StrEnum):
    """The closed list of event types."""

    ALERT = "io.shadowmonitor.alert.v1"
    DEMOTE = "io.shadowmonitor.demote.v1"
    ROLLBACK = "io.shadowmonitor.rollback.v1"
    REDUCE = "io.shadowmonitor.reduce.v1"
    KILL_SWITCH = "io.shadowmonitor.kill_switch.v1"
    RESET = "io.shadowmonitor.reset.v1"
    COMMAND = "io.shadowmonitor.command.v1"
    HEARTBEAT = "io.shadowmonitor.heartbeat.v1"


TYPE_OF = {
    Action.ALERT: EventType.ALERT,
    Action.DEMOTE: EventType.DEMOTE,
    Action.ROLLBACK: EventType.ROLLBACK,
    Action.REDUCE: EventType.REDUCE,
    Action.KILL: EventType.KILL_SWITCH,
}
"""Event type of an action that moved a latch."""


class Artifact(msgspec.Struct, frozen=True):
    """A model artifact as decisions name it."""

    artifact_id: str
    sha256: str


class DecisionData(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of every event of the audit chain; None is "not known" or "does not apply".

    Times are ns since the Unix epoch; money is decimal text; `window` is in seconds, or `session` or
    `promotion`. `inputs` maps "topic-partition" to the smallest and largest offset of the window's panes.
    Fields without a value where UNSET stands are left out: they belong to some event types only.
    """

    deployment: str
    tenant: str | None
    subject: str
    epoch: int
    episode: int | None = None
    rule: str | None = None
    metric: str | None = None
    labels: dict[str, str] = {}
    value: float | int | str | None = None
    threshold: float | str | None = None
    comparator: str | None = None
    window: float | int | str | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    n: int | None = None
    consecutive: int | None = None
    status: str | None = None
    stale: bool = False
    phase: str | None = None
    severity: str | None = None
    action: str | None = None
    scope: str | None = None
    state_from: str | None = None
    state_to: str | None = None
    reason: str
    active: Artifact | None = None
    shadow: Artifact | None = None
    rollback_target: Artifact | msgspec.UnsetType | None = msgspec.UNSET
    evidence: dict[str, Any] = {}
    inputs: dict[str, tuple[int, int]] = {}
    policy_sha256: str
    config_sha256: str
    dry_run: bool = False
    actor: str | None = None
    command_id: str | msgspec.UnsetType = msgspec.UNSET
    ts_ns: int | msgspec.UnsetType = msgspec.UNSET
    accepted: bool | msgspec.UnsetType = msgspec.UNSET
    sequence: int = 0
    prev_hash: str = ""
    hash: str | msgspec.UnsetType = msgspec.UNSET


class HeartbeatData(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of a heartbeat: the head of the audit chain as of the last evaluated instant."""

    deployment: str
    tenant: str | None
    epoch: int
    as_of_ns: int
    sequence: int
    hash: str


D = TypeVar("D", bound=msgspec.Struct)


class CloudEvent(msgspec.Struct, Generic[D], frozen=True, kw_only=True):
    """A CloudEvents 1.0 envelope in JSON format; `time` is event time, `source` the deployment."""

    specversion: str = "1.0"
    id: str
    source: str
    type: EventType
    time: str
    subject: str
    datacontenttype: str = "application/json"
    dataschema: str
    data: D


Decision = CloudEvent[DecisionData]
Heartbeat = CloudEvent[HeartbeatData]


def rfc3339(ns: int) -> str:
    """An instant in UTC with nine fractional digits, e.g. `2024-05-01T09:30:00.123456789Z`."""
    seconds, fraction = divmod(ns, 1_000_000_000)
    whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def event_id(
    deployment: str,
    policy: str,
    rule: str,
    labels: Labels,
    subject: str,
    episode: int,
    kind: str,
    time_ns: int,
) -> str:
    """Id of a rule's event: the same decision has the same id wherever and how often it is derived."""
    return digest([deployment, policy, rule, labels, subject, episode, kind, time_ns])[:32]


def command_event_id(deployment: str, command_id: str) -> str:
    """Id of the one event that answers a command."""
    return digest([deployment, "command", command_id])[:32]


def capped(evidence: dict[str, Any]) -> dict[str, Any]:
    """The evidence, or where it exceeds `EVIDENCE_LIMIT` its size and SHA-256; `inputs` names the log."""
    body = canonical_json(evidence)
    if len(body) <= EVIDENCE_LIMIT:
        return evidence
    return {"omitted": {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), "see": "inputs"}}


def build(kind: EventType, event_id: str, time_ns: int, data: DecisionData) -> Decision:
    """An unsealed event of the audit chain."""
    return CloudEvent(
        id=event_id,
        source=data.deployment,
        type=kind,
        time=rfc3339(time_ns),
        subject=data.subject,
        dataschema=SCHEMA.format("decision"),
        data=data,
    )


def heartbeat(data: HeartbeatData) -> Heartbeat:
    """A heartbeat; it stands outside the chain and shows where its head is."""
    return CloudEvent(
        id=digest([data.deployment, "heartbeat", data.as_of_ns, data.sequence])[:32],
        source=data.deployment,
        type=EventType.HEARTBEAT,
        time=rfc3339(data.as_of_ns),
        subject=data.deployment,
        dataschema=SCHEMA.format("heartbeat"),
        data=data,
    )


def encode(event: CloudEvent[Any]) -> bytes:
    """The bytes that are published: canonical JSON."""
    return canonical_json(msgspec.to_builtins(event))
