"""Orders: how many there are, how they are answered, whether they say what they should, what of them is
missing.

A count of orders or reports of which none is of interest is 0, resting on those there were; without any there
is no value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.engine.family import Series, Value, counts_of, estimate, nothing, share, sorted_labels
from monitor.engine.memories.order_flow import ORDER_COUNTS, OrderFlow, counted
from monitor.engine.memory import Memory
from monitor.engine.order_rules import TAGS
from monitor.engine.rings import WindowView
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.engine.task_books import BREAK_TEXTS
from monitor.event_time.timing import FOLDED, Fate
from monitor.stats.counts import Counts
from monitor.stats.earliest import Earliest
from monitor.stats.estimate import BEGUN_ANEW, Estimate, Status
from monitor.stats.integer_counts import stacked
from monitor.trading.ledger import Applied

SECOND_NS = 1_000_000_000

_KEY, _LEDGER, _BREAKS = "orders", "ledger", "breaks"
FILTER = "filter"
"""Key of the counters `MINE` and `FILTERED`: of them evidence keeps sums for ever."""
_ANSWERED = ("accepted", "rejected")
_OUTCOMES = tuple(outcome.name.lower() for outcome in Applied)
_TROUBLES = ("unknown_bust", "unreconciled", "conflict", "invalid")
_POSITION_NOTES = ("contained", "outdated", "several_accounts")
_POSITIONS = "positions"
_BREAKS_NAMED = 8
_FOLDED = tuple(Fate(fate).name.lower() for fate in FOLDED)
MINE, FILTERED = "mine", "filtered"


def sources(scope: Scope) -> Iterator[Source]:
    """Counters of orders and their reports, of what the filter left out, and of what the ledger made of the
    rest; the first positions that contradicted it."""
    yield Source(_KEY, ORDER_COUNTS, plain(Counts, counted(scope.orders)), _feed)
    yield Source(_LEDGER, _LEDGER, plain(Counts, (*_OUTCOMES, _POSITIONS)), _feed_ledger)
    yield Source(_BREAKS, _BREAKS, plain(Earliest, _BREAKS_NAMED), _feed_breaks)
    yield Source(FILTER, "orders", plain(Counts, (MINE, FILTERED)), _filter_feed(scope))


def memories(scope: Scope) -> Iterator[Memory]:
    """The orders themselves."""
    yield OrderFlow(scope)


def _feed(statistic: Counts, batch: Batch) -> None:
    statistic.update_all(batch.derived[ORDER_COUNTS]["count"])


def _feed_ledger(statistic: Counts, batch: Batch) -> None:
    rows = batch.derived[_LEDGER]
    outcomes = np.bincount(rows["outcome"], minlength=len(_OUTCOMES))
    statistic.update_all(np.append(outcomes, np.count_nonzero(rows["position"])))


def _feed_breaks(statistic: Earliest, batch: Batch) -> None:
    rows = batch.derived[_BREAKS]
    texts = zip(*(rows[name].tolist() for name in BREAK_TEXTS), strict=True)
    statistic.update(zip(rows["eff"].tolist(), texts, strict=True))


def _filter_feed(scope: Scope) -> Callable[[Counts, Batch], None]:
    def feed(statistic: Counts, batch: Batch) -> None:
        rows = batch.streams["orders"]
        reports = rows["report"][np.isin(rows["fate"], FOLDED)].tolist()
        mine = sum(map(scope.mine, reports))
        statistic.update_all(np.array([mine, len(reports) - mine], np.int64))

    return feed


def _by_pane(view: WindowView, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Sum of some counters by pane, (panes,)."""
    counts, panes = counts_of(view, _KEY), view.by_pane(_KEY, stacked)
    if counts is None or panes is None:
        return np.zeros(1, np.int64)
    found: NDArray[np.int64] = panes[:, counts.places(names)].sum(axis=1)
    return found


def _extra(counts: Counts, *names: str) -> dict[str, Any]:
    """Those of the counters that are not 0."""
    return {name: counts[name] for name in names if counts[name]}


def _counted(name: str, of: tuple[str, ...], *beside: str) -> Value:
    """A counter, resting on the sum of others; some more of them in `extra` where they are not 0."""

    def value(view: WindowView) -> Estimate:
        counts = counts_of(view, _KEY)
        if counts is None or not (n := counts.total(of)):
            return nothing(view)
        return estimate(view, counts[name], n, extra=_extra(counts, *beside))

    return value


