"""`Memory`: what fold 1 remembers between slices of time, to derive rows from rows that came apart.

Joins, previous values, returns that come later. Knows no particular one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from monitor.engine.scope import Batch
from monitor.wire.table import Table


class Memory(Protocol):
    """Rows go in slice by slice, derived rows come out; what waits falls due with time.

    What is derived depends on rows and their slices alone. All rows of a symbol are in one task.
    """

    @property
    def key(self) -> str:
        """Names its state records."""
        ...

    def take(self, batch: Batch) -> Mapping[str, Table]:
        """Rows of one evaluation slice, in order -> derived rows by name, with at least one row each."""
        ...

    @property
    def due(self) -> int | None:
        """The earliest time (ns) at which something that waits has its end; None: nothing waits."""
        ...

    def expire(self, until: int) -> Mapping[str, Table]:
        """What fell due before `until`, an instant of evaluation, as derived rows by name."""
        ...

    def records(self) -> dict[str, bytes | None]:
        """State records changed since the last call; None = deleted."""
        ...

    def restore(self, records: Mapping[str, bytes]) -> None:
        """Go on from all records that stand.

        Raises:
            StateError: one cannot be read.
        """
        ...
