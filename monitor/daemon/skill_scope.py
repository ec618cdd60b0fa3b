"""What skill is measured by in a deployment: as configured, else as model and paper broker imply."""

from __future__ import annotations

from monitor.engine.memories import labels as label_memory
from monitor.engine.skill_rules import UNLISTED_SYMBOLS, Forward, LabelJoin
from monitor.models.manifest import Manifest
from monitor.settings.configuration import Settings
from monitor.settings.deployment import Deployment
from monitor.stats.edges import BPS

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
    )


def label_join_of(deployment: Deployment, active: Manifest) -> LabelJoin:
    """The join of outcomes: they may come until a minute after the horizon of the active model."""
    labels = deployment.labels
    wait_ns = (active.horizon_ns or MINUTE_NS) + MINUTE_NS if labels.wait_ns is None else labels.wait_ns
    return LabelJoin(wait_ns, labels.limit)


def label_bytes(deployment: Deployment) -> int:
    """Memory of the most rows that wait for labels, in a task."""
    return deployment.labels.limit * label_memory.row_bytes(len(deployment.roles))
