"""`Worker`: one thread that scores one batch at a time and refuses another until it is free: nothing queues
up behind a model that hangs. A daemon thread, so that such a model cannot hold up the end of the process
either."""

from __future__ import annotations

import asyncio
import contextlib
from queue import SimpleQueue
from threading import Thread

from monitor.models.role import Batch, Clock


class Worker:
    """Belongs to one role and one event loop."""

    __slots__ = ("_clock", "_inbox", "_thread", "busy")

    def __init__(self, name: str, clock: Clock) -> None:
        self._clock = clock
        self._inbox: SimpleQueue[tuple[Batch, int, asyncio.Future[None]] | None] = SimpleQueue()
        self.busy = False
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def offer(self, batch: Batch, slice_rows: int) -> asyncio.Future[None] | None:
        """Start on a batch; the future is done when the thread has left it. None while another holds the
        thread."""
        if self.busy:
            return None
        self.busy = True
        left = asyncio.get_running_loop().create_future()
        self._inbox.put((batch, slice_rows, left))
        return left

    def close(self, wait_s: float) -> None:
        """Let the thread end, and wait for it so long; one that hangs in a run is left behind."""
        self._inbox.put(None)
        self._thread.join(wait_s)

    def _work(self) -> None:
        while (errand := self._inbox.get()) is not None:
            batch, slice_rows, left = errand
            while batch.open:
                batch.step(slice_rows, self._clock)
            self.busy = False
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits
                left.get_loop().call_soon_threadsafe(_settle, left)


def _settle(left: asyncio.Future[None]) -> None:
    if not left.done():
        left.set_result(None)
