"""`InstantSample`: pairs of many symbols at common instants, kept or cut whole, and ranked within instants.

Chooses instants by hash and knows nothing of how a pair came to its instant.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from monitor.errors import StateError
from monitor.stats.dependence import effective_size
from monitor.stats.estimate import Estimate, Status
from monitor.stats.rank import rhos
from monitor.stats.ranks import Ranks
from monitor.stats.sample import Pairs, WindowSample, index_type

LEAST_SYMBOLS = 20
"""Fewer symbols at an instant say too little about their order."""

LEAST_INSTANTS = 2
"""So many whole instants are kept however many symbols there are, and are needed for a value."""


class InstantSample:
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

    __slots__ = ("_kept", "_threshold", "_unsorted", "_waiting", "non_finite", "seen", "spec")

    def __init__(self, spec: int) -> None:
        if spec < 1:
            raise ValueError(f"instant sample: the cap must be at least 1, got {spec}")
        self.spec = spec
        self.seen = 0
        self.non_finite = 0
        self._kept = Pairs.none()
        self._threshold: int | None = None
        self._unsorted: list[Pairs] = []
        self._waiting = 0

    def update(
        self,
        hash_: NDArray[np.uint64],
        instant: NDArray[np.int64],
        symbol_key: NDArray[np.uint64],
        a: NDArray[np.float64],
        b: NDArray[np.float64],
    ) -> None:
        """Offer n pairs: hash of the instant (no two share one), instant in ns, hash of the symbol, sides.

        (instant, symbol) must not repeat over the life of the statistic.
        """
        finite = np.isfinite(a) & np.isfinite(b)
        good = int(np.count_nonzero(finite))
        self.seen += good
        self.non_finite += finite.size - good
        if self._threshold is not None:
            finite &= hash_ < np.uint64(self._threshold)
        # Boolean indexing copies: the caller may reuse its arrays.
        pairs = Pairs(hash_[finite], instant[finite], symbol_key[finite], a[finite], b[finite])
        if len(pairs):
            self._unsorted.append(pairs)
            self._waiting += len(pairs)
            if self._waiting > self.spec:
                self._settle()

    def merge(self, other: Self) -> None:
        """Join with the sample of other symbols or other instants; associative and commutative."""
        other._settle()
        self.seen += other.seen
        self.non_finite += other.non_finite
        self._threshold = _smaller(self._threshold, other._threshold)
        self._unsorted.append(other._kept)
        self._settle()

    def copy(self) -> Self:
        """An independent sample with the same pairs."""
        self._settle()
        twin = type(self)(self.spec)
        twin.seen, twin.non_finite = self.seen, self.non_finite
        twin._kept, twin._threshold = self._kept, self._threshold
        return twin

    @property
    def empty(self) -> bool:
        """True while no pair was offered."""
        return not self.seen and not self.non_finite

    @property
    def threshold(self) -> int | None:
        """The smallest hash of an instant that was cut; None while none was."""
        self._settle()
        return self._threshold

    def pairs(self) -> Pairs:
        """The pairs kept, by hash of the instant, then symbol."""
        self._settle()
        return self._kept

    def _settle(self) -> None:
        if not self._unsorted:
            return
        pairs = _below(Pairs.concat([self._kept, *self._unsorted]), self._threshold).in_order()
        fits = _whole(pairs, self.spec)
        if fits < len(pairs):
            self._threshold = int(pairs.hash[fits])
            pairs = Pairs(*(column[:fits].copy() for column in pairs.columns()))
        self._kept = pairs
        self._unsorted.clear()
        self._waiting = 0

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
            threshold = _smaller(threshold, pane.threshold)
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
        symbols, index = np.unique(pairs.symbol_key, return_inverse=True)
        sides = np.concatenate((pairs.a, pairs.b))
        with np.errstate(over="ignore", under="ignore"):
            single = sides.astype("<f4")
        narrow = bool((single.astype(np.float64) == sides).all())
        flags = self._CUT * (self._threshold is not None) + self._SINGLE * narrow
        return b"".join(
            (
                self._HEADER.pack(self.seen, self.non_finite, len(pairs), starts.size, symbols.size, flags),
                (self._threshold or 0).to_bytes(8, "little"),
                pairs.hash[starts].astype("<u8").tobytes(),
                pairs.ts[starts].astype("<i8").tobytes(),
                np.diff(starts, append=len(pairs)).astype("<u4").tobytes(),
                symbols.astype("<u8").tobytes(),
                index.astype(index_type(symbols.size)).tobytes(),
                (single if narrow else sides.astype("<f8")).tobytes(),
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
            threshold, hashes, instants, sizes, symbols, index, a, b = _columns(
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


def _columns(data: bytes, *layout: tuple[str, int]) -> list[NDArray[Any]]:
    found, at = [], 0
    for dtype, count in layout:
        found.append(np.frombuffer(data, dtype, count, at))
        at += found[-1].nbytes
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes too many")
    return found


def _smaller(first: int | None, second: int | None) -> int | None:
    return min((h for h in (first, second) if h is not None), default=None)


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
