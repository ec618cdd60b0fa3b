"""The frozen reference: what features and predictions looked like when all was well.

One JSON file, canonical and hashed, that drift is measured against. Built by `build_reference`, read by
`load_reference`; it knows nothing of how drift is measured beyond the bins.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from monitor.errors import ArtifactError
from monitor.stats.calibration import PANE_NS, Calibration, calibrate, pane_counts
from monitor.stats.grouping import MAX_GROUPS, group_starts

VERSION = 2
MAX_BINS = 64
MAX_PSI_BINS = MAX_GROUPS
"""PSI bins beside the null bin: 16 in all."""

MAX_TAIL = 4096
"""Categories known beside those with a bin of their own."""

_TOP_GROUPS = MAX_PSI_BINS - 2
_MAX_CODE = 2.0**53


class Distribution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one column was distributed in the reference.

    Numeric: bin `i` holds `edges[i-1] <= x < edges[i]`; the first and last bin are open, so every number has
    one (`np.searchsorted(edges, x, side="right")`), infinities in the end bins. `mean` and `std` (population)
    are of the finite values, None where there are none.

    Categorical (values are whole numbers from 0 to below 2^53, codes or hashes of categories): bin `i` holds
    `categories[i]`, commonest first; the last but one every code of `tail`, the last what the reference never
    saw. There are no edges, no mean and no distance of Kolmogorov and Smirnov.

    `counts[i]` reference values lie in bin `i`, `null_count` were missing, `n` is their sum; `infinite_count`
    of them were infinite. `psi_starts` are the first bins of the groups that PSI collapses the bins to.
    `frozen_rate` and `mean_age_s`, where measured: share of values that repeat the one before of the same
    symbol, and mean seconds since a value last changed. `sample`: values chosen by hash, rising.
    """

    kind: Literal["numeric", "categorical"] = "numeric"
    edges: tuple[float, ...] = ()
    categories: tuple[int, ...] = ()
    tail: tuple[int, ...] = ()
    counts: tuple[int, ...]
    null_count: int
    infinite_count: int
    n: int
    psi_starts: tuple[int, ...]
    mean: float | None
    std: float | None
    frozen_rate: float | None = None
    mean_age_s: float | None = None
    sample: tuple[float, ...] | None = None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.edges)) or any(a >= b for a, b in itertools.pairwise(self.edges)):
            raise ValueError("`edges` must be finite and strictly increasing")
        if self.kind == "categorical":
            self._check_categories()
        elif len(self.counts) != len(self.edges) + 1 or self.categories or self.tail:
            raise ValueError("`counts` must have one place more than `edges`, and numbers no categories")
        if len(self.counts) > MAX_BINS:
            raise ValueError(f"`counts` must have at most {MAX_BINS} places")
        if min(self.null_count, self.infinite_count, *self.counts) < 0:
            raise ValueError("counts cannot be negative")
        if self.n != sum(self.counts) + self.null_count:
            raise ValueError("`n` must be the sum of `counts` and `null_count`")
        if (
            self.psi_starts[:1] != (0,)
            or self.psi_starts[-1] >= len(self.counts)
            or len(self.psi_starts) > MAX_PSI_BINS
            or any(a >= b for a, b in itertools.pairwise(self.psi_starts))
        ):
            raise ValueError(
                f"`psi_starts` must rise from 0 and stay below the number of bins, {MAX_PSI_BINS} at most"
            )
        if self.sample is not None and any(not a <= b for a, b in itertools.pairwise(self.sample)):
            raise ValueError("`sample` must rise and hold no NaN")
        if self.calibration is not None and len(self.calibration.profile[0]) != len(self.counts) + 1:
            raise ValueError("`calibration` must have the bins of `counts`, missing values last")

    def _check_categories(self) -> None:
        known = (*self.categories, *self.tail)
        if self.edges or len(self.counts) != len(self.categories) + 2:
            raise ValueError("`counts` must have two places more than `categories`, which have no edges")
        if len(set(known)) != len(known) or not all(0 <= code < _MAX_CODE for code in known):
            raise ValueError("codes of `categories` and `tail` must differ and lie below 2^53")
        if list(self.tail) != sorted(self.tail) or len(self.tail) > MAX_TAIL:
            raise ValueError(f"`tail` must rise, {MAX_TAIL} codes at most")

    @property
    def null_rate(self) -> float | None:
        """Share of missing values in the reference; None where it is empty."""
        return self.null_count / self.n if self.n else None

    @property
    def unseen_bin(self) -> int | None:
        """The bin of categories that the reference never saw; None of numbers."""
        return len(self.counts) - 1 if self.kind == "categorical" else None

    def bins(self, column: NDArray[np.float64]) -> NDArray[np.int64]:
        """Bin of each value of `column`, (n,) float64; missing values have `len(counts)`."""
        if self.kind == "categorical":
            bins = self._bins_of_categories(column)
        else:
            bins = np.searchsorted(np.array(self.edges), column, side="right")
        return np.where(np.isnan(column), len(self.counts), bins)

    def _bins_of_categories(self, column: NDArray[np.float64]) -> NDArray[np.int64]:
        codes = np.array((*self.categories, *self.tail), np.float64)
        places = np.minimum(np.arange(codes.size), len(self.categories))
        order = np.argsort(codes)
        # One place more, never equal to anything, for what lies above all codes.
        codes, places = np.append(codes[order], np.nan), np.append(places[order], 0)
        at = np.searchsorted(codes[:-1], column)
        return np.where(codes[at] == column, places[at], len(self.counts) - 1)


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
    *,
    ts_ns: NDArray[np.int64] | None = None,
    categorical: Collection[str] = (),
) -> Reference:
    """Freeze columns (each (n,) float64, NaN = missing) by feature name, and predictions by artifact SHA-256.

    With `ts_ns`, the time of each row, features are calibrated, and such predictions as there is one of for
    each row (NaN where a model gave none: left out, not missing).

    >>> reference = build_reference({"side": np.array([-1.0, 1.0, 1.0, np.nan])})
    >>> side = reference.features["side"]
    >>> side.edges, side.counts, side.null_count, side.n
    ((0.0,), (1, 2), 1, 4)

    Raises:
        ArtifactError: a column of `categorical` that holds none, or too many.
    """
    frozen_predictions = {}
    for sha256, column in (predictions or {}).items():
        answered = ~np.isnan(column)
        times = ts_ns[answered] if ts_ns is not None and ts_ns.size == column.size else None
        frozen_predictions[sha256] = freeze(
            column[answered] if times is not None else column, bins, ts_ns=times
        )
    return Reference(
        features={
            name: _named(name, column, bins, ts_ns, name in categorical) for name, column in features.items()
        },
        predictions=frozen_predictions,
    )


