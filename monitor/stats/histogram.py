"""Latencies and lags in logarithmic buckets: quantiles within 1 %, counts above named limits exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from monitor.stats.integer_counts import IntegerCounts, stacked
from monitor.stats.intervals import quantile_ranks

LOWEST_NS = 1_000
HIGHEST_NS = 100_000_000_000
TIMEOUT_NS = int(np.iinfo(np.int64).max)
"""A latency of this value is a timeout: an answer that never came."""

_NS_PER_S = 10**9
_TOP_S = HIGHEST_NS / _NS_PER_S


def _buckets() -> list[tuple[int, int]]:
    """First and last integer of each bucket from 1 us to 100 s: `[a, floor(1.02 a)]`, in integers alone."""
    found = []
    start = LOWEST_NS
    while start <= HIGHEST_NS:
        after = start * 102 // 100 + 1
        found.append((start, min(after - 1, HIGHEST_NS)))
        start = after
    return found


class _Place(NamedTuple):
    """What a quantile that falls there reads, and what bounds it: seconds; None where nothing does."""

    value_s: float
    low_s: float | None
    high_s: float | None

    @property
    def bound(self) -> str | None:
        """`above`, `below`: the quantile lies beyond the value read."""
        if self.high_s is None:
            return "above"
        return "below" if self.low_s is None else None


def _middle(first: int, last: int) -> _Place:
    """Harmonic mean of a bucket's bounds: its relative error to both is the same."""
    middle = 2 * first * last / ((first + last) * _NS_PER_S)
    return _Place(middle, first / _NS_PER_S, last / _NS_PER_S)


def _mirrored(place: _Place) -> _Place:
    low, high = place.high_s, place.low_s
    return _Place(-place.value_s, None if low is None else -low, None if high is None else -high)


class Quantile(NamedTuple):
    """A quantile in seconds. `low_s`, `high_s`: 95 % interval, None where no row bounds it. `bound`: `above`
    or `below` where the value is the end of the range, and the quantile lies beyond."""

    value_s: float
    n_eff: float
    low_s: float | None
    high_s: float | None
    bound: str | None


@dataclass(frozen=True, slots=True)
class _Scale:
    """`edges`: first integers of all places but the first; `ranked`: the places that quantiles run over, from
    `first` on."""

    edges: NDArray[np.int64]
    first: int
    ranked: tuple[_Place, ...]

    @property
    def places(self) -> int:
        return len(self.edges) + 1


class LogHistogram(IntegerCounts[tuple[int, ...]]):
    """Counts in the places of a scale, then above each limit of `spec` (ns)."""

    __slots__ = ()
    _scale: ClassVar[_Scale]

    @classmethod
    def _size(cls, spec: tuple[int, ...]) -> int:
        return cls._scale.places + len(spec)

    def _count(self, values_ns: NDArray[np.int64]) -> None:
        scale = self._scale
        places = np.searchsorted(scale.edges, values_ns, side="right")
        self._vector[: scale.places] += np.bincount(places, minlength=scale.places)
        for place, limit in enumerate(self.spec, scale.places):
            self._vector[place] += np.count_nonzero(values_ns > limit)

    @property
    def _ranked(self) -> NDArray[np.int64]:
        return self._vector[self._scale.first : self._scale.first + len(self._scale.ranked)]

    @property
    def n(self) -> int:
        """Rows that quantiles and shares rest on."""
        return int(self._ranked.sum())

    def quantile(self, q: float) -> float:
        """The smallest value that at least a share `q` (0 < q <= 1) does not exceed, in seconds.

        The order statistic of rank `ceil(q n)` with `q` read as the decimal it was written as; NumPy's
        `inverted_cdf`. NaN where `n` is 0.
        """
        below = np.cumsum(self._ranked)
        return self._scale.ranked[_at(below, _rank(q, int(below[-1])))].value_s if below[-1] else math.nan

    def above(self, limit_ns: int) -> float:
        """Share above a limit of `spec`: a fraction, exact.

        Raises:
            ValueError: the limit was not named when the histogram was made.
        """
        above, n = self.count_above(limit_ns), self.n
        return above / n if n else math.nan

    def count_above(self, limit_ns: int) -> int:
        """Number above a limit of `spec`, timeouts included."""
        return int(self._vector[self._scale.places + self.spec.index(limit_ns)])


