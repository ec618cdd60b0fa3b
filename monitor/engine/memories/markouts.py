"""`Markouts`: trades of all books wait until it is known how the mid of their symbol moved after them.

Derives the markout of each trade, by horizon; knows neither panes nor who made the trade.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from monitor.engine.markout_rules import MarkoutRules
from monitor.engine.memories.mids_ahead import MidsAhead, Quota, Quoting, mid_at, wild
from monitor.engine.scope import Batch
from monitor.trading.markout import markouts
from monitor.wire.table import Table

TRADES = "trades"
"""The derived rows that it takes (`TaskBooks.derived`)."""

SKIPPED = "markouts_skipped"
"""Derived rows: `book` of each trade that did not wait, since its symbol had too many in that slot."""

_KINDS = {"eff": "<i8", "symbol_key": "<u8", "book": "<i1", "side": "<i1", "price": "<f8", "notional": "<f8"}


def derived(book: int, horizon_ns: int) -> str:
    """Name of the derived rows of a book: `notional`, and `markout` in bps, NaN where a mid is missing."""
    return f"markouts/{book}/{horizon_ns}"


def quota_of(rules: MarkoutRules, books: int) -> Quota:
    """A share of what waits for each symbol of each book."""
    return Quota.of(rules.limit, rules.symbols * books, max(rules.horizons_ns), rules.evaluation_ns)


class Markouts:
    """A trade of effective time t meets the mids as of t + h of each horizon h (`MidsAhead`).

    Memory and state: at most `limit` rows in all (or four a symbol and book) of 34 bytes and 8 for each
    horizon, and 24 bytes a symbol.
    """

    key = "markouts"

    def __init__(self, rules: MarkoutRules, books: int) -> None:
        self._rules = rules
        self._ahead = MidsAhead(
            "markouts",
            _KINDS,
            (),
            rules.horizons_ns,
            Quoting(rules.max_spread, rules.stale_ns, rules.evaluation_ns),
            quota_of(rules, books),
            share=("symbol_key", "book"),
        )

    def __len__(self) -> int:
        """Trades that wait."""
        return len(self._ahead)

    def take(self, batch: Batch) -> Mapping[str, Table]:
        """Trades begin to wait, quotes end the wait of others; what has ended is said by `expire`."""
        left_out = self._begin(batch.derived[TRADES]) if TRADES in batch.derived else None
        if "features" in batch and len(batch.features["eff"]):
            self._ahead.quote(batch.features)
        return {SKIPPED: left_out} if left_out is not None and len(left_out) else {}

    def _begin(self, trades: Table) -> Table:
        """As far as the quota of symbol and book goes; the books of those it left out."""
        trades = Table({name: trades[name] for name in _KINDS})
        # Within a tick they come book by book.
        trades = trades.take(np.argsort(trades["eff"], kind="stable"))
        taken = self._ahead.number(trades) < self._ahead.quota.rows
        if taken.any():
            self._ahead.begin(trades.take(np.flatnonzero(taken)))
        return Table({"book": trades["book"][~taken]})

    @property
    def due(self) -> int | None:
        """When the next horizon of a trade ends."""
        return self._ahead.due

    def expire(self, until: int) -> Mapping[str, Table]:
        """Trades whose horizon ended before `until`."""
        out: dict[str, Table] = {}
        for place, rows in self._ahead.expire(until):
            horizon, marked = self._rules.horizons_ns[place], _marked(rows, place)
            for book in np.unique(rows["book"]).tolist():
                out[derived(book, horizon)] = marked.take(np.flatnonzero(rows["book"] == book))
        return out

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        return self._ahead.records()

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from all records that stand.

        Raises:
            StateError: one cannot be read.
        """
        self._ahead.restore(records)


def _marked(rows: Table, place: int) -> Table:
    price, mid = rows["price"], rows[mid_at(place)]
    found = markouts(rows["side"], price, np.where(wild(price, mid), np.nan, mid))
    return Table({"notional": rows["notional"], "markout": found})
