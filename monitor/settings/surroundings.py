"""What a rule may refer to in its deployment, as far as that is valid by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from monitor.policy.rules import ACTIVE
from monitor.settings.calendars import SessionSettings
from monitor.settings.deployment import GridSettings, ModelSettings, PerformanceSettings, SampleSettings
from monitor.settings.metric_info import MetricInfo
from monitor.settings.rules import RuleSettings

RuleFinding = tuple[str, str, str]
"""Key of the rule, what, remedy."""


class RuleSurroundings(NamedTuple):
    """The parts of a deployment; None where one is itself mistaken."""

    models: ModelSettings | None
    windows_ns: tuple[int, ...] | None
    grids: GridSettings | None
    calendar: SessionSettings | str | None
    samples: SampleSettings | None
    performance: PerformanceSettings | None
    without_capital: bool
    without_reference: bool
    known_metrics: Mapping[str, MetricInfo] | None

    @property
    def roles(self) -> tuple[str, ...]:
        """Those that are known; the active is always there."""
        return self.models.roles if self.models is not None else (ACTIVE,)

    def info(self, rule: RuleSettings) -> MetricInfo | None:
        """What is known of the metric of a rule."""
        return self.known_metrics.get(rule.metric) if self.known_metrics is not None else None
