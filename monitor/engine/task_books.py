"""`TaskBooks`: the books of one partition task: rows of a tick in, what they hold at an instant out.

Knows which execution reports of a shared topic are the deployment's; knows no grid and no partial's timing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from monitor.engine.partials import NAMED, BookState, Holding, Mark, Money
from monitor.engine.rows import Scores
from monitor.event_time.timing import FOLDED, Fate
from monitor.trading.books import BookSet, BookView, Reported
from monitor.trading.ledger import Applied
from monitor.trading.marks import NO_MARK
from monitor.trading.report import Kind
from monitor.trading.trades import PaperOrder, Trade
from monitor.trading.units import MONEY, InstrumentUnits
from monitor.wire.keys import hash64
from monitor.wire.table import Table

_AGAIN = (Applied.DUPLICATE, Applied.CONFLICT)
_NO_SCORES = np.empty(0, np.float64)
BREAK_TEXTS = ("symbol", "account", "exec_id", "booked", "reported")
"""Columns of text of the derived rows `breaks`."""

_NO_FEATURES = Table(
    {
        "symbol": np.empty(0, np.int32),
        "eff": np.empty(0, np.int64),
        **{name: np.empty(0, np.float64) for name in ("bid", "ask", "price")},
    }
)


class TaskBooks:
    """`matches(report)`: whether an execution report is this deployment's. `listed(n)`: units of the symbols
    from the n-th on, in the order of the symbol table; `books` begins with none. `watched`: symbols whose
    marks fold 2 asks for; `follow`: it asks for those of all symbols that any book has traded. `volume`: the
    column of `values` that caps the participation of paper fills.
    """

    def __init__(
        self,
        books: BookSet,
        matches: Callable[[Any], bool],
        listed: Callable[[int], Sequence[InstrumentUnits]],
        watched: Collection[str] = (),
        *,
        follow: bool = False,
        volume: int | None = None,
    ) -> None:
        self._books, self._matches, self._listed = books, matches, listed
        self._watched, self._follow = frozenset(watched), follow
        self._volume = volume
        self._asked: dict[str, int] = {}
        self._traded: set[str] = set()
        self._marked: dict[str, Mark] = {}
        self._units: list[InstrumentUnits] = []
        self._keys: list[int] = []
        self._trades: list[Trade] = []
        self._ended: list[PaperOrder] = []
        self._outcomes: list[tuple[int, int, bool]] = []
        self._breaks: list[tuple[Any, ...]] = []
        self._said: dict[str, BookState] | None = None
        self.touched = True
        """Whether rows came since `changed` was last asked."""

    def extend(self) -> None:
        """Symbols that appeared while running join the books."""
        more = self._listed(len(self._units))
        if more:
            self._books.extend(more)
            for code, units in enumerate(more, len(self._units)):
                if units.symbol in self._watched:
                    self._asked[units.symbol] = code
            self._units += more
            self._keys += [hash64(units.symbol.encode()) for units in more]

    def trade(self, features: Table | None, orders: Table | None, answers: Mapping[str, Scores]) -> list[int]:
        """Fold one tick's marks, paper trades and executions; rows in order, features first at equal times.

        Args:
            answers: by role, aligned with `features`.

        Returns:
            The rows of `orders` that the ledger knew: duplicates, however long ago they were folded. Those
            known to be are held against what it knows, and not folded.
        """
        if features is None:
            features, scores = _NO_FEATURES, dict.fromkeys(self._books.papers, _NO_SCORES)
            volume = None
        else:
            scores = {role: answer.value for role, answer in answers.items()}
            folded = np.isin(features["fate"], FOLDED)
            if not bool(folded.all()):
                keep = np.flatnonzero(folded)
                features = features.take(keep)
                scores = {role: values[keep] for role, values in scores.items()}
            volume = None if self._volume is None else features["values"][:, self._volume]
        rows = [] if orders is None else self._ours(orders)
        if not len(features) and not rows:
            return []
        reports: list[Reported] = []
        repeats: set[int] = set()
        if orders is not None:
            columns = (orders[name][rows].tolist() for name in ("report", "ts", "eff", "dedupe_key"))
            reports = list(zip(*columns, strict=True))
            repeats.update(np.flatnonzero(orders["fate"][rows] == Fate.DUPLICATE).tolist())
        done = self._books.fold(
            symbol=features["symbol"],
            eff=features["eff"],
            bid=features["bid"],
            ask=features["ask"],
            price=features["price"],
            predictions=scores,
            volume=volume,
            reports=reports,
            repeats=repeats,
        )
        self.touched = True
        self._ask({self._units[trade.symbol].symbol for trade in done.trades})
        self._ask(report.symbol for report, *_ in reports)
        self._trades += done.trades
        self._ended += done.ended
        self._outcomes += [
            (outcome, eff, outcome not in _AGAIN and report.kind == Kind.POSITION)
            for place, (outcome, (report, _, eff, _)) in enumerate(zip(done.applied, reports, strict=True))
            if outcome is Applied.CONFLICT or place not in repeats
        ]
        for place, *lots in done.breaks:
            report, _, eff, _ = reports[place]
            told = map(self._units[self._code(report.symbol)].format_quantity, lots)
            self._breaks.append((eff, report.symbol, report.account or "", report.exec_id, *told))
        return [row for row, outcome in zip(rows, done.applied, strict=True) if outcome in _AGAIN]

    def derived(self) -> dict[str, Table]:
        """What `trade` did since it was last asked, as derived rows by name, with at least one row each.

        - `trades` of real fills that counted and of paper fills: `book` i1 (index in `BookSet.names`),
          `symbol_key` u8, `eff` i8, `side` i1 (+1 buys), `quantity` f8 (units), `price` f8 (per unit, paid;
          NaN of no quantity), `notional` f8 (>= 0) and `fee` f8, both in the instrument's currency.
        - `ledger`, of each of the deployment's execution reports, those that repeat an id shortly after it
          only where they contradict: `outcome` i1 (`Applied`), `eff` i8, `position` ? (states one, and came
          for the first time).
        - `breaks`, of reported positions that contradicted the ledger: `eff` i8, and as text `symbol`,
          `account` (empty where there is none), `exec_id`, `booked` and `reported` (units).
        - `paper_orders` that ended: `book` i1, `eff` i8, `ordered` f8 and `filled` f8 (units), `capped` i1
          (`Capped`).
        """
        found: dict[str, Table] = {}
        if self._trades:
            found["trades"] = self._trade_rows(self._trades)
        if self._outcomes:
            outcomes, eff, positions = zip(*self._outcomes, strict=True)
            found["ledger"] = Table(
                {
                    "outcome": np.array(outcomes, np.int8),
                    "eff": np.array(eff, np.int64),
                    "position": np.array(positions, np.bool_),
                }
            )
        if self._breaks:
            eff, *texts = zip(*self._breaks, strict=True)
            columns = {name: np.array(each, object) for name, each in zip(BREAK_TEXTS, texts, strict=True)}
            found["breaks"] = Table({"eff": np.array(eff, np.int64), **columns})
        if self._ended:
            found["paper_orders"] = self._order_rows(self._ended)
        self._trades, self._ended, self._outcomes, self._breaks = [], [], [], []
        return found

    def _trade_rows(self, trades: Sequence[Trade]) -> Table:
        book, code, eff, lots, paid, fee = zip(*trades, strict=True)
        units = [self._units[each] for each in code]
        return Table(
            {
                "book": np.array(book, np.int8),
                "symbol_key": np.array([self._keys[each] for each in code], np.uint64),
                "eff": np.array(eff, np.int64),
                "side": np.sign(np.array(lots, np.float64)).astype(np.int8),
                "quantity": np.array([u.quantity(abs(n)) for u, n in zip(units, lots, strict=True)]),
                "price": np.array(
                    [u.price(n, p) if n else np.nan for u, n, p in zip(units, lots, paid, strict=True)]
                ),
                "notional": np.array([abs(each) / MONEY for each in paid]),
                "fee": np.array([each / MONEY for each in fee]),
            }
        )

    def _order_rows(self, ended: Sequence[PaperOrder]) -> Table:
        book, code, eff, ordered, filled, capped = zip(*ended, strict=True)
        units = [self._units[each] for each in code]
        return Table(
            {
                "book": np.array(book, np.int8),
                "eff": np.array(eff, np.int64),
                "ordered": np.array([u.quantity(n) for u, n in zip(units, ordered, strict=True)]),
                "filled": np.array([u.quantity(n) for u, n in zip(units, filled, strict=True)]),
                "capped": np.array(capped, np.int8),
            }
        )

    def _ours(self, orders: Table) -> list[int]:
        entering = np.flatnonzero(np.isin(orders["fate"], (*FOLDED, Fate.DUPLICATE))).tolist()
        return [row for row in entering if self._matches(orders["report"][row])]

    def states(self, at: int) -> dict[str, BookState]:
        """Every book at the accepted marks; exactly the rows before `at` have been folded."""
        positions = self._books.positions()
        # The first book is the real one.
        real = self._books.names[0]
        return {
            name: BookState(
                _money(view),
                view.complete,
                view.oldest_mark_ns or 0,
                {
                    symbol: Holding(held.quantity, held.mark or 0, held.mark_ts_ns or 0)
                    for symbol, held in positions[name].items()
                },
                view.trips,
                {currency: str(amount) for currency, amount in view.gap.items()},
                tuple(self._books.unstated()[:NAMED]) if name == real and not view.complete else (),
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

    def _ask(self, symbols: Iterable[str]) -> None:
        """Those that a book has traded are asked for from now on."""
        if not self._follow:
            return
        for symbol in symbols:
            if symbol in self._traded:
                continue
            lines = [book.lines.get(symbol) for book in self._books.books().values()]
            if any(line is not None and line.traded for line in lines):
                self._traded.add(symbol)
                self._asked[symbol] = self._code(symbol)

    def _code(self, symbol: str) -> int:
        return next(code for code, units in enumerate(self._units) if units.symbol == symbol)

    def marks(self) -> dict[str, Mark]:
        """The marks that are asked for and differ from what was last said."""
        marks, fresh = self._books.marks, {}
        for symbol, code in self._asked.items():
            ts = int(marks.ts[code])
            traded = symbol in self._traded
            mark = Mark(0, 0, traded) if ts == NO_MARK else Mark(int(marks.mark[code]), ts, traded)
            if self._marked.get(symbol) != mark:
                fresh[symbol] = mark
        self._marked.update(fresh)
        return fresh

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
        self._ask({symbol for book in self._books.books().values() for symbol in book.lines})


def _money(view: BookView) -> dict[str, Money]:
    parts = (view.cash, view.value, view.transfers, view.fees, view.traded, view.gross)
    return {
        currency: Money(*(str(part.get(currency, 0)) for part in parts))
        for currency in sorted(set().union(*parts))
    }
