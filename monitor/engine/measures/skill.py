"""Skill against the market: how predictions rank, and what they would earn of, the mid returns after them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.engine.family import (
    Series,
    Value,
    counts_of,
    estimate,
    nothing,
    ratio,
    seconds_text,
    sorted_labels,
)
from monitor.engine.memories.forward import SKIPPED, ForwardReturns, derived
from monitor.engine.memory import Memory
from monitor.engine.panes import Kind
from monitor.engine.rings import WindowView
from monitor.engine.scope import Batch, Scope, Source, plain, sampled
from monitor.engine.skill_rules import Forward
from monitor.stats.counts import Counts
from monitor.stats.cross_section import LEAST_SYMBOLS, InstantSample, cross_section_correlation
from monitor.stats.edges import BPS, HITS, disagreement_edges, hits, net_edges
from monitor.stats.estimate import Estimate, Status
from monitor.stats.exact_sums import ExactSums
from monitor.stats.information_coefficient import after_costs, information_coefficient, net_of_costs
from monitor.stats.intervals import Z_95, mean_interval
from monitor.stats.newey_west import lag_panes, ratio_error
from monitor.stats.sample import Pairs, PairSample, WindowSample
from monitor.wire.keys import combine

SKILL_EVERY_NS = 60_000_000_000

RANKED = ("probability", "return", "score")
"""Kinds of output that a return can be ranked by; a class is a name."""

EDGE = ("edge", "edge_squared")

Transform = Callable[[Pairs], Pairs]


def sources(scope: Scope) -> Iterator[Source]:
    """Samples of predictions with the returns after them, and sums of what their signs earned, by role."""
    if scope.forward is None:
        return
    first = scope.forward.horizons_ns[0]
    yield Source("forward_skipped", SKIPPED, plain(Counts, ("rows",)), _feed_skipped, SKILL_EVERY_NS)
    roles = [role for role in scope.roles if scope.kinds.get(role) in RANKED]
    for role in roles:
        for horizon in scope.forward.horizons_ns:
            feed = _feed_pairs(role, horizon)
            yield Source(_key(role, horizon), derived(horizon), skill_sample(scope), feed, SKILL_EVERY_NS)
        edges = _feed_edge(scope, role, first)
        yield Source(f"edge/{role}", derived(first), plain(ExactSums, EDGE), edges, SKILL_EVERY_NS)
        signs = _feed_hits(scope, role, first)
        yield Source(f"hits/{role}", derived(first), plain(Counts, HITS), signs, SKILL_EVERY_NS)
        if scope.forward.symbols >= LEAST_SYMBOLS:
            sample, feed_instants = skill_sample(scope, InstantSample), _feed_instants(role, first)
            yield Source(f"instants/{role}", derived(first), sample, feed_instants, SKILL_EVERY_NS)
    active = scope.roles[0]
    for role in scope.shadows:
        if {active, role} <= set(roles):
            feed_edges = _feed_disagreement(scope, active, role, first)
            spec = plain(ExactSums, EDGE)
            yield Source(f"disagreement_edge/{role}", derived(first), spec, feed_edges, SKILL_EVERY_NS)


def memories(scope: Scope) -> Iterator[Memory]:
    """Predictions that wait for the returns after them."""
    if scope.forward is not None and any(kind in RANKED for kind in scope.kinds.values()):
        yield ForwardReturns(scope.forward, scope.roles)


def skill_sample(scope: Scope, statistic: Any = PairSample) -> Kind:
    """A bottom-k sample: `rank_k` pairs by all panes of a window together, which all are the window's.

    Panes keep a quarter of what those of agreement keep: there are more such samples, and returns that
    overlap in time say less.
    """
    kind = sampled(scope, statistic, scope.rank_k // 4)
    return replace(kind, join=lambda panes: statistic.join(panes, scope.rank_k))


def _key(role: str, horizon_ns: int) -> str:
    return f"forward/{role}/{horizon_ns}"


def neutral_of(scope: Scope, role: str) -> float:
    """The prediction that wants no position: 0.5 of a probability, else 0."""
    return 0.5 if scope.kinds[role] == "probability" else 0.0


def _feed_skipped(statistic: Counts, batch: Batch) -> None:
    statistic.update("rows", int(batch.derived[SKIPPED]["rows"].sum()))


def _feed_pairs(role: str, horizon_ns: int) -> Callable[[PairSample, Batch], None]:
    def feed(statistic: PairSample, batch: Batch) -> None:
        rows = batch.derived[derived(horizon_ns)]
        value = rows[f"value/{role}"]
        asked = np.isfinite(value)
        statistic.update(
            rows["sample_key"][asked],
            rows["ts"][asked],
            rows["symbol_key"][asked],
            value[asked],
            rows["return"][asked],
        )

    return feed


def _feed_instants(role: str, horizon_ns: int) -> Callable[[InstantSample, Batch], None]:
    def feed(statistic: InstantSample, batch: Batch) -> None:
        rows = batch.derived[derived(horizon_ns)]
        value = rows[f"value/{role}"]
        asked = np.isfinite(value) & rows["leads"]
        slot = rows["slot"][asked]
        statistic.update(
            combine(slot.astype(np.uint64)),
            slot,
            rows["symbol_key"][asked],
            value[asked],
            rows["return"][asked],
        )

    return feed


def _feed_edge(scope: Scope, role: str, horizon_ns: int) -> Callable[[ExactSums, Batch], None]:
    assert scope.forward is not None
    neutral, cost = neutral_of(scope, role), scope.forward.cost_bps

    def feed(statistic: ExactSums, batch: Batch) -> None:
        rows = batch.derived[derived(horizon_ns)]
        _add(statistic, net_edges(rows[f"value/{role}"], neutral, rows["return"], cost))

    return feed


def _feed_hits(scope: Scope, role: str, horizon_ns: int) -> Callable[[Counts, Batch], None]:
    neutral = neutral_of(scope, role)

    def feed(statistic: Counts, batch: Batch) -> None:
        rows = batch.derived[derived(horizon_ns)]
        statistic.update_all(hits(rows[f"value/{role}"], neutral, rows["return"]))

    return feed


def _feed_disagreement(
    scope: Scope, active: str, shadow: str, horizon_ns: int
) -> Callable[[ExactSums, Batch], None]:
    ours, theirs = neutral_of(scope, active), neutral_of(scope, shadow)

    def feed(statistic: ExactSums, batch: Batch) -> None:
        rows = batch.derived[derived(horizon_ns)]
        signs = np.sign(rows[f"value/{shadow}"] - theirs), np.sign(rows[f"value/{active}"] - ours)
        _add(statistic, disagreement_edges(*signs, rows["return"]))

    return feed


def _add(statistic: ExactSums, edges: NDArray[np.float64]) -> None:
    with np.errstate(over="ignore"):
        statistic.update(np.column_stack((edges, edges * edges)))


def _by_role(of: Callable[[Scope, Forward, str], Value]) -> Callable[[Scope], Series]:
    """A series a role; `not_applicable` where the role's kind of output cannot be ranked."""

    def series(scope: Scope) -> Series:
        if scope.forward is None:
            return
        for role in scope.roles:
            if role in scope.kinds:
                ranked = scope.kinds[role] in RANKED
                yield (
                    sorted_labels(("role", role)),
                    of(scope, scope.forward, role) if ranked else _not_applicable,
                )

    return series


