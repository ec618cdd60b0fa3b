"""Restarts where something other than the process has changed: configuration, retention, partition count."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from house import DEPLOYMENT, configuration, group_of, rule, write_configuration
from simulation import MS, SECOND, START_NS, World
from streams import Script, Sent, encode, fill

from monitor.daemon.group import Group
from monitor.daemon.keeping import bond
from monitor.errors import StateError
from monitor.policy.chain import verify
from monitor.policy.rules import RECONCILIATION_BREAK
from monitor.state.records import OWN, TASK, unseal
from monitor.transport.contract import STATUS

HALT = START_NS + 10 * SECOND
REAL = "role=active,fills=real"


@cache
def killed(group: Group) -> World:
    """Killed in the middle of things: rows are buffered, panes open, all latches raised."""
    script = Script(11, seconds=12, timely=True, gap_ms=90, order_gap_ms=250).messages()
    world = World(group, script, 2)
    world.quiet(HALT)
    assert {"demote", "rollback", "kill_switch"} < set(world.trace.kinds())
    return world


def after_the_kill(group: Group) -> World:
    """Only the log is left, and nothing runs."""
    return killed(group).fork()


def begun_again(world: World, group: Group) -> World:
    """The same log, script and clock under another group."""
    for instance in list(world.alive):
        world.crash(instance)
    other = World(group, world.script, world.partitions, log=world.log, clock=world.clock)
    other.sent = world.sent
    return other


def changed(house: Path, name: str, **changes: Any) -> Group:
    return group_of(write_configuration(house, configuration(house, **changes), f"{name}.yaml"))


def session_of(world: World) -> list[Any]:
    """When the session's course of real equity began, and at what profit."""
    kept = world.trace.kept(OWN, DEPLOYMENT, world.trace.owner_of(DEPLOYMENT))
    return msgspec.msgpack.decode(kept[f"equity/course/{REAL}/session"])[:2]


def books_of(world: World, partition: int) -> dict[str, bytes]:
    """What a task holds."""
    kept = world.trace.kept(TASK, DEPLOYMENT, partition)
    return {key: value for key, value in kept.items() if key.startswith("ledger/")}


def latches(world: World) -> dict[str, Any]:
    """The last committed status."""
    status = orjson.loads(world.log.committed(STATUS, 0)[-1].value or b"")
    return {"epoch": status["epoch"], **{name: latch["state"] for name, latch in status["latches"].items()}}


def sealed_under(world: World) -> set[str]:
    """Digests of the configurations that records of the state were made under, as far as they hang on one."""
    return {
        digest
        for partition in range(world.partitions)
        for records in unseal(world.trace.state(partition)).values()
        for digest, _ in records.values()
        if len(digest) == 64
    }


HALTED = {"active": "ROLLED_BACK", "deployment": "HALTED", "shadow": "DEMOTED"}


def test_statistics_restart_while_latches_chain_and_books_go_on(house: Path, group: Group) -> None:
    world = after_the_kill(group)
    before = latches(world)
    assert {name: before[name] for name in HALTED} == HALTED
    session = session_of(world)

    wider = changed(house, "wider", windows=["2s", "3s", "6s"], samples={"rank_k": 100})
    other = begun_again(world, wider)
    other.settle()
    assert latches(other) == before
    assert verify(other.trace.published(heartbeats=True)) == []
    for kind in ("demote", "rollback", "kill_switch"):
        assert other.trace.kinds().count(kind) == 1
    assert sealed_under(other) == {wider.deployments[DEPLOYMENT].digest}
    assert len(other.notes.of("statistics_restart")) == other.partitions
    assert 0 < other.trace.totals(DEPLOYMENT)["features"] < len(world.script) / 2

    whole = World(group, world.script, world.partitions)
    whole.settle()
    for partition in range(other.partitions):
        assert books_of(other, partition)
        assert books_of(other, partition) == books_of(whole, partition)
    assert session_of(other) == session


def test_under_a_configuration_that_comes_back_old_panes_do_not(house: Path, group: Group) -> None:
    world = after_the_kill(group)
    counted = world.trace.totals(DEPLOYMENT)["features"]
    other = begun_again(world, changed(house, "wider", windows=["2s", "3s", "6s"]))
    other.quiet(other.clock + 500 * MS)
    again = begun_again(other, group)
    again.settle()
    assert sealed_under(again) == {group.deployments[DEPLOYMENT].digest}
    assert again.trace.totals(DEPLOYMENT)["features"] < counted / 2


