"""Evaluation of one rule: a pure function from state and estimate to the next state and the reasons.

Two small machines run side by side. The *threshold* machine goes inactive -> pending -> firing -> resolved.
Only a value that is `ok` moves it, with one exception: a hard limit also trips on a stale value. Every other
status stops its clock and leaves its counters as they are. The *data* machine watches whether there is a
value at all: it raises `no_data` and clears it only on a value that is `ok`.

No data: the status is `unknown`, the value is not finite, a task is missing, or n = 0 where samples are
asked for. For a rule that never sleeps a window without rows passes: what it tells of happens or does not,
and each time is an alert of its own. 0 < n < `min_samples` is `insufficient`: neither a pass nor no data.
`no_data: alert` raises at the first due evaluation without data, `halt` once that has lasted as long as the
rule's `for`, `hold` never.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from monitor.policy.rules import NoData, Rule
from monitor.stats.estimate import Estimate, Status

Lasted = Callable[[int, int], int]
"""Time between two instants in which rules were awake, ns."""


class Phase(StrEnum):
    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    NO_DATA = "no_data"
    INSUFFICIENT = "insufficient"


class Reason(StrEnum):
    """Why the state of a rule is what it is after an evaluation."""

    BECAME_PENDING = "became_pending"
    STILL_PENDING = "still_pending"
    FIRE = "fire"
    STILL_FIRING = "still_firing"
    CLEARING = "clearing"
    RESOLVE = "resolve"
    NO_DATA = "no_data"
    STILL_NO_DATA = "still_no_data"
    NO_DATA_RESOLVED = "no_data_resolved"
    INSUFFICIENT = "insufficient"


class Reading(StrEnum):
    """What an estimate says to a rule."""

    PASS = "pass"
    BREACH = "breach"
    STALE_BREACH = "stale_breach"
    INSUFFICIENT = "insufficient"
    ABSENT = "absent"
    INAPPLICABLE = "inapplicable"


class Episode(msgspec.Struct, frozen=True, array_like=True):
    """One firing, or one spell without data, from its onset to its resolve.

    `published_as` is the event type of the onset, which its resolve repeats. `withheld`: the action was due
    but the decision too old to act on; a breach that lasts until the monitor has caught up acts then.
    """

    number: int
    since_ns: int
    published_as: str = ""
    withheld: bool = False


class RuleState(msgspec.Struct, frozen=True, array_like=True):
    """What one rule (and its labels) remembers between evaluations; small, and unchanged while all is well.

    `elapsed_ns` is the event time counted so far towards `for`, or, while firing, towards `keep_firing_for`;
    `counted_ns` the evaluation up to which it is counted, None while the clock stands. `since_ns` is the
    first breach of this run. `episode` is the last number given; firings and spells without data share it.
    """

    consecutive: int = 0
    elapsed_ns: int = 0
    counted_ns: int | None = None
    since_ns: int | None = None
    firing: Episode | None = None
    resolved_ns: int | None = None
    data: Reading = Reading.PASS
    absent_count: int = 0
    absent_since_ns: int | None = None
    absence: Episode | None = None
    episode: int = 0

    @property
    def phase(self) -> Phase:
        """The phase to show; a firing stays one while data are missing."""
        if self.firing is not None:
            return Phase.FIRING
        if self.data is Reading.ABSENT:
            return Phase.NO_DATA
        if self.data is Reading.INSUFFICIENT:
            return Phase.INSUFFICIENT
        return Phase.PENDING if self.consecutive else Phase.INACTIVE


def finite(value: float | int | None) -> float | int | None:
    """The value, or None where it is NaN or infinite."""
    return value if value is not None and (isinstance(value, int) or math.isfinite(value)) else None


def read(rule: Rule, estimate: Estimate, missing: bool) -> Reading:
    """What the estimate says to the rule; `missing`: some partition task has not reported this instant."""
    if estimate.status is Status.NOT_APPLICABLE:
        return Reading.INAPPLICABLE
    value = finite(estimate.value)
    current = not missing and not estimate.stale
    if current and not rule.sleeps and estimate.status is Status.INSUFFICIENT:
        return Reading.PASS
    if current and (estimate.status is Status.INSUFFICIENT or estimate.n < rule.min_samples):
        return (
            Reading.INSUFFICIENT
            if estimate.n > 0 and estimate.status is not Status.UNKNOWN
            else Reading.ABSENT
        )
    if value is None or (estimate.status is not Status.OK and not estimate.stale):
        return Reading.ABSENT
    if current:
        return Reading.BREACH if rule.breached_by(value) else Reading.PASS
    enough = estimate.n >= rule.min_samples
    return Reading.STALE_BREACH if rule.hard and enough and rule.breached_by(value) else Reading.ABSENT


def evaluate(
    rule: Rule,
    state: RuleState,
    estimate: Estimate,
    at_ns: int,
    missing: bool,
    lasted: Lasted,
) -> tuple[RuleState, tuple[Reason, ...]]:
    """The state after the evaluation at event time `at_ns` (ns), and why, in the order to be said.

    That data are back comes before what they show; that they are missing, after. `lasted` tells how much of
    the time between two instants counts towards durations.

    Returns the same object where nothing changed.
    """
    reading = read(rule, estimate, missing)
    state, threshold = _judge_threshold(rule, state, reading, at_ns, lasted)
    state, data = _judge_data(rule, state, reading, at_ns, lasted)
    reasons = (data, threshold) if data is Reason.NO_DATA_RESOLVED else (threshold, data)
    return state, tuple(reason for reason in reasons if reason is not None)


def reopen(state: RuleState, reason: Reason, at_ns: int) -> RuleState:
    """A new episode in place of one whose action was withheld, begun at `at_ns`."""
    episode = Episode(state.episode + 1, at_ns)
    if reason is Reason.STILL_FIRING:
        return replace(state, firing=episode, episode=episode.number)
    return replace(state, absence=episode, episode=episode.number)


def _judge_threshold(
    rule: Rule,
    state: RuleState,
    reading: Reading,
    at_ns: int,
    lasted: Lasted,
) -> tuple[RuleState, Reason | None]:
    if reading in (Reading.BREACH, Reading.STALE_BREACH):
        return _breach(rule, state, at_ns, lasted)
    if reading is Reading.PASS:
        return _pass(rule, state, at_ns, lasted)
    return (state if state.counted_ns is None else replace(state, counted_ns=None)), None


def _breach(rule: Rule, state: RuleState, at_ns: int, lasted: Lasted) -> tuple[RuleState, Reason]:
    if state.firing is not None:
        if state.elapsed_ns or state.counted_ns is not None:
            state = replace(state, elapsed_ns=0, counted_ns=None)
        return state, Reason.STILL_FIRING
    elapsed = state.elapsed_ns + (lasted(state.counted_ns, at_ns) if state.counted_ns is not None else 0)
    consecutive = state.consecutive + 1
    since = at_ns if state.since_ns is None else state.since_ns
    if consecutive >= rule.for_count and elapsed >= rule.for_ns:
        fired = replace(
            state,
            consecutive=consecutive,
            since_ns=since,
            elapsed_ns=0,
            counted_ns=None,
            firing=Episode(state.episode + 1, at_ns),
            episode=state.episode + 1,
            resolved_ns=None,
        )
        return fired, Reason.FIRE
    pending = replace(
        state,
        consecutive=consecutive,
        since_ns=since,
        elapsed_ns=elapsed,
        counted_ns=at_ns if rule.for_ns else None,
    )
    return pending, Reason.STILL_PENDING if state.consecutive else Reason.BECAME_PENDING


def _pass(rule: Rule, state: RuleState, at_ns: int, lasted: Lasted) -> tuple[RuleState, Reason | None]:
    if state.firing is None:
        if not state.consecutive:
            return state, None
        return replace(state, consecutive=0, elapsed_ns=0, counted_ns=None, since_ns=None), None
    elapsed = state.elapsed_ns + (lasted(state.counted_ns, at_ns) if state.counted_ns is not None else 0)
    if elapsed < rule.keep_firing_ns:
        return replace(state, elapsed_ns=elapsed, counted_ns=at_ns), Reason.CLEARING
    resolved = replace(
        state, consecutive=0, elapsed_ns=0, counted_ns=None, since_ns=None, firing=None, resolved_ns=at_ns
    )
    return resolved, Reason.RESOLVE


def _judge_data(
    rule: Rule,
    state: RuleState,
    reading: Reading,
    at_ns: int,
    lasted: Lasted,
) -> tuple[RuleState, Reason | None]:
    if reading in (Reading.PASS, Reading.BREACH):
        if state.data is Reading.PASS and state.absent_since_ns is None:
            return state, None
        reason = Reason.NO_DATA_RESOLVED if state.absence is not None else None
        return replace(state, data=Reading.PASS, absent_count=0, absent_since_ns=None, absence=None), reason
    if reading in (Reading.INSUFFICIENT, Reading.INAPPLICABLE):
        changed = state if state.data is reading else replace(state, data=reading)
        return changed, Reason.INSUFFICIENT if reading is Reading.INSUFFICIENT else None
    if state.absence is not None or (rule.no_data is NoData.HOLD and state.absent_since_ns is not None):
        same = state if state.data is Reading.ABSENT else replace(state, data=Reading.ABSENT)
        return same, Reason.STILL_NO_DATA if state.absence is not None else None
    since = at_ns if state.absent_since_ns is None else state.absent_since_ns
    absent = replace(state, data=Reading.ABSENT, absent_count=state.absent_count + 1, absent_since_ns=since)
    enough = absent.absent_count >= rule.for_count and lasted(since, at_ns) >= rule.for_ns
    if rule.no_data is NoData.HOLD or (rule.no_data is NoData.HALT and not enough):
        return absent, None
    return replace(
        absent, absence=Episode(state.episode + 1, at_ns), episode=state.episode + 1
    ), Reason.NO_DATA
