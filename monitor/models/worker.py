"""`Worker`: one thread that scores one batch at a time and refuses another until it is free: nothing queues
up behind a model that hangs. A daemon thread, so that such a model cannot hold up the end of the process
either."""

from __future__ import annotations

import asyncio
import contextlib
from queue import SimpleQueue
from threading import Thread
from typing import Final

from monitor.models.role import Batch, Clock, Role

INTERRUPTIONS: Final = 10
INTERRUPTION_S: Final = 0.1


class Worker:
    """Belongs to one role and one event loop."""

    __slots__ = ("_clock", "_inbox", "_role", "_thread", "busy")

    def __init__(self, role: Role, clock: Clock) -> None:
        self._role = role
        self._clock = clock
        self._inbox: SimpleQueue[tuple[Batch, int, asyncio.Future[None]] | None] = SimpleQueue()
        self.busy = False
        self._thread = Thread(target=self._work, name=f"score-{role.name}", daemon=True)
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

    def close(self) -> None:
        """End the thread, interrupting a run that still goes on; one that ignores this for a second is left.

        A thread that comes back from ONNX Runtime while the interpreter shuts down aborts the process.
        """
        self._inbox.put(None)
        for _ in range(INTERRUPTIONS):
            if self.busy:
                self._role.model.interrupt()
            self._thread.join(INTERRUPTION_S)
            if not self._thread.is_alive():
                return

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
