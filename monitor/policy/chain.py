"""The audit chain: one sequence of events per deployment, each sealed with the hash of the one before.

Without a key the chain shows accidents, not attackers: whoever can rewrite the topic can rewrite the hashes.
With a key (HMAC-SHA256) only its holders can make a chain that verifies.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from monitor.policy.canonical import canonical_json
from monitor.policy.events import Decision, EventType


class Head(NamedTuple):
    """The newest event of a chain; (0, "") before the first."""

    sequence: int = 0
    hash: str = ""


class Chain:
    """Seals events in order; `head` is all it remembers."""

    def __init__(self, head: Head = Head(), key: bytes | None = None) -> None:  # noqa: B008 - immutable
        self.head = head
        self._key = key

    def seal(self, event: Decision) -> Decision:
        """The event with `sequence`, `prev_hash` and `hash`; moves the head."""
        data = replace(
            event.data, sequence=self.head.sequence + 1, prev_hash=self.head.hash, hash=msgspec.UNSET
        )
        event = replace(event, data=data)
        sealed = _hash(msgspec.to_builtins(event), self._key)
        self.head = Head(data.sequence, sealed)
        return replace(event, data=replace(data, hash=sealed))


def _hash(event: Mapping[str, Any], key: bytes | None) -> str:
    """Hash of a whole CloudEvent with `data.hash` left out."""
    data = {name: value for name, value in event["data"].items() if name != "hash"}
    body = canonical_json({**event, "data": data})
    if key is None:
        return hashlib.sha256(body).hexdigest()
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def verify(
    events: Iterable[Mapping[str, Any]],
    heads: Mapping[str, Head] | None = None,
    first: int = 1,
    key: bytes | None = None,
) -> list[str]:
    """Complaints about the chains in a stream of parsed events, in order; empty where all hold.

    Finds events that are changed, missing, reordered, inserted or doubled, and, given the head, a tail that
    is cut off. Heads come from `heads` (by deployment) and from the heartbeats among the events. `first` is
    the sequence at which the retained part begins.
    """
    chains: dict[str, list[_Link]] = {}
    newest = dict(heads or {})
    complaints = []
    for position, event in enumerate(events, start=1):
        link = _link(event, position, key)
        if isinstance(link, str):
            complaints.append(link)
        elif event.get("type") == EventType.HEARTBEAT:
            head = Head(link.sequence, link.hash)
            newest[link.source] = max(newest.get(link.source, head), head, key=lambda h: h.sequence)
            chains.setdefault(link.source, [])
        else:
            chains.setdefault(link.source, []).append(link)
    for source in sorted(chains.keys() | newest.keys()):
        complaints += _verify_chain(source, chains.get(source, []), newest.get(source), first)
    return complaints


class _Link(NamedTuple):
    """What matters of one event to the chain; `computed` is its own hash, which a heartbeat has not."""

    source: str
    id: str
    position: int
    sequence: int
    prev_hash: str
    hash: str
    computed: str | None


def _link(event: Mapping[str, Any], position: int, key: bytes | None) -> _Link | str:
    data = event.get("data")
    if not isinstance(data, Mapping):
        return f"event {position} has no data: inserted"
    sequence, stated = data.get("sequence"), data.get("hash")
    source, name = event.get("source"), event.get("id")
    if not (
        isinstance(source, str)
        and isinstance(name, str)
        and isinstance(sequence, int)
        and isinstance(stated, str)
    ):
        return f"event {position} ({name}) has no source, id, sequence or hash: inserted or changed"
    beat = event.get("type") == EventType.HEARTBEAT
    computed = None if beat else _hash(event, key)
    return _Link(source, name, position, sequence, str(data.get("prev_hash", "")), stated, computed)


def _verify_chain(source: str, links: list[_Link], head: Head | None, first: int) -> list[str]:
    complaints = []
    latest = 0
    for link in links:
        if link.computed != link.hash:
            complaints.append(_say(source, link, "is changed: its hash does not match its content"))
        if link.sequence < latest:
            complaints.append(_say(source, link, f"is reordered: it stands after sequence {latest}"))
        latest = max(latest, link.sequence)
    by_sequence: dict[int, _Link] = {}
    for link in sorted(links, key=lambda each: (each.sequence, each.position)):
        twin = by_sequence.setdefault(link.sequence, link)
        if twin is not link and twin.hash == link.hash:
            complaints.append(_say(source, link, f"is doubled: it stands at {twin.position} already"))
        elif twin is not link:
            complaints.append(_say(source, link, f"is inserted: event {twin.position} has that sequence too"))
    expected, before = first, "" if first == 1 else None
    for sequence, link in by_sequence.items():
        if sequence < expected:
            complaints.append(_say(source, link, f"is inserted: the chain begins at sequence {first}"))
            continue
        if sequence > expected:
            span = str(expected) if sequence == expected + 1 else f"{expected} to {sequence - 1}"
            complaints.append(
                f"{source}: sequence {span} is missing before event {link.position} ({link.id})"
            )
        elif before is not None and link.prev_hash != before:
            complaints.append(_say(source, link, "does not follow the event before it: changed or inserted"))
        expected, before = sequence + 1, link.hash
    if head is not None:
        complaints += _check_head(source, by_sequence, head, expected - 1)
    return complaints


def _check_head(source: str, by_sequence: Mapping[int, _Link], head: Head, last: int) -> list[str]:
    if head.sequence > last:
        return [f"{source}: cut off after sequence {last}: the chain's head is at {head.sequence}"]
    at_head = by_sequence.get(head.sequence)
    if at_head is not None and at_head.hash != head.hash:
        return [_say(source, at_head, "is not the event the head names: changed")]
    return []


def _say(source: str, link: _Link, what: str) -> str:
    return f"{source}: event {link.position} ({link.id}, sequence {link.sequence}) {what}"
