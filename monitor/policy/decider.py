"""`Decider`: runs a policy over estimates, instant by instant, and says what is to be published.

Pure and deterministic: event time, estimates, missing tasks and ages come in, sealed events go out. It holds
the states of the rules, the latches and the head of the audit chain, and gives them away as small records.

Outside the calendar rules sleep (`schedule`), and those about a demoted shadow or a rolled-back active sleep
until the reset; that tasks are silent, or a reported position contradicts the ledger, is said at any hour. A
reset closes the open episodes of its subjects
without a resolve of their own: its event lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from monitor.errors import ConfigError, StateError
from monitor.policy import wording
from monitor.policy.audit import AuditLog, Subjects
from monitor.policy.canonical import canonical_json
from monitor.policy.chain import Head
from monitor.policy.commands import Answer, Command, CommandDesk
from monitor.policy.docket import Docket, Proof, Seen
from monitor.policy.durations import DAY
from monitor.policy.evaluation import Episode, Phase, RuleState
from monitor.policy.events import Decision, EventType, Heartbeat, event_id
from monitor.policy.latches import Latch, Latches
from monitor.policy.rules import (
    BUILT_IN,
    DEPLOYMENT,
    TASK_SILENT,
    Action,
    Grids,
    Policy,
    Rule,
    Scope,
    Severity,
)
from monitor.policy.schedule import Calendar, Schedule
from monitor.stats.estimate import Estimate, Status

__all__ = ["Answer", "Decider", "Proof", "Step", "Subjects"]

_ChainRecord = tuple[int, str, str | None]
"""Sequence and hash of the chain's head, and the id of the last event."""


class Step(NamedTuple):
    """Events of one instant, and whether `age_ns` changed what was decided: then it must be journaled."""

    events: list[Decision]
    used_age: bool


class Silence(msgspec.Struct, frozen=True, array_like=True):
    """Tasks that do not report. Each non-empty set is an episode; another set, or none, ends it."""

    tasks: tuple[int, ...] = ()
    episode: int = 0
    since_ns: int = 0


