"""Faults by name, dose and time window; the market and the desk ask what is broken at an instant.

Knows nothing of streams or models: a fault is data, who obeys it is decided where it bites.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What can break, and what `dose` means for it."""

    FEATURE_SCALE = "feature_scale"
    """One feature comes multiplied by `dose` (a vendor changed its unit)."""

    FEATURE_SHIFT = "feature_shift"
    """`dose` (in standard deviations of the healthy feature) is added to one feature."""

    SERVED_ERRORS = "served_errors"
    """Production fails to answer this share (0 to 1) of the feature events, beside its usual share."""

    SERVED_LATENCY = "served_latency"
    """Production answers `dose` times slower."""

    ADVERSE_FILLS = "adverse_fills"
    """Every fill is `dose` basis points worse than the quote."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` at `dose` for event times `start_s <= t < end_s`, seconds since the stream began."""

    kind: FaultKind
    dose: float
    start_s: float
    end_s: float
    feature: int = -1
    """Column of the broken feature, for the feature faults."""

    def __post_init__(self) -> None:
        if self.end_s <= self.start_s:
            raise ValueError(
                f"fault {self.kind}: end_s {self.end_s} must be later than start_s {self.start_s}"
            )
        if self.kind in (FaultKind.FEATURE_SCALE, FaultKind.FEATURE_SHIFT) and self.feature < 0:
            raise ValueError(f"fault {self.kind}: `feature` must name a column")


@dataclass(frozen=True, slots=True)
class Faults:
    """All faults of a stream. Doses of one kind at one instant: factors multiply, the rest adds up."""

    faults: Sequence[Fault] = ()

    def at(self, kind: FaultKind, elapsed_s: float) -> list[Fault]:
        """The faults of a kind that hold `elapsed_s` seconds into the stream."""
        return [f for f in self.faults if f.kind is kind and f.start_s <= elapsed_s < f.end_s]

    def total(self, kind: FaultKind, elapsed_s: float) -> float:
        """Sum of doses; 0.0 when nothing of this kind is broken."""
        return sum(f.dose for f in self.at(kind, elapsed_s))

    def factor(self, kind: FaultKind, elapsed_s: float) -> float:
        """Product of doses; 1.0 when nothing of this kind is broken."""
        product = 1.0
        for fault in self.at(kind, elapsed_s):
            product *= fault.dose
        return product
