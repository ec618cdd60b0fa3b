"""What one commit of a task holds, and when one is due. Pure: the partition task sends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from monitor.daemon.group import Group
from monitor.daemon.keeping import bond
from monitor.daemon.owner import Owner
from monitor.daemon.pipeline import Output, Pipeline
from monitor.engine import marks, partials
from monitor.policy.events import encode as encode_event
from monitor.state.records import (
    META,
    OWN,
    TASK,
    InputOffsets,
    Meta,
    OwnerOffsets,
    encode_meta,
    record_key,
    seal,
)
from monitor.transport.contract import ALERTS, JOURNAL, PARTIALS, STATE, STATUS, Outgoing

SCHEMA_VERSION = (("schema-version", b"1"),)
HEARTBEAT_NS = 5_000_000_000
STATUS_VALID_NS = 30_000_000_000
NOTHING_NEW_NS = 1_000_000_000


def due(*, decided: bool, fresh: bool, since_ns: int, interval_ns: int) -> bool:
    """At once when something was decided; every interval with something new; once a second without."""
    return decided or since_ns >= (interval_ns if fresh else NOTHING_NEW_NS)


def records(
    task: int,
    partitions: int,
    group: Group,
    pipeline: Pipeline,
    output: Output,
    owners: Iterable[Owner],
    strangers: Mapping[str, OwnerOffsets],
    now: int,
    *,
    heartbeat: bool,
) -> list[Outgoing]:
    """Partials, predictions, dead letters, journal, state and `meta`; of owners also decisions and status.

    `strangers`: where owners of deployments that are no longer configured stopped; kept for their return.
    """
    out = [Outgoing(PARTIALS, task, p.deployment.encode(), partials.encode(p)) for p in output.partials]
    out += output.predictions
    out += output.dead_letters
    out += [_journaled(task, mark) for mark in output.marks]
    for (name, _), fold in pipeline.folds.items():
        out += _state(task, group, TASK, name, fold.records())
    owned = dict(strangers)
    for owner in owners:
        fold2 = owner.fold
        key = owner.name.encode()
        out += [_journaled(task, mark) for mark in owner.marks]
        for event in fold2.decisions:
            lag = ("lag-ms", str((now - (event.data.to_ns or now)) // 1_000_000).encode())
            out.append(Outgoing(ALERTS, None, key, encode_event(event), (*SCHEMA_VERSION, lag)))
        if fold2.at is not None:
            if heartbeat:
                body = encode_event(fold2.decider.heartbeat(fold2.at))
                out.append(Outgoing(ALERTS, None, key, body, SCHEMA_VERSION))
            if heartbeat or fold2.decisions:
                status = fold2.decider.status(fold2.at, now + STATUS_VALID_NS)
                out.append(Outgoing(STATUS, None, key, status, SCHEMA_VERSION))
        out += _state(task, group, OWN, owner.name, fold2.records())
        owned[owner.name] = owner.offsets
    meta = Meta(
        partitions=partitions,
        watermark=pipeline.sequencer.watermark,
        inputs={
            stream: InputOffsets(m.seek, m.bound, m.read) for stream, m in pipeline.sequencer.metas().items()
        },
        sequence=pipeline.sequence,
        owners=owned,
    )
    out.append(Outgoing(STATE, task, META, encode_meta(meta)))
    return out


def _journaled(task: int, mark: marks.Mark) -> Outgoing:
    return Outgoing(JOURNAL, task, str(task).encode(), marks.encode(mark))


def _state(
    task: int, group: Group, scope: str, name: str, changed: Mapping[str, bytes | None]
) -> list[Outgoing]:
    out = []
    for key, value in changed.items():
        if value is None:
            out.append(Outgoing(STATE, task, record_key(scope, name, key), None))
        else:
            under = bond(group, group.deployments[name], scope, key)
            out.append(Outgoing(STATE, task, *seal(scope, name, key, under, value)))
    return out
