"""The time of day: a UTC day cut into slots, and how a span of time lies on them.

A profile holds one value a slot, meant at the slot's middle and straight between two middles, so that what
is expected of a window moves smoothly with its place in the day. Knows nothing of what the slots hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DAY_NS = 86_400 * 10**9
SLOT_NS = 1_800 * 10**9
SLOTS = DAY_NS // SLOT_NS


def slot_of(ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Slot (0 to 47) of each instant."""
    return (ts_ns // SLOT_NS) % SLOTS


def slot_seconds(spans_ns: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """Seconds that each span `[from_ns, to_ns)` weighs on each slot, (spans, slots); rows sum to its length.

    An instant weighs on the two slots whose middles enclose it, in proportion to its nearness.

    >>> hour = slot_seconds([(0, 3_600 * 10**9)])[0]
    >>> [round(s) for s in (*hour[:4], hour[-1])]
    [1575, 1575, 225, 0, 225]
    """
    if not spans_ns:
        return np.zeros((0, SLOTS))
    rows = [_on_slots(begin % DAY_NS, (end - begin) % DAY_NS) for begin, end in spans_ns]
    seconds = np.concatenate(rows).reshape(-1, SLOTS)
    if any(end - begin >= DAY_NS for begin, end in spans_ns):
        seconds += np.array([[(end - begin) // DAY_NS] for begin, end in spans_ns]) * (SLOT_NS / 1e9)
    return seconds


@lru_cache(maxsize=4096)
def _on_slots(begin_ns: int, length_ns: int) -> NDArray[np.float64]:
    """Seconds on each slot, (slots,), of a span under a day; kept, as the panes of a window come again."""
    begin = begin_ns / SLOT_NS
    # Middles of a day before to one after the last, so that a span over midnight needs no special case.
    middles = np.arange(-SLOTS, 3 * SLOTS, dtype=np.float64) + 0.5
    weight = _below(begin + length_ns / SLOT_NS - middles) - _below(begin - middles)
    on_slots = np.asarray(weight.reshape(4, SLOTS).sum(axis=0) * (SLOT_NS / 1e9), np.float64)
    on_slots.flags.writeable = False
    return on_slots


def _below(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral up to `x` of the triangle `1 - |x|` over [-1, 1]."""
    x = np.clip(x, -1.0, 1.0)
    return np.where(x < 0, (x + 1) ** 2 / 2, 1 - (1 - x) ** 2 / 2)


def interpolated(profile: NDArray[np.float64], ts_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rows of `profile`, (slots, m), at instants (n,): straight lines between the middles of slots, (n, m).

    A slot whose row holds NaN has no say: the other neighbour alone decides there.
    """
    place = (ts_ns % DAY_NS) / SLOT_NS - 0.5
    before = np.floor(place).astype(np.int64)
    share = (place - before)[:, None]
    first, second = profile[before % SLOTS], profile[(before + 1) % SLOTS]
    first, second = np.where(np.isnan(first), second, first), np.where(np.isnan(second), first, second)
    between: NDArray[np.float64] = (1 - share) * first + share * second
    return between
