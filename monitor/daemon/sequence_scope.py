"""How a deployment's sequences cut time: as configured, else as reference and model imply; what cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.engine.catalogue import BY_NAME
from monitor.engine.measures.sequences import CHANGES, TESTS_OF_LOSS, TESTS_OF_PNL
from monitor.engine.panes import pane_length
from monitor.engine.sequence_rules import SequenceRules
from monitor.models.manifest import Manifest
from monitor.policy.durations import format_duration
from monitor.settings.deployment import Deployment, SequenceSettings
from monitor.settings.rules import RuleSettings
from monitor.stats.betting import Harm
from monitor.stats.change_detection import available
from monitor.stats.reference import Distribution, Reference

CORRELATION_TIMES = 10
"""In a block, at least."""

SHORTEST_BLOCK_NS, SHORTEST_PANE_NS = 600 * 10**9, 60 * 10**9


def sequence_rules_of(
    deployment: Deployment, active: Manifest, artifacts: Mapping[str, str], reference: Reference | None
) -> SequenceRules:
    """The rules of a deployment; `artifacts`: SHA-256 of the model by role."""
    settings = deployment.sequences
    finest = pane_length(min(deployment.windows_ns))
    needed = max(SHORTEST_BLOCK_NS, least_block_ns(active, artifacts, reference))
    loss = settings.loss
    return SequenceRules(
        block_ns=settings.block_ns or -(-needed // finest) * finest,
        pane_ns=settings.change.pane_ns or max(finest, SHORTEST_PANE_NS),
        error=Harm(settings.error.bound, settings.error.margin),
        loss_bound=loss.bound,
        loss_margin=loss.margin,
        pnl=None if settings.pnl.bound is None else Harm(settings.pnl.bound, settings.pnl.margin),
        delta=settings.change.delta,
        changes=frozenset(rule.metric for rule in deployment.policy.rules) & frozenset(CHANGES),
    )


def least_block_ns(active: Manifest, artifacts: Mapping[str, str], reference: Reference | None) -> int:
    """The shortest block whose means can pass as independent.

    Ten times as long as the reference's predictions of these models remember, of its features where it holds
    no such predictions; and no shorter than the horizon of the active, since labels overlap for so long.
    """
    found: list[Distribution] = []
    if reference is not None:
        made = [reference.predictions[sha] for sha in artifacts.values() if sha in reference.predictions]
        found = made or list(reference.features.values())
    memories = [d.calibration.correlation_s for d in found if d.calibration is not None]
    longest_s = max((memory for memory in memories if memory is not None), default=0.0)
    return max(int(CORRELATION_TIMES * longest_s * 1e9), active.horizon_ns or 0)


def sequence_problems(
    sequences: SequenceSettings | None,
    rules: Mapping[int, RuleSettings],
    active: Manifest,
    artifacts: Mapping[str, str],
    reference: Reference | None,
) -> Iterator[tuple[str, str, str]]:
    """Key, message and remedy of what cannot work.

    Args:
        sequences: None where they are themselves mistaken.
        rules: by position, those that are not mistaken.
        artifacts: SHA-256 of the model by role.
    """
    block = sequences.block_ns if sequences is not None else None
    least = least_block_ns(active, artifacts, reference)
    if block is not None and block < least:
        needed = format_duration(-(-least // SHORTEST_PANE_NS) * SHORTEST_PANE_NS)
        yield (
            "sequences.block",
            f"blocks of {format_duration(block)} depend on each other: the longer of ten correlation times "
            f"of the reference and the horizon of the model is {least / 1e9:.0f} s.",
            f"Write at least {needed}, or leave it out.",
        )
    unbounded = sequences is not None and sequences.loss.bound is None
    for position, rule in rules.items():
        if rule.metric in TESTS_OF_LOSS and active.kind == "return" and unbounded:
            yield (
                "sequences.loss.bound",
                f"{rule.metric} is tested within a bound, and squared errors of returns have none.",
                "Write a few times the mean squared error of a block.",
            )
        if rule.metric in TESTS_OF_PNL and sequences is not None and sequences.pnl.bound is None:
            yield (
                "sequences.pnl.bound",
                f"{rule.metric} is tested within a bound, and P&L has none.",
                "Write a few times the usual model effect of a block, in bps of capital.",
            )
        if BY_NAME[rule.metric].unit == "evidence" and (rule.comparator == "below" or rule.threshold <= 1):
            yield (
                f"policy.rules[{position}].above",
                f"{rule.metric} begins at 1 and rises with evidence of harm: this rule fires without any.",
                "Write e.g. `above: 100`, for which the chance of a false alarm is at most 1 %.",
            )
        if rule.metric in CHANGES and not available():
            yield (
                f"policy.rules[{position}].metric",
                f"{rule.metric} is found by river, which is not installed.",
                "Run `pip install shadow-monitor[detectors]`, or choose another metric.",
            )
