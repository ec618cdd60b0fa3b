"""What a task hands to the folds: a released batch in folding order, with the answers of the models."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from monitor.wire.table import Table

TIMEOUT_NS = np.iinfo(np.int64).max
"""Latency of an answer that never came: above every limit."""

UNMEASURED_NS = -1
"""Latency where nothing was measured (replay without a journal)."""


class ScoreStatus(IntEnum):
    """How a role answered one feature row."""

    OK = 0
    INCOMPLETE = 1
    ERROR = 2
    TIMEOUT = 3
    NON_FINITE = 4
    WRONG_SHAPE = 5


@dataclass(frozen=True, slots=True)
class Scores:
    """One role's answers to n feature rows.

    `value` (n,) float64, NaN unless `status` is OK; `status` (n,) int8 of `ScoreStatus`; `latency` (n,)
    int64 ns of the batch the row sat in, `UNMEASURED_NS` where nothing was measured.
    """

    value: NDArray[np.float64]
    status: NDArray[np.int8]
    latency: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64] | slice) -> Scores:
        """The answers of some rows, in the order given."""
        return Scores(self.value[rows], self.status[rows], self.latency[rows])


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one task in folding order: per stream sorted, with columns `eff` and final `fate`.

    Across streams the order is by effective time, at equal times features, orders, outcomes.
    """

    features: Table | None
    orders: Table | None
    outcomes: Table | None
    scores: dict[str, Scores]
