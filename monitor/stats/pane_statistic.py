"""`PaneStatistic`: the contract of every statistic that lives in panes. Knows no particular statistic."""

from __future__ import annotations

from typing import Any, Protocol, Self


class PaneStatistic(Protocol):
    """A small state that is exact, mergeable and free of order.

    Every statistic also has an `update(...)` of its own shape, and functions that read values from it. The
    state after any sequence of updates and merges depends only on the multiset of what went in: not on
    batches, on order, nor on how panes and tasks were cut.
    """

    def merge(self, other: Self) -> None:
        """Add what `other` holds to this one, in place; `other` stays as it is."""
        ...

    def copy(self) -> Self:
        """An independent statistic with the same state."""
        ...

    def to_bytes(self) -> bytes:
        """Canonical: equal states give equal bytes."""
        ...

    @classmethod
    def from_bytes(cls, data: bytes, spec: Any) -> Self:
        """The statistic whose `to_bytes` gave `data`; `spec` is what its constructor takes.

        Raises:
            StateError: the bytes do not fit the specification.
        """
        ...

    @property
    def empty(self) -> bool:
        """True while nothing has gone in."""
        ...