def _named(
    name: str, column: NDArray[np.float64], bins: int, ts_ns: NDArray[np.int64] | None, categorical: bool
) -> Distribution:
    try:
        return freeze(column, bins, ts_ns=ts_ns, categorical=categorical)
    except ValueError as error:
        raise ArtifactError(f"feature {name}: {error}") from error


def freeze(
    column: NDArray[np.float64],
    bins: int = MAX_BINS,
    *,
    ts_ns: NDArray[np.int64] | None = None,
    categorical: bool = False,
    sample: NDArray[np.float64] | None = None,
    pane_ns: int = PANE_NS,
) -> Distribution:
    """The distribution of one column, (n,) float64 with NaN = missing, in at most `bins` bins.

    With at most `bins` distinct values each has its bin; else edges stand at the quantiles `i / bins`,
    equal ones once, and such a value has a bin to itself. An edge lies midway between two neighbouring
    values of the reference, so that rounding noise moves no value to another bin. A constant has an empty bin
    on either side. Categories: the commonest `bins - 2` have a bin each.

    `ts_ns`, (n,), the times of the values: calibrates. `sample`: values that were chosen by hash, any order.

    Raises:
        ValueError: a category that is no code, or more than 4,096 beside those with a bin.
    """
    column = np.asarray(column, np.float64)
    frozen = _freeze_categories(column, bins) if categorical else _freeze_numbers(column, bins)
    if sample is not None:
        frozen = msgspec.structs.replace(frozen, sample=tuple(np.sort(sample[~np.isnan(sample)]).tolist()))
    if ts_ns is not None:
        width = len(frozen.counts) + 1
        panes = pane_counts(ts_ns, frozen.bins(column), width, pane_ns)
        groups = psi_groups(frozen) if categorical else None
        frozen = msgspec.structs.replace(frozen, calibration=calibrate(*panes, groups, pane_ns))
    return frozen


def psi_groups(distribution: Distribution) -> NDArray[np.int64]:
    """Group of PSI (0 to 14) of each bin, (bins,)."""
    return np.searchsorted(distribution.psi_starts, np.arange(len(distribution.counts)), side="right") - 1


def _freeze_numbers(column: NDArray[np.float64], bins: int) -> Distribution:
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
        psi_starts=group_starts(counts),
        mean=mean,
        std=std,
    )


def _freeze_categories(column: NDArray[np.float64], bins: int) -> Distribution:
    missing = np.isnan(column)
    codes, counts = np.unique(column[~missing], return_counts=True)
    if codes.size and not (codes[0] >= 0 and codes[-1] < _MAX_CODE and np.all(codes == np.floor(codes))):
        raise ValueError("its categories must be whole numbers from 0 to below 2^53. Remedy: hash them so.")
    top = min(bins, MAX_BINS) - 2
    if codes.size > top + MAX_TAIL:
        raise ValueError(
            f"{codes.size} categories, {top + MAX_TAIL} are the most. Remedy: leave it out, or group them."
        )
    by_count = np.argsort(-counts, kind="stable")
    codes, counts = codes[by_count].astype(np.int64), counts[by_count]
    held = counts[:top]
    return Distribution(
        kind="categorical",
        categories=tuple(codes[:top].tolist()),
        tail=tuple(np.sort(codes[top:]).tolist()),
        counts=(*held.tolist(), int(counts[top:].sum()), 0),
        null_count=int(missing.sum()),
        infinite_count=0,
        n=column.size,
        # What was rare and what is new are groups of their own, however small.
        psi_starts=(*group_starts(held, _TOP_GROUPS), held.size, held.size + 1),
        mean=None,
        std=None,
    )


def _edges(ordered: NDArray[np.float64], bins: int) -> list[float]:
    distinct = np.unique(ordered)
    if distinct.size == 1 and bins > 2:
        return _around(float(distinct[0]))
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


def _around(constant: float) -> list[float]:
    """Edges just below and above a constant, so that it is seen to change; rounding stays between them."""
    apart = abs(constant) * 1e-6 or 1e-12
    edges = [constant - apart, constant + apart]
    return edges if edges[0] < constant < edges[1] and all(map(math.isfinite, edges)) else []


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
