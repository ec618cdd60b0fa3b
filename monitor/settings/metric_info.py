"""What a configuration must know of a metric to check the rules that name it. Knows no statistic."""

from __future__ import annotations

from typing import Literal

import msgspec

Blame = Literal["nobody", "deployment", "role", "model", "shadow", "active", "fills", "book", "twin"]
"""Who a bad value speaks against, and so what a rule may do about it: `blame.VERDICTS`."""

NOf = Literal[
    "rows", "pairs", "instants of pairs", "parity pairs", "slots", "features", "one", "instants", "returns"
]
"""What `n` of a value counts: rows (no bound), pairs of a sample or instants that they make up, slots of 10
s, features that could be judged, the value itself, ticks at which the books were sound, returns of steps."""


class MetricInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the metric catalogue, as far as rules are concerned."""

    name: str
    labels: tuple[str, ...]
    windowed: bool
    blame: Blame
    sessions: bool = True
    """Whether its windows may also be `session` and `promotion`."""
    reference: bool = False
    """Whether it is measured against a reference."""
    capital: bool = False
    """Whether it is measured against capital."""
    values: dict[str, tuple[str, ...]] = {}
    """The values a label can have, where they are the same in every deployment."""
    n_of: NOf = "rows"
    most: int | None = None
    """The most samples, where that is the same in every deployment."""
    low: float | None = None
    high: float | None = None
    """The least and the largest value it can have."""
    unit: str = ""
