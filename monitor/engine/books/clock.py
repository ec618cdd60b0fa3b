"""`Clock`: where time stands for the books: the session that runs, the one shown, where stretches are cut."""

from __future__ import annotations

from monitor.event_time.calendar import Calendar, Session


class Clock:
    """Event time alone, from instant to instant.

    `at`: the last instant taken, None before the first. `session`: that the running stretches lie in, None
    between two; `shown`: that the window `session` speaks of: an instant belongs to what came before it.
    `until`: where running stretches end: with their finest pane or session, or where a session or the window
    since promotion begins.
    """

    def __init__(self, calendar: Calendar, pane_ns: int, promoted_ns: int | None) -> None:
        self._calendar, self._pane, self._promoted = calendar, pane_ns, promoted_ns
        self.at: int | None = None
        self.session: Session | None = None
        self.shown: Session | None = None
        self.until = 0

    def resume(self, at: int) -> None:
        """Go on after the instant `at`."""
        self.at = at
        self.session, self.shown = self._calendar.session_at(at), self._calendar.last_session(at - 1)
        self.until = self._end(at)

    def begin(self, at: int, tick_ns: int) -> None:
        """The first instant is `at`: of a session that ends with it nothing was seen."""
        self.resume(at - tick_ns)
        if self.session is not None and at >= self.session.end_ns:
            self.session = None

    def enter(self, at: int) -> None:
        """New stretches begin at `at`."""
        if self.session is None or at >= self.session.end_ns:
            self.session = self._calendar.session_at(at)
        self.until = self._end(at)

    def slot(self, at: int) -> int:
        """Start of the finest pane that the time `at` lies in."""
        return at - at % self._pane

    def _end(self, at: int) -> int:
        end = self.slot(at) + self._pane
        if self.session is not None:
            end = min(end, self.session.end_ns)
        else:
            following = self._calendar.next_session(at)
            end = end if following is None else min(end, max(following.start_ns, at + 1))
        return end if self._promoted is None or self._promoted <= at else min(end, self._promoted)

    def closed(self, at: int) -> Session | None:
        """The last session that has ended by `at`."""
        last = self._calendar.last_session(at - 1)
        if last is not None and last.end_ns > at:
            last = self._calendar.last_session(last.start_ns - 1)
        return last

    def before(self, session: Session) -> Session | None:
        """The session before another."""
        return self._calendar.last_session(session.start_ns - 1)

    def open(self, at: int) -> bool:
        """Whether the instant `at` belongs to a session."""
        return self._calendar.is_open(at - 1)
