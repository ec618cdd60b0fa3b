"""A small deployment for the tests of both folds: rows made up from a seed, folded without models."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from monitor.engine.books.books import Books
from monitor.engine.books.rates import Pair
from monitor.engine.books.rules import PerformanceRules
from monitor.engine.catalogue import BY_NAME, Catalogue, memories, sources
from monitor.engine.deployment import DeploymentFold
from monitor.engine.grid import Grid
from monitor.engine.markout_rules import MarkoutRules
from monitor.engine.measures.sequences import CHANGES
from monitor.engine.memory import Memory
from monitor.engine.order_rules import OrderRules
from monitor.engine.panes import pane_length
from monitor.engine.partials import Partial, decode, encode
from monitor.engine.readings import Value
from monitor.engine.rows import UNMEASURED_NS, Scores, ScoreStatus
from monitor.engine.scope import Scope, Source
from monitor.engine.sequence_rules import SequenceRules
from monitor.engine.skill_rules import Forward, LabelJoin
from monitor.engine.task import TaskFold
from monitor.engine.task_books import TaskBooks
from monitor.event_time.calendar import ALWAYS, Calendar
from monitor.event_time.timing import Fate
from monitor.policy.decider import Decider, Subjects
from monitor.policy.events import Artifact
from monitor.policy.events import encode as encode_event
from monitor.policy.rules import Action, Comparator, Grids, NoData, Policy, Rule
from monitor.stats.betting import Harm
from monitor.stats.reference import build_reference
from monitor.trading.books import BookRules, BookSet, book_key
from monitor.trading.ledger import LedgerRules
from monitor.trading.marks import MarkRules
from monitor.trading.paper_rules import PaperRules
from monitor.trading.units import InstrumentUnits
from monitor.wire.keys import combine, execution_key, hash64, hash64_many
from monitor.wire.messages import ExecutionReport, Tags
from monitor.wire.table import NO_TIME, Table

S = 1_000_000_000
MS = S // 1000
START = 1_767_607_200 * S
ROLES = ("active", "shadow")
SYMBOLS = ("AAA", "BBB", "CCC")
FEATURES = ("f1", "f2")
REAL = book_key("active", "real")
BOOKS = (REAL, book_key("active", "paper"), book_key("shadow", "paper"))
UNITS = [InstrumentUnits.of(s, Decimal("0.01"), Decimal("0.1"), Decimal(1), "USD") for s in SYMBOLS]

REFERENCE = build_reference(
    {name: np.random.default_rng(i).normal(size=500) for i, name in enumerate(FEATURES)},
    {role * 8: np.random.default_rng(9).normal(size=500) for role in ROLES},
)

FORWARD = Forward(
    horizons_ns=(2 * S, 500 * MS),
    lag_ns=50 * MS,
    cost_bps=0.5,
    limit=3000,
    symbols=20,
    max_spread=0.002,
    evaluation_ns=S,
)

MARKOUTS = MarkoutRules(
    horizons_ns=(S, 3 * S), limit=500, symbols=3, max_spread=0.002, evaluation_ns=S, stale_ns=5 * S
)


def rule(id_: str, metric: str, **fields: Any) -> Rule:
    """A rule on the shadow that fires above 0, unless changed."""
    labels = tuple(sorted(fields.pop("labels", {}).items()))
    defaults: dict[str, Any] = {"subject": "shadow", "comparator": Comparator.ABOVE, "threshold": 0.0}
    return Rule(id=id_, metric=metric, labels=labels, **(defaults | fields))


RULES = (
    rule("agrees", "rank_correlation", labels={"role": "shadow"}, window=10 * S, comparator=Comparator.BELOW,
         threshold=0.5, min_samples=20, for_count=2, action=Action.DEMOTE),
    rule("errors", "served_error_rate", subject="active", window=10 * S, threshold=0.25, min_samples=5,
         action=Action.ROLLBACK),
    rule("drift", "psi", labels={"feature": "f1"}, subject="deployment", window=60 * S, threshold=0.3),
    rule("loss", "drawdown", labels={"role": "active", "fills": "real"}, subject="deployment",
         window="session", threshold=0.0002, schedule="tick", no_data=NoData.ALERT, action=Action.KILL),
    rule("silence", "event_rate", labels={"stream": "features"}, subject="deployment", window=10 * S,
         comparator=Comparator.BELOW, threshold=1.0, min_samples=1, no_data=NoData.ALERT),
    rule("effect", "model_effect", labels={"role": "shadow"}, window=60 * S, comparator=Comparator.BELOW,
         threshold=-0.02, action=Action.DEMOTE),
)  # fmt: skip


@dataclass(frozen=True)
class House:
    """What one deployment is made of; `fold1` and `fold2` give fresh folds."""

    windows_ns: tuple[int, ...] = (10 * S, 60 * S, 300 * S)
    tick: int = 100 * MS
    evaluation: int = S
    rank_k: int = 1000
    rules: tuple[Rule, ...] = RULES
    limits_ns: tuple[int, ...] = (10 * MS, 500 * MS)
    capital: int | None = 100_000 * 10**18
    staleness_ns: int = 5 * S
    promoted_ns: int | None = None
    start_flat: bool = True
    exec_horizon_ns: int = 86_400 * S
    digest: str = "d" * 64
    sources: tuple[Source, ...] | None = None
    memories: Callable[[], Iterable[Memory]] | None = None
    units: tuple[InstrumentUnits, ...] = tuple(UNITS)
    measured: Mapping[str, Any] = field(default_factory=dict)
    pairs: Mapping[str, Pair] = field(default_factory=dict)
    calendar: Calendar = ALWAYS

    @property
    def grid(self) -> Grid:
        return Grid(self.tick, self.evaluation, min(pane_length(w) for w in self.windows_ns))

    @property
    def scope(self) -> Scope:
        return Scope(
            roles=ROLES,
            streams=("features", "orders"),
            windows_ns=self.windows_ns,
            limits_ns=self.limits_ns,
            rank_k=self.rank_k,
            reference=REFERENCE,
            columns=(0, 1),
            artifacts={role: role * 8 for role in ROLES},
            kinds=dict.fromkeys(ROLES, "return"),
            evaluation_ns=self.evaluation,
            lateness_ns=200 * MS,
            join_window_ns=5 * S,
            mine=lambda report: report.strategy == "mine",
            forward=FORWARD,
            orders=OrderRules(model_version="v7"),
            markouts=MARKOUTS,
            labels=LabelJoin(wait_ns=5 * S, limit=1000),
            sequences=SequenceRules(
                block_ns=2 * self.grid.pane,
                pane_ns=self.grid.pane,
                loss_bound=10.0,
                pnl=Harm(1.0),
                changes=frozenset(CHANGES),
            ),
        )

    def fold1(self, task: int = 0) -> TaskFold:
        books = BookSet(
            (),
            ROLES,
            BookRules(
                LedgerRules(start_flat=self.start_flat, exec_horizon_ns=self.exec_horizon_ns),
                MarkRules(),
                PaperRules(Decimal(1), holding_ns=300 * MS, fee_bps=Decimal(1)),
            ),
        )
        task_books = TaskBooks(
            books,
            self.scope.mine,
            lambda n: self.units[n:],
            {pair.symbol for pair in self.pairs.values()},
            follow=True,
        )
        return TaskFold(
            "d",
            task,
            0,
            self.digest,
            self.grid,
            tuple(sources(self.scope)) if self.sources is None else self.sources,
            tuple(memories(self.scope) if self.memories is None else self.memories()),
            task_books,
        )

    def books(self) -> Books:
        measured = {
            "currency": "USD",
            "capital": self.capital,
            "staleness_ns": self.staleness_ns,
            "promoted_ns": self.promoted_ns,
            "calendar": self.calendar,
            "grid_ns": S,
            "block_ns": self.scope.sequences.block_ns if self.capital is not None else None,
        }
        return Books(
            BOOKS,
            self.windows_ns,
            PerformanceRules(**(measured | dict(self.measured))),
            tick_ns=self.tick,
            flat=BOOKS if self.start_flat else BOOKS[1:],
            pairs=self.pairs,
        )

    def fold2(self) -> DeploymentFold:
        subjects = Subjects(
            deployment="d",
            tenant="t",
            active=Artifact("v7", "7" * 64),
            previous=Artifact("v6", "6" * 64),
            shadows={"shadow": Artifact("v8", "8" * 64)},
            config_sha256="c" * 64,
        )
        grids = Grids(self.tick, self.evaluation)
        shortest = {f.name: self.grid.schedule(f.every_ns) for f in BY_NAME.values() if not f.ticks}
        money = {f.name for f in BY_NAME.values() if f.unit == "money"}
        policy = Policy("p", self.rules, "f" * 64).bind(grids, shortest, money)
        return DeploymentFold(
            self.grid,
            tuple(sources(self.scope)),
            Catalogue(self.scope),
            self.windows_ns,
            self.books(),
            Decider(policy, subjects, grids, self.calendar),
        )


@dataclass(frozen=True)
class Rows:
    """Feature and order rows sorted by effective time, with the scores of the features."""

    features: Table
    orders: Table
    scores: dict[str, Scores]

    def part(self, low: int, high: int) -> tuple[dict[str, Table], dict[str, Scores]]:
        """Rows with `low` <= effective time < `high`."""
        mine, orders = (_between(t["eff"], low, high) for t in (self.features, self.orders))
        tables = {"features": self.features.take(mine), "orders": self.orders.take(orders)}
        scores = {role: s.take(mine) for role, s in self.scores.items()}
        return {name: table for name, table in tables.items() if len(table)}, scores

    def of(self, task: int, tasks: int) -> Rows:
        """The rows of one task: those of its symbols."""
        mine = np.flatnonzero(self.features["symbol"] % tasks == task)
        homes = [SYMBOLS.index(report.symbol) % tasks for report in self.orders["report"]]
        orders = np.flatnonzero(np.array(homes, int) == task)
        scores = {role: s.take(mine) for role, s in self.scores.items()}
        return Rows(self.features.take(mine), self.orders.take(orders), scores)


def _between(eff: np.ndarray, low: int, high: int) -> slice:
    return slice(int(np.searchsorted(eff, low)), int(np.searchsorted(eff, high)))


def made_up(seed: int, seconds: float = 20.0, n: int = 300, fills: int = 40) -> Rows:
    """Rows of `seconds`: many on instants and pane boundaries, some equal in time, all fates, all answers."""
    rng = np.random.default_rng(seed)
    eff = START + np.sort(_times(rng, seconds, n))
    symbol = rng.integers(0, len(SYMBOLS), n).astype(np.int32)
    middle = 100.0 + np.cumsum(rng.normal(0, 0.02, n))
    spread = rng.choice([0.01, 0.02, 0.05], n)
    quoted = rng.random(n) > 0.1
    fate = rng.choice([Fate.ACCEPTED] * 20 + [Fate.REORDERED, Fate.LATE, Fate.DUPLICATE, Fate.REJECTED], n)
    features = Table(
        {
            "offset": np.arange(n, dtype=np.int64),
            "eff": eff,
            "ts": eff - rng.integers(0, 3, n),
            "fate": fate.astype(np.int8),
            "reason": np.where(fate == Fate.REJECTED, rng.integers(1, 4, n), 0).astype(np.int8),
            "symbol": symbol,
            "symbol_key": np.array([hash64(s.encode()) for s in SYMBOLS], np.uint64)[symbol],
            "sample_key": hash64_many([f"x{i}" for i in range(n)]),
            "values": rng.choice([0.0, 1.0, 5.0, np.nan, np.inf], (n, 2)) + rng.normal(size=(n, 2)),
            "bid": np.where(quoted, np.round(middle - spread / 2, 2), np.nan),
            "ask": np.where(quoted, np.round(middle + spread / 2, 2), np.nan),
            "price": np.where(rng.random(n) > 0.5, np.round(middle, 2), np.nan),
            "served": rng.choice([0, 1, 1, 1, 2], n).astype(np.int8),
            "served_latency": rng.choice([-1, 1_000, 5 * MS, 600 * MS, 2**63 - 1], n).astype(np.int64),
        }
    )
    orders = _orders(rng, seconds, fills, features)
    features, orders = _stamped(rng, features), _stamped(rng, orders)
    scores = _scores(rng, n)
    recorded = _recorded(np.random.default_rng([seed, n]), scores["active"].value)
    lookups = np.random.default_rng([seed, n, 1]).integers(0, 9, n)
    store = {"store_lookups": lookups, "store_hits": lookups * 2 // 3}
    keys = combine(features["symbol_key"], features["sample_key"])
    features = features.with_columns(dedupe_key=keys)
    return Rows(features.with_columns(served_prediction=recorded, **store), orders, scores)


def _recorded(rng: np.random.Generator, again: np.ndarray) -> np.ndarray:
    """What production answered: mostly what comes out again, sometimes nearly, else another value or none."""
    off = rng.choice([0.0] * 6 + [1e-6, 1e-3, np.nan], again.size)
    return np.where(np.isnan(again), 0.5, again + off * rng.normal(size=again.size))


def _stamped(rng: np.random.Generator, rows: Table) -> Table:
    """Some rows of a log that stamps none, some behind their input's front."""
    lag = rng.choice([-3 * MS, 0, 40 * MS, 2 * S], len(rows))
    behind = rng.choice([-500 * MS, -200 * MS, -150 * MS, 0, 3 * S], len(rows))
    return rows.with_columns(
        record_ts=np.where(rng.random(len(rows)) < 0.2, NO_TIME, rows["ts"] + lag),
        bound_before=np.where(rng.random(len(rows)) < 0.1, NO_TIME, rows["ts"] + behind),
    )