HistogramT = TypeVar("HistogramT", bound=LogHistogram)


class PaneCounts(Generic[HistogramT]):
    """The histograms of a window's panes side by side, in order: what intervals are made of; and their sum,
    `whole`.

    >>> panes = []
    >>> for _ in range(20):
    ...     panes.append(LatencyHistogram((10_000_000,)))
    ...     panes[-1].update(np.array([2_000_000] * 9 + [20_000_000]))
    >>> counts = PaneCounts(panes)
    >>> found = counts.quantile(0.95)
    >>> f"{found.value_s:.3f} in [{found.low_s:.3f}, {found.high_s:.3f}], {found.n_eff:.0f} rows"
    '0.020 in [0.020, 0.020], 200 rows'
    >>> counts.above(10_000_000).tolist() == [1] * 20
    True
    """

    def __init__(self, panes: Sequence[HistogramT]) -> None:
        """`panes`: at least one, of one kind and specification."""
        self._scale = panes[0]._scale
        self._counts = stacked(panes)
        self.whole = panes[0].sum(self._counts)
        first = self._scale.first
        self._ranked = self._counts[:, first : first + len(self._scale.ranked)]
        self._below = np.cumsum(self.whole._ranked)

    @property
    def totals(self) -> NDArray[np.int64]:
        """Rows by pane, (panes,)."""
        totals: NDArray[np.int64] = self._ranked.sum(axis=1)
        return totals

    def above(self, limit_ns: int) -> NDArray[np.int64]:
        """Rows by pane above a limit, (panes,)."""
        return self._counts[:, self._scale.places + self.whole.spec.index(limit_ns)]

    def quantile(self, q: float) -> Quantile:
        """The quantile as `LogHistogram.quantile` reads it, with its interval by `intervals.quantile_ranks`:
        from the lower end of the bucket of the lower rank to the upper end of that of the upper.

        Raises:
            ValueError: there is no row.
        """
        ranked = self._scale.ranked
        at = _at(self._below, _rank(q, int(self._below[-1])))
        ranks = quantile_ranks(q, self._ranked[:, : at + 1].sum(axis=1), self.totals)
        return Quantile(
            ranked[at].value_s,
            ranks.n_eff,
            ranked[_at(self._below, ranks.low)].low_s if ranks.low is not None else None,
            ranked[_at(self._below, ranks.high)].high_s if ranks.high is not None else None,
            ranked[at].bound,
        )


def _at(below: NDArray[np.int64], rank: int) -> int:
    """The place of an order statistic, by the counts up to each place."""
    return int(np.searchsorted(below, rank))


def _rank(q: float, n: int) -> int:
    return max(1, math.ceil(_written(q) * n))


@cache
def _written(q: float) -> Fraction:
    return Fraction(repr(float(q)))


_LOG = _buckets()
_BELOW = _Place(LOWEST_NS / _NS_PER_S, None, LOWEST_NS / _NS_PER_S)
_ABOVE = _Place(_TOP_S, _TOP_S, None)
_STARTS = [first for first, _ in _LOG]
_MIDDLES = tuple(_middle(first, last) for first, last in _LOG)


