"""`Earliest`: the first few of all rows, by their order as tuples, so that a window can name what it counts.

Which rows, and what their columns mean, is not its business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import msgspec

from monitor.errors import StateError

Row = tuple[int, tuple[str, ...]]
"""What comes first orders the rows: a time, then texts."""


class Earliest:
    """The `spec` smallest rows of all that went in; a pane statistic.

    >>> first = Earliest(2)
    >>> first.update([(7, ("b", "x")), (3, ("c", "x")), (7, ("a", "x"))])
    >>> first.rows
    ((3, ('c', 'x')), (7, ('a', 'x')))
    """

    __slots__ = ("_rows", "spec")

    def __init__(self, spec: int) -> None:
        self.spec = spec
        self._rows: list[Row] = []

    @property
    def rows(self) -> tuple[Row, ...]:
        """Ascending."""
        return tuple(self._rows)

    def update(self, rows: Iterable[Row]) -> None:
        """Let rows in, of any order and number."""
        self._rows = sorted([*self._rows, *rows])[: self.spec]

    def merge(self, other: Self) -> None:
        """Add what `other` holds, which keeps as many."""
        if self.spec != other.spec:
            raise ValueError(f"earliest rows: {self.spec} and {other.spec} of them do not merge")
        self.update(other._rows)

    def copy(self) -> Self:
        """An independent statistic with the same rows."""
        twin = type(self)(self.spec)
        twin._rows = list(self._rows)
        return twin

    def to_bytes(self) -> bytes:
        """Canonical: equal rows give equal bytes."""
        return msgspec.msgpack.encode(self._rows) if self._rows else b""

    @classmethod
    def from_bytes(cls, data: bytes, spec: int) -> Self:
        """The statistic whose `to_bytes` gave `data`.

        Raises:
            StateError: the bytes are no rows.
        """
        statistic = cls(spec)
        if data:
            try:
                rows: Sequence[Row] = msgspec.msgpack.decode(data, type=list[Row])
            except msgspec.MsgspecError as error:
                raise StateError(f"earliest rows cannot be read: {error}") from error
            statistic.update(rows)
        return statistic

    @property
    def empty(self) -> bool:
        """True while nothing has gone in."""
        return not self._rows
