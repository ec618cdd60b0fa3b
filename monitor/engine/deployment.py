"""`DeploymentFold`: fold 2. Partials of all tasks, merged in event time; the only place that decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from monitor.engine.catalogue import BY_NAME, Catalogue, Labels, Metric
from monitor.engine.equity import EquitySequences, Window
from monitor.engine.grid import Grid
from monitor.engine.panes import Kind, Pane, PaneBytes
from monitor.engine.partials import BookState, Partial
from monitor.engine.rings import Rings, WindowView
from monitor.engine.sources import Source
from monitor.policy.commands import Command
from monitor.policy.decider import Decider
from monitor.policy.docket import Proof
from monitor.policy.events import Decision
from monitor.policy.rules import ACTIVE, DEPLOYMENT, Rule
from monitor.stats.counts import Counts
from monitor.stats.estimate import Estimate, Status
from monitor.trading.books import book_key

COUNTED = ("fates/", "rejected/", "answers/")

SETTLING_NS = 600 * 1_000_000_000
"""Beside the longest window: how long after the last change instants are still evaluated."""


@dataclass(frozen=True, slots=True)
class Value:
    """A metric as of an instant, for report and exporter; `window` in ns, 0 for values without one."""

    name: str
    labels: Labels
    window: Window
    estimate: Estimate


class _State(msgspec.Struct, frozen=True, array_like=True):
    at: int | None
    changed: int | None
    since: int | None
    missing: tuple[int, ...]


class DeploymentFold:
    """Merges, evaluates, decides. `decisions` grows; the shell publishes and clears it.

    `rows` of a window: panes of all tasks merged before panes are joined, so that the number of tasks cannot
    change a sample.
    """

    def __init__(
        self,
        grid: Grid,
        sources: tuple[Source, ...],
        catalogue: Catalogue,
        windows_ns: tuple[int, ...],
        equity: EquitySequences,
        decider: Decider,
    ) -> None:
        self.grid = grid
        self._kinds: Mapping[str, Kind] = {s.key: s.kind for s in sources}
        self.catalogue = catalogue
        self._windows = windows_ns
        self._all_windows: tuple[Window, ...] = (*windows_ns, "session", "promotion")
        self.equity = equity
        self.decider = decider
        self.decisions: list[Decision] = []
        self.at: int | None = None
        self._changed: int | None = None
        self._rings = Rings(self._kinds, windows_ns)
        self._open: dict[int, tuple[int, dict[str, bytes], dict[str, tuple[int, int]]]] = {}
        self._opened: Pane | None = None
        self._views: dict[int, WindowView] = {}
        self._missing: frozenset[int] = frozenset()
        longest_for = max((rule.for_ns for rule in decider.policy.rules), default=0)
        self._settling = max(windows_ns) + longest_for + SETTLING_NS
        self.totals: dict[str, Counts] = {}
        self._dirty: set[str] = set()

    @property
    def following(self) -> int:
        """The instant after the last evaluated one."""
        assert self.at is not None
        return self.at + self.grid.tick

    @property
    def settled(self) -> bool:
        """Whether nothing that is still in a window has changed for longer than any window.

        There is nothing new to say then: evaluation goes on where something changes, which the owner journals
        as a new start.
        """
        assert self.at is not None
        return self._changed is not None and self.at - self._changed > self._settling

    def evaluate(
        self,
        at: int,
        parts: Mapping[int, Sequence[Partial]],
        missing: frozenset[int] = frozenset(),
        age_ns: int = 0,
    ) -> bool:
        """Fold what the tasks that are not missing said up to `at`, then run the rules due.

        Args:
            parts: by task, its partials with instant <= `at` not folded yet.
            missing: tasks that have not reported `at`.
            age_ns: how late this evaluation is, by the clock or the journal; 0 in a replay without one.

        Returns:
            Whether `age_ns` changed a decision: then it must be journaled.
        """
        self._fold(at, parts, missing)
        step = self.decider.step(at, self._estimate, self._prove, sorted(missing), age_ns=age_ns)
        self.decisions += step.events
        return step.used_age

    def command(self, command: Command, refusal: str | None = None) -> None:
        """Carry out a person's command after the last evaluated instant."""
        at = self.at if self.at is not None else 0
        answer = self.decider.command(command, at, refusal)
        self.decisions += answer.events
        if answer.reset:
            self._rings.restart(at - at % self.grid.pane + self.grid.pane)
            if {ACTIVE, DEPLOYMENT} & set(answer.reset):
                self.equity.restart()
            self._dirty.add("fold")

    def snapshot(self, at: int, parts: Mapping[int, Sequence[Partial]]) -> None:
        """Fold the last words of a replay, as of `at`, which no rule sees."""
        self._fold(at, parts, frozenset())
        if self._opened is not None:
            self._count(self._opened)

    def values(self) -> Iterator[Value]:
        """All metrics as of the last folded instant, whatever their schedule."""
        return self._values(lambda _: True)

    def due(self, at: int) -> Iterator[Value]:
        """The metrics whose schedule has an instant at `at`."""
        return self._values(lambda every_ns: at % max(every_ns, self.grid.evaluation) == 0)

    def _values(self, wanted: Callable[[int], bool]) -> Iterator[Value]:
        at = self.at if self.at is not None else 0
        for metric in self.catalogue.metrics:
            if wanted(metric.family.every_ns):
                for window in self._windows:
                    yield Value(metric.family.name, metric.labels, window, self._of_panes(metric, window))
        for book in self.equity.books:
            labels = book_labels(book)
            yield Value("equity", labels, 0, self.equity.equity(book, at))
            for span in self._all_windows:
                yield Value("pnl_after_costs", labels, span, self.equity.profit(book, span, at))
                yield Value("drawdown", labels, span, self.equity.drawdown(book, span, at))
        for role in self._challengers():
            for span in self._all_windows:
                yield Value("model_effect", (("role", role),), span, self._model_effect(role, span))

    def _of_panes(self, metric: Metric, window: int | str) -> Estimate:
        """A pane metric over a window; unknown while a task is missing: its rows are."""
        view = self._view(window)
        if self._missing:
            return Estimate(value=None, n=0, status=Status.UNKNOWN, from_ns=view.from_ns, to_ns=view.to_ns)
        return metric.value(view)

    def _fold(self, at: int, parts: Mapping[int, Sequence[Partial]], missing: frozenset[int]) -> None:
        closed: dict[int, Pane] = {}
        changed = self._changed is None or missing != self._missing
        for task in sorted(parts):
            for partial in parts[task]:
                changed |= self._fold_one(task, partial, closed)
        for start in sorted(closed):
            self._rings.add(start, closed[start])
        self.at, self._missing = at, missing
        if changed:
            self._changed = at
        if at % self.grid.pane == 0:
            self._rings.drop(at)
        self._opened = None if missing else self._merge_open(at)
        self._views.clear()
        self.equity.take(at, missing=bool(missing))
        self._dirty.add("fold")

    def _fold_one(self, task: int, partial: Partial, closed: dict[int, Pane]) -> bool:
        """Whether it said anything new: a task that has restarted says its books and open pane again."""
        changed = bool(partial.closed)
        for pane in partial.closed:
            decoded = Pane.decode(pane.pane, self._kinds, self.grid.pane)
            if pane.start in closed:
                closed[pane.start].merge(decoded)
            else:
                closed[pane.start] = decoded
            self._count(decoded)
        if partial.books is not None:
            changed |= self.equity.fold(task, partial.books)
        if partial.open is not None:
            before = self._open.get(task)
            start, saying = partial.open.start, partial.open.pane
            said = before[1] if before is not None and before[0] == start else {}
            opened = (start, {**said, **saying.statistics}, saying.offsets)
            if opened != before:
                self._open[task] = opened
                self._dirty.add(f"open/{task}")
                changed = True
        return changed

    def _count(self, pane: Pane) -> None:
        """Fates and rejections count for ever, beyond every window."""
        for key, statistic in pane.statistics.items():
            if key.startswith(COUNTED):
                total = self.totals.get(key)
                if total is None:
                    self.totals[key] = statistic.copy()
                else:
                    total.merge(statistic)
                self._dirty.add("totals")

    def _merge_open(self, at: int) -> Pane | None:
        """The open finest pane, merged over the tasks."""
        start = at - at % self.grid.pane
        if self._rings.since is not None and start < self._rings.since:
            return None
        merged: Pane | None = None
        for task in sorted(self._open):
            begun, statistics, offsets = self._open[task]
            if begun == start and at != start:
                pane = Pane.decode(PaneBytes(statistics, offsets), self._kinds, self.grid.pane)
                if merged is None:
                    merged = pane
                else:
                    merged.merge(pane)
        return merged

    def _view(self, window: int | str) -> WindowView:
        """The panes of a window; of the longest where the rule's is none of panes (a session, an instant)."""
        assert self.at is not None
        if window not in self._windows or isinstance(window, str):
            window = max(self._windows)
        view = self._views.get(window)
        if view is None:
            view = self._views[window] = self._rings.window(window, self.at, self._opened)
        return view

    def _estimate(self, rule: Rule) -> Estimate:
        assert self.at is not None
        family = BY_NAME[rule.metric]
        if family.of is None:
            return self._money(rule)
        metric = self.catalogue.find(rule.metric, rule.labels)
        if metric is None:
            return Estimate(value=None, n=0, status=Status.NOT_APPLICABLE, from_ns=self.at, to_ns=self.at)
        return self._of_panes(metric, rule.window)

    def _money(self, rule: Rule) -> Estimate:
        assert self.at is not None
        labels = dict(rule.labels)
        book = book_key(labels.get("role", ""), labels.get("fills", ""))
        window: Window = rule.window  # type: ignore[assignment]
        match rule.metric:
            case "equity":
                return self.equity.equity(book, self.at)
            case "pnl_after_costs":
                return self.equity.profit(book, window, self.at)
            case "drawdown":
                return self.equity.drawdown(book, window, self.at)
            case _:
                return self._model_effect(labels["role"], window)

    def _model_effect(self, role: str, window: Window) -> Estimate:
        """{shadow, paper} - {active, paper}: challenger minus incumbent, over the same instants."""
        assert self.at is not None
        theirs = self.equity.profit(book_key(role, "paper"), window, self.at)
        ours = self.equity.profit(book_key(ACTIVE, "paper"), window, self.at)
        known = theirs.value is not None and ours.value is not None and theirs.from_ns == ours.from_ns
        ok = known and theirs.status is Status.OK and ours.status is Status.OK
        return Estimate(
            value=theirs.value - ours.value if known else None,  # type: ignore[operator]
            n=min(theirs.n, ours.n),
            status=Status.OK if ok else Status.UNKNOWN,
            from_ns=theirs.from_ns,
            to_ns=theirs.to_ns,
            stale=known and not ok,
        )

    def _challengers(self) -> list[str]:
        roles = [dict(book_labels(book))["role"] for book in self.equity.books]
        return sorted({role for role in roles if role != ACTIVE})

    def _prove(self, rule: Rule) -> Proof:
        view = self._view(rule.window)
        evidence: dict[str, object] = {}
        if BY_NAME[rule.metric].of is None:
            for book in self.equity.books:
                standing = self.equity.standing(book)
                if standing is not None:
                    evidence[book] = {"cash": str(standing.cash), "value": str(standing.value)}
        else:
            estimate = self._estimate(rule)
            evidence = {"extra": dict(estimate.extra), "low": estimate.low, "high": estimate.high}
        return Proof(evidence, dict(view.offsets))

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out: dict[str, bytes | None] = dict(self.equity.records())
        for (length, start), pane in self._rings.changed().items():
            out[f"ring/{length}/{start}"] = msgspec.msgpack.encode(pane.encode()) if pane else None
        for task in [int(key.split("/")[1]) for key in self._dirty if key.startswith("open/")]:
            out[f"open/{task}"] = msgspec.msgpack.encode(self._open[task])
        if "fold" in self._dirty:
            missing = tuple(sorted(self._missing))
            out["fold"] = msgspec.msgpack.encode(_State(self.at, self._changed, self._rings.since, missing))
        if "totals" in self._dirty:
            totals = {key: total.to_bytes() for key, total in sorted(self.totals.items())}
            out["totals"] = msgspec.msgpack.encode(totals)
        self._dirty.clear()
        out.update({f"policy/{key}": value for key, value in self.decider.records().items()})
        self.decider.mark_clean()
        return out

    def restore(self, records: Mapping[str, bytes]) -> list[str]:
        """Go on from committed records; returns the keys that no longer fit the configuration."""
        policy: dict[str, bytes] = {}
        for key, data in records.items():
            kind, _, rest = key.partition("/")
            if kind == "ring":
                length, start = (int(x) for x in rest.split("/"))
                pane = Pane.decode(msgspec.msgpack.decode(data, type=PaneBytes), self._kinds, length)
                self._rings.restore(length, start, pane)
            elif kind == "open":
                self._open[int(rest)] = msgspec.msgpack.decode(
                    data, type=tuple[int, dict[str, bytes], dict[str, tuple[int, int]]]
                )
            elif kind == "totals":
                totals = msgspec.msgpack.decode(data, type=dict[str, bytes])
                self.totals = {k: self._kinds[k].decode(v, 0) for k, v in totals.items() if k in self._kinds}
            elif kind == "policy":
                policy[rest] = data
        self.equity.restore(records)
        if "fold" in records:
            state = msgspec.msgpack.decode(records["fold"], type=_State)
            # Under another configuration the grid may be another; the deployment goes on where it was.
            self.at = None if state.at is None else state.at - state.at % self.grid.tick
            self._changed, self._rings.since = state.changed, state.since
            self._missing = frozenset(state.missing)
        return self.decider.restore(policy)

    @staticmethod
    def last_instant(record: bytes) -> int | None:
        """The last evaluated instant that a `fold` record holds."""
        return msgspec.msgpack.decode(record, type=_State).at

    def books(self) -> dict[str, dict[int, BookState]]:
        """By book, what each task last said of it."""
        return {book: dict(self.equity.tasks(book)) for book in self.equity.books}


def book_labels(book: str) -> Labels:
    """The labels of a book's key, sorted by name."""
    pairs = [part.split("=", 1) for part in book.split(",")]
    return tuple(sorted((name, value) for name, value in pairs))
