"""`PairSample`: the bottom-k sample of pairs that a pane keeps, and the sample of a window joined from panes.

It chooses pairs by hash and knows nothing of what is computed from them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError
from monitor.stats.ranks import Ranks, stable_order

_LEAST_CAP = 200

Key = tuple[int, int, int]
"""(hash of the event id, `ts_ns`, hash of the symbol): total order of pairs."""

ThresholdT = TypeVar("ThresholdT", int, Key)


def cap_for(k: int, pane_ns: int, window_ns: int) -> int:
    """Pairs a pane keeps for windows of `window_ns` that want `k`: four times its share, at least 200.

    >>> cap_for(10_000, 5 * 10**9, 300 * 10**9)
    666
    """
    return max(_LEAST_CAP, 4 * k * pane_ns // window_ns)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Equally long columns: `hash` u8, `ts` i8 ns, `symbol_key` u8, `a` f8, `b` f8."""

    hash: NDArray[np.uint64]
    ts: NDArray[np.int64]
    symbol_key: NDArray[np.uint64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]

    def __len__(self) -> int:
        return self.hash.size

    def columns(self) -> tuple[NDArray[Any], ...]:
        return (self.hash, self.ts, self.symbol_key, self.a, self.b)

    def take(self, rows: NDArray[Any] | slice) -> Pairs:
        """Some pairs: by index array, boolean mask or slice."""
        return Pairs(*(column[rows] for column in self.columns()))

    def key(self, row: int) -> Key:
        return int(self.hash[row]), int(self.ts[row]), int(self.symbol_key[row])

    def in_order(self) -> Pairs:
        """Sorted by key."""
        order = np.argsort(self.hash)
        hashes = self.hash[order]
        if (hashes[1:] == hashes[:-1]).any():
            order = np.lexsort((self.symbol_key, self.ts, self.hash))
        return self.take(order)

    def below(self, threshold: Key | None) -> Pairs:
        """Of pairs in order, those whose key is smaller than `threshold`; all where it is None."""
        if threshold is None:
            return self
        end = int(np.searchsorted(self.hash, np.uint64(threshold[0]), side="left"))
        while end < len(self) and self.key(end) < threshold:
            end += 1
        return self.take(slice(end))

    @staticmethod
    def concat(parts: list[Pairs]) -> Pairs:
        """Pairs of all parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        columns = zip(*(part.columns() for part in parts), strict=True)
        return Pairs(*(np.concatenate(column) for column in columns))

    @staticmethod
    def none() -> Pairs:
        unsigned, floats = np.empty(0, np.uint64), np.empty(0, np.float64)
        return Pairs(unsigned, np.empty(0, np.int64), unsigned, floats, floats)


@dataclass(frozen=True)
class WindowSample:
    """The sample of a window, in key order. `seen` finite pairs were offered, `non_finite` left out before.

    `exact`: nothing was cut, `pairs` are all that were seen; else they are a uniform sample of them.
    """

    pairs: Pairs
    seen: int
    non_finite: int
    exact: bool

    def ranks(self, *, pooled: bool) -> Ranks:
        """Both sides ranked within symbol, or all together; pairs of a symbol in order of time.

        Metrics of one window share the ranks within symbol.
        """
        return Ranks.of(None, self._by_symbol.a, self._by_symbol.b) if pooled else self._within

    @cached_property
    def _within(self) -> Ranks:
        pairs = self._by_symbol
        return Ranks.of(pairs.symbol_key, pairs.a, pairs.b)

    @cached_property
    def _by_symbol(self) -> Pairs:
        pairs = self.in_time
        return pairs.take(stable_order(np.unique(pairs.symbol_key, return_inverse=True)[1]))

    @cached_property
    def in_time(self) -> Pairs:
        """The pairs in order of event time."""
        return self.pairs.take(np.argsort(self.pairs.ts, kind="stable"))


class HashSample(Generic[ThresholdT]):
    """Pairs kept by hash; what a sample of pairs and one of whole instants have in common.

    `seen` finite pairs were offered, `non_finite` left out. `threshold`: the smallest that was ever cut; what
    lies under it is complete, whichever way batches, tasks and panes were merged.
    """

    __slots__ = ("_kept", "_threshold", "_unsorted", "_waiting", "non_finite", "seen", "spec")

    def __init__(self, spec: int) -> None:
        if spec < 1:
            raise ValueError(f"{self.NAME}: the cap must be at least 1, got {spec}")
        self.spec = spec
        self.seen = 0
        self.non_finite = 0
        self._kept = Pairs.none()
        self._threshold: ThresholdT | None = None
        self._unsorted: list[Pairs] = []
        self._waiting = 0

    NAME: ClassVar[str]
    """In messages."""

    def _may_stay(self, hash_: NDArray[np.uint64], threshold: ThresholdT) -> NDArray[np.bool_]:
        """Which of these may lie under the threshold, by their hash alone."""
        raise NotImplementedError

    def _under(self, pairs: Pairs) -> Pairs:
        """The pairs under the threshold, in order."""
        raise NotImplementedError

    def _fitting(self, pairs: Pairs) -> int:
        """How many of the pairs, in order, are kept."""
        raise NotImplementedError

    def _cut_at(self, pairs: Pairs, row: int) -> ThresholdT:
        """The threshold where `row` is the first pair that is not kept."""
        raise NotImplementedError

    def update(
        self,
        hash_: NDArray[np.uint64],
        ts: NDArray[np.int64],
        symbol_key: NDArray[np.uint64],
        a: NDArray[np.float64],
        b: NDArray[np.float64],
    ) -> None:
        """Offer n pairs: hash of the event id, or of the instant (no two share one); event time or instant in
        ns, hash of the symbol, and both sides.

        (hash, ts, symbol) must not repeat over the life of the statistic: duplicates are dropped before.
        """
        finite = np.isfinite(a) & np.isfinite(b)
        good = int(np.count_nonzero(finite))
        self.seen += good
        self.non_finite += finite.size - good
        if self._threshold is not None:
            finite &= self._may_stay(hash_, self._threshold)
        # Boolean indexing copies: the caller may reuse its arrays.
        pairs = Pairs(hash_[finite], ts[finite], symbol_key[finite], a[finite], b[finite])
        if len(pairs):
            self._unsorted.append(pairs)
            self._waiting += len(pairs)
            if self._waiting > self.spec:
                self._settle()

    def merge(self, other: Self) -> None:
        """Join with the sample of other pairs; associative and commutative.

        Caps may differ (a coarser pane made of finer ones): the smaller thresholds of finer panes stay.
        """
        other._settle()
        self.seen += other.seen
        self.non_finite += other.non_finite
        if not len(other._kept):
            return
        self._threshold = lower(self._threshold, other._threshold)
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
    def threshold(self) -> ThresholdT | None:
        """The smallest that was cut; None while nothing was."""
        self._settle()
        return self._threshold

    def pairs(self) -> Pairs:
        """The pairs kept, in order."""
        self._settle()
        return self._kept

    def _settle(self) -> None:
        """Sort what waits, drop what is not under the threshold, and cut."""
        if not self._unsorted:
            return
        pairs = self._under(Pairs.concat([self._kept, *self._unsorted]))
        fits = self._fitting(pairs)
        if fits < len(pairs):
            self._threshold = self._cut_at(pairs, fits)
            pairs = Pairs(*(column[:fits].copy() for column in pairs.columns()))
        self._kept = pairs
        self._unsorted.clear()
        self._waiting = 0


class PairSample(HashSample[Key]):
    """Of all pairs offered, the `spec` (cap) with the smallest key; a pane statistic.

    Pairs with a non-finite side are counted and left out. `threshold` is the smallest key ever cut, None
    while nothing was: what lies under it is complete, whichever way batches, tasks and panes were merged.

    >>> sample = PairSample(2)
    >>> def offer(hash_, a, b):
    ...     sample.update(np.array([hash_], np.uint64), np.array([0]), np.array([7], np.uint64),
    ...                   np.array([a]), np.array([b]))
    >>> offer(30, 0.3, 0.1); offer(10, 0.1, 0.2); offer(20, 0.2, np.nan); offer(40, 0.4, 0.3)
    >>> sample.seen, sample.non_finite, sample.threshold, sample.pairs().a.tolist()
    (3, 1, (40, 0, 7), [0.1, 0.3])

    Source: bottom-k sketches, Cohen and Kaplan, Summarizing data using bottom-k sketches, PODC 2007.
    """

    __slots__ = ()

    NAME = "pair sample"

    def _may_stay(self, hash_: NDArray[np.uint64], threshold: Key) -> NDArray[np.bool_]:
        return hash_ <= np.uint64(threshold[0])

    def _under(self, pairs: Pairs) -> Pairs:
        return pairs.in_order().below(self._threshold)

    def _fitting(self, pairs: Pairs) -> int:
        return min(self.spec, len(pairs))

    def _cut_at(self, pairs: Pairs, row: int) -> Key:
        return pairs.key(row)

    @staticmethod
    def join(panes: Iterable[PairSample], k: int) -> WindowSample:
        """The sample of a window from its panes, each merged over all tasks before.

        What lies under the smallest threshold of the panes that overflowed, cut to the `k` smallest keys:
        uniform over the window, since every pane is complete under that threshold.
        """
        seen = non_finite = 0
        threshold: Key | None = None
        parts = [Pairs.none()]
        for pane in panes:
            seen += pane.seen
            non_finite += pane.non_finite
            parts.append(pane.pairs())
            threshold = lower(threshold, pane.threshold)
        if threshold is not None:
            bound = np.uint64(threshold[0])
            parts = [part.take(slice(int(np.searchsorted(part.hash, bound, side="right")))) for part in parts]
        pairs = Pairs.concat(parts)
        if len(pairs) > k:
            # The k + 1 smallest hashes, so that fewer are sorted; with them all that tie with the last.
            pairs = pairs.take(pairs.hash <= np.partition(pairs.hash, k)[k])
        pairs = pairs.in_order().below(threshold).take(slice(k))
        return WindowSample(pairs, seen, non_finite, exact=len(pairs) == seen)

    _HEADER = struct.Struct("<QQQQB")
    _KEY = struct.Struct("<QqQ")
    _OVERFLOWED, _SINGLE = 1, 2

    def to_bytes(self) -> bytes:
        """Little-endian columns in key order; symbols by dictionary, sides in 32 bits where that is exact."""
        self._settle()
        pairs = self._kept
        symbols, index = symbol_bytes(pairs)
        narrow, sides = side_bytes(pairs)
        flags = self._OVERFLOWED * (self._threshold is not None) + self._SINGLE * narrow
        return b"".join(
            (
                self._HEADER.pack(self.seen, self.non_finite, len(pairs), len(symbols) // 8, flags),
                self._KEY.pack(*self._threshold) if self._threshold is not None else b"",
                symbols,
                index,
                pairs.hash.astype("<u8").tobytes(),
                pairs.ts.astype("<i8").tobytes(),
                sides,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes, spec: int) -> Self:
        """The sample whose `to_bytes` gave `data`.

        Raises:
            StateError: cut bytes, or more pairs than the cap.
        """
        sample = cls(spec)
        try:
            sample.seen, sample.non_finite, n, symbol_count, flags = cls._HEADER.unpack_from(data)
            at = cls._HEADER.size
            if flags & cls._OVERFLOWED:
                hash_, ts_ns, symbol_key = cls._KEY.unpack_from(data, at)
                sample._threshold = (hash_, ts_ns, symbol_key)
                at += cls._KEY.size
            side = "<f4" if flags & cls._SINGLE else "<f8"
            symbols, index, hashes, ts, a, b = columns_of(
                data[at:],
                *(("<u8", symbol_count), (index_type(symbol_count), n), ("<u8", n), ("<i8", n)),
                *((side, n), (side, n)),
            )
            sample._kept = Pairs(
                hashes.astype(np.uint64),
                ts.astype(np.int64),
                symbols.astype(np.uint64)[index],
                a.astype(np.float64),
                b.astype(np.float64),
            )
        except (struct.error, ValueError, IndexError) as error:
            raise StateError(f"pair sample: {error}") from error
        if n > spec:
            raise StateError(f"pair sample: {n} pairs in {len(data)} bytes do not fit a cap of {spec}")
        return sample


def lower(first: ThresholdT | None, second: ThresholdT | None) -> ThresholdT | None:
    """The smaller of two thresholds; None is above all."""
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)


def symbol_bytes(pairs: Pairs) -> tuple[bytes, bytes]:
    """The symbols of pairs as a dictionary, and each pair's place in it."""
    symbols, index = np.unique(pairs.symbol_key, return_inverse=True)
    return symbols.astype("<u8").tobytes(), index.astype(index_type(symbols.size)).tobytes()


def side_bytes(pairs: Pairs) -> tuple[bool, bytes]:
    """Both sides, one after the other; in 32 bits (True) where that is exact."""
    sides = np.concatenate((pairs.a, pairs.b))
    with np.errstate(over="ignore", under="ignore"):
        single = sides.astype("<f4")
    narrow = bool((single.astype(np.float64) == sides).all())
    return narrow, (single if narrow else sides.astype("<f8")).tobytes()


def columns_of(data: bytes, *layout: tuple[str, int]) -> list[NDArray[Any]]:
    """Columns by type and length, which together are all of `data`.

    Raises:
        ValueError: they are not.
    """
    found, at = [], 0
    for dtype, count in layout:
        found.append(np.frombuffer(data, dtype, count, at))
        at += found[-1].nbytes
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes too many")
    return found


def index_type(symbols: int) -> str:
    """The shortest unsigned integers that number so many symbols."""
    return "<u1" if symbols <= 1 << 8 else "<u2" if symbols <= 1 << 16 else "<u4"
