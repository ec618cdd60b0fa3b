"""`events`: people read decisions and check chains; exit codes gate."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from cli.command_cases import call
from policy_builders import BAD, GOOD, S, decider, rule, run

from monitor.cli.events import events, read_lines
from monitor.policy.events import encode
from monitor.policy.rules import Action


@pytest.fixture
def command():
    return partial(call, events)


@pytest.fixture
def machine():
    return decider(rule(id="agrees", action=Action.DEMOTE), rule(id="slow", subject="active"))


@pytest.fixture
def written(tmp_path, machine):
    lines = [encode(event) for event in run(machine, BAD, GOOD)]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def test_a_decision_is_shown_with_value_threshold_transition_and_reason(command, written):
    result = command(written)
    assert result.exit_code == 0
    assert "demote  btc/shadow  agrees  m = 2.0 (limit > 1.0)  RUNNING -> DEMOTED (epoch 1)" in result.output
    assert "leaves the experiment" in result.output
    assert "alert resolved  btc/active  slow" in result.output


def test_only_events_of_the_type_asked_for(command, written):
    result = command(written, "--type", "demote")
    assert result.output.count("btc/") == 2, "its onset and its end"
    assert command(written, "--type", "demotion").exit_code == 2


def test_a_chain_that_holds_exits_0_and_says_what_it_could_not_see(command, written, machine):
    result = command(written, "--verify")
    assert result.exit_code == 0
    assert "holds up to sequence 4" in result.output
    assert "--head" in result.output
    known = command(written, "--verify", "--head", f"btc:{machine.head.sequence}:{machine.head.hash}")
    assert (known.exit_code, "--head" in known.output) == (0, False)


def test_a_cut_tail_exits_1_once_the_head_is_known(command, written, machine):
    written.write_bytes(b"".join(written.read_bytes().splitlines(keepends=True)[:-1]))
    assert command(written, "--verify").exit_code == 0
    with written.open("ab") as stream:
        stream.write(encode(machine.heartbeat(9 * S)) + b"\n")
    result = command(written, "--verify")
    assert result.exit_code == 1
    assert "cut off" in result.output


def test_a_changed_event_exits_1(command, written):
    written.write_bytes(written.read_bytes().replace(b'"n":100', b'"n":999', 1))
    result = command(written, "--verify")
    assert result.exit_code == 1
    assert "changed" in result.output


def test_a_line_that_is_no_event_is_named(command, written):
    written.write_bytes(b"{oops\n" + written.read_bytes())
    assert "line 1 is no event" in command(written).output
    assert command(written).exit_code == 1
    assert command(written, "--verify").exit_code == 1


def test_bad_usage_exits_2(command, written, tmp_path):
    assert command(tmp_path / "nothing.jsonl").exit_code == 2
    assert command(written, "--verify", "--follow").exit_code == 2
    assert command(written, "--verify", "--head", "btc").exit_code == 2


async def test_following_waits_for_whole_lines(tmp_path):
    path = tmp_path / "growing.jsonl"
    path.write_bytes(b'{"a":1}\n{"b"')
    lines = read_lines(path, follow=True)
    assert await anext(lines) == b'{"a":1}'
    later = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0.05)
    assert not later.done()
    with path.open("ab") as stream:
        stream.write(b":2}\n")
    assert await asyncio.wait_for(later, 5) == b'{"b":2}'
    await lines.aclose()
