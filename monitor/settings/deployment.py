"""One deployment: its models, books, windows, grids and policy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from monitor.policy.rules import ACTIVE, DEPLOYMENT
from monitor.settings.calendars import WrittenCalendar
from monitor.settings.mistakes import mistake
from monitor.settings.order_settings import OrderSettings
from monitor.settings.paper import PaperSettings
from monitor.settings.quantities import (
    DAY,
    HOUR,
    MILLISECOND,
    MINUTE,
    SECOND,
    Duration,
    Exact,
    FilePath,
    Instant,
    Name,
    Number,
    PositiveDuration,
    Whole,
)
from monitor.settings.rules import PolicySettings
from monitor.settings.section import Section

LEAST_MONEY = Decimal("1e-18")
"""Less is zero in the books."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _identifier(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise mistake(
            f"{value!r} is not a name", "use letters, digits and . _ -, beginning with a letter or digit"
        )
    return value


def _role(value: str) -> str:
    if value in (ACTIVE, "previous", DEPLOYMENT):
        raise mistake(f"{value!r} cannot be the name of a shadow", "choose another name, such as `shadow`")
    return _identifier(value)


Identifier = Annotated[str, AfterValidator(_identifier)]


class CapitalSettings(Section):
    """Allocated capital: what drawdown and ratios are measured against."""

    amount: Exact = Field(ge=LEAST_MONEY)
    currency: Name


class FilterSettings(Section):
    """Which orders of a shared topic belong to the deployment; what is left out matches all."""

    strategy: Name | None = None
    account: Name | None = None

    @property
    def named(self) -> tuple[str, ...]:
        """What it asks for, in words; none where every order matches."""
        wanted = (("account", self.account), ("strategy", self.strategy))
        return tuple(f"{name} {value}" for name, value in wanted if value is not None)


class ModelSettings(Section):
    """Artifact directories by role."""

    active: FilePath
    previous: FilePath | None = None
    """What a rollback returns to."""
    shadows: Mapping[Annotated[str, AfterValidator(_role)], FilePath] = Field(min_length=1)
    shadow_deadline_ns: PositiveDuration = Field(default=50 * MILLISECOND, alias="shadow_deadline")
    """The most that shadows may delay a batch."""
    promoted_at_ns: Instant | None = Field(default=None, alias="promoted_at")
    """When the active was promoted: start of the window `promotion`."""

    @property
    def roles(self) -> tuple[str, ...]:
        """`active`, then the shadows by name."""
        return (ACTIVE, *sorted(self.shadows))


def _at_least_1ms(value: int) -> int:
    if value < MILLISECOND:
        raise mistake("is shorter than 1ms, the finest time that books are looked at", "write 1ms or more")
    return value


BookTime = Annotated[PositiveDuration, AfterValidator(_at_least_1ms)]
"""Nanoseconds, a millisecond or more."""


class BookSettings(Section):
    """How books are opened and marked."""

    start_flat: bool = False
    mark_staleness_ns: BookTime = Field(default=5 * SECOND, alias="mark_staleness")
    mark_band_bps: Exact = Field(default=Decimal(50), gt=0)
    max_spread_bps: Exact = Field(default=Decimal(20), gt=0)
    exec_horizon_ns: PositiveDuration = Field(default=DAY, alias="exec_horizon")


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise mistake("a feature is listed twice", "list each feature once")
    return names


class SampleSettings(Section):
    rank_k: Whole = Field(default=10_000, ge=2)
    """Pairs of predictions kept for rank metrics, per window."""
    ks_features: Annotated[tuple[Name, ...], AfterValidator(_once)] = ()
    """Features whose KS statistic is exact on a sample of values; the reference must hold a sample of each
    (`baseline --sample FEATURE`)."""
    ks_k: Whole = Field(default=2_000, ge=100)
    """Values kept for each of them, per window."""


class DriftSettings(Section):
    """When features count as drifted: significant by this budget of false alarms, and material."""

    alarms_per_month: Number = Field(default=1, gt=0)
    """False alarms of `features_drifted` in 30 days, over all features."""
    looks_per_day: Number = Field(default=200, gt=0)
    """Independent looks a day that the budget is split over."""
    correction: Literal["bonferroni", "holm"] = "bonferroni"
    """For the number of features; both hold whatever their dependence, Holm finds more."""
    material_excess: Number = Field(default=0.1, ge=0)
    """Excess PSI that a significant feature must pass."""

    @model_validator(mode="after")
    def _budget(self) -> DriftSettings:
        if self.alarms_per_month > self.looks_per_day * 30:
            raise mistake("more false alarms than looks", "lower alarms_per_month")
        return self


