"""Rules, estimates and deciders for the tests of `policy`; times are multiples of one second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from monitor.event_time.calendar import ALWAYS, Calendar
from monitor.policy.decider import Decider, Proof, Subjects
from monitor.policy.events import Artifact, Decision
from monitor.policy.rules import Comparator, Grids, Policy, Rule
from monitor.stats.estimate import Estimate, Status

S = 1_000_000_000
GRIDS = Grids(tick_ns=S // 10, evaluation_ns=S)
SHADOWS: dict[str, Artifact | None] = {
    "shadow": Artifact("model_v8", "8" * 64),
    "second": Artifact("model_v9", "9" * 64),
}


def rule(**changes: Any) -> Rule:
    """Alert when `m` of the shadow is above 1, at every evaluation, unless changed."""
    fields: dict[str, Any] = {
        "id": "r",
        "subject": "shadow",
        "metric": "m",
        "comparator": Comparator.ABOVE,
        "threshold": 1.0,
        **changes,
    }
    return Rule(**fields)


def estimate(value: float | None, status: Status = Status.OK, n: int = 100, stale: bool = False) -> Estimate:
    return Estimate(value=value, n=n, status=status, from_ns=0, to_ns=S, stale=stale)


BAD, GOOD = estimate(2.0), estimate(0.5)
UNKNOWN = estimate(None, Status.UNKNOWN, n=0)
FEW = estimate(None, Status.INSUFFICIENT, n=3)


def decider(*rules: Rule, calendar: Calendar = ALWAYS, **more: Any) -> Decider:
    subjects = Subjects(
        deployment="btc",
        tenant="crypto",
        active=Artifact("model_v7", "7" * 64),
        previous=Artifact("model_v6", "6" * 64),
        shadows=SHADOWS,
        config_sha256="c" * 64,
    )
    return Decider(Policy("demo", rules, "f" * 64), subjects, GRIDS, calendar, **more)


def prove(_: Rule) -> Proof:
    return Proof({"note": "why"}, {"features-0": (3, 9)})


def constant(value: Estimate | Mapping[str, Estimate]) -> Callable[[Rule], Estimate]:
    """The same estimate for every rule, or one by rule id."""
    return lambda rule: value if isinstance(value, Estimate) else value[rule.id]


def run(
    machine: Decider, *values: Estimate | Mapping[str, Estimate], start: int = 1, **more: Any
) -> list[Decision]:
    """One evaluation a second over the values; all events."""
    events = []
    for at, value in enumerate(values, start):
        events += machine.step(at * S, constant(value), prove, **more).events
    return events


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A person's command."""

    command_id: str
    action: str
    ts_ns: int = 5
    actor: str = "alice"
    reason: str = "I say so"
    subject: str | None = None
    scope: str | None = None
    expected_epoch: int | None = None


def kinds(events: list[Decision]) -> list[str]:
    """`type/phase` of each event, the type in short."""
    return [f"{event.type.name.lower()}/{event.data.phase}" for event in events]
