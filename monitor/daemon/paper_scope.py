"""The paper broker of a deployment: its rules as configured, and what the predictions of each role want."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction

from monitor.settings.instruments import Instrument
from monitor.settings.paper import QUANTILE, PaperSettings
from monitor.stats.reference import Distribution, Reference
from monitor.trading.paper_rules import PaperRules
from monitor.trading.targets import Linear, Quantile, Sign, Target

ALIKE = 10
"""Sizes of instruments that differ by a larger factor tell that one quantity is not meant for both."""


def paper_rules_of(paper: PaperSettings) -> PaperRules:
    """What the broker takes and charges."""
    return PaperRules(
        quantity=paper.default_quantity,
        quantities=paper.own_quantities,
        holding_ns=paper.holding_ns,
        latency_ns=paper.latency_ns,
        slippage_bps=paper.slippage_bps,
        fee_bps=paper.fee_bps,
        half_spread_bps=paper.half_spread_bps,
        share=paper.participation.share if paper.participation else None,
        max_exposure=paper.max_exposure,
        max_turnover=paper.max_turnover,
    )


def targets_of(
    paper: PaperSettings,
    kinds: Mapping[str, str],
    artifacts: Mapping[str, str],
    reference: Reference | None,
) -> dict[str, Target]:
    """What predictions of each role want; `paper_problems` tells of roles for which there is none.

    Args:
        kinds: of the output of the model of each role.
        artifacts: SHA-256 of the model of each role.
    """
    return {role: _target(paper, kind, artifacts[role], reference) for role, kind in kinds.items()}


def _target(paper: PaperSettings, kind: str, artifact: str, reference: Reference | None) -> Target:
    neutral = 0.5 if kind == "probability" else 0.0
    if paper.target == "sign":
        return Sign(paper.threshold, neutral)
    if paper.target == "linear":
        assert paper.scale is not None, "`linear` has a scale"
        return Linear(paper.scale, paper.threshold, neutral)
    known = reference.predictions.get(artifact) if reference else None
    lower, upper = _bounds(paper, known) if known else (None, None)
    if lower is None or upper is None:
        raise LookupError(f"the reference tells no quantiles of the predictions of {artifact}")
    return Quantile(lower, upper)


def paper_problems(
    paper: PaperSettings, artifacts: Mapping[str, str], reference: Reference | None
) -> Iterator[tuple[str, str, str]]:
    """Key, message and remedy of what cannot work."""
    volume = paper.participation.volume if paper.participation else None
    shown = reference.features.get(volume) if reference and volume else None
    if shown is not None and shown.kind == "categorical":
        message = f"{volume!r} is categorical in the reference: no volume."
        yield "paper.participation.volume", message, "Name a feature that is a number."
    if paper.target != "quantile":
        return
    if reference is None:
        message = "`quantile` takes its thresholds from the reference, and there is none."
        yield "paper.target", message, "Set reference; `shadow-monitor baseline` makes it."
        return
    for role, artifact in artifacts.items():
        known = reference.predictions.get(artifact)
        if known is None:
            message = f"the reference holds no predictions of the model of `{role}`."
            remedy = "Make it anew with `shadow-monitor baseline --artifact DIR` for each model."
            yield "paper.target", message, remedy
        elif None in _bounds(paper, known):
            message = f"it lies in an end bin of the predictions of `{role}` in the reference."
            yield "paper.quantile", message, "Write one nearer to 0.5."


def paper_doubts(paper: PaperSettings, listed: Collection[Instrument]) -> Iterator[str]:
    """Where one quantity serves instruments of which the configured sizes tell that they are worth unlike
    much, as a sentence.

    Args:
        listed: instruments that are known beforehand.
    """
    served = [each for each in listed if each.symbol not in paper.own_quantities]
    for size in ("multiplier", "lot_size", "tick_size") if served else ():
        ordered = sorted((getattr(each, size), each.symbol) for each in served)
        (low, least), (high, most) = ordered[0], ordered[-1]
        if high > ALIKE * low:
            yield (
                f"paper.quantity: {paper.default_quantity:f} of each of {len(served)} instruments, whose "
                f"{size} differs ({least} {low:f}, {most} {high:f}): model effect will be that of the "
                "dearest; give quantity by symbol"
            )
            return


def volume_problem(paper: PaperSettings, known: Collection[str]) -> tuple[str, str, str] | None:
    """Key, message and remedy where the volume that caps participation is none of the features that are
    `known`: nothing would ever fill."""
    if paper.participation is None or paper.participation.volume in known:
        return None
    volume = paper.participation.volume
    near = get_close_matches(volume, sorted(known), n=1)
    meant = f"Did you mean `{near[0]}`? " if near else ""
    return (
        "paper.participation.volume",
        f"{volume!r} is a feature of no model, reference or schema: nothing would fill.",
        f"{meant}A feature that no model takes is known by a file under feature_schemas.",
    )


def _bounds(paper: PaperSettings, predictions: Distribution) -> tuple[float | None, float | None]:
    upper = paper.quantile or QUANTILE
    return quantile(predictions, 1 - upper), quantile(predictions, upper)


def quantile(distribution: Distribution, level: Decimal) -> float | None:
    """The value below which `level` of the numbers of a distribution lie: linear within its bin, None in an
    open end bin.

    >>> quantile(
    ...     Distribution(edges=(0.0, 1.0, 3.0), counts=(1, 1, 2, 1), null_count=0, infinite_count=0, n=5,
    ...                  psi_starts=(0,), mean=None, std=None),
    ...     Decimal("0.6"),
    ... )
    2.0
    """
    edges, counts = distribution.edges, distribution.counts
    due = Fraction(level) * sum(counts)
    below = 0
    for bin_, count in enumerate(counts):
        if 0 < bin_ < len(edges) and count and below <= due <= below + count:
            low, high = edges[bin_ - 1], edges[bin_]
            return low + (high - low) * float((due - below) / count)
        below += count
    return None