def _not_applicable(view: WindowView) -> Estimate:
    return nothing(view, Status.NOT_APPLICABLE)


def _coefficient(
    key: str, overlap_ns: int, net: Callable[[WindowSample], WindowSample], net_pairs: Transform
) -> Value:
    def value(view: WindowView) -> Estimate:
        sample: WindowSample | None = view.statistic(key)
        panes: list[PairSample] | None = view.by_pane(key, list)
        if sample is None or panes is None:
            return nothing(view)
        lag = lag_panes(overlap_ns, max(pane.length_ns for pane in view.panes))
        pairs = [net_pairs(pane.pairs()) for pane in panes]
        found = information_coefficient(net(sample), pairs, lag, view.from_ns, view.to_ns)
        return _with_skipped(view, found)

    return value


def _with_skipped(view: WindowView, found: Estimate) -> Estimate:
    skipped: Counts | None = view.statistic("forward_skipped")
    if skipped is None:
        return found
    extra = {"exact": False, "skipped": skipped["rows"]}
    return msgspec.structs.replace(found, extra=found.extra | extra)


def _same(found: Any) -> Any:
    return found


def _ic(scope: Scope, forward: Forward, role: str) -> Value:
    return _coefficient(_key(role, forward.horizons_ns[0]), forward.overlap_ns, _same, _same)


