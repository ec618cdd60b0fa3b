"""`Readiness`: whether this replica does its work, and if not, why. Told by the daemon; knows no HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from monitor.wire.table import NO_TIME

LAG_LIMIT_NS = 30_000_000_000
"""How far a task may be behind the clock and still count as ready."""


class Readiness:
    """Ready: partitions are assigned, and each one's task is restored and not far behind.

    A task is restored only after its models' scorers were made. A replica without a partition is ready: it
    stands by. Lag is judged by the clock when asked, so that a task that hangs does not stay ready.

    Args:
        clock: ns since the Unix epoch, comparable with event time.
        lag_limit_ns: the most that a task's watermark may be behind `clock`.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns, *, lag_limit_ns: int = LAG_LIMIT_NS) -> None:
        self._clock, self._limit = clock, lag_limit_ns
        self._assigned: frozenset[int] | None = None
        self._watermarks: dict[int, int] = {}

    def assigned(self, partitions: Collection[int]) -> None:
        """These, and no others, are this replica's."""
        self._assigned = frozenset(partitions)

    def restored(self, task: int) -> None:
        """The task has its state back, and reads on from it."""
        self._watermarks[task] = NO_TIME

    def reached(self, task: int, watermark_ns: int) -> None:
        """The task's event time has passed to `watermark_ns`."""
        if task in self._watermarks:
            self._watermarks[task] = watermark_ns

    def lost(self, task: int) -> None:
        """The task has ended, for whatever reason."""
        self._watermarks.pop(task, None)

    def reasons(self) -> list[str]:
        """Why this replica is not ready, each a sentence for a person; empty: it is."""
        assigned = self._assigned
        if assigned is None:
            return ["no partitions have been assigned yet"]
        now, watermarks = self._clock(), dict(self._watermarks)
        return [
            reason
            for task in sorted(assigned)
            if (reason := self._reason(task, watermarks.get(task), now)) is not None
        ]

    def _reason(self, task: int, watermark: int | None, now: int) -> str | None:
        if watermark is None:
            return f"task {task}: its state is not restored"
        if watermark == NO_TIME:
            return f"task {task}: has not seen time pass yet"
        lag = now - watermark
        if lag > self._limit:
            return f"task {task}: {lag / 1e9:.1f} s behind, more than {self._limit / 1e9:g} s"
        return None
