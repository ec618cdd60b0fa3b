"""Feature rows of a file of any form, in memory: what references are made of, and held against.

Messages (JSONL, `.gz`, `.zst`, Parquet with a message a row, `record`'s envelopes or its directory), or
columns by name (Parquet, NumPy). Knows no statistic.
"""

from __future__ import annotations

import importlib
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args
from zipfile import BadZipFile

import msgspec
import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from rich.progress import Progress

from monitor.cli.feature_times import too_early, wording
from monitor.errors import ArtifactError, ConfigError, Problem, TransportError
from monitor.models.manifest import FeatureDtype
from monitor.transport.contract import FEATURES
from monitor.transport.files import Batch, read_batches
from monitor.wire.dead_letters import REASONS
from monitor.wire.features import FeatureDecoder, FeatureSpace
from monitor.wire.keys import category_code, combine, feature_schema_crc32, hash64_many
from monitor.wire.symbols import SymbolTable

ROWS: Final = 4096
"""Lines decoded at a time."""

NUMERIC: Final = frozenset(get_args(FeatureDtype))
TEXT: Final = "string"
TIME, SYMBOL = "ts_ns", "symbol"

_ESCAPED = re.compile(r'["\\\x00-\x1f]')

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """Rows of a feature file, in order of time where they have one; those that came twice, once.

    `values` (n, features) float64 in the order of the space, NaN = missing, categories by their code. `ts_ns`
    (n,) int64 and `symbol_key` (n,) uint64: None where the file has none. `row_key` (n,) uint64: hash of the
    event id, else of the row's number. `refused`: messages by reason.
    """

    values: NDArray[np.float64]
    ts_ns: NDArray[np.int64] | None
    symbol_key: NDArray[np.uint64] | None
    row_key: NDArray[np.uint64]
    refused: Counter[str]

    def __len__(self) -> int:
        return len(self.values)


def read_schema(path: Path) -> list[tuple[str, str]]:
    """The `[name, dtype]` pairs of a feature schema.

    Raises:
        ArtifactError: unreadable, of another shape, empty, a column listed twice, or a name that no message
            can be read by.
    """
    remedy = 'Remedy: write a JSON array of ["name", "dtype"] pairs in column order.'
    try:
        pairs = msgspec.json.decode(path.read_bytes(), type=list[tuple[str, str]])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: no feature schema: {error}. {remedy}") from error
    if not pairs or len({name for name, _ in pairs}) != len(pairs):
        raise ArtifactError(f"{path}: no column, or one listed twice. {remedy}")
    check_names(path, [name for name, _ in pairs])
    return pairs


def check_names(path: Path, names: Sequence[str]) -> None:
    """Refuses names of features that messages would have to escape.

    Raises:
        ArtifactError: one holds a quotation mark, a backslash or a control character.
    """
    strange = [name for name in names if _ESCAPED.search(name)]
    if strange:
        raise ArtifactError(
            f"{path}: feature names with a quotation mark, backslash or control character: "
            f"{', '.join(map(repr, strange))}. Remedy: rename them, here and in the data."
        )


def schema_space(pairs: Pairs) -> FeatureSpace:
    """The numbers and categories (dtype `string`) of a schema; columns of other types are left out."""
    return FeatureSpace(
        tuple(name for name, dtype in pairs if dtype in NUMERIC or dtype == TEXT),
        {feature_schema_crc32(pairs): tuple(name for name, _ in pairs)},
        frozenset(name for name, dtype in pairs if dtype == TEXT),
    )


def read_features(path: Path, space: FeatureSpace, progress: Progress) -> FeatureRows:
    """Every usable row of a file, or of the features in a directory of `record`.

    Raises:
        ConfigError: the file cannot be read, lacks a column, holds a time before 1990, or no row of it can
            be used.
    """
    path = _inside(path)
    if path.suffix in (".npy", ".npz"):
        rows = _rows_of(path, space, [_numpy_columns(path, space)])
    elif path.suffix == ".parquet" and (columns := _parquet_columns(path)) and "features" not in columns:
        rows = _rows_of(path, space, _read_parquet(path, space, columns, progress))
    else:
        rows = _read_messages(path, space, progress)
    if not len(rows):
        listed = ", ".join(f"{name} {count}" for name, count in sorted(rows.refused.items()))
        message = f"no usable row ({listed or 'the file is empty'})."
        arrays = rows.refused["unknown_schema"] > 0
        remedy = "name the schema with --schema" if arrays else "feed feature messages of this schema"
        raise unusable(path, message, remedy)
    return rows


def feature_names(path: Path) -> list[str]:
    """Names of the features in the first message of a file that has them by name, else of its columns."""
    path = _inside(path)
    if path.suffix == ".parquet" and "features" not in (columns := _parquet_columns(path)):
        return columns
    try:
        for batch in read_batches(path, ROWS) if path.suffix not in (".npy", ".npz") else ():
            for record in batch.records if batch.topic in (None, FEATURES) else ():
                with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                    return list(msgspec.json.decode(record.value or b"", type=_Named).features)
    except TransportError:
        pass
    return []