class ParitySettings(Section):
    """When a recorded answer of production came out again: `|recorded - again| <= atol + rtol |recorded|`."""

    atol: Number = Field(default=1e-5, ge=0)
    """In units of the answers."""
    rtol: Number = Field(default=1e-5, ge=0)


class LabelSettings(Section):
    """How predictions wait for their outcomes, where there is a topic of them."""

    wait_ns: PositiveDuration | None = Field(default=None, alias="wait")
    """The most event time between an event and its outcome; a minute more than the horizon of the active."""
    limit: Whole = Field(default=1_000_000, ge=1)
    """Rows that wait in a task: over it the oldest go, and are counted."""


def _horizons(horizons: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(horizons)) < len(horizons):
        raise mistake("a horizon is listed twice", "list each horizon once")
    return horizons


class SkillSettings(Section):
    """Which returns predictions are held against: of mids over [t + lag, t + lag + horizon)."""

    horizons_ns: Annotated[tuple[PositiveDuration, ...], AfterValidator(_horizons)] = Field(
        default=(), alias="horizons"
    )
    """The first is that of all metrics but `ic_decay`; the horizon of the active, or 1m where it has none."""
    lag_ns: Duration | None = Field(default=None, alias="lag")
    """From prediction to position; `paper.latency`."""
    cost_bps: Exact | None = None
    """Of a round trip, spread included where it is to count; twice `paper.fee_bps` + `paper.slippage_bps`."""
    limit: Whole = Field(default=10_000, ge=1)
    """Predictions that wait for their returns, shared out to the instruments: beyond, a symbol's first ones
    of each slot of time are taken. About 60 bytes of state each."""


class MarkoutSettings(Section):
    """After which times trades of all books are held against the mid."""

    horizons_ns: Annotated[tuple[PositiveDuration, ...], AfterValidator(_horizons)] = Field(
        default=(SECOND, 5 * SECOND, 30 * SECOND, 5 * MINUTE), alias="horizons"
    )
    """None: there are no markouts."""
    limit: Whole = Field(default=4_000, ge=1)
    """Trades that wait for their mids, shared out to instruments and books: beyond, the first ones of each
    slot of time are taken, and the others counted. About 70 bytes of state each."""


class HarmSettings(Section):
    """What a shadow is allowed: the mean of shadow - active, given the past, is at most `margin`."""

    margin: Number = 0.0
    bound: Number = Field(default=1.0, gt=0)
    """Blocks whose mean lies beyond +-bound count as that; a small one finds small harm sooner."""

    @model_validator(mode="after")
    def _testable(self) -> HarmSettings:
        return _within(self, self.bound)


class LossSettings(Section):
    """The same of the loss against labels: squared error of a return, Brier score, share of wrong classes."""

    margin: Number = 0.0
    bound: Annotated[float, Field(gt=0)] | None = None
    """In units of the loss; 1 for probabilities and classes. Returns have no test without it."""

    @model_validator(mode="after")
    def _testable(self) -> LossSettings:
        return self if self.bound is None else _within(self, self.bound)


class EffectSettings(Section):
    """The same of the model effect: -(P&L of the shadow's paper book less the active's) over a block."""

    margin: Number = 0.0
    bound: Annotated[float, Field(gt=0)] | None = None
    """In bps of the capital; without it P&L is not tested."""

    @model_validator(mode="after")
    def _testable(self) -> EffectSettings:
        return self if self.bound is None else _within(self, self.bound)


HarmT = TypeVar("HarmT", HarmSettings, LossSettings, EffectSettings)


def _within(harm: HarmT, bound: float) -> HarmT:
    if abs(harm.margin) >= bound:
        raise mistake(f"a margin of {harm.margin:g} is never reached within +-{bound:g}", "raise the bound")
    return harm


class ChangeSettings(Section):
    """Detectors of changes of level (ADWIN), made where a rule names one of their metrics."""

    pane_ns: PositiveDuration | None = Field(default=None, alias="pane")
    """One mean each; 1m, or the finest pane of the windows where that is longer. Long against the time in
    which the stream forgets, else noise looks like change."""
    delta: Number = Field(default=0.002, gt=0, lt=1)
    """Of ADWIN: smaller finds less, and less that is none."""


