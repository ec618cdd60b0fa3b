"""`pack` writes an artifact that loads, or says what is wrong and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import model_builders as build
import numpy as np
import pytest
from cli.command_cases import call

from monitor.cli.pack import pack
from monitor.models.artifact import load_artifact
from monitor.models.manifest import decode_manifest
from monitor.models.model import Model
from monitor.wire.keys import feature_schema_crc32


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "model.onnx"
    file.write_bytes(build.linear())
    build.write_schema(tmp_path)
    return tmp_path


def run(source: Path, *more: str, out: str = "v1") -> tuple[int, str]:
    result = call(
        pack,
        source / "model.onnx",
        *("--schema", source / "features.schema.json", "--name", "mm", "--version", "v1"),
        *("--kind", "return", "--out", source / out, *more),
    )
    return result.exit_code, result.output


def test_packed_model_loads_and_says_what_was_given(source: Path) -> None:
    given = (
        "--horizon",
        "5s",
        "--dataset",
        "d1",
        "--git-sha",
        "abc",
        "--parent",
        "mm_v0",
        "--fill",
        "c1=0.5",
    )
    code, output = run(source, *given)
    assert code == 0, output
    model = Model.load(load_artifact(source / "v1"))
    manifest = model.manifest
    assert manifest.artifact_id == "mm_v1"
    assert (manifest.kind, manifest.units, manifest.horizon_ns) == ("return", "fraction", 5_000_000_000)
    assert (manifest.dataset_id, manifest.git_sha, manifest.parent) == ("d1", "abc", "mm_v0")
    assert [f.fill for f in manifest.features] == [None, 0.5, None, None, None]
    assert manifest.feature_crc32 == feature_schema_crc32([(name, "float32") for name in build.NAMES])
    for said in (manifest.feature_crc32, model.artifact.sha256, "rows independent", "c1=0.5", "16 rows"):
        assert str(said) in output


def test_golden_vectors_are_what_the_model_answers(source: Path) -> None:
    run(source)
    golden = load_artifact(source / "v1").golden
    expected = np.array(golden.rows) @ build.WEIGHTS
    np.testing.assert_allclose(golden.outputs, expected, rtol=1e-5)
    assert golden.tolerance == pytest.approx(1e-5 * np.abs(golden.outputs).max())


def test_packing_twice_gives_the_same_bytes(source: Path) -> None:
    run(source, out="a")
    run(source, out="b")
    for name in ("manifest.json", "model.onnx"):
        assert (source / "a" / name).read_bytes() == (source / "b" / name).read_bytes()


def test_golden_rows_skip_what_the_model_cannot_answer(source: Path) -> None:
    (source / "model.onnx").write_bytes(build.log_of_first())
    run(source)
    golden = load_artifact(source / "v1").golden
    assert len(golden.outputs) == 16
    assert min(row[0] for row in golden.rows) > 0


def test_golden_rows_keep_to_the_dtype_of_their_column(source: Path) -> None:
    kinds = ["float32", "bool", "int64", "uint8", "float64"]
    (source / "features.schema.json").write_text(json.dumps(list(zip(build.NAMES, kinds, strict=True))))
    code, output = run(source)
    assert code == 0, output
    rows = np.array(load_artifact(source / "v1").golden.rows)
    assert set(rows[:, 1]) == {0.0, 1.0}
    assert (rows[:, 2:4] == rows[:, 2:4].round()).all()
    assert rows[:, 3].min() >= 0
    assert (rows[:, 4] != rows[:, 4].round()).any()


def test_dependent_model_is_packed_with_a_word_about_its_cost(source: Path) -> None:
    (source / "model.onnx").write_bytes(build.dynamically_quantised())
    code, output = run(source)
    assert code == 0, output
    assert "no: " in output
    assert "one row a run" in output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--kind", "guess"), "one of return, probability, class, score"),
        (("--horizon", "5"), "is not a duration"),
        (("--fill", "c9=1"), "lists no such feature"),
        (("--fill", "c1"), "not NAME=NUMBER"),
        (("--fill", "c1=nan"), "not finite"),
        (("--tolerance", "nan"), "its manifest would be unreadable"),
        (("--name", ""), "its manifest would be unreadable"),
        (("--schema", "/nowhere.json"), "/nowhere.json: cannot be read"),
    ],
)
def test_misuse_exits_2_with_a_remedy_and_leaves_nothing(
    source: Path, more: tuple[str, ...], said: str
) -> None:
    before = sorted(source.iterdir())
    code, output = run(source, *more)
    assert code == 2
    assert said in output
    assert "Remedy: " in output
    assert sorted(source.iterdir()) == before


@pytest.mark.parametrize(
    ("model", "schema", "said"),
    [
        (b"rubbish", None, "not a whole ONNX file"),
        (build.linear(build.WEIGHTS[:3]), None, "it takes 3 columns"),
        (build.random_answers(), None, "two answers"),
        (build.graph_bytes([build.node("Identity", "x", "y")], output=("rows", 5)), None, "one value a row"),
        (None, "[]", "no feature"),
        (None, '[["c0","float32"],["c0","float32"]]', "listed twice"),
        (None, '["c0"]', "no feature schema"),
        (None, '[["c0","string"]]', "no feature schema"),
    ],
)
def test_files_that_do_not_fit_are_refused_and_leave_nothing(
    source: Path, model: bytes | None, schema: str | None, said: str
) -> None:
    if model is not None:
        (source / "model.onnx").write_bytes(model)
    if schema is not None:
        (source / "features.schema.json").write_text(schema)
    before = sorted(source.iterdir())
    code, output = run(source)
    assert code == 2
    assert said in output
    assert sorted(source.iterdir()) == before


def test_packed_version_is_never_overwritten(source: Path) -> None:
    run(source)
    before = (source / "v1" / "manifest.json").read_bytes()
    code, output = run(source, "--kind", "score")
    assert code == 2
    assert "never changed" in output
    assert (source / "v1" / "manifest.json").read_bytes() == before


def test_manifest_reads_back_as_written(source: Path) -> None:
    run(source, "--fill", "c0=-1e-9")
    text = (source / "v1" / "manifest.json").read_bytes()
    assert decode_manifest(text).features[0].fill == -1e-9
    assert len(text.splitlines()) < 120, "a manifest is read by people: numbers one list a line"
