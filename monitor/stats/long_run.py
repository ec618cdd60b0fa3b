"""The long-run covariance of sums over time: how much what follows each other moves together.

Estimated from sums of blocks, of the shortest length at which neighbouring blocks no longer know of each
other and longer ones show nothing more. Knows nothing of what is summed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_BLOCKS = 40
BLOCK_CORRELATIONS = 10
"""Correlation times in a block, at least."""

_MIN_CHECKS = 10
"""Blocks from which a longer length has a say against a shorter one."""

_NEIGHBOURLY = 0.025
"""Correlation of neighbouring blocks that is let pass: AR(1) leaves so much at ten correlation times."""

_GROWTH = 1.05
_ERRORS = 3.0
"""Variance of longer blocks may be so much above a shorter one's, and so many standard errors of its own."""


class Blocks:
    """Panes in order of time, cut into blocks of `length_ns`; gaps make shorter ones, or none."""

    def __init__(self, starts_ns: NDArray[np.int64], n: NDArray[np.int64], length_ns: int) -> None:
        index = starts_ns // length_ns
        self.length_ns = length_ns
        self._first = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
        self.number = self._first.size
        self.of_pane = np.repeat(np.arange(self.number), np.diff(np.append(self._first, starts_ns.size)))
        self.n = np.add.reduceat(n, self._first)
        self._followed = np.diff(index[self._first]) == 1

    def sums(self, residuals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of residuals of panes, (panes, m), by block: (blocks, m)."""
        return np.add.reduceat(residuals, self._first, axis=0)

    def variances(self, sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each column an event's variance, (m,), and the correlation of neighbouring blocks, (m,)."""
        total = float(self.n.sum())
        variance = np.square(sums).sum(axis=0) / total
        neighbours = (sums[:-1] * sums[1:])[self._followed].sum(axis=0) / total
        return variance, neighbours / np.where(variance > 0, variance, 1.0)


@dataclass(frozen=True, slots=True)
class LongRun:
    """`eigenvalues` of an event's long-run covariance, in falling order, and the `blocks` they are from."""

    blocks: Blocks
    eigenvalues: NDArray[np.float64]


def long_run(
    starts_ns: NDArray[np.int64],
    n: NDArray[np.int64],
    residuals: NDArray[np.float64],
    rank: int,
    pane_ns: int,
) -> LongRun | str:
    """The first `rank` eigenvalues of the covariance of `residuals`, (panes, m); else why there are none.

    Of blocks of 1, 2, 4, ... panes the shortest serves that holds ten correlation times (the largest
    eigenvalue, in events), whose neighbours do not correlate, and against which longer ones show no more
    variance in any of its wide directions, or in all together: weak dependence may be long. What little
    correlation of neighbours is left is put right by `1 + 2 r`, the first term of the sum that a long run is.
    """
    ladder = _ladder(starts_ns, n, pane_ns)
    if not ladder or ladder[0].number < MIN_BLOCKS:
        return f"fewer than {MIN_BLOCKS} panes"
    rate = float(n.sum()) / (n.size * pane_ns)
    for place, blocks in enumerate(ladder):
        if blocks.number < MIN_BLOCKS:
            break
        sums = blocks.sums(residuals)
        # `einsum` rather than BLAS: the same bits whatever the number of threads.
        covariance = np.einsum("bi,bj->ij", sums, sums) / float(blocks.n.sum())
        directions = np.linalg.eigh(covariance)[1][:, ::-1][:, :rank]
        variance, correlation = blocks.variances(_along(sums, directions))
        if blocks.length_ns * rate < BLOCK_CORRELATIONS * variance[0]:
            continue
        wide = variance >= variance.mean()
        limit = _NEIGHBOURLY + _ERRORS / math.sqrt(blocks.number)
        whole = variance * lengthened(correlation)
        if correlation[wide].max() <= limit and not any(
            _more(longer, _along(longer.sums(residuals), directions), whole, wide)
            for longer in ladder[place + 1 :]
        ):
            return LongRun(blocks, np.sort(whole)[::-1])
    return f"fewer than {MIN_BLOCKS} blocks long enough to hold what depends on each other"


def lengthened(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Long-run variance over that of a block whose neighbours correlate so, never below 1."""
    return 1 + 2 * np.clip(correlation, 0.0, 1.0)


def _ladder(starts_ns: NDArray[np.int64], n: NDArray[np.int64], pane_ns: int) -> list[Blocks]:
    ladder: list[Blocks] = []
    while (blocks := Blocks(starts_ns, n, pane_ns << len(ladder))).number >= _MIN_CHECKS:
        ladder.append(blocks)
    return ladder


def _along(sums: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("bi,ij->bj", sums, directions), np.float64)


def _more(
    longer: Blocks, sums: NDArray[np.float64], whole: NDArray[np.float64], wide: NDArray[np.bool_]
) -> bool:
    """Whether longer blocks vary more than what shorter ones say of the long run, beyond chance."""
    variance, _ = longer.variances(sums)
    if not variance.any():
        return False
    error = math.sqrt(2 / longer.number)
    together = math.sqrt(float(np.square(variance).sum())) / float(variance.sum()) * error
    return bool(
        np.any(variance[wide] > whole[wide] * (_GROWTH + _ERRORS * error))
        or variance.sum() > whole.sum() * (_GROWTH + _ERRORS * together)
    )
