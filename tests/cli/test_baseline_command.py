"""`baseline` freezes every usable row, from any file form alike, and refuses with file and remedy."""

import gzip
import json
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from command_cases import call

import monitor.demo
from monitor.cli.baseline import baseline
from monitor.models.artifact import load_artifact
from monitor.stats.reference import build_reference, load_reference
from monitor.transport.contract import Record
from monitor.transport.files import envelope
from monitor.wire.keys import category_code

MODELS = Path(monitor.demo.__file__).parent / "models"
SCHEMA = MODELS / "features.schema.json"
NAMES = [name for name, _ in json.loads(SCHEMA.read_text())]


def run(*arguments):
    return call(baseline, *arguments)


@pytest.fixture(scope="module")
def values():
    rows = (
        np.random.default_rng(26).standard_normal((6_000, len(NAMES))).astype(np.float32).astype(np.float64)
    )
    rows[::50, 3] = np.nan
    return rows


def message(number, features, **more):
    return {
        "event_id": f"e{number}",
        "ts_ns": 10**18 + number,
        "symbol": "BTCUSD",
        "features": features,
        **more,
    }


def lines(values):
    cells = [[None if np.isnan(x) else x for x in row] for row in values.tolist()]
    return [json.dumps(message(i, dict(zip(NAMES, row, strict=True)))) for i, row in enumerate(cells)]


@pytest.fixture(scope="module")
def jsonl(values, tmp_path_factory):
    path = tmp_path_factory.mktemp("features") / "features.jsonl"
    path.write_text("\n".join(lines(values)) + "\n")
    return path


def test_a_reference_holds_the_features_and_the_predictions_of_each_artifact(values, jsonl, tmp_path):
    out = tmp_path / "reference.json"
    arguments = ["--features", jsonl, "--schema", SCHEMA, "--out", out]
    result = run(*arguments, "--artifact", MODELS / "v7", "--artifact", MODELS / "v8")
    assert result.exit_code == 0, result.output
    reference = load_reference(out)
    times = 10**18 + np.arange(len(values))
    expected = build_reference(dict(zip(NAMES, values.T, strict=True)), ts_ns=times).features
    for name, frozen in reference.features.items():
        assert msgspec.structs.replace(frozen, frozen_rate=None, mean_age_s=None) == expected[name]
        assert (frozen.frozen_rate, frozen.mean_age_s) == (0.0, 0.0)
    assert set(reference.predictions) == {load_artifact(MODELS / v).sha256 for v in ("v7", "v8")}
    for frozen in reference.predictions.values():
        assert frozen.n == frozen.null_count + sum(frozen.counts)
        assert frozen.null_count == 0
        assert len(frozen.counts) > 1
    assert reference.sha256 in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["reference.json"]


