"""A thousand malformed messages among ten thousand good ones: each has its reason, the rest is untouched."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from house import DEPLOYMENT, configuration, group_of, write_configuration
from malformed import kinds
from simulation import MS, SECOND, START_NS, World
from streams import SYMBOLS, Sent, encode, feature, fill

from monitor.daemon.group import Group
from monitor.errors import Poisoned
from monitor.transport.contract import DEAD_LETTERS
from monitor.wire.keys import murmur2

PARTITIONS = 2
GOOD, BAD = 10_000, 1_000


def good(number: int) -> Sent:
    """Every tenth an order."""
    at = START_NS + number * MS
    symbol = SYMBOLS[(number + number // 10) % len(SYMBOLS)]
    if number % 10 == 9:
        body, stream = fill(f"x{number}", at, symbol, "buy", 1, 10_000), "orders"
    else:
        body, stream = feature(f"e{number}", at, symbol, number % 7 - 3.0, 10_000, None), "features"
    return Sent(at, stream, symbol.encode(), encode(body))


def test_each_malformed_message_is_accounted_for_and_the_good_ones_count_once(group: Group) -> None:
    rng, made = random.Random(1), kinds(PARTITIONS)
    assert len(made) >= 50
    script, expected = [good(number) for number in range(GOOD)], Counter[str]()
    for number in range(BAD):
        name = list(made)[number % len(made)]
        make, reason = made[name]
        at = START_NS + rng.randrange(200, GOOD) * MS
        bad = make(f"bad-{number}", at)
        home = murmur2(b"AAA") % PARTITIONS if bad.partition is None else bad.partition
        script.append(Sent(at, bad.stream, bad.key, bad.value, home))
        expected[f"{bad.stream}/{reason}"] += 1
    script.sort(key=lambda sent: sent.clock_ns)
    world = World(group, script, PARTITIONS)
    world.quiet(START_NS + 4 * SECOND)
    for instance in list(world.current.values()):
        world.restart(instance)
    world.settle()

    found = Counter[str]()
    for partition in range(PARTITIONS):
        for record in world.log.committed(DEAD_LETTERS, partition):
            headers = dict(record.headers)
            found[f"{headers['source-topic'].decode()}/{headers['reason'].decode()}"] += 1
            sent = world.log.committed(headers["source-topic"].decode(), int(headers["source-partition"]))
            original = sent[int(headers["source-offset"])].value or b""
            assert record.value == original[: 64 * 1024]
            assert int(headers["length"]) == len(original)
    dead = Counter({k: n for k, n in expected.items() if "(" not in k})
    assert found == dead

    totals = world.trace.totals(DEPLOYMENT)
    counted = Counter[str]()
    for key, n in totals.items():
        kind, _, rest = key.partition("/")
        stream, _, label = rest.partition("/")
        if kind == "rejected" or label in ("quarantined", "late"):
            counted[f"{stream}/{label}"] += n
    assert counted == dead
    told = Counter[str]()
    for note in world.notes.of("records_refused"):
        first, _, detail = str(note["first"]).partition(": ")
        assert detail
        assert first in note["refused"]
        for stream, reasons in note["refused"].items():
            told.update({f"{stream}/{reason}": n for reason, n in reasons.items()})
    # What was not committed when the tasks were restarted is said again.
    refused = {key: n for key, n in dead.items() if not key.endswith("/late")}
    assert told.keys() == refused.keys()
    assert all(n <= told[key] <= n + 5 for key, n in refused.items())
    assert totals["fates/orders/late_applied"] == expected["orders/(late_applied)"]
    assert totals["fates/features/accepted"] + totals["fates/features/reordered"] == GOOD * 9 // 10
    assert totals["fates/orders/accepted"] + totals["fates/orders/reordered"] == GOOD // 10
    assert totals["features"] + totals["orders"] == GOOD + BAD
    assert world.trace.complaints(settled=True) == []


@pytest.mark.parametrize(
    ("limits", "words"), [({"max_share": 0.5}, "50%"), ({"max_run": 200}, "200 records")]
)
def test_a_stream_of_which_nearly_everything_is_bad_stops_the_task_loudly(
    house: Path, limits: dict[str, float], words: str
) -> None:
    document = configuration(house)
    document["dead_letters"] = {"max_share": 1, "max_run": 100_000, **limits}
    group = group_of(write_configuration(house, document, "limited.yaml"))
    script = [good(number) for number in range(1500)]
    script += [
        sent._replace(clock_ns=START_NS + (1500 + number) * MS, value=(sent.value or b"")[:-1])
        for number, sent in enumerate(script[:1500])
        if number % 20
    ]
    world = World(group, script, 1)
    with pytest.raises(Poisoned, match=f"dead letters.*{next(iter(limits))}") as stopped:
        world.settle()
    assert words in str(stopped.value)
    assert "features-0" in str(stopped.value)