def _times(rng: np.random.Generator, seconds: float, n: int) -> np.ndarray:
    times = rng.integers(0, int(seconds * S), n)
    step = rng.choice([1, MS, 100 * MS, S, 5 * S], n)
    return times // step * step


def _orders(rng: np.random.Generator, seconds: float, n: int, features: Table) -> Table:
    eff = START + np.sort(_times(rng, seconds, n))
    reports = np.empty(n, object)
    for i in range(n):
        # Every fifth repeats an execution of before: the ledger knows it, however long ago it was.
        known = i >= 10 and i % 5 == 0
        reports[i] = reports[int(rng.integers(0, i))] if known else _report(rng, i, int(eff[i]), features)
    fate = rng.choice([Fate.ACCEPTED] * 8 + [Fate.LATE_APPLIED, Fate.DUPLICATE], n).astype(np.int8)
    return Table(
        {
            "offset": np.arange(n, dtype=np.int64),
            "eff": eff,
            "ts": eff,
            "fate": fate,
            "reason": np.zeros(n, np.int8),
            "dedupe_key": execution_keys(reports),
            "symbol_key": np.array([hash64(report.symbol.encode()) for report in reports], np.uint64),
            "report": reports,
        }
    )


def execution_keys(reports: Iterable[ExecutionReport]) -> np.ndarray:
    """The column by which the ledger knows executions."""
    return np.array([execution_key(each.account, each.symbol, each.exec_id) for each in reports], np.uint64)


