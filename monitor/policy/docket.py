"""`Docket`: the states of a policy's rules, and the events that their evaluations publish.

An episode is a firing or a spell without data: it is published once at its onset, when its action is taken
or it is said why not, and once at its end, under the type it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from monitor.policy import wording
from monitor.policy.audit import AuditLog
from monitor.policy.canonical import digest
from monitor.policy.durations import SECOND
from monitor.policy.evaluation import (
    Episode,
    Phase,
    Reading,
    Reason,
    RuleState,
    evaluate,
    finite,
    read,
    reopen,
)
from monitor.policy.events import TYPE_OF, Decision, EventType, event_id
from monitor.policy.latches import Latches, Refusal, Transition
from monitor.policy.rules import BUILT_IN, Action, NoData, Policy, Rule, Severity
from monitor.policy.schedule import Schedule
from monitor.stats.estimate import Estimate, Status

_ONSETS = {Reason.FIRE, Reason.NO_DATA}
_LASTING = {Reason.STILL_FIRING: Reason.FIRE, Reason.STILL_NO_DATA: Reason.NO_DATA}
_ENDS = {Reason.RESOLVE, Reason.NO_DATA_RESOLVED}
_OF_DATA = {Reason.NO_DATA, Reason.STILL_NO_DATA, Reason.NO_DATA_RESOLVED}

_ALERT_ONLY: dict[str, Any] = {"action": Action.ALERT, "scope": None}


class Proof(msgspec.Struct, frozen=True):
    """What a decision rests on beyond its estimate; asked for only when an event is written.

    `inputs` maps "topic-partition" to the smallest and largest offset of the window's panes.
    """

    evidence: dict[str, Any] = {}
    inputs: dict[str, tuple[int, int]] = {}


class Seen(NamedTuple):
    """What a rule sees at one instant: the estimate, whether tasks are missing, the proof on demand, and
    whether a decision would come too late to act on."""

    at_ns: int
    estimate: Estimate
    missing: bool
    prove: Callable[[Rule], Proof]
    old: bool


class Docket:
    """The states of all rules by key; `dirty` names those changed since it was cleared."""

    def __init__(self, policy: Policy, latches: Latches, log: AuditLog, schedule: Schedule) -> None:
        self._policy, self._latches, self._log, self._schedule = policy, latches, log, schedule
        self._rules = {rule.key: rule for rule in policy.rules}
        self._states = {rule.key: RuleState() for rule in policy.rules}
        self.dirty: set[str] = set()

    def __getitem__(self, rule: Rule) -> RuleState:
        return self._states[rule.key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def close(self, subjects: tuple[str, ...]) -> None:
        """Rules about these subjects begin anew; their open episodes end without a resolve."""
        for key, state in self._states.items():
            if self._rules[key].subject in subjects:
                self._keep(key, RuleState(episode=state.episode))

    def open_episodes(self, subjects: tuple[str, ...]) -> list[dict[str, Any]]:
        """The open episodes of rules about these subjects, as evidence of a reset."""
        return [
            {"rule": key, "episode": episode.number, "since_ns": episode.since_ns}
            for key, state in self._states.items()
            for episode in (state.firing, state.absence)
            if episode is not None and self._rules[key].subject in subjects
        ]

    def record(self, key: str) -> tuple[str, RuleState]:
        """A rule's state with the digest of the rule it was made for."""
        return _rule_digest(self._rules[key]), self._states[key]

    def __contains__(self, key: str) -> bool:
        return key in self._rules

    def restore(self, key: str, made_for: str, state: RuleState) -> bool:
        """Take up a recorded state; False where the rule is gone or has changed."""
        if key not in self._rules or made_for != _rule_digest(self._rules[key]):
            return False
        self._states[key] = state
        return True

    def evaluate(self, rule: Rule, seen: Seen) -> tuple[list[Decision], bool]:
        """Evaluate one rule: what it publishes, and whether the age of the decision mattered."""
        before = self._states[rule.key]
        if self._schedule.opening(seen.at_ns) and read(rule, seen.estimate, seen.missing) is Reading.ABSENT:
            return [], False
        state, reasons = evaluate(
            rule, before, seen.estimate, seen.at_ns, seen.missing, self._schedule.waking
        )
        events: list[Decision] = []
        used_age = False
        for reason in reasons:
            if reason in _ENDS:
                events.append(self._end(rule, before, reason, seen))
                continue
            onset = reason if reason in _ONSETS else None
            if reason in _LASTING and _episode(state, reason).withheld:
                used_age |= seen.old
                if not seen.old:
                    state, onset = reopen(state, reason, seen.at_ns), _LASTING[reason]
            if onset is not None:
                state, event = self._begin(rule, state, onset, seen)
                used_age |= _episode(state, onset).withheld
                events.append(event)
        if state is not before:
            self._keep(rule.key, state)
        return events, used_age

    def _begin(self, rule: Rule, state: RuleState, reason: Reason, seen: Seen) -> tuple[RuleState, Decision]:
        """Publish the onset of an episode and take its action, or say why it is not taken."""
        of_data = reason is Reason.NO_DATA
        acts = rule.action is not Action.ALERT and (rule.no_data is NoData.HALT or not of_data)
        withheld = acts and seen.old
        outcome: Transition | Refusal | None = None
        if acts and not withheld and not rule.dry_run:
            outcome = self._latches.apply(rule.action, rule.subject, seen.at_ns, rule.scope)
        fields: dict[str, Any] = {} if acts else _ALERT_ONLY
        kind = EventType.ALERT
        target = self._log.subjects.previous
        if isinstance(outcome, Transition):
            kind = TYPE_OF[rule.action]
            fields = {"state_from": outcome.state_from, "state_to": outcome.state_to}
            if rule.action is Action.ROLLBACK:
                fields["rollback_target"] = target
        if outcome is Refusal.COOLDOWN:
            fields = {"severity": Severity.CRITICAL}
        cooldown_ns = self._latches.rollback_cooldown_ns
        did = wording.effect(rule, outcome, withheld, target, cooldown_ns) if acts else wording.ALERT_ONLY
        stale = seen.missing or seen.estimate.stale
        if of_data:
            text, consecutive = wording.no_data(rule, state, seen.estimate, did), state.absent_count
        else:
            text, consecutive = wording.breach(rule, state, seen.estimate, stale, did), state.consecutive
        episode = replace(_episode(state, reason), published_as=kind, withheld=withheld)
        phase = Phase.NO_DATA if of_data else Phase.FIRING
        event = self._write(
            rule, seen, kind, reason, episode, reason=text, phase=phase, consecutive=consecutive, **fields
        )
        return replace(state, **{"absence" if of_data else "firing": episode}), event

    def _end(self, rule: Rule, before: RuleState, reason: Reason, seen: Seen) -> Decision:
        """Publish the end of an episode as the type it began with; latches stay where they are."""
        episode = _episode(before, reason)
        standing = self._latches[rule.subject].state
        say = wording.resolved if reason is Reason.RESOLVE else wording.data_back
        text = say(rule, seen.estimate, episode.since_ns, seen.at_ns, standing)
        kind = EventType(episode.published_as)
        fields = _ALERT_ONLY if reason in _OF_DATA and rule.no_data is not NoData.HALT else {}
        return self._write(
            rule, seen, kind, reason, episode, reason=text, phase=Phase.RESOLVED, consecutive=0, **fields
        )

    def _write(
        self, rule: Rule, seen: Seen, kind: EventType, why: Reason, episode: Episode, **fields: Any
    ) -> Decision:
        estimate, proof = seen.estimate, seen.prove(rule)
        status = Status.UNKNOWN if seen.missing else estimate.status
        subjects = self._log.subjects
        name = event_id(
            subjects.deployment,
            self._policy.name,
            rule.id,
            rule.labels,
            rule.subject,
            episode.number,
            why,
            seen.at_ns,
        )
        return self._log.write(
            kind,
            name,
            seen.at_ns,
            subject=rule.subject,
            role=dict(rule.labels).get("role", ""),
            evidence={"metric": _snapshot(rule, estimate), "rule": _parameters(rule), **proof.evidence},
            inputs=proof.inputs,
            episode=episode.number,
            rule=rule.id,
            metric=rule.metric,
            labels=dict(rule.labels),
            value=_published(rule, estimate.value),
            threshold=wording.number(rule.threshold) if rule.money else rule.threshold,
            comparator=rule.comparator,
            window=_window(rule),
            from_ns=estimate.from_ns,
            to_ns=estimate.to_ns,
            n=estimate.n,
            status=status,
            stale=estimate.stale or (seen.missing and finite(estimate.value) is not None),
            dry_run=rule.dry_run,
            **{"severity": rule.severity, "action": rule.action, "scope": rule.scope, **fields},
        )

    def _keep(self, key: str, state: RuleState) -> None:
        self._states[key] = state
        self.dirty.add(key)


