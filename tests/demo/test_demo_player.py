"""The player: everything once, in order, when due; and a clock that no stall can push ahead of the stream."""

import asyncio

import pytest

from monitor.demo.message import Message
from monitor.demo.player import MAX_STEP_NS, Playback, into_memory, into_transport, play
from monitor.transport.contract import FEATURES, ORDERS
from monitor.transport.memory import MemoryLog, MemoryTransport

START_NS = 1_000 * 10**9


class Wall:
    """A wall clock that only sleeping moves; `stalls` are extra seconds by number of the sleep."""

    def __init__(self, stalls=()):
        self.ns = 5
        self.sleeps = 0
        self.stalls = dict(stalls)

    def __call__(self):
        return self.ns

    async def sleep(self, seconds):
        self.ns += int((seconds + self.stalls.get(self.sleeps, 0.0)) * 1e9)
        self.sleeps += 1


def stream(count, step_ns):
    return [Message(FEATURES, b"k", b"%d" % i, START_NS + i * step_ns) for i in range(count)]


def run(messages, speed, wall):
    """Publications as (messages, story time before, story time after), and the playback."""
    playback = Playback(START_NS, speed, wall)
    published = []

    async def publish(batch):
        published.append((list(batch), playback.now_ns(), wall.ns))

    asyncio.run(play(messages, publish, playback, wall.sleep))
    return published, playback


@pytest.mark.parametrize("speed", [0.5, 1.0, 5.0])
def test_everything_is_published_once_in_order_at_the_speed_asked_for(speed):
    messages = stream(200, 10_000_000)
    wall = Wall()
    published, _ = run(messages, speed, wall)
    assert [m for batch, _, _ in published for m in batch] == messages
    assert wall.ns / 1e9 == pytest.approx(1.99 / speed, abs=0.05)


@pytest.mark.parametrize("stalls", [{}, {3: 30.0, 4: 0.5}])
def test_the_story_clock_never_passes_what_is_not_yet_published(stalls):
    messages = stream(300, 10_000_000)
    published, playback = run(messages, 5.0, Wall(stalls.items()))
    for batch, now_ns, _ in published:
        assert now_ns <= batch[0].ts_ns
    assert playback.now_ns() >= messages[-1].ts_ns


def test_after_a_stall_the_story_goes_on_later_and_not_in_one_leap():
    published, _ = run(stream(3000, 1_000_000), 5.0, Wall({3: 30.0}.items()))
    assert max(batch[-1].ts_ns - now_ns for batch, now_ns, _ in published) <= MAX_STEP_NS


def test_a_gap_in_the_stream_is_waited_out():
    messages = [*stream(3, 1), Message(ORDERS, b"k", b"late", START_NS + 4 * 10**9)]
    wall = Wall()
    run(messages, 2.0, wall)
    assert wall.ns / 1e9 == pytest.approx(2.0, abs=0.05)


def test_a_story_that_does_not_move_is_refused():
    with pytest.raises(ValueError, match="larger than 0"):
        Playback(START_NS, 0.0, Wall())


def test_records_in_the_memory_log_carry_story_time():
    wall = Wall()
    playback = Playback(START_NS, 5.0, wall)
    log = MemoryLog(1, playback.now_ns)
    asyncio.run(play(stream(50, 10_000_000), into_memory(log), playback, wall.sleep))
    records = log.committed(FEATURES, 0)
    assert [(r.value, r.timestamp_ns) for r in records] == [
        (m.value, m.ts_ns) for m in stream(50, 10_000_000)
    ]


def test_messages_go_through_a_transport_to_the_partition_of_their_key():
    log = MemoryLog(2, lambda: START_NS)
    messages = [
        Message(FEATURES, key, b"x%d" % i, START_NS)
        for i, key in enumerate([b"BTCUSD", b"ETHUSD", b"BTCUSD"])
    ]
    asyncio.run(into_transport(MemoryTransport(log, "g"))(messages))
    assert [r.value for r in log.committed(FEATURES, 1)] == [b"x0", b"x2"]
    assert [r.value for r in log.committed(FEATURES, 0)] == [b"x1"]