def test_another_policy_keeps_all_statistics(house: Path, group: Group) -> None:
    world = after_the_kill(group)
    policy = {"name": "stricter", "rules": [rule("loss", "pnl_after_costs", window="6s", below=-1)]}
    policy["rules"][0]["labels"] = {"role": "active", "fills": "real"}
    other = begun_again(world, changed(house, "stricter", policy=policy))
    other.settle()
    assert other.notes.of("statistics_restart") == []
    kept = other.trace.kept(OWN, DEPLOYMENT, other.trace.owner_of(DEPLOYMENT))
    rules = [key for key in kept if key.startswith("policy/rule/")]
    assert set(rules) == {"policy/rule/loss{fills=real,role=active}", "policy/rule/orders-filtered-out"}
    assert latches(other)["shadow"] == "DEMOTED"
    totals = other.trace.totals(DEPLOYMENT)
    assert totals["features"] + totals["orders"] == len(world.script)
    assert verify(other.trace.published(heartbeats=True)) == []


BREAK_NS = START_NS + 8 * SECOND


@cache
def contradicted(group: Group) -> World:
    """Killed while the alert about a position that contradicts the ledger is firing."""
    script = Script(11, seconds=14, timely=True, gap_ms=90, order_gap_ms=250, faults=False).messages()
    said = fill("AAA-position", BREAK_NS, "AAA", "buy", 1, 10_000)
    said |= {"kind": "position", "quantity": "7777", "price": "100"}
    place = next(n for n, sent in enumerate(script) if sent.clock_ns > BREAK_NS)
    script.insert(place, Sent(BREAK_NS, "orders", b"AAA", encode(said)))
    world = World(group, script, 2)
    world.quiet(BREAK_NS + 1500 * MS)
    assert [phase for phase, *_ in breaks(world)] == ["firing"]
    return world


def breaks(world: World) -> list[tuple[str, int, str]]:
    """Phase, event time since the break and sentence of what was published about it."""
    told = [event["data"] | {"time": event["time"]} for event in world.trace.published()]
    return [
        (data["phase"], (data["to_ns"] or 0) - BREAK_NS, data["reason"])
        for data in told
        if data["rule"] == RECONCILIATION_BREAK
    ]


@pytest.mark.parametrize(
    ("changes", "windows"),
    [({"windows": ["2s", "3s", "6s"]}, "2s"), ({"windows": ["1s", "2s", "6s"]}, "1s"), ({"paper": {}}, "2s")],
)
def test_a_changed_configuration_is_no_all_clear_of_a_break(
    house: Path, group: Group, changes: dict[str, Any], windows: str
) -> None:
    """The window reaches back to before the statistics began anew: nobody knows what is in it."""
    other = begun_again(contradicted(group).fork(), changed(house, "anew", **changes))
    restarted = other.clock - BREAK_NS
    other.settle()
    (fired, *_), (ended, at, said) = breaks(other)
    assert (fired, ended) == ("firing", "resolved")
    assert at >= restarted + (int(windows[0]) - 1) * SECOND
    assert said == f"no position report has contradicted the ledger for {windows}."
    assert verify(other.trace.published(heartbeats=True)) == []


def test_a_break_whose_alert_is_switched_off_is_ended_with_the_reason(house: Path, group: Group) -> None:
    silenced = changed(house, "silenced", orders={"alert_on_breaks": False})
    other = begun_again(contradicted(group).fork(), silenced)
    other.settle()
    _, (ended, _, said) = breaks(other)
    assert ended == "resolved"
    assert (
        "reconciliation-break has fired since 2026-01-05T10:01:03.000000000Z; the configuration has been"
        in said
    )
    kept = other.trace.kept(OWN, DEPLOYMENT, other.trace.owner_of(DEPLOYMENT))
    assert "policy/rule/reconciliation-break" not in kept
    again = begun_again(other, silenced)
    again.settle()
    assert len(breaks(again)) == 2
    assert verify(again.trace.published(heartbeats=True)) == []


def test_a_book_in_lots_of_another_size_is_refused(house: Path, group: Group) -> None:
    world = after_the_kill(group)
    document = configuration(house)
    for instrument in document["instruments"].values():
        instrument["lot_size"] = "0.1"
    with pytest.raises(StateError, match=r"kept in lot_size 1.*says: lot_size 0\.1.*Remedy"):
        begun_again(world, group_of(write_configuration(house, document, "lots.yaml"))).settle()


@pytest.mark.parametrize(
    ("filter", "now"),
    [({"strategy": "desk", "account": "OTHER"}, "account OTHER, strategy desk"), ({}, "1 USD")],
)
def test_a_book_of_other_orders_is_refused(
    house: Path, group: Group, filter: dict[str, str], now: str
) -> None:
    world = after_the_kill(group)
    said = (
        rf"kept in lot_size 1, multiplier 1 USD, strategy desk; .* says: [^;]*{now}\. Remedy: .* filter back"
    )
    with pytest.raises(StateError, match=said):
        begun_again(world, changed(house, "others", filter=filter)).settle()


