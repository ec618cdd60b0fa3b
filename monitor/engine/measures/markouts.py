"""Markouts: how the market moved after the trades of each book."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from monitor.engine.family import Labels, Series, Value, estimate, nothing, seconds_text, sorted_labels
from monitor.engine.markout_rules import MarkoutRules
from monitor.engine.measures.skill import SKILL_EVERY_NS
from monitor.engine.memories.markouts import SKIPPED, Markouts, derived
from monitor.engine.memory import Memory
from monitor.engine.rings import WindowView
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.stats.counts import Counts
from monitor.stats.estimate import Estimate, Status
from monitor.stats.exact_sums import ExactSums
from monitor.stats.newey_west import lag_panes
from monitor.stats.weighted_mean import WEIGHTED, weighted_mean, weighted_rows


def books(scope: Scope) -> list[Labels]:
    """Labels of the books in the order of `BookSet.names`: the real one, then a paper book a role."""
    pairs = [("real", scope.roles[0]), *(("paper", role) for role in scope.roles)]
    return [sorted_labels(("fills", fills), ("role", role)) for fills, role in pairs]


def sources(scope: Scope) -> Iterator[Source]:
    """Sums of markouts by book and horizon, and how many trades did not wait for theirs."""
    if scope.markouts is None:
        return
    names = tuple(str(book) for book in range(len(books(scope))))
    yield Source(SKIPPED, SKIPPED, plain(Counts, names), _feed_skipped, SKILL_EVERY_NS)
    for book in range(len(names)):
        for horizon in scope.markouts.horizons_ns:
            takes, feed = derived(book, horizon), _feed(scope.markouts, book, horizon)
            yield Source(_key(book, horizon), takes, plain(ExactSums, WEIGHTED), feed, SKILL_EVERY_NS)


def memories(scope: Scope) -> Iterator[Memory]:
    """Trades that wait for the mids after them."""
    if scope.markouts is not None:
        yield Markouts(scope.markouts, len(books(scope)))


def _key(book: int, horizon_ns: int) -> str:
    return f"markout/{book}/{horizon_ns}"


def _feed_skipped(statistic: Counts, batch: Batch) -> None:
    book = batch.derived[SKIPPED]["book"]
    statistic.update_all(np.bincount(book, minlength=len(statistic.spec)))


def _feed(rules: MarkoutRules, book: int, horizon_ns: int) -> Callable[[ExactSums, Batch], None]:
    def feed(statistic: ExactSums, batch: Batch) -> None:
        rows = batch.derived[derived(book, horizon_ns)]
        values = rows["markout"]
        weights = rows["notional"] if rules.by_notional else np.ones(len(values))
        statistic.update(weighted_rows(values, weights))

    return feed


def markout(scope: Scope) -> Series:
    """Markout of a book: mean of its trades' markouts at a horizon, weighted by notional; in bps.

    Where instruments have several currencies all trades weigh the same (`by_notional` in `extra`). A trade
    belongs to the pane in which its horizon ended. Mids as of an instant, uncrossed and within
    `books.max_spread_bps`; older than `books.mark_staleness`, or twice or half the price, they are none.
    `extra`: `unweighted` mean, `missing`: trades without a mid, `skipped`: those beyond `markouts.limit`,
    which is shared out to symbols and books, so that the first trades of each slot of time wait, `t`.
    Interval and `n_eff` of `weighted_mean`, with a lag of the horizon. Without a trade `insufficient`; where
    all lack a mid `unknown`.
    """
    if scope.markouts is None:
        return
    for book, labels in enumerate(books(scope)):
        for horizon in scope.markouts.horizons_ns:
            of = (*labels, ("horizon", seconds_text(horizon)))
            yield sorted_labels(*of), _value(scope.markouts, book, horizon)


def _value(rules: MarkoutRules, book: int, horizon_ns: int) -> Value:
    key = _key(book, horizon_ns)

    def value(view: WindowView) -> Estimate:
        sums: ExactSums | None = view.statistic(key)
        panes: list[ExactSums] | None = view.by_pane(key, list)
        if sums is None or panes is None or sums.empty:
            return nothing(view)
        found = None
        if sums.n:
            lag = lag_panes(horizon_ns, max(pane.length_ns for pane in view.panes))
            found = weighted_mean(sums, panes, lag)
        if found is None:
            return nothing(view, Status.UNKNOWN)
        skipped: Counts | None = view.statistic(SKIPPED)
        extra = {
            "unweighted": sums.mean("value"),
            "by_notional": rules.by_notional,
            "missing": sums.left_out,
            "skipped": skipped[str(book)] if skipped else 0,
        }
        if found.t is not None:
            extra["t"] = found.t
        return estimate(
            view, found.value, sums.n, n_eff=found.n_eff, low=found.low, high=found.high, extra=extra
        )

    return value
