"""Fills: what share of orders they fill, on paper and in fact, and what they cost against the market."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from monitor.engine.family import Series, Value, counts_of, estimate, nothing, sorted_labels
from monitor.engine.memories.order_flow import ENDED_ORDERS, FILL_COSTS
from monitor.engine.rings import WindowView
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.stats.counts import Counts
from monitor.stats.estimate import Estimate, Status
from monitor.stats.exact_sums import ExactSums
from monitor.stats.intervals import scatter, wilson
from monitor.stats.weighted_mean import WEIGHTED, weighted_mean, weighted_rows
from monitor.trading.names import OTHER
from monitor.trading.trades import Capped

REAL, PAPER = "real", "paper"

PAPER_ORDERS, ACTIVE_PAPER = "paper_orders", 1
"""Derived rows of paper orders that ended (`TaskBooks.derived`), and the number of the active's book."""

_SLIPPAGE, _FEE = "slippage", "fees"
_CAPS = tuple(flag.name.lower() for flag in Capped if flag.name)
_ENDED = ("orders", "whole", "ordered", "filled", "ordered_squared")
_PARTS = ("delay", "spread")
_COSTS = (*WEIGHTED[1:], *_PARTS)
"""Sums of slippage as of `weighted_mean`, but for the values alone; and of its parts by weight."""
_FEES = ("paid", "fee")


def sources(scope: Scope) -> Iterator[Source]:
    """Orders that ended, by type; what fills cost."""
    for place, name in enumerate(scope.orders.order_types):
        yield Source(_key(REAL, name), ENDED_ORDERS, plain(ExactSums, _ENDED), _feed_ended(place))
    paper = _key(PAPER, _paper_type(scope))
    yield Source(paper, PAPER_ORDERS, plain(ExactSums, _ENDED), _feed_paper)
    for number, role in enumerate(scope.roles, 1):
        yield Source(
            f"capped_orders/{role}", PAPER_ORDERS, plain(Counts, ("ended", *_CAPS)), _feed_capped(number)
        )
    yield Source(_SLIPPAGE, FILL_COSTS, plain(ExactSums, _COSTS), _feed_costs)
    yield Source(_FEE, FILL_COSTS, plain(ExactSums, _FEES), _feed_fees)


def _key(fills: str, order_type: str) -> str:
    return f"ended_orders/{fills}/{order_type}"


def _paper_type(scope: Scope) -> str:
    """The name under which orders of the paper broker are counted."""
    types = scope.orders.order_types
    return scope.orders.paper_type if scope.orders.paper_type in types else OTHER


def _feed_ended(order_type: int) -> Callable[[ExactSums, Batch], None]:
    def feed(statistic: ExactSums, batch: Batch) -> None:
        rows = batch.derived[ENDED_ORDERS]
        mine = np.flatnonzero(rows["order_type"] == order_type)
        columns = (rows[name][mine] for name in ("sign", "ordered", "filled", "whole"))
        statistic.update(_ended_rows(*columns))

    return feed


def _feed_paper(statistic: ExactSums, batch: Batch) -> None:
    rows = batch.derived[PAPER_ORDERS]
    # Where caps left nothing there was no order: it would pass for one that was filled whole.
    mine = np.flatnonzero((rows["book"] == ACTIVE_PAPER) & (rows["ordered"] > 0))
    ordered, filled = rows["ordered"][mine], rows["filled"][mine]
    statistic.update(_ended_rows(np.ones(len(mine)), ordered, filled, filled >= ordered))


def _feed_capped(book: int) -> Callable[[Counts, Batch], None]:
    def feed(statistic: Counts, batch: Batch) -> None:
        rows = batch.derived[PAPER_ORDERS]
        capped = rows["capped"][rows["book"] == book]
        statistic.update_all(np.array([len(capped), *(np.count_nonzero(capped & flag) for flag in Capped)]))

    return feed


