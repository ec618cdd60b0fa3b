"""`Artifact`: a model directory of which every listed byte was read once and held against its manifest.

Nothing here runs the model, and nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from monitor.errors import ArtifactError
from monitor.models.manifest import MODEL_FILE, SCHEMA_VERSION, File, Golden, Manifest, decode_manifest
from monitor.models.onnx_scan import Malformed, scan

MANIFEST_FILE = "manifest.json"
MAX_MANIFEST_BYTES = 8 << 20
MAX_FILE_BYTES = 1 << 30
OPERATOR_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})


@dataclass(frozen=True, slots=True)
class Artifact:
    """A verified artifact. `model_bytes` are the bytes that were hashed: the session is made from them, so
    that what runs is what was checked. `sha256` is that of the model file."""

    dir: Path
    manifest: Manifest
    sha256: str
    model_bytes: bytes

    @property
    def features(self) -> tuple[str, ...]:
        """Input columns by name, in the model's order."""
        return tuple(f.name for f in self.manifest.features)

    @property
    def golden(self) -> Golden:
        return self.manifest.golden


def load_artifact(path: Path) -> Artifact:
    """Read and verify an artifact directory.

    Raises:
        ArtifactError: anything in it is missing, altered, reaches outside, or is not served; the message
        names the file, what is wrong and the remedy.
    """
    if not path.is_dir():
        raise refusal(path, "there is no such directory", "name the directory that `pack` wrote")
    manifest = _read_manifest(path / MANIFEST_FILE)
    contents = {f.path: _read_listed(path, f) for f in _distinct(path, manifest)}
    entry = manifest.file(MODEL_FILE)
    if entry is None:
        raise refusal(path / MANIFEST_FILE, f"`files` does not list {MODEL_FILE}", "pack the model again")
    model_bytes = contents[MODEL_FILE]
    check_references(path / MODEL_FILE, model_bytes)
    for what, remedy in manifest.contradictions():
        raise refusal(path / MANIFEST_FILE, what, remedy)
    return Artifact(path, manifest, entry.sha256, model_bytes)


def check_references(file: Path, model_bytes: bytes) -> None:
    """Refuse an ONNX file that needs data from elsewhere or operators that ONNX Runtime does not bring.

    Raises:
        ArtifactError: naming the tensors or operators.
    """
    try:
        found = scan(model_bytes)
    except Malformed as malformed:
        raise refusal(file, f"not a whole ONNX file: {malformed}", "export the model again") from malformed
    if found.external:
        raise refusal(
            file,
            f"the data of {_some(found.external)} lies outside the file (external data)",
            "save the model with its weights inside (onnx.save, save_as_external_data=False)",
        )
    foreign = {
        f"{domain}.{operator}"
        for domain, operator in found.operators
        if domain not in OPERATOR_DOMAINS and domain not in found.functions
    }
    if foreign:
        raise refusal(
            file,
            f"unknown operator domain: {_some(sorted(foreign))}",
            f"export with operators of {', '.join(sorted(OPERATOR_DOMAINS - {''}))}",
        )


def refusal(file: Path, what: str, remedy: str) -> ArtifactError:
    """An `ArtifactError` in the one form that all have: file, what is wrong, what to do."""
    return ArtifactError(f"{file}: {what}. Remedy: {remedy}.")


def _read_manifest(file: Path) -> Manifest:
    data = _read(file, MAX_MANIFEST_BYTES)
    try:
        claimed = msgspec.json.decode(data, type=_Version).schema_version
        if claimed != SCHEMA_VERSION:
            raise refusal(
                file,
                f"schema_version {claimed} is not readable here (this is {SCHEMA_VERSION})",
                "pack the model again with this version",
            )
        return decode_manifest(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refusal(file, f"unreadable manifest: {error}", "pack the model again") from error


class _Version(msgspec.Struct):
    schema_version: int


def _distinct(path: Path, manifest: Manifest) -> tuple[File, ...]:
    if len({f.path for f in manifest.files}) != len(manifest.files):
        raise refusal(path / MANIFEST_FILE, "`files` lists a path twice", "pack the model again")
    return manifest.files


def _read_listed(directory: Path, entry: File) -> bytes:
    relative = PurePosixPath(entry.path)
    plain = all(part not in ("", ".", "..") for part in entry.path.split("/"))
    if not plain or relative.is_absolute() or "\\" in entry.path or ":" in entry.path or "\0" in entry.path:
        raise refusal(
            directory / MANIFEST_FILE,
            f"`files` names {entry.path!r}, which is no plain path inside the artifact",
            "list files by their path below the artifact directory",
        )
    file = directory / relative
    if os.path.realpath(file) != os.path.join(os.path.realpath(directory), *relative.parts):
        raise refusal(file, "a symbolic link", "put the file itself into the artifact")
    data = _read(file, MAX_FILE_BYTES, entry.size)
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry.sha256:
        raise refusal(
            file,
            f"SHA-256 is {digest}, the manifest says {entry.sha256}",
            "the file was changed after packing: restore it or pack again",
        )
    return data


def _read(file: Path, limit: int, size: int | None = None) -> bytes:
    """The whole file, never more than `limit` bytes, through one descriptor that follows no link."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        what = "a symbolic link" if file.is_symlink() else f"cannot be read ({error.strerror})"
        raise refusal(file, what, "put a readable file there or pack again") from error
    with os.fdopen(descriptor, "rb") as opened:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise refusal(file, "not a regular file", "put the file itself into the artifact")
        if found.st_size > limit:
            raise refusal(
                file, f"{found.st_size} bytes are more than the {limit} allowed", "pack a smaller model"
            )
        if size is not None and found.st_size != size:
            raise refusal(
                file,
                f"{found.st_size} bytes, the manifest says {size}",
                "the file was changed after packing: restore it or pack again",
            )
        return opened.read(limit + 1)


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
