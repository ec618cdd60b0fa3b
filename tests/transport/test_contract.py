"""The transport contract, held by memory and by a real Kafka alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from transport_worlds import KafkaWorld, MemoryWorld, World, fetch_all, read_on, take_lease

from monitor.errors import Fenced, TransportError
from monitor.transport.contract import (
    ALERTS,
    DEAD_LETTERS,
    FEATURES,
    JOURNAL,
    ORDERS,
    PARTIALS,
    STATE,
    STATUS,
    Outgoing,
)


@pytest.fixture(params=["memory", "kafka"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = MemoryWorld() if request.param == "memory" else KafkaWorld(request.getfixturevalue("kafka"))
    await made.open()
    yield made
    await made.close()


def numbered(n: int, first: int = 0) -> list[bytes]:
    return [b"%d" % i for i in range(first, first + n)]


async def test_a_commit_is_visible_when_it_returns_and_in_all_topics(world: World) -> None:
    lease = await take_lease(await world.transport())
    records = [
        Outgoing(PARTIALS, 0, None, b"partial"),
        Outgoing(ALERTS, None, b"deployment", b"alert", (("schema-version", b"1"),)),
        Outgoing(STATE, 0, b"k", b"v"),
    ]
    await lease.commit(records)
    found, position = await read_on(lease, PARTIALS, 0, 0, 1)
    assert [r.value for r in found] == [b"partial"]
    assert position > found[0].offset
    assert await world.committed(ALERTS, 0) == [b"alert"]
    (alert,), _ = await read_on(lease, ALERTS, 0, 0, 1)
    assert alert.key == b"deployment"
    assert alert.headers == (("schema-version", b"1"),)
    assert await lease.load_state() == {b"k": b"v"}
    await lease.close()


async def test_a_zombie_is_fenced_and_leaves_nothing(world: World) -> None:
    transport = await world.transport()
    zombie = await take_lease(transport)
    await zombie.commit([Outgoing(STATE, 0, b"k", b"old")])
    owner = await take_lease(transport)
    with pytest.raises(Fenced):
        await zombie.commit([Outgoing(STATE, 0, b"k", b"zombie"), Outgoing(PARTIALS, 0, None, b"zombie")])
    await owner.commit([Outgoing(PARTIALS, 0, None, b"mine")])
    assert await owner.load_state() == {b"k": b"old"}
    assert await world.committed(PARTIALS, 0) == [b"mine"]
    with pytest.raises(TransportError):
        await zombie.commit([Outgoing(PARTIALS, 0, None, b"again")])
    await zombie.close()
    await owner.commit([Outgoing(PARTIALS, 0, None, b"still mine")])
    await owner.close()


async def test_a_commit_needs_a_fence(world: World) -> None:
    lease = (await world.transport()).lease(0)
    with pytest.raises(TransportError, match="before fence"):
        await lease.commit([Outgoing(PARTIALS, 0, None, b"x")])
    await lease.close()


async def test_a_commit_interrupted_half_way_is_never_seen(world: World) -> None:
    transport = await world.transport()
    lease = await take_lease(transport)
    await lease.commit([Outgoing(STATE, 0, b"k", b"before")])
    commit = lease.commit([Outgoing(STATE, 0, b"k%d" % i, b"half") for i in range(20)])
    if isinstance(world, MemoryWorld):
        for _ in range(15):
            commit.send(None)
        commit.close()
    else:
        task = asyncio.ensure_future(commit)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(TransportError):
        await lease.commit([Outgoing(STATE, 0, b"k", b"after")])
    owner = await take_lease(transport)
    assert await owner.load_state() == {b"k": b"before"}
    await lease.close()
    await owner.close()


async def test_state_is_the_latest_committed_value_by_key(world: World) -> None:
    lease = await take_lease(await world.transport(), 1)
    await lease.commit(
        [Outgoing(STATE, 1, b"a", b"1"), Outgoing(STATE, 1, b"b", b"1"), Outgoing(STATE, 1, b"c", b"1")]
    )
    await lease.commit([Outgoing(STATE, 1, b"a", b"2"), Outgoing(STATE, 1, b"b", None)])
    assert await lease.load_state() == {b"a": b"2", b"c": b"1"}
    assert await lease.load_state() == {b"a": b"2", b"c": b"1"}
    await lease.close()


async def test_an_empty_state_partition_ends_at_once(world: World) -> None:
    lease = await take_lease(await world.transport())
    began = time.monotonic()
    assert await lease.load_state() == {}
    assert time.monotonic() - began < 5
    await lease.close()


async def test_records_come_in_order_with_offset_key_and_time(world: World) -> None:
    await world.produce(FEATURES, 0, numbered(250), timestamp_ms=1_700_000_000_123)
    lease = await take_lease(await world.transport())
    assert await lease.seek(FEATURES, 10) == 10
    got = []
    while len(got) < 240:
        for fetched in await lease.fetch({FEATURES: 7}, 0.2):
            assert fetched.stream == FEATURES
            assert len(fetched.records) <= 7
            got += fetched.records
            if fetched.records:
                assert fetched.position == fetched.records[-1].offset + 1
                assert not fetched.at_end
    assert [r.offset for r in got] == list(range(10, 250))
    assert [r.value for r in got] == numbered(240, 10)
    assert {r.timestamp_ns for r in got} == {1_700_000_000_123_000_000}
    assert {r.key for r in got} == {b"key"}
    await lease.close()


async def test_seeking_back_reads_again(world: World) -> None:
    await world.produce(ORDERS, 0, numbered(5))
    lease = await take_lease(await world.transport())
    await lease.seek(ORDERS, 0)
    assert (await fetch_all(lease, ORDERS))[0] == numbered(5)
    await lease.seek(ORDERS, 3)
    assert (await fetch_all(lease, ORDERS))[0] == numbered(2, 3)
    await lease.close()


async def test_partitions_are_kept_apart(world: World) -> None:
    await world.produce(FEATURES, 0, [b"zero"])
    await world.produce(FEATURES, 1, [b"one"])
    transport = await world.transport()
    leases = [await take_lease(transport, p) for p in (0, 1)]
    for lease in leases:
        await lease.seek(FEATURES, 0)
    assert [(await fetch_all(lease, FEATURES))[0] for lease in leases] == [[b"zero"], [b"one"]]
    for lease in leases:
        await lease.close()


async def test_the_end_is_reported_with_a_time_not_after_the_fetch(world: World) -> None:
    transport = await world.transport()
    lease = await take_lease(transport)
    await lease.seek(FEATURES, None)
    _, fetched = await fetch_all(lease, FEATURES)
    assert fetched.records == []
    assert fetched.position == 0
    now = transport.now_ns()
    assert now - 2_000_000_000 < fetched.sent_ns <= now
    await world.produce(FEATURES, 0, [b"x"])
    produced = transport.now_ns()
    seen = False
    for _ in range(100):
        for fetched in await lease.fetch({FEATURES: 10}, 0.05):
            # A fetch sent after the record was there cannot have come back empty before it was handed out.
            assert seen or not fetched.at_end or fetched.sent_ns <= produced
            seen = seen or bool(fetched.records)
        if seen:
            break
    assert seen
    await lease.close()


async def test_a_stream_not_wanted_is_paused_and_loses_nothing(world: World) -> None:
    await world.produce(FEATURES, 0, numbered(50))
    await world.produce(ORDERS, 0, numbered(50))
    lease = await take_lease(await world.transport())
    await lease.seek(FEATURES, 0)
    await lease.seek(ORDERS, 0)
    first: list[bytes | None] = []
    while len(first) < 50:
        for fetched in await lease.fetch({FEATURES: 20}, 0.2):
            assert fetched.stream == FEATURES
            first += [r.value for r in fetched.records]
    await world.produce(FEATURES, 0, numbered(50, 50))
    assert (await fetch_all(lease, ORDERS))[0] == numbered(50)
    assert (await fetch_all(lease, FEATURES))[0] == numbered(50, 50)
    await lease.close()


async def test_an_aborted_transaction_is_invisible_and_does_not_hold_the_end(world: World) -> None:
    await world.produce(FEATURES, 0, [b"a"])
    transaction = await world.begin(FEATURES, 0, b"aborted")
    await world.end(transaction, commit=False)
    await world.produce(FEATURES, 0, [b"b"])
    lease = await take_lease(await world.transport())
    await lease.seek(FEATURES, 0)
    values, fetched = await fetch_all(lease, FEATURES)
    assert values == [b"a", b"b"]
    assert fetched.position == 4
    await lease.close()


async def test_an_open_transaction_hides_what_lies_behind_it(world: World) -> None:
    transaction = await world.begin(FEATURES, 0, b"open")
    await world.produce(FEATURES, 0, [b"behind"])
    lease = await take_lease(await world.transport())
    await lease.seek(FEATURES, 0)
    values, fetched = await fetch_all(lease, FEATURES)
    assert values == []
    assert fetched.position == 0
    await world.end(transaction, commit=True)
    got: list[bytes | None] = []
    while len(got) < 2:
        got += [r.value for f in await lease.fetch({FEATURES: 10}, 1.0) for r in f.records]
    assert got == [b"open", b"behind"]
    await lease.close()


async def test_only_committed_partials_are_read(world: World) -> None:
    transport = await world.transport()
    owner, other = await take_lease(transport, 0), await take_lease(transport, 1)
    await other.commit([Outgoing(PARTIALS, 1, None, b"first")])
    records, position = await read_on(owner, PARTIALS, 1, 0, 1)
    assert [r.value for r in records] == [b"first"]
    transaction = await world.begin(PARTIALS, 1, b"open")
    again, position = await owner.read(PARTIALS, 1, position, 10)
    assert again == []
    await world.end(transaction, commit=False)
    await other.commit([Outgoing(PARTIALS, 1, None, b"second")])
    records, _ = await read_on(owner, PARTIALS, 1, position, 1)
    assert [r.value for r in records] == [b"second"]
    await owner.close()
    await other.close()


async def test_reading_goes_in_steps_of_the_limit_from_any_offset(world: World) -> None:
    lease = await take_lease(await world.transport())
    await lease.commit([Outgoing(JOURNAL, 0, None, value) for value in numbered(20)])
    await read_on(lease, JOURNAL, 0, 0, 20)
    at, seen = 0, []
    while True:
        records, at = await lease.read(JOURNAL, 0, at, 6)
        if not records:
            break
        assert len(records) <= 6
        seen += [r.value for r in records]
    assert seen == numbered(20)
    assert [r.value for r in (await lease.read(JOURNAL, 0, 18, 6))[0]] == numbered(2, 18)
    await lease.close()


@pytest.mark.parametrize(
    ("start", "expected"), [("earliest", 0), ("latest", 4), (1_700_000_002_000_000_000, 2)]
)
async def test_without_state_the_start_policy_decides(world: World, start: str | int, expected: int) -> None:
    for second in range(4):
        await world.produce(FEATURES, 0, [b"%d" % second], timestamp_ms=1_700_000_000_000 + 1000 * second)
    lease = await take_lease(await world.transport(start))
    assert await lease.seek(FEATURES, None) == expected
    values, _ = await fetch_all(lease, FEATURES)
    assert values == numbered(4 - expected, expected)
    await lease.close()


async def test_an_offset_below_retention_is_reported(world: World) -> None:
    await world.produce(FEATURES, 0, numbered(10))
    await world.truncate(FEATURES, 0, 6)
    lease = await take_lease(await world.transport())
    assert await lease.seek(FEATURES, 2) == 6
    assert (await fetch_all(lease, FEATURES))[0] == numbered(4, 6)
    assert await lease.seek(FEATURES, 8) == 8
    await lease.close()


async def test_an_offset_beyond_the_end_is_refused(world: World) -> None:
    await world.produce(FEATURES, 0, numbered(3))
    lease = await take_lease(await world.transport())
    with pytest.raises(TransportError, match="ends at 3"):
        await lease.seek(FEATURES, 7)
    await lease.close()


async def test_a_large_commit_is_one_commit(world: World) -> None:
    lease = await take_lease(await world.transport())
    large = [Outgoing(STATE, 0, b"key-%d" % i, b"x" * 4096) for i in range(500)]
    await lease.commit([*large, Outgoing(DEAD_LETTERS, 0, None, b"y" * 900_000)])
    state = await lease.load_state()
    assert len(state) == 500
    assert await world.committed(DEAD_LETTERS, 0) == [b"y" * 900_000]
    await lease.close()


async def test_commits_one_after_another_stay_in_order(world: World) -> None:
    lease = await take_lease(await world.transport())
    for value in numbered(10):
        await lease.commit([Outgoing(PARTIALS, 0, None, value)])
    assert await world.committed(PARTIALS, 0) == numbered(10)
    await lease.close()


async def test_heartbeats_need_no_transaction(world: World) -> None:
    transport = await world.transport()
    await transport.publish([Outgoing(STATUS, transport.partition_for(STATUS, b"d"), b"d", b"alive")])
    assert await world.committed(STATUS, transport.partition_for(STATUS, b"d")) == [b"alive"]


async def test_a_lease_for_a_partition_of_somebody_else_is_refused(world: World) -> None:
    with pytest.raises(TransportError, match="not assigned"):
        (await world.transport()).lease(7)


async def test_a_stream_must_be_positioned_before_it_is_fetched(world: World) -> None:
    lease = await take_lease(await world.transport())
    with pytest.raises(TransportError, match="seek"):
        await lease.fetch({FEATURES: 1}, 0)
    await lease.close()
