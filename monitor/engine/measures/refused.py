"""Order records that had to be refused, and filters that let nothing through: what keeps the real book blind.

A book that lacks an execution looks as sound as any other. So these have alerts of their own
(`daemon/order_scope.py`), and name what they count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from monitor.engine.family import Series, counts_of, estimate, nothing
from monitor.engine.measures.errors import read_of
from monitor.engine.measures.orders import FILTER, FILTERED, MINE, unsure
from monitor.engine.rings import WindowView
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.event_time.timing import FOLDED, Fate
from monitor.stats.counts import Counts
from monitor.stats.earliest import Earliest
from monitor.stats.estimate import Estimate, Status
from monitor.transport.contract import ORDERS
from monitor.wire.claims import Claim
from monitor.wire.dead_letters import REASON_CODES, REASONS
from monitor.wire.messages import ExecutionReport
from monitor.wire.table import Table

_KEY, _FIRST, _THEIRS = "refused", "refused_first", "filtered_first"
_NAMED = 8
_DETAIL_CHARS = 200
_QUARANTINED = REASON_CODES["quarantined"]
TEXTS = ("reason", "detail", "symbol", "exec_id")
"""What `extra.refused` says of each."""
WHOSE = ("symbol", "exec_id", "account", "strategy")
"""What `extra.first` says of a report that was filtered out."""


def sources(scope: Scope) -> Iterator[Source]:
    """Refused order records by reason, the first of them, and the first report that the filter left out."""
    yield Source(_KEY, ORDERS, plain(Counts, REASONS[1:]), _feed(scope))
    yield Source(_FIRST, ORDERS, plain(Earliest, _NAMED), _feed_first(scope))
    yield Source(_THEIRS, ORDERS, plain(Earliest, 1), _feed_theirs(scope))


def _feed(scope: Scope) -> Callable[[Counts, Batch], None]:
    def feed(statistic: Counts, batch: Batch) -> None:
        codes = [code for _, code, _ in _refused(scope, batch.streams[ORDERS])]
        if codes:
            statistic.update_all(np.bincount(codes, minlength=len(REASONS))[1:])

    return feed


def _feed_first(scope: Scope) -> Callable[[Earliest, Batch], None]:
    def feed(statistic: Earliest, batch: Batch) -> None:
        rows = batch.streams[ORDERS]
        found = [
            (
                int(rows["eff"][row]),
                (REASONS[code], rows["detail"][row][:_DETAIL_CHARS], claim.symbol or "", claim.exec_id or ""),
            )
            for row, code, claim in _refused(scope, rows)
        ]
        if found:
            statistic.update(found)

    return feed


def _feed_theirs(scope: Scope) -> Callable[[Earliest, Batch], None]:
    def feed(statistic: Earliest, batch: Batch) -> None:
        rows = batch.streams[ORDERS]
        for row in np.flatnonzero(np.isin(rows["fate"], FOLDED)).tolist():
            report = rows["report"][row]
            eff = int(rows["eff"][row])
            if statistic.rows and eff > statistic.rows[0][0]:
                return
            if not scope.mine(report):
                names = (report.symbol, report.exec_id, report.account or "", report.strategy or "")
                statistic.update([(eff, names)])

    return feed


def _refused(scope: Scope, rows: Table) -> Iterator[tuple[int, int, Claim]]:
    """Row, reason and names of records that say nothing to any book and may be the deployment's."""
    for row in np.flatnonzero(rows["fate"] <= Fate.QUARANTINED).tolist():
        code, claim = int(rows["reason"][row]), Claim()
        report: ExecutionReport | None = rows["report"][row]
        if report is not None:
            if not scope.mine(report):
                continue
            claim = Claim(report.symbol, report.exec_id, report.account, report.strategy)
        elif (said := rows["claim"][row]) is not None:
            if not _maybe_mine(scope, said):
                continue
            claim = said
        yield row, code or _QUARANTINED, claim


def _maybe_mine(scope: Scope, claim: Claim) -> bool:
    """Whether a report with these names passes the filter."""
    report = ExecutionReport(
        order_id="",
        exec_id="-",
        ts_ns=1,
        symbol="-",
        kind="new",
        account=claim.account,
        strategy=claim.strategy,
    )
    return scope.mine(report)


def refused_executions(scope: Scope) -> Series:
    """Records of the order stream that were refused, or quarantined: what they say is in no book, so the real
    one may lack an execution. Those of other accounts or strategies, as far as they can be read, are not
    counted.

    `n`: order records read; where rows of any stream came and none was refused it is 0, and `ok`.
    `extra.reasons`: how many by reason; `extra.refused`: the first eight by time, each with reason, detail
    (200 characters), and symbol and `exec_id` where they can be read. Unknown where there is none, while the
    window reaches back to before a changed configuration began the statistics anew (`extra.begun_anew`).
    """

    def value(view: WindowView) -> Estimate:
        counts = counts_of(view, _KEY)
        found = counts.total(counts.spec) if counts is not None else 0
        if not found and not view.whole:
            return unsure(view)
        read = {stream: read_of(view, stream) for stream in scope.streams}
        if not any(read.values()):
            return nothing(view)
        extra: dict[str, Any] = {}
        first: Earliest | None = view.statistic(_FIRST)
        if counts is not None and found:
            extra["reasons"] = {reason: counts[reason] for reason in counts.spec if counts[reason]}
        if first is not None and first.rows:
            extra["refused"] = [dict(zip(TEXTS, texts, strict=True)) for _, texts in first.rows]
        return Estimate(
            value=found,
            n=read[ORDERS],
            status=Status.OK,
            from_ns=view.from_ns,
            to_ns=view.to_ns,
            extra=extra,
        )

    yield (), value


def filtered_out(scope: Scope) -> Series:
    """Execution reports in the window that `filter` left out, where it has let none through since it was set;
    0 once it has, for good. A misspelt filter shows here: its real book is flat, and looks sound.

    That one was let through is remembered beyond every window, over restarts, and over changes of the
    configuration other than of the filter. `n`: execution reports of the stream, duplicates apart.
    `extra.first`: symbol, `exec_id`, account and strategy of the first that was left out.
    """

    def value(view: WindowView) -> Estimate:
        counts, ever = counts_of(view, FILTER), view.lasting.get(FILTER)
        if counts is None or not (n := counts.total((MINE, FILTERED))):
            return nothing(view)
        if counts[MINE] or (ever is not None and ever[MINE]):
            return estimate(view, 0, n)
        first: Earliest | None = view.statistic(_THEIRS)
        extra = {"first": dict(zip(WHOSE, first.rows[0][1], strict=True))} if first and first.rows else {}
        return estimate(view, counts[FILTERED], n, extra=extra)

    yield (), value
