"""The frozen reference: what features and predictions looked like when all was well.

One JSON file, canonical and hashed, that drift is measured against. Built by `build_reference`, read by
`load_reference`; it knows nothing of how drift is measured beyond the bins.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from monitor.errors import ArtifactError

VERSION = 1
MAX_BINS = 64
MAX_PSI_BINS = 15
"""PSI bins beside the null bin: 16 in all."""


class Distribution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one column was distributed in the reference.

    Bin `i` holds `edges[i-1] <= x < edges[i]`; the first and last bin are open, so every number has one
    (`np.searchsorted(edges, x, side="right")`), infinities in the end bins. `counts[i]` reference values lie
    in bin `i`, `null_count` were missing, `n` is their sum; `infinite_count` of them were infinite.
    `psi_starts` are the first bins of the groups that PSI collapses the bins to. `mean` and `std`
    (population) are of the finite values, None where there are none.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    null_count: int
    infinite_count: int
    n: int
    psi_starts: tuple[int, ...]
    mean: float | None
    std: float | None

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.edges)) or any(a >= b for a, b in itertools.pairwise(self.edges)):
            raise ValueError("`edges` must be finite and strictly increasing")
        if len(self.counts) != len(self.edges) + 1 or len(self.counts) > MAX_BINS:
            raise ValueError(f"`counts` must have one place more than `edges`, at most {MAX_BINS}")
        if min(self.null_count, self.infinite_count, *self.counts) < 0:
            raise ValueError("counts cannot be negative")
        if self.n != sum(self.counts) + self.null_count:
            raise ValueError("`n` must be the sum of `counts` and `null_count`")
        if (
            self.psi_starts[:1] != (0,)
            or self.psi_starts[-1] >= len(self.counts)
            or any(a >= b for a, b in itertools.pairwise(self.psi_starts))
        ):
            raise ValueError("`psi_starts` must rise from 0 and stay below the number of bins")


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Distributions of features by name and of predictions by the SHA-256 (hex) of the artifact."""

    version: int = VERSION
    features: dict[str, Distribution]
    predictions: dict[str, Distribution] = {}

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, floats as orjson writes them."""
        return orjson.dumps(msgspec.to_builtins(self), option=orjson.OPT_SORT_KEYS)

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the canonical bytes, whatever the spacing of the file it was read from."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def load_reference(path: Path) -> Reference:
    """Read and check a reference file.

    Raises:
        ArtifactError: unreadable, of another version, or inconsistent.
    """
    remedy = "Make it anew with `shadow-monitor baseline`."
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data, type=_Versioned).version
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtifactError(f"reference {path}: {error}. {remedy}") from error
    if version != VERSION:
        raise ArtifactError(f"reference {path}: version {version}, this program reads {VERSION}. {remedy}")
    try:
        return msgspec.json.decode(data, type=Reference)
    except msgspec.MsgspecError as error:
        raise ArtifactError(f"reference {path}: {error}. {remedy}") from error


class _Versioned(msgspec.Struct):
    version: int


def build_reference(
    features: Mapping[str, NDArray[np.float64]],
    predictions: Mapping[str, NDArray[np.float64]] | None = None,
    bins: int = MAX_BINS,
) -> Reference:
    """Freeze columns (each (n,) float64, NaN = missing) by feature name, and predictions by artifact SHA-256.

    >>> reference = build_reference({"side": np.array([-1.0, 1.0, 1.0, np.nan])})
    >>> side = reference.features["side"]
    >>> side.edges, side.counts, side.null_count, side.n
    ((0.0,), (1, 2), 1, 4)
    """
    return Reference(
        features={name: freeze(column, bins) for name, column in features.items()},
        predictions={sha256: freeze(column, bins) for sha256, column in (predictions or {}).items()},
    )


def freeze(column: NDArray[np.float64], bins: int = MAX_BINS) -> Distribution:
    """The distribution of one column, (n,) float64 with NaN = missing, in at most `bins` bins.

    With at most `bins` distinct values each has its bin; else edges stand at the quantiles `i / bins`,
    equal ones once, and such a value has a bin to itself. An edge lies midway between two neighbouring
    values of the reference, so that rounding noise moves no value to another bin.
    """
    column = np.asarray(column, np.float64)
    missing = np.isnan(column)
    numbers = np.sort(column[~missing])
    finite = numbers[np.isfinite(numbers)]
    edges = _edges(finite, bins)
    counts = np.bincount(np.searchsorted(edges, numbers, side="right"), minlength=len(edges) + 1)
    mean, std = _mean_std(finite)
    return Distribution(
        edges=tuple(edges),
        counts=tuple(counts.tolist()),
        null_count=int(missing.sum()),
        infinite_count=numbers.size - finite.size,
        n=column.size,
        psi_starts=_psi_starts(counts.tolist()),
        mean=mean,
        std=std,
    )


def _edges(ordered: NDArray[np.float64], bins: int) -> list[float]:
    distinct = np.unique(ordered)
    if distinct.size <= bins:
        starts = np.arange(1, distinct.size)
    else:
        quantiles = ordered[np.arange(1, bins) * ordered.size // bins]
        starts, repeats = np.unique(np.searchsorted(distinct, quantiles), return_counts=True)
        # A value that fills whole quantiles gets a bin of its own, for the edges that it saves.
        starts = np.union1d(starts, starts[repeats > 1] + 1)
        starts = starts[(starts > 0) & (starts < distinct.size)]
    below, above = distinct[starts - 1], distinct[starts]
    middle = below / 2 + above / 2
    edges: list[float] = np.where(middle > below, middle, above).tolist()
    return edges


def _psi_starts(counts: list[int]) -> tuple[int, ...]:
    """Neighbouring bins joined into at most `MAX_PSI_BINS` groups of about equal reference mass."""
    if len(counts) <= MAX_PSI_BINS:
        return tuple(range(len(counts)))
    total = 2 * sum(counts)
    starts, group, below = [], -1, 0
    for start, count in enumerate(counts):
        middle = MAX_PSI_BINS * (2 * below + count) // total
        if middle != group:
            starts.append(start)
            group = middle
        below += count
    return tuple(starts)


def _mean_std(finite: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Mean and population standard deviation, of values scaled to +-1 so that no square overflows."""
    if not finite.size:
        return None, None
    largest = float(np.abs(finite).max())
    if not largest:
        return 0.0, 0.0
    scaled = finite / largest
    mean = math.fsum(scaled.tolist()) / finite.size
    variance = math.fsum(np.square(scaled - mean).tolist()) / finite.size
    return mean * largest, math.sqrt(variance) * largest