class _Named(msgspec.Struct):
    features: dict[str, Any]


def unusable(path: Path, message: str, remedy: str, key: str = "features") -> ConfigError:
    """A file that cannot be used, what it was named for, and what to do."""
    return ConfigError([Problem(str(path), key, message, f"{remedy}.")])


def unwritable(path: Path, option: str, error: OSError) -> ConfigError:
    """A file named by `option` that could not be written."""
    message = f"cannot be written: {error.strerror}."
    return unusable(path, message, f"name a file in a writable directory with {option}", option)


def check_target(option: str, out: Path, sources: Sequence[Path]) -> None:
    """Refuses a file to write that is one of those to read.

    Raises:
        ConfigError: it is one of them, or in a directory of `record` the one that would be read.
    """
    for source in sources:
        read = _inside(source)
        if out.resolve() == read.resolve() or (out.exists() and read.exists() and out.samefile(read)):
            raise unusable(out, "is read by this command too.", f"name another file with {option}", option)


def _inside(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob(f"{FEATURES}.jsonl*"))
    if not found:
        raise unusable(path, f"holds no {FEATURES}.jsonl.", "name what `record` wrote, or a file")
    return found[0]


def _read_messages(path: Path, space: FeatureSpace, progress: Progress) -> FeatureRows:
    decoder = FeatureDecoder(space, SymbolTable(None))
    refused: Counter[str] = Counter()
    parts = []
    size = path.stat().st_size if path.is_file() else None
    task = progress.add_task("reading", total=size)
    try:
        for batch in read_batches(path, ROWS, lambda read: progress.update(task, completed=read)):
            if batch.topic not in (None, FEATURES):
                continue
            table = decoder.decode(batch.records)
            bad = table["reason"] != 0
            refused.update(REASONS[reason] for reason in table["reason"][bad].tolist())
            times = table["ts"][~bad]
            if (early := too_early(times)) is not None:
                raise _untimely(path, _place(batch, int(table["offset"][~bad][early])), int(times[early]))
            names = ("values", "ts", "symbol_key", "sample_key", "dedupe_key")
            parts.append(tuple(table[name][~bad] for name in names))
    except TransportError as error:
        text = str(error).removeprefix(f"{path}: ")
        raise unusable(path, text, "name a readable .jsonl, .gz, .zst, .parquet, .npy or .npz") from error
    if not parts:
        empty = np.empty(0, np.uint64)
        return FeatureRows(np.empty((0, len(space.names))), None, None, empty, refused)
    values, ts, symbol, key, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
    once = np.sort(np.unique(ids, return_index=True)[1])
    if once.size < ids.size:
        refused["duplicate"] = ids.size - once.size
    order = once[np.argsort(ts[once], kind="stable")]
    return FeatureRows(values[order], ts[order], symbol[order], key[order], refused)


def _place(batch: Batch, offset: int) -> str:
    """Where a record stands, for a person: its row, or in what `record` wrote its place in the log."""
    return f"row {offset + 1}" if batch.topic is None else f"offset {offset} of partition {batch.partition}"


def _untimely(path: Path, place: str, ts_ns: int) -> ConfigError:
    message, remedy = wording(ts_ns)
    return unusable(path, f"{place}: {message}.", remedy)


def _rows_of(
    path: Path, space: FeatureSpace, chunks: Iterator[Mapping[str, Any]] | Sequence[Mapping[str, Any]]
) -> FeatureRows:
    """Rows of chunks of columns: a column a feature, and perhaps times and symbols."""
    values, times, symbols = [], [], []
    for columns in chunks:
        values.append(np.column_stack([columns[name] for name in space.names]))
        if TIME in columns:
            times.append(columns[TIME])
        if SYMBOL in columns:
            symbols.append(columns[SYMBOL])
    matrix = np.concatenate(values) if values else np.empty((0, len(space.names)))
    ts = np.concatenate(times) if times else None
    symbol_key = np.concatenate(symbols) if symbols else None
    if ts is not None and (row := too_early(ts)) is not None:
        raise _untimely(path, f"row {row + 1}", int(ts[row]))
    key = combine(np.arange(len(matrix), dtype=np.uint64))
    if ts is not None:
        order = np.argsort(ts, kind="stable")
        matrix, ts, key = matrix[order], ts[order], key[order]
        symbol_key = None if symbol_key is None else symbol_key[order]
    return FeatureRows(matrix, ts, symbol_key, key, Counter())


def _parquet(path: Path) -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise unusable(path, "Parquet needs pyarrow.", "install shadow-monitor[parquet]") from error


def _parquet_columns(path: Path) -> list[str]:
    try:
        return list(_parquet(path).ParquetFile(path).schema_arrow.names)
    except (OSError, ValueError) as error:
        raise unusable(path, f"cannot be read: {error}.", "name a readable file") from error


