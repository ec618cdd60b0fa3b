"""What does not fit: positions, executions, forgotten orders, and reports that the filter leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from engine_cases import MS, START, House, Rows, S, execution_keys, made_up, rule, told

from monitor.engine.order_rules import OrderRules
from monitor.engine.scope import Scope
from monitor.event_time.timing import Fate
from monitor.policy.rules import DEPLOYMENT, RECONCILIATION_BREAK, Severity
from monitor.stats.estimate import Estimate, Status
from monitor.trading.lifecycle import LifecycleRules
from monitor.wire.keys import hash64
from monitor.wire.messages import ExecutionReport
from monitor.wire.table import NO_TIME, Table

ALERT = rule(
    RECONCILIATION_BREAK,
    "reconciliation_breaks",
    subject=DEPLOYMENT,
    window=10 * S,
    severity=Severity.CRITICAL,
)
HOUSE = House(rules=(ALERT,))
END = START + 9 * S
Sent = tuple[int, ExecutionReport, Fate]


def report(kind: str, exec_id: str, symbol: str = "AAA", **fields: Any) -> ExecutionReport:
    exact = ("quantity", "price", "last_quantity", "last_price")
    cast = {k: Decimal(v) if k in exact else v for k, v in fields.items()}
    return ExecutionReport(
        order_id=f"o{exec_id}",
        exec_id=exec_id,
        ts_ns=START,
        symbol=symbol,
        kind=kind,  # type: ignore[arg-type]
        **{"strategy": "mine", **cast},
    )


def bought(exec_id: str, quantity: str, symbol: str = "AAA", **more: Any) -> ExecutionReport:
    return report("fill", exec_id, symbol, side="buy", last_quantity=quantity, last_price="100", **more)


def holds(exec_id: str, quantity: str, symbol: str = "AAA", **more: Any) -> ExecutionReport:
    return report("position", exec_id, symbol, quantity=quantity, price="100", **more)


def rows_of(sent: Sequence[Sent]) -> Rows:
    """Features of a second, and these reports at these ms."""
    whole = made_up(3, 1.0, 40, 0)
    n = len(sent)
    reports = np.empty(n, object)
    reports[:] = [each for _, each, _ in sent]
    eff = START + np.array([ms for ms, _, _ in sent], np.int64) * MS
    orders = Table(
        {
            "offset": np.arange(n, dtype=np.int64),
            "eff": eff,
            "ts": eff,
            "fate": np.array([fate for _, _, fate in sent], np.int8),
            "reason": np.zeros(n, np.int8),
            "dedupe_key": execution_keys(reports),
            "symbol_key": np.array([hash64(each.symbol.encode()) for each in reports], np.uint64),
            "report": reports,
            "record_ts": np.full(n, NO_TIME),
            "bound_before": np.full(n, NO_TIME),
        }
    )
    return Rows(whole.features, orders, whole.scores)


def on_time(*reports: ExecutionReport, start_ms: int = 100, step_ms: int = 100) -> list[Sent]:
    return [(start_ms + step_ms * i, each, Fate.ACCEPTED) for i, each in enumerate(reports)]


class Narrow(House):
    """Remembers two open orders of a symbol."""

    @property
    def scope(self) -> Scope:
        return replace(super().scope, orders=OrderRules(LifecycleRules(open_limit=2)))


def read(sent: Sequence[Sent], name: str, house: House = HOUSE, **how: Any) -> Estimate:
    values = told(house, rows_of(sent), END, **how).values
    [found] = [v.estimate for v in values if v.name == name and v.window == 10 * S]
    return found


BREAKS = on_time(
    bought("f1", "1"),
    holds("p1", "1"),
    holds("p2", "3.5", account="a"),
    holds("q1", "-2", "BBB"),
    bought("f2", "0.5"),
    holds("p3", "4"),
    holds("p3", "4"),
    *(holds(f"r{i}", str(i + 1), "CCC") for i in range(9)),
)


@pytest.mark.parametrize("how", [{}, {"tasks": 3, "steps": 70, "seed": 5}])
def test_breaks_are_named_the_first_eight_of_them(how):
    found = read(BREAKS, "reconciliation_breaks", **how)
    assert (found.value, found.n, found.status) == (11, 13, Status.OK)
    said = [tuple(each.values()) for each in found.extra["breaks"]]
    assert said == [
        ("AAA", "a", "p2", "1", "3.5"),
        ("BBB", "", "q1", "0", "-2"),
        *(("CCC", "", f"r{i}", str(i), str(i + 1)) for i in range(6)),
    ]


def test_the_alert_says_what_broke():
    events = told(HOUSE, rows_of(BREAKS), END, steps=9).events.splitlines()
    firing = msgspec.json.decode(events[0])["data"]
    assert firing["rule"] == RECONCILIATION_BREAK
    assert firing["reason"] == (
        "the ledger of AAA (account a) held 1, the position report says 3.5; taken over. And 3 more: see the "
        "evidence."
    )
    assert firing["evidence"]["metric"]["extra"]["breaks"][0] == {
        "symbol": "AAA",
        "account": "a",
        "exec_id": "p2",
        "booked": "1",
        "reported": "3.5",
    }


def test_without_position_reports_there_is_no_break_and_without_rows_no_value():
    found = read(on_time(bought("f1", "1")), "reconciliation_breaks")
    assert (found.value, found.n, found.status, found.extra) == (0, 0, Status.OK, {})


def test_executions_that_cannot_be_brought_together_are_counted_by_what_they_are():
    terms = {"side": "buy", "last_quantity": "1", "last_price": "100"}
    again = bought("f1", "2")
    sent = [
        *on_time(
            bought("f1", "1"),
            bought("f1", "1"),
            again,
            report("bust", "b1", exec_ref_id="nowhere"),
            report("bust", "b2", exec_ref_id="elsewhere", **terms),
            bought("f2", "0.01"),
        ),
        (800, again, Fate.DUPLICATE),
        (900, bought("f1", "1"), Fate.DUPLICATE),
        (950, bought("new", "1"), Fate.DUPLICATE),
    ]
    found = read(sent, "unreconciled_executions")
    assert found.extra == {"unknown_bust": 1, "unreconciled": 1, "conflict": 2, "invalid": 1}
    assert (found.value, found.n, found.status) == (5, 7, Status.OK)
    assert read(sent, "unreconciled_executions", tasks=2, steps=60) == found
    assert read([], "unreconciled_executions").status is Status.INSUFFICIENT


def test_a_conflict_moves_no_book_and_enters_no_other_count():
    clean = on_time(bought("f1", "1"), bought("f2", "2"))
    with_conflicts = [
        *clean[:1],
        (150, bought("f1", "7"), Fate.ACCEPTED),
        *clean[1:],
        (250, bought("f1", "9"), Fate.DUPLICATE),
    ]
    apart = {"unreconciled_executions", "duplicate_events", "disorder"}
    of_all_rows = {"schema_violations", "late_events", "refused_executions"}
    plain, found = (
        {(v.name, v.labels, v.window): v.estimate for v in told(HOUSE, rows_of(sent), END).values}
        for sent in (clean, with_conflicts)
    )
    different = {key[0] for key in plain if plain[key] != found[key]}
    assert different <= apart | of_all_rows


def test_reports_that_the_filter_leaves_out_are_counted():
    theirs = [bought(f"t{i}", "1", strategy="thiers") for i in range(3)]
    found = read([*on_time(bought("f1", "1"), *theirs), (900, theirs[0], Fate.DUPLICATE)], "filtered_orders")
    assert (found.value, found.n, found.extra) == (3, 4, {"share": 0.75})
    everything = read(on_time(*theirs), "filtered_orders")
    assert (everything.value, everything.n, everything.extra) == (3, 3, {"share": 1.0})
    assert read([], "filtered_orders").status is Status.INSUFFICIENT


def test_open_orders_that_fell_out_of_memory_are_counted():
    orders = [report("new", f"n{i}", side="buy", quantity="1", order_type="limit") for i in range(4)]
    found = read(on_time(*orders), "forgotten_orders")
    assert (found.value, found.n, found.status) == (0, 4, Status.OK)
    found = read(on_time(*orders), "forgotten_orders", house=Narrow())
    assert (found.value, found.n, found.status) == (2, 4, Status.OK)
