"""`Policy`: rules in their order, read from mappings and bound to what a deployment has.

Knows no metric and no stream: the catalogue tells `Policy.bind` and `Policy.spread` what they must know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from monitor.errors import ConfigError, Problem
from monitor.policy.canonical import digest
from monitor.policy.durations import format_duration
from monitor.policy.rule_reader import RuleReader
from monitor.policy.rules import ACTIVE, DEPLOYMENT, Grids, Labels, Rule


class Policy(msgspec.Struct, frozen=True):
    """Rules in the order in which they apply at one instant; `sha256` is that of the policy as written."""

    name: str
    rules: tuple[Rule, ...]
    sha256: str

    @staticmethod
    def from_mapping(name: str, rules: Sequence[Mapping[str, Any]], file: str = "policy") -> Policy:
        """A policy from mappings in the words of the YAML; durations are text with a unit, or 0.

        An integer `for` counts evaluations. The digest does not depend on spelling, the order of keys, or
        whether defaults are written out.

        Raises:
            ConfigError: with every mistake of every rule, each with its key in `file` and a remedy.
        """
        readers = [RuleReader(rule, file, f"rules[{rule.get('id', at)}]") for at, rule in enumerate(rules)]
        parsed = tuple(rule for reader in readers if (rule := reader.read()) is not None)
        problems = [problem for reader in readers for problem in reader.problems]
        for key, count in Counter(rule.key for rule in parsed).items():
            if count > 1:
                problems.append(Problem(file, f"rules[{key}].id", "stands twice.", "Give each rule its own."))
        if problems:
            raise ConfigError(problems)
        said = [name, [msgspec.to_builtins(rule) for rule in parsed]]
        return Policy(name, parsed, digest(said))

    def problems(self, shadows: Collection[str], grids: Grids, file: str = "policy") -> list[Problem]:
        """Rules that do not fit a deployment with these shadows and grids."""
        known, tick = {DEPLOYMENT, ACTIVE, *shadows}, format_duration(grids.tick_ns)
        found = []
        for rule in self.rules:
            where = f"rules[{rule.id}]"
            if rule.subject not in known:
                message, remedy = f"there is no {rule.subject!r}.", f"Use one of {', '.join(sorted(known))}."
                found.append(Problem(file, f"{where}.subject", message, remedy))
            if rule.period_ns(grids) % grids.tick_ns:
                message, remedy = "does not lie on the grid.", f"Use a multiple of the tick ({tick})."
                found.append(Problem(file, f"{where}.schedule", message, remedy))
        return found

    def spread(self, series: Callable[[str, Labels], Sequence[Labels]]) -> Policy:
        """Every rule that leaves labels out becomes one rule for each of the series that match it.

        Args:
            series: label sets of a metric that carry the given labels, in a fixed order; a rule that no
                series matches stays as it is.
        """
        spread = [
            replace(rule, labels=labels)
            for rule in self.rules
            for labels in (series(rule.metric, rule.labels) or [rule.labels])
        ]
        return Policy(self.name, tuple(spread), self.sha256)

    def bind(self, grids: Grids, shortest_ns: Mapping[str, int], money: Collection[str]) -> Policy:
        """The policy with what the catalogue knows of the metrics.

        Args:
            grids: the deployment's.
            shortest_ns: by metric, its shortest useful period; a rule that asks for more gets that one.
            money: metrics whose values are integers in 1e-18 of a currency.
        """
        bound = []
        for rule in self.rules:
            shortest = shortest_ns.get(rule.metric, 0)
            schedule = shortest if shortest > rule.period_ns(grids) else rule.schedule
            bound.append(replace(rule, schedule=schedule, money=rule.metric in money))
        return Policy(self.name, tuple(bound), self.sha256)