def _episode(state: RuleState, reason: Reason) -> Episode:
    episode = state.absence if reason in _OF_DATA else state.firing
    assert episode is not None
    return episode


def _rule_digest(rule: Rule) -> str:
    """A rule that nobody wrote goes on firing over whatever window it now has."""
    if rule.id in BUILT_IN:
        rule = replace(rule, window=0, for_ns=0)
    return digest(msgspec.to_builtins(rule))[:16]


def _published(rule: Rule, value: float | int | None) -> float | int | str | None:
    value = finite(value)
    return wording.money(value) if rule.money and isinstance(value, int) else value


def _window(rule: Rule) -> float | int | str:
    """Seconds, as an integer where they are whole; `session` and `promotion` as they are."""
    if isinstance(rule.window, str):
        return rule.window
    return rule.window // SECOND if rule.window % SECOND == 0 else rule.window / SECOND


def _snapshot(rule: Rule, estimate: Estimate) -> dict[str, Any]:
    """The estimate as evidence."""
    return {
        "value": _published(rule, estimate.value),
        "n": estimate.n,
        "n_eff": estimate.n_eff,
        "low": estimate.low,
        "high": estimate.high,
        "status": estimate.status,
        "stale": estimate.stale,
        "extra": estimate.extra,
    }


def _parameters(rule: Rule) -> dict[str, Any]:
    """What a third party needs of the rule to judge again."""
    return {
        "min_samples": rule.min_samples,
        "for_count": rule.for_count,
        "for_ns": rule.for_ns,
        "keep_firing_ns": rule.keep_firing_ns,
        "schedule": rule.schedule,
        "no_data": rule.no_data,
        "act_within_ns": rule.act_within_ns,
    }
