"""What the sign of a prediction earns of the return after it, in basis points; their means are metrics.

Knows neither books nor fills: one unit a prediction, at mids.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BPS = 10_000

Floats = NDArray[np.float64]


def net_edges(prediction: Floats, neutral: float, returns: Floats, cost_bps: float) -> Floats:
    """Net edge: mean of sign(prediction - neutral) x forward mid return - cost, in bps a prediction.

    `neutral` is 0, of a probability 0.5; predictions at it, or without a return, do not count. The cost is
    that of a round trip. All predictions of the window, exact, not a sample. Interval and `t` in `extra`: by
    Newey-West over panes with a lag of ceil((lag + h) / pane), never narrower than of independent rows; where
    panes are too few for that, from their scatter (`mean_interval`). `breakeven_cost_bps` in `extra`: the
    cost at which the edge is 0; `left_out`: predictions without a return, since a mid was missing, or doubled
    or halved, which comes of a bad tick.

    >>> net_edges(np.array([0.7, -0.1, 0.0]), 0.0, np.array([0.001, 0.0005, 0.01]), 2.0).tolist()
    [8.0, -7.0]

    Source: Newey and West, Econometrica 55 (1987); breakeven cost: Grinold and Kahn, Active Portfolio
    Management (2000), 16.
    """
    sign = np.sign(prediction - neutral)
    edges: Floats = (sign * returns * BPS - cost_bps)[np.abs(sign) == 1.0]
    return edges


HITS = ("hit", "missed", "zero", "left_out")
"""What became of a prediction: its sign came true, the opposite did, either was zero, there is no return."""


def hits(prediction: Floats, neutral: float, returns: Floats) -> NDArray[np.int64]:
    """Hit rate: share of predictions whose sign (of prediction - neutral) is that of the forward mid return.

    `neutral` is 0, of a probability 0.5. Predictions at it and returns of 0 have no direction: such rows are
    not in the share, and counted as `zeros` in `extra`; `left_out` as of `net_edges`. All predictions of the
    window that waited, not a sample. `n_eff` and interval by `share_interval`.

    Returns:
        Counts (4,) in the order of `HITS`, of predictions that are finite.

    >>> hits(np.array([0.7, 0.2, 0.5, 0.9]), 0.5, np.array([0.001, 0.002, 0.01, np.nan])).tolist()
    [1, 1, 1, 1]
    """
    asked = np.isfinite(prediction)
    sign, way = np.sign(prediction[asked] - neutral), np.sign(returns[asked])
    left_out = np.count_nonzero(np.isnan(way))
    product = sign * way
    hit, missed = np.count_nonzero(product > 0.0), np.count_nonzero(product < 0.0)
    return np.array([hit, missed, product.size - left_out - hit - missed, left_out], np.int64)


def disagreement_edges(shadow_sign: Floats, active_sign: Floats, returns: Floats) -> Floats:
    """Disagreement edge: mean of (sign of shadow - sign of active) / 2 x forward mid return, in bps, over the
    predictions whose signs differ: who was right where they disagree. Positive: the shadow.

    Half the difference of what both earn: opposite signs give the return in the shadow's direction, a sign
    against none half of it. Costs are left out, both sides of a reversed position having them. Interval as of
    `net_edges`.

    >>> shadow, active = np.array([1.0, 1.0, 1.0]), np.array([-1.0, 0.0, 1.0])
    >>> disagreement_edges(shadow, active, np.array([0.001] * 3)).tolist()
    [10.0, 5.0]
    """
    apart = shadow_sign - active_sign
    edges: Floats = (apart / 2.0 * returns * BPS)[np.abs(apart) > 0.0]
    return edges
