"""`Mids`: the last mid of each symbol, and what it was at any time since the rows before.

Quotes in folding order go in; knows no prediction.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError

KEPT_NS = 10 * 86_400 * 10**9
"""Symbols that were not quoted for ten days are forgotten: weekends and holidays pass."""

SHARDS = 16
"""State records: symbols by the last bits of their key, so that a quote does not rewrite them all."""

_KINDS = {"symbol_key": "<u8", "eff": "<i8", "mid": "<f8"}


def mid_of(bid: NDArray[np.float64], ask: NDArray[np.float64], max_spread: float) -> NDArray[np.float64]:
    """(bid + ask) / 2 of uncrossed quotes not wider than `max_spread` (a fraction of the mid); else NaN.

    A last trade is no mid: it jumps between bid and ask, and a signal that bets against the last jump would
    rank such "returns" well on pure noise.

    >>> mid_of(np.array([99.0, 101.0, np.nan]), np.array([101.0, 99.0, 100.0]), 0.05).tolist()
    [100.0, nan, nan]
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mid = bid / 2 + ask / 2
        sound = (bid > 0.0) & (ask >= bid) & np.isfinite(mid) & (ask - bid <= max_spread * mid)
    return np.where(sound, mid, np.nan)


class Mids:
    """A mid older than `stale_ns` is none. 24 bytes a symbol, at most those quoted within ten days."""

    def __init__(self, stale_ns: int) -> None:
        self._stale = stale_ns
        self._keys = np.empty(0, np.uint64)
        self._eff = np.empty(0, np.int64)
        self._mid = np.empty(0)
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        return len(self._keys)

    def at(
        self,
        quotes: tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float64]],
        queries: tuple[NDArray[np.uint64], NDArray[np.int64]],
    ) -> NDArray[np.float64]:
        """The mid of each queried symbol as of a time, NaN where there is none.

        Args:
            quotes: symbol, effective time and mid of the rows folded next, in order, all with a mid.
            queries: symbol and time, none before the quotes that were given to `take`.
        """
        symbols, times = queries
        if not len(symbols):
            return np.empty(0)
        found, since = self._last(symbols)
        if len(quotes[0]):
            keys = np.concatenate([quotes[0], symbols])
            eff = np.concatenate([quotes[1], times])
            asked = np.arange(len(keys)) >= len(quotes[0])
            # A quote counts from its own time on, so it stands before a query of the same time.
            order = np.lexsort((asked, eff, keys))
            before = np.maximum.accumulate(np.where(asked[order], -1, np.arange(len(keys))))
            quote = np.where(before >= 0, order[before], 0)
            hit = asked[order] & (before >= 0) & (keys[quote] == keys[order])
            at, where = quote[hit], order[hit] - len(quotes[0])
            found[where], since[where] = quotes[2][at], quotes[1][at]
        found[times - since > self._stale] = np.nan
        return found

    def _last(self, symbols: NDArray[np.uint64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        if not len(self._keys):
            return np.full(len(symbols), np.nan), np.zeros(len(symbols), np.int64)
        place = np.minimum(np.searchsorted(self._keys, symbols), len(self._keys) - 1)
        known = self._keys[place] == symbols
        return np.where(known, self._mid[place], np.nan), np.where(known, self._eff[place], 0)

    def take(self, quotes: tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float64]]) -> None:
        """The rows of `at` have been folded: keep the last mid of each symbol."""
        symbols, eff, mid = quotes
        if not len(symbols):
            return
        place = np.searchsorted(self._keys, symbols)
        known = place < len(self._keys)
        known[known] = self._keys[place[known]] == symbols[known]
        if not known.all():
            new = np.unique(symbols[~known])
            where = np.searchsorted(self._keys, new)
            self._keys = np.insert(self._keys, where, new)
            self._eff = np.insert(self._eff, where, 0)
            self._mid = np.insert(self._mid, where, np.nan)
            place = np.searchsorted(self._keys, symbols)
        # Of places that come again the last value stays.
        self._eff[place], self._mid[place] = eff, mid
        quoted = self._keys[np.flatnonzero(np.bincount(place))]
        self._dirty.update((quoted % np.uint64(SHARDS)).tolist())

    def forget(self, until: int) -> None:
        """Time has passed to `until`: drop symbols that are gone."""
        gone = until - self._eff > KEPT_NS
        if gone.any():
            self._dirty.update((self._keys[gone] % np.uint64(SHARDS)).tolist())
            self._keys, self._eff, self._mid = self._keys[~gone], self._eff[~gone], self._mid[~gone]

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out: dict[str, bytes | None] = {}
        shard = self._keys % np.uint64(SHARDS)
        for number in sorted(self._dirty):
            mine = shard == number
            columns = (self._keys[mine], self._eff[mine], self._mid[mine])
            kinds = _KINDS.values()
            parts = [column.astype(kind).tobytes() for column, kind in zip(columns, kinds, strict=True)]
            out[f"{number}"] = msgspec.msgpack.encode(parts) if mine.any() else None
        self._dirty.clear()
        return out

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from all records that stand.

        Raises:
            StateError: one cannot be read.
        """
        columns: list[list[NDArray[np.generic]]] = [[], [], []]
        for key, data in records.items():
            try:
                parts = msgspec.msgpack.decode(data, type=list[bytes])
                for column, part, kind in zip(columns, parts, _KINDS.values(), strict=True):
                    column.append(np.frombuffer(part, kind))
                if len({len(column[-1]) for column in columns}) > 1:
                    raise ValueError("its columns are not equally long")
            except (msgspec.MsgspecError, ValueError) as error:
                raise StateError(f"state of the mids, record {key!r}, cannot be read: {error}") from error
        if records:
            keys, eff, mid = (np.concatenate(column) for column in columns)
            order = np.argsort(keys)
            self._keys = keys[order].astype(np.uint64)
            self._eff, self._mid = eff[order].astype(np.int64), mid[order].astype(np.float64)
