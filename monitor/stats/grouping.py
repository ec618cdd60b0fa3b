"""How fine bins are joined into the few that PSI compares. Knows counts or shares only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_GROUPS = 15
"""Groups of values; the missing ones are a sixteenth."""


def equal_mass_groups(
    mass: NDArray[np.float64], most: int = MAX_GROUPS, below: NDArray[np.float64] | None = None
) -> NDArray[np.int64]:
    """Group (0 to `most` - 1) of each bin of rows of masses (rows, bins): neighbours of about equal mass.

    A bin goes where the middle of its mass lies on a scale of `most` equal parts, so that a heavy bin stays
    alone and light ones join; some groups may stay empty. At most `most` bins are a group each. `below`: the
    sums of the mass up to each bin, where they are known.

    >>> equal_mass_groups(np.array([[1.0] * 30]))[0].tolist() == [i // 2 for i in range(30)]
    True
    >>> equal_mass_groups(np.array([[5.0, 0.0, 1.0]])).tolist()
    [[0, 1, 2]]
    """
    rows, bins = mass.shape
    if bins <= most:
        return np.broadcast_to(np.arange(bins), (rows, bins)).astype(np.int64)
    below = np.cumsum(mass, axis=1) if below is None else below
    total = np.where(below[:, -1:] > 0, below[:, -1:], 1.0)
    groups = (most * (below - mass / 2) / total).astype(np.int64)
    return np.minimum(groups, most - 1)


def group_starts(counts: NDArray[np.int64], most: int = MAX_GROUPS) -> tuple[int, ...]:
    """First bins of the groups that `equal_mass_groups` makes of one row, empty groups left out.

    >>> group_starts(np.array([9, 0, 1, 1]), most=2)
    (0, 1)
    """
    groups = equal_mass_groups(counts[None, :].astype(np.float64), most)[0]
    return tuple(np.flatnonzero(np.diff(groups, prepend=-1)).tolist())
