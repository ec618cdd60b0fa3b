"""`baseline`: feature rows of a good time, and what models make of them -> the frozen reference of drift."""

from __future__ import annotations

import gzip
import importlib
import io
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, get_args

import msgspec
import numpy as np
import typer
import zstandard
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from monitor.engine.rows import ScoreStatus
from monitor.errors import ArtifactError, ConfigError, MonitorError, Problem
from monitor.models.artifact import Artifact, load_artifact
from monitor.models.manifest import FeatureDtype
from monitor.models.model import Model
from monitor.models.role import Role
from monitor.stats.reference import Reference, build_reference
from monitor.transport.contract import Record
from monitor.wire.dead_letters import REASONS
from monitor.wire.features import FeatureDecoder, FeatureSpace
from monitor.wire.keys import feature_schema_crc32
from monitor.wire.symbols import SymbolTable

BAD_USAGE: Final = 2
ROWS: Final = 4096
"""Lines decoded, or rows scored, at a time."""

_NUMERIC: Final = frozenset(get_args(FeatureDtype))


@dataclass(frozen=True, slots=True)
class Columns:
    """A feature file: `values` (n, features) float64 with NaN = missing; refused messages by reason."""

    values: NDArray[np.float64]
    refused: Counter[str]


@dataclass(frozen=True, slots=True)
class Predictions:
    """A model's answers to the rows it could score, (m,) float64; how many it could not, by status."""

    artifact: Artifact
    values: NDArray[np.float64]
    unanswered: Counter[str]


def baseline(
    features: Annotated[
        Path, typer.Option(help="Feature messages, one a line (.jsonl, .gz, .zst), or .parquet by column.")
    ],
    schema: Annotated[Path, typer.Option(help="JSON array of [name, dtype] pairs in column order.")],
    out: Annotated[Path, typer.Option(help="The reference to write; one that is there is replaced.")],
    artifact: Annotated[
        list[Path] | None,
        typer.Option(help="Artifact directory whose predictions are frozen too; repeatable."),
    ] = None,
) -> None:
    """Freeze how features, and the predictions of models on them, are distributed while all is well."""
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    try:
        pairs = read_schema(schema)
        space = _space(schema, pairs)
        models = [Model.load(load_artifact(path)) for path in artifact or []]
        roles = [Role(model.manifest.artifact_id, model, space.names) for model in models]
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            columns = _read(features, space, progress)
            answers = [
                _score(role, model.artifact, columns.values, progress)
                for role, model in zip(roles, models, strict=True)
            ]
        reference = build_reference(
            dict(zip(space.names, columns.values.T, strict=True)),
            {each.artifact.sha256: each.values for each in answers},
        )
        _write(out, reference.to_bytes())
    except MonitorError as error:
        console.print(f"baseline: {error}")
        raise typer.Exit(BAD_USAGE) from error
    skipped = [name for name, dtype in pairs if dtype not in _NUMERIC]
    Console(markup=False, highlight=False).print(_summary(out, reference, columns, answers, skipped))


def read_schema(path: Path) -> list[tuple[str, str]]:
    """The `[name, dtype]` pairs of a feature schema.

    Raises:
        ArtifactError: unreadable, of another shape, empty, or a column listed twice.
    """
    remedy = 'Remedy: write a JSON array of ["name", "dtype"] pairs in column order.'
    try:
        pairs = msgspec.json.decode(path.read_bytes(), type=list[tuple[str, str]])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: no feature schema: {error}. {remedy}") from error
    if not pairs or len({name for name, _ in pairs}) != len(pairs):
        raise ArtifactError(f"{path}: no column, or one listed twice. {remedy}")
    return pairs


def _space(path: Path, pairs: Sequence[tuple[str, str]]) -> FeatureSpace:
    numeric = tuple(name for name, dtype in pairs if dtype in _NUMERIC)
    if not numeric:
        raise ArtifactError(f"{path}: no column is a number. Remedy: one of {', '.join(sorted(_NUMERIC))}.")
    return FeatureSpace(numeric, {feature_schema_crc32(pairs): tuple(name for name, _ in pairs)})


def _read(path: Path, space: FeatureSpace, progress: Progress) -> Columns:
    """Every usable row of a feature file, in memory.

    Raises:
        ConfigError: the file cannot be read, or no row of it can be used.
    """
    refused: Counter[str] = Counter()
    chunks = _read_parquet if path.suffix == ".parquet" else _read_messages
    try:
        parts = list(chunks(path, space, refused, progress))
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise _unusable(
            path, f"cannot be read: {error}.", "name a readable .jsonl, .gz, .zst or .parquet"
        ) from error
    values = np.concatenate(parts) if parts else np.empty((0, len(space.names)))
    if not len(values):
        raise _unusable(
            path,
            f"no usable row ({_listed(refused) or 'the file is empty'}).",
            "feed feature messages of this schema",
        )
    return Columns(values, refused)


