"""A report in a terminal: what stood at the end, for a person; everything is in `report.json`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from rich.console import Console
from rich.table import Table

from monitor.daemon.report import series
from monitor.engine.catalogue import BY_NAME
from monitor.engine.deployment import DeploymentFold
from monitor.engine.readings import Value
from monitor.policy.events import rfc3339
from monitor.stats.estimate import Status
from monitor.trading.units import format_money

DRIFT_SHOWN = 5
SHOWN_DIGITS = 6


def show(console: Console, name: str, fold: DeploymentFold, as_of_ns: int) -> None:
    """Latches, books and metrics of one deployment; of `psi` only the largest few a window."""
    latches = ", ".join(f"{subject} {state}" for subject, state in fold.decider.latches.states.items())
    console.print(f"\n{name} as of {rfc3339(as_of_ns)}: {latches}", style="bold", highlight=False)
    books = Table("book", "cash", "equity", "status", title="Books", title_justify="left")
    for book in fold.equity.books:
        standing = fold.equity.standing(book)
        if standing is not None:
            books.add_row(book, _money(standing.cash), _money(standing.equity), str(standing.status))
    console.print(books)
    table = Table("metric", "value", "n", "status", title="Metrics", title_justify="left")
    table.columns[0].overflow = "fold"
    for family, found in groupby(fold.values(), key=lambda value: value.name):
        values = _largest(found) if family == "psi" else list(found)  # noqa: B031 - either, never both
        if not any(value.estimate.status is Status.OK for value in values):
            statuses = sorted({str(value.estimate.status) for value in values})
            table.add_row(f"{family}, all {len(values)}", "-", "", ", ".join(statuses))
            continue
        for value in values:
            estimate = value.estimate
            what = series(value.name, value.labels, value.window)
            table.add_row(what, _shown(value), f"{estimate.n:,}", str(estimate.status))
    console.print(table)


def _largest(values: Iterable[Value]) -> list[Value]:
    by_window: dict[object, list[Value]] = {}
    for value in values:
        by_window.setdefault(value.window, []).append(value)
    return [
        value
        for found in by_window.values()
        for value in sorted(found, key=lambda v: -(v.estimate.value or 0))[:DRIFT_SHOWN]
    ]


def _shown(value: Value) -> str:
    shown = value.estimate.value
    if shown is None or value.estimate.status is Status.NOT_APPLICABLE:
        return "-"
    if BY_NAME[value.name].unit == "money":
        return _money(int(shown))
    return f"{shown:.{SHOWN_DIGITS}g}"


def _money(amount: int) -> str:
    """To the cent: the exact amount is in the report."""
    whole, _, fraction = format_money(amount).partition(".")
    return f"{whole}.{fraction[:2]:0<2}"
