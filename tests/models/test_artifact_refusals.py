"""A tampered artifact is refused, each for its own reason, before anything in it runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_builders as build
import onnx
import pytest
from onnx import external_data_helper

from monitor.errors import ArtifactError
from monitor.models.artifact import load_artifact
from monitor.models.model import Model
from monitor.wire.keys import feature_schema_crc32


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build.write_artifact(tmp_path_factory.mktemp("good"), build.linear())


def manifest(edit: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    return lambda artifact: build.edit_manifest(artifact, edit)


def model(replacement: Callable[[], bytes]) -> Callable[[Path], None]:
    return lambda artifact: build.replace_model(artifact, replacement())


def flip_byte(artifact: Path) -> None:
    file = artifact / "model.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def append_byte(artifact: Path) -> None:
    with (artifact / "model.onnx").open("ab") as file:
        file.write(b"\0")


def link_to_outside(artifact: Path) -> None:
    outside = artifact.parent / "outside.onnx"
    shutil.move(artifact / "model.onnx", outside)
    (artifact / "model.onnx").symlink_to(outside)


def list_below_a_linked_directory(artifact: Path) -> None:
    outside = artifact.parent / "outside"
    outside.mkdir()
    (outside / "notes").write_bytes(b"")
    (artifact / "sub").symlink_to(outside)
    build.edit_manifest(artifact, listing("sub/notes"))


def link_manifest(artifact: Path) -> None:
    outside = artifact.parent / "outside.json"
    shutil.move(artifact / "manifest.json", outside)
    (artifact / "manifest.json").symlink_to(outside)


def pipe_instead_of_file(artifact: Path) -> None:
    (artifact / "model.onnx").unlink()
    os.mkfifo(artifact / "model.onnx")


def listing(path: str) -> Callable[[dict[str, Any]], None]:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    return lambda m: m["files"].append({"path": path, "size": 0, "sha256": empty})


def drop_column_and_fix_crc(m: dict[str, Any]) -> None:
    m["features"].pop()
    m["feature_crc32"] = feature_schema_crc32([(f["name"], f["dtype"]) for f in m["features"]])
    for row in m["golden"]["rows"]:
        row.pop()


def repeat_column_and_fix_crc(m: dict[str, Any]) -> None:
    m["features"][1]["name"] = m["features"][0]["name"]
    m["feature_crc32"] = feature_schema_crc32([(f["name"], f["dtype"]) for f in m["features"]])


def with_external_data() -> bytes:
    whole = onnx.load_from_string(build.linear())
    external_data_helper.set_external_data(whole.graph.initializer[0], "weights.bin")
    whole.graph.initializer[0].ClearField("raw_data")
    return bytes(whole.SerializeToString())


def with_foreign_operator() -> bytes:
    return build.graph_bytes(
        [onnx.helper.make_node("Steal", ["x"], ["y"], domain="evil.corp")], domains=["evil.corp"]
    )


def with_unknown_operator() -> bytes:
    return build.graph_bytes([build.node("NoSuchOperator", "x", "y")])


def with_two_outputs() -> bytes:
    nodes = [build.node("MatMul", "x w", "y"), build.node("Identity", "y", "z")]
    return build.graph_bytes(nodes, {"w": build.WEIGHTS.astype("f4").reshape(-1, 1)}, outputs=("y", "z"))


def overflow_golden_row(artifact: Path) -> None:
    file = artifact / "manifest.json"
    text = file.read_text()
    assert '"rows": [\n' in text
    file.write_text(text.replace('"rows": [\n', '"rows": [[1e999],\n'))


def swap_manifest(artifact: Path) -> None:
    other = build.write_artifact(artifact.parent, build.linear(build.WEIGHTS[::-1]), out="other")
    shutil.copy(other / "manifest.json", artifact / "manifest.json")


TAMPERED: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "a byte flipped": (flip_byte, "model.onnx", "SHA-256 is"),
    "a byte more": (append_byte, "model.onnx", "the manifest says"),
    "size claimed otherwise": (
        manifest(lambda m: m["files"][0].update(size=1)),
        "model.onnx",
        "the manifest says 1",
    ),
    "hash claimed otherwise": (
        manifest(lambda m: m["files"][0].update(sha256="0" * 64)),
        "model.onnx",
        "says 0000",
    ),
    "hash no hash": (
        manifest(lambda m: m["files"][0].update(sha256="..")),
        "manifest.json",
        "$.files[0].sha256",
    ),
    "model missing": (lambda a: (a / "model.onnx").unlink(), "model.onnx", "cannot be read (No such file"),
    "model a link": (link_to_outside, "model.onnx", "a symbolic link"),
    "model a pipe": (pipe_instead_of_file, "model.onnx", "not a regular file"),
    "below a linked directory": (list_below_a_linked_directory, "sub/notes", "a symbolic link"),
    "manifest a link": (link_manifest, "manifest.json", "a symbolic link"),
    "path climbing out": (manifest(listing("../outside")), "manifest.json", "no plain path"),
    "path climbing out deeper": (manifest(listing("a/../../b")), "manifest.json", "no plain path"),
    "path absolute": (manifest(listing("/etc/hostname")), "manifest.json", "no plain path"),
    "path with a dot": (manifest(listing("./model.onnx")), "manifest.json", "no plain path"),
    "path with a backslash": (manifest(listing("..\\outside")), "manifest.json", "no plain path"),
    "file listed twice": (
        manifest(lambda m: m["files"].append(m["files"][0])),
        "manifest.json",
        "lists a path twice",
    ),
    "listed file missing": (manifest(listing("weights.bin")), "weights.bin", "cannot be read"),
    "model not listed": (manifest(lambda m: m.update(files=[])), "manifest.json", "$.files"),
    "manifest missing": (lambda a: (a / "manifest.json").unlink(), "manifest.json", "cannot be read"),
    "manifest no JSON": (
        lambda a: (a / "manifest.json").write_bytes(b"{"),
        "manifest.json",
        "unreadable manifest",
    ),
    "manifest no UTF-8": (
        lambda a: (a / "manifest.json").write_bytes(b'{"schema_version":1,"name":"\xff"}'),
        "manifest.json",
        "unreadable manifest",
    ),
    "key misspelt": (manifest(lambda m: m.update(horizont_ns=1)), "manifest.json", "horizont_ns"),
    "key missing": (manifest(lambda m: m.pop("golden")), "manifest.json", "golden"),
    "later schema version": (
        manifest(lambda m: m.update(schema_version=2)),
        "manifest.json",
        "schema_version 2",
    ),
    "sequences": (
        manifest(lambda m: m.update(sequence_length=8)),
        "manifest.json",
        "sequences are not served yet",
    ),
    "columns reordered": (
        manifest(lambda m: m["features"].reverse()),
        "manifest.json",
        "the listed features give",
    ),
    "dtype changed": (
        manifest(lambda m: m["features"][2].update(dtype="int8")),
        "manifest.json",
        "feature_crc32",
    ),
    "column dropped": (manifest(drop_column_and_fix_crc), "manifest.json", "takes 5 columns, listed are 4"),
    "column twice": (manifest(repeat_column_and_fix_crc), "manifest.json", "listed twice: c0"),
    "second input": (manifest(lambda m: m["inputs"].append(m["inputs"][0])), "manifest.json", "2 inputs"),
    "golden row short": (
        manifest(lambda m: m["golden"]["rows"][0].pop()),
        "manifest.json",
        "do not have 5 columns",
    ),
    "golden output missing": (
        manifest(lambda m: m["golden"]["outputs"].pop()),
        "manifest.json",
        "16 golden rows but 15",
    ),
    "golden infinite": (
        overflow_golden_row,
        "manifest.json",
        "out of range",
    ),
    "external data": (model(with_external_data), "model.onnx", "external data"),
    "protobuf truncated": (model(lambda: build.linear()[:-20]), "model.onnx", "not a whole ONNX file"),
    "no protobuf": (model(lambda: b"ORTM\x00 something else"), "model.onnx", "not a whole ONNX file"),
    "empty model": (model(lambda: b""), "model.onnx", "no graph"),
    "foreign operator": (
        model(with_foreign_operator),
        "model.onnx",
        "unknown operator domain: evil.corp.Steal",
    ),
}

DEFECTIVE: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "unknown operator": (model(with_unknown_operator), "model.onnx", "NoSuchOperator"),
    "second output": (model(with_two_outputs), "model.onnx", "2 outputs"),
    "other weights": (model(lambda: build.linear(build.WEIGHTS * 1.01)), "model.onnx", "golden row"),
    "golden output altered": (
        manifest(lambda m: m["golden"]["outputs"].__setitem__(3, 0.5)),
        "model.onnx",
        "golden row 3 gave",
    ),
    "input named otherwise": (
        manifest(lambda m: m["inputs"][0].update(name="rows")),
        "manifest.json",
        "the manifest says 'rows'",
    ),
    "output typed otherwise": (
        manifest(lambda m: m["outputs"][0].update(dtype="float64")),
        "manifest.json",
        "float64 (any, 1), the model has",
    ),
    "model of another width": (
        model(lambda: build.linear(build.WEIGHTS[:4])),
        "manifest.json",
        "(any, 5), the model has",
    ),
    "integers in": (
        model(lambda: build.graph_bytes([build.node("Identity", "x", "y")], element=onnx.TensorProto.INT64)),
        "model.onnx",
        "tensor(int64)",
    ),
    "several values a row": (
        model(lambda: build.graph_bytes([build.node("Identity", "x", "y")], output=("rows", 5))),
        "model.onnx",
        "served is one value a row",
    ),
    "answers at random": (model(build.random_answers), "model.onnx", "two answers"),
}


def tampered(good: Path, tmp_path: Path, tamper: Callable[[Path], None]) -> Path:
    artifact = tmp_path / "artifact"
    shutil.copytree(good, artifact)
    tamper(artifact)
    return artifact


@pytest.mark.parametrize("case", TAMPERED)
def test_tampered_artifact_is_refused_before_it_runs(case: str, good: Path, tmp_path: Path) -> None:
    tamper, file, reason = TAMPERED[case]
    artifact = tampered(good, tmp_path, tamper)
    with pytest.raises(ArtifactError) as refused:
        load_artifact(artifact)
    message = str(refused.value)
    assert message.startswith(f"{artifact / file}: ")
    assert reason in message
    assert "Remedy: " in message


@pytest.mark.parametrize("case", DEFECTIVE)
def test_model_that_is_not_what_the_manifest_says_is_refused(case: str, good: Path, tmp_path: Path) -> None:
    tamper, file, reason = DEFECTIVE[case]
    artifact = load_artifact(tampered(good, tmp_path, tamper))
    with pytest.raises(ArtifactError) as refused:
        Model.load(artifact)
    message = str(refused.value)
    assert message.startswith(f"{artifact.dir / file}: ")
    assert reason in message
    assert "Remedy: " in message


def test_swapped_manifest_is_refused(good: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="SHA-256 is"):
        load_artifact(tampered(good, tmp_path, swap_manifest))


def test_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no such directory\. Remedy"):
        load_artifact(tmp_path / "nowhere")


def test_artifact_behind_a_link_to_its_directory_loads(good: Path, tmp_path: Path) -> None:
    (tmp_path / "active").symlink_to(good)
    assert load_artifact(tmp_path / "active").features == build.NAMES


def test_external_data_lying_in_the_working_directory_is_not_read(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = tampered(good, tmp_path, model(with_external_data))
    (tmp_path / "weights.bin").write_bytes(build.WEIGHTS.astype("f4").tobytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match="external data"):
        load_artifact(artifact)


def test_what_was_hashed_is_what_runs(good: Path, tmp_path: Path) -> None:
    artifact = load_artifact(tampered(good, tmp_path, lambda _: None))
    (artifact.dir / "model.onnx").write_bytes(build.linear(build.WEIGHTS * 7))
    row = [[1.0, 0.0, 0.0, 0.0, 0.0]]
    assert Model.load(artifact).run(build.np.array(row, "f4")).tolist() == [0.5]
