"""How far the shares of bins wander by themselves: what a p-value of drift is measured with.

Built once from the panes of the reference and frozen with it. Ticks are no independent draws: under AR(0.9) a
nominal 1 % of chi-square is really 65 %, and a season of the day looks like drift every day. So residuals of
pane counts are taken against the time of day, and their long-run covariance is estimated from blocks that are
long against the correlation time (`long_run`).

With `z` the residual counts of a block over the groups of PSI, each divided by the square root of its
expected share, `V = sum z z' / sum n` is the covariance of an event's share, its dependence on all others
included; for independent draws all its eigenvalues are 1. Shares of a window deviate from what is expected
with covariance `V scale(time of day) (1 / M + 1 / N)`, M live and N reference values at that time of day, so
under no drift PSI is distributed as `sum lambda_i chi2_1` times that (Rao and Scott, Ann. Statist. 12, 1984).
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.stats.grouping import MAX_GROUPS, equal_mass_groups
from monitor.stats.long_run import MIN_BLOCKS, Blocks, lengthened, long_run
from monitor.stats.season import SLOT_NS, SLOTS, interpolated, slot_of

PANE_NS = 60 * 10**9
MIN_CYCLES = 5
"""Daily cycles below which the time of day is not known well enough for a window under a day."""

_NEIGHBOURS = 2
_PRIOR_BLOCKS = 10
"""The spread at a time of day is that of the slots within an hour, drawn to the mean by so many blocks."""

_OUTAGE_SHARE, _OUTAGE_VALUES = 0.02, 50
"""Missing values of a half hour above the usual, in share and number, that make it an outage."""

_OUTAGES_MOST = 0.05
"""Of all half hours; where more are so, that is the norm."""

_WILDEST = 5.0
"""Times the mean spread that one block may count for in the spread of a time of day."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The dependence of one column in the reference.

    `profile[slot][bin]` are reference counts by slot of the UTC day (48) and bin, missing values last.
    `cycles` = days that a slot holds on average. Where `fault` says why there is none, the rest is empty:
    `eigenvalues` of V in falling order; `edge_effects[j]` = long-run variance of `x < edge j`, over that of
    independent draws; `scales[slot]` = spread at that time of day over the mean one; `design_effect` = mean
    eigenvalue (values are worth 1 / this in independent ones); `correlation_s` = largest eigenvalue in
    seconds of events (the integrated correlation time, where a column depends on itself through and through);
    `block_s` and `blocks` that all were estimated from.
    """

    pane_s: int
    cycles: int
    events_per_s: float
    profile: tuple[tuple[int, ...], ...]
    fault: str | None = None
    eigenvalues: tuple[float, ...] = ()
    edge_effects: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    design_effect: float | None = None
    correlation_s: float | None = None
    block_s: int | None = None
    blocks: int = 0

    def __post_init__(self) -> None:
        if len(self.profile) != SLOTS or len({len(row) for row in self.profile}) != 1:
            raise ValueError(f"`profile` must have {SLOTS} rows of one length")
        if min(map(min, self.profile)) < 0:
            raise ValueError("`profile` cannot be negative")
        if self.fault is None and (len(self.scales) != SLOTS or self.blocks < MIN_BLOCKS):
            raise ValueError(f"`scales` must have {SLOTS} values and `blocks` be at least {MIN_BLOCKS}")


def pane_counts(
    ts_ns: NDArray[np.int64], places: NDArray[np.integer], width: int, pane_ns: int = PANE_NS
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts (panes,) of the panes that hold anything, and their counts by place, (panes, width).

    `ts_ns` and `places` (0 to width - 1, missing values last) are of the same n values, in any order.
    """
    panes, pane = np.unique(ts_ns // pane_ns, return_inverse=True)
    counts = np.bincount(pane * width + places, minlength=panes.size * width)
    return panes * pane_ns, counts.reshape(panes.size, width)


def calibrate(
    starts_ns: NDArray[np.int64],
    counts: NDArray[np.int64],
    groups: NDArray[np.int64] | None = None,
    pane_ns: int = PANE_NS,
) -> Calibration:
    """The calibration of one column from the counts of its panes: (panes,), (panes, bins + 1), nulls last.

    `groups`, (bins,), fixes the groups of PSI (categories); without it they are of equal mass at each time of
    day, so that a season of scale or level leaves them alike. Half hours that missed far more than that time
    of day does are left out, if few: an outage of the feed is no norm. Depends on what the panes hold alone,
    not on their order.
    """
    filled = counts.sum(axis=1) > 0
    order = np.argsort(starts_ns[filled], kind="stable")
    starts, counts = starts_ns[filled][order], counts[filled][order]
    days_and_slots = np.unique(starts // SLOT_NS).size
    usual = ~_outages(starts, counts)
    starts, counts = starts[usual], counts[usual]
    profile = np.zeros((SLOTS, counts.shape[1]), np.int64)
    np.add.at(profile, slot_of(starts), counts)
    slots_filled = int(np.count_nonzero(profile.sum(axis=1)))
    total = int(profile.sum())
    basis = Calibration(
        pane_s=pane_ns // 10**9,
        cycles=days_and_slots // max(1, slots_filled),
        events_per_s=_short(total / max(1, starts.size) / (pane_ns / 1e9)),
        profile=tuple(map(tuple, profile.tolist())),
        fault="no data",
    )
    if not total:
        return basis
    middles = starts + pane_ns // 2
    shares = shares_by_slot(profile)
    residuals, kinds = _group_residuals(middles, counts, shares, _groups_by_slot(profile, groups))
    if kinds < 2:
        return msgspec.structs.replace(basis, fault="a single value: nothing varies")
    n = counts.sum(axis=1)
    found = long_run(starts, n, residuals, kinds - 1, pane_ns)
    if isinstance(found, str):
        return msgspec.structs.replace(basis, fault=found)
    blocks = found.blocks
    # What the time of day took away by being fitted to the same blocks.
    fitted = 1 - min(1.0, blocks.length_ns / SLOT_NS) / max(2, basis.cycles)
    eigenvalues = found.eigenvalues / fitted
    edges, correlation = blocks.variances(blocks.sums(_edge_residuals(middles, counts, shares)))
    edges *= lengthened(correlation) * total / max(1, int(counts[:, :-1].sum())) / fitted
    return msgspec.structs.replace(
        basis,
        fault=None,
        eigenvalues=tuple(map(_short, eigenvalues.tolist())),
        edge_effects=tuple(map(_short, edges.tolist())),
        scales=tuple(map(_short, _scales(slot_of(starts), n, blocks, blocks.sums(residuals)).tolist())),
        design_effect=_short(float(eigenvalues.mean())),
        correlation_s=_short(float(eigenvalues[0]) / basis.events_per_s),
        block_s=blocks.length_ns // 10**9,
        blocks=blocks.number,
    )


def _outages(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Panes, (panes,), of half hours that missed far more than the median day at their time.

    Else an outage on one morning of the reference would be expected of every morning.
    """
    halves, half = np.unique(starts // SLOT_NS, return_inverse=True)
    n = np.bincount(half, counts.sum(axis=1).astype(np.float64), minlength=halves.size)
    missing = np.bincount(half, counts[:, -1].astype(np.float64), minlength=halves.size)
    slot = halves % SLOTS
    usual = np.zeros(SLOTS)
    for each in np.unique(slot).tolist():
        usual[each] = np.median((missing / n)[slot == each])
    out = missing - usual[slot] * n > np.maximum(_OUTAGE_SHARE * n, _OUTAGE_VALUES)
    if np.count_nonzero(out) > _OUTAGES_MOST * halves.size:
        out[:] = False
    return np.asarray(out[half], np.bool_)


def shares_by_slot(profile: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each slot's shares of bins, (slots, bins + 1); NaN where a slot is empty."""
    n = profile.sum(axis=1, keepdims=True)
    return np.where(n > 0, profile / np.maximum(n, 1), np.nan)


def _groups_by_slot(profile: NDArray[np.int64], groups: NDArray[np.int64] | None) -> NDArray[np.int64]:
    if groups is None:
        return equal_mass_groups(profile[:, :-1].astype(np.float64))
    return np.broadcast_to(groups, (SLOTS, groups.size))


def _group_residuals(
    middles: NDArray[np.int64],
    counts: NDArray[np.int64],
    shares: NDArray[np.float64],
    groups: NDArray[np.int64],
) -> tuple[NDArray[np.float64], int]:
    """Residual counts of panes by group over the root of the expected share, (panes, 16), and how many groups
    are ever filled at one time of day."""
    slot = slot_of(middles)
    bins = groups.shape[1]
    residuals = np.zeros((middles.size, MAX_GROUPS + 1))
    kinds = 0
    for each in np.unique(slot).tolist():
        rows = slot == each
        joined = np.zeros((bins + 1, MAX_GROUPS + 1))
        joined[np.arange(bins), groups[each]] = 1.0
        joined[bins, MAX_GROUPS] = 1.0
        observed = counts[rows] @ joined
        expected = interpolated(shares, middles[rows]) @ joined
        residual = observed - observed.sum(axis=1, keepdims=True) * expected
        residuals[rows] = residual / np.sqrt(np.where(expected > 0, expected, np.inf))
        kinds = max(kinds, int(np.count_nonzero(observed.sum(axis=0))))
    return residuals, kinds


def _edge_residuals(
    middles: NDArray[np.int64], counts: NDArray[np.int64], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Residual counts of present values below each edge, over sqrt(F (1 - F)): (panes, edges)."""
    below = np.cumsum(counts[:, :-1], axis=1)
    expected = np.cumsum(interpolated(shares, middles)[:, :-1], axis=1)
    whole = expected[:, -1:]
    law = expected[:, :-1] / np.where(whole > 0, whole, 1.0)
    variance = law * (1 - law)
    residual = below[:, :-1] - below[:, -1:] * law
    return residual / np.sqrt(np.where(variance > 1e-12, variance, np.inf))


def _scales(
    slot: NDArray[np.int64], n: NDArray[np.int64], blocks: Blocks, sums: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Spread by slot over the mean spread: of the slots within an hour, drawn to 1 where blocks are few.

    Missing values are left out and no block counts for more than a few: one outage of the feed is no season.
    """
    squares = np.square(sums[:, :MAX_GROUPS]).sum(axis=1)
    mean = squares.sum() / blocks.n.sum()
    squares = np.minimum(squares, _WILDEST * mean * blocks.n)
    share = n / blocks.n[blocks.of_pane]
    spread = _near(slot, share * squares[blocks.of_pane])
    size = _near(slot, n)
    number = _near(slot, share)
    mean = squares.sum() / blocks.n.sum()
    ratio = np.where(size > 0, spread / np.maximum(size, 1), mean) / (mean if mean > 0 else 1.0)
    return np.asarray(1 + (ratio - 1) * number / (number + _PRIOR_BLOCKS), np.float64)


def _near(slot: NDArray[np.int64], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Weights summed by slot with the slots within an hour, around the clock."""
    by_slot = np.bincount(slot, np.asarray(weights, np.float64), minlength=SLOTS)
    reach = range(-_NEIGHBOURS, _NEIGHBOURS + 1)
    return np.asarray(np.sum([np.roll(by_slot, by) for by in reach], axis=0), np.float64)


def _short(number: float) -> float:
    """Nine digits: what an estimate is worth at most, and the same wherever the last bits differ."""
    return float(f"{number:.9g}")
