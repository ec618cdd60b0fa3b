"""What only a real Kafka can show: the group, its heartbeats, the topics, a broker that dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from broker.kafka_broker import running_broker
from transport_worlds import KafkaWorld, fetch_all, take_lease

from monitor.errors import Fenced, TransportError
from monitor.transport.contract import (
    FEATURES,
    INPUTS,
    ORDERS,
    OUTCOMES,
    PARTIALS,
    STATE,
    Lease,
    Outgoing,
    Transport,
)
from monitor.transport.kafka import KafkaTransport, make_topics, refused_options
from monitor.transport.kafka.options import ClientOptions


@pytest.fixture
async def world(kafka: str) -> AsyncIterator[KafkaWorld]:
    made = KafkaWorld(kafka)
    await made.open()
    yield made
    await made.close()


async def until(transport: Transport, expected: set[int]) -> None:
    """Wait for an assignment; those before it may come and go."""
    async with asyncio.timeout(15):
        while await transport.assigned() != expected:
            pass


async def fetch_some(lease: Lease, stream: str, n: int) -> list[bytes | None]:
    values: list[bytes | None] = []
    async with asyncio.timeout(10):
        while len(values) < n:
            values += [r.value for f in await lease.fetch({stream: 50}, 0.2) for r in f.records]
    return values


async def test_replicas_share_partitions_and_kept_tasks_go_on_without_a_gap(world: KafkaWorld) -> None:
    first = await world.transport()
    lease, moved = await take_lease(first, 0), await take_lease(first, 1)
    for held in (lease, moved):
        await held.seek(FEATURES, 0)
    await world.produce(FEATURES, 0, [b"%d" % i for i in range(10)])
    assert await fetch_some(lease, FEATURES, 3) == [b"%d" % i for i in range(10)]
    await lease.commit([Outgoing(STATE, 0, b"k", b"warm")])

    second = world.build()
    await second.start()
    try:
        await until(second, {1})
        await until(first, {0})
        assert moved.revoked
        assert not lease.revoked
        with pytest.raises(TransportError, match="not assigned"):
            first.lease(1)
        taken = await take_lease(second, 1)
        with pytest.raises(Fenced):
            await moved.commit([Outgoing(PARTIALS, 1, None, b"zombie")])
        # The kept task is warm: same producer, same place in the log.
        await world.produce(FEATURES, 0, [b"%d" % i for i in range(10, 20)])
        assert await fetch_some(lease, FEATURES, 10) == [b"%d" % i for i in range(10, 20)]
        await lease.commit([Outgoing(PARTIALS, 0, None, b"still here")])
        await taken.close()
    finally:
        await second.stop()
    await until(first, {0, 1})
    for held in (lease, moved):
        await held.close()


async def test_a_task_that_works_longer_than_the_session_timeout_keeps_its_partitions(
    world: KafkaWorld,
) -> None:
    transport = await world.transport()
    lease = await take_lease(transport)
    await lease.seek(FEATURES, 0)
    await world.produce(FEATURES, 0, [b"a"])
    assert await fetch_some(lease, FEATURES, 1) == [b"a"]
    session_s = world.client["session_timeout_ms"] / 1000
    worker = asyncio.to_thread(time.sleep, 1.5 * session_s)
    rival = world.build()
    await worker
    await rival.start()
    try:
        # Had the member been thrown out, the rival would be alone and own both.
        await until(rival, {1})
        assert not lease.revoked
        await lease.commit([Outgoing(PARTIALS, 0, None, b"in time")])
    finally:
        await rival.stop()
        await lease.close()


async def test_a_static_member_that_comes_back_gets_its_partitions_at_once(world: KafkaWorld) -> None:
    died = world.build(instance="replica-1")
    await died.start()
    assert await died.assigned() == {0, 1}
    # Stopping a static member does not leave the group, just as a killed one does not.
    await died.stop()
    began = time.monotonic()
    back = world.build(instance="replica-1")
    await back.start()
    try:
        assert await back.assigned() == {0, 1}
        assert time.monotonic() - began < world.client["session_timeout_ms"] / 1000
    finally:
        await back.stop()


async def test_lag_tools_see_how_far_a_group_has_committed(
    world: KafkaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.transport.kafka.consumer.LAG_INTERVAL_S", 0.2)
    await world.produce(FEATURES, 0, [b"%d" % i for i in range(5)])
    transport = await world.transport()
    lease = await take_lease(transport)
    await lease.seek(FEATURES, 0)
    await fetch_some(lease, FEATURES, 5)
    await lease.commit([Outgoing(PARTIALS, 0, None, b"p")])
    tool = AIOKafkaConsumer(
        bootstrap_servers=world.bootstrap, group_id=world.prefix, enable_auto_commit=False
    )
    tp = TopicPartition(world.topics[FEATURES], 0)
    await tool.start()
    tool.assign([tp])
    try:
        async with asyncio.timeout(10):
            while await tool.committed(tp) != 5:
                await asyncio.sleep(0.1)
    finally:
        await tool.stop()
        await lease.close()


async def test_retention_that_overtakes_a_task_makes_it_seek_again(world: KafkaWorld) -> None:
    await world.produce(FEATURES, 0, [b"%d" % i for i in range(10)])
    transport = await world.transport()
    lease = await take_lease(transport)
    await lease.seek(FEATURES, 2)
    await world.truncate(FEATURES, 0, 6)
    with pytest.raises(TransportError, match="no longer there"):
        await fetch_some(lease, FEATURES, 1)
    again = await take_lease(transport)
    assert await again.seek(FEATURES, 2) == 6
    assert (await fetch_all(again, FEATURES))[0] == [b"%d" % i for i in range(6, 10)]
    await lease.close()
    await again.close()


async def test_a_producer_that_hangs_in_a_transaction_is_overtaken(world: KafkaWorld) -> None:
    """The predecessor's open transaction is aborted by the fence, not waited for until it times out."""
    producer = AIOKafkaProducer(bootstrap_servers=world.bootstrap, transactional_id=f"{world.prefix}-0")
    transport = await world.transport()
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(world.topics[STATE], b"half", key=b"k", partition=0)
    began = time.monotonic()
    lease = await take_lease(transport)
    assert await lease.load_state() == {}
    assert time.monotonic() - began < 5
    await lease.close()
    await producer.stop()


