"""Agreement: whether active and shadow say the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from monitor.engine.family import Series, nothing, sorted_labels
from monitor.engine.panes import Kind, pane_length
from monitor.engine.rings import WindowView
from monitor.engine.rows import Scores, ScoreStatus
from monitor.engine.scope import Batch, Scope, Source
from monitor.stats.estimate import Estimate
from monitor.stats.rank import rank_correlation
from monitor.stats.sample import PairSample, cap_for

RANK_EVERY_NS = 5_000_000_000


def sources(scope: Scope) -> Iterator[Source]:
    """Samples of what the active and each shadow answered."""
    for role in scope.shadows:
        yield Source(
            f"pairs/{role}", "features", pair_sample(scope), _feed_pairs(scope.roles[0], role), RANK_EVERY_NS
        )


def pair_sample(scope: Scope) -> Kind:
    """A bottom-k sample of pairs, of `rank_k` a window."""
    longest = {pane_length(w): w for w in sorted(scope.windows_ns, reverse=True)}

    def cap(length_ns: int) -> int:
        # The shortest window of a ring asks for the largest share of its panes.
        return cap_for(scope.rank_k, length_ns, longest.get(length_ns, min(scope.windows_ns)))

    return Kind(
        lambda length: PairSample(cap(length)),
        lambda data, length: PairSample.from_bytes(data, cap(length)),
        lambda panes: PairSample.join(panes, scope.rank_k),
    )


def _both_ok(first: Scores, second: Scores) -> NDArray[np.int64]:
    ok = (first.status == ScoreStatus.OK) & (second.status == ScoreStatus.OK)
    return np.flatnonzero(ok)


def _feed_pairs(active: str, shadow: str) -> Callable[[PairSample, Batch], None]:
    def feed(statistic: PairSample, batch: Batch) -> None:
        rows = _both_ok(batch.scores[active], batch.scores[shadow])
        features = batch.features
        statistic.update(
            features["sample_key"][rows],
            features["ts"][rows],
            features["symbol_key"][rows],
            batch.scores[active].value[rows],
            batch.scores[shadow].value[rows],
        )

    return feed


def rank(scope: Scope) -> Series:
    """Spearman's correlation within symbol, by shadow."""
    for shadow in scope.shadows:

        def value(view: WindowView, key: str = f"pairs/{shadow}") -> Estimate:
            sample = view.statistic(key)
            if sample is None:
                return nothing(view)
            return rank_correlation(sample, view.from_ns, view.to_ns)

        yield sorted_labels(("role", shadow)), value
