"""`App`: the daemon's life: one TaskGroup, a supervisor for each partition task, a clean end on a signal."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from monitor.daemon.group import Group
from monitor.daemon.partition_task import Board, Listener, Log, PartitionTask, Place
from monitor.errors import MonitorError, Poisoned, TransportError
from monitor.models.scoring import Scorer
from monitor.transport.contract import Transport

STOP_WITHIN_S = 5.0
COMMIT_WITHIN_S = 3.0
"""How long an ending task may take to commit."""

LEAVE_S = 0.8
"""What of a stop is kept for leaving the group."""

BACKOFF_S = (0.2, 10.0)
CRASHES = 3
"""Failures of the core before it has passed the place of the first: then the same record is to blame."""


class _Held(NamedTuple):
    """A partition's supervisor, and the word that the partition is to be given up."""

    supervisor: asyncio.Task[None]
    released: asyncio.Event


class App:
    """Runs the partition tasks that the transport assigns, until it is stopped.

    `started` is set once the transport is. `services`: what runs beside the tasks (HTTP); each is a coroutine
    function that ends when cancelled.
    """

    def __init__(
        self,
        group: Group,
        transport: Transport,
        scorers: Callable[[], Mapping[str, Scorer]],
        log: Log,
        listener: Listener,
        *,
        measured: bool,
        services: tuple[Callable[[], Awaitable[None]], ...] = (),
    ) -> None:
        self._group, self._transport, self._scorers = group, transport, scorers
        self._log, self._listener, self._measured = log, listener, measured
        self._services = services
        self._board = Board()
        self._stopping = asyncio.Event()
        self._deadline = 0.0
        self._tasks: dict[int, PartitionTask] = {}
        self.started = asyncio.Event()
        self._failure: MonitorError | None = None
        self._uncommitted = False

    def stop(self) -> None:
        """Commit and leave; within 5 s or uncommitted."""
        if not self._stopping.is_set():
            self._deadline = asyncio.get_running_loop().time() + STOP_WITHIN_S
            self._stopping.set()

    async def run(self) -> int:
        """Until stopped: 0 when everything was committed, 1 otherwise.

        Raises:
            MonitorError: what no restart can cure: state, poison, topics, a port that is taken.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        try:
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(_service(service)) for service in self._services]
                running.append(group.create_task(self._hold()))
                await self._stopping.wait()
                for task in running:
                    task.cancel()
        except* MonitorError as errors:
            self._failure = self._failure or _first(errors)
        finally:
            self.stop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            await self._leave()
        if self._failure is not None:
            raise self._failure
        return 1 if self._uncommitted else 0

    def _signalled(self) -> None:
        if self._stopping.is_set():
            raise SystemExit(1)
        self._log.info("stopping")
        self.stop()

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._transport.stop()
        except (TimeoutError, TransportError) as error:
            self._log.warning("left_without_goodbye", error=str(error) or "the broker did not answer")

    async def _hold(self) -> None:
        """Follow the assignment: a supervisor for each partition held."""
        await self._transport.start()
        self.started.set()
        held: dict[int, _Held] = {}
        async with asyncio.TaskGroup() as group:
            try:
                while True:
                    assigned = await self._transport.assigned()
                    self._log.info("assigned", partitions=sorted(assigned))
                    self._listener.assigned(assigned)
                    await self._end({p: held.pop(p) for p in list(held) if p not in assigned})
                    for partition in sorted(assigned - held.keys()):
                        released = asyncio.Event()
                        supervisor = group.create_task(self._supervise(partition, released))
                        held[partition] = _Held(supervisor, released)
            finally:
                await self._end(held)

    async def _end(self, held: Mapping[int, _Held]) -> None:
        """Let tasks commit and end; what is not done in time is cut off, and the log decides."""
        if not held:
            return
        for partition, (_, released) in held.items():
            released.set()
            if partition in self._tasks:
                self._tasks[partition].stop()
        _, late = await asyncio.wait([supervisor for supervisor, _ in held.values()], timeout=COMMIT_WITHIN_S)
        for supervisor in late:
            supervisor.cancel()
        if late:
            self._uncommitted |= self._stopping.is_set()
            self._log.warning("stopped_uncommitted", tasks=len(late))
            await asyncio.wait(late)

    async def _supervise(self, partition: int, released: asyncio.Event) -> None:
        """Run a partition task; start it afresh when it fails or was revoked, since the log decides."""
        crashes, pause, ended = 0, BACKOFF_S[0], True
        suspect: Place | None = None
        while not released.is_set():
            try:
                lease = self._transport.lease(partition)
            except TransportError as error:
                self._log.info("not_ours_now", task=partition, why=str(error))
                await _pause(released, pause)
                continue
            task = PartitionTask(
                self._group,
                self._transport,
                lease,
                self._board,
                self._scorers,
                self._log,
                self._listener,
                measured=self._measured,
                aside=asyncio.to_thread,
            )
            self._tasks[partition] = task
            ended = False
            try:
                await task.run()
                ended = True
            except TransportError as error:
                self._log.warning("task_restarts", task=partition, error=str(error))
            except MonitorError as error:
                self._fail(error)
                return
            except Exception as error:
                crashes = 1 if suspect is None or task.committed.beyond(suspect) else crashes + 1
                suspect = task.reached
                self._log.warning(
                    "task_crashed", task=partition, error=repr(error), crashes=crashes, exc_info=True
                )
                if crashes >= CRASHES:
                    self._fail(
                        Poisoned(
                            f"task {partition}: the core raised {crashes} times before it had passed "
                            f"{task.reached}: {error!r}. Remedy: report it with the records up to there; "
                            "nothing of what raised is committed."
                        )
                    )
                    return
            finally:
                del self._tasks[partition]
                self._listener.lost(partition)
                await self._close(task)
            pause = BACKOFF_S[0] if task.commits else min(2 * pause, BACKOFF_S[1])
            await _pause(released, pause * random.uniform(0.5, 1.5))
        self._uncommitted |= self._stopping.is_set() and not ended

    async def _close(self, task: PartitionTask) -> None:
        """Give up a task's lease in order, while there is time."""
        limit = self._deadline - LEAVE_S if self._stopping.is_set() else None
        try:
            async with asyncio.timeout_at(limit):
                await task.close()
        except TimeoutError:
            self._log.warning("lease_not_closed", error="the broker did not answer")

    def _fail(self, error: MonitorError) -> None:
        self._failure = self._failure or error
        self.stop()


async def _service(run: Callable[[], Awaitable[None]]) -> None:
    await run()


async def _pause(released: asyncio.Event, seconds: float) -> None:
    """Wait, but not once the partition is released."""
    try:
        async with asyncio.timeout(seconds):
            await released.wait()
    except TimeoutError:
        pass


def _first(errors: BaseExceptionGroup[MonitorError]) -> MonitorError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
