"""One window over rows written by hand, through both halves of the way: a task's fold, then the evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from engine_cases import START, SYMBOLS, House, S, execution_keys

from monitor.engine.evidence import Evidence
from monitor.engine.family import Series
from monitor.engine.measures import agreement, errors, fills, latency
from monitor.engine.measures import orders as of_orders
from monitor.engine.memories.order_flow import OrderFlow
from monitor.engine.memories.orders import NewOrders
from monitor.engine.rings import WindowView
from monitor.engine.rows import Scores
from monitor.engine.scope import Scope
from monitor.event_time.timing import Fate
from monitor.stats.estimate import Estimate
from monitor.wire.keys import hash64_many
from monitor.wire.messages import ExecutionReport, Tags
from monitor.wire.table import NO_TIME, Table

MINUTE = 60 * S


def _accepted(eff: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of rows without record timestamp, that came in order of these times and were taken."""
    n = len(eff)
    return {
        "offset": np.arange(n),
        "eff": eff,
        "ts": eff,
        "record_ts": np.full(n, NO_TIME),
        "bound_before": np.full(n, NO_TIME),
        "fate": np.full(n, Fate.ACCEPTED, np.int8),
        "reason": np.zeros(n, np.int8),
    }


def features(at: Sequence[int], **columns: Any) -> Table:
    """Feature rows at these times (ns since START, sorted), all good and in order unless said otherwise."""
    n = len(at)
    eff = START + np.array(at, np.int64)
    defaults: dict[str, Any] = {
        **_accepted(eff),
        "symbol": np.zeros(n, np.int32),
        "event_id": np.array([f"x{i}" for i in range(n)], object),
        "served": np.zeros(n, np.int8),
        "served_latency": np.full(n, -1),
    }
    given = defaults | {name: np.asarray(column) for name, column in columns.items()}
    given["symbol_key"] = hash64_many([SYMBOLS[code] for code in given["symbol"]])
    given["sample_key"] = hash64_many(list(given["event_id"]))
    empty = {name: np.full(n, np.nan) for name in ("bid", "ask", "price", "served_prediction")}
    return Table({**empty, "values": np.zeros((n, 2)), **given})


def order(at: int, event: str | None, **fields: Any) -> ExecutionReport:
    """A new order (ns since START) that names a feature event, of the first symbol unless said otherwise."""
    tagged = fields.pop("tagged", None)
    known: dict[str, Any] = {
        "order_id": f"o{at}",
        "exec_id": f"e{at}-{event}",
        "symbol": SYMBOLS[0],
        "kind": "new",
        "strategy": "mine",
        "tags": None if tagged is None else Tags(inference_latency_ms=tagged),
    }
    return ExecutionReport(ts_ns=START + at, feature_event_id=event, **(known | fields))


def orders(reports: Sequence[ExecutionReport], **columns: Any) -> Table:
    """Order rows of these reports, in order of time."""
    eff = np.array([report.ts_ns for report in reports], np.int64)
    held = np.empty(len(reports), object)
    held[:] = reports
    defaults: dict[str, Any] = {
        **_accepted(eff),
        "dedupe_key": execution_keys(reports),
        "symbol_key": hash64_many([report.symbol for report in reports]),
        "report": held,
    }
    return Table(defaults | {name: np.asarray(column) for name, column in columns.items()})


def scores(status: Sequence[int], latency_ns: Sequence[int] | None = None) -> dict[str, Scores]:
    """The same answers of both roles."""
    of = np.array(status, np.int8)
    measured = np.full(len(of), 50_000) if latency_ns is None else np.array(latency_ns, np.int64)
    one = Scores(np.where(of == 0, 0.5, np.nan), of, measured)
    return {"active": one, "shadow": one}


def house_of(*windows_ns: int) -> House:
    """A deployment that has the statistics of latency, errors, agreement and orders alone."""
    scope = House(windows_ns=windows_ns).scope
    kinds = tuple(
        source for group in (latency, errors, agreement, of_orders, fills) for source in group.sources(scope)
    )
    return House(windows_ns=windows_ns, sources=kinds, memories=lambda: (NewOrders(scope), OrderFlow(scope)))


def window(
    end: int,
    feature_rows: Table | None = None,
    order_rows: Table | None = None,
    answers: dict[str, Scores] | None = None,
    window_ns: int = 5 * MINUTE,
) -> WindowView:
    """The window as of `end` (ns since START)."""
    house = house_of(window_ns)
    fold = house.fold1()
    tables = {"features": feature_rows, "orders": order_rows}
    given = {name: table for name, table in tables.items() if table is not None}
    answers = answers or (scores([0] * len(feature_rows)) if feature_rows is not None else {})
    said = fold.fold(given, answers, START + end, idle=False)
    evidence = Evidence(house.grid, house.sources or (), house.windows_ns)
    final = fold.finish(START + end, idle=False)
    evidence.fold(START + end, {0: [*said, final]}, known=True, complete=True)
    return evidence.window(window_ns, S)


def value(view: WindowView, metric: Callable[[Scope], Series], **labels: str) -> Estimate:
    """The metric's value in that window."""
    wanted = tuple(sorted(labels.items()))
    found = [read for of, read in metric(House().scope) if of == wanted]
    assert len(found) == 1, f"{wanted} is not one series"
    return found[0](view)
