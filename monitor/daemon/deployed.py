"""`Deployed`: one deployment, assembled: it makes the folds of its tasks and of its owner. Reads no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from monitor.daemon.paper_scope import paper_rules_of, targets_of
from monitor.engine.books.benchmark import Benchmark
from monitor.engine.books.books import Books
from monitor.engine.books.rates import Pair, pairs_to
from monitor.engine.books.rules import TRADED, PerformanceRules
from monitor.engine.books.series import books_of
from monitor.engine.catalogue import Catalogue, memories
from monitor.engine.deployment import DeploymentFold
from monitor.engine.grid import Grid
from monitor.engine.scope import Scope, Source
from monitor.engine.task import TaskFold
from monitor.engine.task_books import TaskBooks
from monitor.event_time.calendar import Calendar
from monitor.models.model import Model
from monitor.policy.audit import Subjects
from monitor.policy.decider import Decider
from monitor.policy.rules import Grids, Policy
from monitor.settings.deployment import Deployment
from monitor.settings.instruments import USUAL
from monitor.trading.books import BookRules, BookSet
from monitor.trading.ledger import LedgerRules
from monitor.trading.marks import MarkRules
from monitor.trading.units import InstrumentUnits, money_of


@dataclass(frozen=True, slots=True)
class Deployed:
    """One deployment, ready to fold and decide; scorers are made per task.

    `digest`: what its panes and partials hang on (`Scope.digest`).
    """

    name: str
    settings: Deployment
    digest: str
    grid: Grid
    scope: Scope
    sources: tuple[Source, ...]
    catalogue: Catalogue
    policy: Policy
    calendar: Calendar
    subjects: Subjects
    models: Mapping[str, Model]
    listed: Callable[[int], Sequence[InstrumentUnits]]
    units_of: Callable[[str], InstrumentUnits]
    fx: Mapping[str, str]
    volume: int | None = None
    """Place in the feature space of what caps the participation of the paper broker."""

    @property
    def books(self) -> tuple[str, ...]:
        """Keys of all books."""
        return books_of(self.scope)

    def task_fold(self, task: int, partition: int) -> TaskFold:
        """A fresh fold 1 for a task whose rows lie in `partition`."""
        books, paper, scope = self.settings.books, self.settings.paper, self.scope
        rules = BookRules(
            LedgerRules(start_flat=books.start_flat, exec_horizon_ns=books.exec_horizon_ns),
            MarkRules(books.mark_band_bps, books.max_spread_bps),
            paper_rules_of(paper),
            targets_of(paper, scope.kinds, scope.artifacts, scope.reference),
        )
        return TaskFold(
            self.name,
            task,
            partition,
            self.digest,
            self.grid,
            self.sources,
            tuple(memories(scope)),
            self._task_books(BookSet((), scope.roles, rules)),
        )

    def _task_books(self, books: BookSet) -> TaskBooks:
        benchmark = self.rules.benchmark if self.rules.capital is not None else ""
        return TaskBooks(
            books,
            self.scope.mine,
            self.listed,
            {pair.symbol for pair in self._pairs.values()} | Benchmark.symbols(benchmark),
            follow=benchmark == TRADED,
            volume=self.volume,
        )

    @property
    def rules(self) -> PerformanceRules:
        """How its books are measured."""
        capital, performance = self.settings.capital, self.settings.performance
        tested = capital is not None and self.scope.sequences.pnl is not None
        return PerformanceRules(
            currency=capital.currency if capital else USUAL,
            capital=money_of(capital.amount) if capital else None,
            staleness_ns=self.settings.books.mark_staleness_ns,
            promoted_ns=self.settings.models.promoted_at_ns,
            calendar=self.calendar,
            grid_ns=performance.grid_ns,
            daily_from_ns=performance.daily_from_ns,
            min_returns=performance.min_returns,
            floor_bps=performance.floor_bps,
            max_position_gap=performance.max_position_gap,
            benchmark=performance.benchmark,
            block_ns=self.scope.sequences.block_ns if tested else None,
        )

    @property
    def _pairs(self) -> dict[str, Pair]:
        half_ticks = {symbol: self.units_of(symbol).half_tick for symbol in self.fx.values()}
        return pairs_to(self.rules.currency, self.fx, half_ticks)

    def deployment_fold(self) -> DeploymentFold:
        """A fresh fold 2."""
        real, *paper = self.books
        books = Books(
            self.books,
            self.settings.windows_ns,
            self.rules,
            tick_ns=self.grid.tick,
            flat={*paper, real} if self.settings.books.start_flat else set(paper),
            pairs=self._pairs,
            currency_of=lambda symbol: self.units_of(symbol).currency,
        )
        grids = Grids(self.grid.tick, self.grid.evaluation)
        decider = Decider(self.policy, self.subjects, grids, self.calendar)
        return DeploymentFold(
            self.grid, self.sources, self.catalogue, self.settings.windows_ns, books, decider
        )
