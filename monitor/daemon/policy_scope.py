"""What a deployment's policy speaks of: a rule for each series that it has; and rules that none answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from monitor.daemon.money_scope import OF_TWINS
from monitor.daemon.skill_scope import unmeasurable
from monitor.engine.catalogue import FAMILIES, Catalogue
from monitor.engine.family import Labels
from monitor.engine.grid import Grid
from monitor.engine.scope import Scope
from monitor.policy.rules import Grids, Policy, Rule
from monitor.settings.digest import policy_sha256
from monitor.settings.mistakes import suggestion
from monitor.settings.rules import PolicySettings

OF_FEATURES = "features_drifted"
"""Its samples are features, of which there are as many as the reference has."""


def policy_of(
    written: PolicySettings, catalogue: Catalogue, grid: Grid, built_in: Iterable[Rule] = ()
) -> Policy:
    """The policy with one rule for each series that a written rule speaks of, on the grids; then the rules
    that are `built_in`, of which its digest says nothing."""
    policy = Policy.from_settings(written, policy_sha256(written))
    expanded = tuple(
        msgspec.structs.replace(rule, labels=labels)
        for rule in policy.rules
        for labels in _spoken_of(rule, catalogue)
    )
    shortest = {f.name: grid.schedule(f.every_ns) for f in FAMILIES if not f.ticks}
    money = {family.name for family in FAMILIES if family.unit == "money"}
    return Policy(policy.name, (*expanded, *built_in), policy.sha256).bind(
        Grids(grid.tick, grid.evaluation), shortest, money
    )


def policy_problems(
    written: PolicySettings, scope: Scope, catalogue: Catalogue
) -> Iterator[tuple[str, str, str]]:
    """Key, message and remedy of rules that no series of the deployment answers."""
    for place, rule in enumerate(Policy.from_settings(written, policy_sha256(written)).rules):
        at = f"policy.rules[{place}]"
        beyond = unmeasurable(rule.metric, dict(rule.labels), scope.kinds, scope.streams)
        if beyond is not None:
            yield f"{at}.metric", *beyond
        elif rule.metric == OF_TWINS and (role := dict(rule.labels).get("role")) in _no_twins(scope):
            yield (
                f"{at}.labels.role",
                f"{OF_TWINS} is the gap between paper and fact of one model, and {role!r} runs another than "
                "the active, or on other features: it would never apply.",
                "Write `role: active`, or judge the shadow by model_effect_bps_capital.",
            )
        elif rule.metric == OF_FEATURES and rule.min_samples > (most := len(scope.features)) > 0:
            yield (
                f"{at}.min_samples",
                f"{OF_FEATURES} rests on {most} samples at most, the features of the reference: it would "
                "never be judged.",
                f"Write {most} or less.",
            )
        elif not _spoken_of(rule, catalogue):
            yield _unheard(at, rule, _series(rule.metric, catalogue))


def unjudged(written: PolicySettings, scope: Scope) -> Iterator[str]:
    """Roles that rules seem to speak of and do not, each as a sentence."""
    for rule in written.rules:
        if rule.metric == OF_TWINS and "role" not in rule.labels and (others := _no_twins(scope)):
            named = ", ".join(others)
            yield (
                f"rule {rule.id}: {OF_TWINS} is not judged of {named}: only of the active, and of shadows "
                "that run its model on the same features"
            )


def _no_twins(scope: Scope) -> list[str]:
    return [role for role in scope.shadows if role not in scope.twins]


def _unheard(at: str, rule: Rule, series: list[Labels]) -> tuple[str, str, str]:
    """Why no series of a metric has the labels of a rule, and which there are."""
    if not series:
        return (
            f"{at}.metric",
            f"this deployment has no series of {rule.metric}.",
            "configure what it is made of (drift needs a reference, markouts horizons), or drop the rule.",
        )
    for name, value in rule.labels:
        known = sorted({dict(labels)[name] for labels in series})
        if value not in known:
            remedy = suggestion(value, known)
            return f"{at}.labels.{name}", f"no series of {rule.metric} has {name} {value!r}.", remedy
    written = ", ".join(f"{name}={value}" for name, value in rule.labels)
    ways = sorted({", ".join(f"{name}={value}" for name, value in labels) for labels in series})
    return f"{at}.labels", f"{rule.metric} has no series {written}.", f"use one of: {'; '.join(ways)}"


def _spoken_of(rule: Rule, catalogue: Catalogue) -> list[Labels]:
    series = _series(rule.metric, catalogue)
    return [labels for labels in series if set(rule.labels) <= set(labels)]


def _series(metric: str, catalogue: Catalogue) -> list[Labels]:
    """Those that may ever have a value."""
    found = [m.labels for m in catalogue.metrics if m.family.name == metric]
    return found + [m.labels for m in catalogue.books if m.family.name == metric and m.applies]