async def test_a_send_that_fails_fails_the_commit(world: KafkaWorld) -> None:
    """aiokafka would commit what remains: a kill could be lost while the state says that it was sent."""
    transport = await world.transport()
    lease = await take_lease(transport)
    records = [Outgoing(STATE, 0, b"k", b"sent"), Outgoing(PARTIALS, 0, None, b"x" * (2 << 20))]
    with pytest.raises(TransportError, match="TooLarge"):
        await lease.commit(records)
    again = await take_lease(transport)
    assert await again.load_state() == {}
    await lease.close()
    await again.close()


async def test_missing_topics_are_made_as_they_must_be(world: KafkaWorld) -> None:
    await world.transport()
    options = ClientOptions(world.client)
    admin = options.admin()
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, world.topics[STATE])
        resource.configs = None
        (response,) = await admin.describe_configs([resource])
        ((code, _, _, _, entries),) = response.resources
        config = {entry[0]: entry[1] for entry in entries}
        assert code == 0
        assert config["cleanup.policy"] == "compact"
        assert config["segment.bytes"] == str(16 << 20)
        assert config["min.cleanable.dirty.ratio"] == "0.1"
        counts = {
            t["topic"]: len(t["partitions"]) for t in await admin.describe_topics(list(world.topics.values()))
        }
    finally:
        await admin.close()
    assert {logical: counts[real] for logical, real in world.topics.items()} == {
        "features": 2,
        "orders": 2,
        "commands": 1,
        "partials": 2,
        "journal": 2,
        "state": 2,
        "alerts": 1,
        "status": 1,
        "predictions": 2,
        "dead-letters": 2,
    }