def _read_parquet(
    path: Path, space: FeatureSpace, present: Sequence[str], progress: Progress
) -> Iterator[Mapping[str, Any]]:
    """Columns of a file with a column a feature; one of another type refuses the file, not rows."""
    lacking = [name for name in space.names if name not in present]
    if lacking:
        raise unusable(
            path, f"has no column {', '.join(lacking)}.", "name the schema of this file with --schema"
        )
    arrow = importlib.import_module("pyarrow")
    names = [*space.names, *(n for n in (TIME, SYMBOL) if n in present and n not in space.names)]
    with _parquet(path).ParquetFile(path) as file:
        task = progress.add_task("reading", total=file.metadata.num_rows)
        for batch in file.iter_batches(ROWS * 16, columns=names):
            try:
                yield {name: _arrow_column(arrow, space, name, batch.column(name)) for name in names}
            except (arrow.ArrowException, ValueError) as error:
                raise unusable(
                    path,
                    f"cannot be read: {error}.",
                    "every feature must be a column of numbers, a category one of text",
                ) from error
            progress.advance(task, batch.num_rows)


def _arrow_column(arrow: Any, space: FeatureSpace, name: str, column: Any) -> NDArray[Any]:
    kinds = arrow.types
    if name == TIME and name not in space.names:
        if kinds.is_timestamp(column.type):
            column = column.cast(arrow.timestamp("ns"))
        return np.asarray(column.cast(arrow.int64()).fill_null(0))
    if kinds.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kinds.is_null(column.type) and name in space.names:
        return np.full(len(column), np.nan)
    text = kinds.is_string(column.type) or kinds.is_large_string(column.type)
    if name == SYMBOL and name not in space.names:
        return hash64_many(["" if x is None else str(x) for x in column.to_pylist()])
    if (name in space.categorical) != text:
        raise ValueError(f"column {name} is {column.type}")
    if text:
        coded = column.dictionary_encode()
        codes: NDArray[np.float64] = np.array([*map(category_code, coded.dictionary.to_pylist()), np.nan])
        places: NDArray[np.int64] = np.asarray(coded.indices.cast(arrow.int64()).fill_null(len(codes) - 1))
        return codes[places]
    if kinds.is_boolean(column.type):
        column = column.cast(arrow.int8())
    return np.asarray(column.cast(arrow.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def _numpy_columns(path: Path, space: FeatureSpace) -> dict[str, NDArray[Any]]:
    """Columns of a .npz by name, of a structured .npy by field, of a plain .npy in the schema's order."""
    wrong = "write numbers and text, no objects, with np.save or np.savez"
    try:
        loaded = np.load(path, allow_pickle=False)
        found = {name: loaded[name] for name in loaded} if isinstance(loaded, NpzFile) else None
    except OSError as error:
        raise unusable(path, f"cannot be read: {error.strerror or error}.", "name a readable file") from error
    except (ValueError, EOFError, BadZipFile, zlib.error) as error:
        # Its own words advise to run whatever the file says.
        raise unusable(path, "cannot be read: damaged, or not NumPy's plain arrays.", wrong) from error
    if found is None:
        found = _fields(path, loaded, space)
    lacking = [name for name in space.names if name not in found]
    if lacking:
        raise unusable(
            path, f"has no column {', '.join(lacking)}.", "name the schema of this file with --schema"
        )
    names = [*space.names, *(n for n in (TIME, SYMBOL) if n in found and n not in space.names)]
    shapes = {found[name].shape for name in names}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        raise unusable(path, "columns must be one-dimensional, of one length.", "save one value a row")
    try:
        return {name: _numpy_column(space, name, found[name]) for name in names}
    except ValueError as error:
        remedy = "every feature must be a column of numbers, a category one of text"
        raise unusable(path, f"{error}.", remedy) from error


def _fields(path: Path, array: NDArray[Any], space: FeatureSpace) -> dict[str, NDArray[Any]]:
    if array.dtype.names is not None:
        return {name: array[name] for name in array.dtype.names}
    for columns in space.schemas.values():
        if array.ndim == 2 and array.shape[1] == len(columns):
            return {name: array[:, i] for i, name in enumerate(columns)}
    lacks = "has not the columns of the schema" if space.schemas else "has columns without names"
    message = f"an array of shape {array.shape} {lacks}."
    raise unusable(path, message, "name the schema with --schema, or save columns by name with np.savez")


def _numpy_column(space: FeatureSpace, name: str, column: NDArray[Any]) -> NDArray[Any]:
    if name == TIME and name not in space.names:
        if column.dtype.kind == "M":
            column = column.astype("datetime64[ns]")
        return column.astype(np.int64)
    text = column.dtype.kind in "US"
    if name == SYMBOL and name not in space.names:
        return hash64_many(column.astype(str).tolist())
    if (name in space.categorical) != text or not (text or column.dtype.kind in "fiub"):
        raise ValueError(f"column {name} is {column.dtype}")
    if text:
        categories, places = np.unique(column.astype(str), return_inverse=True)
        return np.array([category_code(str(category)) for category in categories])[places]
    return column.astype(np.float64)
