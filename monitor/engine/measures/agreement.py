"""Agreement: whether active and shadow say the same, and production what the active says again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.engine.family import Series, Value, nothing, sorted_labels
from monitor.engine.measures.latency import QUANTILES
from monitor.engine.memories.cross_section import CrossSection, derived
from monitor.engine.memories.orders import ORDER_PAIRS
from monitor.engine.memory import Memory
from monitor.engine.rings import WindowView
from monitor.engine.rows import ScoreStatus
from monitor.engine.scope import Batch, Scope, Source, plain, sampled
from monitor.stats import agreement, cross_section, differences, parity, rank
from monitor.stats.agreement import GAP, Agreement, Neutral
from monitor.stats.cross_section import InstantSample
from monitor.stats.estimate import Estimate, Status
from monitor.stats.exact_sums import ExactSums
from monitor.stats.parity import Parity
from monitor.stats.sample import PairSample

RANK_EVERY_NS = 5_000_000_000

PARITY_PAIRS = 2_000
"""Recorded and repeated answers that a window's sample holds; whether they agree is counted of all."""

_NEUTRAL = {"return": 0.0, "score": 0.0, "probability": 0.5}
"""By kind of output, what has neither sign; a class has none."""

SIGNED = tuple(_NEUTRAL)
"""Kinds of output of which differences and signs mean something."""

_PARITY, _PARITY_ORDERS, _PARITY_PAIRS = "parity", "parity_orders", "parity_pairs"

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def sources(scope: Scope) -> Iterator[Source]:
    """What the active and each shadow answered, and what production did: samples, counts, sums."""
    active = scope.roles[0]
    for role in scope.shadows:
        feed = _feed_sample(active, role)
        yield Source(
            f"pairs/{role}", "features", sampled(scope, PairSample, scope.rank_k), feed, RANK_EVERY_NS
        )
        kind = sampled(scope, InstantSample, scope.rank_k)
        yield Source(_instants(role), derived(role), kind, _feed_instants(role), RANK_EVERY_NS)
        neutral = _neutral(scope, role)
        if neutral is not None:
            kind = plain(Agreement, neutral)
            yield Source(f"agreement/{role}", "features", kind, _feed_agreement(active, role))
            kind = plain(ExactSums, GAP)
            yield Source(f"disagreement/{role}", "features", kind, _feed_gaps(active, role, neutral))
    yield Source(_PARITY, "features", plain(Parity, scope.parity), _feed_parity(active))
    yield Source(_PARITY_ORDERS, ORDER_PAIRS, plain(Parity, scope.parity), _feed_parity_orders)
    kind = sampled(scope, PairSample, PARITY_PAIRS)
    yield Source(_PARITY_PAIRS, "features", kind, _feed_parity_pairs(active), RANK_EVERY_NS)


def memories(scope: Scope) -> Iterator[Memory]:
    """What each symbol showed last before an instant."""
    yield CrossSection(scope.roles[0], scope.shadows, scope.evaluation_ns)


def _instants(role: str) -> str:
    return f"cross_section/{role}"


def _neutral(scope: Scope, role: str) -> Neutral | None:
    """What has no sign, of the active and of a shadow; None where an output is a class."""
    kinds = (scope.kinds.get(scope.roles[0], ""), scope.kinds.get(role, ""))
    if not set(kinds) <= _NEUTRAL.keys():
        return None
    return _NEUTRAL[kinds[0]], _NEUTRAL[kinds[1]]


def _alike(scope: Scope, role: str) -> bool:
    """Whether a difference from the active's answer means anything."""
    kind = scope.kinds.get(role, "")
    return kind in _NEUTRAL and kind == scope.kinds.get(scope.roles[0])


def _answered(batch: Batch, active: str, shadow: str) -> NDArray[np.int64] | None:
    """Rows that both answered; None: all."""
    ok = batch.scores[active].status == ScoreStatus.OK
    ok &= batch.scores[shadow].status == ScoreStatus.OK
    return None if ok.all() else np.flatnonzero(ok)


def _pairs(batch: Batch, active: str, shadow: str) -> Pair:
    rows = _answered(batch, active, shadow)
    a, b = batch.scores[active].value, batch.scores[shadow].value
    return (a, b) if rows is None else (a[rows], b[rows])


def _feed_sample(active: str, shadow: str) -> Callable[[PairSample, Batch], None]:
    def feed(statistic: PairSample, batch: Batch) -> None:
        rows = _answered(batch, active, shadow)
        columns = (
            *(batch.features[name] for name in ("sample_key", "ts", "symbol_key")),
            *(batch.scores[role].value for role in (active, shadow)),
        )
        statistic.update(*(columns if rows is None else (column[rows] for column in columns)))

    return feed


def _feed_instants(shadow: str) -> Callable[[InstantSample, Batch], None]:
    def feed(statistic: InstantSample, batch: Batch) -> None:
        rows = batch.derived[derived(shadow)]
        statistic.update(*(rows[name] for name in ("hash", "instant", "symbol_key", "a", "b")))

    return feed


def _feed_agreement(active: str, shadow: str) -> Callable[[Agreement, Batch], None]:
    return lambda statistic, batch: statistic.update(*_pairs(batch, active, shadow))


def _feed_gaps(active: str, shadow: str, neutral: Neutral) -> Callable[[ExactSums, Batch], None]:
    return lambda statistic, batch: statistic.update(agreement.gaps(*_pairs(batch, active, shadow), neutral))


