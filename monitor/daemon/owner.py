"""`Owner`: the shell of fold 2. Folds the committed partials of all tasks and says when each instant is due.

It runs inside the task that owns the deployment and shares its commits.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from monitor.engine import marks, partials
from monitor.engine.deployment import DeploymentFold
from monitor.engine.partials import Partial
from monitor.engine.readings import Heavy
from monitor.state.records import OwnerOffsets
from monitor.transport.contract import PARTIALS, Lease

READ_LIMIT = 500
SLICE_INSTANTS = 50
"""Instants evaluated before the event loop is given back."""

SHOW_S = 0.01
"""Clock time after which a step begins no further value that is only shown."""

Aside = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs work that takes milliseconds where it does not hold up the event loop (`asyncio.to_thread`)."""


@dataclass(slots=True)
class _Task:
    """What the owner knows of one task: partials not yet folded, with their offsets, and how far it came."""

    read: int
    folded: int
    waiting: deque[tuple[int, Partial]] = field(default_factory=deque)
    passed: int | None = None


class _Shown:
    """Heavy values that people are shown, as rules may not ask for all.

    Each is due once its schedule has an instant; a few are made in each step, so that none makes the next
    instant late.
    """

    def __init__(self, fold: DeploymentFold) -> None:
        self._fold = fold
        self._by_schedule: dict[int, list[Heavy]] = {}
        for heavy in fold.heavy:
            every = fold.grid.schedule(heavy.metric.family.every_ns)
            self._by_schedule.setdefault(every, []).append(heavy)
        self._passed: dict[int, int] = {}
        self._waiting: dict[Heavy, None] = {}

    def waiting(self) -> list[Heavy]:
        """Those due and not made yet, of one window: they rest on the same panes."""
        at = self._fold.at
        for every, heavy in self._by_schedule.items():
            if at is not None and at // every > self._passed.get(every, -1):
                self._passed[every] = at // every
                self._waiting.update(dict.fromkeys(heavy))
        window = next((heavy.window for heavy in self._waiting), None)
        return [heavy for heavy in self._waiting if heavy.window == window]

    def make(self, waiting: Sequence[Heavy], work: Sequence[Callable[[], None]]) -> None:
        """Do as much of the work, one call for each that waits, as time allows."""
        until = time.perf_counter() + SHOW_S
        for heavy, call in zip(waiting, work, strict=True):
            call()
            del self._waiting[heavy]
            if time.perf_counter() >= until:
                return


