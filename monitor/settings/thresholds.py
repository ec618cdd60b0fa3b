"""Rules that could never fire, or always would: thresholds beyond what a metric can be, and more samples than
a window holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from monitor.engine.panes import pane_length
from monitor.policy.durations import format_duration
from monitor.settings.calendars import calendar_of
from monitor.settings.metric_info import MetricInfo
from monitor.settings.quantities import DAY, HOUR, SECOND
from monitor.settings.rules import RuleSettings
from monitor.settings.surroundings import RuleFinding, RuleSurroundings
from monitor.stats.cross_section import LEAST_SYMBOLS

_SLOT_NS = 10 * SECOND
"""Of `uptime`."""


def threshold_findings(rule: RuleSettings, around: RuleSurroundings) -> Iterator[RuleFinding]:
    """A threshold that is never crossed, or by every value."""
    info = around.info(rule)
    if info is None:
        return
    at, low, high = rule.threshold, info.low, info.high
    if rule.comparator == "above":
        never, always = high is not None and at >= high, low is not None and at < low
    else:
        never, always = low is not None and at <= low, high is not None and at > high
    if never or always:
        often = "never" if never else "always"
        message = f"{rule.metric} {_range(info)}, and so is {often} {rule.comparator} {at:g}"
        yield rule.comparator, message, _within(info, at)


def _range(info: MetricInfo) -> str:
    if info.low is None:
        return f"is at most {info.high:g}"
    if info.high is None:
        return f"is at least {info.low:g}"
    return f"is a {info.unit}, {info.low:g} to {info.high:g}"


def _within(info: MetricInfo, at: float) -> str:
    if info.high is None:
        return f"write more than {info.low:g}" if info.low is not None else "write another number"
    if (info.low, info.high) == (0, 1) and 1 <= abs(at) <= 100:
        return f"write {abs(at) / 100:g} where {abs(at):g} % are meant"
    return f"write a number between {info.low:g} and {info.high:g}"


@dataclass(frozen=True, slots=True)
class _Most:
    """How many samples a value can rest on, and why."""

    count: int
    why: str


def sample_findings(rule: RuleSettings, around: RuleSurroundings) -> Iterator[RuleFinding]:
    """More samples asked for than there can ever be: a value of fewer neither passes nor fails."""
    info = around.info(rule)
    most = _most(rule, info, around) if info is not None else None
    if most is not None and rule.min_samples > most.count:
        message = f"{rule.metric} rests on {most.count} samples at most, {most.why}: it would never be judged"
        remedy = f"write {most.count} or less" if most.count > 1 else "leave it out"
        yield "min_samples", message, f"{remedy}{_more(info)}"


def _more(info: MetricInfo | None) -> str:
    if info is None or info.n_of in ("one", "parity pairs"):
        return ""
    return ", or raise samples.rank_k" if "pairs" in info.n_of else ", or a longer window"


def _most(rule: RuleSettings, info: MetricInfo, around: RuleSurroundings) -> _Most | None:
    """None where nothing bounds it."""
    if info.most is not None:
        why = "of itself" if info.n_of == "one" else "the size of the sample"
        return _Most(info.most, why)
    if info.n_of in ("pairs", "instants of pairs"):
        return _in_sample(info, around)
    span = _span_ns(rule, around)
    if span is None:
        return None
    over = rule.window if isinstance(rule.window, str) else f"window of {format_duration(rule.window)}"
    if info.n_of == "slots":
        return _Most(-(-span // _SLOT_NS) + 1, f"the slots of 10s of a {over}")
    if info.n_of == "instants" and around.grids is not None:
        tick = around.grids.tick_ns
        return _Most(span // tick + 1, f"the ticks of {format_duration(tick)} of a {over}")
    if info.n_of == "returns" and around.performance is not None:
        performance = around.performance
        if isinstance(rule.window, int) and rule.window >= performance.daily_from_ns:
            return _Most(span // DAY + 1, f"the sessions of a {over}")
        grid = performance.grid_ns
        return _Most(span // grid, f"the steps of {format_duration(grid)} (performance.grid) of a {over}")
    return None


def _in_sample(info: MetricInfo, around: RuleSurroundings) -> _Most | None:
    if around.samples is None:
        return None
    rank_k = around.samples.rank_k
    if info.n_of == "pairs":
        return _Most(rank_k, "samples.rank_k")
    return _Most(
        rank_k // LEAST_SYMBOLS, f"samples.rank_k / {LEAST_SYMBOLS}: the symbols that an instant needs"
    )


def _span_ns(rule: RuleSettings, around: RuleSurroundings) -> int | None:
    """The most time that the window spans, its open pane included; None of the one since promotion, which
    grows."""
    if isinstance(rule.window, int):
        return rule.window + pane_length(rule.window) if rule.window else None
    if rule.window != "session" or around.calendar is None:
        return None
    # An hour more: a night in which clocks go back.
    return DAY if around.calendar == "always" else calendar_of(around.calendar).hours.length_ns + HOUR
