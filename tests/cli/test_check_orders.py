"""`check` says whose orders make the real book, what it holds at first, and what converts its money."""

from __future__ import annotations

from typing import Any

import kinds_of_output
import pytest
import yaml
from command_cases import call

from monitor.cli.check import check


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ["orders all of the topic", "positions unknown until a position report", "fx none"]),
        (
            {"filter": {"strategy": "demo", "account": "a1"}, "books": {"start_flat": True}},
            ["orders those of account a1, strategy demo; all others", "positions flat at first"],
        ),
        ({"filter": {"account": "a1"}}, ["orders those of account a1; all others"]),
    ],
)
def test_the_table_says_what_the_real_book_is_made_of(tmp_path, changes: dict[str, Any], told: list[str]):
    path = kinds_of_output.write(tmp_path, "return", **changes)
    said = call(check, path)
    assert said.exit_code == 0, said.output
    for each in told:
        assert each in " ".join(said.output.replace("│", " ").split())


def test_the_table_says_what_converts(tmp_path):
    path = kinds_of_output.write(tmp_path, "return")
    document = yaml.safe_load(path.read_text())
    document["instruments"]["EURUSD"] = {"tick_size": "0.0001", "lot_size": "1"}
    path.write_text(yaml.safe_dump(document | {"fx": {"EURUSD": "EURUSD"}}))
    assert "fx EURUSD by EURUSD" in " ".join(call(check, path).output.replace("│", " ").split())