class Owner:
    """One deployment's owner. `task_deadline`, `idle_grace` in ns.

    Partials made under another configuration than `digest` are not folded: panes of two never mix. `aside`
    runs what takes milliseconds; nothing is folded meanwhile.
    """

    def __init__(
        self,
        name: str,
        digest: str,
        fold: DeploymentFold,
        partitions: int,
        *,
        task_deadline: int,
        idle_grace: int,
        aside: Aside,
        offsets: OwnerOffsets | None = None,
    ) -> None:
        self.name, self._digest = name, digest
        self.fold = fold
        self._aside = aside
        self._shown = _Shown(fold)
        self.marks: list[marks.Mark] = []
        self._deadline, self._grace = task_deadline, idle_grace
        starts = offsets.partials if offsets else [0] * partitions
        self._tasks = [_Task(start, start) for start in starts]
        self._began: int | None = None
        self._absent: frozenset[int] = frozenset()
        self._reached: deque[tuple[int, int]] = deque()

    @property
    def offsets(self) -> OwnerOffsets:
        """Per partition the first partial not yet folded."""
        return OwnerOffsets([task.folded for task in self._tasks])

    async def step(self, lease: Lease, now: int) -> bool:
        """Read what was committed and evaluate every instant that is due; whether anything was evaluated."""
        if self._began is None:
            self._began = now
        for number, task in enumerate(self._tasks):
            records, task.read = await lease.read(PARTIALS, number, task.read, READ_LIMIT)
            for record in records:
                assert record.value is not None
                partial = partials.decode(record.value)
                if (partial.deployment, partial.digest) == (self.name, self._digest):
                    task.waiting.append((record.offset, partial))
                    task.passed = partial.at if task.passed is None else max(task.passed, partial.at)
            if not task.waiting:
                task.folded = task.read
        furthest = max((task.passed for task in self._tasks if task.passed is not None), default=None)
        if furthest is None:
            return False
        if not self._reached or furthest > self._reached[-1][0]:
            self._reached.append((furthest, now))
        evaluated, behind = await self._evaluate(now)
        if not behind:
            await self._show()
        return evaluated

    async def _evaluate(self, now: int) -> tuple[bool, bool]:
        """Whether an instant was evaluated, and whether more may be due."""
        evaluated = False
        for _ in range(SLICE_INSTANTS):
            at = self._next(now)
            while len(self._reached) > 1 and (at is None or self._reached[0][0] < at):
                self._reached.popleft()
            if at is None:
                break
            absent = frozenset(n for n, t in enumerate(self._tasks) if t.passed is None or t.passed < at)
            if len(absent) == len(self._tasks) or (absent and self._waits(at, absent, now)):
                break
            if self.fold.at is None or self.fold.settled:
                self.marks.append(marks.Start(deployment=self.name, at=at))
            if absent:
                self.marks.append(marks.Missing(deployment=self.name, at=at, tasks=sorted(absent)))
            self._absent = absent
            parts = {n: self._up_to(t, at) for n, t in enumerate(self._tasks) if n not in absent}
            self.fold.fold(at, parts, absent)
            await self._make(self.fold.work(self.fold.asked))
            if self.fold.decide(now - at):
                self.marks.append(marks.Old(deployment=self.name, at=at, age_ns=now - at))
            evaluated = True
            if self.fold.decisions:
                return True, True
        else:
            return True, True
        return evaluated, False

    async def _make(self, work: Sequence[Callable[[], None]]) -> None:
        def run() -> None:
            for call in work:
                call()

        if work:
            await self._aside(run)

    async def _show(self) -> None:
        """Make some of the values that no rule asked for, as of the last evaluated instant."""
        waiting = self._shown.waiting()
        if waiting:
            work = self.fold.work(waiting)
            await self._aside(lambda: self._shown.make(waiting, work))

    def _next(self, now: int) -> int | None:
        """The next instant to evaluate; None while it cannot be known."""
        if self.fold.at is not None and not self.fold.settled:
            return self.fold.following
        if self.fold.at is not None:
            for task in self._tasks:
                while task.waiting and not self.fold.news(task.waiting[0][1]):
                    task.folded = task.waiting.popleft()[0] + 1
            changes = [p.at for t in self._tasks for _, p in t.waiting if self.fold.news(p)]
            return self.fold.resumption(min(changes, default=None))
        return self._start(now)

    def _start(self, now: int) -> int | None:
        """Where the grid starts: the smallest first instant, once every task has reported or is missing.

        Where no task has a row: at the largest instant reported, twice the idle grace after the owner began.
        """
        assert self._began is not None
        said = [p for t in self._tasks for _, p in t.waiting]
        if any(t.passed is None for t in self._tasks) and now - self._began < self._deadline + self._grace:
            return None
        firsts = [p.first for p in said if p.first is not None]
        if firsts:
            return min(firsts)
        if now - self._began < 2 * self._grace or not said:
            return None
        return max(p.at for p in said)

    def _waits(self, at: int, absent: frozenset[int], now: int) -> bool:
        """Whether to wait for absent tasks: `task_deadline` after the first task passed `at`.

        One that was missing already is not waited for until it is within the deadline of `at`.
        """
        awaited = [
            n
            for n in absent
            if not (n in self._absent and at - (self._tasks[n].passed or 0) > self._deadline)
        ]
        if not awaited:
            return False
        return now - self._reached[0][1] < self._deadline

    @staticmethod
    def _up_to(task: _Task, at: int) -> Sequence[Partial]:
        taken = []
        while task.waiting and task.waiting[0][1].at <= at:
            offset, partial = task.waiting.popleft()
            task.folded = offset + 1
            taken.append(partial)
        if not task.waiting:
            task.folded = task.read
        return taken
