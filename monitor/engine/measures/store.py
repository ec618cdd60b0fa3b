"""The feature store, by what feature events say of their lookups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.engine.family import Series, ratio
from monitor.engine.scope import Batch, Scope, Source, plain
from monitor.stats.counts import Counts


def sources(scope: Scope) -> Iterator[Source]:
    """Lookups and those that were answered."""
    yield Source("store", "features", plain(Counts, ("hits", "lookups")), _feed)


def _feed(statistic: Counts, batch: Batch) -> None:
    rows = batch.features
    statistic.update_all(np.array([rows["store_hits"].sum(), rows["store_lookups"].sum()]))


def feature_hit_rate(scope: Scope) -> Series:
    """`sum store_hits / sum store_lookups` of the feature events that say both; a fraction.

    `insufficient` where none does. An event that says more hits than lookups, or more than 2^20 of them, says
    nothing.
    """
    yield (), ratio("store", ("hits",), ("lookups",))
