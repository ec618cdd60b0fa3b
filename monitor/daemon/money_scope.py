"""What of a deployment's money, fills and sessions its rules can be judged by, and what a person should know
of them before a start. Reads no file and no clock."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from monitor.engine.panes import pane_length
from monitor.event_time.calendar import YEAR_DAYS, Calendar, Session
from monitor.models.model import Model
from monitor.policy.durations import format_duration
from monitor.policy.rules import ACTIVE
from monitor.settings.calendars import calendar_of
from monitor.settings.configuration import Settings
from monitor.settings.deployment import Deployment
from monitor.settings.order_settings import OrderSettings
from monitor.settings.paper import QUANTILE, PaperSettings
from monitor.settings.quantities import DAY, SECOND
from monitor.settings.rules import RuleSettings
from monitor.trading.names import OTHER, normal

OF_TWINS = "pnl_divergence_relative"
OF_RETURNS = ("sharpe", "pnl_divergence_z", OF_TWINS)
"""Metrics of returns of steps, of which there must be `performance.min_returns`."""
OF_PAPER_FILLS = ("fill_rate", "fill_rate_mismatch")


def money_problems(
    rules: Mapping[int, RuleSettings],
    paper: PaperSettings,
    orders: OrderSettings,
) -> Iterator[tuple[str, str, str]]:
    """Key, message and remedy of rules, by position, that could never have a value."""
    broker = _paper_type(paper, orders)
    for position, rule in rules.items():
        order_type, at = rule.labels.get("order_type"), f"policy.rules[{position}].labels"
        if _of_paper(rule) and order_type in (*orders.order_types, OTHER) and order_type != broker:
            yield (
                f"{at}.order_type",
                f"orders on paper are of type {broker!r} (paper.order_type): {rule.metric} of {order_type!r} "
                "would never have a value.",
                f"Write `order_type: {broker}`, or set paper.order_type.",
            )


def twins_of(models: Mapping[str, Model]) -> tuple[str, ...]:
    """Shadows that are the active model once more: the same ONNX file on the same features in the same order,
    whose output is read as the same kind.

    Args:
        models: by role.
    """
    active = _identity(models[ACTIVE])
    return tuple(role for role, model in models.items() if role != ACTIVE and _identity(model) == active)


def _identity(model: Model) -> tuple[object, ...]:
    return model.artifact.sha256, model.manifest.features, model.manifest.kind


def doubts(deployment: Deployment, now_ns: int) -> Iterator[str]:
    """Rules that have no value, or not always, or another than one would think, each as a sentence.

    `now_ns`: sessions of the year before it are counted.
    """
    broker = _paper_type(deployment.paper, deployment.orders)
    for rule in deployment.policy.rules:
        if rule.metric in OF_RETURNS and (said := _too_few(rule, deployment, now_ns)):
            yield f"rule {rule.id}: {said}"
        if _of_paper(rule) and "order_type" not in rule.labels:
            yield (
                f"rule {rule.id}: {rule.metric} has a value for order_type {broker} alone: orders on paper "
                "are of no other type (paper.order_type)"
            )
        if rule.window == "promotion" and deployment.models.promoted_at_ns is None:
            yield (
                f"rule {rule.id}: {rule.metric} since promotion counts from the first instant on, since "
                "models.promoted_at is not set"
            )


def _of_paper(rule: RuleSettings) -> bool:
    return rule.metric in OF_PAPER_FILLS and rule.labels.get("fills") != "real"


def _paper_type(paper: PaperSettings, orders: OrderSettings) -> str:
    """The name under which orders of the paper broker are counted."""
    name = normal(paper.order_type)
    return name if name in orders.order_types else OTHER


class _Steps(NamedTuple):
    """How many returns a window holds, `least` and `most`, and of which step, in words."""

    least: int
    most: int
    step: str


def _too_few(rule: RuleSettings, deployment: Deployment, now_ns: int) -> str | None:
    """What to say where a window holds fewer returns than are asked for."""
    needed, asks = deployment.performance.min_returns, "performance.min_returns"
    if rule.min_samples > needed:
        needed, asks = rule.min_samples, "min_samples"
    steps = _steps(rule, deployment, now_ns)
    if steps is None or steps.least >= needed:
        return None
    over = rule.window if isinstance(rule.window, str) else format_duration(rule.window)
    remedy = f"of the {needed} that {asks} asks for; write a longer window, or set that"
    if steps.most < needed:
        return f"{rule.metric} over {over} has no value: it holds {steps.most} {steps.step} at most {remedy}"
    return (
        f"{rule.metric} over {over} has no value at times: it holds {steps.least} to {steps.most} "
        f"{steps.step} {remedy}"
    )


def _steps(rule: RuleSettings, deployment: Deployment, now_ns: int) -> _Steps | None:
    """None of the window since promotion, which grows."""
    calendar, performance, window = calendar_of(deployment.calendar), deployment.performance, rule.window
    grid, step = performance.grid_ns, f"steps of {format_duration(performance.grid_ns)} (performance.grid)"
    if window == "session":
        most = max((end - start for start, end in _sessions(calendar, now_ns, 7 * DAY)), default=0) // grid
        return _Steps(most, most, step)
    if not isinstance(window, int):
        return None
    if window < performance.daily_from_ns:
        ends = [session.end_ns for session in _sessions(calendar, now_ns, 14 * DAY)]
        most = max((calendar.open_between(end - window, end) for end in ends), default=0) // grid
        return _Steps(most, most, step)
    usual = int(window * calendar.sessions_per_year / (YEAR_DAYS * DAY))
    if usual > 2 * performance.min_returns:
        return _Steps(usual, usual, "sessions")
    return _sessions_in(calendar, window, now_ns, only_closes=rule.schedule == DAY)


def _sessions_in(calendar: Calendar, window_ns: int, now_ns: int, *, only_closes: bool) -> _Steps:
    """The fewest and the most closes that a window held in the last year, from its first pane on: before a
    close they are fewest, at one most. `only_closes`: it is looked at then alone."""
    year, pane = YEAR_DAYS * DAY, pane_length(window_ns)
    closes = [session.end_ns for session in _sessions(calendar, now_ns, year + window_ns + 10 * DAY)]
    held = [
        bisect_right(closes, at) - bisect_right(closes, at - at % pane - window_ns)
        for close in closes
        for at in ([close] if only_closes else [close - 1, close])
        if close > now_ns - year
    ]
    return _Steps(min(held, default=0), max(held, default=0), "sessions")


def _sessions(calendar: Calendar, now_ns: int, back_ns: int) -> Iterator[Session]:
    """Those that began and ended within the time before."""
    session = calendar.next_session(now_ns - back_ns)
    while session is not None and session.end_ns <= now_ns:
        yield session
        session = calendar.next_session(session.end_ns)


def money_sentences(settings: Settings, deployment: Deployment, now_ns: int) -> Iterator[tuple[str, str]]:
    """When sessions are, what the paper broker does, and what trades and capital are held against."""
    yield "calendar", _calendar(calendar_of(deployment.calendar), now_ns)
    yield "paper", _broker(deployment.paper)
    markouts = deployment.markouts
    horizons = ", ".join(format_duration(horizon) for horizon in markouts.horizons_ns)
    yield (
        "markouts",
        f"mids {horizons} after trades; at most {markouts.limit:,} trades wait" if horizons else "none",
    )
    capital, name = deployment.capital, deployment.performance.benchmark
    if capital is None:
        yield "benchmark", "none, for want of capital; so there is no drawdown"
    else:
        held = "equal shares of all symbols that any book has traded" if name == "traded" else name
        yield "benchmark", f"{capital.amount:f} {capital.currency} held in {held}"


def _broker(paper: PaperSettings) -> str:
    if paper.target == "sign":
        within = f", none within +-{paper.threshold:g} of neutral" if paper.threshold else ""
        target = f"the sign of the prediction x {_quantity(paper)}{within}"
    elif paper.target == "linear":
        target = f"prediction / {paper.scale:g} x {_quantity(paper)}, at most that"
    else:
        upper = paper.quantile or QUANTILE
        target = (
            f"{_quantity(paper)} long above the {upper} quantile of the reference, short below {1 - upper}"
        )
    orders = f"{paper.order_type} orders from {format_duration(paper.latency_ns)} on"
    costs = f"slippage {paper.slippage_bps:f} bps, fee {paper.fee_bps:f} bps"
    caps = []
    if paper.participation is not None:
        share = paper.participation
        caps.append(f"{share.share * 100:f} % of {share.volume} a quote")
    if paper.max_exposure is not None:
        caps.append(f"|position| x mid {paper.max_exposure:f} a symbol")
    if paper.max_turnover is not None:
        caps.append(f"turnover {paper.max_turnover:f} a symbol and hour")
    limits = f"at most {', '.join(caps)}" if caps else "no caps"
    return f"target {target}; {orders}, {costs}; {limits}"


def _quantity(paper: PaperSettings) -> str:
    own = ", ".join(f"{symbol} {quantity:f}" for symbol, quantity in sorted(paper.own_quantities.items()))
    default = paper.default_quantity
    if default is None:
        return f"({own})"
    return f"{default:f} ({own})" if own else f"{default:f}"


def _calendar(calendar: Calendar, now_ns: int) -> str:
    running = calendar.session_at(now_ns)
    shown = [f"open until {_wall(calendar, running.end_ns)}"] if running is not None else []
    at = now_ns
    for _ in range(2):
        following = calendar.next_session(at)
        if following is None:
            break
        shown.append(f"{_wall(calendar, following.start_ns)} to {_wall(calendar, following.end_ns)}")
        at = following.end_ns
    return f"{', then '.join(shown) or 'no session within 400 days'} ({calendar.zone})"


def _wall(calendar: Calendar, ns: int) -> str:
    """The time on the wall."""
    at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ns // SECOND)).astimezone(calendar.zone)
    return at.strftime("%a %Y-%m-%d %H:%M:%S" if at.second else "%a %Y-%m-%d %H:%M")
