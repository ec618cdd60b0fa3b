"""What skill is measured by in a deployment: as configured, else as model and paper broker imply."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from monitor.engine.catalogue import BY_NAME
from monitor.engine.memories import labels as label_memory
from monitor.engine.skill_rules import UNLISTED_SYMBOLS, Forward, LabelJoin
from monitor.models.manifest import Manifest
from monitor.policy.durations import format_duration
from monitor.policy.rules import ACTIVE
from monitor.settings.configuration import Settings
from monitor.settings.deployment import Deployment, LabelSettings
from monitor.stats.edges import BPS
from monitor.transport.contract import OUTCOMES

MINUTE_NS = 60_000_000_000


def forward_of(settings: Settings, deployment: Deployment, active: Manifest) -> Forward:
    """Forward returns: over the horizon of the active model, from when the paper broker would have its fill,
    at the cost of its round trip."""
    skill, paper = deployment.skill, deployment.paper
    instruments = settings.instruments
    round_trip = 2 * (paper.fee_bps + paper.slippage_bps)
    return Forward(
        horizons_ns=skill.horizons_ns or (active.horizon_ns or MINUTE_NS,),
        lag_ns=paper.latency_ns if skill.lag_ns is None else skill.lag_ns,
        cost_bps=float(round_trip if skill.cost_bps is None else skill.cost_bps),
        limit=skill.limit,
        symbols=UNLISTED_SYMBOLS if instruments.open else len(tuple(instruments.listed)),
        max_spread=float(deployment.books.max_spread_bps) / BPS,
        evaluation_ns=deployment.grids.evaluation_interval_ns,
        stale_ns=deployment.books.mark_staleness_ns,
    )


def label_join_of(deployment: Deployment, active: Manifest) -> LabelJoin:
    """The join of outcomes: they may come until a minute after the horizon of the active model."""
    labels = deployment.labels
    wait_ns = (active.horizon_ns or MINUTE_NS) + MINUTE_NS if labels.wait_ns is None else labels.wait_ns
    return LabelJoin(wait_ns, labels.limit)


def unmeasurable(
    metric: str, labels: Mapping[str, str], kinds: Mapping[str, str], streams: Collection[str]
) -> tuple[str, str] | None:
    """Why a deployment has no such metric, and what to do: an input is not there, or a model puts out
    something else. None where it has; also of roles whose kind is not known.

    Args:
        kinds: of the output of the model of each role.
    """
    family = BY_NAME[metric]
    if family.stream and family.stream not in streams:
        message = f"{metric} is made of {family.stream}, and there is no topic of them."
        return message, f"Set topics.{family.stream}, or leave the rule out."
    roles = [role for role in kinds if family.blame != "shadow" or role != ACTIVE]
    for role in [labels["role"]] if "role" in labels else roles:
        kind = kinds.get(role)
        if kind is not None and family.kinds and kind not in family.kinds:
            message = f"the model of `{role}` puts out a {kind}, which has no {metric}."
            return message, f"It is a metric of models of kind {' or '.join(family.kinds)}."
    return None


def skill_problems(labels: LabelSettings, active: Manifest) -> Iterator[tuple[str, str, str]]:
    """Key, message and remedy of what cannot work."""
    wait, horizon = labels.wait_ns, active.horizon_ns or 0
    if wait is not None and wait < horizon:
        yield (
            "labels.wait",
            f"predictions wait {format_duration(wait)}, labels come after {format_duration(horizon)}.",
            f"Write more than {format_duration(horizon)}, or leave it out.",
        )


def sentences(settings: Settings, deployment: Deployment, active: Manifest) -> Iterator[tuple[str, str]]:
    """What waits for returns and labels, and what that costs, for a person."""
    forward = forward_of(settings, deployment, active)
    horizons = ", ".join(format_duration(h) for h in forward.horizons_ns)
    yield (
        "skill",
        f"mid returns over {horizons} from {format_duration(forward.lag_ns)} on, a round trip at "
        f"{forward.cost_bps:g} bps; at most {forward.limit:,} predictions wait",
    )
    if settings.topics.by_stream().get(OUTCOMES):
        join = label_join_of(deployment, active)
        size = join.limit * label_memory.row_bytes(len(deployment.roles)) / 1e6
        yield (
            "labels",
            f"wait {format_duration(join.wait_ns)}; at most {join.limit:,} rows, {size:,.3g} MB a task",
        )
