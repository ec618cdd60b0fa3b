"""What the memory log adds to the contract: a clock moved by hand, and a crash at any await."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import Fenced, TransportError
from monitor.transport.contract import ALERTS, COMMANDS, FEATURES, ORDERS, PARTIALS, STATE, Lease, Outgoing
from monitor.transport.memory import MemoryLog, MemoryTransport

SECOND = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end by hand."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value


def steps(coroutine: Coroutine[Any, Any, Any], n: int) -> bool:
    """Run up to the n-th suspension; whether it got there."""
    for _ in range(n):
        try:
            coroutine.send(None)
        except StopIteration:
            return False
    return True


def owner(log: MemoryLog, partition: int = 0, **more: Any) -> Lease:
    lease = MemoryTransport(log, "group", **more).lease(partition)
    drive(lease.fence())
    return lease


BATCH = [
    Outgoing(STATE, 0, b"k", b"new"),
    Outgoing(PARTIALS, 0, None, b"p"),
    Outgoing(ALERTS, None, b"d", b"a"),
]


def test_a_commit_crashed_at_any_await_is_whole_or_absent() -> None:
    outcomes = []
    for crash_at in range(1, 20):
        log = MemoryLog(2, Clock())
        lease = owner(log)
        drive(lease.commit([Outgoing(STATE, 0, b"k", b"old")]))
        commit = lease.commit(BATCH)
        crashed = steps(commit, crash_at)
        commit.close()
        successor = owner(log)
        state = drive(successor.load_state())
        seen = (log.committed(PARTIALS, 0), log.committed(ALERTS, 0))
        if state == {b"k": b"new"}:
            assert [len(s) for s in seen] == [1, 1]
        else:
            assert state == {b"k": b"old"}
            assert seen == ([], [])
        outcomes.append(state[b"k"])
        if not crashed:
            break
    # Before the first send, after each of the three, after the end before returning, not at all.
    assert outcomes == [b"old"] * 4 + [b"new"] * 2


def test_two_owners_in_turn_never_both_commit() -> None:
    for overtaken_at in range(1, 5):
        log = MemoryLog(2, Clock())
        old = owner(log)
        commit = old.commit(BATCH)
        steps(commit, overtaken_at)
        new = owner(log)
        with pytest.raises(Fenced):
            drive(commit)
        drive(new.commit([Outgoing(PARTIALS, 0, None, b"mine")]))
        assert [r.value for r in log.committed(PARTIALS, 0)] == [b"mine"]
        with pytest.raises(TransportError):
            drive(old.commit(BATCH))


def test_a_transaction_left_open_pins_readers_until_it_times_out() -> None:
    clock = Clock()
    log = MemoryLog(2, clock)
    hung = owner(log)
    commit = hung.commit([Outgoing(COMMANDS, 0, b"d", b"x")])
    steps(commit, 2)
    log.publish_input(COMMANDS, b"d", b"behind")
    assert log.committed(COMMANDS, 0) == []
    clock.now += 9 * SECOND
    assert log.committed(COMMANDS, 0) == []
    clock.now += 2 * SECOND
    assert [r.value for r in log.committed(COMMANDS, 0)] == [b"behind"]
    with pytest.raises(Fenced):
        drive(commit)


def test_markers_take_offsets() -> None:
    log = MemoryLog(1, Clock())
    lease = owner(log)
    for value in (b"a", b"b"):
        drive(lease.commit([Outgoing(PARTIALS, 0, None, value)]))
    assert [r.offset for r in log.committed(PARTIALS, 0)] == [0, 2]
    assert drive(lease.read(PARTIALS, 0, 0, 10))[1] == 4


def test_compaction_keeps_the_last_committed_value_only() -> None:
    log = MemoryLog(1, Clock())
    lease = owner(log)
    for i in range(50):
        drive(
            lease.commit(
                [Outgoing(STATE, 0, b"k", b"%d" % i), Outgoing(STATE, 0, b"k%d" % (i % 3), b"%d" % i)]
            )
        )
    assert sorted((r.key, r.value) for r in log.committed(STATE, 0)) == [
        (b"k", b"49"),
        (b"k0", b"48"),
        (b"k1", b"49"),
        (b"k2", b"47"),
    ]


def test_under_a_clock_moved_by_hand_a_fetch_does_not_wait() -> None:
    clock = Clock()
    log = MemoryLog(1, clock)
    lease = owner(log)
    drive(lease.seek(FEATURES, None))
    fetch = lease.fetch({FEATURES: 10}, 60.0)
    fetch.send(None)
    clock.now += SECOND
    (fetched,) = drive(fetch)
    assert fetched.at_end
    assert fetched.sent_ns == clock.now - SECOND


def test_a_reassignment_revokes_what_moved_and_tells_once() -> None:
    log = MemoryLog(3, Clock())
    transport = MemoryTransport(log, "group", {0, 1})
    assert drive(transport.assigned()) == {0, 1}
    kept, moved = transport.lease(0), transport.lease(1)
    waiting = transport.assigned()
    waiting.send(None)
    transport.assign({0, 2})
    assert drive(waiting) == {0, 2}
    assert (kept.revoked, moved.revoked) == (False, True)
    drive(moved.seek(FEATURES, None))
    assert drive(moved.fetch({FEATURES: 1}, 0)) == []
    with pytest.raises(TransportError):
        transport.lease(1)


def test_inputs_with_unequal_partition_counts_are_refused_at_start() -> None:
    transport = MemoryTransport(MemoryLog(2, Clock(), counts={ORDERS: 3}), "group")
    with pytest.raises(TransportError, match="co-partitioned"):
        drive(transport.start())


def test_a_state_behind_an_open_transaction_fails_instead_of_waiting_for_ever() -> None:
    clock = Clock()
    log = MemoryLog(1, clock, transaction_timeout_ns=3600 * SECOND)
    epoch = log.fence("foreign")
    log.send("foreign", epoch, Outgoing(STATE, 0, b"k", b"x"))
    load = owner(log).load_state()
    for _ in range(10):
        load.send(None)
    clock.now += 31 * SECOND
    with pytest.raises(TransportError, match="stuck"):
        drive(load)


@given(keys=st.lists(st.binary(max_size=40), max_size=30), partitions=st.integers(1, 50))
def test_keys_go_where_the_common_client_puts_them(keys: list[bytes], partitions: int) -> None:
    log = MemoryLog(partitions, Clock())
    everywhere = list(range(partitions))
    place = DefaultPartitioner()
    for key in keys:
        expected = place(key, everywhere, everywhere)
        assert log.publish_input(FEATURES, key, b"")[0] == expected