def test_packed_and_columnar_files_give_the_same_reference(values, jsonl, tmp_path):
    text = jsonl.read_bytes()
    (tmp_path / "f.jsonl.gz").write_bytes(gzip.compress(text))
    half = text.index(b"\n", len(text) // 2) + 1
    pack = zstandard.ZstdCompressor().compress
    (tmp_path / "f.jsonl.zst").write_bytes(pack(text[:half]) + pack(text[half:]))
    columns = {name: pa.array(column, from_pandas=True) for name, column in zip(NAMES, values.T, strict=True)}
    times = 10**18 + np.arange(len(values))
    columns |= {"unrelated": ["x"] * len(values), "ts_ns": times, "symbol": ["BTCUSD"] * len(values)}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    arrays = dict(zip(NAMES, values.T, strict=True))
    np.savez(tmp_path / "f.npz", ts_ns=times, symbol=np.array(["BTCUSD"] * len(values)), **arrays)
    fields = [("ts_ns", "i8"), ("symbol", "U6"), *((name, "f8") for name in NAMES)]
    rows = [(int(t), "BTCUSD", *row) for t, row in zip(times, values.tolist(), strict=True)]
    np.save(tmp_path / "f.npy", np.array(rows, fields))
    pq.write_table(pa.Table.from_pylist([json.loads(line) for line in lines(values)]), tmp_path / "m.parquet")
    run_directory = tmp_path / "run"
    run_directory.mkdir()
    envelopes = [
        envelope("features", 0, Record(i, -1, b"BTCUSD", line)) for i, line in enumerate(text.splitlines())
    ]
    (run_directory / "features.jsonl").write_bytes(b"\n".join([*envelopes, envelopes[-1]]))
    hashes = set()
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 7
    for path in (jsonl, *paths):
        out = tmp_path / "reference.json"
        result = run("--features", path, "--schema", SCHEMA, "--out", out)
        assert result.exit_code == 0, result.output
        hashes.add(load_reference(out).sha256)
    assert len(hashes) == 1


def test_bad_messages_are_counted_by_reason_and_columns_that_are_no_numbers_left_out(tmp_path):
    schema, features, out = tmp_path / "s.json", tmp_path / "f.jsonl", tmp_path / "r.json"
    schema.write_text('[["a", "float32"], ["venue", "string"], ["up", "bool"], ["picture", "bytes"]]')
    good = [json.dumps(message(i, {"a": float(i % 2), "venue": "X", "up": i % 3 == 0})) for i in range(30)]
    features.write_text("\n".join([*good, "{", '{"event_id": "x"}', ""]))
    result = run("--features", features, "--schema", schema, "--out", out)
    assert result.exit_code == 0, result.output
    reference = load_reference(out)
    assert set(reference.features) == {"a", "up", "venue"}
    assert reference.features["a"].counts == (15, 15)
    assert reference.features["up"].counts == (20, 10)
    venue = reference.features["venue"]
    assert (venue.kind, venue.counts) == ("categorical", (30, 0, 0))
    assert venue.categories == (int(category_code("X")),)
    assert venue.frozen_rate == 1.0
    assert "picture" in result.output
    assert "undecodable 1" in result.output


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "f.jsonl", ["no usable row", "Remedy"]),
        (b"{}\n{}\n", "f.jsonl", ["no usable row", " 2"]),
        (b"not gzip", "f.jsonl.gz", ["cannot be read"]),
        (b"not zstandard", "f.jsonl.zst", ["cannot be read"]),
        (b"not parquet", "f.parquet", ["cannot be read"]),
        (None, "f.jsonl", ["cannot be read"]),
    ],
)
def test_a_file_without_a_usable_row_is_refused_and_nothing_written(tmp_path, content, name, words):
    features, out = tmp_path / name, tmp_path / "r.json"
    if content is not None:
        features.write_bytes(content)
    result = run("--features", features, "--schema", SCHEMA, "--out", out)
    assert result.exit_code == 2
    assert all(word in result.output for word in [name, *words]), result.output
    assert not out.exists()


def test_schema_artifact_and_target_are_refused_by_name(jsonl, tmp_path):
    out = tmp_path / "r.json"
    schema = tmp_path / "s.json"
    schema.write_text('[["a", "float32"], ["a", "float32"]]')
    assert "listed twice" in run("--features", jsonl, "--schema", schema, "--out", out).output
    schema.write_text('[["a", "bytes"]]')
    assert "no column is a number" in run("--features", jsonl, "--schema", schema, "--out", out).output
    schema.write_text('[["f00", "float32"]]')
    lacking = run("--features", jsonl, "--schema", schema, "--out", out, "--artifact", MODELS / "v7")
    assert lacking.exit_code == 2
    assert "f01" in lacking.output
    absent = run("--features", jsonl, "--schema", schema, "--out", tmp_path / "no" / "r.json")
    assert absent.exit_code == 2
    assert "--out: cannot be written" in absent.output
    assert "with --out." in absent.output
    parquet = tmp_path / "f.parquet"
    pq.write_table(pa.table({"f01": [1.0]}), parquet)
    assert "no column f00" in run("--features", parquet, "--schema", schema, "--out", out).output
    pq.write_table(pa.table({"f00": ["text"]}), parquet)
    assert "column of numbers" in run("--features", parquet, "--schema", schema, "--out", out).output
    assert not out.exists()