class LatencyHistogram(LogHistogram):
    """Counts of latencies (ns) in buckets that grow by 2 %, and above each limit of `spec` (ns).

    A bucket holds the integers `[a, b]` with `b <= 1.02 a` and answers `2ab / (a + b)`, so a quantile has a
    relative error of at most `(b - a) / (b + a) < 1 %` for any distribution between 1 us and 100 s. Below,
    it reads 1 us; above, and for a timeout, 100 s: a bound, and finite, so that a threshold still trips.
    Counts above a limit are exact; a timeout is above every limit. Negative latencies (clocks that differ)
    are counted in `negative` and enter nothing else. NaN where `n` is 0: no data is no latency.

    >>> latencies = LatencyHistogram((10_000_000,))
    >>> latencies.update(np.full(990, 2_000_000), timeouts=10)
    >>> latencies.n, latencies.above(10_000_000)
    (1000, 0.01)
    >>> f"{latencies.quantile(0.5):.4f} {latencies.quantile(0.999):.0f}"
    '0.0020 100'

    Source: the log-bucket scheme of HdrHistogram and DDSketch (Masson, Rim, Lee 2019, arXiv:1908.10693),
    with integer edges so that no logarithm is taken.
    """

    __slots__ = ()
    # Negative | below 1 us | the log buckets | above 100 s | timeout.
    _scale = _Scale(
        np.array([0, *_STARTS, HIGHEST_NS + 1, TIMEOUT_NS], np.int64), 1, (_BELOW, *_MIDDLES, _ABOVE, _ABOVE)
    )

    def update(self, latency_ns: NDArray[np.int64], timeouts: int = 0) -> None:
        """Count latencies, (n,) int64 ns, and `timeouts` answers that never came."""
        self._count(latency_ns)
        self._vector[self._scale.places - 1 :] += timeouts

    @property
    def negative(self) -> int:
        return int(self._vector[0])

    @property
    def underflow(self) -> int:
        """Latencies below 1 us."""
        return int(self._vector[1])

    @property
    def overflow(self) -> int:
        """Latencies above 100 s that were answered."""
        return int(self._vector[self._scale.places - 2])

    @property
    def timeouts(self) -> int:
        return int(self._vector[self._scale.places - 1])

    def mean_log(self) -> float:
        """Mean natural logarithm of what the latencies read as, in seconds; NaN where `n` is 0."""
        counts = self._ranked
        places = np.flatnonzero(counts).tolist()
        logs = [int(counts[place]) * math.log(self._scale.ranked[place].value_s) for place in places]
        return math.fsum(logs) / self.n if logs else math.nan

    @property
    def outside(self) -> dict[str, int]:
        """What lies beyond the range of the buckets, by name; what there is none of is left out."""
        counts = {name: getattr(self, name) for name in ("negative", "underflow", "overflow", "timeouts")}
        return {name: count for name, count in counts.items() if count}


class LagHistogram(LogHistogram):
    """Counts of lags (ns) of either sign, in the buckets of `LatencyHistogram` and their mirror images.

    Quantiles run over both signs, with a relative error below 1 % between 1 us and 100 s; a lag of less than
    1 us reads 0, one beyond 100 s either way reads that bound.

    >>> lags = LagHistogram(())
    >>> lags.update(np.array([-3_000_000] * 2 + [5_000_000] * 8))
    >>> f"{lags.quantile(0.1):.4f} {lags.quantile(0.5):.4f}", lags.outside
    ('-0.0030 0.0050', {'negative': 2})
    """

    __slots__ = ()
    # Below -100 s | mirrored buckets | -1 us to 0 | 0 to 1 us | the log buckets | above 100 s.
    _scale = _Scale(
        np.array(
            [
                *(-last for _, last in reversed(_LOG)),
                1 - LOWEST_NS,
                0,
                *_STARTS,
                HIGHEST_NS + 1,
            ],
            np.int64,
        ),
        0,
        (
            _mirrored(_ABOVE),
            *(_mirrored(middle) for middle in reversed(_MIDDLES)),
            _Place(0.0, -LOWEST_NS / _NS_PER_S, 0.0),
            _Place(0.0, 0.0, LOWEST_NS / _NS_PER_S),
            *_MIDDLES,
            _ABOVE,
        ),
    )

    def update(self, lag_ns: NDArray[np.int64]) -> None:
        """Count lags, (n,) int64 ns."""
        self._count(lag_ns)

    @property
    def outside(self) -> dict[str, int]:
        """Negative lags, and those beyond 100 s either way, by name; what there is none of is left out."""
        counts = {
            "negative": int(self._vector[: len(_LOG) + 2].sum()),
            "underflow": int(self._vector[0]),
            "overflow": int(self._vector[self._scale.places - 1]),
        }
        return {name: count for name, count in counts.items() if count}
