"""Outcomes become columns; commands stand one by one, the bad ones with their reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from messages_in import TS, body, reasons, record, without

from monitor.wire.commands import CommandDecoder
from monitor.wire.dead_letters import Rejection
from monitor.wire.features import FeatureDecoder, FeatureSpace
from monitor.wire.gate import load_plugin
from monitor.wire.keys import hash64
from monitor.wire.messages import Command
from monitor.wire.outcomes import OutcomeDecoder
from monitor.wire.symbols import SymbolTable


def outcome(**changes: Any) -> dict[str, Any]:
    return {"event_id": "e-1", "ts_ns": TS, "symbol": "BTCUSD", "label": 0.5} | changes


def command(**changes: Any) -> dict[str, Any]:
    return {
        "command_id": "c-1",
        "ts_ns": TS,
        "actor": "ada",
        "reason": "drill",
        "action": "kill",
        "deployment": "btc",
    } | changes


def test_outcomes_become_columns() -> None:
    messages = [outcome(), outcome(label=True), outcome(label="up"), outcome(label=None), outcome(label=-3)]
    table = OutcomeDecoder(SymbolTable(None)).decode([record(m, i) for i, m in enumerate(messages)])
    assert reasons(table) == ["", "", "ill_typed", "ill_typed", ""]
    np.testing.assert_array_equal(table["label"], [0.5, 1.0, np.nan, np.nan, -3.0])
    assert table["event_key"].tolist() == [hash64(b"e-1"), hash64(b"e-1"), 0, 0, hash64(b"e-1")]
    assert table["event_id"].tolist() == ["e-1", "e-1", "", "", "e-1"]
    assert (table["dedupe_key"] == 0).tolist() == [False, False, True, True, False]
    assert len(OutcomeDecoder(SymbolTable(None)).decode([])) == 0


def test_an_outcome_has_the_identity_of_its_feature_event() -> None:
    event = without(outcome(features={}), "label")
    features = FeatureDecoder(FeatureSpace(()), SymbolTable(None)).decode([record(event)])
    outcomes = OutcomeDecoder(SymbolTable(None)).decode([record(outcome())])
    assert features["sample_key"].tolist() == outcomes["event_key"].tolist()
    assert features["dedupe_key"].tolist() == outcomes["dedupe_key"].tolist()


def test_commands_stand_one_by_one() -> None:
    messages: list[tuple[Any, str]] = [
        (command(scope="trading", expected_epoch=3), ""),
        (command(action="reset", attestation={"seen": True}, signature="ab"), ""),
        (command(action="explode"), "ill_typed"),
        (without(command(), "actor"), "missing_field"),
        (command(reason=""), "ill_typed"),
        (command(scope="everything"), "ill_typed"),
        (command(expected_epoch="3"), "ill_typed"),
        (command(ts_ns=0), "bad_time"),
        (b"kill!", "undecodable"),
        (None, "empty"),
        (body([command()]), "not_an_object"),
    ]
    records = [record(m, 10 + i, b"btc") for i, (m, _) in enumerate(messages)]
    answers = CommandDecoder().decode(records)
    assert [offset for offset, _ in answers] == [r.offset for r in records]
    found = [answer.reason if isinstance(answer, Rejection) else "" for _, answer in answers]
    assert found == [reason for _, reason in messages]
    first = answers[0][1]
    assert isinstance(first, Command)
    assert (first.action, first.scope, first.expected_epoch) == ("kill", "trading", 3)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("json", "package:function"),
        ("json:", "package:function"),
        ("no_such_package:decode", "cannot be loaded"),
        ("json:no_such_function", "cannot be loaded"),
        ("json:__name__", "not callable"),
    ],
)
def test_a_plugin_that_cannot_be_used_says_why(path: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        load_plugin(path)


def test_a_plugin_is_found_by_its_path() -> None:
    import json

    assert load_plugin("json:loads") is json.loads
