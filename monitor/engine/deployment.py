"""`DeploymentFold`: fold 2. Partials of all tasks, merged in event time; the only place that decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from monitor.engine.books.books import Books
from monitor.engine.catalogue import Catalogue
from monitor.engine.evidence import Evidence
from monitor.engine.grid import Grid
from monitor.engine.measures.errors import answered
from monitor.engine.measures.sequences import pnl_test
from monitor.engine.partials import Partial
from monitor.engine.readings import Heavy, Readings, Value
from monitor.engine.scope import Source
from monitor.policy.commands import Command
from monitor.policy.decider import Decider
from monitor.policy.events import Decision
from monitor.policy.rules import ACTIVE, DEPLOYMENT
from monitor.state.records import read_value
from monitor.stats.counts import Counts
from monitor.trading.books import PAPER

SETTLING_NS = 600 * 1_000_000_000
"""Beside the longest window: how long after the last change instants are still evaluated."""

_POLICY = "policy/"


class _State(msgspec.Struct, frozen=True, array_like=True):
    at: int | None
    changed: int | None
    since: int | None
    missing: tuple[int, ...]


class DeploymentFold:
    """Merges, evaluates, decides. `decisions` grows; the shell publishes and clears it."""

    def __init__(
        self,
        grid: Grid,
        sources: tuple[Source, ...],
        catalogue: Catalogue,
        windows_ns: tuple[int, ...],
        books: Books,
        decider: Decider,
    ) -> None:
        self.grid = grid
        self.books = books
        self.decider = decider
        self.decisions: list[Decision] = []
        self.at: int | None = None
        self._evidence = Evidence(grid, sources, windows_ns, catalogue.sequences)
        self._readings = Readings(grid, catalogue, windows_ns, self._evidence, books)
        self._answers: dict[str, tuple[int, int]] | None = None
        self._changed: int | None = None
        self._missing: frozenset[int] = frozenset()
        longest_for = max((rule.for_ns for rule in decider.policy.rules), default=0)
        self._settling = max(windows_ns) + longest_for + SETTLING_NS
        self._dirty = False

    @property
    def following(self) -> int:
        """The instant after the last evaluated one."""
        assert self.at is not None
        return self.at + self.grid.tick

    @property
    def settled(self) -> bool:
        """Whether nothing that is still in a window has changed for longer than any window.

        There is nothing new to say then: evaluation goes on where something changes, or where rules that
        slept through the silence must see it, which the owner journals as a new start.
        """
        assert self.at is not None
        schedule = self.decider.schedule
        return self._changed is not None and schedule.settled(self._changed, self.at, self._settling)

    def news(self, partial: Partial) -> bool:
        """Whether a partial not folded yet says more than how far its task has come.

        What a task says again after a restart is no news.
        """
        return self.books.news(partial.task, partial.books or {}, partial.marks) or self._evidence.news(
            partial.task, partial
        )

    def resumption(self, change: int | None) -> int | None:
        """Where evaluation goes on after a silence; None where that is not known yet.

        One instant before the first change that is known: what stood until then begins the windows, so that
        the change falls into them. Or where rules are called before it (`Schedule.call`).
        """
        assert self.at is not None
        assert self._changed is not None
        rules = self.decider.policy.rules
        call = self.decider.schedule.call(rules, self._changed, self.at, self._settling)
        if change is None:
            return call
        anew = max(change - self.grid.tick, self.following)
        return anew if call is None else min(anew, call)

    def evaluate(
        self,
        at: int,
        parts: Mapping[int, Sequence[Partial]],
        missing: frozenset[int] = frozenset(),
        age_ns: int = 0,
    ) -> bool:
        """`fold` and `decide`, which makes heavy values itself; the same decisions as with `work` between."""
        self.fold(at, parts, missing)
        return self.decide(age_ns)

    @property
    def heavy(self) -> tuple[Heavy, ...]:
        """Every value that takes milliseconds, by window."""
        return self._readings.heavy

    @property
    def asked(self) -> list[Heavy]:
        """The heavy values that `decide` will ask for."""
        assert self.at is not None
        return self._readings.asked(self.decider.due(self.at))

    def work(self, wanted: Iterable[Heavy]) -> list[Callable[[], None]]:
        """One call for each value, which makes and keeps it; in any thread, as long as nothing is folded."""
        return self._readings.work(wanted)

    def made(self) -> Iterator[Value]:
        """The heavy values as last made; those never made are left out."""
        return self._readings.made()

    def decide(self, age_ns: int = 0) -> bool:
        """Run the rules due at the instant that was folded last.

        Args:
            age_ns: how late this evaluation is, by the clock or the journal; 0 in a replay without one.

        Returns:
            Whether `age_ns` changed a decision: then it must be journaled.
        """
        assert self.at is not None
        step = self.decider.step(
            self.at, self._readings.estimate, self._readings.prove, sorted(self._missing), age_ns=age_ns
        )
        self.decisions += step.events
        return step.used_age

    def command(self, command: Command, refusal: str | None = None) -> None:
        """Carry out a person's command after the last evaluated instant."""
        at = self.at if self.at is not None else 0
        answer = self.decider.command(command, at, refusal)
        self.decisions += answer.events
        if answer.reset:
            self._evidence.restart(at)
            self.books.restart(self._judged(answer.reset))
            self._dirty = True

    def _judged(self, subjects: Sequence[str]) -> list[str]:
        """Books that speak of these subjects: all of the active's and the deployment's; of a shadow's the
        paper books, whose differences are taken over the same instants."""
        if {ACTIVE, DEPLOYMENT} & set(subjects):
            return list(self.books.books)
        return [book for book in self.books.books if book.endswith(f"fills={PAPER}")]

    def snapshot(self, at: int, parts: Mapping[int, Sequence[Partial]]) -> None:
        """Fold the last words of a replay, as of `at`, which no rule sees."""
        self.fold(at, parts, complete=True)

    def values(self) -> Iterator[Value]:
        """All metrics as of the last folded instant, whatever their schedule."""
        return self._readings.every()

    def due(self, at: int) -> Iterator[Value]:
        """The metrics whose schedule has an instant at `at`, but for heavy ones."""
        return self._readings.due(at)

    @property
    def totals(self) -> dict[str, Counts]:
        """Fates, rejections and answers of all rows so far, by the key of their statistic."""
        return self._evidence.totals

    def lasting(self, key: str) -> Counts | None:
        """Counters beyond changes of the configuration, by the key of their statistic; None without a row."""
        return self._evidence.lasting(key)

    def fold(
        self,
        at: int,
        parts: Mapping[int, Sequence[Partial]],
        missing: frozenset[int] = frozenset(),
        *,
        complete: bool = False,
    ) -> None:
        """Fold what the tasks that are not missing said up to `at`.

        Args:
            parts: by task, its partials with instant <= `at` not folded yet.
            missing: tasks that have not reported `at`.
            complete: every statistic of the open panes was said as of `at`, whatever its schedule.
        """
        changed = self._changed is None or missing != self._missing
        if self._evidence.fold(at, parts, known=not missing, complete=complete):
            changed, self._answers = True, None
        for task in sorted(parts):
            for partial in parts[task]:
                changed |= self.books.fold(task, partial.books or {}, partial.marks)
                for start, offsets in partial.covers():
                    self.books.cover(start, start + self.grid.pane, offsets)
        self.at, self._missing = at, missing
        if changed:
            self._changed = at
        if self._answers is None:
            self._answers = {
                role: answered(self._evidence.counted(f"answers/{role}")) for role in self.books.models
            }
        for block in self.books.take(at, self._answers, missing=bool(missing)):
            for role, loss in block.losses.items():
                self._evidence.sequences.feed(pnl_test(role), block.start, loss, block.offsets)
        self._readings.take(at, missing=bool(missing))
        self._dirty = True

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        out = {**self.books.records(), **self._evidence.records()}
        if self._dirty:
            missing = tuple(sorted(self._missing))
            out["fold"] = msgspec.msgpack.encode(
                _State(self.at, self._changed, self._evidence.since, missing)
            )
            self._dirty = False
        out.update({f"{_POLICY}{key}": value for key, value in self.decider.records().items()})
        self.decider.mark_clean()
        return out

    def restore(self, records: Mapping[str, bytes]) -> list[str]:
        """Go on from committed records; returns the keys that no longer fit the configuration.

        Raises:
            StateError: a record cannot be read.
        """
        since = None
        if "fold" in records:
            state = read_value(_State, "fold", records["fold"])
            # Under another configuration the grid may be another; the deployment goes on where it was.
            self.at = None if state.at is None else state.at - state.at % self.grid.tick
            self._changed, since = state.changed, state.since
            self._missing = frozenset(state.missing)
        self._evidence.restore(records, self.at, since)
        self.books.restore(records)
        policy = {k.removeprefix(_POLICY): v for k, v in records.items() if k.startswith(_POLICY)}
        return self.decider.restore(policy)

    @staticmethod
    def last_instant(record: bytes) -> int | None:
        """The last evaluated instant that a `fold` record holds."""
        return read_value(_State, "fold", record).at
