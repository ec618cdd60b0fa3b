"""What a sound configuration should still be told of: rules that have no value, or another than one would
think. `check` prints it, and every start logs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from monitor.daemon.deployed import Deployed
from monitor.daemon.group import Group
from monitor.daemon.money_scope import doubts
from monitor.daemon.paper_scope import paper_doubts
from monitor.daemon.partition_task import Log
from monitor.daemon.policy_scope import unjudged
from monitor.daemon.references import never_judged
from monitor.daemon.unlikely import unlikely
from monitor.settings.configuration import Settings

EVENT = "configuration_warning"
"""Under which a start logs each."""


class Warned(NamedTuple):
    """A sentence about a deployment."""

    deployment: str
    sentence: str


def warnings(group: Group, now_ns: int) -> Iterator[Warned]:
    """All that there are; `now_ns`: sessions of the year before it are counted."""
    for name, deployed in group.deployments.items():
        for sentence in _of(deployed, group.settings, now_ns):
            yield Warned(name, sentence)


def log_warnings(group: Group, now_ns: int, log: Log) -> None:
    """Each as a line of the log."""
    for warned in warnings(group, now_ns):
        log.warning(EVENT, deployment=warned.deployment, warning=warned.sentence)


def _of(deployed: Deployed, settings: Settings, now_ns: int) -> Iterator[str]:
    yield from unlikely(deployed.settings, now_ns)
    yield from paper_doubts(deployed.settings.paper, settings.instruments.listed.values())
    yield from doubts(deployed.settings, now_ns)
    yield from unjudged(deployed.settings.policy, deployed.scope)
    if deployed.scope.reference is not None:
        yield from never_judged(deployed.scope.reference, deployed.settings)
