"""`Ranks`: where each side of a pair stands within its group. Knows no coefficient that is made of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

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


@dataclass(frozen=True, slots=True)
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
