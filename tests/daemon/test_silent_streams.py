"""Silence and bursts: time passes without rows, and rows without time."""

from __future__ import annotations

from pathlib import Path

import pytest
from house import DEPLOYMENT, configuration, group_of, write_configuration
from simulation import MS, SECOND, START_NS, World
from streams import SYMBOLS, Sent, encode, feature, order, steady

from monitor.daemon.group import Group
from monitor.wire.keys import murmur2

MINUTE = 60 * SECOND


def raised(world: World, rule: str) -> list[tuple[str, float]]:
    """Phases of a rule with the seconds of event time at which they began."""
    return [
        (event["data"]["phase"], (event["data"]["to_ns"] - START_NS) / SECOND)
        for event in world.trace.published()
        if event["data"]["rule"] == rule
    ]


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_stream_that_never_says_anything_raises_no_data(group: Group, partitions: int) -> None:
    world = World(group, [], partitions)
    world.quiet(START_NS + 5 * SECOND)
    assert [phase for phase, _ in raised(world, "features-flow")] == ["no_data"]
    assert world.trace.complaints(settled=False) == []


@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_a_stream_that_falls_silent_raises_no_data_within_its_window(group: Group, partitions: int) -> None:
    silent = 4
    world = World(group, [*steady(SYMBOLS, silent), order("AAA", 3900)], partitions)
    window, pane, evaluation, grace, nothing_new = 2.0, 1.0, 0.5, 0.5, 1.0
    late = START_NS + int((silent + window + pane + evaluation + grace + nothing_new + 0.5) * SECOND)
    while raised(world, "features-flow")[-1:] < [("no_data", silent)]:
        world.quiet(world.clock + 100 * MS)
        assert world.clock < late
    assert raised(world, "features-flow")[-1][1] <= silent + window + pane + evaluation
    world.settle()
    assert world.trace.complaints(settled=True) == []


def test_orders_that_stop_for_a_minute_delay_no_evaluation(group: Group) -> None:
    script = [*steady(("AAA", "BBB"), 64), order("AAA", 1000), order("BBB", 1500), order("AAA", 63_000)]
    world = World(group, sorted(script), 2)
    world.quiet(START_NS + 64 * SECOND, step_ns=50 * MS)
    assert world.lag_ns(START_NS + SECOND, START_NS + 63 * SECOND) < 500 * MS
    # The last order, of 1.5 s, lies in a pane that ends at 2.5 s and leaves the window of 2 s at 4.5 s.
    assert ("no_data", 4.5) in raised(world, "orders-flow")
    assert world.trace.marked()["Behind"] == world.trace.marked()["Missing"] == 0
    world.settle()
    assert any(phase == "resolved" and at >= 63 for phase, at in raised(world, "orders-flow"))
    assert world.trace.complaints(settled=True) == []


def test_a_partition_that_never_has_a_symbol_delays_no_evaluation(group: Group) -> None:
    partitions = 3
    homes = {symbol: murmur2(symbol.encode()) % partitions for symbol in SYMBOLS}
    empty = 1
    symbols = tuple(symbol for symbol, home in homes.items() if home != empty)
    assert len({homes[symbol] for symbol in symbols}) == 2
    script = steady(symbols, 8) + [order(symbols[0], at) for at in range(500, 8000, 700)]
    world = World(group, sorted(script), partitions)
    world.quiet(START_NS + 8 * SECOND)
    assert world.lag_ns(START_NS + SECOND, START_NS + 7500 * MS) < 500 * MS
    world.settle()
    assert world.trace.marked()["Missing"] == 0
    assert world.trace.complaints(settled=True) == []


@pytest.fixture(scope="module")
def narrow(house: Path) -> Group:
    """The group with a small buffer."""
    document = configuration(house)
    document["event_time"]["buffer_limit"] = 300
    return group_of(write_configuration(house, document, "narrow.yaml"))


LIMIT, BATCH = 300, 100


def burst(at_ms: int, rows: int, step_ns: int) -> list[Sent]:
    """Rows within the lateness, all at once."""
    return [
        Sent(
            START_NS + at_ms * MS,
            "features",
            b"AAA",
            encode(
                feature(f"burst-{at_ms}-{n}", START_NS + at_ms * MS + n * step_ns, "AAA", 1.0, 10_000, None)
            ),
        )
        for n in range(rows)
    ]


@pytest.mark.parametrize("step_ns", [0, 10_000])
def test_a_burst_within_the_lateness_keeps_the_buffer_within_its_limit(narrow: Group, step_ns: int) -> None:
    script = steady(SYMBOLS, 3) + [order("AAA", at) for at in range(100, 3000, 200)]
    world = World(narrow, sorted(script + burst(1500, 1500, step_ns)), 1, batch=BATCH)
    world.settle()
    assert max(instance.widest for instance in world.alive) <= LIMIT + 2 * BATCH
    assert world.trace.complaints(settled=True) == []


def test_an_input_that_runs_ahead_waits_for_the_other(narrow: Group) -> None:
    """Features of ten seconds lie in the log before the orders of that time, as after an outage."""
    now = START_NS + 10 * SECOND
    ahead = [sent._replace(clock_ns=now) for sent in steady(SYMBOLS, 10)]
    orders = [order("AAA", at)._replace(clock_ns=now) for at in range(0, 10_000, 20)]
    world = World(narrow, ahead + orders, 1, batch=BATCH, clock=now)
    world.settle()
    assert max(instance.widest for instance in world.alive) <= LIMIT + 2 * BATCH
    assert world.trace.marked()["Behind"] == 0
    assert world.trace.complaints(settled=True) == []
    assert DEPLOYMENT in narrow.deployments
