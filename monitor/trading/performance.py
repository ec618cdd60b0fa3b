"""Relations between equities: functions of money integers (1e-18 of one currency), no state, no time."""

from __future__ import annotations


def net_profit(equity: int, transfers: int, start: int = 0) -> int:
    """Net profit and loss since an instant: equity without the capital brought in since, minus equity then.

    `transfers`: capital brought in since that instant; `start`: the equity at it.
    """
    return equity - transfers - start


def drawdown(high_water: int, allocated: int) -> float:
    """Fall from the high-water mark as a fraction of it: (H - E) / H, of exact integers.

    `allocated` E = allocated capital + net profit; `high_water` H = the largest E so far, the capital at the
    start included, so that H > 0.

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
    return amount * 10_000 / capital
