"""`OrderFlow`: the deployment's orders from report to report, and what the market stood at.

Which reports are the deployment's, the scope knows; what a report changes, `trading.lifecycle`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.engine.memories.mids import Mids, mid_of
from monitor.engine.order_rules import TAGS, OrderRules
from monitor.engine.scope import Batch, Scope
from monitor.event_time.timing import FOLDED
from monitor.trading.lifecycle import Lifecycle
from monitor.trading.orders import NO_ORDERS, Changes, Order
from monitor.trading.reject_reasons import RejectReasons
from monitor.wire.table import Table

ORDER_COUNTS, ENDED_ORDERS, FILL_COSTS = "order_counts", "ended_orders", "fill_costs"
ACK_TIMES, FILL_TIMES = "order_ack_times", "order_fill_times"
"""Names of the derived rows."""

BPS = 10_000.0

_OF_REPORTS = (
    "reports",
    "new",
    "repeated",
    "unknown",
    "found",
    "accepted",
    "gaps",
    "closed",
    "beyond",
    "forgotten",
    "unmeasured",
)
_OF_ORDERS = ("rejected", "refused_unseen", "complete", "tagged", "mismatched")
_MISSING, _REJECT = "missing/", "reject/"
_FILLS = ("partial_fill", "fill")


def counted(rules: OrderRules) -> tuple[str, ...]:
    """Names of the counters of orders: of `lifecycle.Changes`; `rejected`, and `refused_unseen` of these,
    whose `new` is not known; new orders that are `complete` in their tags, say their model version (`tagged`)
    and say another one than the active's (`mismatched`); new orders by tag that is missing; rejected ones by
    reason."""
    missing = (_MISSING + tag for tag in TAGS)
    return (*_OF_REPORTS, *_OF_ORDERS, *missing, *(_REJECT + reason for reason in rules.reasons))


class OrderFlow:
    """Derives five kinds of rows.

    `order_counts`: `count` i8, a row for each of `counted`. `order_ack_times`, `order_fill_times`: `latency`
    i8, ns. `ended_orders`: `sign` i1, `order_type` i1 (place among `OrderRules.order_types`), `ordered` f8,
    `filled` f8 (units), `whole` ?: -1 takes back what +1 said. `fill_costs`, a row a fill, all in bps and NaN
    where not known: `delay`, of the mid at the fill against that at the order's `new`, `spread`, of the
    price against the mid at the fill, both against the side and of the mid at `new`, with `weight`, the
    notional at that; `fee` with `paid`, of the notional paid.

    A mid is that as of the row, as in forward returns. Of rows folded behind their time none is known.

    Memory and state: orders as `Lifecycle` keeps them, about 150 bytes each, and 24 bytes a symbol.
    """

    key = "order_flow"

    def __init__(self, scope: Scope) -> None:
        rules = scope.orders
        self._mine, self._rules, self._forward = scope.mine, rules, scope.forward
        self._lifecycle = Lifecycle(rules.lifecycle)
        self._reasons = RejectReasons(rules.reject_reasons)
        self._names = counted(rules)
        self._mids = Mids(scope.forward.stale_ns if scope.forward is not None else 0)

    def __len__(self) -> int:
        """Orders remembered."""
        return len(self._lifecycle)

    def take(self, batch: Batch) -> Mapping[str, Table]:
        """Rows of one slice of time, in order."""
        quotes = self._quotes(batch)
        derived: Mapping[str, Table] = {}
        orders = batch.streams.get("orders")
        if orders is not None:
            derived = self._fold(orders, quotes)
        self._mids.take(quotes)
        if len(quotes[1]):
            self._mids.forget(int(quotes[1][-1]))
        return derived

    def _quotes(self, batch: Batch) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float64]]:
        features = batch.features
        if self._forward is None or not len(features):
            return np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0)
        mid = mid_of(features["bid"], features["ask"], self._forward.max_spread)
        quoted = np.flatnonzero(~np.isnan(mid))
        return features["symbol_key"][quoted], features["eff"][quoted], mid[quoted]

    def _fold(
        self, orders: Table, quotes: tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float64]]
    ) -> dict[str, Table]:
        reports = orders["report"]
        entering = np.flatnonzero(np.isin(orders["fate"], FOLDED)).tolist()
        rows = [row for row in entering if reports[row].kind not in NO_ORDERS and self._mine(reports[row])]
        if not rows:
            return {}
        ts, eff = orders["ts"][rows].tolist(), orders["eff"][rows].tolist()
        changes = Changes()
        tags = dict.fromkeys((*_OF_ORDERS, *(_MISSING + tag for tag in TAGS)), 0)
        asked: list[int] = []
        """Which of `rows` ask for a mid: new orders and fills."""
        touched: list[Order] = []
        for at, row in enumerate(rows):
            report = reports[row]
            order, placed = self._lifecycle.apply(report, ts[at], eff[at], changes)
            if placed:
                self._read_tags(report, tags)
            if placed or report.kind in _FILLS:
                asked.append(at)
                touched.append(order)
        self._lifecycle.sweep(eff[-1])
        derived = self._tables(changes, tags)
        if asked:
            places = np.array(rows)[asked]
            found = self._mids.at(quotes, (orders["symbol_key"][places], orders["eff"][places]))
            found[orders["ts"][places] != orders["eff"][places]] = np.nan
            derived |= self._costs([reports[place] for place in places.tolist()], touched, found.tolist())
        return derived

    def _read_tags(self, report: Any, tags: dict[str, int]) -> None:
        said = report.tags
        lacking = [tag for tag in TAGS if said is None or getattr(said, tag) in (None, "")]
        tags["complete"] += not lacking
        for tag in lacking:
            tags[_MISSING + tag] += 1
        if TAGS[0] not in lacking:
            tags["tagged"] += 1
            tags["mismatched"] += said.model_version != self._rules.model_version

    def _tables(self, changes: Changes, tags: dict[str, int]) -> dict[str, Table]:
        counts = tags | {name: getattr(changes, name) for name in _OF_REPORTS}
        counts |= dict.fromkeys((_REJECT + reason for reason in self._rules.reasons), 0)
        for reason, seen in changes.rejects:
            counts["rejected"] += 1
            counts["refused_unseen"] += not seen
            counts[_REJECT + self._rules.reasons[self._reasons.index(reason)]] += 1
        derived = {ORDER_COUNTS: Table({"count": np.array([counts[n] for n in self._names], np.int64)})}
        for name, times in ((ACK_TIMES, changes.acks), (FILL_TIMES, changes.fills)):
            if times:
                derived[name] = Table({"latency": np.array(times, np.int64)})
        if changes.ended:
            ended = changes.ended
            derived[ENDED_ORDERS] = Table(
                {
                    "sign": np.array([each.sign for each in ended], np.int8),
                    "order_type": np.array([each.order_type for each in ended], np.int8),
                    "ordered": np.array([each.ordered for each in ended], np.float64),
                    "filled": np.array([each.filled for each in ended], np.float64),
                    "whole": np.array([each.whole for each in ended], np.bool_),
                }
            )
        return derived

    def _costs(self, reports: list[Any], orders: list[Order], mids: list[float]) -> dict[str, Table]:
        """Keeps the mid at new orders, and says what fills cost against it."""
        fills: list[tuple[float, ...]] = []
        for report, order, mid in zip(reports, orders, mids, strict=True):
            if report.kind == "new":
                order.mid = mid
            else:
                multiplier, currency = self._rules.instrument(report.symbol)
                charged = report.fee is not None and report.fee_currency in (None, currency)
                fee = float(report.fee) if charged else np.nan
                side = 1.0 if report.side == "buy" else -1.0
                units = float(report.last_quantity) * multiplier
                fills.append((side, units, float(report.last_price), order.mid, mid, fee))
        if not fills:
            return {}
        side, units, price, arrival, at_fill, fee = np.array(fills).T
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            known = ~np.isnan(arrival + at_fill)
            arrival = np.where(known, arrival, np.nan)
            paid = units * np.abs(price)
            columns = {
                "delay": side * (at_fill - arrival) / arrival * BPS,
                "spread": side * (price - at_fill) / arrival * BPS,
                "weight": units * arrival,
                "fee": fee / paid * BPS,
                "paid": paid,
            }
        if not self._rules.by_notional:
            for weight in ("weight", "paid"):
                columns[weight] = np.where(np.isnan(columns[weight]), np.nan, 1.0)
        return {FILL_COSTS: Table(columns)}

    @property
    def due(self) -> int | None:
        """Nothing waits: what is remembered ends with reports."""
        return None

    def expire(self, until: int) -> Mapping[str, Table]:
        """Nothing falls due."""
        return {}

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        return self._lifecycle.records() | {f"mids/{k}": d for k, d in self._mids.records().items()}

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from all records that stand.

        Raises:
            StateError: one cannot be read.
        """
        prefix = "mids/"
        self._mids.restore({k.removeprefix(prefix): d for k, d in records.items() if k.startswith(prefix)})
        self._lifecycle.restore({k: d for k, d in records.items() if not k.startswith(prefix)})
