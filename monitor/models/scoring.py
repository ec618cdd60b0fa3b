"""`Scorer`: what the daemon and replay ask for the answers of every role; live with a deadline, and in
replay without."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.engine.rows import UNMEASURED_NS, Scores
from monitor.models.model import RowModel
from monitor.models.role import Batch, Clock, Role
from monitor.models.worker import Worker
from monitor.wire.table import Table

ACTIVE: Final = "active"

SLICE_NS: Final = 2_000_000
"""What a slice of rows should take on the event loop: 5 ms are allowed, and a busy machine is slower than
at load."""

MAX_SLICE_ROWS: Final = 4096

SLICES_A_DEADLINE: Final = 4
"""A slow shadow is left between slices, so that what it did in time counts and its thread is soon free
again."""


class Scorer(Protocol):
    """Answers every feature row of a released batch, in every role."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The active first."""
        ...

    async def score(self, values: NDArray[np.float64], features: Table) -> dict[str, Scores]:
        """Answers by role, in the order of `roles`, to the rows `values` (n, space), NaN = missing;
        `features` are the other columns of the same rows. One call at a time."""
        ...

    def failures(self) -> dict[str, str]:
        """What the latest failed run said, of each role that ever failed; for a person."""
        ...

    def close(self) -> None:
        """Let go of threads; nothing is scored after it."""
        ...


class OnnxScorer:
    """The live scorer. The active runs first, on the loop, in slices; then each shadow in a thread of its
    own.

    A batch costs the active at most `shadow_deadline_ns` of waiting: what a shadow has not answered by then
    is a timeout, and while its thread is still in that run all further rows are timeouts at once. Shadows
    run in the active's slices, so that their latencies compare, or in smaller ones where the deadline asks
    for it.
    """

    __slots__ = ("_active", "_clock", "_deadline_s", "_shadows", "_slice_rows", "roles")

    def __init__(
        self,
        models: Mapping[str, RowModel],
        space_names: Sequence[str],
        shadow_deadline_ns: int,
        clock: Clock,
    ) -> None:
        """`models` by role, `active` among them; `clock` in ns.

        Raises:
            ArtifactError: a model needs a column that the feature space lacks.
        """
        seats = seat(models, space_names)
        self.roles = tuple(seats)
        self._active = seats[ACTIVE]
        self._clock = clock
        self._deadline_s = shadow_deadline_ns / 1e9
        self._slice_rows = _rows_within(SLICE_NS, self._active)
        self._shadows = [
            (
                role,
                Worker(role, clock),
                min(self._slice_rows, _rows_within(shadow_deadline_ns // SLICES_A_DEADLINE, role)),
            )
            for name, role in seats.items()
            if name != ACTIVE
        ]

    async def score(self, values: NDArray[np.float64], features: Table) -> dict[str, Scores]:
        active = self._active.batch(values)
        while active.open:
            active.step(self._slice_rows, self._clock)
            if active.open:
                await asyncio.sleep(0)
        answers = {ACTIVE: active.scores()}
        if self._shadows:
            answers.update(await self._score_shadows(values))
        return answers

    async def _score_shadows(self, values: NDArray[np.float64]) -> dict[str, Scores]:
        batches: dict[str, Batch] = {}
        waiting: set[asyncio.Future[None]] = set()
        try:
            for role, worker, slice_rows in self._shadows:
                batch = batches[role.name] = role.batch(values)
                left = worker.offer(batch, slice_rows) if batch.open else None
                if left is not None:
                    waiting.add(left)
            if waiting:
                await asyncio.wait(waiting, timeout=self._deadline_s)
            return {name: batch.scores() for name, batch in batches.items()}
        finally:
            for batch in batches.values():
                batch.abandoned = True

    def failures(self) -> dict[str, str]:
        return _failures(self._active, *(role for role, _, _ in self._shadows))

    def close(self) -> None:
        for _, worker, _ in self._shadows:
            worker.close()


class ReplayScorer:
    """Scores on the caller's thread, never suspends, and measures nothing: latencies are `UNMEASURED_NS`."""

    __slots__ = ("_roles", "roles")

    def __init__(self, models: Mapping[str, RowModel], space_names: Sequence[str]) -> None:
        """As `OnnxScorer`."""
        self._roles = seat(models, space_names)
        self.roles = tuple(self._roles)

    async def score(self, values: NDArray[np.float64], features: Table) -> dict[str, Scores]:
        return {name: _unmeasured(role.batch(values)) for name, role in self._roles.items()}

    def failures(self) -> dict[str, str]:
        return _failures(*self._roles.values())

    def close(self) -> None:
        """Holds nothing."""


def seat(models: Mapping[str, RowModel], space_names: Sequence[str]) -> dict[str, Role]:
    """Each model in its role, the active first, the others in the order given."""
    order = [ACTIVE, *(name for name in models if name != ACTIVE)]
    return {name: Role(name, models[name], space_names) for name in order}


def _unmeasured(batch: Batch) -> Scores:
    while batch.open:
        batch.step(MAX_SLICE_ROWS, lambda: 0)
    scores = batch.scores()
    return Scores(scores.value, scores.status, np.full(len(scores.value), UNMEASURED_NS, np.int64))


def _failures(*roles: Role) -> dict[str, str]:
    return {role.name: role.failure for role in roles if role.failure}


def _rows_within(budget_ns: int, role: Role) -> int:
    return max(1, min(MAX_SLICE_ROWS, budget_ns // max(1, role.model.row_ns)))