def test_equity_of_other_orders_is_begun_anew(house: Path, group: Group) -> None:
    other = changed(house, "others", filter={"account": "OTHER"}).deployments[DEPLOYMENT]
    for key in (f"equity/course/{REAL}/session", f"equity/ring/{REAL}/6"):
        bonds = {bond(group, deployed, OWN, key) for deployed in (group.deployments[DEPLOYMENT], other)}
        assert len(bonds) == 2


def test_that_the_filter_once_let_a_report_through_outlives_all_but_another_filter(
    house: Path, group: Group
) -> None:
    kept = bond(group, group.deployments[DEPLOYMENT], OWN, "lasting/filter")
    for name, changes, same in (
        ("wide", {"windows": ["2s", "6s", "9s"]}, True),
        ("o", {"filter": {}}, False),
    ):
        other = changed(house, name, **changes)
        assert (bond(other, other.deployments[DEPLOYMENT], OWN, "lasting/filter") == kept) is same
    world = begun_again(after_the_kill(group), changed(house, "wide", windows=["2s", "6s", "9s"]))
    world.settle()
    owner = world.trace.owner_of(DEPLOYMENT)
    reports = world.group.deployments[DEPLOYMENT].deployment_fold()
    reports.restore(world.trace.kept(OWN, DEPLOYMENT, owner))
    counted = reports.lasting("filter")
    sent = sum(message.stream == "orders" for message in world.script)
    assert counted is not None
    # Beyond what the statistics hold, which were begun anew halfway.
    assert counted["mine"] > 0.7 * sent
    assert "orders-filtered-out" not in {event["data"]["rule"] for event in world.trace.published()}


def test_marks_in_ticks_of_another_size_are_begun_anew(house: Path, group: Group) -> None:
    world = after_the_kill(group)
    document = configuration(house)
    for instrument in document["instruments"].values():
        instrument["tick_size"] = "0.005"
    other = begun_again(world, group_of(write_configuration(house, document, "ticks.yaml")))
    other.settle()
    assert other.trace.kinds().count("kill_switch") == 1
    assert verify(other.trace.published(heartbeats=True)) == []


def test_an_instrument_whose_book_is_held_cannot_be_left_out(house: Path, group: Group) -> None:
    world = after_the_kill(group)
    document = configuration(house)
    del document["instruments"]["AAA"]
    with pytest.raises(StateError, match=r"book of AAA.*AAA is not an instrument.*Remedy"):
        begun_again(world, group_of(write_configuration(house, document, "without.yaml"))).settle()


def test_open_instruments_are_known_again_after_a_restart(house: Path) -> None:
    document = configuration(house) | {"instruments": "open"}
    path = write_configuration(house, document, "open.yaml")
    script = Script(11, seconds=5, timely=True, gap_ms=90, order_gap_ms=250).messages()
    world = World(group_of(path), script, 2)
    world.quiet(START_NS + 2 * SECOND)
    other = begun_again(world, group_of(path))
    other.settle()
    # The replay meets the symbols in another order: nothing hangs on their numbers.
    other.group = group_of(path)
    assert other.trace.complaints(settled=True) == []


def test_another_partition_count_is_refused(group: Group) -> None:
    world = after_the_kill(group)
    world.log.partitions = world.partitions = 3
    with pytest.raises(StateError, match=r"written for 2 partitions, the topics now have 3.*Remedy"):
        begun_again(world, group).settle()


@pytest.mark.parametrize("unread", [False, True])
def test_rows_that_retention_took_are_a_gap_that_is_counted_and_survived(group: Group, unread: bool) -> None:
    world = after_the_kill(group)
    lost = {}
    if unread:
        world.tick(SECOND)
    for partition in range(world.partitions):
        meta = world.trace.meta(partition)
        assert meta is not None
        offsets = meta.inputs["features"]
        assert offsets.seek < offsets.read < world.log.bounds("features", partition)[2] or not unread
        cut = offsets.read + 3 if unread else (offsets.seek + offsets.read) // 2
        world.log.truncate("features", partition, cut)
        lost[partition] = cut - offsets.seek
    other = begun_again(world, group)
    other.settle()
    gaps = {note["task"]: note["rows"] for note in other.notes.of("coverage_gap")}
    assert gaps == lost
    assert other.gaps == lost
    assert verify(other.trace.published(heartbeats=True)) == []
    totals = other.trace.totals(DEPLOYMENT)
    sent = Counter(message.stream for message in world.script)
    assert totals["orders"] == sent["orders"]
    assert sent["features"] - sum(lost.values()) <= totals["features"] <= sent["features"]
    assert other.trace.kinds().count("kill_switch") == 1
