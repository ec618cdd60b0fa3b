"""`App`: the daemon's life: one TaskGroup, a supervisor for each partition task, a clean end on a signal."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Mapping

from monitor.daemon.group import Group
from monitor.daemon.partition_task import Board, Listener, Log, PartitionTask
from monitor.errors import MonitorError, Poisoned, TransportError
from monitor.models.scoring import Scorer
from monitor.transport.contract import Transport

STOP_WITHIN_S = 5.0
BACKOFF_S = (0.2, 10.0)
CRASHES = 3
"""Failures of the core without a commit between them: then the same record is to blame."""


class App:
    """Runs the partition tasks that the transport assigns, until it is stopped.

    `services`: what runs beside them (HTTP); each is a coroutine function that ends when cancelled.
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
        self._tasks: dict[int, PartitionTask] = {}
        self._failure: MonitorError | None = None
        self._late = False

    def stop(self) -> None:
        """Commit and leave; within 5 s or uncommitted."""
        self._stopping.set()

    async def run(self) -> int:
        """Until stopped: 0 when everything was committed, 1 otherwise.

        Raises:
            MonitorError: what no restart can cure: state, poison, topics.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        try:
            await self._transport.start()
            async with asyncio.TaskGroup() as group:
                services = [group.create_task(_service(service)) for service in self._services]
                holding = group.create_task(self._hold())
                await self._stopping.wait()
                holding.cancel()
                for service in services:
                    service.cancel()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            await self._leave()
        if self._failure is not None:
            raise self._failure
        return 1 if self._late else 0

    def _signalled(self) -> None:
        if self._stopping.is_set():
            raise SystemExit(1)
        self._log.info("stopping")
        self._stopping.set()

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._transport.stop()
        except (TimeoutError, TransportError) as error:
            self._log.warning("left_without_goodbye", error=str(error) or "the broker did not answer")

    async def _hold(self) -> None:
        """Follow the assignment: a supervisor for each partition held."""
        running: dict[int, asyncio.Task[None]] = {}
        try:
            while True:
                assigned = await self._transport.assigned()
                self._log.info("assigned", partitions=sorted(assigned))
                self._listener.assigned(assigned)
                for partition in [p for p in running if p not in assigned]:
                    await self._end({partition: running.pop(partition)})
                for partition in sorted(assigned - running.keys()):
                    running[partition] = asyncio.create_task(self._supervise(partition))
        finally:
            await self._end(running)

    async def _end(self, running: Mapping[int, asyncio.Task[None]]) -> None:
        """Let tasks commit and end; what is not done in time is cut off, and the log decides."""
        if not running:
            return
        for partition, supervisor in running.items():
            held = self._tasks.get(partition)
            if held is None:
                supervisor.cancel()
            else:
                held.stop()
        _, late = await asyncio.wait(running.values(), timeout=STOP_WITHIN_S - 1)
        for task in late:
            task.cancel()
        if late:
            self._late = True
            await asyncio.wait(late, timeout=1)
            self._log.warning("stopped_uncommitted", tasks=len(late))

    async def _supervise(self, partition: int) -> None:
        """Run a partition task; start it afresh when it fails or was revoked, since the log decides."""
        crashes, pause, stopped = 0, BACKOFF_S[0], False
        while not stopped:
            try:
                lease = self._transport.lease(partition)
            except TransportError as error:
                self._log.info("not_ours_now", task=partition, why=str(error))
                await asyncio.sleep(pause)
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
            )
            self._tasks[partition] = task
            try:
                await task.run()
                stopped = task.stopping
            except TransportError as error:
                self._log.warning("task_restarts", task=partition, error=str(error))
            except MonitorError as error:
                self._fail(error)
                return
            except Exception as error:
                crashes = 1 if task.commits else crashes + 1
                self._log.warning(
                    "task_crashed", task=partition, error=repr(error), crashes=crashes, exc_info=True
                )
                if crashes >= CRASHES:
                    where = ", ".join(f"{s}@{o}" for s, o in sorted(task.positions.items()))
                    self._fail(
                        Poisoned(
                            f"task {partition}: the core raised {crashes} times while reading {where}: "
                            f"{error!r}. Remedy: report it with these records; nothing of them is committed."
                        )
                    )
                    return
            finally:
                del self._tasks[partition]
                self._listener.lost(partition)
                await task.close()
            if not stopped:
                pause = BACKOFF_S[0] if task.commits else min(2 * pause, BACKOFF_S[1])
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))

    def _fail(self, error: MonitorError) -> None:
        self._failure = self._failure or error
        self._stopping.set()


async def _service(run: Callable[[], Awaitable[None]]) -> None:
    await run()
