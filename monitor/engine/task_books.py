"""`TaskBooks`: the books of one partition task: rows of a tick in, what they hold at an instant out.

Knows which execution reports of a shared topic are the deployment's; knows no grid and no partial's timing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from monitor.engine.partials import BookState, Holding
from monitor.engine.rows import Scores
from monitor.event_time.timing import FOLDED
from monitor.trading.books import BookSet
from monitor.trading.ledger import Applied
from monitor.trading.units import InstrumentUnits
from monitor.wire.table import Table

_NO_SCORES = np.empty(0, np.float64)
_NO_FEATURES = Table(
    {
        "symbol": np.empty(0, np.int32),
        "eff": np.empty(0, np.int64),
        **{name: np.empty(0, np.float64) for name in ("bid", "ask", "price")},
    }
)


class TaskBooks:
    """`matches(report)`: whether an execution report is this deployment's. `listed(n)`: units of the symbols
    from the n-th on, in the order of the symbol table; `books` begins with none.
    """

    def __init__(
        self,
        books: BookSet,
        matches: Callable[[Any], bool],
        listed: Callable[[int], Sequence[InstrumentUnits]],
    ) -> None:
        self._books, self._matches, self._listed = books, matches, listed
        self._symbols = 0
        self._said: dict[str, BookState] | None = None
        self.touched = True
        """Whether rows came since `changed` was last asked."""

    def extend(self) -> None:
        """Symbols that appeared while running join the books."""
        more = self._listed(self._symbols)
        if more:
            self._books.extend(more)
            self._symbols += len(more)

    def trade(self, features: Table | None, orders: Table | None, answers: Mapping[str, Scores]) -> list[int]:
        """Fold one tick's marks, paper trades and executions; rows in order, features first at equal times.

        Args:
            answers: by role, aligned with `features`.

        Returns:
            The rows of `orders` that the ledger knew: duplicates, however long ago they were folded.
        """
        if features is None:
            features, scores = _NO_FEATURES, dict.fromkeys(self._books.papers, _NO_SCORES)
        else:
            scores = {role: answer.value for role, answer in answers.items()}
            folded = np.isin(features["fate"], FOLDED)
            if not bool(folded.all()):
                keep = np.flatnonzero(folded)
                features = features.take(keep)
                scores = {role: values[keep] for role, values in scores.items()}
        rows = [] if orders is None else self._ours(orders)
        if not len(features) and not rows:
            return []
        applied = self._books.fold(
            symbol=features["symbol"],
            eff=features["eff"],
            bid=features["bid"],
            ask=features["ask"],
            price=features["price"],
            predictions=scores,
            reports=[]
            if orders is None
            else [(orders["report"][row], int(orders["eff"][row])) for row in rows],
        )
        self.touched = True
        return [row for row, done in zip(rows, applied, strict=True) if done is Applied.DUPLICATE]

    def _ours(self, orders: Table) -> list[int]:
        entering = np.flatnonzero(np.isin(orders["fate"], FOLDED)).tolist()
        return [row for row in entering if self._matches(orders["report"][row])]

    def states(self, at: int) -> dict[str, BookState]:
        """Every book at the accepted marks; exactly the rows before `at` have been folded."""
        positions = self._books.positions()
        return {
            name: BookState(
                {
                    currency: (
                        str(view.cash.get(currency, 0)),
                        str(view.value.get(currency, 0)),
                        str(view.transfers.get(currency, 0)),
                    )
                    for currency in sorted({*view.cash, *view.value, *view.transfers})
                },
                view.complete,
                view.oldest_mark_ns or 0,
                {
                    symbol: Holding(held.quantity, held.mark or 0, held.mark_ts_ns or 0)
                    for symbol, held in positions[name].items()
                },
            )
            for name, view in self._books.at(at).items()
        }

    def changed(self, at: int) -> dict[str, BookState] | None:
        """The books as of `at`; None where they are as last said."""
        if not self.touched:
            return None
        self.touched = False
        states = self.states(at)
        if states == self._said:
            return None
        self._said = states
        return states

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out = self._books.records(dirty_only=True)
        self._books.mark_clean()
        return out

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from committed records.

        Raises:
            StateError: a record cannot be read, or its symbol is not among the instruments.
        """
        self.extend()
        self._books.restore(records)
