"""`ScriptedScorer`: answers, failures and latencies that are a function of the row and a seed, without a
model.

For runs that must come out the same where real latencies would differ: crash simulation, and replay without
models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.engine.rows import TIMEOUT_NS, UNMEASURED_NS, Scores, ScoreStatus
from monitor.wire.keys import combine, hash64
from monitor.wire.table import Table

VALUE_SCALE: Final = 1e-4

_FAULTS = np.array(
    [ScoreStatus.ERROR, ScoreStatus.TIMEOUT, ScoreStatus.NON_FINITE, ScoreStatus.WRONG_SHAPE], np.int8
)


class ScriptedScorer:
    """A role's value is the row's first column plus noise of its own, times 1e-4: roles agree, but not quite.

    A row without a finite first column is incomplete. Of the others the share `faults` fails, by turns in
    each way. Latency is 20 to 50 us, of one row in 64 sixteen times that.
    """

    __slots__ = ("_faults", "_seeds", "roles")

    def __init__(self, roles: Sequence[str], seed: int = 0, faults: float = 0.0) -> None:
        self.roles = tuple(roles)
        self._faults = faults
        self._seeds = {role: np.uint64(hash64(f"{seed}/{role}".encode())) for role in self.roles}

    async def score(self, values: NDArray[np.float64], features: Table) -> dict[str, Scores]:
        """`features` must have the column `sample_key`; never suspends."""
        return {role: self._answer(role, values, features["sample_key"]) for role in self.roles}

    def failures(self) -> dict[str, str]:
        """None has a cause."""
        return {}

    def close(self) -> None:
        """Holds nothing."""

    def _answer(self, role: str, values: NDArray[np.float64], keys: NDArray[np.uint64]) -> Scores:
        n = len(values)
        first = values[:, 0] if values.shape[1] else np.zeros(n)
        complete = np.isfinite(first)

        def draw(what: int) -> NDArray[np.uint64]:
            return combine(keys, np.full(n, self._seeds[role]), np.full(n, what, np.uint64))

        status = np.where(
            _unit(draw(0)) < self._faults, _FAULTS[draw(1) % np.uint64(len(_FAULTS))], np.int8(0)
        )
        status = np.where(complete, status, np.int8(ScoreStatus.INCOMPLETE))
        latency = (20_000 + draw(2) % np.uint64(30_000)).astype(np.int64)
        latency = np.where(draw(3) % np.uint64(64) == 0, latency * 16, latency)
        latency = np.where(status == ScoreStatus.TIMEOUT, TIMEOUT_NS, latency)
        noise = _unit(draw(4)) - 0.5
        value = VALUE_SCALE * (np.where(complete, first, 0.0) + noise)
        return Scores(
            np.where(status == ScoreStatus.OK, value, np.nan),
            status,
            np.where(complete, latency, UNMEASURED_NS),
        )


def _unit(hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Hashes as numbers in [0, 1)."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53
