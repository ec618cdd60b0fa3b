"""`InstantSample`: pairs of many symbols at common instants, kept or cut whole, and ranked within instants.

Chooses instants by hash and knows nothing of how a pair came to its instant.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from monitor.errors import StateError
from monitor.stats.dependence import effective_size
from monitor.stats.estimate import Estimate, Status
from monitor.stats.rank import rhos
from monitor.stats.ranks import Ranks
from monitor.stats.sample import (
    HashSample,
    Pairs,
    WindowSample,
    columns_of,
    index_type,
    lower,
    side_bytes,
    symbol_bytes,
)

LEAST_SYMBOLS = 20
"""Fewer symbols at an instant say too little about their order."""

LEAST_INSTANTS = 2
"""So many whole instants are kept however many symbols there are, and are needed for a value."""


class InstantSample(HashSample[int]):
    """Of all instants offered, those with the smallest hash whose pairs fit into `spec`; a pane statistic.

    An instant is kept whole or cut: at least two are kept, whatever their size. Pairs with a non-finite
    side are counted and left out. `threshold` is the smallest hash of an instant ever cut, None while none
    was: instants below it are complete, whichever way batches, tasks and panes were merged.

    >>> sample = InstantSample(4)
    >>> for at, hash_ in ((1, 30), (2, 10), (3, 20)):
    ...     sample.update(np.full(2, hash_, np.uint64), np.full(2, at), np.array([7, 8], np.uint64),
    ...                   np.array([0.1, 0.2]), np.array([0.3, 0.4]))
    >>> sample.threshold, sample.pairs().ts.tolist()
    (30, [2, 2, 3, 3])

    Source: as `PairSample`, an instant being the unit that is sampled.
    """

    __slots__ = ()

    NAME = "instant sample"

    def _may_stay(self, hash_: NDArray[np.uint64], threshold: int) -> NDArray[np.bool_]:
        return hash_ < np.uint64(threshold)

    def _under(self, pairs: Pairs) -> Pairs:
        return _below(pairs, self._threshold).in_order()

    def _fitting(self, pairs: Pairs) -> int:
        return _whole(pairs, self.spec)

    def _cut_at(self, pairs: Pairs, row: int) -> int:
        return int(pairs.hash[row])

    @staticmethod
    def join(panes: Iterable[InstantSample], k: int) -> WindowSample:
        """The instants of a window from its panes, each merged over all tasks before.

        What lies under the smallest threshold of the panes that were cut, and of that whole instants of at
        most `k` pairs, but at least two: uniform over the window.
        """
        seen = non_finite = 0
        threshold: int | None = None
        parts = [Pairs.none()]
        for pane in panes:
            seen += pane.seen
            non_finite += pane.non_finite
            parts.append(pane.pairs())
            threshold = lower(threshold, pane.threshold)
        pairs = _below(Pairs.concat(parts), threshold)
        # An instant lies in one pane, whose pairs are in order.
        pairs = pairs.take(np.argsort(pairs.hash, kind="stable"))
        pairs = pairs.take(slice(_whole(pairs, k)))
        return WindowSample(pairs, seen, non_finite, exact=len(pairs) == seen)

    _HEADER = struct.Struct("<QQQQQB")
    _CUT, _SINGLE = 1, 2

    def to_bytes(self) -> bytes:
        """Hash, time and size of each instant, symbols by dictionary, sides in 32 bits where exact."""
        self._settle()
        pairs = self._kept
        starts = np.flatnonzero(np.diff(pairs.hash, prepend=~pairs.hash[:1]))
        symbols, index = symbol_bytes(pairs)
        narrow, sides = side_bytes(pairs)
        flags = self._CUT * (self._threshold is not None) + self._SINGLE * narrow
        return b"".join(
            (
                self._HEADER.pack(
                    self.seen, self.non_finite, len(pairs), starts.size, len(symbols) // 8, flags
                ),
                (self._threshold or 0).to_bytes(8, "little"),
                pairs.hash[starts].astype("<u8").tobytes(),
                pairs.ts[starts].astype("<i8").tobytes(),
                np.diff(starts, append=len(pairs)).astype("<u4").tobytes(),
                symbols,
                index,
                sides,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes, spec: int) -> Self:
        """The sample whose `to_bytes` gave `data`.

        Raises:
            StateError: bytes that do not fit together.
        """
        sample = cls(spec)
        try:
            sample.seen, sample.non_finite, n, m, s, flags = cls._HEADER.unpack_from(data)
            side = "<f4" if flags & cls._SINGLE else "<f8"
            threshold, hashes, instants, sizes, symbols, index, a, b = columns_of(
                data[cls._HEADER.size :],
                *(("<u8", 1), ("<u8", m), ("<i8", m), ("<u4", m)),
                *(("<u8", s), (index_type(s), n), (side, n), (side, n)),
            )
            if flags & cls._CUT:
                sample._threshold = int(threshold[0])
            sample._kept = Pairs(
                np.repeat(hashes.astype(np.uint64), sizes),
                np.repeat(instants.astype(np.int64), sizes),
                symbols.astype(np.uint64)[index],
                a.astype(np.float64),
                b.astype(np.float64),
            )
        except (struct.error, ValueError, IndexError) as error:
            raise StateError(f"instant sample: {error}") from error
        if len({column.size for column in sample._kept.columns()}) > 1:
            raise StateError(f"instant sample: the sizes of {m} instants do not add up to {n} pairs")
        return sample


def _below(pairs: Pairs, threshold: int | None) -> Pairs:
    return pairs if threshold is None else pairs.take(pairs.hash < np.uint64(threshold))


def _whole(pairs: Pairs, cap: int) -> int:
    """How many of the pairs, in order, make up whole instants that fit into `cap`, or the first two."""
    ends = np.append(np.flatnonzero(pairs.hash[1:] != pairs.hash[:-1]) + 1, len(pairs))
    fitting = int(np.searchsorted(ends, cap, side="right"))
    return int(ends[min(max(fitting, LEAST_INSTANTS), ends.size) - 1])


def cross_section_correlation(sample: WindowSample, from_ns: int, to_ns: int) -> Estimate:
    """Spearman's rho among the symbols of one instant, averaged over instants: `mean(rho_t)`; -1 to 1.

    What a portfolio that ranks its symbols sees, whatever each symbol does in time. An instant counts with
    at least 20 symbols that have a pair there; `n` = instants that count. Fewer than two: `insufficient`;
    where a side is constant at all of them: `unknown`.

    `n_eff`: instants less their dependence in time (`effective_size`). Interval: 95 %, mean +- Student's t
    with n_eff - 1 degrees of freedom times `standard_error` = sd(rho_t) / sqrt(n_eff), cut at +-1; none
    below two independent instants. `extra`: `standard_error`, `t_statistic` = mean / standard_error
    (against 0), `exact` (no instant was cut), `pairs` that the value rests on, `pairs_seen`, `non_finite`,
    `instants_left_out`.

    Source: Fama and MacBeth, J. Political Economy 81 (1973).
    """
    pairs = sample.in_time
    ranks = Ranks.of(pairs.ts, pairs.a, pairs.b)
    large = ranks.sizes >= LEAST_SYMBOLS
    rho = np.array(rhos(ranks), np.float64)
    used = large & ~np.isnan(rho)
    n = int(np.count_nonzero(used))
    extra: dict[str, float | int] = {
        "exact": sample.exact,
        "pairs": int(ranks.sizes[used].sum()),
        "pairs_seen": sample.seen,
        "non_finite": sample.non_finite,
        "instants_left_out": ranks.sizes.size - n,
    }
    if n < LEAST_INSTANTS:
        constant = np.count_nonzero(large) >= LEAST_INSTANTS and not n
        status = Status.UNKNOWN if constant else Status.INSUFFICIENT
        return Estimate(value=None, n=n, status=status, from_ns=from_ns, to_ns=to_ns, extra=extra)
    series = rho[used]
    mean = math.fsum(series.tolist()) / n
    variance = math.fsum(((series - mean) ** 2).tolist()) / (n - 1)
    n_eff = effective_size(series)
    error = math.sqrt(variance / n_eff)
    extra["standard_error"] = error
    if error > 0:
        extra["t_statistic"] = mean / error
    half = float(stdtrit(n_eff - 1, 0.975)) * error if n_eff >= 2 else None
    return Estimate(
        value=mean,
        n=n,
        status=Status.OK,
        from_ns=from_ns,
        to_ns=to_ns,
        n_eff=n_eff,
        low=None if half is None else max(-1.0, mean - half),
        high=None if half is None else min(1.0, mean + half),
        extra=extra,
    )
