"""`Grid`: the instants of a deployment. Event time alone; knows no clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grid:
    """Instants of a deployment, ns: `tick` for books and hard limits, `evaluation` for rules, finest `pane`.

    Each divides the next.
    """

    tick: int
    evaluation: int
    pane: int

    def schedule(self, shortest_ns: int) -> int:
        """Time between the instants at which a statistic of that shortest useful schedule is due, ns.

        A multiple of `evaluation`: both folds take the same instants, whatever the evaluation interval.
        """
        return max(1, -(-shortest_ns // self.evaluation)) * self.evaluation

    def slot(self, at: int) -> int:
        """Start of the finest pane that the time `at` lies in."""
        return at - at % self.pane
