"""Information coefficients: how well predictions rank the returns that followed, within symbols.

Pairs of (prediction, forward return) come in as samples; where returns come from it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.stats.estimate import Estimate
from monitor.stats.newey_west import enough, newey_west
from monitor.stats.rank import rank_correlation, rhos
from monitor.stats.ranks import LEAST_PAIRS, Ranks
from monitor.stats.sample import Pairs, WindowSample


def information_coefficient(
    sample: WindowSample, panes: Sequence[Pairs], lag: int, from_ns: int, to_ns: int
) -> Estimate:
    """IC = Spearman(prediction_t, mid return over [t + lag, t + lag + h)) within each symbol, averaged by n.

    No unit, -1 to 1. Value, `n`, `n_eff`, statuses and interval are those of `rank_correlation`: overlapping
    returns depend on each other, which `n_eff` shows. `extra` also has, over the panes in which a symbol has
    3 pairs or more: `panes`, `pane_mean`, `icir` = mean / standard deviation of their ICs, and, where there
    are enough panes, `t` = mean over its Newey-West standard error with `lag` panes.

    A mid is (bid + ask) / 2 of the symbol's own last uncrossed quote no wider than `books.max_spread_bps`, at
    most `books.mark_staleness` old; without one at either end there is no return. Nor is there where the mid
    doubles or halves. A pair belongs to the moment at which its horizon ends.

    Source: Grinold and Kahn, Active Portfolio Management (2000), 6; Newey and West, Econometrica 55 (1987).
    """
    estimate = rank_correlation(sample, from_ns, to_ns)
    values = pane_coefficients(panes)
    return msgspec.structs.replace(estimate, extra=estimate.extra | over_time(values, lag))


def over_time(values: NDArray[np.float64], lag: int) -> dict[str, float | int]:
    """What a series of ICs says of their mean: `panes`, `lag`, `pane_mean`, `icir`, `t`; the last two where
    they exist.

    >>> {name: round(value, 6) for name, value in over_time(np.array([0.1, 0.3] * 6), 0).items()}
    {'panes': 12, 'lag': 0, 'pane_mean': 0.2, 'icir': 1.914854, 't': 6.63325}
    """
    found: dict[str, float | int] = {"panes": values.size, "lag": lag}
    if not values.size:
        return found
    mean = math.fsum(values.tolist()) / values.size
    found["pane_mean"] = mean
    if values.size > 1:
        deviation = newey_west(values, 0) * math.sqrt(values.size)
        if deviation > 0.0:
            found["icir"] = mean / deviation
        if enough(values.size, lag) and (error := newey_west(values, lag)) > 0.0:
            found["t"] = mean / error
    return found


def pane_coefficients(panes: Sequence[Pairs]) -> NDArray[np.float64]:
    """The IC of each pane that has one, in their order: within symbol, averaged by n."""
    panes = [pane for pane in panes if len(pane)]
    if not panes:
        return np.empty(0)
    pairs = Pairs.concat(list(panes))
    place = np.repeat(np.arange(len(panes)), [len(pane) for pane in panes])
    symbols, symbol = np.unique(pairs.symbol_key, return_inverse=True)
    ranks = Ranks.of(place * symbols.size + symbol, pairs.a, pairs.b)
    of = place[ranks.place[ranks.starts]]
    rho, weight = np.array(rhos(ranks)), ranks.sizes.astype(np.float64)
    weight[(ranks.sizes < LEAST_PAIRS) | np.isnan(rho)] = 0.0
    total = np.bincount(of, weight, len(panes))
    sums = np.bincount(of, np.where(weight > 0.0, rho, 0.0) * weight, len(panes))
    return sums[total > 0.0] / total[total > 0.0]


def after_costs(sample: WindowSample, cost: float, neutral: float) -> WindowSample:
    """The sample with returns net of `cost` (a fraction) in the direction of the prediction.

    A prediction above `neutral` buys and earns r - cost, one below sells and earns -(r + cost): as a return
    in which up is good that is r + cost. One at `neutral` does not trade. Our own notion, which says whether
    the ranking survives costs; what is earned a trade is `net_edge_bps`.
    """
    return replace(sample, pairs=net_of_costs(sample.pairs, cost, neutral))


def net_of_costs(pairs: Pairs, cost: float, neutral: float) -> Pairs:
    """Pairs with `b` net of `cost` in the direction of `a`: see `after_costs`."""
    return replace(pairs, b=pairs.b - np.sign(pairs.a - neutral) * cost)
