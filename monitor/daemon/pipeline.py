"""`Pipeline`: from records to partials: decode, judge, order, score, fold. The same live and in replay.

It reads nothing, writes nothing and knows no clock: records and readings come in, output piles up until the
caller takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.daemon.deployed import Deployed
from monitor.daemon.group import Group
from monitor.engine import marks
from monitor.engine.partials import Partial
from monitor.engine.rows import UNMEASURED_NS, Scores, ScoreStatus
from monitor.engine.task import TaskFold
from monitor.event_time.sequencer import Behind, InputMeta, Sequencer, Step
from monitor.event_time.timing import FOLDED, Fate
from monitor.models.scoring import Scorer
from monitor.transport.contract import FEATURES, ORDERS, Outgoing, Record
from monitor.wire.dead_letters import REASONS, DeadLetterLimit, dead_letter
from monitor.wire.messages import PredictionRecord, RoleAnswer
from monitor.wire.table import NO_TIME, Table

MEASURED_FAULTS = (ScoreStatus.ERROR, ScoreStatus.TIMEOUT)
"""Answers that a replay of the model would not give again."""

SCORED_ROWS = 1024
"""Rows scored at a time: the deadline is for these, so that catching up is not mistaken for slowness."""

_WHY = {
    Fate.QUARANTINED: "its time lies too far after that of its record, or of the rows around it",
    Fate.LATE: "its time lies before the input's bound: see event_time.allowed_lateness",
}

_STATUS_NAMES = {int(s): s.name.lower() for s in ScoreStatus}
_json = msgspec.json.Encoder()


@dataclass(slots=True)
class Refused:
    """Records that were rejected or quarantined: how many by stream and reason, and why the first was."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    first: str = ""

    def add(self, stream: str, reason: str, detail: str) -> None:
        """One more."""
        self.first = self.first or f"{stream}: {detail}"
        of = self.counts.setdefault(stream, {})
        of[reason] = of.get(reason, 0) + 1


