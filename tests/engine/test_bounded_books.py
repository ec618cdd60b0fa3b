"""Books and orders keep what symbols, open orders and the horizon ask for, however long they run."""

from __future__ import annotations

import dataclasses
import gc
import tracemalloc
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import pytest
from engine_cases import ROLES, START, SYMBOLS, House, S, execution_keys, keep
from msgspec.structs import replace

from monitor.engine.measures.orders import memories
from monitor.engine.order_rules import OrderRules
from monitor.engine.rows import UNMEASURED_NS, Scores
from monitor.engine.scope import Scope
from monitor.engine.task import TaskFold
from monitor.event_time.timing import Fate
from monitor.trading.lifecycle import LifecycleRules
from monitor.wire.keys import hash64
from monitor.wire.messages import ExecutionReport, Undoes
from monitor.wire.table import Table

HORIZON_S = 8
ORDERS_A_SECOND = 10
KINDS = ("new", "ack", "partial_fill", "fill", "correct", "bust")
"""Of each order, a tenth of a second apart; every seventh stays unfilled until it is cancelled."""


KEPT = ("exec", "memory/order_flow")
"""State that hangs on the horizon: what orders did, and those that ended."""

LINES = ("ledger", "paper", "marks")
"""State of a symbol, one record each."""


@dataclass(frozen=True)
class Limited(House):
    """Books and orders alone; what ended is remembered as long as executions are."""

    @property
    def scope(self) -> Scope:
        rules = LifecycleRules(horizon_ns=self.exec_horizon_ns, ended_limit=10**6, open_limit=10**6)
        return dataclasses.replace(super().scope, orders=OrderRules(lifecycle=rules))


@dataclass
class Desk:
    """A task that has books and orders alone, second by second."""

    horizon_s: int = HORIZON_S
    fold: TaskFold = field(init=False)
    store: dict[str, bytes] = field(default_factory=dict)
    second: int = 0
    known: int = 0

    def __post_init__(self) -> None:
        house = Limited(sources=(), exec_horizon_ns=self.horizon_s * S)
        self.fold = dataclasses.replace(house, memories=lambda: memories(house.scope)).fold1()

    def run(self, seconds: int) -> None:
        """Fold so many seconds more, each stored."""
        for _ in range(seconds):
            tables = {"features": self._features(), "orders": self._orders()}
            n = len(tables["features"])
            values = np.random.default_rng(self.second).normal(size=n)
            scores = {
                role: Scores(values * sign, np.zeros(n, np.int8), np.full(n, UNMEASURED_NS))
                for role, sign in zip(ROLES, (1, -1), strict=True)
            }
            self.second += 1
            self.fold.fold(tables, scores, START + self.second * S, idle=False)
            keep(self.store, self.fold.records())

    def stored(self, kind: str) -> int:
        """Bytes of state of a kind: how its keys begin."""
        return sum(len(raw) for key, raw in self.store.items() if key.startswith(f"{kind}/"))

    def _features(self) -> Table:
        n = 2 * len(SYMBOLS)
        symbol = np.arange(n, dtype=np.int32) % len(SYMBOLS)
        eff = START + self.second * S + np.arange(n, dtype=np.int64) * (S // n)
        low = np.full(n, 100.0 + self.second % 7 * 0.01)
        return Table(
            {
                "offset": np.arange(n, dtype=np.int64) + n * self.second,
                "eff": eff,
                "ts": eff,
                "fate": np.full(n, Fate.ACCEPTED, np.int8),
                "reason": np.zeros(n, np.int8),
                "symbol": symbol,
                "symbol_key": np.array([hash64(s.encode()) for s in SYMBOLS], np.uint64)[symbol],
                "bid": low,
                "ask": low + 0.01,
                "price": low,
            }
        )

    def _orders(self) -> Table:
        reports = sorted(
            (
                report
                for code, symbol in enumerate(SYMBOLS)
                for number in range(ORDERS_A_SECOND)
                for report in self._reports(symbol, self.second * ORDERS_A_SECOND + number, code)
            ),
            key=lambda each: each.ts_ns,
        )
        column = np.empty(len(reports), object)
        column[:] = reports
        eff = np.array([each.ts_ns for each in reports], np.int64)
        self.known += len(reports)
        return Table(
            {
                "offset": np.arange(len(reports), dtype=np.int64) + self.known,
                "eff": eff,
                "ts": eff,
                "fate": np.full(len(reports), Fate.ACCEPTED, np.int8),
                "reason": np.zeros(len(reports), np.int8),
                "dedupe_key": execution_keys(reports),
                "symbol_key": np.array([hash64(each.symbol.encode()) for each in reports], np.uint64),
                "report": column,
            }
        )

    def _reports(self, symbol: str, number: int, code: int) -> list[ExecutionReport]:
        """All of one order: it never comes back."""
        begin = START + self.second * S + (number % ORDERS_A_SECOND) * (S // 100) + code
        kinds = KINDS if number % 7 else ("new", "ack", "cancel")
        price = Decimal(100 + number % 5)
        made = []
        for step, kind in enumerate(kinds):
            report = ExecutionReport(
                order_id=f"o{number}",
                exec_id=f"{number}.{step}",
                ts_ns=begin + step * (S // 10),
                symbol=symbol,
                kind=kind,
                side="buy" if number % 2 else "sell",
                quantity=Decimal(10),
                strategy="mine",
            )
            if step > 1 and kind != "cancel":
                quantity, fee = Decimal(1 + number % 3), Decimal("0.01")
                report = replace(report, last_quantity=quantity, last_price=price, fee=fee)
            if kind == "correct":
                old = Undoes(side=report.side, last_quantity=quantity, last_price=price, fee=fee)
                report = replace(report, exec_ref_id=f"{number}.2", undoes=old)
            elif kind == "bust":
                report = replace(report, exec_ref_id=f"{number}.3")
            made.append(report)
        return made


def test_state_and_memory_hang_on_the_horizon_not_on_history() -> None:
    desk = Desk()
    desk.run(3 * HORIZON_S)
    tracemalloc.start()
    try:
        desk.run(2 * HORIZON_S)
        gc.collect()
        stored, keys = {kind: desk.stored(kind) for kind in KEPT}, len(desk.store)
        held, _ = tracemalloc.get_traced_memory()
        desk.run(6 * HORIZON_S)
        gc.collect()
        later, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for kind in KEPT:
        assert 0 < desk.stored(kind) <= 1.2 * stored[kind]
    assert max(desk.stored(kind) for kind in LINES) <= 400 * len(SYMBOLS) * len(ROLES)
    assert len(desk.store) <= keys + len(SYMBOLS)
    assert later <= 1.25 * held


def test_a_longer_horizon_keeps_more_executions_and_orders_and_no_more_of_anything_else() -> None:
    short, long = Desk(), Desk(3 * HORIZON_S)
    for desk in (short, long):
        desk.run(6 * HORIZON_S)
    for kind in LINES:
        assert 0 < long.stored(kind) <= 1.05 * short.stored(kind)
    for kind in KEPT:
        assert long.stored(kind) == pytest.approx(3 * short.stored(kind), rel=0.2)
