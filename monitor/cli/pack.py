"""`pack`: an ONNX file and a feature schema -> an artifact directory with manifest and golden vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, get_args

import typer
from pydantic_core import PydanticCustomError
from rich.console import Console
from rich.table import Table

from monitor.errors import ArtifactError
from monitor.models.artifact import Artifact
from monitor.models.manifest import MODEL_FILE, OutputKind
from monitor.models.packing import Description, pack_model
from monitor.models.probe import ProbeReport
from monitor.settings.quantities import parse_duration

KINDS: Final[Mapping[str, OutputKind]] = {kind: kind for kind in get_args(OutputKind)}
BAD_USAGE: Final = 2


def pack(
    model: Annotated[Path, typer.Argument(help="The ONNX file, weights inside.")],
    schema: Annotated[Path, typer.Option(help="JSON array of [name, dtype] pairs in column order.")],
    name: Annotated[str, typer.Option(help="Name of the model, the same for all its versions.")],
    version: Annotated[str, typer.Option(help="Version, as orders and `served` carry it in model_version.")],
    kind: Annotated[str, typer.Option(help=f"What the output is: {', '.join(KINDS)}.")],
    out: Annotated[Path, typer.Option(help="The artifact directory to make; must not exist.")],
    horizon: Annotated[str | None, typer.Option(help="How far ahead the output looks, as 5s or 1m.")] = None,
    units: Annotated[str | None, typer.Option(help="What the output is measured in.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="How far a golden output may be off, in output units. Default: 1e-5 of the largest."
        ),
    ] = None,
    fill: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE: what replaces a missing value of a feature; repeatable."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Id of the data it was trained on.")] = None,
    git_sha: Annotated[str | None, typer.Option(help="Commit it was trained from.")] = None,
    parent: Annotated[
        str | None, typer.Option(help="Artifact id of what it was trained from or replaces.")
    ] = None,
) -> None:
    """Make an artifact of a model: hashed, with golden vectors, proven to load before it gets its name."""
    try:
        about = Description(
            name=name,
            version=version,
            kind=_kind(kind),
            horizon_ns=None if horizon is None else _horizon(horizon),
            units=units,
            tolerance=tolerance,
            fill=_fills(fill or []),
            dataset_id=dataset,
            git_sha=git_sha,
            parent=parent,
        )
        artifact, report = pack_model(model, schema, out, about)
    except ArtifactError as error:
        Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(f"pack: {error}")
        raise typer.Exit(BAD_USAGE) from error
    Console(markup=False, highlight=False).print(_table(artifact, report))


def _kind(text: str) -> OutputKind:
    if text not in KINDS:
        raise ArtifactError(f"--kind {text}: no such output kind. Remedy: one of {', '.join(KINDS)}.")
    return KINDS[text]


def _horizon(text: str) -> int:
    try:
        return parse_duration(text)
    except PydanticCustomError as error:
        remedy = (error.context or {}).get("remedy")
        raise ArtifactError(f"--horizon: {error}. Remedy: {remedy}.") from error


def _fills(pairs: Sequence[str]) -> dict[str, float]:
    fills = {}
    for pair in pairs:
        name, _, value = pair.rpartition("=")
        try:
            fills[name] = float(value)
        except ValueError as error:
            raise ArtifactError(
                f"--fill {pair}: not NAME=NUMBER. Remedy: write it as --fill spread=0."
            ) from error
    return fills


def _table(artifact: Artifact, report: ProbeReport) -> Table:
    manifest = artifact.manifest
    table = Table(title=f"{manifest.name} {manifest.model_version}", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    rows = [
        ("directory", str(artifact.dir)),
        ("artifact id", manifest.artifact_id),
        ("output", f"{manifest.kind} (units: {manifest.units})"),
        ("features", f"{len(artifact.features)}, CRC32 {manifest.feature_crc32}"),
        (
            "filled",
            ", ".join(f"{f.name}={f.fill:g}" for f in manifest.features if f.fill is not None) or "none",
        ),
        (MODEL_FILE, f"{len(artifact.model_bytes)} bytes"),
        ("SHA-256", artifact.sha256),
        ("golden vectors", f"{len(artifact.golden.rows)} rows, tolerance {artifact.golden.tolerance:g}"),
        ("rows independent", "yes" if report.independent else f"no: {report.reason}"),
        ("scoring", report.cost()),
    ]
    for row in rows:
        table.add_row(*row)
    return table