def order_rate(scope: Scope) -> Series:
    """New orders a second: over the window, or since the deployment's first row while that is younger (at
    least 1 s; `extra.seconds`). A runaway algorithm shows in short windows. None is no data."""

    def value(view: WindowView) -> Estimate:
        counts = counts_of(view, _KEY)
        n = counts["new"] if counts is not None else 0
        span = max(view.to_ns - view.filled_ns, SECOND_NS)
        extra = {"seconds": span / SECOND_NS} if view.filled_ns > view.from_ns else {}
        return estimate(view, n * SECOND_NS / span, n, extra=extra)

    yield (), value


def repeated_orders(scope: Scope) -> Series:
    """New orders with the side, type, quantity and limit price of the symbol's new order before them, not
    more than `orders.repeat_within` of effective time after it. `n`: new orders."""
    yield (), _counted("repeated", ("new",))


def reject_rate(scope: Scope) -> Series:
    """Share of rejects among the answers to orders: first acknowledgements or fills, and rejects.

    An order that is acknowledged and rejected later has had two answers. By time of the answer.
    """

    def value(view: WindowView) -> Estimate:
        return share(view, _by_pane(view, ("rejected",)), _by_pane(view, _ANSWERED))

    yield (), value


def rejects(scope: Scope) -> Series:
    """Rejected orders by reason: `orders.reject_reasons`, and `other`.

    Reasons are compared in lower case, with _ for spaces and dashes; a number is taken for FIX's OrdRejReason
    (tag 103). `n`: answers, as of `reject_rate`.
    """
    for reason in scope.orders.reasons:
        yield sorted_labels(("reason", reason)), _counted(f"reject/{reason}", _ANSWERED)


def pre_trade_pass_rate(scope: Scope) -> Series:
    """Share of orders that passed the checks before the trade: 1 - (rejects for one of
    `orders.pre_trade_reasons`) / orders, by time of `new` and of the reject.

    Orders are new ones, and those of which nothing came before their reject, since a desk need not announce
    what its own checks stop.
    """
    failed = tuple(f"reject/{reason}" for reason in scope.orders.pre_trade)

    def value(view: WindowView) -> Estimate:
        orders = _by_pane(view, ("new", "refused_unseen"))
        stopped = _by_pane(view, failed)
        # Orders of the window before may be stopped in this one.
        passed = orders - stopped if stopped.sum() <= orders.sum() else np.zeros_like(orders)
        return share(view, passed, orders)

    yield (), value


def tag_completeness(scope: Scope) -> Series:
    """Share of new orders whose tags say all of `model_version`, `model_run_id`, `feature_version`,
    `dataset_manifest_id`, `onnx_model`, `inference_latency_ms` and `deployed_at`.

    `extra.missing`: by tag, new orders that do not say it, or say it is empty.
    """

    def value(view: WindowView) -> Estimate:
        counts = counts_of(view, _KEY)
        if counts is None:
            return nothing(view)
        missing = {tag: n for tag in TAGS if (n := counts[f"missing/{tag}"])}
        extra = {"missing": missing} if missing else {}
        return share(view, _by_pane(view, ("complete",)), _by_pane(view, ("new",)), extra=extra)

    yield (), value


def version_mismatch_rate(scope: Scope) -> Series:
    """Share of new orders whose `tags.model_version` is not that of the active model's manifest, of those
    that say one; `extra.untagged` do not."""

    def value(view: WindowView) -> Estimate:
        counts = counts_of(view, _KEY)
        if counts is None:
            return nothing(view)
        untagged = counts["new"] - counts["tagged"]
        extra = {"untagged": untagged} if untagged else {}
        return share(view, _by_pane(view, ("mismatched",)), _by_pane(view, ("tagged",)), extra=extra)

    yield (), value


def unknown_orders(scope: Scope) -> Series:
    """Orders whose first report is not their `new`. `n`: orders that began, or were first heard of.

    `extra`: `found`, those whose `new` came after all; `unmeasured`, orders that ended without their `new` or
    their quantity being known: they are in no fill rate.
    """

    yield (), _of_orders_begun("unknown", "found", "unmeasured")


def forgotten_orders(scope: Scope) -> Series:
    """Open orders that fell out of memory beyond `orders.open_limit` of their symbol: what is reported of
    them later is of an unknown order. `n`: orders that began, or were first heard of."""
    yield (), _of_orders_begun("forgotten")