def _report(rng: np.random.Generator, i: int, ts: int, features: Table) -> ExecutionReport:
    row = int(np.searchsorted(features["eff"], ts + rng.integers(-2 * S, 2 * S))) % len(features)
    quantity = Decimal(int(rng.integers(1, 400))) / 10
    price = Decimal(str(round(100 + float(rng.normal(0, 0.5)), 2)))
    return ExecutionReport(
        order_id=f"o{i}",
        exec_id=f"e{i}",
        ts_ns=ts,
        symbol=SYMBOLS[int(features["symbol"][row])],
        kind="new" if rng.random() < 0.3 else "fill",
        feature_event_id=None if rng.random() < 0.1 else f"x{row}" if rng.random() < 0.8 else "nowhere",
        tags=Tags(inference_latency_ms=float(rng.choice([-1.0, 0.4, 30.0]))) if rng.random() < 0.5 else None,
        side=str(rng.choice(["buy", "sell"])),
        last_quantity=quantity,
        last_price=price,
        fee=Decimal("0.37"),
        strategy="mine" if rng.random() < 0.9 else "theirs",
    )


def _scores(rng: np.random.Generator, n: int) -> dict[str, Scores]:
    base = rng.normal(size=n)
    scores = {}
    for role, noise in (("active", 0.0), ("shadow", 3.0)):
        status = rng.choice([ScoreStatus.OK] * 15 + list(ScoreStatus), n).astype(np.int8)
        value = np.where(status == ScoreStatus.OK, base + noise * rng.normal(size=n), np.nan)
        latency = rng.choice([UNMEASURED_NS, 50_000, 30 * MS], n).astype(np.int64)
        scores[role] = Scores(value, status, latency)
    return scores


