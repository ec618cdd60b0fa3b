"""`Ranks`: where each side of a pair stands within its group, and how far the pairs are independent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from monitor.stats.dependence import effective_size

Integers = NDArray[np.int64]

LEAST_PAIRS = 3
"""Fewer pairs of a group say nothing about order."""

MOST_PAIRS = 2_000_000
"""Of one group: beyond, sums of squared ranks, n(n^2 - 1)/3, come near the end of int64."""

_RADIX_BELOW = 1 << 16
"""NumPy's stable sort takes linear time on 16 bits."""


@dataclass(frozen=True, slots=True)
class Side:
    """Per pair its class of equal values: places `low` up to `after` of the sorted groups in a row."""

    low: Integers
    after: Integers

    @property
    def ties(self) -> Integers:
        """Per pair the size of its class, itself included."""
        return self.after - self.low


@dataclass(frozen=True)
class Ranks:
    """n finite pairs brought together by group; all columns are in that order.

    `place`: of each pair, its place in the columns given; `group`: its group, numbered from 0 by `starts`,
    the first place of each group; `sizes`: pairs of each group.
    """

    place: Integers
    group: Integers
    starts: Integers
    sizes: Integers
    a: Side
    b: Side

    def __len__(self) -> int:
        return self.place.size

    def sums(self, values: Integers) -> list[int]:
        """Sum of a column over each group, as Python integers."""
        found: list[int] = np.add.reduceat(values, self.starts).tolist() if len(self) else []
        return found

    def centred(self, side: Side) -> Integers:
        """Twice the average rank within the group, less the group's size + 1: integers that sum to 0."""
        return side.low + side.after - np.repeat(2 * self.starts + self.sizes, self.sizes)

    @cached_property
    def ordered(self) -> list[int]:
        """The groups that have an order to speak of: at least 3 pairs, and neither side constant."""
        large = self.sizes >= LEAST_PAIRS
        for side in (self.a, self.b):
            large &= side.ties[self.starts] < self.sizes
        found: list[int] = np.flatnonzero(large).tolist()
        return found

    @cached_property
    def effective(self) -> float:
        """Pairs of the ordered groups, less their dependence on those before them in their group."""
        return effective_size(self.influence)

    @cached_property
    def influence(self) -> NDArray[np.float64]:
        """How much each pair of the ordered groups moves its group's Spearman's rho, in the columns' order.

        `x_i = R_ab / S_ab - rho / 2 (R_aa / S_aa + R_bb / S_bb)`, where `R_uv = U_i V_i + sum_j sign(u_j -
        u_i) V_j + sum_j sign(v_j - v_i) U_j`, U and V centred ranks, S the scales: the first-order (Hajek)
        projection, `rho - E(rho) = sum(x_i) / n`, ties included. Source: Hoeffding, Ann. Math. Statist. 19
        (1948).
        """
        a, b = self.centred(self.a), self.centred(self.b)
        pull_a, pull_b = _pull(self.a, a), _pull(self.b, b)
        both = a * b + _pull(self.a, b) + _pull(self.b, a)
        products, squares_a, squares_b = (
            np.array(self.sums(column), np.float64) for column in (a * b, a * a, b * b)
        )
        chosen = np.isin(self.group, self.ordered)
        group = self.group[chosen]
        scale = np.sqrt(squares_a * squares_b)
        with np.errstate(invalid="ignore", divide="ignore"):
            rho = products / scale
            of_both, of_a, of_b = (
                (self.sizes * factor)[group] * column[chosen]
                for factor, column in (
                    (1 / scale, both),
                    (rho / (2 * squares_a), a * a + 2 * pull_a),
                    (rho / (2 * squares_b), b * b + 2 * pull_b),
                )
            )
        moved: NDArray[np.float64] = of_both - of_a - of_b
        return moved

    @staticmethod
    def of(label: NDArray[np.generic] | None, a: NDArray[np.float64], b: NDArray[np.float64]) -> Ranks:
        """Rank both sides within each group; `label` (n,) tells groups apart, None: all are one.

        Raises:
            ValueError: more than 2,000,000 pairs in a group.
        """
        n = a.size
        if not n:
            none = np.empty(0, np.int64)
            return Ranks(none, none, none, none, Side(none, none), Side(none, none))
        if label is None:
            place, group = np.arange(n), np.zeros(n, np.int64)
        else:
            _, group = np.unique(label, return_inverse=True)
            place = stable_order(group)
            group = group[place]
            a, b = a[place], b[place]
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        sizes = np.diff(starts, append=n)
        if sizes.max() > MOST_PAIRS:
            raise ValueError(f"rank correlation: {sizes.max()} pairs in a group, at most {MOST_PAIRS}")
        return Ranks(place, group, starts, sizes, _side(group, starts, a), _side(group, starts, b))


def stable_order(keys: Integers) -> Integers:
    """The places of non-negative keys below n or so in ascending order, equal ones in the order given."""
    small = keys.size > 0 and int(keys.max()) < _RADIX_BELOW
    return np.argsort(keys.astype(np.uint16) if small else keys, kind="stable")


def _side(group: Integers, starts: Integers, values: NDArray[np.float64]) -> Side:
    order = np.argsort(values)
    if starts.size > 1:
        order = order[stable_order(group[order])]
    ordered = values[order]
    new = np.empty(values.size, bool)
    new[1:] = ordered[1:] != ordered[:-1]
    new[starts] = True
    first = np.flatnonzero(new)
    after = np.append(first[1:], values.size)
    low = np.empty(values.size, np.int64)
    end = np.empty(values.size, np.int64)
    low[order] = np.repeat(first, after - first)
    end[order] = np.repeat(after, after - first)
    return Side(low, end)


def _pull(side: Side, other: Integers) -> Integers:
    """`sum_j sign(x_j - x_i) other_j` over the group of each i; `other` sums to 0 in each group."""
    running = np.concatenate(([0], np.cumsum(other[stable_order(side.low)])))
    return -(running[side.low] + running[side.after])
