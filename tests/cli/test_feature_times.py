"""`baseline` and `drift` refuse times in a coarser unit than nanoseconds, by file, row, value and remedy."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_cases import call
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli.baseline import baseline
from monitor.cli.drift import drift
from monitor.cli.feature_times import EARLIEST_NS, too_early, wording
from monitor.stats.reference import build_reference
from monitor.transport.contract import Record
from monitor.transport.files import envelope

NOW_S = 1_767_225_600
ROWS, BAD = 5_000, 4_321
"""Rows of a file, and the place of the one whose time is wrong: not in the first batch."""


def as_columns(path: Path, times: np.ndarray) -> Path:
    np.savez(path.with_suffix(".npz"), ts_ns=times, x=np.arange(float(len(times))))
    return path.with_suffix(".npz")


def as_parquet(path: Path, times: np.ndarray) -> Path:
    pq.write_table(
        pa.table({"ts_ns": times, "x": np.arange(float(len(times)))}), path.with_suffix(".parquet")
    )
    return path.with_suffix(".parquet")


def messages(times: np.ndarray) -> list[bytes]:
    return [
        json.dumps({"event_id": f"e{i}", "ts_ns": t, "symbol": "A", "features": {"x": i % 7}}).encode()
        for i, t in enumerate(times.tolist())
    ]


def as_messages(path: Path, times: np.ndarray) -> Path:
    path.with_suffix(".jsonl").write_bytes(b"\n".join(messages(times)))
    return path.with_suffix(".jsonl")


def as_recorded(path: Path, times: np.ndarray) -> Path:
    lines = [
        envelope("features", 3, Record(70 + i, -1, b"A", line)) for i, line in enumerate(messages(times))
    ]
    path.with_suffix(".jsonl").write_bytes(b"\n".join(lines))
    return path.with_suffix(".jsonl")


def both(directory: Path, data: Path) -> list[tuple[int, str]]:
    """What `baseline` and `drift` say of a file."""
    (directory / "s.json").write_text('[["x", "float64"]]')
    (directory / "r.json").write_bytes(build_reference({"x": np.arange(100.0)}).to_bytes())
    made = call(
        baseline, "--features", data, "--schema", directory / "s.json", "--out", directory / "new.json"
    )
    assert (directory / "new.json").exists() == (made.exit_code == 0)
    held = call(drift, "--reference", directory / "r.json", "--data", data, "--fail-on", "null_rate>0.9")
    return [(result.exit_code, result.output) for result in (made, held)]


@pytest.mark.parametrize(
    ("write", "place"),
    [
        (as_columns, f"row {BAD + 1}"),
        (as_parquet, f"row {BAD + 1}"),
        (as_messages, f"row {BAD + 1}"),
        (as_recorded, f"offset {70 + BAD} of partition 3"),
    ],
)
@pytest.mark.parametrize(
    ("unit", "factor"), [("seconds", 10**9), ("milliseconds", 10**6), ("microseconds", 10**3)]
)
def test_a_coarser_unit_is_named_with_the_first_row_that_has_it(tmp_path, write, place, unit, factor):
    times = NOW_S * 10**9 + np.arange(ROWS) * 10**9
    times[BAD:] //= factor
    data = write(tmp_path / "f", times)
    for code, said in both(tmp_path, data):
        assert code == 2, said
        assert f"{data}: features: {place}: `ts_ns` {times[BAD]} lies before 1990." in said
        assert f"Remedy: looks like {unit}: multiply by {factor:,}." in said


@pytest.mark.parametrize("write", [as_columns, as_parquet, as_messages, as_recorded])
def test_times_from_1990_on_are_taken(tmp_path, write):
    data = write(tmp_path / "f", EARLIEST_NS + np.arange(ROWS) * 10**9)
    assert [code for code, _ in both(tmp_path, data)] == [0, 0]


def test_a_time_of_no_unit_is_refused_without_a_guess(tmp_path):
    data = as_columns(tmp_path / "f", np.array([NOW_S * 10**9, 12_345, NOW_S * 10**9]))
    for code, said in both(tmp_path, data):
        assert code == 2
        assert "row 2: `ts_ns` 12345 lies before 1990. Remedy: write ns since 1970." in said


def test_an_absent_time_is_named_by_its_row(tmp_path):
    pq.write_table(pa.table({"ts_ns": [NOW_S * 10**9, None], "x": [1.0, 2.0]}), tmp_path / "f.parquet")
    for code, said in both(tmp_path, tmp_path / "f.parquet"):
        assert code == 2
        assert "row 2: `ts_ns` is missing or not positive." in said


@given(st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1)))
def test_whatever_the_date_its_unit_is_told(moment):
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    for factor, unit in ((1, "seconds"), (10**3, "milliseconds"), (10**6, "microseconds")):
        assert wording(seconds * factor)[1].startswith(f"looks like {unit}:")
    assert too_early(np.array([seconds * 10**9])) is None
