"""Plays generated messages into a transport at a multiple of real time.

Two ways to map time, both safe however slow the machine is:

- *Memory transport*: the transport's clock is the playback's own (`Playback.now_ns` goes to `MemoryLog` as
  its clock). It stands at the event time up to which everything is published and moves only with the player,
  so that a stalled process never looks like a silent stream: idleness, `max_future` and record timestamps are
  all judged in story time.
- *A real broker*: its clock cannot be scaled. The story then starts at the wall clock's now and runs ahead of
  it, as far as a story lasts, so its configuration allows a `max_future` of an hour. What is judged by the
  wall clock lies behind the story and can only hold the watermark back, never push it over rows to come.

A step never covers more than `MAX_STEP_NS` of event time: after a stall the story goes on later, not faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from monitor.demo.message import Message
from monitor.transport.contract import Outgoing, Transport
from monitor.transport.memory import MemoryLog

STEP_S = 0.02
MAX_STEP_NS = 250_000_000

Publish = Callable[[Sequence[Message]], Awaitable[None]]
"""Writes messages, in order, to the input topics of a transport."""

Sleep = Callable[[float], Awaitable[None]]


class Playback:
    """Where a story stands: event time from `start_ns` on, `speed` times as fast as `wall_ns`.

    `wall_ns` is a monotonic clock in ns.
    """

    def __init__(self, start_ns: int, speed: float, wall_ns: Callable[[], int]) -> None:
        if speed <= 0:
            raise ValueError(f"speed is {speed}; it must be larger than 0")
        self._now_ns = start_ns
        self._speed = speed
        self._wall_ns = wall_ns
        self._read_ns: int | None = None

    def now_ns(self) -> int:
        """The clock of the story: everything up to here is published."""
        return self._now_ns

    def due_ns(self) -> int:
        """How far the story may go now: real time since the last call, scaled, at most `MAX_STEP_NS`."""
        read_ns = self._wall_ns()
        passed = 0 if self._read_ns is None else int((read_ns - self._read_ns) * self._speed)
        self._read_ns = read_ns
        return self._now_ns + min(passed, MAX_STEP_NS)

    def arrive(self, at_ns: int) -> None:
        """Everything up to `at_ns` is published."""
        self._now_ns = max(self._now_ns, at_ns)


async def play(
    messages: Iterable[Message], publish: Publish, playback: Playback, sleep: Sleep = asyncio.sleep
) -> None:
    """Publishes every message when its time has come; returns after the last."""
    batch: list[Message] = []
    due_ns = playback.due_ns()
    for message in messages:
        while message.ts_ns > due_ns:
            if batch:
                await publish(batch)
                batch = []
            playback.arrive(due_ns)
            await sleep(STEP_S)
            due_ns = playback.due_ns()
        batch.append(message)
    if batch:
        await publish(batch)
    playback.arrive(due_ns)


def into_memory(log: MemoryLog) -> Publish:
    """Publishes into the log inside the process, as a plain producer does."""

    async def publish(messages: Sequence[Message]) -> None:
        for message in messages:
            log.publish_input(message.stream, message.key, message.value, message.ts_ns)

    return publish


def into_transport(transport: Transport) -> Publish:
    """Publishes through a started transport, outside any transaction; the key chooses the partition."""

    async def publish(messages: Sequence[Message]) -> None:
        await transport.publish([Outgoing(m.stream, None, m.key, m.value) for m in messages])

    return publish
