"""The `reason` of an event: a sentence for the person who is woken up by it. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.policy.durations import format_duration
from monitor.policy.evaluation import RuleState, finite
from monitor.policy.events import Artifact, rfc3339
from monitor.policy.latches import LatchState, Refusal, Transition
from monitor.policy.rules import (
    EXECUTION_REFUSED,
    MONEY_UNIT,
    ORDERS_FILTERED_OUT,
    RECONCILIATION_BREAK,
    Action,
    Rule,
)
from monitor.stats.estimate import (
    BEGUN_ANEW,
    BLIND,
    NO_MARK,
    NO_POSITION,
    NO_RATE,
    STALE_MARKS,
    STALE_RATE,
    Estimate,
)

ALERT_ONLY = "alert only."

_BLIND = {
    NO_RATE: "no rate for",
    STALE_RATE: "an old rate of",
    NO_POSITION: "no position report of",
    NO_MARK: "no mark of",
    STALE_MARKS: "an old mark of",
}


def money(units: int) -> str:
    """Money in 1e-18 as decimal text, exact and without trailing zeros: `-12.5`."""
    whole, part = divmod(abs(units), MONEY_UNIT)
    text = f"{whole}.{part:018d}".rstrip("0").rstrip(".")
    return f"-{text}" if units < 0 else text


def number(value: float | int | None, is_money: bool = False) -> str:
    """A value to read: six significant digits, money in full."""
    if value is None:
        return "unknown"
    if is_money and isinstance(value, int):
        return money(value)
    return format(value, ".6g")


def breach(rule: Rule, state: RuleState, estimate: Estimate, stale: bool, effect: str) -> str:
    """Of a firing: what, how much, for how long, and what followed."""
    breaks = estimate.extra.get("breaks")
    if rule.id == RECONCILIATION_BREAK and breaks:
        return _contradicted(breaks[0], int(estimate.value or 0) - 1)
    refused = estimate.extra.get("refused")
    if rule.id == EXECUTION_REFUSED and refused:
        return _refused(refused[0], int(estimate.value or 0) - 1)
    if rule.id == ORDERS_FILTERED_OUT:
        return _filtered_out(estimate)
    value = number(finite(estimate.value), rule.money)
    lasting = f"in {state.consecutive} consecutive evaluations " if state.consecutive > 1 else ""
    note = ", on stale books of tasks that do not report" if stale else ""
    since = f"since {rfc3339(state.since_ns)}" if state.since_ns is not None else ""
    return (
        f"{rule.describe_metric()} is {value}, {rule.comparator} {number(rule.threshold)} "
        f"(n = {estimate.n}{note}) {lasting}{since}: {effect}"
    )


def _contradicted(first: Mapping[str, str], more: int) -> str:
    """Of positions that were reported otherwise than the ledger held them."""
    account = f" (account {first['account']})" if first["account"] else ""
    others = f" And {more} more: see the evidence." if more else ""
    return (
        f"the ledger of {first['symbol']}{account} held {first['booked']}, the position report says "
        f"{first['reported']}; taken over.{others}"
    )


def _refused(first: Mapping[str, str], more: int) -> str:
    """Of order records that could not be used."""
    name = f"execution {first['exec_id']}" if first["exec_id"] else "an execution without a readable id"
    symbol = f" of {first['symbol']}" if first["symbol"] else ""
    others = f" And {more} more: see the evidence." if more else ""
    return (
        f"{name}{symbol} was refused ({first['reason']}: {first['detail']}) and is in no book: the real one "
        f"may be wrong. Send the report again as it should be, or a position report.{others}"
    )


def _filtered_out(estimate: Estimate) -> str:
    """Of a filter that lets nothing through."""
    first = estimate.extra.get("first", {})
    names = ", ".join(f"{name} {first[name]!r}" for name in ("account", "strategy") if first.get(name))
    says = f" The first is of {names or 'neither account nor strategy'}." if first else ""
    return (
        f"the filter has left out all {estimate.n} execution reports, and never let one through: the real "
        f"book holds nothing, and no limit on it can trip.{says} Compare `filter` with what the desk writes."
    )


def resolved(rule: Rule, estimate: Estimate, began_ns: int, at_ns: int, standing: LatchState) -> str:
    """Of a resolve: the value, how long it lasted, and which latch stays."""
    value, lasted = number(finite(estimate.value), rule.money), format_duration(at_ns - began_ns)
    if rule.id == RECONCILIATION_BREAK and isinstance(rule.window, int):
        quiet = format_duration(min(rule.window, estimate.to_ns - estimate.from_ns))
        return f"no position report has contradicted the ledger for {quiet}."
    if rule.id == EXECUTION_REFUSED and isinstance(rule.window, int):
        quiet = format_duration(min(rule.window, estimate.to_ns - estimate.from_ns))
        return f"no execution has been refused for {quiet}; those that were are in no book."
    if rule.id == ORDERS_FILTERED_OUT:
        return "the filter has let an execution report through."
    return (
        f"{rule.describe_metric()} is {value}, no longer {rule.comparator} {number(rule.threshold)} "
        f"(n = {estimate.n}), after {lasted}{_standing(rule.subject, standing)}."
    )


def no_data(rule: Rule, state: RuleState, estimate: Estimate, effect: str) -> str:
    """Of a metric that has no value."""
    since = rfc3339(state.absent_since_ns) if state.absent_since_ns is not None else "now"
    causes = ((_BLIND[cause], estimate.extra.get(cause)) for cause in BLIND)
    why = "".join(f", {cause} {', '.join(names)}" for cause, names in causes if names)
    if estimate.extra.get(BEGUN_ANEW):
        why += ", since a changed configuration began the statistics anew"
    return (
        f"{rule.describe_metric()} has no data (status {estimate.status}, n = {estimate.n}{why}) since "
        f"{since}; rule {rule.id} cannot judge: {effect}"
    )


def data_back(rule: Rule, estimate: Estimate, began_ns: int, at_ns: int, standing: LatchState) -> str:
    """Of a metric that has a value again."""
    return (
        f"{rule.describe_metric()} has data again after {format_duration(at_ns - began_ns)}: "
        f"{number(finite(estimate.value), rule.money)} (n = {estimate.n}){_standing(rule.subject, standing)}."
    )


def withdrawn(rule: str, began_ns: int) -> str:
    """Of a built-in rule that fired and is no longer there."""
    return (
        f"rule {rule} has fired since {rfc3339(began_ns)}; the configuration has been changed and nobody "
        "watches this any more. What it said is not known to be mended."
    )


def silence(tasks: tuple[int, ...], before: tuple[int, ...], since_ns: int, at_ns: int) -> str:
    """Of partition tasks that do not report."""
    if not tasks:
        names, lasted = ", ".join(map(str, before)), format_duration(at_ns - since_ns)
        return f"all partition tasks report again (missing were {names}, for {lasted})."
    names = ", ".join(map(str, tasks))
    return (
        f"partition tasks {names} do not report: what needs them is unknown, hard limits are judged on their "
        "books as last reported. Look whether their replica runs and reaches the broker."
    )


def effect(
    rule: Rule,
    outcome: Transition | Refusal | None,
    withheld: bool,
    target: Artifact | None,
    cooldown_ns: int,
) -> str:
    """What an onset did, or why it did nothing."""
    if isinstance(outcome, Transition):
        return done(rule.action, rule.subject, str(rule.scope), target)
    if outcome is Refusal.COOLDOWN:
        return (
            f"no rollback: one was taken automatically within the last {format_duration(cooldown_ns)}; "
            "a person must decide."
        )
    if outcome is not None:
        return f"no {rule.action}: {rule.subject} is latched that far already."
    if withheld:
        late = format_duration(rule.act_within_ns or 0)
        return f"no {rule.action}: the decision is older than {late}; it is taken if the breach lasts."
    if rule.dry_run:
        return f"dry run, no {rule.action} taken."
    return ALERT_ONLY


def done(action: Action, subject: str, scope: str, target: Artifact | None) -> str:
    """A latch that moved, in words."""
    match action:
        case Action.DEMOTE:
            return f"{subject} is demoted: it leaves the experiment, the active model is untouched."
        case Action.ROLLBACK:
            return f"{subject} is rolled back to {target.artifact_id if target else 'the model before it'}."
        case Action.REDUCE:
            return f"{subject} is reduced: no new exposure until a person resets it."
        case Action.KILL:
            return f"the kill switch ({scope}) is thrown; it stands until a person resets it."
        case _:
            return ALERT_ONLY


def refused(refusal: Refusal, action: str, subject: str, epoch: int) -> str:
    """Why a command moved nothing."""
    match refusal:
        case Refusal.ALREADY:
            return f"nothing to do, {subject} is latched that far already."
        case Refusal.EPOCH:
            return f"refused, the epoch is {epoch}: look at what happened, then name that epoch."
        case Refusal.NO_SUCH_SUBJECT:
            return f"refused, there is no subject {subject!r}."
        case _:
            return f"refused, {action} does not act on {subject}."


def _standing(subject: str, state: LatchState) -> str:
    normal = (LatchState.ACTIVE, LatchState.SERVING, LatchState.RUNNING)
    return "" if state in normal else f"; {subject} stays {state} until a person resets it"
