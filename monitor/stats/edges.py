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