@dataclass
class Told:
    """What came out of both folds."""

    events: bytes
    values: list[Value]
    totals: dict[str, list[int]]
    latches: dict[str, str] = field(default_factory=dict)


def cuts(rng: np.random.Generator, low: int, high: int, steps: int) -> list[int]:
    """Rising watermarks from above `low` to `high`, some of them on instants."""
    inner = rng.integers(low + 1, high, steps)
    inner[::3] -= inner[::3] % (100 * MS)
    return sorted({*inner.tolist(), high} - {low})


def fold1(
    house: House,
    rows: Rows,
    end: int,
    watermarks: Sequence[int],
    task: int = 0,
    restart: frozenset[int] = frozenset(),
) -> Iterator[list[Partial]]:
    """What a task says after each watermark; after those in `restart` it goes on from its records alone."""
    fold, store, low = house.fold1(task), {}, 0
    for watermark in watermarks:
        tables, scores = rows.part(low, watermark)
        said = fold.fold(tables, scores, watermark, idle=False)
        progress = fold.progress(watermark, idle=False)
        low = watermark
        keep(store, fold.records())
        assert not fold.records(), "nothing changed since"
        if watermark in restart:
            fold = house.fold1(task)
            fold.restore(store, watermark)
        yield [decode(encode(partial)) for partial in [*said, *([progress] if progress else [])]]
    yield [fold.finish(end, idle=False)]