def _ended_rows(
    sign: NDArray[Any], ordered: NDArray[np.float64], filled: NDArray[np.float64], whole: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(n, `_ENDED`), each with its sign."""
    rows = np.column_stack([np.ones(len(sign)), whole, ordered, filled, ordered * ordered])
    signed: NDArray[np.float64] = rows * sign.astype(np.float64)[:, None]
    return signed


def _feed_costs(statistic: ExactSums, batch: Batch) -> None:
    rows = batch.derived[FILL_COSTS]
    delay, spread, weight = (rows[name] for name in (*_PARTS, "weight"))
    with np.errstate(over="ignore", invalid="ignore"):
        whole = weighted_rows(delay + spread, weight)[:, 1:]
        statistic.update(np.column_stack([whole, weight * delay, weight * spread]))


def _feed_fees(statistic: ExactSums, batch: Batch) -> None:
    rows = batch.derived[FILL_COSTS]
    with np.errstate(over="ignore", invalid="ignore"):
        statistic.update(np.column_stack([rows["paid"], rows["paid"] * rows["fee"]]))


class _Filled(NamedTuple):
    """Orders that ended in a window: how many, how many were filled whole, and the share by quantity."""

    orders: int
    whole: int
    share: float
    n_eff: float
    low: float | None
    high: float | None


def _filled(view: WindowView, fills: str, order_type: str) -> _Filled | None:
    """None where no order ended, or where corrections of earlier ones outweigh them."""
    key = _key(fills, order_type)
    sums: ExactSums | None = view.statistic(key)
    panes: list[ExactSums] | None = view.by_pane(key, list)
    if sums is None or panes is None:
        return None
    orders, ordered, squares = (sums.sum(name) for name in ("orders", "ordered", "ordered_squared"))
    if orders <= 0 or ordered <= 0 or squares <= 0:
        return None
    rate = sums.sum("filled") / ordered
    kish = ordered * ordered / squares
    whole = max(0, int(sums.sum("whole")))
    if not 0.0 <= rate <= 1.0:
        return _Filled(int(orders), whole, rate, kish, None, None)
    residuals = [pane.sum("filled") - rate * pane.sum("ordered") for pane in panes]
    # An order counts as filled whole or not at all: partial fills vary less.
    found = scatter(residuals, int(orders), rate * (1 - rate) * squares / orders)
    low, high = wilson(rate, kish * found.rows(int(orders)) / orders)
    return _Filled(int(orders), whole, rate, kish / found.design_effect, low, high)


def fill_rate(scope: Scope) -> Series:
    """Quantity filled / quantity ordered, of the orders that ended in the window, by fills and type.

    An order ends when all of it is filled, when it is cancelled or when it expires; a rejected one is left
    out (`reject_rate`), and so is one of which the `new` report or the quantity is not known
    (`unknown_orders`). What is filled, busted or corrected after the end counts when it is reported, in place
    of what was said before. Types: `orders.order_types`, whatever their case, and `other`. Paper: the orders
    of the active's paper book, of `paper.order_type`, as caps on exposure and turnover leave them, without
    those of which they leave nothing (`capped_orders`); no paper broker fills orders of other types.
    Quantities in units of each instrument. `n`: orders; `extra.by_count`: the share of them that was filled
    whole. Interval: Wilson's, on Kish's (sum q)^2 / sum(q^2) rows over the design effect of the panes.

    Source: Kish, Survey Sampling (1965), 11.7, for the effective size.
    """
    for fills in (PAPER, REAL):
        for name in scope.orders.order_types:

            def value(view: WindowView, fills: str = fills, name: str = name) -> Estimate:
                found = _filled(view, fills, name)
                if found is None:
                    return nothing(view)
                extra = {"by_count": found.whole / found.orders}
                return estimate(
                    view,
                    found.share,
                    found.orders,
                    n_eff=found.n_eff,
                    low=found.low,
                    high=found.high,
                    extra=extra,
                )

            yield sorted_labels(("fills", fills), ("order_type", name)), value


def capped_orders(scope: Scope) -> Series:
    """Paper orders that ended in the window with less than was decided, by role and cap.

    `exposure`, `turnover`: `paper.max_exposure` or `paper.max_turnover` cut the order, perhaps to nothing.
    `participation`: a good quote gave less than was left of it, and it ended before the rest was filled; one
    that filled whole in parts is not counted. An order may count under several. A target that caps keep from
    being reached makes one order: the next comes when another target was wanted, or at a quote at which they
    leave a hundredth of the quantity. `n`: paper orders that ended, with those that caps cut to nothing;
    insufficient without any.
    """
    for role in scope.roles:
        for cap in _CAPS:

            def value(view: WindowView, key: str = f"capped_orders/{role}", cap: str = cap) -> Estimate:
                counts = counts_of(view, key)
                return nothing(view) if counts is None else estimate(view, counts[cap], counts["ended"])

            yield sorted_labels(("reason", cap), ("role", role)), value


def fill_rate_mismatch(scope: Scope) -> Series:
    """|fill rate on paper - fill rate in fact| by quantity, by type of order; a fraction: 0.02 is 2 points.

    `extra`: `paper`, `real` and `signed` = paper - real, which is positive where paper flatters, and `z` =
    (p1 - p2) / sqrt(p (1 - p) (1/n1 + 1/n2)), p the share of orders filled whole on paper (1), in fact (2)
    and of both together; None where that is 0 or 1. `n`: the fewer of the orders of both sides.
    `insufficient` where a side has none: so a passive desk is never held against a broker on paper that only
    crosses the spread.

    Source: Fleiss, Statistical Methods for Rates and Proportions (2003), 3.2, for z.
    """
    for name in scope.orders.order_types:

        def value(view: WindowView, name: str = name) -> Estimate:
            paper, real = _filled(view, PAPER, name), _filled(view, REAL, name)
            if paper is None or real is None:
                return nothing(view)
            signed = paper.share - real.share
            extra = {"paper": paper.share, "real": real.share, "signed": signed, "z": _z(paper, real)}
            return estimate(view, abs(signed), min(paper.orders, real.orders), extra=extra)

        yield sorted_labels(("order_type", name)), value


def _z(first: _Filled, second: _Filled) -> float | None:
    """Two shares of whole fills against each other, pooled."""
    n1, n2 = first.orders, second.orders
    pooled = (first.whole + second.whole) / (n1 + n2)
    variance = pooled * (1 - pooled) * (1 / n1 + 1 / n2)
    return (first.whole / n1 - second.whole / n2) / math.sqrt(variance) if variance > 0 else None


def _slippage(scope: Scope, *parts: str) -> Value:
    """The sum of some parts of slippage, each as it is shown, so that the split is exact."""

    def value(view: WindowView) -> Estimate:
        sums: ExactSums | None = view.statistic(_SLIPPAGE)
        panes: list[ExactSums] | None = view.by_pane(_SLIPPAGE, list)
        if sums is None or panes is None or sums.empty:
            return nothing(view)
        extra = {"missing": sums.left_out, "by_notional": scope.orders.by_notional}
        found = weighted_mean(sums, panes, 0) if sums.n else None
        if found is None:
            return replace(nothing(view, Status.UNKNOWN), extra=extra)
        bps = math.fsum(sums.sum(part) / sums.sum("weight") for part in parts)
        bounds = {"low": found.low, "high": found.high} if len(parts) > 1 else {}
        return estimate(view, bps, sums.n, n_eff=found.n_eff, extra=extra, **bounds)

    return value


def slippage_bps(scope: Scope) -> Series:
    """What real fills cost against the mid as of their order's `new` report, in bps of it; fees apart.

    Mean of side x (price - arrival mid) / arrival mid, side +1 of a buy and -1 of a sell, weighted by the
    notional at the arrival mid: positive is a cost. `slippage_delay_bps` + `slippage_spread_bps`, exactly.
    Where instruments have several currencies all fills weigh the same (`extra.by_notional`). Mids as of the
    rows, uncrossed, within `books.max_spread_bps` and not older than `books.mark_staleness`; a row folded
    behind its time has none. Fills without one of their mids are counted in `extra.missing` and enter nothing
    else; `unknown` where all are. As first reported: a bust takes nothing back. Interval: `weighted_mean`.

    Source: Perold, The implementation shortfall, J. Portfolio Management 14 (1988).
    """
    yield (), _slippage(scope, "delay", "spread")


def slippage_delay_bps(scope: Scope) -> Series:
    """The part of `slippage_bps` that the market made before the fill: side x (mid at the fill - arrival mid)
    / arrival mid. Of the same fills, with the same weights."""
    yield (), _slippage(scope, "delay")


def slippage_spread_bps(scope: Scope) -> Series:
    """The part of `slippage_bps` that was paid at the fill: side x (price - mid at the fill) / arrival mid.
    Of the same fills, with the same weights."""
    yield (), _slippage(scope, "spread")


def fees_bps(scope: Scope) -> Series:
    """Fees of real fills in bps of the notional paid, weighted by it; a rebate is negative.

    Fills that say no fee, or one in another currency than the instrument's, are counted in `extra.missing`
    and enter nothing else; `unknown` where all are. As first reported: a bust takes nothing back.
    """

    def value(view: WindowView) -> Estimate:
        sums: ExactSums | None = view.statistic(_FEE)
        if sums is None or sums.empty:
            return nothing(view)
        extra = {"missing": sums.left_out, "by_notional": scope.orders.by_notional}
        paid = sums.sum("paid")
        if paid == 0.0:
            return replace(nothing(view, Status.UNKNOWN), extra=extra)
        return estimate(view, sums.sum("fee") / paid, sums.n, extra=extra)

    yield (), value
