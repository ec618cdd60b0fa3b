"""What a deployment's policy speaks of: a rule for each series that it has; and rules that none answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from monitor.daemon.skill_scope import unmeasurable
from monitor.engine.catalogue import FAMILIES, Catalogue
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
    shortest = {f.name: grid.schedule(f.every_ns) for f in FAMILIES if not f.ticks}
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
    series = [m.labels for m in catalogue.metrics if m.family.name == rule.metric]
    series += [m.labels for m in catalogue.books if m.family.name == rule.metric]
    return [labels for labels in series if set(rule.labels) <= set(labels)]