def _ic_after_costs(scope: Scope, forward: Forward, role: str) -> Value:
    cost, neutral = forward.cost_bps / BPS, neutral_of(scope, role)
    return _coefficient(
        _key(role, forward.horizons_ns[0]),
        forward.overlap_ns,
        lambda sample: after_costs(sample, cost, neutral),
        lambda pairs: net_of_costs(pairs, cost, neutral),
    )


ic = _by_role(_ic)
ic_after_costs = _by_role(_ic_after_costs)


def ic_decay(scope: Scope) -> Series:
    """The IC at each horizon, by role."""
    if scope.forward is None:
        return
    for role in scope.roles:
        for horizon in scope.forward.horizons_ns:
            labels = sorted_labels(("role", role), ("horizon", seconds_text(horizon)))
            if scope.kinds.get(role) in RANKED:
                overlap = scope.forward.lag_ns + horizon
                yield labels, _coefficient(_key(role, horizon), overlap, _same, _same)
            elif role in scope.kinds:
                yield labels, _not_applicable


def ic_cross_section(scope: Scope) -> Series:
    """The IC across symbols, averaged over instants, by role; not where there are fewer than 20 symbols."""
    if scope.forward is None or scope.forward.symbols < LEAST_SYMBOLS:
        return
    for role in scope.roles:
        if scope.kinds.get(role) not in RANKED:
            if role in scope.kinds:
                yield sorted_labels(("role", role)), _not_applicable
            continue

        def value(view: WindowView, key: str = f"instants/{role}") -> Estimate:
            sample: WindowSample | None = view.statistic(key)
            if sample is None:
                return nothing(view)
            return _with_skipped(view, cross_section_correlation(sample, view.from_ns, view.to_ns))

        yield sorted_labels(("role", role)), value


def _edge(key: str, overlap_ns: int, extra: Callable[[float], dict[str, float]]) -> Value:
    def value(view: WindowView) -> Estimate:
        sums: ExactSums | None = view.statistic(key)
        panes: list[ExactSums] | None = view.by_pane(key, list)
        if sums is None or panes is None or not sums.n:
            return nothing(view)
        found, n = sums.mean("edge"), sums.n
        variance = sums.variance(*EDGE)
        filled = [pane for pane in panes if pane.n]
        by_pane, rows = [pane.sum("edge") for pane in filled], np.array([pane.n for pane in filled])
        lag = lag_panes(overlap_ns, max(pane.length_ns for pane in view.panes))
        more = extra(found) | {"left_out": sums.left_out, "lag": lag}
        error = ratio_error(by_pane, rows.tolist(), lag)
        n_eff, low, high = mean_interval(by_pane, rows, variance)
        if error is not None and error > 0.0:
            # Never better than independent rows.
            error = max(error, math.sqrt(variance / n))
            n_eff, low, high = variance / (error * error), found - Z_95 * error, found + Z_95 * error
            more["t"] = found / error
        return _with_skipped(view, estimate(view, found, n, n_eff=n_eff, low=low, high=high, extra=more))

    return value


def _net_edge(scope: Scope, forward: Forward, role: str) -> Value:
    cost = forward.cost_bps
    return _edge(
        f"edge/{role}",
        forward.overlap_ns,
        lambda net: {"cost_bps": cost, "breakeven_cost_bps": net + cost},
    )


net_edge = _by_role(_net_edge)


def _hit_rate(scope: Scope, forward: Forward, role: str) -> Value:
    key = f"hits/{role}"
    hit = ratio(key, ("hit",), ("hit", "missed"))

    def value(view: WindowView) -> Estimate:
        found, counts = hit(view), counts_of(view, key)
        if counts is None:
            return found
        extra = {"zeros": counts["zero"], "left_out": counts["left_out"]}
        return _with_skipped(view, msgspec.structs.replace(found, extra=extra))

    return value


hit_rate = _by_role(_hit_rate)


def disagreement_edge(scope: Scope) -> Series:
    """Who was right where shadow and active want different positions, by shadow."""
    if scope.forward is None:
        return
    active = scope.roles[0]
    for role in scope.shadows:
        if role not in scope.kinds or active not in scope.kinds:
            continue
        ranked = scope.kinds[role] in RANKED and scope.kinds[active] in RANKED
        value = _edge(f"disagreement_edge/{role}", scope.forward.overlap_ns, lambda _: {})
        yield sorted_labels(("role", role)), value if ranked else _not_applicable