def _recorded(batch: Batch, active: str) -> NDArray[np.int64]:
    """Rows for which production's answer is recorded, and the active has answered again."""
    recorded = ~np.isnan(batch.features["served_prediction"])
    return np.flatnonzero(recorded & (batch.scores[active].status == ScoreStatus.OK))


def _feed_parity(active: str) -> Callable[[Parity, Batch], None]:
    def feed(statistic: Parity, batch: Batch) -> None:
        rows = _recorded(batch, active)
        statistic.update(batch.features["served_prediction"][rows], batch.scores[active].value[rows])

    return feed


def _feed_parity_orders(statistic: Parity, batch: Batch) -> None:
    pairs = batch.derived[ORDER_PAIRS]
    known = np.flatnonzero(~np.isnan(pairs["recorded"]) & ~np.isnan(pairs["again"]))
    statistic.update(pairs["recorded"][known], pairs["again"][known])


def _feed_parity_pairs(active: str) -> Callable[[PairSample, Batch], None]:
    def feed(statistic: PairSample, batch: Batch) -> None:
        rows = _recorded(batch, active)
        names = ("sample_key", "ts", "symbol_key", "served_prediction")
        keys, ts, symbols, recorded = (batch.features[name][rows] for name in names)
        statistic.update(keys, ts, symbols, recorded, batch.scores[active].value[rows])

    return feed


def _of_sample(key: str, estimate: Callable[..., Estimate], *more: Any, **named: Any) -> Value:
    def value(view: WindowView) -> Estimate:
        sample = view.statistic(key)
        if sample is None:
            return nothing(view)
        return estimate(sample, *more, view.from_ns, view.to_ns, **named)

    return value


def _of_panes(key: str, estimate: Callable[..., Estimate]) -> Value:
    def value(view: WindowView) -> Estimate:
        panes = view.by_pane(key, list)
        return nothing(view) if panes is None else estimate(panes, view.from_ns, view.to_ns)

    return value


def rank_correlation(scope: Scope) -> Series:
    """Spearman's correlation within symbol, by shadow."""
    for role in scope.shadows:
        yield sorted_labels(("role", role)), _of_sample(f"pairs/{role}", rank.rank_correlation)


def rank_correlation_pooled(scope: Scope) -> Series:
    """Spearman's correlation of all symbols together, by shadow."""
    for role in scope.shadows:
        value = _of_sample(f"pairs/{role}", rank.rank_correlation, pooled=True)
        yield sorted_labels(("role", role)), value


def rank_correlation_cross_section(scope: Scope) -> Series:
    """Spearman's correlation among the symbols of an instant, by shadow."""
    for role in scope.shadows:
        value = _of_sample(_instants(role), cross_section.cross_section_correlation)
        yield sorted_labels(("role", role)), value


def kendall_tau(scope: Scope) -> Series:
    """Kendall's tau-b within symbol, by shadow."""
    for role in scope.shadows:
        yield sorted_labels(("role", role)), _of_sample(f"pairs/{role}", rank.kendall_tau)


def _of_all(key: str, estimate: Callable[..., Estimate], *, commensurable: bool) -> Callable[[Scope], Series]:
    """A metric of all pairs, by shadow; `not_applicable` where an output is a class or, if it takes
    differences (`commensurable`), where the two are of different kinds."""

    def of(scope: Scope) -> Series:
        for role in scope.shadows:
            defined = _alike(scope, role) if commensurable else _neutral(scope, role) is not None
            value = _of_panes(f"{key}/{role}", estimate) if defined else _not_applicable
            yield sorted_labels(("role", role)), value

    return of


sign_agreement = _of_all("agreement", agreement.sign_agreement, commensurable=False)
disagreement_rate = _of_all("agreement", agreement.disagreement_rate, commensurable=False)
max_abs_difference = _of_all("agreement", agreement.max_abs_difference, commensurable=True)
disagreement_gap = _of_all("disagreement", agreement.disagreement_gap, commensurable=True)


def _not_applicable(view: WindowView) -> Estimate:
    return nothing(view, Status.NOT_APPLICABLE)


def abs_difference(scope: Scope) -> Series:
    """Quantiles of how far two answers lie apart, by shadow; `not_applicable` as other differences."""
    for q in QUANTILES:
        for role in scope.shadows:
            value = _of_sample(f"pairs/{role}", differences.abs_difference, float(q))
            if not _alike(scope, role):
                value = _not_applicable
            yield sorted_labels(("quantile", q), ("role", role)), value


def serving_parity(scope: Scope) -> Series:
    """Whether production said what the active says again: as recorded with the features; where the window has
    no such answer, as the orders say that name their feature event, with `extra.selected`: of predictions
    that became no order nothing is seen."""
    yield (), _parity


def _parity(view: WindowView) -> Estimate:
    served: list[Parity] | None = view.by_pane(_PARITY, list)
    ordered: list[Parity] | None = view.by_pane(_PARITY_ORDERS, list)
    silent = served is None or all(pane.empty for pane in served)
    if not silent or ordered is None or all(pane.empty for pane in ordered):
        return nothing(view) if served is None else parity.serving_parity(served, view.from_ns, view.to_ns)
    found = parity.serving_parity(ordered, view.from_ns, view.to_ns)
    return msgspec.structs.replace(found, extra={**found.extra, "selected": True})


def serving_difference(scope: Scope) -> Series:
    """Quantiles of how far production's answer lies from what the active says again."""
    for q in QUANTILES:
        yield sorted_labels(("quantile", q)), _of_sample(_PARITY_PAIRS, parity.serving_difference, float(q))