def days(rows_a_day=1440, count=6, seed=1):
    """Columns of some days, a row a minute: numbers, text, and one that repeats."""
    n = rows_a_day * count
    rng = np.random.default_rng(seed)
    return {
        "ts_ns": 1_767_225_600 * 10**9 + np.arange(n) * (86_400 * 10**9 // rows_a_day),
        "symbol": np.array(["AAA", "BBB"])[np.arange(n) % 2],
        "x": rng.normal(size=n),
        "slow": np.repeat(rng.normal(size=n // 4), 4),
        "venue": np.array(["XNAS", "XNYS", "BATS"])[rng.integers(0, 3, n)],
    }


SLOW_SCHEMA = '[["x", "float64"], ["slow", "float64"], ["venue", "string"]]'


def test_a_week_is_calibrated_and_repetitions_ages_and_samples_are_frozen(tmp_path):
    schema, out = tmp_path / "s.json", tmp_path / "r.json"
    schema.write_text(SLOW_SCHEMA)
    np.savez(tmp_path / "f.npz", **days())
    result = run("--features", tmp_path / "f.npz", "--schema", schema, "--out", out, "--sample", "x")
    assert result.exit_code == 0, result.output
    reference = load_reference(out)
    x, slow, venue = (reference.features[name] for name in ("x", "slow", "venue"))
    assert x.calibration.fault is None
    assert x.calibration.cycles == 6
    assert x.sample == tuple(np.sort(days()["x"]))
    assert slow.sample is None
    assert slow.frozen_rate == pytest.approx(1 / 2, abs=1e-3)
    assert slow.mean_age_s == pytest.approx(60, rel=1e-3)
    assert venue.kind == "categorical"
    assert venue.calibration.fault is None
    assert "calibrated for 3 of 3 columns, 6 daily cycles" in result.output


def test_rows_without_times_or_symbols_say_what_cannot_be_measured(tmp_path):
    schema, out = tmp_path / "s.json", tmp_path / "r.json"
    schema.write_text(SLOW_SCHEMA)
    columns = {name: column for name, column in days().items() if name not in ("ts_ns", "symbol")}
    np.savez(tmp_path / "f.npz", **columns)
    result = run("--features", tmp_path / "f.npz", "--schema", schema, "--out", out)
    assert result.exit_code == 0, result.output
    assert "none: rows have no `ts_ns`" in result.output
    assert "no: rows have no `symbol`" in result.output
    assert load_reference(out).features["x"].calibration is None
    schema.write_text('[["x", "float64"], ["slow", "float64"]]')
    np.save(tmp_path / "f.npy", np.column_stack([columns["x"], columns["slow"]]))
    assert run("--features", tmp_path / "f.npy", "--schema", schema, "--out", out).exit_code == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": None}, "no column x"),
        ({"x": np.array(["a"] * 10)}, "column x is"),
        ({"venue": np.arange(10.0)}, "column venue is"),
        ({"x": np.zeros((10, 2))}, "one-dimensional"),
        ({"x": np.zeros(9)}, "one length"),
        ({"ts_ns": np.zeros(10, np.int64)}, "ts_ns"),
    ],
)
def test_columns_that_do_not_fit_the_schema_refuse_the_file(tmp_path, change, words):
    schema = tmp_path / "s.json"
    schema.write_text(SLOW_SCHEMA)
    columns = {name: column[:10] for name, column in days().items()} | change
    np.savez(tmp_path / "f.npz", **{name: column for name, column in columns.items() if column is not None})
    result = run("--features", tmp_path / "f.npz", "--schema", schema, "--out", tmp_path / "r.json")
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert "Remedy" in result.output


def test_a_sample_of_no_number_is_refused(jsonl, tmp_path):
    result = run("--features", jsonl, "--schema", SCHEMA, "--out", tmp_path / "r", "--sample", "nothing")
    assert result.exit_code == 2
    assert "--sample nothing" in result.output


def test_a_reference_without_any_value_is_refused_and_the_one_that_was_there_kept(jsonl, tmp_path):
    schema, out = tmp_path / "s.json", tmp_path / "r.json"
    out.write_text("kept")
    schema.write_text('[["g00", "float32"], ["g01", "string"]]')
    result = run("--features", jsonl, "--schema", schema, "--out", out)
    assert result.exit_code == 2
    assert "the schema has g00, g01; the data has f00, f01," in result.output
    assert "--schema" in result.output
    pq.write_table(
        pa.table({"g00": pa.array([None, None], pa.float64()), "g01": ["", ""]}), tmp_path / "f.parquet"
    )
    schema.write_text('[["g00", "float32"]]')
    result = run("--features", tmp_path / "f.parquet", "--schema", schema, "--out", out)
    assert result.exit_code == 2
    assert "no feature is present in any of 2 rows" in result.output
    assert out.read_text() == "kept"


def test_one_row_is_no_reference(tmp_path):
    schema, out = tmp_path / "s.json", tmp_path / "r.json"
    schema.write_text('[["x", "float64"]]')
    for count, code in ((1, 2), (2, 0)):
        np.savez(tmp_path / "f.npz", x=np.arange(float(count)))
        result = run("--features", tmp_path / "f.npz", "--schema", schema, "--out", out)
        assert result.exit_code == code, result.output
        assert out.exists() == (code == 0)


def test_infinite_values_are_shown_where_there_are_any(tmp_path):
    schema = tmp_path / "s.json"
    schema.write_text('[["x", "float64"], ["y", "float64"]]')
    x = np.arange(200.0)
    np.savez(tmp_path / "f.npz", x=x, y=x)
    arguments = ["--features", tmp_path / "f.npz", "--schema", schema, "--out", tmp_path / "r.json"]
    assert "infinite  " not in run(*arguments).output
    x[:3] = np.inf, -np.inf, np.inf
    np.savez(tmp_path / "f.npz", x=x, y=np.arange(200.0))
    shown = run(*arguments).output.splitlines()
    assert any("infinite  " in line for line in shown)
    assert [line.split()[0] for line in shown if "3 (1.50%)" in line] == ["x"]


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "\x00"])
def test_a_name_that_messages_must_escape_is_refused(jsonl, tmp_path, name):
    schema = tmp_path / "s.json"
    schema.write_text(json.dumps([["f00", "float32"], [name, "float32"]]))
    result = run("--features", jsonl, "--schema", schema, "--out", tmp_path / "r.json")
    assert result.exit_code == 2, result.output
    assert f"control character: {name!r}. Remedy: rename" in result.output


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("f.npy", b"no array"),
        ("f.npz", b"no archive"),
        ("f.npz", b"PK\x03\x04 half an archive"),
        ("f.npy", b""),
    ],
)
def test_no_advice_to_run_what_a_file_says_is_passed_on(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    for path in (tmp_path / name, tmp_path / "objects.npy"):
        result = run("--features", path, "--schema", SCHEMA, "--out", tmp_path / "r.json")
        assert result.exit_code == 2, result.output
        assert "cannot be read: damaged, or not NumPy's plain arrays. Remedy: write" in result.output
        assert "pickle" not in result.output


def test_an_archive_under_the_name_of_an_array_is_read_for_what_it_is(tmp_path):
    schema = tmp_path / "s.json"
    schema.write_text('[["x", "float64"]]')
    np.savez(tmp_path / "f.npz", x=np.arange(9.0))
    (tmp_path / "f.npz").rename(tmp_path / "f.npy")
    result = run("--features", tmp_path / "f.npy", "--schema", schema, "--out", tmp_path / "r.json")
    assert result.exit_code == 0, result.output


def test_what_is_read_is_never_written_over(jsonl, tmp_path):
    directory = tmp_path / "run"
    directory.mkdir()
    data = directory / "features.jsonl"
    data.write_bytes(jsonl.read_bytes())
    (tmp_path / "link.json").symlink_to(data)
    schema = tmp_path / "s.json"
    schema.write_bytes(SCHEMA.read_bytes())
    for features, out in ((data, data), (directory, data), (data, tmp_path / "link.json"), (data, schema)):
        result = run("--features", features, "--schema", schema, "--out", out)
        assert result.exit_code == 2, result.output
        assert "is read by this command too. Remedy: name another file with --out." in result.output
    assert data.read_bytes() == jsonl.read_bytes()
    assert schema.read_bytes() == SCHEMA.read_bytes()


def test_a_parquet_column_of_nothing_but_nulls_is_all_missing(tmp_path):
    schema = tmp_path / "s.json"
    schema.write_text('[["x", "float64"], ["y", "float64"], ["venue", "string"]]')
    table = {"x": [1.0, 2.0, 3.0], "y": pa.nulls(3), "venue": pa.nulls(3)}
    pq.write_table(pa.table(table), tmp_path / "f.parquet")
    result = run("--features", tmp_path / "f.parquet", "--schema", schema, "--out", tmp_path / "r.json")
    assert result.exit_code == 0, result.output
    features = load_reference(tmp_path / "r.json").features
    assert [features[name].null_count for name in ("x", "y", "venue")] == [0, 3, 3]
    assert features["venue"].kind == "categorical"
