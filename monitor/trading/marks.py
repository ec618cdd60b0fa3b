"""`Marks`: what each symbol is worth, proof against a bad tick; and which quotes a paper order may trade on.

A mark is the mid of an uncrossed quote within the spread limit, in half-ticks, or the price where a row has
neither bid nor ask. A jump beyond the band is pending until it stands for 3 quotes and 500 ms or a fill
confirms it. Knows rows in folding order, not where they came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError
from monitor.trading.units import InstrumentUnits, ratio

NO_MARK = np.iinfo(np.int64).min
"""Time of the mark of a symbol that has none."""

STANDS_QUOTES = 3
STANDS_NS = 500_000_000

_BOUND = float(1 << 51)
"""Prices beyond this many ticks are no quotes: up to here float64 arithmetic on ticks is exact."""

VERSION = 1


class MarkRules(msgspec.Struct, frozen=True):
    """`band_bps`: moves beyond it, relative to the accepted mark, are jumps. `max_spread_bps`: of the mid."""

    band_bps: Decimal = Decimal(50)
    max_spread_bps: Decimal = Decimal(20)


class Pending(msgspec.Struct, array_like=True):
    """A jump that does not count yet: its newest mark and time, since when and how many quotes it stands."""

    mark: int
    ts_ns: int
    since_ns: int
    quotes: int


class _Stored(msgspec.Struct, array_like=True):
    version: int
    mark: int
    ts_ns: int
    pending: Pending | None


@dataclass(frozen=True, slots=True)
class Fill:
    """An execution that may confirm a jump: of the symbol at index `symbol`, after `row` rows of a slice."""

    row: int
    symbol: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Quotes:
    """A slice of rows grouped by symbol, in folding order within each.

    `rows` (n,) int64: place in the slice; `symbol` (n,) int; `ts` (n,) int64 ns; `priced` (n,) bool: the row
    renewed the accepted mark, so one may trade on it; `bid`, `ask` (n,) float64: half-ticks (the price where
    there is no quote), integers where `priced`, any value elsewhere; `bare` (n,) bool: neither bid nor ask.
    """

    rows: NDArray[np.int64]
    symbol: NDArray[np.integer]
    ts: NDArray[np.int64]
    priced: NDArray[np.bool_]
    bid: NDArray[np.float64]
    ask: NDArray[np.float64]
    bare: NDArray[np.bool_]


class Marks:
    """Accepted marks by symbol index: `mark` (symbols,) int64 half-ticks, `ts` (symbols,) int64 ns."""

    def __init__(self, instruments: Sequence[InstrumentUnits], rules: MarkRules) -> None:
        band, band_scale = ratio(rules.band_bps)
        spread, spread_scale = ratio(rules.max_spread_bps)
        self._band, self._band_scale = float(band), float(band_scale * 10_000)
        self._spread, self._spread_scale = float(spread), float(spread_scale * 20_000)
        self.mark = np.zeros(0, np.int64)
        self.ts = np.zeros(0, np.int64)
        self._tick = np.zeros(0)
        self._instruments: list[InstrumentUnits] = []
        self._pending: dict[int, Pending] = {}
        self._dirty = np.zeros(0, bool)
        self.extend(instruments)

    def extend(self, instruments: Iterable[InstrumentUnits]) -> None:
        """Append more symbols, without marks."""
        more = list(instruments)
        self._instruments += more
        n = len(more)
        self.mark = np.concatenate([self.mark, np.zeros(n, np.int64)])
        self.ts = np.concatenate([self.ts, np.full(n, NO_MARK, np.int64)])
        self._tick = np.concatenate([self._tick, [float(units.tick_size) for units in more]])
        self._dirty = np.concatenate([self._dirty, np.zeros(n, bool)])

    @property
    def pending(self) -> Mapping[int, Pending]:
        """Jumps that do not count yet, by symbol index; read only."""
        return self._pending

    def update(
        self,
        symbol: NDArray[np.integer],
        ts: NDArray[np.int64],
        bid: NDArray[np.float64],
        ask: NDArray[np.float64],
        price: NDArray[np.float64],
        fills: Sequence[Fill] = (),
    ) -> Quotes:
        """Fold a slice of feature rows (all (n,), in folding order, `ts` = effective time, NaN = absent) and
        the fills between them, in order. Any slicing of the same rows and fills gives the same marks."""
        order = np.argsort(symbol, kind="stable")
        grouped, at = symbol[order], ts[order]
        with np.errstate(over="ignore", invalid="ignore"):
            mid, low, high, priced, bare = self._read(grouped, bid[order], ask[order], price[order])
        rows = np.flatnonzero(priced)
        if len(rows):
            self._accept(grouped[rows], at[rows], mid[rows], rows, order, priced, fills)
        if fills and self._pending:
            self._confirm_rest(set(grouped[rows].tolist()), fills)
        return Quotes(order, grouped, at, priced, low, high, bare)

    def _read(
        self,
        symbol: NDArray[np.integer],
        bid: NDArray[np.float64],
        ask: NDArray[np.float64],
        price: NDArray[np.float64],
    ) -> tuple[
        NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]
    ]:
        """Mid, bid and ask in half-ticks, where they are a quote or a price that may make a mark, and where a
        price stands alone."""
        tick = self._tick[symbol]
        bid_ticks, ask_ticks = np.rint(bid / tick), np.rint(ask / tick)
        mid = bid_ticks + ask_ticks
        spread = ask_ticks - bid_ticks
        valid = (
            (spread >= 0)
            & (spread * self._spread_scale <= np.abs(mid) * self._spread)
            & (np.abs(bid_ticks) <= _BOUND)
            & (np.abs(ask_ticks) <= _BOUND)
        )
        low, high = 2 * bid_ticks, 2 * ask_ticks
        alone = np.isnan(bid) & np.isnan(ask)
        if alone.any():
            last = np.rint(2 * price / tick)
            mid, low, high = (np.where(alone, last, half_ticks) for half_ticks in (mid, low, high))
            valid |= alone & (np.abs(last) <= 2 * _BOUND)
        return mid, low, high, valid, alone

    def _accept(
        self,
        symbol: NDArray[np.integer],
        ts: NDArray[np.int64],
        mid: NDArray[np.float64],
        rows: NDArray[np.int64],
        order: NDArray[np.int64],
        priced: NDArray[np.bool_],
        fills: Sequence[Fill],
    ) -> None:
        """Accept the newest mark of every symbol at once, but for symbols with a jump: those row by row."""
        first = np.flatnonzero(np.concatenate([[True], symbol[1:] != symbol[:-1]]))
        last = np.append(first[1:], len(symbol)) - 1
        present = symbol[first]
        before = np.empty_like(mid)
        before[1:] = mid[:-1]
        before[first] = np.where(self.ts[present] == NO_MARK, mid[first], self.mark[present])
        jump = np.abs(mid - before) * self._band_scale > np.abs(before) * self._band
        self._dirty[present] = True
        careful = set(symbol[jump].tolist()) if jump.any() else set()
        if self._pending:
            careful |= self._pending.keys() & set(present.tolist())
        if careful:
            plain = np.array([code not in careful for code in present.tolist()])
            for group in np.flatnonzero(~plain).tolist():
                span = slice(int(first[group]), int(last[group]) + 1)
                self._walk(int(present[group]), ts[span], mid[span], rows[span], order, priced, fills)
            present, last = present[plain], last[plain]
        self.mark[present] = mid[last].astype(np.int64)
        self.ts[present] = ts[last]

    def _walk(
        self,
        code: int,
        ts: NDArray[np.int64],
        mid: NDArray[np.float64],
        rows: NDArray[np.int64],
        order: NDArray[np.int64],
        priced: NDArray[np.bool_],
        fills: Sequence[Fill],
    ) -> None:
        """One symbol's quotes and fills, row by row."""
        queue = [fill for fill in fills if fill.symbol == code]
        done = 0
        for at, new, row, place in zip(
            ts.tolist(), mid.tolist(), rows.tolist(), order[rows].tolist(), strict=True
        ):
            while done < len(queue) and queue[done].row <= place:
                self._confirm(queue[done])
                done += 1
            priced[row] = self._quote(code, at, int(new))
        for fill in queue[done:]:
            self._confirm(fill)

    def _quote(self, code: int, ts_ns: int, mark: int) -> bool:
        """Fold one quote; True when it is accepted."""
        if int(self.ts[code]) != NO_MARK and self._jumps(mark, int(self.mark[code])):
            pending = self._pending.get(code)
            if pending is None or self._jumps(mark, pending.mark):
                pending = self._pending[code] = Pending(mark, ts_ns, ts_ns, 0)
            pending.mark, pending.ts_ns = mark, ts_ns
            pending.quotes += 1
            if pending.quotes < STANDS_QUOTES or ts_ns - pending.since_ns < STANDS_NS:
                return False
        self._pending.pop(code, None)
        self.mark[code], self.ts[code] = mark, ts_ns
        return True

    def _confirm(self, fill: Fill) -> None:
        pending = self._pending.get(fill.symbol)
        if pending is None:
            return
        price = self._instruments[fill.symbol].half_ticks(fill.price)
        if not self._jumps(price, pending.mark):
            del self._pending[fill.symbol]
            self.mark[fill.symbol], self.ts[fill.symbol] = pending.mark, pending.ts_ns
            self._dirty[fill.symbol] = True

    def _confirm_rest(self, walked: set[int], fills: Sequence[Fill]) -> None:
        """Fills of symbols of which the slice has no quote."""
        for fill in fills:
            if fill.symbol not in walked:
                self._confirm(fill)

    def _jumps(self, mark: int, level: int) -> bool:
        """Whether `mark` is beyond the band around `level`: the comparison of `_accept`, bit for bit."""
        return abs(float(mark) - float(level)) * self._band_scale > abs(float(level)) * self._band

    def records(self, *, dirty_only: bool) -> dict[str, bytes | None]:
        """Stored records `marks/<symbol>` of all symbols that have a mark."""
        chosen = self._dirty if dirty_only else self.ts != NO_MARK
        return {
            f"marks/{self._instruments[code].symbol}": msgspec.msgpack.encode(
                _Stored(VERSION, int(self.mark[code]), int(self.ts[code]), self._pending.get(code))
            )
            for code in np.flatnonzero(chosen).tolist()
        }

    def mark_clean(self) -> None:
        """What `records` gave is stored."""
        self._dirty[:] = False

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Take back stored records, all of symbols known here; keys of other parts are passed over.

        Raises:
            StateError: a record cannot be read.
        """
        codes = {units.symbol: code for code, units in enumerate(self._instruments)}
        for key, raw in records.items():
            part, _, symbol = key.partition("/")
            if part != "marks":
                continue
            try:
                stored = msgspec.msgpack.decode(raw, type=_Stored)
            except msgspec.MsgspecError as error:
                raise StateError(f"{key} cannot be read: {error}") from error
            if stored.version != VERSION:
                raise StateError(f"{key} has version {stored.version}, this program reads {VERSION}")
            code = codes[symbol]
            self.mark[code], self.ts[code] = stored.mark, stored.ts_ns
            if stored.pending is not None:
                self._pending[code] = stored.pending
