"""What a configuration must know of a metric to check the rules that name it. Knows no statistic."""

from __future__ import annotations

from typing import Literal

import msgspec

Blame = Literal["nobody", "role", "shadow", "active", "deployment"]
"""Who a bad value speaks against: nobody (drift of a feature), the role in its label, the shadow of a pair,
the active in production, or the deployment as a whole."""


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
