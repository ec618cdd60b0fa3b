"""A report in a terminal: what stood at the end, for a person; everything is in `report.json`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from monitor.daemon.report import series
from monitor.engine.books.books import Window
from monitor.engine.catalogue import BY_NAME
from monitor.engine.deployment import DeploymentFold
from monitor.engine.family import Labels
from monitor.engine.measures.orders import FILTER, FILTERED, MINE
from monitor.engine.readings import Value
from monitor.policy.durations import format_duration
from monitor.policy.events import rfc3339
from monitor.stats.estimate import Status
from monitor.trading.units import format_money

REASON = "reason"
MANY = ("feature", REASON)
"""Labels with many values, of which the most remarkable are shown."""
MANY_SHOWN = 3
SHOWN_DIGITS = 5


def show(console: Console, name: str, fold: DeploymentFold, as_of_ns: int) -> None:
    """Latches, books and metrics of one deployment, a line a series; of features and reasons only the most
    remarkable, and no series without data where others of its metric have some."""
    latches = ", ".join(f"{subject} {state}" for subject, state in fold.decider.latches.states.items())
    console.print(f"\n{name} as of {rfc3339(as_of_ns)}: {latches}", style="bold", highlight=False)
    console.print(_books(fold), markup=False)
    for line in _lost(fold):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    values = list(fold.values())
    windows = sorted({value.window for value in values}, key=lambda w: (isinstance(w, str), w))
    rows = [["metric", "n", *map(_heading, windows)]]
    silent: dict[str, list[str]] = {}
    for family, found in groupby(values, key=lambda value: value.name):
        series_of = list(found)
        if any(value.estimate.status is Status.OK for value in series_of):
            rows += _lines(family, series_of, windows)
        else:
            status = ", ".join(sorted({str(value.estimate.status) for value in series_of}))
            silent.setdefault(status, []).append(family)
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=False)]
        console.print("  ".join([row[0].ljust(widths[0]), *cells]).rstrip(), soft_wrap=True)
    for status, families in sorted(silent.items()):
        console.print(f"{status}: {', '.join(families)}", soft_wrap=True)


def _lines(family: str, values: Sequence[Value], windows: Sequence[Window]) -> Iterable[list[str]]:
    of: dict[Labels, dict[Window, Value]] = {}
    for value in values:
        of.setdefault(value.labels, {})[value.window] = value
    shown = [
        each
        for each in of.items()
        if any(v.estimate.status is not Status.INSUFFICIENT for v in each[1].values())
    ]
    of_many = next((label for label in BY_NAME[family].labels if label in MANY), None)
    if of_many == REASON:
        # Most reasons never occur: a zero is no news.
        of = {labels: values for labels, values in shown if any(v.estimate.value for v in values.values())}
        shown = list(of.items())
    if of_many is not None:
        smallest = family.endswith("_p_value")
        shown.sort(key=lambda each: _rank(each[1].values(), smallest=smallest))
        shown = shown[:MANY_SHOWN]
    for labels, by_window in shown:
        n = max(value.estimate.n for value in by_window.values())
        cells = [_shown(by_window[window]) if window in by_window else "" for window in windows]
        yield [series(family, labels), f"{n:,}", *cells]
    if len(shown) < len(of):
        yield [f"  ... of {len(of)} {of_many}s" if of_many else f"  {len(of) - len(shown)} more without data"]


def _books(fold: DeploymentFold) -> Table:
    """A line a book: money only where it leaves nothing out, and what is missing where it does."""
    columns = ("book", f"cash ({fold.books.currency})", "equity", "open positions", "status")
    table = Table(*columns, title="Books", title_justify="left")
    for book in fold.books.books:
        standing = fold.books.standing(book)
        if standing is None:
            continue
        symbols = {symbol for state in fold.books.tasks(book).values() for symbol in state.holdings}
        amounts = (_money(standing.cash), _money(standing.equity)) if standing.readable else ("", "")
        why = "; ".join(f"{cause} {', '.join(names)}" for cause, names in fold.books.blind(book).items())
        status = f"{standing.status}{', as it was' if standing.stale else ''}{f': {why}' if why else ''}"
        table.add_row(book, *amounts, str(len(symbols)), status)
    return table


def _lost(fold: DeploymentFold) -> Iterable[str]:
    """What of the input did not come where it belongs, if anything."""
    dead: list[str] = []
    tardy: list[str] = []
    for key, counts in fold.totals.items():
        kind, _, stream = key.partition("/")
        if kind == "rejected":
            dead += [f"{stream} {counts[reason]:,} {reason}" for reason in counts.spec if counts[reason]]
        elif kind == "fates":
            dead += [f"{stream} {counts[fate]:,} {fate}" for fate in ("quarantined",) if counts[fate]]
            tardy += [
                f"{stream} {counts[fate]:,} {fate}" for fate in ("late", "late_applied") if counts[fate]
            ]
    if dead:
        yield f"refused: {', '.join(sorted(dead))}"
    if tardy:
        yield f"behind their bound: {', '.join(sorted(tardy))}"
    reports = fold.lasting(FILTER)
    if reports is not None and (theirs := reports[FILTERED]):
        yield f"filtered out: {theirs:,} of {theirs + reports[MINE]:,} execution reports"


def _rank(values: Iterable[Value], *, smallest: bool) -> float:
    """The most remarkable first: the largest magnitude, or of p-values the smallest."""
    known = [abs(v.estimate.value) for v in values if v.estimate.value is not None]
    if not known:
        return float("inf")
    return float(min(known) if smallest else -max(known))


def _heading(window: Window) -> str:
    if isinstance(window, str):
        return window
    return format_duration(window) if window else "now"


def _shown(value: Value) -> str:
    shown = value.estimate.value
    if shown is None or value.estimate.status is Status.NOT_APPLICABLE:
        return str(value.estimate.status)
    if BY_NAME[value.name].unit == "money":
        return _money(int(shown))
    return f"{shown:.{SHOWN_DIGITS}g}"


def _money(amount: int) -> str:
    """To the cent: the exact amount is in the report."""
    whole, _, fraction = format_money(amount).partition(".")
    return f"{whole}.{fraction[:2]:0<2}"
