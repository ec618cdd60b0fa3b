"""`Exporter`: the daemon's life as Prometheus sees it.

It is told on the event loop, where it only takes copies, and renders in another thread. Knows no HTTP, and
nothing waits for it: no decision rests on what is exported.
"""

from __future__ import annotations

import platform
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitor.engine.catalogue import BY_NAME
from monitor.engine.deployment import DeploymentFold
from monitor.engine.readings import Value
from monitor.observe.readiness import Readiness
from monitor.observe.series import PREFIX, Page, Shown, Taken, add_artifacts, add_deployment, whose
from monitor.policy.events import EventType
from monitor.wire.table import NO_TIME

if TYPE_CHECKING:
    from monitor.daemon.group import Group
    from monitor.daemon.owner import Owner
    from monitor.daemon.pipeline import Pipeline

TAKE_EVERY_NS = 1_000_000_000
"""Shortest clock time between two copies of a deployment's values."""

HEAVY = 0
"""Where the values that take milliseconds stand among schedules: shown as the owner last made them."""

TASKS_SHOWN = 64
"""Most partition tasks that have series of their own; of more, the worst stands for all."""

COMMIT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

DECISIONS: dict[EventType, str] = {
    kind: kind.value.split(".")[2] for kind in EventType if kind is not EventType.HEARTBEAT
}
"""Short names of the event types that are decisions."""


@dataclass(frozen=True, slots=True)
class _Task:
    """What is shown of one partition task."""

    watermark: int
    buffered: int


class Exporter:
    """The daemon's listener. It tells `readiness`, too, what that must know.

    Args:
        group: names the deployments and their artifacts.
        clock: ns since the Unix epoch, comparable with event time.
    """

    def __init__(self, group: Group, readiness: Readiness, clock: Callable[[], int] = time.time_ns) -> None:
        self._subjects = {name: deployed.subjects for name, deployed in group.deployments.items()}
        self._readiness, self._clock = readiness, clock
        self._tasks: dict[int, _Task] = {}
        self._owned: dict[int, tuple[str, ...]] = {}
        self._evaluated: dict[str, int] = {}
        self._shown: dict[str, Shown] = {}
        self._decided = {name: dict.fromkeys(DECISIONS.values(), 0) for name in self._subjects}
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(namespace=PREFIX.rstrip("_"), registry=self._registry)
        self._commits = Counter(
            f"{PREFIX}commits", "Commits of all partition tasks.", registry=self._registry
        )
        self._records = Counter(
            f"{PREFIX}committed_records", "Records written in commits.", registry=self._registry
        )
        self._gaps = Counter(
            f"{PREFIX}coverage_gaps",
            "Restarts that found rows gone which had to be read again: retention is too short.",
            ["stream"],
            registry=self._registry,
        )
        self._commit_times = Histogram(
            f"{PREFIX}commit_duration_seconds",
            "Clock time from the start of a commit until it is known to be written.",
            buckets=COMMIT_BUCKETS_S,
            registry=self._registry,
        )
        self._registry.register(_Live(self))

    def assigned(self, partitions: Collection[int]) -> None:
        """The partitions that this process holds from now on."""
        self._readiness.assigned(partitions)

    def restored(self, task: int, owned: Collection[str] = ()) -> None:
        """A task has its state back; `owned` are the deployments it evaluates from now on."""
        self._readiness.restored(task)
        self._tasks[task] = _Task(NO_TIME, 0)
        self._forget(owned)
        self._owned[task] = tuple(owned)

    def folded(self, pipeline: Pipeline, task: int) -> None:
        """A task has read, and let time pass."""
        watermark = pipeline.sequencer.watermark
        self._tasks[task] = _Task(watermark, pipeline.sequencer.buffered)
        self._readiness.reached(task, watermark)

    def evaluated(self, owner: Owner) -> None:
        """An owner has evaluated; its values are taken at most once a second."""
        assert owner.fold.at is not None
        self._evaluated[owner.name] = owner.fold.at
        before, now = self._shown.get(owner.name), self._clock()
        if before is None or abs(now - before.taken_ns) >= TAKE_EVERY_NS:
            self._shown[owner.name] = take(owner.fold, before, now)

    def published(self, owner: Owner) -> None:
        """A commit has made the decisions of an owner durable; called before it forgets them."""
        counts = self._decided[owner.name]
        for event in owner.fold.decisions:
            counts[DECISIONS[event.type]] += 1

    def committed(self, task: int, records: int, seconds: float) -> None:
        """A task has committed."""
        self._commits.inc()
        self._records.inc(records)
        self._commit_times.observe(seconds)

    def gap(self, task: int, stream: str, rows: int) -> None:
        """Rows of an input were gone before they were read again."""
        self._gaps.labels(stream).inc()

    def lost(self, task: int) -> None:
        """A task has ended: what it alone could say is no longer true."""
        self._readiness.lost(task)
        self._tasks.pop(task, None)
        self._forget(self._owned.pop(task, ()))

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its content type, as an `Accept` header asks. Safe in any thread."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def page(self) -> Page:
        """All series but those of the process and its commits, as of now."""
        page, now = Page(), self._clock()
        page.own("build", _build())
        page.own("ready", {}, not self._readiness.reasons())
        self._add_tasks(page, now)
        for name, subjects in self._subjects.items():
            add_artifacts(page, subjects)
            shown, at = self._shown.get(name), self._evaluated.get(name)
            if shown is None or at is None:
                continue
            add_deployment(page, subjects, shown)
            labels = whose(subjects)
            page.own("evaluation_lag_seconds", labels, (now - at) / 1e9)
            for kind, n in self._decided[name].items():
                page.own("decisions", {**labels, "type": kind}, n)
        return page

    def _add_tasks(self, page: Page, now: int) -> None:
        tasks = dict(self._tasks)
        page.own("tasks", {}, len(tasks))
        shown = {str(number): task for number, task in sorted(tasks.items())}
        if len(tasks) > TASKS_SHOWN:
            watermarks = [t.watermark for t in tasks.values() if t.watermark != NO_TIME]
            shown = {"": _Task(min(watermarks, default=NO_TIME), max(t.buffered for t in tasks.values()))}
        for number, task in shown.items():
            labels = {"task": number} if number else {}
            page.own("buffered_rows", labels, task.buffered)
            if task.watermark != NO_TIME:
                page.own("watermark_lag_seconds", labels, (now - task.watermark) / 1e9)

    def _forget(self, deployments: Collection[str]) -> None:
        for name in deployments:
            self._shown.pop(name, None)
            self._evaluated.pop(name, None)