def keep(store: dict[str, bytes], records: Mapping[str, bytes | None]) -> None:
    """What a compacted topic does."""
    for key, value in records.items():
        if value is None:
            store.pop(key, None)
        else:
            store[key] = value


def fold2(
    house: House,
    said: Mapping[int, Sequence[Partial]],
    finals: Mapping[int, Partial],
    end: int,
    missing: Mapping[int, frozenset[int]] | None = None,
    restart: frozenset[int] = frozenset(),
) -> Told:
    """Evaluate every instant from the first on, then take the final words as of `end`."""
    fold, store = house.fold2(), {}
    waiting = {task: deque(partials) for task, partials in said.items()}
    firsts = [p.first for partials in said.values() for p in partials if p.first is not None]
    events = []
    for at in range(min(firsts), end + 1, house.tick) if firsts else ():
        absent = (missing or {}).get(at, frozenset())
        parts = {task: _up_to(queue, at) for task, queue in waiting.items() if task not in absent}
        fold.evaluate(at, parts, absent)
        events += fold.decisions
        fold.decisions = []
        keep(store, fold.records())
        if at in restart:
            fold = house.fold2()
            assert fold.restore(store) == []
    fold.snapshot(end, {task: [*_up_to(queue, end), finals[task]] for task, queue in waiting.items()})
    return Told(
        b"\n".join(encode_event(event) for event in events),
        list(fold.values()),
        {key: [count[name] for name in count.spec] for key, count in fold.totals.items()},
        {name: str(state) for name, state in fold.decider.latches.states.items()},
    )


def _up_to(queue: deque[Partial], at: int) -> list[Partial]:
    taken = []
    while queue and queue[0].at <= at:
        taken.append(queue.popleft())
    return taken


def told(
    house: House, rows: Rows, end: int, *, tasks: int = 1, seed: int = 0, steps: int = 30, **more: Any
) -> Told:
    """Both folds over `rows`, cut into `steps` watermarks by `seed`, split into `tasks` by symbol."""
    rng = np.random.default_rng(seed)
    said, finals = {}, {}
    for task in range(tasks):
        watermarks = cuts(rng, START - S, end, steps)
        *spoken, [final] = fold1(
            house, rows.of(task, tasks), end, watermarks, task, more.get("restart1", frozenset())
        )
        said[task], finals[task] = [p for partials in spoken for p in partials], final
    return fold2(house, said, finals, end, restart=more.get("restart2", frozenset()))
