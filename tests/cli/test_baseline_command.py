"""`baseline` freezes every usable row, from any file form alike, and refuses with file and remedy."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import zstandard
from typer.testing import CliRunner

import monitor.demo
from monitor.cli.baseline import baseline
from monitor.models.artifact import load_artifact
from monitor.stats.reference import build_reference, freeze, load_reference

MODELS = Path(monitor.demo.__file__).parent / "models"
SCHEMA = MODELS / "features.schema.json"
NAMES = [name for name, _ in json.loads(SCHEMA.read_text())]

app = typer.Typer()
app.command()(baseline)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


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
    assert reference.features == build_reference(dict(zip(NAMES, values.T, strict=True))).features
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
    pq.write_table(pa.table({"unrelated": ["x"] * len(values)} | columns), tmp_path / "f.parquet")
    hashes = set()
    for path in (jsonl, *sorted(tmp_path.iterdir())):
        out = tmp_path / "reference.json"
        result = run("--features", path, "--schema", SCHEMA, "--out", out)
        assert result.exit_code == 0, result.output
        hashes.add(load_reference(out).sha256)
    assert len(hashes) == 1


def test_bad_messages_are_counted_by_reason_and_columns_that_are_no_numbers_left_out(tmp_path):
    schema, features, out = tmp_path / "s.json", tmp_path / "f.jsonl", tmp_path / "r.json"
    schema.write_text('[["a", "float32"], ["venue", "string"], ["up", "bool"]]')
    good = [json.dumps(message(i, {"a": float(i % 2), "venue": "X", "up": i % 3 == 0})) for i in range(30)]
    features.write_text("\n".join([*good, "{", '{"event_id": "x"}', ""]))
    result = run("--features", features, "--schema", schema, "--out", out)
    assert result.exit_code == 0, result.output
    reference = load_reference(out)
    assert set(reference.features) == {"a", "up"}
    assert reference.features["a"] == freeze(np.arange(30.0) % 2)
    assert reference.features["up"].counts == (20, 10)
    assert "venue" in result.output
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
    schema.write_text('[["a", "string"]]')
    assert "no column is a number" in run("--features", jsonl, "--schema", schema, "--out", out).output
    schema.write_text('[["f00", "float32"]]')
    lacking = run("--features", jsonl, "--schema", schema, "--out", out, "--artifact", MODELS / "v7")
    assert lacking.exit_code == 2
    assert "f01" in lacking.output
    absent = run("--features", jsonl, "--schema", schema, "--out", tmp_path / "no" / "r.json")
    assert absent.exit_code == 2
    assert "cannot be written" in absent.output
    parquet = tmp_path / "f.parquet"
    pq.write_table(pa.table({"f01": [1.0]}), parquet)
    assert "no column f00" in run("--features", parquet, "--schema", schema, "--out", out).output
    pq.write_table(pa.table({"f00": ["text"]}), parquet)
    assert "column of numbers" in run("--features", parquet, "--schema", schema, "--out", out).output
    assert not out.exists()