class SequenceSettings(Section):
    """Tests that may be looked at at any time: they take evidence in blocks that are nearly independent."""

    block_ns: PositiveDuration | None = Field(default=None, alias="block")
    """At least ten correlation times and the horizon of the models; so by default, and at least 10m."""
    error: HarmSettings = Field(default_factory=HarmSettings)
    """Rows in which one of the two failed, as a share of all."""
    loss: LossSettings = Field(default_factory=LossSettings)
    pnl: EffectSettings = Field(default_factory=EffectSettings)
    """The model effect on paper."""
    change: ChangeSettings = Field(default_factory=ChangeSettings)


class PerformanceSettings(Section):
    """How P&L becomes figures."""

    grid_ns: PositiveDuration = Field(default=MINUTE, alias="grid")
    """Step of returns."""
    daily_from_ns: PositiveDuration = Field(default=7 * DAY, alias="daily_from")
    """Windows of this length and more take a return a session instead."""
    min_returns: Whole = Field(default=20, ge=2)
    """Fewer have no Sharpe ratio and no z."""
    floor_bps: Number = Field(default=1.0, ge=0, le=10_000)
    """Of the capital: the least denominator of a divergence."""
    max_position_gap: Annotated[float, Field(ge=0)] | None = None
    """Above it paper is not believed: what compares it is unknown."""
    benchmark: Name = "traded"
    """A symbol, or `traded`: equal shares of the capital in the symbols that any book has traded."""


class GridSettings(Section):
    """Grids of event time."""

    evaluation_interval_ns: PositiveDuration = Field(default=SECOND, alias="evaluation_interval")
    """Rules."""
    tick_ns: BookTime = Field(default=100 * MILLISECOND, alias="tick")
    """Hard limits."""
    task_deadline_ns: PositiveDuration = Field(default=3 * SECOND, alias="task_deadline")
    """How long an evaluation waits for a task."""

    @model_validator(mode="after")
    def _nested(self) -> GridSettings:
        if self.evaluation_interval_ns % self.tick_ns:
            raise mistake("evaluation_interval is not a multiple of tick", "e.g. 1s and 100ms")
        return self


def _windows(windows: tuple[int, ...]) -> tuple[int, ...]:
    if not windows:
        raise mistake("there is no window", "write at least one, such as [5m, 1h], or leave it out")
    if len(set(windows)) < len(windows):
        raise mistake("a window is listed twice", "list each window once")
    if any(window % SECOND for window in windows):
        raise mistake("a window is a whole number of seconds", "write e.g. 5m")
    return tuple(sorted(windows))


Windows = Annotated[tuple[PositiveDuration, ...], AfterValidator(_windows)]


class Deployment(Section):
    """One active model and its shadows, with everything that decides about them."""

    tenant: Name = "default"
    calendar: WrittenCalendar = "always"
    capital: CapitalSettings | None = None
    filter: FilterSettings = Field(default_factory=FilterSettings)
    models: ModelSettings
    reference: FilePath | None = None
    books: BookSettings = Field(default_factory=BookSettings)
    paper: PaperSettings = Field(default_factory=PaperSettings)
    orders: OrderSettings = Field(default_factory=OrderSettings)
    windows_ns: Windows = Field(default=(5 * MINUTE, HOUR), alias="windows")
    """Ascending."""
    samples: SampleSettings = Field(default_factory=SampleSettings)
    drift: DriftSettings = Field(default_factory=DriftSettings)
    parity: ParitySettings = Field(default_factory=ParitySettings)
    labels: LabelSettings = Field(default_factory=LabelSettings)
    skill: SkillSettings = Field(default_factory=SkillSettings)
    markouts: MarkoutSettings = Field(default_factory=MarkoutSettings)
    sequences: SequenceSettings = Field(default_factory=SequenceSettings)
    performance: PerformanceSettings = Field(default_factory=PerformanceSettings)
    grids: GridSettings = Field(default_factory=GridSettings)
    policy: PolicySettings = PolicySettings(name="none")

    @property
    def roles(self) -> tuple[str, ...]:
        """`active`, then the shadows by name."""
        return self.models.roles