async def test_topics_not_to_be_made_are_asked_for_by_command(world: KafkaWorld) -> None:
    with pytest.raises(
        TransportError, match=r"--create --topic \S+state --partitions 2 .*cleanup.policy=compact"
    ):
        await world.build(create_topics=False).start()


async def test_a_missing_input_names_topic_and_remedy(world: KafkaWorld) -> None:
    topics = {**world.topics, OUTCOMES: world.prefix + "outcomes"}
    transport = KafkaTransport(world.client, world.prefix, topics, inputs=INPUTS)
    with pytest.raises(TransportError, match=r"outcomes' \(topics.outcomes\) does not exist"):
        await transport.start()


async def test_inputs_that_are_not_co_partitioned_are_refused(world: KafkaWorld) -> None:
    topics = {**world.topics, OUTCOMES: world.prefix + "outcomes"}
    await make_topics(ClientOptions(world.client), {topics[OUTCOMES]: 3})
    transport = KafkaTransport(world.client, world.prefix, topics, inputs=INPUTS)
    with pytest.raises(TransportError, match=r"not co-partitioned.*outcomes has 3"):
        await transport.start()


async def test_a_changed_partition_count_is_refused(world: KafkaWorld) -> None:
    await make_topics(ClientOptions(world.client), {world.topics[PARTIALS]: 1})
    with pytest.raises(TransportError, match="has 1 partitions, the inputs have 2"):
        await world.build().start()


async def test_a_state_topic_that_is_not_compacted_is_refused(world: KafkaWorld) -> None:
    await make_topics(ClientOptions(world.client), {world.topics[STATE]: 2})
    with pytest.raises(TransportError, match="must be compacted"):
        await world.build().start()


async def test_an_unreachable_broker_is_named() -> None:
    transport = KafkaTransport(
        {"bootstrap_servers": "127.0.0.1:1", "request_timeout_ms": 1000}, "g", {FEATURES: "f", ORDERS: "o"}
    )
    with pytest.raises(TransportError, match=r"127\.0\.0\.1:1"):
        await transport.start()


def test_options_that_exactly_once_rests_on_are_refused_others_pass() -> None:
    assert refused_options({"bootstrap_servers": "x", "linger_ms": 5, "max_partition_fetch_bytes": 1}) == []
    assert refused_options({"enable_auto_commit": True, "bootstrap_server": "x"}) == [
        "bootstrap_server is no option of aiokafka",
        "enable_auto_commit is decided by shadow-monitor and cannot be set",
    ]


async def test_a_commit_into_a_dead_broker_ends_as_unknown_and_the_log_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("monitor.transport.kafka.producer.COMMIT_TIMEOUT_S", 2.0)
    with running_broker() as broker:
        world = KafkaWorld(broker.bootstrap)
        await world.open()
        transport = await world.transport()
        lease = await take_lease(transport)
        await lease.seek(FEATURES, 0)
        await lease.commit([Outgoing(STATE, 0, b"k", b"1")])
        # Until its marker is there: a lone node killed before it wrote that one forgets it for good.
        assert await lease.load_state() == {b"k": b"1"}
        broker.kill()
        began = time.monotonic()
        with pytest.raises(TransportError):
            await lease.commit([Outgoing(STATE, 0, b"k", b"2")])
        await lease.close()
        assert time.monotonic() - began < 8
        await asyncio.to_thread(broker.start)
        again = await take_lease(transport)
        state = await again.load_state()
        assert state == {b"k": b"1"}
        await again.seek(FEATURES, 0)
        await again.commit([Outgoing(STATE, 0, b"k", b"3")])
        assert await again.load_state() == {b"k": b"3"}
        await world.produce(FEATURES, 0, [b"after"])
        assert await fetch_some(again, FEATURES, 1) == [b"after"]
        await again.close()
        await world.close()
