"""`Scores`: how a role answered a batch of feature rows; what models give and the folds take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from monitor.wire.served import TIMEOUT_NS, UNKNOWN_NS

__all__ = ["TIMEOUT_NS", "UNMEASURED_NS", "ScoreStatus", "Scores"]

UNMEASURED_NS = UNKNOWN_NS
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

    @staticmethod
    def concat(parts: Sequence[Scores]) -> Scores:
        """The answers to all rows, in the order given."""
        if len(parts) == 1:
            return parts[0]
        return Scores(
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.status for part in parts]),
            np.concatenate([part.latency for part in parts]),
        )
