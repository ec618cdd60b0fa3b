"""Ids, instants and evidence of published events."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_builders import BAD, GOOD, S, decider, rule, run

from monitor.policy.canonical import canonical_json, digest
from monitor.policy.decider import Proof
from monitor.policy.durations import format_duration
from monitor.policy.events import EVIDENCE_LIMIT, capped, command_event_id, event_id, rfc3339
from monitor.policy.wording import money

WORD = st.text(st.characters(codec="utf-8"), max_size=5)
IDENTITY = st.tuples(
    WORD,
    WORD,
    WORD,
    st.lists(st.tuples(WORD, WORD), max_size=2).map(lambda pairs: tuple(sorted(pairs))),
    WORD,
    st.integers(0, 5),
    st.sampled_from(["fire", "resolve", "no_data", "no_data_resolved"]),
    st.integers(0, 2**62),
)


@given(IDENTITY, IDENTITY)
def test_ids_are_equal_exactly_where_everything_they_are_made_of_is(one, other):
    assert (event_id(*one) == event_id(*other)) == (one == other)


@given(WORD, WORD)
def test_the_id_of_an_answer_depends_on_the_command_alone(one, other):
    assert (command_event_id("btc", one) == command_event_id("btc", other)) == (one == other)


def test_two_series_of_one_rule_have_ids_of_their_own():
    both = decider(rule(labels=(("feature", "a"),)), rule(labels=(("feature", "b"),)))
    events = run(both, BAD, GOOD, BAD)
    assert len(events) == len({event.id for event in events}) == 6


def test_bytes_do_not_depend_on_the_seed_of_hashes():
    program = (
        "from policy_builders import *; from monitor.policy.events import encode;"
        "both = decider(rule(), rule(id='b', subject='deployment'));"
        "print([encode(event) for event in run(both, BAD, GOOD)])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@given(st.integers(0, 4_000_000_000 * S))
def test_an_instant_is_written_to_the_nanosecond(ns):
    text = rfc3339(ns)
    whole = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    assert text[19] + text[29:] == ".Z"
    assert int(whole.timestamp()) * S + int(text[20:29]) == ns


def test_evidence_beyond_its_limit_is_replaced_by_its_digest():
    fits = {"a": "x" * (EVIDENCE_LIMIT - 8)}
    assert len(canonical_json(fits)) == EVIDENCE_LIMIT
    assert capped(fits) is fits
    too_much = {"a": "x" * (EVIDENCE_LIMIT - 7)}
    omitted = capped(too_much)["omitted"]
    assert (omitted["bytes"], omitted["sha256"]) == (EVIDENCE_LIMIT + 1, digest(too_much))


def test_an_integer_beyond_64_bits_is_refused_rather_than_rounded():
    machine = decider(rule())
    with pytest.raises(TypeError):
        machine.step(S, lambda _: BAD, lambda _: Proof({"n": 2**64}))


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**64 - 1))
def test_canonical_json_reads_back_and_writes_the_same(number, integer):
    body = canonical_json({"b": number, "a": [integer]})
    assert body.startswith(b'{"a":[')
    assert canonical_json(orjson.loads(body)) == body


@given(st.integers(-(10**30), 10**30))
def test_money_is_exact_decimal_text(units):
    whole, _, part = money(abs(units)).partition(".")
    assert int(whole) * 10**18 + int(part.ljust(18, "0")) == abs(units)
    assert money(-units) == (money(units)[1:] if units < 0 else f"-{money(units)}" if units else "0")


@pytest.mark.parametrize(
    ("ns", "text"), [(0, "0s"), (300 * S, "5m"), (5_400 * S, "1h30m"), (S // 4, "250ms"), (1, "1ns")]
)
def test_durations_are_spelt_as_people_do(ns, text):
    assert format_duration(ns) == text
