"""`Agreement`: over all pairs of answers, whether their signs are equal and how far they lie apart.

Knows no model: `a` is what is compared against, `b` what is compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.stats.estimate import Estimate, Status
from monitor.stats.exact_sums import ExactSums
from monitor.stats.intervals import Interval, mean_interval
from monitor.stats.pair_counts import LARGEST, PairCounts, share

Neutral = tuple[float, float]
"""Values of `a` and of `b` that have neither sign: 0 of a return, 0.5 of a probability."""


def opposed(a: NDArray[np.float64], b: NDArray[np.float64], neutral: Neutral) -> NDArray[np.bool_]:
    """Whether two finite answers have different signs, of their distances from the neutral values.

    Zero is a sign of its own: who wants nothing disagrees with who wants to trade, and two who want nothing
    agree.

    >>> opposed(np.array([1.0, 0.0, 0.0]), np.array([-2.0, 3.0, 0.0]), (0.0, 0.0)).tolist()
    [True, True, False]
    """
    differ: NDArray[np.bool_] = np.sign(a - neutral[0]) != np.sign(b - neutral[1])
    return differ


def gaps(a: NDArray[np.float64], b: NDArray[np.float64], neutral: Neutral) -> NDArray[np.float64]:
    """`b - a` and its square, (m, 2), of the finite pairs of different sign: rows of `ExactSums(GAP)`."""
    finite = np.isfinite(a) & np.isfinite(b)
    rows = np.flatnonzero(finite)[opposed(a[finite], b[finite], neutral)]
    with np.errstate(over="ignore"):
        gap = np.clip(b[rows] - a[rows], -LARGEST, LARGEST)
        return np.column_stack((gap, np.minimum(gap * gap, LARGEST)))


GAP = ("gap", "square")


class Agreement(PairCounts[Neutral]):
    """Counts of signs and the largest difference of all pairs; a pane statistic.

    `n` pairs, `same` of equal sign (see `opposed`), `both_neutral` of these, `one_neutral` of the others;
    `non_finite` left out; `largest` |b - a|.

    >>> agreement = Agreement((0.0, 0.0))
    >>> agreement.update(np.array([1.0, 2.0, -1.0, 0.0]), np.array([1.5, -1.0, -3.0, 0.0]))
    >>> agreement.n, agreement.same, agreement.both_neutral, agreement.largest
    (4, 3, 1, 3.0)
    """

    kinds = ("same", "both_neutral", "one_neutral")
    __slots__ = kinds

    same: int
    both_neutral: int
    one_neutral: int

    def _count(self, a: NDArray[np.float64], b: NDArray[np.float64], apart: NDArray[np.float64]) -> None:
        neutral_a, neutral_b = a == self.spec[0], b == self.spec[1]
        self.same += a.size - int(np.count_nonzero(opposed(a, b, self.spec)))
        self.both_neutral += int(np.count_nonzero(neutral_a & neutral_b))
        self.one_neutral += int(np.count_nonzero(neutral_a ^ neutral_b))


def sign_agreement(panes: Sequence[Agreement], from_ns: int, to_ns: int) -> Estimate:
    """Share of pairs with one sign: `same / n`, exact over all pairs of the window; a fraction, 0 to 1.

    Zero (the neutral value) is a sign of its own (`opposed`). Interval: Wilson's, on the rows that the
    scatter of the panes leaves (`share_interval`), as is `n_eff`. No pair: `insufficient`. `extra`:
    `both_neutral`, `one_neutral`, `non_finite`.
    """
    return share(panes, [pane.same for pane in panes], from_ns, to_ns, _signs(panes))


def disagreement_rate(panes: Sequence[Agreement], from_ns: int, to_ns: int) -> Estimate:
    """Share of pairs of different sign: `1 - sign_agreement`, exact, with its own interval; a fraction.

    How often the challenger would have done something else. Rest as `sign_agreement`.
    """
    return share(panes, [pane.n - pane.same for pane in panes], from_ns, to_ns, _signs(panes))


def disagreement_gap(panes: Sequence[ExactSums], from_ns: int, to_ns: int) -> Estimate:
    """Mean of `b - a` over the pairs of different sign, challenger minus incumbent; in units of the answers.

    Exact over all such pairs: where both agree nothing is at stake, and what they agree on does not thin
    the mean. Positive: where they part, the challenger is the one that wants more. Interval: mean +- 1.96
    standard errors by the scatter of the panes (`mean_interval`); none where the sums leave the floats. No
    such pair: `insufficient`.
    """
    panes = [pane for pane in panes if pane.n]
    if not panes:
        return Estimate(value=None, n=0, status=Status.INSUFFICIENT, from_ns=from_ns, to_ns=to_ns)
    window = panes[0].copy()
    for pane in panes[1:]:
        window.merge(pane)
    sums = [pane.sum("gap") for pane in panes]
    variance = window.variance("gap", "square")
    interval = Interval(float(window.n), None, None)
    if max(variance, *map(abs, sums)) < _WIDEST:
        interval = mean_interval(sums, np.array([pane.n for pane in panes]), variance)
    return Estimate(
        value=window.mean("gap"),
        n=window.n,
        status=Status.OK,
        from_ns=from_ns,
        to_ns=to_ns,
        n_eff=interval.n_eff,
        low=interval.low,
        high=interval.high,
    )


_WIDEST = 1e150
"""Of what has a larger variance, or sums, squares leave the floats."""


def max_abs_difference(panes: Sequence[Agreement], from_ns: int, to_ns: int) -> Estimate:
    """The largest `|b - a|` of all pairs in the window, exact; in units of the answers.

    A maximum grows with `n` and has no interval. A difference beyond the floats counts as the largest of
    them. No pair: `insufficient`. `extra`: `non_finite`.
    """
    n = sum(pane.n for pane in panes)
    return Estimate(
        value=max(pane.largest for pane in panes) if n else None,
        n=n,
        status=Status.OK if n else Status.INSUFFICIENT,
        from_ns=from_ns,
        to_ns=to_ns,
        extra={"non_finite": sum(pane.non_finite for pane in panes)},
    )


def _signs(panes: Sequence[Agreement]) -> dict[str, int]:
    names = ("both_neutral", "one_neutral", "non_finite")
    return {name: sum(getattr(pane, name) for pane in panes) for name in names}
