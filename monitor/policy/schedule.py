"""`Schedule`: when rules are due and when they sleep, by the grids and the calendar of the deployment.

Outside the calendar time passes and rules sleep: none is evaluated, nothing is no data, counters and phases
stay as they are, and no time counts towards `for` or `keep_firing_for`. A command works at any hour, and so
does a rule that never sleeps (`Rule.sleeps`). In the first minute after an opening rules judge the values
that there are, and wait for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.policy.durations import DAY, SECOND
from monitor.policy.rules import Grids, Rule

OPENING_NS = 60 * SECOND
"""How long after an opening it is no news that there are no data yet."""


class Calendar(Protocol):
    """The sessions of a deployment: half-open spans of ns, which never overlap."""

    def session_at(self, ns: int, /) -> tuple[int, int] | None:
        """The session that the time lies in."""

    def next_session(self, ns: int, /) -> tuple[int, int] | None:
        """The first session that starts then or later."""

    def open_between(self, from_ns: int, to_ns: int, /) -> int:
        """Time in sessions, ns."""


class Schedule:
    """The instants at which rules are due.

    An instant stands for the events before it: rules are awake at T where the time just before T lies in a
    session, so at the close and not at the opening. A rule with `schedule: 1d` is due once a session: at the
    first instant for evaluations at or after its close.
    """

    def __init__(self, grids: Grids, calendar: Calendar) -> None:
        self._grids, self._calendar = grids, calendar

    def awake(self, at_ns: int) -> bool:
        """Whether rules are evaluated at the instant `at_ns`."""
        return self._calendar.session_at(at_ns - 1) is not None

    def opening(self, at_ns: int) -> bool:
        """Whether the calendar has just opened: windows are empty, marks are those of the last close."""
        session = self._calendar.session_at(at_ns - 1)
        if session is None or at_ns - session[0] > OPENING_NS:
            return False
        return self._calendar.session_at(session[0] - 1) is None

    def closes(self, at_ns: int) -> bool:
        """Whether `at_ns` is the instant at which a session is closed."""
        interval = self._grids.evaluation_ns
        if at_ns % interval:
            return False
        session = self._calendar.session_at(at_ns - interval)
        return session is not None and session[1] <= at_ns

    def due(self, rule: Rule, at_ns: int) -> bool:
        """Whether the rule is evaluated at `at_ns`: awake, or without sleep, at a multiple of its period;
        daily at closes."""
        period = rule.period_ns(self._grids)
        if period == DAY:
            return self.closes(at_ns)
        return at_ns % period == 0 and (not rule.sleeps or self.awake(at_ns))

    def waking(self, from_ns: int, to_ns: int) -> int:
        """How much of the time between two instants rules were awake, ns."""
        return self._calendar.open_between(from_ns, to_ns)

    def settled(self, since_ns: int, at_ns: int, patience_ns: int) -> bool:
        """Whether a silence since `since_ns` holds nothing more for the rules at `at_ns`.

        It has lasted longer than `patience_ns`, and rules were awake in it for as long, or sleep.
        """
        if at_ns - since_ns <= patience_ns:
            return False
        return not self.awake(at_ns) or self.waking(since_ns, at_ns) > patience_ns

    def call(self, rules: Sequence[Rule], since_ns: int, at_ns: int, patience_ns: int) -> int | None:
        """The first instant after `at_ns` that rules must see although the silence has settled.

        That is where they wake, if they slept through what they have to see of it: a feed that died overnight
        is known at the opening. And for rules of closes, the close of a session that began before they had
        seen `patience_ns` of the silence: without it a quiet afternoon would hide the day.
        """
        calls = []
        if not self.awake(at_ns) and self.waking(since_ns, at_ns) <= patience_ns:
            opening = self._calendar.next_session(at_ns)
            if opening is not None:
                calls.append((opening[0] // self._grids.tick_ns + 1) * self._grids.tick_ns)
        if any(rule.period_ns(self._grids) == DAY for rule in rules):
            interval = self._grids.evaluation_ns
            session = self._calendar.session_at(at_ns - at_ns % interval)
            if session is not None and self.waking(since_ns, session[0]) <= patience_ns:
                calls.append(-(-session[1] // interval) * interval)
        return min(calls, default=None)
