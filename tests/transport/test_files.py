"""Streams in files: what was written is read back, whatever the packing and the batch size."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.errors import TransportError
from monitor.transport.contract import Record
from monitor.transport.files import LineWriter, envelope, read_batches

SUFFIXES = [".jsonl", ".jsonl.gz", ".jsonl.zst"]

records = st.builds(
    Record,
    offset=st.integers(0, 2**62),
    timestamp_ns=st.integers(-1, 2**62),
    key=st.none() | st.binary(max_size=20),
    value=st.none() | st.binary(max_size=60) | st.text().map(str.encode),
    headers=st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5))).map(tuple),
)


def write(path: Path, lines: list[bytes]) -> Path:
    with LineWriter(path) as out:
        for line in lines:
            out.write(line)
    return path


def write_then_fail(out: LineWriter) -> None:
    out.write(b"new")
    raise TypeError


@given(record=records, partition=st.integers(0, 100))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_envelope_gives_back_every_record(record: Record, partition: int, tmp_path: Path) -> None:
    line = envelope("orders", partition, record)
    assert b"\n" not in line
    (batch,) = read_batches(write(tmp_path / "one.jsonl", [line]), 10)
    assert (batch.topic, batch.partition, batch.records) == ("orders", partition, [record])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_plain_messages_have_line_numbers_as_offsets(tmp_path: Path, suffix: str, size: int) -> None:
    lines = [b'{"n": %d, "bad": "\xff"}' % i for i in range(25)]
    path = write(tmp_path / f"features{suffix}", lines)
    batches = list(read_batches(path, size))
    assert all(len(b.records) <= size and b.topic is None and b.partition == 0 for b in batches)
    assert [r for b in batches for r in b.records] == [
        Record(i, -1, None, line) for i, line in enumerate(lines)
    ]


def test_blank_lines_and_windows_ends_are_no_messages_but_count(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'{"a":1}\r\n\n\n{"a":2}')
    (batch,) = read_batches(path, 10)
    assert [(r.offset, r.value) for r in batch.records] == [(0, b'{"a":1}'), (3, b'{"a":2}')]


def test_partitions_keep_their_order_in_a_mixed_recording(tmp_path: Path) -> None:
    lines = [envelope("features", i % 3, Record(i, i, b"k", b"%d" % i)) for i in range(50)]
    got: dict[int, list[int]] = {}
    for batch in read_batches(write(tmp_path / "r.jsonl.zst", lines), 4):
        assert batch.topic == "features"
        got.setdefault(batch.partition, []).extend(r.offset for r in batch.records)
    assert got == {p: list(range(p, 50, 3)) for p in range(3)}


def test_a_line_that_is_no_envelope_among_envelopes_is_refused_by_number(tmp_path: Path) -> None:
    lines = [envelope("features", 0, Record(0, 0, None, b"x")), b'{"event_id": "e"}']
    with pytest.raises(TransportError, match="line 2"):
        list(read_batches(write(tmp_path / "r.jsonl", lines), 10))


def test_bytes_that_are_no_base64_are_refused(tmp_path: Path) -> None:
    good = envelope("features", 0, Record(0, 0, None, b"x"))
    bad = json.dumps({"topic": "features", "partition": 0, "offset": 1, "value": {"b64": "*"}}).encode()
    with pytest.raises(TransportError, match="line 2"):
        list(read_batches(write(tmp_path / "r.jsonl", [good, bad]), 10))


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
def test_a_truncated_file_is_an_error_not_a_short_one(tmp_path: Path, suffix: str) -> None:
    lines = [b'{"n": %d}' % (i * 7919 % 10007) for i in range(5000)]
    path = write(tmp_path / f"f{suffix}", lines)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TransportError, match="whole"):
        list(read_batches(path, 100))


def test_packed_files_of_several_frames_are_read_through(tmp_path: Path) -> None:
    (tmp_path / "f.zst").write_bytes(zstandard.compress(b"a\nb") + zstandard.compress(b"c\nd\n"))
    (tmp_path / "f.gz").write_bytes(gzip.compress(b"a\nb") + gzip.compress(b"c\nd\n"))
    for name in ("f.zst", "f.gz"):
        (batch,) = read_batches(tmp_path / name, 10)
        assert [r.value for r in batch.records] == [b"a", b"bc", b"d"]


def test_a_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"nowhere\.jsonl"):
        list(read_batches(tmp_path / "nowhere.jsonl", 10))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"out{suffix}", [b"old"])
    with pytest.raises(TypeError), LineWriter(path) as out:
        write_then_fail(out)
    (batch,) = read_batches(path, 10)
    assert [r.value for r in batch.records] == [b"old"]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_lines_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    first = write(tmp_path / f"a{suffix}", [b"x" * 100] * 100)
    second = write(tmp_path / "elsewhere" / f"b{suffix}", [b"x" * 100] * 100)
    assert first.read_bytes() == second.read_bytes()


def test_progress_reaches_the_size_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", [b"x" * 50] * 10_000)
    heard: list[int] = []
    for _ in read_batches(path, 1000, heard.append):
        pass
    assert heard == sorted(heard)
    assert heard[-1] == path.stat().st_size


def test_parquet_rows_become_messages(tmp_path: Path) -> None:
    table = pa.table(
        {
            "event_id": ["a", "b", "c"],
            "ts_ns": [1, 2, 2**60],
            "symbol": ["X", "X", "Y"],
            "features": [[1.0, None], [2.5, 3.0], [float("nan"), 1.0]],
            "price": [None, 10.5, None],
        }
    )
    pq.write_table(table, tmp_path / "f.parquet")
    got = [r for b in read_batches(tmp_path / "f.parquet", 2) for r in b.records]
    assert [r.offset for r in got] == [0, 1, 2]
    assert [json.loads(r.value or b"") for r in got] == [
        {"event_id": "a", "ts_ns": 1, "symbol": "X", "features": [1.0, None]},
        {"event_id": "b", "ts_ns": 2, "symbol": "X", "features": [2.5, 3.0], "price": 10.5},
        {"event_id": "c", "ts_ns": 2**60, "symbol": "Y", "features": [None, 1.0]},
    ]
