"""`Manifest`: what an artifact says about itself; the shape of `manifest.json`.

It is only a claim: `artifact` holds it against the files beside it, `model` against what ONNX Runtime finds
inside.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitor.wire.keys import feature_schema_crc32

SCHEMA_VERSION = 1
MODEL_FILE = "model.onnx"

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
OutputKind = Literal["return", "probability", "class", "score"]
TensorDtype = Literal["float32", "float64"]
FeatureDtype = Literal[
    "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"
]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A misspelt optional key must not pass for its absence, so unknown keys are refused."""


class File(_Part, frozen=True, kw_only=True):
    """One file of the artifact; `path` is relative to its directory, with forward slashes."""

    path: Name
    size: Annotated[int, Meta(ge=0)]
    sha256: Sha256


class Tensor(_Part, frozen=True, kw_only=True):
    """An input or output of the model; a dimension that the model leaves open is None."""

    name: Name
    dtype: TensorDtype
    shape: tuple[int | None, ...]


class Feature(_Part, frozen=True, kw_only=True):
    """One input column. `fill` replaces a missing or non-finite value; without it such a row is not
    scored."""

    name: Name
    dtype: FeatureDtype
    fill: float | None = None


class Golden(_Part, frozen=True, kw_only=True):
    """Inputs with the answers the packed model gave, one row a run.

    `rows` (g, features), `outputs` (g,); a loaded model must answer within `tolerance` (absolute, in output
    units).
    """

    rows: Annotated[tuple[tuple[float, ...], ...], Meta(min_length=1)]
    outputs: tuple[float, ...]
    tolerance: Annotated[float, Meta(ge=0)]


class TrainingWindow(_Part, frozen=True, kw_only=True):
    """Event time the model was trained on, `[from_ns, to_ns)`."""

    from_ns: int
    to_ns: int


class Manifest(_Part, frozen=True, kw_only=True):
    """`manifest.json`. `horizon_ns` is how far ahead the output looks, `units` what it is measured in;
    `parent` the artifact id it was trained from or replaces."""

    schema_version: int
    artifact_id: Name
    model_version: Name
    name: Name
    kind: OutputKind
    sequence_length: int = 1
    horizon_ns: Annotated[int, Meta(ge=0)] | None = None
    units: str | None = None
    files: Annotated[tuple[File, ...], Meta(min_length=1)]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    features: Annotated[tuple[Feature, ...], Meta(min_length=1)]
    feature_crc32: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    preprocessing_sha256: Sha256 | None = None
    reference_sha256: Sha256 | None = None
    training_metrics: dict[str, float] = {}
    training_window: TrainingWindow | None = None
    dataset_id: str | None = None
    git_sha: str | None = None
    parent: str | None = None
    golden: Golden

    def file(self, path: str) -> File | None:
        """The entry of a file, None where the manifest does not list it."""
        return next((f for f in self.files if f.path == path), None)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """What the manifest gets wrong by itself, each as (what, remedy)."""
        if self.sequence_length != 1:
            yield (f"sequence_length is {self.sequence_length}", "sequences are not served yet; use 1")
        yield from self._feature_contradictions()
        if len(self.inputs) != 1 or len(self.outputs) != 1:
            yield (
                f"{len(self.inputs)} inputs and {len(self.outputs)} outputs",
                "models with other than one input and one output are not served yet",
            )
            return
        width = self.inputs[0].shape[-1] if self.inputs[0].shape else None
        if width != len(self.features):
            yield (
                f"input {self.inputs[0].name!r} takes {width} columns, listed are {len(self.features)}",
                "list exactly the model's columns, in its order",
            )
        yield from self._golden_contradictions()

    def _feature_contradictions(self) -> Iterator[tuple[str, str]]:
        twice = [name for name, count in Counter(f.name for f in self.features).items() if count > 1]
        if twice:
            yield (f"features listed twice: {', '.join(twice)}", "name each column once")
        crc = feature_schema_crc32([(f.name, f.dtype) for f in self.features])
        if crc != self.feature_crc32:
            yield (
                f"feature_crc32 is {self.feature_crc32} but the listed features give {crc}",
                "columns, order or dtypes were changed after packing; pack again",
            )
        wild = [f.name for f in self.features if f.fill is not None and not math.isfinite(f.fill)]
        if wild:
            yield (f"fill of {', '.join(wild)} is not finite", "give a finite number or leave it out")

    def _golden_contradictions(self) -> Iterator[tuple[str, str]]:
        golden = self.golden
        if len(golden.rows) != len(golden.outputs):
            yield (
                f"{len(golden.rows)} golden rows but {len(golden.outputs)} golden outputs",
                "pack again",
            )
        if any(len(row) != len(self.features) for row in golden.rows):
            yield (f"golden rows that do not have {len(self.features)} columns", "pack again")
        numbers = [*golden.outputs, golden.tolerance, *(v for row in golden.rows for v in row)]
        if not all(math.isfinite(v) for v in numbers):
            yield ("golden vectors hold a value that is not finite", "pack again")


_NUMBERS_OVER_LINES = re.compile(rb"\[\n[^\[\]{}\"]*\]")


def manifest_bytes(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`: indented, every list of numbers on one line."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    return _NUMBERS_OVER_LINES.sub(lambda m: b" ".join(m[0].split()), text) + b"\n"


def decode_manifest(data: bytes) -> Manifest:
    """Raises:
    msgspec.DecodeError: not JSON, or a key missing, misspelt or of the wrong type.
    """
    return msgspec.json.decode(data, type=Manifest)