class Decider:
    """The decisions of one deployment.

    Args:
        policy: bound to the catalogue (`Policy.bind`).
        subjects: whom events name.
        grids: instants at which rules are due.
        calendar: sessions outside which rules sleep.
        rollback_cooldown_ns: event time in which a second automatic rollback is left to a person.
        audit_key: makes the audit chain one of HMACs.

    Raises:
        ConfigError: a rule names a subject that is not there, or a schedule off the grid.
    """

    def __init__(
        self,
        policy: Policy,
        subjects: Subjects,
        grids: Grids,
        calendar: Calendar,
        rollback_cooldown_ns: int = DAY,
        audit_key: bytes | None = None,
    ) -> None:
        problems = policy.problems(subjects.shadows, grids)
        if problems:
            raise ConfigError(problems)
        self.policy = policy
        self.latches = Latches(tuple(subjects.shadows), rollback_cooldown_ns)
        self.schedule = Schedule(grids, calendar)
        self._log = AuditLog(policy, subjects, self.latches, audit_key)
        self._docket = Docket(policy, self.latches, self._log, self.schedule)
        self._desk = CommandDesk(self.latches, self._log, self._docket.open_episodes)
        self._silence = Silence()
        self._withdrawn: dict[str, Episode] = {}
        """By id the open firings of built-in rules that are no longer there."""
        self._dirty: set[str] = set()

    @property
    def head(self) -> Head:
        """Head of the audit chain."""
        return self._log.head

    @staticmethod
    def head_in(record: bytes) -> Head:
        """The head of the audit chain that a `chain` record holds."""
        sequence, sealed, _ = msgspec.msgpack.decode(record, type=_ChainRecord)
        return Head(sequence, sealed)

    def state(self, rule: Rule) -> RuleState:
        """What a rule remembers; `.phase` is its phase."""
        return self._docket[rule]

    def due(self, at_ns: int) -> list[Rule]:
        """The rules that are evaluated at event time `at_ns` (ns), in policy order."""
        return [rule for rule in self.policy.rules if self.schedule.due(rule, at_ns)]

    def step(
        self,
        at_ns: int,
        estimates: Callable[[Rule], Estimate],
        prove: Callable[[Rule], Proof],
        missing: Collection[int] = (),
        *,
        age_ns: int = 0,
    ) -> Step:
        """Evaluate every rule due at event time `at_ns` (ns), in policy order.

        Args:
            at_ns: the instant; later than that of the step before.
            estimates: value of a rule's metric over its window at `at_ns`; called for due rules only.
            prove: evidence and inputs of a rule's window; called only for what is published.
            missing: tasks that have not reported `at_ns`: every value is then unknown, or stale.
            age_ns: how late the instant is evaluated, as measured (live) or journaled (replay; 0 without).
        """
        events = [*self._watch_tasks(at_ns, missing), *self._withdraw(at_ns)]
        used_age = False
        for rule in self.due(at_ns):
            seen = Seen(at_ns, estimates(rule), bool(missing), prove, rule.old(age_ns))
            made, used = self._docket.evaluate(rule, seen)
            events += made
            used_age |= used
        self._note(events)
        return Step(events, used_age)

    def command(self, command: Command, at_ns: int, refusal: str | None = None) -> Answer:
        """Carry out a person's command between two instants.

        Args:
            command: answered once; its id is remembered for a day of event time.
            at_ns: the last evaluated instant (ns), which is the time of the answer.
            refusal: why it may not be obeyed (unsigned, say); it is then answered and does nothing.
        """
        answer = self._desk.answer(command, at_ns, refusal)
        if answer.events:
            self._note(answer.events)
            self._dirty.add("commands")
        if answer.reset:
            self._docket.close(answer.reset)
        return answer

    def heartbeat(self, at_ns: int) -> Heartbeat:
        """A heartbeat as of the last evaluated instant; it carries the chain's head and stands outside it."""
        return self._log.heartbeat(at_ns)

    def status(self, at_ns: int, valid_until_ns: int) -> bytes:
        """Value of the deployment's record on the compacted `status` topic, as of event time `at_ns` (ns).

        A halted deployment shows all scopes of its kills, and as `scope` the one that weighs most.
        """
        latches: dict[str, dict[str, Any]] = {s: {"state": state} for s, state in self.latches.states.items()}
        halted = self.latches[DEPLOYMENT].scopes
        if halted:
            worst = next(scope for scope in (Scope.TRADING, Scope.SERVING, Scope.MODEL) if scope in halted)
            latches[DEPLOYMENT] |= {"scope": worst, "scopes": halted}
        return canonical_json(
            {
                "deployment": self._log.subjects.deployment,
                "latches": latches,
                "epoch": self.latches.epoch,
                "last_event_id": self._log.last_event_id,
                "as_of_ns": at_ns,
                "valid_until_ns": valid_until_ns,
            }
        )

    def records(self, dirty_only: bool = True) -> dict[str, bytes | None]:
        """Small msgpack records by key; with `dirty_only` those changed since `mark_clean`; None: deleted."""
        fixed = ["chain", "commands", "epoch", "silence"]
        latches = [f"latch/{name}" for name in self.latches.states]
        if dirty_only:
            keys = {*self._dirty, *(f"rule/{key}" for key in self._docket.dirty)}
        else:
            keys = {*fixed, *latches, *(f"rule/{key}" for key in self._docket)}
        gone = {
            key for key in keys if key.startswith("rule/") and key.removeprefix("rule/") not in self._docket
        }
        return {
            key: None if key in gone else msgspec.msgpack.encode(self._record(key)) for key in sorted(keys)
        }

    def mark_clean(self) -> None:
        """The records as they are now go into a commit; called right after `records`."""
        self._dirty.clear()
        self._docket.dirty.clear()

    def restore(self, records: Mapping[str, bytes]) -> list[str]:
        """Take up records; what is decided from here on has the same bytes as without the interruption.

        Returns the keys that do not fit: of a changed or removed rule (it starts anew) or subject.

        Raises:
            StateError: a record that cannot be read.
        """
        misfits = []
        for key, value in sorted(records.items()):
            try:
                if not self._take(key, value):
                    misfits.append(key)
            except msgspec.MsgspecError as error:
                raise StateError(
                    f"policy record {key!r} cannot be read ({error}); restore another state"
                ) from error
        self.mark_clean()
        return misfits

    def _watch_tasks(self, at_ns: int, missing: Collection[int]) -> list[Decision]:
        """An alert whenever the set of tasks that do not report changes, and one when all are back."""
        tasks, before = tuple(sorted(missing)), self._silence
        if tasks == before.tasks:
            return []
        number = before.episode + 1 if tasks else before.episode
        self._silence = Silence(tasks, number, at_ns if tasks else before.since_ns)
        self._dirty.add("silence")
        phase = Phase.FIRING if tasks else Phase.RESOLVED
        subjects = self._log.subjects
        name = event_id(
            subjects.deployment, self.policy.name, TASK_SILENT, (), DEPLOYMENT, number, phase, at_ns
        )
        event = self._log.write(
            EventType.ALERT,
            name,
            at_ns,
            subject=DEPLOYMENT,
            evidence={"tasks": tasks, "tasks_before": before.tasks},
            episode=number,
            rule=TASK_SILENT,
            status=Status.UNKNOWN if tasks else Status.OK,
            phase=phase,
            severity=Severity.CRITICAL,
            action=Action.ALERT,
            reason=wording.silence(tasks, before.tasks, before.since_ns, at_ns),
        )
        return [event]

    def _withdraw(self, at_ns: int) -> list[Decision]:
        """End what built-in rules fired that a changed configuration has taken away: a firing without an end
        would stay open wherever it was told."""
        events = []
        for rule, episode in sorted(self._withdrawn.items()):
            subjects = self._log.subjects
            name = event_id(
                subjects.deployment,
                self.policy.name,
                rule,
                (),
                DEPLOYMENT,
                episode.number,
                Phase.RESOLVED,
                at_ns,
            )
            event = self._log.write(
                EventType(episode.published_as),
                name,
                at_ns,
                subject=DEPLOYMENT,
                evidence={"since_ns": episode.since_ns},
                episode=episode.number,
                rule=rule,
                status=Status.UNKNOWN,
                phase=Phase.RESOLVED,
                severity=Severity.WARNING,
                action=Action.ALERT,
                reason=wording.withdrawn(rule, episode.since_ns),
            )
            events.append(event)
            self._dirty.add(f"rule/{rule}")
        self._withdrawn.clear()
        return events

    def _note(self, events: list[Decision]) -> None:
        """Events moved the chain, and latches where the states before and after differ."""
        if not events:
            return
        self._dirty |= {"chain", "epoch"}
        self._dirty |= {f"latch/{name}" for name in self.latches.states}

    def _record(self, key: str) -> Any:
        room, _, name = key.partition("/")
        match room:
            case "rule":
                return self._docket.record(name)
            case "latch":
                return self.latches[name]
            case "epoch":
                return (self.latches.epoch, self.latches.last_rollback_ns)
            case "chain":
                return (*self.head, self._log.last_event_id)
            case "silence":
                return self._silence
            case _:
                return self._desk.answered

    def _take(self, key: str, value: bytes) -> bool:
        """Take up one record; False where it does not fit."""
        room, _, name = key.partition("/")
        match room:
            case "rule":
                made_for, state = msgspec.msgpack.decode(value, type=tuple[str, RuleState])
                if name in BUILT_IN and name not in self._docket and state.firing is not None:
                    self._withdrawn[name] = state.firing
                    return True
                return self._docket.restore(name, made_for, state)
            case "latch" if name in self.latches:
                self.latches.restore(name, msgspec.msgpack.decode(value, type=Latch))
            case "epoch":
                epoch, rolled_back = msgspec.msgpack.decode(value, type=tuple[int, int | None])
                self.latches.epoch, self.latches.last_rollback_ns = epoch, rolled_back
            case "chain":
                sequence, sealed, last = msgspec.msgpack.decode(value, type=_ChainRecord)
                self._log.restore(Head(sequence, sealed), last)
            case "silence":
                self._silence = msgspec.msgpack.decode(value, type=Silence)
            case "commands":
                self._desk.restore(msgspec.msgpack.decode(value, type=dict[str, int]))
            case _:
                return False
        return True
