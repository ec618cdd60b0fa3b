"""Latches: what was decided about each subject and stands until a person resets it.

deployment `ACTIVE -> REDUCE_ONLY -> HALTED` (by scope), active `SERVING -> ROLLED_BACK`, a shadow
`RUNNING -> DEMOTED`. Nothing here goes back except `reset`; every transition raises the epoch by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from monitor.policy.durations import DAY
from monitor.policy.rules import ACTIVE, DEPLOYMENT, Action, Scope


class LatchState(StrEnum):
    ACTIVE = "ACTIVE"
    REDUCE_ONLY = "REDUCE_ONLY"
    HALTED = "HALTED"
    SERVING = "SERVING"
    ROLLED_BACK = "ROLLED_BACK"
    RUNNING = "RUNNING"
    DEMOTED = "DEMOTED"


class Latch(msgspec.Struct, frozen=True, array_like=True):
    """Where one subject stands; `scopes` are the kill scopes in force, `since_ns` the last transition."""

    state: LatchState
    scopes: tuple[Scope, ...] = ()
    since_ns: int | None = None


class Transition(msgspec.Struct, frozen=True):
    """A latch that moved. `subjects` are all that moved: one, except in a reset of everything."""

    subject: str
    state_from: LatchState
    state_to: LatchState
    epoch: int
    subjects: tuple[str, ...]


class Refusal(StrEnum):
    """Why a latch did not move."""

    ALREADY = "already"
    COOLDOWN = "cooldown"
    EPOCH = "epoch"
    NO_SUCH_SUBJECT = "no_such_subject"
    NOT_FOR_SUBJECT = "not_for_subject"


class Latches:
    """All latches of one deployment, its epoch, and the time of its last automatic rollback.

    Args:
        shadows: names of the shadows.
        rollback_cooldown_ns: event time after an automatic rollback in which another is left to a person.
    """

    def __init__(self, shadows: Sequence[str], rollback_cooldown_ns: int = DAY) -> None:
        self._initial = {
            DEPLOYMENT: Latch(LatchState.ACTIVE),
            ACTIVE: Latch(LatchState.SERVING),
            **{name: Latch(LatchState.RUNNING) for name in shadows},
        }
        self._latches = dict(self._initial)
        self._cooldown_ns = rollback_cooldown_ns
        self.epoch = 0
        self.last_rollback_ns: int | None = None

    def __getitem__(self, subject: str) -> Latch:
        return self._latches[subject]

    def __contains__(self, subject: str) -> bool:
        return subject in self._latches

    @property
    def states(self) -> dict[str, str]:
        """State by subject, as published."""
        return {subject: latch.state.value for subject, latch in sorted(self._latches.items())}

    @property
    def shadows(self) -> tuple[str, ...]:
        return tuple(subject for subject in self._initial if subject not in (DEPLOYMENT, ACTIVE))

    @property
    def rollback_cooldown_ns(self) -> int:
        return self._cooldown_ns

    def apply(
        self,
        action: Action,
        subject: str,
        at_ns: int,
        scope: Scope | None = None,
        automatic: bool = True,
    ) -> Transition | Refusal:
        """Escalate a subject's latch at event time `at_ns` (ns), or say why not.

        A person (`automatic=False`) is not bound by the rollback cooldown. A kill of a further scope is a
        transition of its own.
        """
        if subject not in self._latches:
            return Refusal.NO_SUCH_SUBJECT
        latch = self._latches[subject]
        match action:
            case Action.KILL if subject == DEPLOYMENT:
                scopes = tuple(sorted({*latch.scopes, scope or Scope.TRADING}))
                raised = Latch(LatchState.HALTED, scopes, at_ns) if scopes != latch.scopes else None
            case Action.REDUCE if subject == DEPLOYMENT:
                raised = (
                    Latch(LatchState.REDUCE_ONLY, (), at_ns) if latch.state is LatchState.ACTIVE else None
                )
            case Action.ROLLBACK if subject == ACTIVE:
                raised = (
                    Latch(LatchState.ROLLED_BACK, (), at_ns) if latch.state is LatchState.SERVING else None
                )
                if raised and automatic:
                    if (
                        self.last_rollback_ns is not None
                        and at_ns - self.last_rollback_ns < self._cooldown_ns
                    ):
                        return Refusal.COOLDOWN
                    self.last_rollback_ns = at_ns
            case Action.DEMOTE if subject not in (DEPLOYMENT, ACTIVE):
                raised = Latch(LatchState.DEMOTED, (), at_ns) if latch.state is LatchState.RUNNING else None
            case _:
                return Refusal.NOT_FOR_SUBJECT
        if raised is None:
            return Refusal.ALREADY
        self.epoch += 1
        self._latches[subject] = raised
        return Transition(subject, latch.state, raised.state, self.epoch, (subject,))

    def reset(
        self, expected_epoch: int | None, at_ns: int, subject: str | None = None
    ) -> Transition | Refusal:
        """Back to normal, by compare-and-set on the epoch: one subject, or all where none is named.

        A reset is a transition also where nothing was latched: it re-baselines.
        """
        if subject is not None and subject not in self._latches:
            return Refusal.NO_SUCH_SUBJECT
        if expected_epoch != self.epoch:
            return Refusal.EPOCH
        subjects = tuple(self._latches) if subject is None else (subject,)
        named = subject or DEPLOYMENT
        before = self._latches[named].state
        self.epoch += 1
        for each in subjects:
            self._latches[each] = Latch(self._initial[each].state, (), at_ns)
        return Transition(named, before, self._initial[named].state, self.epoch, subjects)

    def restore(self, subject: str, latch: Latch) -> None:
        """Take up a recorded latch."""
        self._latches[subject] = latch
