"""What `replay` prints for a person: nothing that is not known, and what did not come where it belongs."""

from __future__ import annotations

from pathlib import Path

from command_cases import call
from daemon_replay.small_desk import DEAD_LETTERS_PASS, FILL, START, S, features, write_desk

from monitor.cli.replay import replay


def printed(directory: Path, *reports: dict[str, object], **deployment: object) -> str:
    rows = [
        {"symbol": "AAA", "order_id": "o", "exec_id": f"e{n}", "strategy": "demo", **FILL} | report
        for n, report in enumerate(reports)
    ]
    settings = {"windows": ["1m"], "policy": {"name": "p", "rules": []}, **deployment}
    write_desk(directory, features(40, S), rows, settings, dead_letters=DEAD_LETTERS_PASS)
    files = [part for name in ("features", "orders") for part in (f"--{name}", directory / f"{name}.jsonl")]
    result = call(replay, "--config", directory / "config.yaml", *files, "--out", directory / "out")
    assert result.exit_code == 0, result.output
    return result.output


def test_an_unknown_book_shows_why_and_no_number(tmp_path):
    said = printed(tmp_path, {"ts_ns": START + 5 * S}, books={"start_flat": False})
    [line] = [line for line in said.splitlines() if "fills=real" in line and "│" in line]
    assert [cell.strip() for cell in line.strip("│ ").split("│")] == [
        "role=active,fills=real", "", "", "1", "unknown: no_position AAA; no_mark AAA",
    ]  # fmt: skip
    assert "cash (USD)" in said


def test_what_was_refused_or_filtered_out_is_said(tmp_path):
    sent = [
        {"ts_ns": START + 5 * S},
        {"ts_ns": START + 6 * S, "last_quantity": "0.5"},
        {"ts_ns": START + 7 * S, "strategy": "other"},
        {"ts_ns": START + 2 * S},
    ]
    said = printed(tmp_path, *sent, filter={"strategy": "demo"}, books={"start_flat": True})
    assert "refused: orders 1 off_lot\n" in said
    assert "behind their bound: orders 1 late_applied\n" in said
    assert "filtered out: 1 of 3 execution reports\n" in said


def test_of_a_clean_run_nothing_is_missed_and_no_zero_reasons_are_listed(tmp_path):
    sent = [
        {"ts_ns": START + 5 * S},
        {"ts_ns": START + 6 * S, "kind": "reject", "order_id": "p", "reason": "unknown symbol"},
    ]
    said = printed(tmp_path, *sent, books={"start_flat": True})
    assert not {"refused:", "filtered out:", "behind their bound:"} & set(said.split("\n"))
    rejects = [line for line in said.splitlines() if line.startswith("rejects{")]
    assert len(rejects) == 1
    assert "capped_orders{" not in said
