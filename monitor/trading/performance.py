"""What equity comes to: functions of money integers (1e-18 of one currency), no state, no time.

Sums of squares are in the square of that unit. Quotients are made of exact integers and rounded once.
"""

from __future__ import annotations

import math

BPS = 10_000


def net_profit(equity: int, transfers: int, start: int = 0) -> int:
    """Net profit and loss since an instant: equity without the capital brought in since, minus equity then.

    `transfers`: capital brought in since that instant; `start`: the equity at it.
    """
    return equity - transfers - start


def drawdown(high_water: int, allocated: int) -> float:
    """Fall from the high-water mark as a fraction of it: (H - E) / H, of exact integers.

    `allocated` E = allocated capital + net profit; `high_water` H = the largest E so far, the capital at the
    start included, so that H > 0: a book that only loses is in drawdown from its first loss on.

    >>> drawdown(1_000, 980)
    0.02

    Raises:
        ValueError: H is not positive or below E.
    """
    if high_water <= 0 or high_water < allocated:
        raise ValueError(f"high-water mark {high_water} must be positive and at least {allocated}")
    return (high_water - allocated) / high_water


def difference(challenger: int, incumbent: int) -> int:
    """Challenger minus incumbent: positive is good for the challenger. With net profits of
    ({shadow, paper}, {active, paper}) the model effect, of ({active, paper}, {active, real}) the execution
    effect; the two add up to the divergence of ({shadow, paper}, {active, real})."""
    return challenger - incumbent


def bps_of(amount: int, capital: int) -> float:
    """Money as basis points of capital.

    Raises:
        ValueError: the capital is not positive.
    """
    if capital <= 0:
        raise ValueError(f"capital {capital} must be positive")
    return amount * BPS / capital


def bps_traded(gap: int, traded: int, traded_too: int, floor: int) -> float | None:
    """A difference D in basis points of what two books traded: 1e4 D / max((N_a + N_b) / 2, floor).

    The mean of the two, so that neither can be near zero alone. None where it is 0, and where busts took back
    more than one of them traded. It hides a model that
    only trades more: read it beside the basis points of capital.

    >>> round(bps_traded(118, 4_900_000, 5_000_000, 100), 2)  # the first example of docs/trading.md
    0.24
    >>> round(bps_traded(-4_001, 5_000_000, 5_000_000, 100), 1)  # the second
    -8.0
    """
    if traded < 0 or traded_too < 0:
        return None
    base = max(traded + traded_too, 2 * floor)
    return gap * 2 * BPS / base if base > 0 else None


def z_score(n: int, total: int, squares: int) -> float | None:
    """How many standard errors the sum of `n` values lies from 0: sum / (s sqrt(n)), s their standard
    deviation (n - 1). None below two values, and where they do not vary.

    Of differences of two books over the same steps of time it says whether D is more than their noise; under
    no difference it is about normal for many steps that do not depend on each other.

    >>> n, s = 100, 14.8  # 100 differences with s sqrt(n) = 148
    >>> of = lambda d: z_score(n, round(d * 10**18), round((d * d / n + s * s * (n - 1)) * 10**36))
    >>> round(of(118), 1), round(of(-4_001))
    (0.8, -27)
    """
    spread = n * squares - total * total
    if n < 2 or spread <= 0:
        return None
    return math.copysign(math.sqrt(total * total * (n - 1) / spread), total)


def noise(n: int, total: int, squares: int) -> float | None:
    """s sqrt(n), the standard error of the sum of `n` values, in their unit; None below two values.

    >>> noise(2, 0, 2), noise(1, 5, 25)
    (2.0, None)
    """
    return math.sqrt((n * squares - total * total) / (n - 1)) if n > 1 else None


def sharpe_ratio(n: int, total: int, squares: int) -> float | None:
    """Mean over standard deviation (n - 1) of `n` returns, of one step of time.

    Returns are differences of equity by the allocated capital, which cancels out. A step without profit or
    loss is a return of 0. None below two returns, and where they do not vary: a book that did nothing has no
    ratio.

    >>> sharpe_ratio(4, 2, 6), sharpe_ratio(3, 3, 3)
    (0.3872983346207417, None)

    Source: Sharpe, The Sharpe ratio, Journal of Portfolio Management 21 (1994).
    """
    z = z_score(n, total, squares)
    return None if z is None else z / math.sqrt(n)


def sharpe_error(ratio: float, n: int) -> float:
    """Standard error of the ratio of one step: sqrt((1 + SR^2 / 2) / n), for independent normal returns.

    A year of daily returns knows the annualised ratio to within +- 1, a finer grid no better: it is time
    that tells, not rows.

    >>> round(sharpe_error(0.1, 252) * math.sqrt(252), 3)
    1.002

    Source: Lo, The statistics of Sharpe ratios, Financial Analysts Journal 58 (2002).
    """
    return math.sqrt((1 + ratio * ratio / 2) / n)


def effective_returns(n: int, lag1: float | None) -> float:
    """Independent returns that tell as much as `n` of which neighbours correlate by `lag1`: n (1 - r) / (1 +
    r) for r > 0, else n.

    >>> effective_returns(100, 0.25), effective_returns(100, -0.3), effective_returns(100, None)
    (60.0, 100.0, 100.0)

    Source: the first-order autocorrelation of Lo (2002), section "Time aggregation".
    """
    r = 0.0 if lag1 is None else max(lag1, 0.0)
    return n * (1 - r) / (1 + r)


def turnover(traded: int, gross: int, instants: int) -> float | None:
    """Traded notional over the average gross book, `gross` being the sum over `instants`: how often the book
    was traded. A full swap, everything sold and as much bought, is 2. None where the book was empty, and
    where busts took back more than was traded.

    >>> turnover(200, 300, 3)
    2.0
    """
    return traded * instants / gross if gross > 0 and traded >= 0 else None


def relative_divergence(gap: int, incumbent: int, floor: int) -> float | None:
    """D / max(|dE_b|, floor): the gap between two books of one model as a fraction of the incumbent's P&L.

    A test of twins. For two good but different models it is large in most windows, and in half of those the
    challenger is the better one: those are judged on the model effect. None where the denominator is 0.

    >>> relative_divergence(-50, 1_000, 100), relative_divergence(-50, 2, 100)
    (-0.05, -0.5)
    """
    base = max(abs(incumbent), floor)
    return gap / base if base else None
