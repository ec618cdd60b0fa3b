"""What a deployment's policy speaks of: a rule for each series that it has; and rules that none answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from monitor.daemon.deployed import books_of
from monitor.daemon.skill_scope import unmeasurable
from monitor.engine.catalogue import BY_NAME, FAMILIES, Catalogue
from monitor.engine.family import Labels
from monitor.engine.grid import Grid
from monitor.engine.scope import Scope
from monitor.policy.rules import Grids, Policy, Rule
from monitor.settings.digest import policy_sha256
from monitor.settings.rules import PolicySettings


def policy_of(
    written: PolicySettings, scope: Scope, catalogue: Catalogue, grid: Grid, built_in: Iterable[Rule] = ()
) -> Policy:
    """The policy with one rule for each series that a written rule speaks of, on the grids; then the rules
    that are `built_in`, of which its digest says nothing."""
    policy = Policy.from_settings(written, policy_sha256(written))
    expanded = tuple(
        msgspec.structs.replace(rule, labels=labels)
        for rule in policy.rules
        for labels in _spoken_of(rule, scope, catalogue)
    )
    shortest = {f.name: grid.schedule(f.every_ns) for f in FAMILIES if f.of is not None}
    money = {family.name for family in FAMILIES if family.unit == "money"}
    return Policy(policy.name, (*expanded, *built_in), policy.sha256).bind(
        Grids(grid.tick, grid.evaluation), shortest, money
    )


def policy_problems(
    written: PolicySettings, scope: Scope, catalogue: Catalogue
) -> Iterator[tuple[str, str, str]]:
    """Key, message and remedy of rules that no series of the deployment answers."""
    for rule in Policy.from_settings(written, policy_sha256(written)).rules:
        at = f"policy.rules.{rule.id}"
        beyond = unmeasurable(rule.metric, dict(rule.labels), scope.kinds, scope.streams)
        if beyond is not None:
            yield at, *beyond
        elif not _spoken_of(rule, scope, catalogue):
            yield (
                at,
                f"no series of {rule.metric} has these labels in this deployment.",
                "Name a role, feature or limit that is there; drift needs a reference.",
            )


def _spoken_of(rule: Rule, scope: Scope, catalogue: Catalogue) -> list[Labels]:
    series = _labels_of(rule.metric, catalogue, books_of(scope))
    return [labels for labels in series if set(rule.labels) <= set(labels)]


def _labels_of(metric: str, catalogue: Catalogue, books: Sequence[str]) -> list[Labels]:
    family = BY_NAME[metric]
    if family.of is not None:
        return [m.labels for m in catalogue.metrics if m.family is family]
    pairs = [tuple(sorted((a, b) for a, b in (p.split("=", 1) for p in k.split(",")))) for k in books]
    if metric == "model_effect":
        roles = sorted({dict(labels)["role"] for labels in pairs} - {"active"})
        return [(("role", role),) for role in roles]
    return list(pairs)
