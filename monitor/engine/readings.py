"""`Readings`: every metric of a deployment as of its last folded instant, from panes and from books.

Reads what the folds hold, changes nothing, decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from monitor.engine.books.books import Books, Window
from monitor.engine.catalogue import BY_NAME, Catalogue
from monitor.engine.evidence import Evidence
from monitor.engine.family import BookMetric, Family, Labels, Metric
from monitor.engine.grid import Grid
from monitor.engine.panes import Offsets, cover
from monitor.engine.partials import NAMED
from monitor.engine.rings import WindowView
from monitor.policy.docket import Proof
from monitor.policy.rules import Rule
from monitor.stats.estimate import NO_RATE, Estimate, Status
from monitor.trading.units import format_money


@dataclass(frozen=True, slots=True)
class Value:
    """A metric as of an instant, for report and exporter; `window` in ns, 0 for values without one."""

    name: str
    labels: Labels
    window: Window
    estimate: Estimate


class Heavy(NamedTuple):
    """A value that takes milliseconds: a metric over a window, ns."""

    metric: Metric
    window: int


class Readings:
    """`windows_ns`: those of the deployment, ascending; metrics of books also since session and promotion.

    Heavy values are kept as last made. A rule is shown one that was made since the last fold, or it is made
    where the rule asks: the same value wherever it was made."""

    def __init__(
        self,
        grid: Grid,
        catalogue: Catalogue,
        windows_ns: tuple[int, ...],
        evidence: Evidence,
        books: Books,
    ) -> None:
        self._grid = grid
        self._catalogue = catalogue
        self._windows = windows_ns
        self._spans: tuple[Window, ...] = (*windows_ns, "session", "promotion")
        self._evidence, self._books = evidence, books
        self._at = 0
        self._missing = False
        self._made: dict[tuple[str, Labels, int], Estimate] = {}
        self._fresh: set[tuple[str, Labels, int]] = set()
        self.heavy = tuple(
            Heavy(metric, window)
            for window in windows_ns
            for metric in catalogue.metrics
            if metric.family.heavy
        )

    def take(self, at: int, *, missing: bool) -> None:
        """Both folds stand at `at`; `missing`: not every task has said its part."""
        self._at, self._missing = at, missing
        self._fresh.clear()

    def asked(self, rules: Iterable[Rule]) -> list[Heavy]:
        """The heavy values that rules ask for."""
        found = []
        for rule in rules:
            metric = self._catalogue.find(rule.metric, rule.labels)
            if metric is not None and metric.family.heavy and isinstance(rule.window, int):
                found.append(Heavy(metric, rule.window))
        return found

    def work(self, wanted: Iterable[Heavy]) -> list[Callable[[], None]]:
        """One call for each value, which makes and keeps it; in any thread, as long as nothing is folded."""
        return [partial(self._make, heavy, self._view(*heavy)) for heavy in wanted]

    def _make(self, heavy: Heavy, view: WindowView) -> None:
        key = _key(*heavy)
        self._made[key] = self._read(heavy.metric, view)
        self._fresh.add(key)

    def made(self) -> Iterator[Value]:
        """The heavy values as last made; those never made are left out."""
        for heavy in self.heavy:
            name, labels, window = _key(*heavy)
            if (name, labels, window) in self._made:
                yield Value(name, labels, window, self._made[name, labels, window])

    def every(self) -> Iterator[Value]:
        """All metrics, whatever their schedule."""
        return self._values(lambda _: True)

    def due(self, at: int) -> Iterator[Value]:
        """The metrics whose schedule has an instant at `at`, but for heavy ones."""
        return self._values(
            lambda family: not family.heavy and at % self._grid.schedule(family.every_ns) == 0
        )

    def _values(self, wanted: Callable[[Family], bool]) -> Iterator[Value]:
        for metric in self._catalogue.metrics:
            if wanted(metric.family):
                for window in self._windows if metric.family.windowed else (0,):
                    yield Value(metric.family.name, metric.labels, window, self._of_panes(metric, window))
        for of_books in self._catalogue.books:
            if wanted(of_books.family):
                for span in self._spans if of_books.family.windowed else (0,):
                    yield Value(of_books.family.name, of_books.labels, span, self._of_books(of_books, span))

    def estimate(self, rule: Rule) -> Estimate:
        """The value that a rule asks for."""
        of_books = self._catalogue.find_book(rule.metric, rule.labels)
        if of_books is not None:
            return self._of_books(of_books, rule.window)  # type: ignore[arg-type]
        metric = self._catalogue.find(rule.metric, rule.labels)
        if metric is None or not isinstance(rule.window, int):
            return Estimate(value=None, n=0, status=Status.NOT_APPLICABLE, from_ns=self._at, to_ns=self._at)
        return self._of_panes(metric, rule.window)

    def _of_panes(self, metric: Metric, window_ns: int) -> Estimate:
        """A metric over a window, or of a sequence; unknown while a task is missing: its rows are."""
        if metric.family.heavy and (key := _key(metric, window_ns)) in self._fresh:
            return self._made[key]
        return self._read(metric, self._view(metric, window_ns))

    def _view(self, metric: Metric, window_ns: int) -> WindowView:
        every_ns = self._grid.schedule(metric.family.every_ns)
        return self._evidence.window(window_ns or self._windows[0], every_ns)

    def _read(self, metric: Metric, view: WindowView) -> Estimate:
        if self._missing:
            return Estimate(value=None, n=0, status=Status.UNKNOWN, from_ns=view.from_ns, to_ns=view.to_ns)
        return metric.value(view)

    def _of_books(self, metric: BookMetric, window: Window) -> Estimate:
        """A metric of books over a window, 0 for one without; an unknown one names what it is unknown
        for: symbols without position or fresh mark, currencies without fresh rate."""
        made = metric.value(self._books, metric.labels, window, self._at)
        if made.status is not Status.UNKNOWN:
            return made
        names: dict[str, set[str]] = {NO_RATE: set(made.extra.get(NO_RATE, ()))}
        for book in metric.books:
            reading = self._books.reading(book, window) if window else None
            standing = reading.standing if reading is not None else self._books.standing(book)
            names[NO_RATE].update(standing.no_rate if standing is not None else ())
            if standing is self._books.standing(book):
                for cause, found in self._books.blind(book).items():
                    names.setdefault(cause, set()).update(found)
        told = {cause: sorted(found)[:NAMED] for cause, found in names.items() if found}
        return replace(made, extra={**made.extra, **told}) if told else made

    def prove(self, rule: Rule) -> Proof:
        """What the value of a rule rests on: offsets of the panes of its window, sums of the books.

        A sequence rests on the blocks that it took.
        """
        family = BY_NAME[rule.metric]
        if family.of is not None and not family.windowed:
            return Proof({}, self._evidence.sequences.offsets)
        if family.of is not None and isinstance(rule.window, int):
            view = self._evidence.window(rule.window, self._grid.schedule(family.every_ns))
            return Proof({}, view.offsets)
        metric = self._catalogue.find_book(rule.metric, rule.labels)
        # What a book holds now rests on everything since it began, or was promoted.
        window: Window = rule.window or "promotion"  # type: ignore[assignment]
        offsets: Offsets = {}
        for book in metric.books if metric is not None else ():
            cover(offsets, self._books.covered(book, window))
        return Proof(self._sums(), dict(sorted(offsets.items())))

    def _sums(self) -> dict[str, object]:
        """Cash and value of every book, as decimal text."""
        standings = {book: self._books.standing(book) for book in self._books.books}
        return {
            book: {"cash": format_money(standing.cash), "value": format_money(standing.value)}
            for book, standing in standings.items()
            if standing is not None
        }


def _key(metric: Metric, window_ns: int) -> tuple[str, Labels, int]:
    return metric.family.name, metric.labels, window_ns
