"""`baseline`: feature rows of a good time, and what models make of them -> the frozen reference of drift."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from monitor.cli.feature_files import (
    FeatureRows,
    check_target,
    feature_names,
    read_features,
    read_schema,
    schema_space,
    unusable,
    unwritable,
)
from monitor.engine.memories.previous import Previous
from monitor.engine.rows import ScoreStatus
from monitor.engine.scope import Batch
from monitor.errors import ArtifactError, MonitorError
from monitor.models.artifact import Artifact, load_artifact
from monitor.models.model import Model
from monitor.models.role import Role
from monitor.stats.calibration import MIN_CYCLES
from monitor.stats.reference import Distribution, Reference, build_reference
from monitor.stats.staleness import Staleness
from monitor.wire.features import FeatureSpace
from monitor.wire.table import Table as Rows

BAD_USAGE: Final = 2
ROWS: Final = 4096
"""Rows scored, or compared, at a time."""

LEAST_ROWS: Final = 2

SAMPLE: Final = 10_000
"""Values of a feature that are kept for an exact KS statistic."""

_WIDE: Final = 160


@dataclass(frozen=True, slots=True)
class Predictions:
    """A model's answers by row, (n,) float64, NaN where it could not; how many it could not, by status."""

    artifact: Artifact
    values: NDArray[np.float64]
    unanswered: Counter[str]


def baseline(
    features: Annotated[
        Path,
        typer.Option(
            help="Feature messages (.jsonl, .gz, .zst, .parquet, a directory of `record`), or columns "
            "by name (.parquet, .npz, .npy), `ts_ns` and `symbol` among them for calibration and ages."
        ),
    ],
    schema: Annotated[Path, typer.Option(help="JSON array of [name, dtype] pairs; `string` is categorical.")],
    out: Annotated[Path, typer.Option(help="The reference to write; one that is there is replaced.")],
    artifact: Annotated[
        list[Path] | None,
        typer.Option(help="Artifact directory whose predictions are frozen too; repeatable."),
    ] = None,
    sample: Annotated[
        list[str] | None,
        typer.Option(help="Feature to keep values of, for an exact KS statistic; repeatable."),
    ] = None,
) -> None:
    """Freeze how features, and the predictions of models on them, are distributed while all is well."""
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    try:
        check_target("--out", out, [features, schema])
        pairs = read_schema(schema)
        space = schema_space(pairs)
        if not space.names:
            raise ArtifactError(f"{schema}: no column is a number or a category. Remedy: see its dtypes.")
        _check_samples(sample or (), space)
        models = [Model.load(load_artifact(path)) for path in artifact or []]
        roles = [Role(model.manifest.artifact_id, model, space.names) for model in models]
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            rows = read_features(features, space, progress)
            _check_rows(features, rows, space)
            answers = [
                _score(role, model.artifact, rows.values, progress)
                for role, model in zip(roles, models, strict=True)
            ]
            progress.add_task("calibrating", total=None)
            reference = freeze_rows(rows, space, answers, sample or ())
        _write(out, reference.to_bytes())
    except MonitorError as error:
        console.print(f"baseline: {error}")
        raise typer.Exit(BAD_USAGE) from error
    skipped = [name for name, _ in pairs if name not in space.names]
    shown = wide_console()
    shown.print(_summary(out, reference, rows, answers, skipped))
    shown.print(_by_column(reference, answers))


def freeze_rows(
    rows: FeatureRows, space: FeatureSpace, answers: Sequence[Predictions], sample: Sequence[str]
) -> Reference:
    """The reference of rows and of what models answered to them; samples of the features named.

    Raises:
        ArtifactError: a category has too many values.
    """
    predictions = {
        each.artifact.sha256: each.values if rows.ts_ns is not None else each.values[~np.isnan(each.values)]
        for each in answers
    }
    frozen = build_reference(
        dict(zip(space.names, rows.values.T, strict=True)),
        predictions,
        ts_ns=rows.ts_ns,
        categorical=space.categorical,
    )
    still = staleness_of(rows)
    features: dict[str, Distribution] = {}
    for place, (name, distribution) in enumerate(frozen.features.items()):
        found = distribution
        if still is not None and still.compared(place):
            age = still.mean_age_s(place) if rows.ts_ns is not None else None
            found = msgspec.structs.replace(found, frozen_rate=still.frozen_rate(place), mean_age_s=age)
        if name in sample:
            chosen = _sample(rows.values[:, place], rows.row_key)
            found = msgspec.structs.replace(found, sample=tuple(chosen.tolist()))
        features[name] = found
    return msgspec.structs.replace(frozen, features=features)


def staleness_of(rows: FeatureRows) -> Staleness | None:
    """How often values repeat the symbol's previous one, and their age; None where there are no symbols."""
    if rows.symbol_key is None:
        return None
    names, codes = np.unique(rows.symbol_key, return_inverse=True)
    width = rows.values.shape[1]
    memory, total = Previous(range(width)), Staleness(width)
    times = rows.ts_ns if rows.ts_ns is not None else np.zeros(len(rows), np.int64)
    for start in range(0, len(rows), ROWS):
        part = slice(start, start + ROWS)
        table = Rows(
            {
                "values": rows.values[part],
                "symbol": codes[part].astype(np.int32),
                "symbol_key": names[codes[part]],
                "eff": times[part],
            }
        )
        for derived in memory.take(Batch({}, table, {})).values():
            total.update(derived["counts"])
    return total


