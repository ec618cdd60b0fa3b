"""`LatencyHistogram`: latencies in logarithmic buckets, exact above the limits that policies name."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from monitor.stats.integer_counts import IntegerCounts

LOWEST_NS = 1_000
HIGHEST_NS = 100_000_000_000
TIMEOUT_NS = int(np.iinfo(np.int64).max)
"""A latency of this value is a timeout: an answer that never came."""

_NS_PER_S = 10**9


def _bucket_starts() -> list[int]:
    """First integer of each bucket from 1 us to 100 s: `[a, floor(1.02 a)]`, in integers alone."""
    starts = []
    start = LOWEST_NS
    while start <= HIGHEST_NS:
        starts.append(start)
        start = start * 102 // 100 + 1
    return starts


_LOG_STARTS = _bucket_starts()
# Places: negative | below 1 us | the log buckets | above 100 s | timeout.
_EDGES = np.array([0, *_LOG_STARTS, HIGHEST_NS + 1, TIMEOUT_NS], np.int64)
_PLACES = _EDGES.size + 1


def _middle_s(first: int, last: int) -> float:
    """Harmonic mean of a bucket's bounds, in seconds: its relative error to both is the same."""
    return 2 * first * last / ((first + last) * _NS_PER_S)


_TOP_S = HIGHEST_NS / _NS_PER_S
_VALUES_S = (
    LOWEST_NS / _NS_PER_S,
    *(
        _middle_s(first, after - 1)
        for first, after in zip(_LOG_STARTS, [*_LOG_STARTS[1:], HIGHEST_NS + 1], strict=True)
    ),
    _TOP_S,
    _TOP_S,
)


class LatencyHistogram(IntegerCounts[tuple[int, ...]]):
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

    @staticmethod
    def _size(spec: tuple[int, ...]) -> int:
        return _PLACES + len(spec)

    def update(self, latency_ns: NDArray[np.int64], timeouts: int = 0) -> None:
        """Count latencies, (n,) int64 ns, and `timeouts` answers that never came."""
        places = np.searchsorted(_EDGES, latency_ns, side="right")
        self._vector[:_PLACES] += np.bincount(places, minlength=_PLACES)
        self._vector[_PLACES - 1] += timeouts
        for place, limit in enumerate(self.spec, _PLACES):
            self._vector[place] += np.count_nonzero(latency_ns > limit) + timeouts

    @property
    def n(self) -> int:
        """Latencies counted, timeouts included, negative ones not."""
        return int(self._vector[1:_PLACES].sum())

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
        return int(self._vector[_PLACES - 2])

    @property
    def timeouts(self) -> int:
        return int(self._vector[_PLACES - 1])

    def quantile(self, q: float) -> float:
        """The smallest latency that at least a share `q` (0 < q <= 1) does not exceed, in seconds.

        The order statistic of rank `ceil(q n)` with `q` read as the decimal it was written as; NumPy's
        `inverted_cdf`.
        """
        n = self.n
        if not n:
            return math.nan
        rank = max(1, math.ceil(Fraction(repr(float(q))) * n))
        below = np.cumsum(self._vector[1:_PLACES])
        return _VALUES_S[int(np.searchsorted(below, rank))]

    def above(self, limit_ns: int) -> float:
        """Share of latencies above a limit of `spec`: a fraction, exact.

        Raises:
            ValueError: the limit was not named when the histogram was made.
        """
        above, n = self.count_above(limit_ns), self.n
        return above / n if n else math.nan

    def count_above(self, limit_ns: int) -> int:
        """Number of latencies above a limit of `spec`, timeouts included."""
        return int(self._vector[_PLACES + self.spec.index(limit_ns)])