@dataclass(slots=True)
class Output:
    """What has been made since it was last taken."""

    partials: list[Partial] = field(default_factory=list)
    predictions: list[Outgoing] = field(default_factory=list)
    dead_letters: list[Outgoing] = field(default_factory=list)
    marks: list[marks.Mark] = field(default_factory=list)
    refused: Refused = field(default_factory=Refused)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where a pipeline's rows come from, and how they are split.

    `task`: of journal marks; `partition`: in which the rows lie; `partitions`: None for plain files, whose
    keys are not checked. `tasks`: numbers of the folds; `route(symbols)` gives the fold of each row.
    """

    task: int
    partition: int
    partitions: int | None
    tasks: tuple[int, ...]
    route: Callable[[NDArray[np.int32]], NDArray[np.int64]] | None = None


class Pipeline:
    """One partition task's rows, or a plain file's, on their way to partials.

    `measured`: journal what the scorers answered, since a replay could not know. `predict`: make prediction
    records. `bounded`: whether a full buffer raises the watermark; a replay reads the input that holds it
    back, and must not. `behind`, `until`: what a run's journal says came behind, and the watermark at which
    the run ended.
    """

    def __init__(
        self,
        group: Group,
        inputs: Inputs,
        scorers: Mapping[str, Scorer],
        *,
        watermark: int = NO_TIME,
        metas: Mapping[str, InputMeta] | None = None,
        behind: Mapping[tuple[str, int], Behind] | None = None,
        until: int | None = None,
        sequence: int = 0,
        measured: bool = False,
        predict: bool = False,
        bounded: bool = True,
    ) -> None:
        self._group = group
        self._inputs = inputs
        self._scorers = scorers
        self._measured, self._predict = measured, predict
        self._decoders = group.decoders(
            inputs.partition if inputs.partitions is not None else None, inputs.partitions
        )
        self._nothing = {stream: decoder.decode([]) for stream, decoder in self._decoders.items()}
        self._topics = group.settings.topics.by_stream()
        limits = group.settings.dead_letters
        self._limits = {s: DeadLetterLimit(limits.max_share, limits.max_run) for s in self._decoders}
        self.sequencer = Sequencer(
            group.timing if bounded else replace(group.timing, buffer_limit=2**62),
            tuple(self._decoders),
            late_applies=frozenset({ORDERS}),
            watermark=watermark,
            metas=metas,
            journal=behind,
            until=until,
        )
        self.folds: dict[tuple[str, int], TaskFold] = {
            (name, task): deployed.task_fold(task, inputs.partition)
            for name, deployed in group.deployments.items()
            for task in inputs.tasks
        }
        self.sequence = sequence
        self.out = Output()

    def take(self) -> Output:
        """The output made so far; a new one begins."""
        out, self.out = self.out, Output()
        return out

    async def read(
        self, stream: str, records: Sequence[Record], position: int, now: int, *, end: bool = False
    ) -> str | None:
        """Take in records of one input, in offset order; fold at once what came behind the watermark.

        Returns:
            Why to stop, when nearly everything is bad.
        """
        rows = self._decoders[stream].decode(records) if records else self._nothing[stream]
        raw = np.empty(len(records), object)
        for row, record in enumerate(records):
            raw[row] = record
        rows = rows.with_columns(raw=raw)
        complaint = self._limits[stream].update(rows["reason"] != 0) if len(rows) else None
        for step in self.sequencer.read(stream, rows, position, now, end=end):
            self._journal_behind(step)
            await self._fold(step)
        return complaint

    async def release(self) -> None:
        """Let time pass as far as the inputs allow, and fold the rows it passes."""
        for step in self.sequencer.release():
            await self._fold(step)

    async def finish(self, watermark: int) -> None:
        """All inputs of a replay have ended: let time pass to `watermark`."""
        for step in self.sequencer.finish(watermark):
            await self._fold(step)

    def say_progress(self) -> None:
        """Say how far each fold has come, where its last partial does not."""
        for fold in self.folds.values():
            partial = fold.progress(self.sequencer.watermark, self.sequencer.time.all_idle)
            if partial is not None:
                self.out.partials.append(partial)

    def _journal_behind(self, step: Step) -> None:
        for stream, rows in step.tables.items():
            self.out.marks.append(
                marks.Behind(
                    task=self._inputs.task,
                    stream=stream,
                    offsets=rows["offset"].tolist(),
                    watermark=step.watermark,
                    sequence=self.sequence,
                )
            )
            self.sequence += len(rows)

    async def _fold(self, step: Step) -> None:
        idle = self.sequencer.time.all_idle
        self._bury(step.tables)
        features = step.tables.get(FEATURES)
        entering = np.flatnonzero(np.isin(features["fate"], FOLDED)) if features is not None else None
        predictions: list[list[Outgoing]] = []
        for name, deployed in self._group.deployments.items():
            scores: dict[str, Scores] = {}
            if features is not None and entering is not None and len(entering):
                scores = await self._score(deployed, features, entering, predictions)
            elif features is not None:
                scores = {role: _blank(len(features)) for role in deployed.scope.roles}
            for task, tables, answers in self._split(step.tables, scores):
                self.out.partials += self.folds[name, task].fold(tables, answers, step.watermark, idle=idle)
        # Row by row, not deployment by deployment: where steps are cut must not show.
        self.out.predictions += [record for row in zip(*predictions, strict=True) for record in row]

    def _split(
        self, tables: Mapping[str, Table], scores: Mapping[str, Scores]
    ) -> list[tuple[int, Mapping[str, Table], Mapping[str, Scores]]]:
        tasks, route = self._inputs.tasks, self._inputs.route
        if route is None or len(tasks) == 1:
            return [(tasks[0], tables, scores)]
        parts: list[tuple[int, Mapping[str, Table], Mapping[str, Scores]]] = []
        homes = {stream: route(rows["symbol"]) for stream, rows in tables.items()}
        for task in tasks:
            mine = {stream: np.flatnonzero(home == task) for stream, home in homes.items()}
            parts.append(
                (
                    task,
                    {stream: tables[stream].take(rows) for stream, rows in mine.items() if len(rows)},
                    {role: s.take(mine[FEATURES]) for role, s in scores.items()},
                )
            )
        return parts

    async def _score(
        self,
        deployed: Deployed,
        features: Table,
        entering: NDArray[np.int64],
        predictions: list[list[Outgoing]],
    ) -> dict[str, Scores]:
        """Answers of all roles, aligned with all rows; rows that enter nothing are not asked.

        Where predictions are made, those of the asked rows are added to `predictions`.
        """
        whole = len(entering) == len(features)
        asked = features if whole else features.take(entering)
        scorer = self._scorers[deployed.name]
        parts = []
        for start in range(0, len(asked), SCORED_ROWS):
            part = asked.take(slice(start, start + SCORED_ROWS))
            parts.append(await scorer.score(part["values"], part))
        answers = {role: Scores.concat([part[role] for part in parts]) for role in parts[0]}
        if self._predict:
            predictions.append(self._predictions(deployed, asked, answers))
        if self._measured:
            self._journal_answers(deployed, asked, answers)
        if whole:
            return answers
        out = {}
        for role, scores in answers.items():
            blank = _blank(len(features))
            blank.value[entering] = scores.value
            blank.status[entering] = scores.status
            blank.latency[entering] = scores.latency
            out[role] = blank
        return out

    def _journal_answers(self, deployed: Deployed, asked: Table, answers: Mapping[str, Scores]) -> None:
        offsets = asked["offset"]
        runs = _runs(offsets)
        for role, scores in answers.items():
            faults = np.flatnonzero(np.isin(scores.status, MEASURED_FAULTS))
            self.out.marks.append(
                marks.Observed(
                    task=self._inputs.task,
                    deployment=deployed.name,
                    role=role,
                    runs=runs,
                    latency_ns=_latency_runs(scores.latency),
                    status={int(offsets[row]): int(scores.status[row]) for row in faults.tolist()},
                )
            )

    def _predictions(self, deployed: Deployed, asked: Table, answers: Mapping[str, Scores]) -> list[Outgoing]:
        out = []
        names = self._group.symbols.names
        columns = {
            role: (s.value.tolist(), s.status.tolist(), s.latency.tolist()) for role, s in answers.items()
        }
        rows = zip(asked["event_id"], asked["ts"].tolist(), asked["symbol"].tolist(), strict=True)
        for row, (event_id, ts, symbol) in enumerate(rows):
            roles = {}
            for role, (values, statuses, latencies) in columns.items():
                ok = statuses[row] == ScoreStatus.OK
                roles[role] = RoleAnswer(
                    value=values[row] if ok else None,
                    latency_ns=None if latencies[row] == UNMEASURED_NS else latencies[row],
                    status=_STATUS_NAMES[statuses[row]],
                )
            record = PredictionRecord(
                deployment=deployed.name, event_id=event_id, ts_ns=ts, symbol=names[symbol], roles=roles
            )
            key = names[symbol].encode()
            out.append(Outgoing("predictions", self._inputs.partition, key, _json.encode(record)))
        return out

    def _bury(self, tables: Mapping[str, Table]) -> None:
        """Dead letters, in the rows' order: rejected, quarantined, or late and entering nothing."""
        dead = []
        for place, (stream, rows) in enumerate(tables.items()):
            for row in np.flatnonzero(rows["fate"] <= Fate.LATE).tolist():
                fate = Fate(rows["fate"][row])
                reason = REASONS[rows["reason"][row]] or fate.name.lower()
                detail = rows["detail"][row] or _WHY[fate]
                if fate is not Fate.LATE:
                    self.out.refused.add(stream, reason, detail)
                letter = dead_letter(
                    rows["raw"][row], self._topics[stream], self._inputs.partition, reason, detail
                )
                dead.append(((int(rows["eff"][row]), place, row), letter))
        # As with predictions, where steps are cut must not show.
        self.out.dead_letters += [letter for _, letter in sorted(dead, key=lambda found: found[0])]


def _blank(n: int) -> Scores:
    return Scores(
        np.full(n, np.nan), np.full(n, ScoreStatus.INCOMPLETE, np.int8), np.full(n, UNMEASURED_NS, np.int64)
    )


def _runs(offsets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Offsets in the order given as runs (first, count) of consecutive ones."""
    starts = np.flatnonzero(np.diff(offsets, prepend=offsets[0] - 2) != 1)
    counts = np.diff(np.append(starts, len(offsets)))
    return list(zip(offsets[starts].tolist(), counts.tolist(), strict=True))


def _latency_runs(latency: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Latencies in the order given as runs (latency, count) of equal ones."""
    starts = np.flatnonzero(np.diff(latency, prepend=latency[0] - 1))
    counts = np.diff(np.append(starts, len(latency)))
    return list(zip(latency[starts].tolist(), counts.tolist(), strict=True))