def _read_messages(
    path: Path, space: FeatureSpace, refused: Counter[str], progress: Progress
) -> Iterator[NDArray[np.float64]]:
    decoder = FeatureDecoder(space, SymbolTable(None))
    with path.open("rb") as raw, _plain(path, raw) as lines:
        task = progress.add_task("reading", total=path.stat().st_size)
        numbered = ((number, line.rstrip(b"\r\n")) for number, line in enumerate(lines))
        records = (Record(number, -1, None, line) for number, line in numbered if line)
        while batch := list(islice(records, ROWS)):
            table = decoder.decode(batch)
            bad = table["reason"] != 0
            refused.update(REASONS[reason] for reason in table["reason"][bad].tolist())
            yield table["values"][~bad]
            progress.update(task, completed=raw.tell())


@contextmanager
def _plain(path: Path, raw: BinaryIO) -> Iterator[Any]:
    """The lines of a file, unpacked by its suffix."""
    if path.suffix == ".gz":
        with gzip.open(raw) as lines:
            yield lines
    elif path.suffix == ".zst":
        with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream:
            yield io.BufferedReader(stream)
    else:
        yield raw


def _read_parquet(
    path: Path, space: FeatureSpace, refused: Counter[str], progress: Progress
) -> Iterator[NDArray[np.float64]]:
    """Rows of a file with a column a feature; columns that are no numbers refuse the file, not rows."""
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise _unusable(path, "Parquet needs pyarrow.", "install shadow-monitor[parquet]") from error
    try:
        with parquet.ParquetFile(path) as file:
            lacking = [name for name in space.names if name not in file.schema_arrow.names]
            if lacking:
                raise _unusable(path, f"has no column {', '.join(lacking)}.", "name the schema of this file")
            task = progress.add_task("reading", total=file.metadata.num_rows)
            for batch in file.iter_batches(ROWS * 16, columns=list(space.names)):
                columns = [batch.column(name) for name in space.names]
                yield np.column_stack([_numbers(arrow, column) for column in columns])
                progress.advance(task, batch.num_rows)
    except arrow.ArrowException as error:
        raise _unusable(
            path, f"cannot be read: {error}.", "every feature must be a column of numbers"
        ) from error


def _numbers(arrow: Any, column: Any) -> NDArray[np.float64]:
    """An Arrow column as float64, nulls as NaN."""
    if arrow.types.is_boolean(column.type):
        column = column.cast(arrow.int8())
    numbers = column.cast(arrow.float64(), safe=False)
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)


def _score(role: Role, artifact: Artifact, values: NDArray[np.float64], progress: Progress) -> Predictions:
    task: TaskID = progress.add_task(f"scoring {role.name}", total=len(values))
    batch = role.batch(values)
    while batch.open:
        batch.step(ROWS, lambda: 0)
        progress.advance(task, ROWS)
    scores = batch.scores()
    answered = scores.status == ScoreStatus.OK
    if not answered.any():
        raise ArtifactError(
            f"{artifact.dir}: no row could be scored. Remedy: name fills for its features, or fuller rows."
        )
    unanswered = Counter(ScoreStatus(status).name.lower() for status in scores.status[~answered].tolist())
    return Predictions(artifact, scores.value[answered], unanswered)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a file beside it takes its name once it is on disk."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                # As any other new file, not as private as a temporary one.
                os.fchmod(file.fileno(), 0o644)
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise _unusable(
            path, f"cannot be written: {error.strerror}.", "name a file in a writable directory"
        ) from error


def _unusable(path: Path, message: str, remedy: str) -> ConfigError:
    return ConfigError([Problem(str(path), "baseline", message, f"{remedy}.")])


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _summary(
    out: Path,
    reference: Reference,
    columns: Columns,
    answers: Sequence[Predictions],
    skipped: Sequence[str],
) -> Table:
    frozen = reference.features.items()
    table = Table("", str(out), title="reference", title_justify="left")
    rows = [
        ("SHA-256", reference.sha256),
        ("rows", str(len(columns.values))),
        ("refused messages", _listed(columns.refused) or "none"),
        ("features", str(len(reference.features))),
        ("left out, no numbers", ", ".join(skipped) or "none"),
        ("never present", ", ".join(name for name, d in frozen if d.null_count == d.n) or "none"),
        ("constant", ", ".join(name for name, d in frozen if d.std == 0.0) or "none"),
    ]
    for each in answers:
        unanswered = f"; without answer: {_listed(each.unanswered)}" if each.unanswered else ""
        rows.append(
            (f"predictions of {each.artifact.manifest.artifact_id}", f"{each.values.size}{unanswered}")
        )
    for row in rows:
        table.add_row(*row)
    return table
