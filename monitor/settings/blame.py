"""Whom a rule may act on: one that takes somebody out of service must rest on what speaks against that very
one, and trading stops for what is real alone: a shadow, and paper, stop nothing.

Evidence of a metric is judged series by series: labels that leave open which role or whose fills are meant
let every series of them act.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from monitor.policy.rules import ACTIVE, DEPLOYMENT
from monitor.settings.metric_info import Blame, MetricInfo
from monitor.settings.mistakes import suggestion
from monitor.settings.rules import RuleSettings
from monitor.settings.surroundings import RuleFinding, RuleSurroundings

FILLS = ("paper", "real")

STOPS = ("reduce", "kill")
"""Actions on the deployment: they stop trading, in part or whole."""


class Verdict(NamedTuple):
    """What a rule may do about a metric, and why nothing else."""

    actions: tuple[str, ...]
    why: str


VERDICTS: Mapping[Blame, Verdict] = {
    "nobody": Verdict((), "which blames no model and no trading"),
    "deployment": Verdict(STOPS, "which blames no model"),
    "role": Verdict(("demote", "rollback", *STOPS), ""),
    "model": Verdict(("demote", "rollback"), "which speaks of a model, and of nothing that trading loses"),
    "shadow": Verdict(("demote",), "which speaks only against a shadow"),
    "active": Verdict(("rollback", *STOPS), "which speaks only against the active"),
    "fills": Verdict(("rollback",), "half of which is paper, and speaks only of the active"),
    "book": Verdict(("demote", "rollback", *STOPS), ""),
    "twin": Verdict(
        ("demote",), "which holds paper against fact: that is execution, and no fault of the model"
    ),
}
"""By whom a bad value speaks against: nobody (drift, what paper and fact differ in); the deployment (its
streams and ledger); the role in its label, in all or as a model only; the shadow of a pair; the active in
production, its fills; a book; the twin that a shadow is."""


def unknown_subject(subject: str, around: RuleSurroundings) -> Iterator[RuleFinding]:
    """A subject that the deployment does not have."""
    if around.models is not None and subject not in (subjects := {*around.models.roles, DEPLOYMENT}):
        yield "subject", f"{subject!r} is no subject of this deployment", suggestion(subject, subjects)


def subject_findings(rule: RuleSettings, around: RuleSurroundings) -> Iterator[RuleFinding]:
    """Actions that the subject of a rule does not know."""
    if unknown := list(unknown_subject(rule.subject, around)):
        yield from unknown
        return
    shadow = rule.subject not in (ACTIVE, DEPLOYMENT)
    if rule.action == "demote" and not shadow:
        yield "action", f"only a shadow can be demoted, not `{rule.subject}`", "name the shadow as subject"
    if rule.action == "rollback" and rule.subject != ACTIVE:
        yield (
            "action",
            f"only the active can be rolled back, not `{rule.subject}`",
            "write demote for a shadow",
        )
    if rule.action in STOPS and rule.subject != DEPLOYMENT:
        remedy = "write `subject: deployment`"
        yield "action", f"{rule.action} acts on the deployment, not on `{rule.subject}`", remedy
    if rule.action == "rollback" and around.models is not None and around.models.previous is None:
        yield "action", "there is nothing to roll back to", "set models.previous"


def blame_findings(rule: RuleSettings, around: RuleSurroundings) -> Iterator[RuleFinding]:
    """Rules that act on one because of another; actions that the subject does not know are said elsewhere."""
    info = around.info(rule)
    if info is None or not _acts(rule, around):
        return
    what = f"{rule.action} of `{rule.subject}` on {rule.metric}"
    accused = rule.subject if rule.action == "demote" else ACTIVE
    role = rule.labels.get("role")
    verdict = VERDICTS[info.blame]
    if rule.action not in verdict.actions:
        yield "metric", f"{what}, {verdict.why}", _remedy(rule, info)
    elif role is not None and role != accused and "role" in info.labels:
        message = f"{what} of `{role}`, which speaks only against `{role}`"
        yield "metric", message, _other(rule, role, info)
    elif accused == ACTIVE and rule.labels.get("fills") == "paper" and "fills" in info.labels:
        yield "labels", f"{what} of paper, where no money is lost", _write(rule, accused, info)
    elif beyond := sorted(_series(rule, info, around) - _own(accused)):
        others = " and ".join(_name(*one) for one in beyond)
        message = f"{what} of every series that its labels leave open, {others} among them"
        yield "labels", message, _write(rule, accused, info)


def _acts(rule: RuleSettings, around: RuleSurroundings) -> bool:
    """Whether it takes its subject out of service."""
    if rule.action == "demote":
        known = around.models is None or rule.subject in around.roles
        return known and rule.subject not in (ACTIVE, DEPLOYMENT)
    return (rule.action == "rollback" and rule.subject == ACTIVE) or (
        rule.action in STOPS and rule.subject == DEPLOYMENT
    )


_Series = tuple[str | None, str | None]
"""Role and fills; None where the metric does not tell them apart."""


def _series(rule: RuleSettings, info: MetricInfo, around: RuleSurroundings) -> set[_Series]:
    """Those that a rule with these labels is judged on."""
    roles: tuple[str | None, ...] = around.roles if "role" in info.labels else (None,)
    if info.blame == "shadow":
        roles = tuple(role for role in roles if role != ACTIVE)
    found: set[_Series] = set()
    for role in roles:
        # Real fills are the active's alone.
        fills = FILLS if role in (ACTIVE, None) else FILLS[:1]
        found |= {(role, of) for of in fills} if "fills" in info.labels else {(role, None)}
    wanted = (rule.labels.get("role"), rule.labels.get("fills"))
    return {one for one in found if all(w in (None, o) for w, o in zip(wanted, one, strict=True))}


def _own(accused: str) -> set[_Series]:
    """What speaks against one: of the active what is real."""
    fills = ("real", None) if accused == ACTIVE else (*FILLS, None)
    return {(role, of) for role in (accused, None) for of in fills}


def _name(role: str | None, fills: str | None) -> str:
    whose = f"`{role}`" if role is not None else ""
    return f"{fills} fills {f'of {whose}' if whose else ''}".strip() if fills is not None else whose


def _labels(accused: str, info: MetricInfo) -> str:
    said = {"role": accused, "fills": "real" if accused == ACTIVE else "paper"}
    return ", ".join(f"{label}: {value}" for label, value in said.items() if label in info.labels)


def _write(rule: RuleSettings, accused: str, info: MetricInfo) -> str:
    return f"write `labels: {{{_labels(accused, info)}}}`"


def _other(rule: RuleSettings, role: str, info: MetricInfo) -> str:
    if rule.action not in STOPS:
        return f"make `{role}` the subject, or choose a metric of `{rule.subject}`"
    return f"write `labels: {{{_labels(ACTIVE, info)}}}`, or demote `{role}`"


def _remedy(rule: RuleSettings, info: MetricInfo) -> str:
    actions = VERDICTS[info.blame].actions
    if "demote" in actions and rule.action != "demote":
        also = "" if info.blame in ("shadow", "twin") else ", or roll back the active"
        return f"demote the shadow{also if rule.action in STOPS else ''}, or choose another metric"
    if "rollback" in actions and rule.action == "demote":
        return "choose a metric of the shadow"
    if "rollback" in actions:
        return "roll back the active, or choose another metric"
    return "write `action: alert`, or choose another metric"
