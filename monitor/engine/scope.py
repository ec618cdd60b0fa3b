"""`Scope`, `Batch`, `Source`: what is watched, rows of one slice, what a pane statistic takes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import orjson

from monitor.engine.drift_rules import DriftRules
from monitor.engine.markout_rules import MarkoutRules
from monitor.engine.order_rules import OrderRules
from monitor.engine.panes import Kind, pane_length
from monitor.engine.rows import Scores
from monitor.engine.sequence_rules import SequenceRules
from monitor.engine.skill_rules import Forward, LabelJoin
from monitor.event_time.timing import FOLDED
from monitor.stats.parity import Tolerance
from monitor.stats.reference import Reference
from monitor.stats.sample import cap_for
from monitor.wire.messages import ExecutionReport
from monitor.wire.table import Table

T = TypeVar("T")

NO_ROWS = Table({})


@dataclass(frozen=True, slots=True)
class Scope:
    """What a deployment watches; statistics and metrics follow from it.

    `columns`: of each feature of the reference, its place in the feature space; `artifacts`: SHA-256 of the
    model by role; `limits_ns`: named latency limits; `rank_k`: pairs a window's sample holds.
    `lateness_ns`, `join_window_ns`: of the configuration's `event_time`; `mine`: whether an execution report
    of a shared stream is the deployment's. `kinds`: what the model of a role puts out (`return probability
    class score`); `forward`, `labels`, `markouts`: how skill and trades are measured, where they
    are; `drift`: what counts as drift.
    """

    roles: tuple[str, ...]
    streams: tuple[str, ...]
    windows_ns: tuple[int, ...]
    limits_ns: tuple[int, ...]
    rank_k: int
    reference: Reference | None
    columns: tuple[int, ...]
    artifacts: Mapping[str, str]
    lateness_ns: int
    join_window_ns: int
    mine: Callable[[ExecutionReport], bool]
    kinds: Mapping[str, str] = field(default_factory=dict)
    forward: Forward | None = None
    labels: LabelJoin | None = None
    markouts: MarkoutRules | None = None
    drift: DriftRules = field(default_factory=DriftRules)
    orders: OrderRules = field(default_factory=OrderRules)
    """What orders are told apart by."""
    evaluation_ns: int = 10**9
    """Between two evaluations."""
    parity: Tolerance = field(default_factory=lambda: Tolerance(1e-5, 1e-5))
    """Within which production's recorded answers must come out again."""
    sequences: SequenceRules = field(default_factory=SequenceRules)
    """How evidence is tested block by block."""
    twins: Collection[str] = ()
    """Shadows that run the active's model on the same features."""
    _once: dict[Callable[..., Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, make: Callable[[Scope], T]) -> T:
        """What `make` makes of it; made once for all measures that ask with the same function."""
        if make not in self._once:
            self._once[make] = make(self)
        made: T = self._once[make]
        return made

    @property
    def shadows(self) -> tuple[str, ...]:
        """All roles but the active."""
        return self.roles[1:]

    @property
    def features(self) -> tuple[str, ...]:
        """Features with a reference distribution."""
        return tuple(self.reference.features) if self.reference else ()

    def digest(self, configuration: str) -> str:
        """SHA-256 of what the bytes of panes hang on: the digest of the configuration, and what it does not
        hold: limits that rules name, streams, and the content of models and reference.

        Without it, a policy that names another limit would read old counts in the wrong places.
        """
        reference = hashlib.sha256(self.reference.to_bytes()).hexdigest() if self.reference else None
        artifacts = sorted(self.artifacts.items())
        whole = [configuration, self.limits_ns, self.streams, artifacts, reference]
        return hashlib.sha256(orjson.dumps(whole)).hexdigest()


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one slice of time: all rows of each stream, the feature rows that enter statistics with their
    scores, and by name what memories derive from them."""

    streams: Mapping[str, Table]
    features: Table
    scores: Mapping[str, Scores]
    derived: Mapping[str, Table] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        """Whether it has rows of that stream, or derived rows of that name."""
        return name in self.streams or name in self.derived

    @staticmethod
    def of(streams: Mapping[str, Table], scores: Mapping[str, Scores]) -> Batch:
        """`scores` are aligned with all rows of the features table."""
        rows = streams.get("features")
        if rows is None:
            return Batch(streams, NO_ROWS, {})
        folded = np.isin(rows["fate"], FOLDED)
        if folded.all():
            return Batch(streams, rows, scores)
        keep = np.flatnonzero(folded)
        return Batch(streams, rows.take(keep), {role: s.take(keep) for role, s in scores.items()})


@dataclass(frozen=True, slots=True)
class Source:
    """One pane statistic: its key, kind, and how it is fed with a batch that has the rows it takes.

    `takes`: a stream, or rows that a memory derives. `every_ns`: the shortest schedule of a metric made of it
    (0: every evaluation); the open pane is said only when one is due.
    """

    key: str
    takes: str
    kind: Kind
    feed: Callable[[Any, Batch], None]
    every_ns: int = 0


def _summed(panes: Sequence[Any]) -> Any:
    total = panes[0].copy()
    for pane in panes[1:]:
        total.merge(pane)
    return total


def plain(statistic: Any, spec: Any) -> Kind:
    """The kind of a statistic that is made from `spec` and whose windows are sums of panes."""
    return Kind(lambda _: statistic(spec), lambda data, _: statistic.from_bytes(data, spec), _summed)


def sampled(scope: Scope, statistic: Any, k: int) -> Kind:
    """The kind of a bottom-k sample that holds `k` rows a window."""
    longest = {pane_length(w): w for w in sorted(scope.windows_ns, reverse=True)}

    def cap(length_ns: int) -> int:
        # The shortest window of a ring asks for the largest share of its panes.
        return cap_for(k, length_ns, longest.get(length_ns, min(scope.windows_ns)))

    return Kind(
        lambda length: statistic(cap(length)),
        lambda data, length: statistic.from_bytes(data, cap(length)),
        lambda panes: statistic.join(panes, k),
    )