def _sample(column: NDArray[np.float64], key: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The finite values with the smallest keys, rising."""
    finite = np.flatnonzero(np.isfinite(column))
    chosen = finite[np.argsort(key[finite], kind="stable")[:SAMPLE]]
    return np.sort(column[chosen])


def _check_samples(sample: Sequence[str], space: FeatureSpace) -> None:
    for name in sample:
        if name not in space.names or name in space.categorical:
            raise ArtifactError(f"--sample {name}: no feature of the schema with numbers. Remedy: name one.")


def _check_rows(path: Path, rows: FeatureRows, space: FeatureSpace) -> None:
    """Refuses rows that no reference can be made of."""
    if len(rows) < LEAST_ROWS:
        raise unusable(path, f"{len(rows)} usable row is no distribution.", "feed more rows of a good time")
    if np.isnan(rows.values).all():
        named = ", ".join(feature_names(path)) or "none by name"
        raise unusable(
            path,
            f"no feature is present in any of {len(rows)} rows: the schema has {', '.join(space.names)}; "
            f"the data has {named}.",
            "name the schema of this data with --schema",
        )


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
    return Predictions(artifact, np.where(answered, scores.value, np.nan), unanswered)


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
        raise unwritable(path, "--out", error) from error


def wide_console() -> Console:
    """Standard output, for tables; wide enough for them where it is no terminal."""
    console = Console(markup=False, highlight=False)
    return console if console.is_terminal else Console(markup=False, highlight=False, width=_WIDE)


def counted_share(count: int, n: int) -> str:
    """A count and its share of `n`; nothing where it is none."""
    return f"{count} ({count / n:.2%})" if count else ""


def listed(counts: Counter[str]) -> str:
    """Counts by name, as text."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _summary(
    out: Path,
    reference: Reference,
    rows: FeatureRows,
    answers: Sequence[Predictions],
    skipped: Sequence[str],
) -> Table:
    frozen = reference.features.items()
    columns = [*reference.features.values(), *reference.predictions.values()]
    calibrated = sum(d.calibration is not None and d.calibration.fault is None for d in columns)
    table = Table("", str(out), title="reference", title_justify="left")
    lines = [
        ("SHA-256", reference.sha256),
        ("rows", f"{len(rows)}{_span(rows)}"),
        ("refused messages", listed(rows.refused) or "none"),
        ("features", str(len(reference.features))),
        ("left out, neither numbers nor text", ", ".join(skipped) or "none"),
        ("never present", ", ".join(name for name, d in frozen if d.null_count == d.n) or "none"),
        ("infinite values in", ", ".join(name for name, d in frozen if d.infinite_count) or "none"),
        ("constant", ", ".join(name for name, d in frozen if d.std == 0.0) or "none"),
        ("p-values", _judgeable(calibrated, columns, rows)),
        (
            "repeated values and ages",
            "measured" if rows.symbol_key is not None else "no: rows have no `symbol`",
        ),
    ]
    for each in answers:
        count = int(np.count_nonzero(~np.isnan(each.values)))
        unanswered = f"; without answer: {listed(each.unanswered)}" if each.unanswered else ""
        lines.append((f"predictions of {each.artifact.manifest.artifact_id}", f"{count}{unanswered}"))
    for line in lines:
        table.add_row(*line)
    return table


def _span(rows: FeatureRows) -> str:
    if rows.ts_ns is None:
        return ""
    first, last = (np.datetime64(int(rows.ts_ns[i]), "ns").astype("datetime64[s]") for i in (0, -1))
    return f", {first} to {last} UTC"


def _judgeable(calibrated: int, columns: Sequence[Distribution], rows: FeatureRows) -> str:
    """What p-values there will be with this reference."""
    if rows.ts_ns is None:
        return "none: rows have no `ts_ns`"
    cycles = max((d.calibration.cycles for d in columns if d.calibration is not None), default=0)
    said = f"calibrated for {calibrated} of {len(columns)} columns, {cycles} daily cycles"
    if calibrated and cycles < MIN_CYCLES:
        said += f": none for windows under a day, which want {MIN_CYCLES}"
    return said


def _by_column(reference: Reference, answers: Sequence[Predictions]) -> Table:
    names = {each.artifact.sha256: each.artifact.manifest.artifact_id for each in answers}
    table = Table(title="columns", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("column")
    predictions = [(f"predictions of {names[sha]}", d) for sha, d in reference.predictions.items()]
    columns = [*reference.features.items(), *predictions]
    infinite = ["infinite"] if any(d.infinite_count for _, d in columns) else []
    heads = ("values", "missing", *infinite, "repeated", "mean age", "sample", "cycles", "correlation")
    for head in heads:
        table.add_column(head, justify="right")
    table.add_column("calibrated")
    for name, d in columns:
        calibration = d.calibration
        fault = (
            "no: rows have no `ts_ns`"
            if calibration is None
            else calibration.fault and f"no: {calibration.fault}"
        )
        table.add_row(
            f"{name} (text)" if d.kind == "categorical" else name,
            str(d.n - d.null_count),
            f"{d.null_rate:.2%}" if d.null_count else "",
            *(counted_share(d.infinite_count, d.n) for _ in infinite),
            f"{d.frozen_rate:.1%}" if d.frozen_rate is not None else "",
            f"{d.mean_age_s:.3g} s" if d.mean_age_s is not None else "",
            str(len(d.sample)) if d.sample is not None else "",
            str(calibration.cycles) if calibration is not None else "",
            f"{calibration.correlation_s:.3g} s" if calibration and calibration.correlation_s else "",
            fault or f"yes, {calibration.blocks if calibration else 0} blocks",
        )
    return table