class _Live(Collector):
    """What the registry asks at each scrape."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        return iter(self._exporter.page())


def take(fold: DeploymentFold, before: Shown | None, now: int) -> Shown:
    """A copy of what is shown of a deployment, as of its last evaluated instant.

    Metrics whose schedule had no instant since `before` keep the values they had there.
    """
    decider = fold.decider
    return Shown(
        taken_ns=now,
        values=_values(fold, before.values if before is not None else {}),
        rules=tuple((rule, decider.state(rule).phase) for rule in decider.policy.rules),
        latches={subject: decider.latches[subject].state for subject in decider.latches.states},
        epoch=decider.latches.epoch,
        totals={key: {name: counts[name] for name in counts.spec} for key, counts in fold.totals.items()},
        currency=fold.books.currency,
        policy=decider.policy.name,
    )


def _values(fold: DeploymentFold, known: Mapping[int, Taken]) -> Mapping[int, Taken]:
    """Values by schedule, those anew whose schedule has had an instant since."""
    at = fold.at
    assert at is not None
    schedules = {_schedule(fold, name) for name in BY_NAME}
    passed = [every for every in schedules if every not in known or at // every > known[every].at // every]
    known = {**known, HEAVY: Taken(at, tuple(fold.made()))}
    if not passed:
        return known
    # An instant of the rarest schedule that has had one is an instant of those that divide it, too.
    instant = at - at % max(passed)
    fresh: defaultdict[int, list[Value]] = defaultdict(list)
    for value in fold.due(instant):
        fresh[_schedule(fold, value.name)].append(value)
    taken = {every: Taken(at, tuple(fresh[every])) for every in schedules if instant % every == 0}
    return {**known, **taken}


def _schedule(fold: DeploymentFold, name: str) -> int:
    return fold.grid.schedule(BY_NAME[name].every_ns)


def _build() -> dict[str, str]:
    packages = ("shadow-monitor", "onnxruntime", "numpy", "aiokafka")
    versions = {name.replace("-", "_"): version(name) for name in packages}
    versions["version"] = versions.pop("shadow_monitor")
    return {**versions, "python": platform.python_version()}
