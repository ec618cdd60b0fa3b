"""`CrossSection`: of each slice between two evaluations, the last pair of answers of every symbol.

Derives pairs that stand at a common instant; knows neither panes nor what is ranked.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.engine.rows import ScoreStatus
from monitor.engine.scope import Batch
from monitor.state.records import read_value
from monitor.wire.keys import combine
from monitor.wire.table import Table

_OPEN = "open"


def derived(shadow: str) -> str:
    """Name of the derived rows of a shadow: `hash` (of the instant), `instant` ns, `symbol_key`, `a`, `b`."""
    return f"cross_section/{shadow}"


class _State(msgspec.Struct, frozen=True, array_like=True):
    """Per shadow: symbols as u8, answers of the active and of the shadow as f8, little-endian."""

    instant: int
    last: dict[str, tuple[bytes, bytes, bytes]]


class _Last:
    """The last pair of each symbol in the slice, by the symbol's number in this process."""

    def __init__(self) -> None:
        self.keys = np.empty(0, np.uint64)
        self.sides = np.empty((0, 2))
        self.seen = np.empty(0, np.bool_)

    def room(self, symbols: int) -> None:
        more = symbols - self.seen.size
        if more > 0:
            self.keys = np.concatenate((self.keys, np.zeros(more, np.uint64)))
            self.sides = np.concatenate((self.sides, np.zeros((more, 2))))
            self.seen = np.concatenate((self.seen, np.zeros(more, np.bool_)))


class CrossSection:
    """The last pair of each symbol before an instant of evaluation, if it showed one since the last instant.

    Nothing is carried over, so that no stale answer is ranked against fresh ones. An instant's pairs are
    derived when it has passed. Rows of one slice come in order, in any number of batches.
    `active`, `shadows`: roles; `evaluation_ns`: time between instants.
    """

    key = "cross_section"

    def __init__(self, active: str, shadows: tuple[str, ...], evaluation_ns: int) -> None:
        self._active, self._shadows, self._evaluation = active, shadows, evaluation_ns
        self._instant: int | None = None
        self._last = {shadow: _Last() for shadow in shadows}
        self._carried: dict[str, tuple[NDArray[np.uint64], NDArray[np.float64]]] = {}
        self._dirty = False

    @property
    def due(self) -> int | None:
        """The end of the slice, in which some symbol showed a pair."""
        return None if self._instant is None else self._instant - 1

    def take(self, batch: Batch) -> Mapping[str, Table]:
        """Remember the last pair of every symbol."""
        rows = batch.features
        if not len(rows) or self._active not in batch.scores:
            return {}
        active = batch.scores[self._active]
        active_ok = active.status == ScoreStatus.OK
        symbols, keys = rows["symbol"], rows["symbol_key"]
        for shadow, last in self._last.items():
            if shadow not in batch.scores:
                continue
            scores = batch.scores[shadow]
            places = np.flatnonzero(active_ok & (scores.status == ScoreStatus.OK))
            if not places.size:
                continue
            # Of equal indices the last assignment stays: rows are in order.
            of = symbols[places]
            last.room(int(of.max()) + 1)
            last.keys[of] = keys[places]
            last.sides[of, 0] = active.value[places]
            last.sides[of, 1] = scores.value[places]
            last.seen[of] = True
            begins = int(rows["eff"][0])
            self._instant = begins - begins % self._evaluation + self._evaluation
            self._dirty = True
        return {}

    def expire(self, until: int) -> Mapping[str, Table]:
        """The pairs of the instant that has passed, by shadow."""
        if self._instant is None or self._instant > until:
            return {}
        out = {}
        for shadow in self._shadows:
            keys, sides = self._pairs(shadow)
            if keys.size:
                instants = np.full(keys.size, self._instant)
                out[derived(shadow)] = Table(
                    {
                        "hash": combine(instants.astype(np.uint64)),
                        "instant": instants,
                        "symbol_key": keys,
                        "a": sides[:, 0],
                        "b": sides[:, 1],
                    }
                )
            self._last[shadow].seen[:] = False
        self._carried.clear()
        self._instant = None
        self._dirty = True
        return out

    def _pairs(self, shadow: str) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
        """Symbols and pairs of the slice so far; what came before a restart, unless the symbol came again."""
        last = self._last[shadow]
        seen = np.flatnonzero(last.seen)
        keys, sides = last.keys[seen], last.sides[seen]
        if shadow in self._carried:
            before, then = self._carried[shadow]
            old = ~np.isin(before, keys)
            keys, sides = np.concatenate((keys, before[old])), np.concatenate((sides, then[old]))
        order = np.argsort(keys)
        return keys[order], sides[order]

    def records(self) -> dict[str, bytes | None]:
        """The slice that is open, in one record."""
        if not self._dirty:
            return {}
        self._dirty = False
        if self._instant is None:
            return {_OPEN: None}
        last = {}
        for shadow in self._shadows:
            keys, sides = self._pairs(shadow)
            columns = (keys.astype("<u8"), sides[:, 0].astype("<f8"), sides[:, 1].astype("<f8"))
            last[shadow] = (columns[0].tobytes(), columns[1].tobytes(), columns[2].tobytes())
        return {_OPEN: msgspec.msgpack.encode(_State(self._instant, last))}

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from the slice that was open.

        Raises:
            StateError: it cannot be read.
        """
        if _OPEN not in records:
            return
        state = read_value(_State, f"{self.key}/{_OPEN}", records[_OPEN])
        self._instant = state.instant
        for shadow, (keys, a, b) in state.last.items():
            if shadow in self._last:
                sides = np.column_stack((np.frombuffer(a, "<f8"), np.frombuffer(b, "<f8")))
                self._carried[shadow] = (np.frombuffer(keys, "<u8").astype(np.uint64), sides)
