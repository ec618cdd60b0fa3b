"""`AuditLog`: writes the events of one deployment, each sealed into its chain, and remembers the newest."""

from __future__ import annotations

from typing import Any

import msgspec

from monitor.policy.chain import Chain, Head
from monitor.policy.events import (
    Artifact,
    Decision,
    DecisionData,
    EventType,
    Heartbeat,
    HeartbeatData,
    build,
    capped,
    heartbeat,
)
from monitor.policy.latches import Latches
from monitor.policy.rules import Policy


class Subjects(msgspec.Struct, frozen=True, kw_only=True):
    """Whom decisions of a deployment are about, as they name them; shadows by role name."""

    deployment: str
    config_sha256: str
    tenant: str | None = None
    active: Artifact | None = None
    previous: Artifact | None = None
    shadows: dict[str, Artifact | None] = {}

    def shadow(self, *candidates: str) -> Artifact | None:
        """The first candidate that is a shadow, else the only shadow there is."""
        for name in candidates:
            if name in self.shadows:
                return self.shadows[name]
        return next(iter(self.shadows.values())) if len(self.shadows) == 1 else None


class AuditLog:
    """Fills in what every event says of its deployment and seals it."""

    def __init__(self, policy: Policy, subjects: Subjects, latches: Latches, key: bytes | None) -> None:
        self.subjects = subjects
        self._policy, self._latches = policy, latches
        self._chain = Chain(key=key)
        self.last_event_id: str | None = None

    @property
    def head(self) -> Head:
        return self._chain.head

    def restore(self, head: Head, last_event_id: str | None) -> None:
        """Go on behind a recorded event."""
        self._chain.head, self.last_event_id = head, last_event_id

    def write(
        self,
        kind: EventType,
        event_id: str,
        at_ns: int,
        *,
        subject: str,
        role: str = "",
        evidence: dict[str, Any],
        **fields: Any,
    ) -> Decision:
        """Seal an event at event time `at_ns` (ns); `fields` are those of `DecisionData`.

        Without `state_from` and `state_to` the subject's latch stands where it stood. `role` names the
        shadow that is compared, where the subject is none.
        """
        known = subject in self._latches
        state = self._latches[subject].state.value if known else None
        data = DecisionData(
            deployment=self.subjects.deployment,
            tenant=self.subjects.tenant,
            subject=subject,
            epoch=self._latches.epoch,
            active=self.subjects.active,
            shadow=self.subjects.shadow(subject, role),
            evidence=capped(msgspec.to_builtins(evidence)),
            policy_sha256=self._policy.sha256,
            config_sha256=self.subjects.config_sha256,
            **{"state_from": state, "state_to": state, **fields},
        )
        event = self._chain.seal(build(kind, event_id, at_ns, data))
        self.last_event_id = event_id
        return event

    def heartbeat(self, at_ns: int) -> Heartbeat:
        """A heartbeat as of event time `at_ns` (ns); it stands outside the chain."""
        data = HeartbeatData(
            deployment=self.subjects.deployment,
            tenant=self.subjects.tenant,
            epoch=self._latches.epoch,
            as_of_ns=at_ns,
            sequence=self.head.sequence,
            hash=self.head.hash,
        )
        return heartbeat(data)
