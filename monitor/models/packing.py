"""`pack_model`: an ONNX file and its feature schema become an artifact directory, with golden vectors it
gave itself."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import ArtifactError
from monitor.models.artifact import MANIFEST_FILE, Artifact, check_references, load_artifact, refusal
from monitor.models.manifest import (
    MODEL_FILE,
    SCHEMA_VERSION,
    Feature,
    FeatureDtype,
    File,
    Golden,
    Manifest,
    OutputKind,
    decode_manifest,
    manifest_bytes,
)
from monitor.models.model import Model, run_single
from monitor.models.probe import ProbeReport
from monitor.models.session import Session, Unusable
from monitor.wire.keys import feature_schema_crc32

GOLDEN_ROWS: Final = 16
GOLDEN_CANDIDATES: Final = 256
GOLDEN_RELATIVE_TOLERANCE: Final = 1e-5
"""Of the largest golden output, where no tolerance is named."""

UNITS: Final[Mapping[str, str]] = {
    "return": "fraction",
    "probability": "probability",
    "class": "class",
    "score": "score",
}


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What only the owner of a model knows about it; the rest of the manifest is read from the files."""

    name: str
    version: str
    kind: OutputKind
    horizon_ns: int | None = None
    units: str | None = None
    tolerance: float | None = None
    fill: Mapping[str, float] = {}
    dataset_id: str | None = None
    git_sha: str | None = None
    parent: str | None = None


def pack_model(model: Path, schema: Path, out: Path, about: Description) -> tuple[Artifact, ProbeReport]:
    """Write `out` whole or not at all, and return what was loaded from it.

    `schema` is the JSON array of [name, dtype] pairs in column order.

    Raises:
        ArtifactError: the files do not fit each other, the model is not served, or `out` exists.
    """
    if out.exists():
        raise refusal(out, "it exists, and a packed version is never changed", "pack into a new directory")
    model_bytes = _read(model)
    check_references(model, model_bytes)
    features = _features(schema, about.fill)
    try:
        session = Session(model_bytes)
    except Unusable as unusable:
        raise refusal(
            model, str(unusable), "export it as one input (rows, features) and one output"
        ) from unusable
    if session.width != len(features):
        raise refusal(
            model,
            f"it takes {session.width} columns, {schema} lists {len(features)}",
            "give the schema of exactly the model's columns, in its order",
        )
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        artifact_id=f"{about.name}_{about.version}",
        model_version=about.version,
        name=about.name,
        kind=about.kind,
        horizon_ns=about.horizon_ns,
        units=about.units or UNITS[about.kind],
        files=(File(path=MODEL_FILE, size=len(model_bytes), sha256=hashlib.sha256(model_bytes).hexdigest()),),
        inputs=session.inputs,
        outputs=session.outputs,
        features=features,
        feature_crc32=feature_schema_crc32([(f.name, f.dtype) for f in features]),
        golden=_golden(model, session, features, about.tolerance),
        dataset_id=about.dataset_id,
        git_sha=about.git_sha,
        parent=about.parent,
    )
    return _publish(out, {MODEL_FILE: model_bytes, MANIFEST_FILE: _checked(out, manifest)})


def _checked(out: Path, manifest: Manifest) -> bytes:
    """The manifest's bytes, which a loader will accept."""
    data = manifest_bytes(manifest)
    try:
        wrong = next(decode_manifest(data).contradictions(), None)
    except msgspec.DecodeError as error:
        wrong = (f"its manifest would be unreadable: {error}", "give a finite, non-empty value there")
    if wrong:
        raise refusal(out, *wrong)
    return data


def _publish(out: Path, files: Mapping[str, bytes]) -> tuple[Artifact, ProbeReport]:
    """Write beside `out`, load what was written, and only then give it its name."""
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for name, data in files.items():
            with (staging / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        model = Model.load(load_artifact(staging))
        staging.chmod(0o755)
        staging.rename(out)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return replace(model.artifact, dir=out), model.probe_report


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise refusal(file, f"cannot be read ({error.strerror})", "name a readable file") from error


def _features(schema: Path, fill: Mapping[str, float]) -> tuple[Feature, ...]:
    try:
        pairs = msgspec.json.decode(_read(schema), type=list[tuple[str, FeatureDtype]])
    except msgspec.DecodeError as error:
        raise refusal(
            schema,
            f"no feature schema: {error}",
            'write a JSON array of ["name", "dtype"] pairs in column order',
        ) from error
    names = {name for name, _ in pairs}
    if not pairs or len(names) != len(pairs):
        raise refusal(schema, "no feature, or one listed twice", "list each column once")
    unknown = sorted(set(fill) - names)
    if unknown:
        raise ArtifactError(
            f"fill of {', '.join(unknown)}: {schema} lists no such feature. Remedy: name its columns."
        )
    if not all(map(math.isfinite, fill.values())):
        raise ArtifactError("a fill that is not finite. Remedy: give a finite number, or no fill.")
    return tuple(Feature(name=name, dtype=dtype, fill=fill.get(name)) for name, dtype in pairs)


def _golden(model: Path, session: Session, features: Sequence[Feature], tolerance: float | None) -> Golden:
    """Seeded rows that the model answers with a finite number."""
    candidates = candidate_rows(features)
    rows = candidates.astype(session.dtype)
    kept: list[int] = []
    outputs: list[float] = []
    failure: Exception | None = None
    for i in range(len(rows)):
        try:
            output = float(run_single(session, rows[i : i + 1])[0])
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            failure = error
            continue
        if np.isfinite(output):
            kept.append(i)
            outputs.append(output)
        if len(kept) == GOLDEN_ROWS:
            break
    if not kept:
        what = "no seeded row got a finite answer" + (f": {failure}" if failure else "")
        raise refusal(model, what, "export a model that takes one row of ordinary size and gives one number")
    if tolerance is None:
        tolerance = GOLDEN_RELATIVE_TOLERANCE * max(map(abs, outputs))
    return Golden(
        rows=tuple(tuple(map(float, candidates[i])) for i in kept),
        outputs=tuple(outputs),
        tolerance=tolerance,
    )


def candidate_rows(features: Sequence[Feature]) -> NDArray[np.float64]:
    """Rows (256, F) float64: standard normal with three decimals, whole numbers for integer columns, 0 or 1
    for booleans."""
    draw = np.random.Generator(np.random.PCG64(len(features)))
    rows = draw.standard_normal((GOLDEN_CANDIDATES, len(features))).round(3)
    for column, feature in enumerate(features):
        if feature.dtype == "bool":
            rows[:, column] = rows[:, column] > 0
        elif "int" in feature.dtype:
            rows[:, column] = np.round(3 * rows[:, column])
            if feature.dtype.startswith("u"):
                rows[:, column] = np.abs(rows[:, column])
    return rows
