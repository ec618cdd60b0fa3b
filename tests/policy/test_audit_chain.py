"""The audit chain shows what was changed, lost, moved, added or cut off."""

from __future__ import annotations

import hashlib
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_builders import BAD, GOOD, S, decider, rule, run

from monitor.policy.canonical import canonical_json
from monitor.policy.chain import Head, verify
from monitor.policy.events import encode, heartbeat


def parsed(event):
    return orjson.loads(encode(event))


MACHINE = decider(rule())
STORY = [parsed(event) for event in run(MACHINE, *[BAD, GOOD] * 5)]
HEAD = {"btc": MACHINE.head}
PLACES = st.integers(0, len(STORY) - 1)


def leaves(node, path=()):
    """Paths of all values in a document."""
    if isinstance(node, dict):
        return [leaf for key in node for leaf in leaves(node[key], (*path, key))]
    return [path]


def altered(event, path, value):
    copy = orjson.loads(orjson.dumps(event))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


def test_an_untouched_chain_holds():
    assert verify(STORY, HEAD) == []
    assert len(STORY) == 10


def test_anyone_can_compute_the_hash_from_the_words_of_the_contract():
    event = orjson.loads(orjson.dumps(STORY[3]))
    stated = event["data"].pop("hash")
    body = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.sha256(body).hexdigest() == stated
    assert event["data"]["prev_hash"] == STORY[2]["data"]["hash"]


@given(st.data(), PLACES)
def test_a_changed_value_shows_wherever_it_is(data, place):
    path = data.draw(st.sampled_from(leaves(STORY[place])))
    changed = altered(STORY[place], path, "something else")
    assert verify([*STORY[:place], changed, *STORY[place + 1 :]], HEAD)


@given(st.integers(0, len(STORY) - 2))
def test_a_changed_event_with_a_new_hash_of_its_own_shows_at_the_next(place):
    changed = altered(STORY[place], ("data", "reason"), "nothing happened")
    del changed["data"]["hash"]
    changed["data"]["hash"] = hashlib.sha256(canonical_json(changed)).hexdigest()
    (complaint,) = verify([*STORY[:place], changed, *STORY[place + 1 :]], HEAD)
    assert STORY[place + 1]["id"] in complaint
    assert "does not follow" in complaint


@given(PLACES)
def test_a_missing_event_shows(place):
    complaints = verify(STORY[:place] + STORY[place + 1 :], HEAD)
    expected = "cut off" if place == len(STORY) - 1 else f"sequence {place + 1} is missing"
    assert any(expected in complaint for complaint in complaints)


@given(st.permutations(STORY))
def test_a_changed_order_shows(order):
    complaints = verify(order, HEAD)
    assert bool(complaints) == (order != STORY)
    assert all("reordered" in complaint for complaint in complaints)


@given(PLACES, PLACES)
def test_a_doubled_event_shows(place, copied):
    complaints = verify([*STORY[:place], STORY[copied], *STORY[place:]], HEAD)
    assert any("doubled" in complaint for complaint in complaints)


@given(PLACES)
def test_an_inserted_event_shows_even_with_a_hash_of_its_own(place):
    other = decider(rule(id="forged"))
    forged = [parsed(event) for event in run(other, *[BAD, GOOD] * 5)][place]
    complaints = verify([*STORY[:place], forged, *STORY[place:]], HEAD)
    assert any("inserted" in complaint for complaint in complaints)


@pytest.mark.parametrize("junk", [{}, {"data": 3}, {"data": {}, "source": "btc", "id": "x"}])
def test_an_event_without_a_seal_shows(junk):
    assert "inserted" in verify([*STORY, junk], HEAD)[0]


@given(st.integers(1, len(STORY)))
def test_a_tail_cut_off_shows_against_the_head_of_a_heartbeat(kept):
    beat = parsed(MACHINE.heartbeat(11 * S))
    complaints = verify([*STORY[:kept], beat])
    assert bool(complaints) == (kept < len(STORY))
    assert verify(STORY[:kept]) == []


def test_a_chain_cut_off_entirely_shows():
    assert "cut off" in verify([parsed(MACHINE.heartbeat(11 * S))])[0]


def test_a_rewritten_end_shows_against_the_head():
    assert "changed" in verify(STORY, {"btc": Head(len(STORY), "0" * 64)})[0]


def test_a_retained_part_begins_where_it_says():
    assert verify(STORY[4:], HEAD, first=5) == []
    assert "missing" in verify(STORY[4:], HEAD)[0]
    assert "inserted" in verify(STORY[3:], HEAD, first=5)[0]


def test_with_a_key_only_its_holders_make_a_chain_that_verifies():
    sealed = [parsed(event) for event in run(decider(rule(), audit_key=b"secret"), BAD, GOOD)]
    assert verify(sealed, key=b"secret") == []
    assert len(verify(sealed)) == 2
    assert len(verify(sealed, key=b"guess")) == 2


def test_chains_of_two_deployments_in_one_stream_are_told_apart():
    others = [altered(event, ("source",), "eth") for event in STORY]
    assert verify(STORY + STORY[:0]) == []
    assert all(complaint.startswith("eth") for complaint in verify([*STORY, *others]))


def test_a_heartbeat_does_not_lengthen_the_chain():
    before = MACHINE.head
    assert parsed(heartbeat(MACHINE.heartbeat(S).data))["data"]["sequence"] == before.sequence
    assert MACHINE.head == before
