"""A person's commands: what they do to the latches, and the memory that makes them idempotent.

Who may command, and whether a signature holds, is judged before: a refusal comes in as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from monitor.policy import wording
from monitor.policy.audit import AuditLog
from monitor.policy.durations import DAY
from monitor.policy.evaluation import Phase
from monitor.policy.events import TYPE_OF, Decision, EventType, command_event_id
from monitor.policy.latches import Latches, Refusal
from monitor.policy.rules import ACTIVE, DEPLOYMENT, Action, Scope, Severity

RESET = "reset"

LATCHING = {"kill": Action.KILL, "demote": Action.DEMOTE, "rollback": Action.ROLLBACK}
"""Commands that escalate a latch."""


class Command(Protocol):
    """What a command must carry; `wire` decodes it."""

    @property
    def command_id(self) -> str: ...
    @property
    def ts_ns(self) -> int: ...
    @property
    def actor(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def subject(self) -> str | None: ...
    @property
    def scope(self) -> str | None: ...
    @property
    def expected_epoch(self) -> int | None: ...


class Answer(NamedTuple):
    """The event that answers a command (none to a repeated one), and the subjects that a reset brought back.

    Whoever computes the estimates re-baselines what concerns those subjects.
    """

    events: list[Decision]
    reset: tuple[str, ...] = ()


class CommandDesk:
    """Answers each command with one event, once. `open_episodes` lists what a reset of subjects closes."""

    def __init__(
        self,
        latches: Latches,
        log: AuditLog,
        open_episodes: Callable[[tuple[str, ...]], list[dict[str, Any]]],
    ) -> None:
        self._latches, self._log, self._open_episodes = latches, log, open_episodes
        self._answered: dict[str, int] = {}

    @property
    def answered(self) -> dict[str, int]:
        """Event time of the answer by command id; kept for a day of event time."""
        return dict(self._answered)

    def restore(self, answered: Mapping[str, int]) -> None:
        """Take up which commands were answered."""
        self._answered = dict(answered)

    def answer(self, command: Command, at_ns: int, refusal: str | None) -> Answer:
        """Carry out a command at the last evaluated instant (ns), or refuse it with the reason given."""
        self._answered = {name: at for name, at in self._answered.items() if at_ns - at <= DAY}
        if command.command_id in self._answered:
            return Answer([])
        self._answered[command.command_id] = at_ns
        if refusal is not None:
            return Answer([self._decline(command, at_ns, f"refused, {refusal}")])
        if command.action == RESET:
            return self._reset(command, at_ns)
        if command.action in LATCHING:
            return Answer([self._escalate(command, LATCHING[command.action], at_ns)])
        return Answer([self._decline(command, at_ns, f"refused, {command.action} is not supported here.")])

    def _escalate(self, command: Command, action: Action, at_ns: int) -> Decision:
        subject = _subject_of(command, self._latches.shadows)
        if subject is None:
            names = ", ".join(self._latches.shadows) or "there is none"
            return self._decline(command, at_ns, f"refused, name the shadow as subject: {names}.")
        scope = None
        if action is Action.KILL:
            if command.scope is not None and command.scope not in list(Scope):
                return self._decline(command, at_ns, f"refused, there is no scope {command.scope!r}.")
            scope = Scope(command.scope) if command.scope is not None else Scope.TRADING
        elif command.expected_epoch is not None and command.expected_epoch != self._latches.epoch:
            return self._decline(
                command, at_ns, wording.refused(Refusal.EPOCH, action, subject, self._latches.epoch)
            )
        outcome = self._latches.apply(action, subject, at_ns, scope, automatic=False)
        if isinstance(outcome, Refusal):
            text = wording.refused(outcome, action, subject, self._latches.epoch)
            return self._decline(command, at_ns, text, accepted=outcome is Refusal.ALREADY)
        target = self._log.subjects.previous
        fields: dict[str, Any] = {"rollback_target": target} if action is Action.ROLLBACK else {}
        return self._write(
            TYPE_OF[action],
            command,
            at_ns,
            wording.done(action, subject, str(scope), target),
            subject=subject,
            evidence={},
            phase=Phase.FIRING,
            severity=Severity.CRITICAL,
            action=action,
            scope=scope,
            state_from=outcome.state_from,
            state_to=outcome.state_to,
            accepted=True,
            **fields,
        )

    def _reset(self, command: Command, at_ns: int) -> Answer:
        before = self._latches.states
        outcome = self._latches.reset(command.expected_epoch, at_ns, command.subject)
        if isinstance(outcome, Refusal):
            text = wording.refused(outcome, RESET, command.subject or DEPLOYMENT, self._latches.epoch)
            return Answer([self._decline(command, at_ns, text)])
        event = self._write(
            EventType.RESET,
            command,
            at_ns,
            f"{', '.join(outcome.subjects)} back to normal; the epoch is {outcome.epoch}.",
            subject=outcome.subject,
            evidence={
                "latches_before": {name: before[name] for name in outcome.subjects},
                "closed": self._open_episodes(outcome.subjects),
            },
            severity=Severity.INFO,
            action=RESET,
            state_from=outcome.state_from,
            state_to=outcome.state_to,
            accepted=True,
        )
        return Answer([event], outcome.subjects)

    def _decline(self, command: Command, at_ns: int, text: str, accepted: bool = False) -> Decision:
        return self._write(
            EventType.COMMAND,
            command,
            at_ns,
            text,
            subject=command.subject or DEPLOYMENT,
            evidence={},
            severity=Severity.INFO,
            action=command.action,
            accepted=accepted,
        )

    def _write(self, kind: EventType, command: Command, at_ns: int, text: str, **fields: Any) -> Decision:
        evidence = {
            **fields.pop("evidence"),
            "command": {
                "reason": command.reason,
                "scope": command.scope,
                "subject": command.subject,
                "expected_epoch": command.expected_epoch,
            },
        }
        return self._log.write(
            kind,
            command_event_id(self._log.subjects.deployment, command.command_id),
            at_ns,
            evidence=evidence,
            reason=f"{command.actor}: {command.action}, because {command.reason!r}: {text}",
            actor=command.actor,
            command_id=command.command_id,
            ts_ns=command.ts_ns,
            **fields,
        )


def _subject_of(command: Command, shadows: tuple[str, ...]) -> str | None:
    """Whom a latching command is about; None where it must be named: a demotion among several shadows."""
    if command.subject is not None:
        return command.subject
    match command.action:
        case "demote":
            return shadows[0] if len(shadows) == 1 else None
        case "rollback":
            return ACTIVE
        case _:
            return DEPLOYMENT