def _of_orders_begun(name: str, *beside: str) -> Value:
    def value(view: WindowView) -> Estimate:
        counts = counts_of(view, _KEY)
        # An order that was found is among both.
        if counts is None or (n := counts["new"] + counts["unknown"] - counts["found"]) <= 0:
            return nothing(view)
        return estimate(view, counts[name], n, extra=_extra(counts, *beside))

    return value


def execution_gaps(scope: Scope) -> Series:
    """Reports that show executions to be missing: they widen the gap between the quantity filled as stated
    and the sum of the fills that came.

    Stated by `cum_quantity`, and by a `fill`, after which nothing of the order is left. `extra.closed`:
    reports that closed such a gap, as late fills do; `extra.beyond`: reports by which more came than is
    stated, or still more. `n`: reports of orders.
    """
    yield (), _counted("gaps", ("reports",), "closed", "beyond")


def unsure(view: WindowView) -> Estimate:
    """Of what has not been seen in a window of which only a part can be."""
    return Estimate(
        value=None,
        n=0,
        status=Status.UNKNOWN,
        from_ns=view.from_ns,
        to_ns=view.to_ns,
        extra={BEGUN_ANEW: True},
    )


def reconciliation_breaks(scope: Scope) -> Series:
    """`position` reports that contradict the position as booked, which was known.

    `n`: `position` reports that came to the ledger. Where rows of any stream came, and no such report, there
    is no break: 0 of 0, and `ok`. `extra.breaks`: the first eight by time, symbol, account and `exec_id`,
    each with these and what was `booked` and `reported`, as decimal text in units. Also in `extra`, where
    there are any: `contained`, executions that came after a `position` report of a later time, which holds
    them: their fees alone count; `outdated`, such reports from before an execution that came before them,
    which say nothing of what is held now (where the position was unknown, they count); `several_accounts`,
    such reports of one account where others trade the symbol too: its position is unknown from then on.
    Unknown where there is none, while the window reaches back to before a changed configuration began the
    statistics anew (`extra.begun_anew`).
    """

    def value(view: WindowView) -> Estimate:
        counts, first = counts_of(view, _LEDGER), view.statistic(_BREAKS)
        found = counts["reconciliation_break"] if counts is not None else 0
        if not found and not view.whole:
            return unsure(view)
        streams = (counts_of(view, f"fates/{stream}") for stream in scope.streams)
        if not any(fates is not None and fates.total(_FOLDED) for fates in streams):
            return nothing(view)
        said = {name: counts[name] for name in _POSITION_NOTES if counts is not None and counts[name]}
        breaks = [dict(zip(BREAK_TEXTS, texts, strict=True)) for _, texts in first.rows] if first else []
        return Estimate(
            value=found,
            n=counts[_POSITIONS] if counts is not None else 0,
            status=Status.OK,
            from_ns=view.from_ns,
            to_ns=view.to_ns,
            extra=said | ({"breaks": breaks} if breaks else {}),
        )

    yield (), value


def unreconciled_executions(scope: Scope) -> Series:
    """Execution reports that the ledger could not bring together with what it knows.

    `extra`, by what they are: `unknown_bust`, busts of executions that are not known and do not repeat their
    terms; `unreconciled`, busts and corrections of executions that were not known, or known otherwise, which
    count by the terms that they repeat; `conflict`, reports that repeat an `exec_id` with other economics, of
    which nothing counts (a retransmission with equal ones is a plain duplicate); `invalid`, economics that
    cannot be counted. `n`: reports that came to the ledger.
    """

    def value(view: WindowView) -> Estimate:
        counts = counts_of(view, _LEDGER)
        if counts is None:
            return nothing(view)
        return estimate(
            view, counts.total(_TROUBLES), counts.total(_OUTCOMES), extra=_extra(counts, *_TROUBLES)
        )

    yield (), value


def filtered_orders(scope: Scope) -> Series:
    """Execution reports that `filter` leaves out: those of other strategies or accounts on a shared topic,
    or all of them, where it is misspelt.

    `extra.share`: of all. `n`: execution reports of the stream, duplicates apart.
    """

    def value(view: WindowView) -> Estimate:
        counts = counts_of(view, FILTER)
        if counts is None or not (n := counts.total((MINE, FILTERED))):
            return nothing(view)
        left_out = counts[FILTERED]
        return estimate(view, left_out, n, extra={"share": left_out / n})

    yield (), value
