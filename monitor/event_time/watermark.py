"""`Watermark`: how far time has passed for one partition task, and what silence does to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from monitor.event_time.timing import Timing
from monitor.wire.table import NO_TIME


class Watermark:
    """W = the smallest bound of the inputs, never back.

    Each input has its bound, and beside it a *front*: the bound raised by idleness or a full buffer. Only
    fronts are raised; fates are judged by bounds, so a raise loses nothing: a row that then comes below W is
    folded behind.
    """

    def __init__(self, timing: Timing, inputs: Iterable[str], value: int = NO_TIME) -> None:
        self._timing = timing
        self.value = value
        self._front = dict.fromkeys(inputs, NO_TIME)
        self._idle = dict.fromkeys(self._front, False)
        self._heard: dict[str, int] = {}
        self._ended: set[str] = set()
        self._past: deque[tuple[int, dict[str, int], int]] = deque()

    @property
    def all_idle(self) -> bool:
        """No input has a row to offer."""
        return all(self._idle.values())

    def front(self, stream: str) -> int:
        """The raised bound of an input."""
        return self._front[stream]

    def slowest(self) -> list[str]:
        """The inputs that hold W back; none when all have ended."""
        running = {stream: front for stream, front in self._front.items() if stream not in self._ended}
        low = min(running.values(), default=NO_TIME)
        return [stream for stream, front in running.items() if front == low]

    def heard(self, stream: str, bound: int, now: int) -> None:
        """Rows were read, and left the input at `bound`."""
        self._front[stream] = max(self._front[stream], bound)
        self._idle[stream] = False
        self._heard[stream] = now

    def silent(self, stream: str, now: int, sent: int) -> None:
        """A fetch sent at `sent` came back empty at the last stable offset.

        `idle_after` after its last row the input lets W rise to the other bounds as they stood at `sent`.
        When all inputs are idle, W rises to the largest of their bounds, of the smallest watermark of the
        tasks that are not all idle, and of the clock - `idle_grace`: these, too, as they stood at `sent`,
        since after a pause the log may hold more than the fetch saw.
        """
        if now - self._heard.setdefault(stream, now) < self._timing.idle_after:
            return
        self._idle[stream] = True
        then, others = self._as_of(sent)
        if self.all_idle:
            target = max(*then.values(), others, sent - self._timing.idle_grace)
        else:
            target = min(front for name, front in then.items() if name != stream and not self._idle[name])
        self._front[stream] = max(self._front[stream], target)

    def remember(self, now: int, others: int = NO_TIME) -> None:
        """Note the fronts as they stand at `now`, for fetches that are sent from here on.

        `others`: the smallest watermark of the tasks that are not all idle; NO_TIME where there is none.
        """
        if not self._past or self._past[-1][1:] != (self._front, others):
            self._past.append((now, dict(self._front), others))
        while len(self._past) > 1 and self._past[1][0] <= now - 2 * self._timing.idle_grace:
            self._past.popleft()

    def _as_of(self, sent: int) -> tuple[dict[str, int], int]:
        """Fronts and the watermark of others as they stood."""
        for at, fronts, others in reversed(self._past):
            if at <= sent:
                return fronts, others
        return dict.fromkeys(self._front, NO_TIME) if self._past else self._front, NO_TIME

    def force(self, time: int) -> None:
        """Raise every front to `time`: the buffer is full."""
        for stream, front in self._front.items():
            self._front[stream] = max(front, time)

    def end(self, stream: str) -> None:
        """An input of a replay has no further row: it no longer holds W back."""
        self._ended.add(stream)

    def advance(self, until: int | None = None) -> int:
        """Raise W to the smallest front of the inputs that have not ended, at most to `until`."""
        running = [front for stream, front in self._front.items() if stream not in self._ended]
        low = min(running, default=NO_TIME)
        self.value = max(self.value, low if until is None else min(low, until))
        return self.value

    def finish(self, time: int) -> None:
        """All inputs of a replay have ended: W becomes `time`."""
        self.value = max(self.value, time)
