"""`Family` and `Metric`: what a metric is, how its values are read from a window, and helpers for that.

Knows no particular metric: those are lines of `catalogue`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.engine.books.series import BookValue
from monitor.engine.books.series import Series as BooksSeries
from monitor.engine.rings import WindowView
from monitor.engine.scope import Scope
from monitor.stats.counts import Counts
from monitor.stats.estimate import Estimate, Status
from monitor.stats.integer_counts import stacked
from monitor.stats.intervals import mean_interval, share_interval

Labels = tuple[tuple[str, str], ...]
Value = Callable[[WindowView], Estimate]
Series = Iterator[tuple[Labels, Value]]
"""Labels and value function of each series of a family."""


BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "fraction": (0.0, 1.0),
    "probability": (0.0, 1.0),
    "squared probability": (0.0, 1.0),
    "distance": (0.0, 1.0),
    "correlation": (-1.0, 1.0),
    "seconds": (0.0, None),
    "count": (0.0, None),
    "per second": (0.0, None),
    "nats": (0.0, None),
    "evidence": (0.0, None),
}
"""Of the values of a unit. A `ratio` has none: a full swap is a turnover of 2."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric by name. `blame`: whom a bad value speaks against, and so what a rule may do about it
    (`settings.blame`).

    `of(scope)` yields labels and value functions of the pane metrics; None for metrics of the books, of which
    `book(scope)` yields the series: they are made from books at instants. `every_ns`: shortest useful
    schedule, 0 = every evaluation. `kinds`: of the outputs of models that have it, () where all have;
    `stream`: the optional input it is made of. `made_of`: what its documentation is in: statistics, or
    functions that read them. `windowed`: whether it is read over windows; a sequence counts from its own
    start. `ticks`: whether rules may ask for it at every tick, and not only at every evaluation. `n_of`: what
    its `n` counts, where that is bounded (`settings.thresholds`). `signed`: whether it may be negative
    though its unit is not.
    """

    name: str
    labels: tuple[str, ...]
    unit: str
    blame: str
    every_ns: int
    meaning: str
    of: Callable[[Scope], Series] | None
    heavy: bool = False
    """Whether a value takes milliseconds: it may then be made in another thread."""
    kinds: tuple[str, ...] = ()
    stream: str = ""
    made_of: tuple[Any, ...] = ()
    windowed: bool = True
    book: BooksSeries | None = None
    ticks: bool = False
    capital: bool = False
    """Whether it is measured against capital."""
    n_of: str = "rows"
    signed: bool = False

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The least and the largest value it can have; None where there is none."""
        low, high = BOUNDS.get(self.unit, (None, None))
        return (None if self.signed else low), high

    @property
    def group(self) -> str:
        """The module of `measures` that it lies in; `books` for metrics of books."""
        return "books" if self.of is None else self.of.__module__.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a deployment: family and labels, sorted by label name."""

    family: Family
    labels: Labels
    value: Value


@dataclass(frozen=True, slots=True)
class BookMetric:
    """One metric of books of a deployment: family and labels, sorted by label name; `books` it rests on;
    `applies`: whether it may ever have a value."""

    family: Family
    labels: Labels
    value: BookValue
    books: tuple[str, ...]
    applies: bool = True


def estimate(view: WindowView, value: float, n: int, **more: Any) -> Estimate:
    """`value` over the window: insufficient where `n` is 0, unknown where it is not finite."""
    if n == 0:
        return nothing(view)
    status = Status.OK if math.isfinite(value) else Status.UNKNOWN
    return Estimate(
        value=value if status is Status.OK else None,
        n=n,
        status=status,
        from_ns=view.from_ns,
        to_ns=view.to_ns,
        **more,
    )


def nothing(view: WindowView, status: Status = Status.INSUFFICIENT) -> Estimate:
    """No row in the window."""
    return Estimate(value=None, n=0, status=status, from_ns=view.from_ns, to_ns=view.to_ns)


def counts_of(view: WindowView, key: str) -> Counts | None:
    """The counters of that key over the window; None where no pane has them."""
    found: Counts | None = view.statistic(key)
    return found


def ratio(key: str, bad: tuple[str, ...], total: tuple[str, ...]) -> Value:
    """Share of some counters of `key` in others."""

    def value(view: WindowView) -> Estimate:
        counts = counts_of(view, key)
        by_pane = view.by_pane(key, stacked)
        if counts is None or by_pane is None:
            return nothing(view)
        places = counts.places
        return share(view, by_pane[:, places(bad)].sum(axis=1), by_pane[:, places(total)].sum(axis=1))

    return value


def share(view: WindowView, events: NDArray[np.int64], totals: NDArray[np.int64], **more: Any) -> Estimate:
    """`sum(events) / sum(totals)`, (panes,) counts each, in the order of the panes as `view.by_pane` gives
    them; `n_eff` and interval by `intervals.share_interval`. Insufficient without a row."""
    n = int(totals.sum())
    if n == 0:
        return nothing(view)
    n_eff, low, high = share_interval(events, totals)
    return estimate(view, int(events.sum()) / n, n, n_eff=n_eff, low=low, high=high, **more)


def mean(
    view: WindowView,
    sums: Sequence[float] | NDArray[np.int64],
    totals: NDArray[np.int64],
    variance: float,
    **more: Any,
) -> Estimate:
    """`sum(sums) / sum(totals)`, (panes,) each, of rows of `variance`; `n_eff` and interval by
    `intervals.mean_interval`. Insufficient without a row."""
    n = int(totals.sum())
    if n == 0:
        return nothing(view)
    n_eff, low, high = mean_interval(sums, totals, variance)
    value = math.fsum(float(x) for x in sums) / n
    return estimate(view, value, n, n_eff=n_eff, low=low, high=high, **more)


def sorted_labels(*labels: tuple[str, str]) -> Labels:
    """Labels in the order of their names."""
    return tuple(sorted(labels))


def seconds_text(ns: int) -> str:
    """Nanoseconds as seconds in plain decimal text: 500_000_000 -> "0.5"."""
    whole, rest = divmod(ns, 1_000_000_000)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else str(whole)
