"""Whether a reference serves a deployment: what its configuration and models ask of it. Reads no file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from monitor.models.model import Model
from monitor.policy.durations import format_duration
from monitor.settings.deployment import Deployment, SampleSettings
from monitor.settings.rules import RuleSettings
from monitor.stats.calibration import MIN_CYCLES
from monitor.stats.drift import N_EFF_PER_BIN
from monitor.stats.grouping import MAX_GROUPS
from monitor.stats.reference import Distribution, Reference
from monitor.stats.season import DAY_NS

CALIBRATED = ("psi_p_value", "ks_p_value", "features_drifted")
CALIBRATED_PREDICTIONS = ("prediction_psi_p_value", "prediction_ks_p_value")
"""Metrics that need to know how far the reference wanders by itself."""


def unfit(
    reference: Reference, samples: SampleSettings | None, models: Mapping[str, Model]
) -> Iterator[tuple[str, str, str]]:
    """Key below the deployment, what is wrong, and what to do, for everything that cannot work.

    Args:
        samples: None where they are themselves mistaken.
    """
    for feature in samples.ks_features if samples is not None else ():
        found = reference.features.get(feature)
        if found is None:
            message = f"the reference has no feature {feature!r}."
            yield "samples.ks_features", message, "name a feature of the reference, or make it anew."
        elif found.kind == "categorical":
            message = f"{feature!r} is categorical: categories have no order, so no KS statistic."
            yield "samples.ks_features", message, "leave it out."
        elif not found.sample:
            message = f"the reference holds no sample of {feature!r}."
            yield "samples.ks_features", message, f"make it anew with `baseline --sample {feature}`."
    taken = {name for model in models.values() for name in model.features}
    text = sorted(name for name, d in reference.features.items() if d.kind == "categorical" and name in taken)
    if text:
        message = f"{', '.join(text)}: categorical in the reference, a number to a model."
        yield "reference", message, "make it anew from a schema with the model's dtypes."


def never_judged(reference: Reference, deployment: Deployment) -> Iterator[str]:
    """Rules that can have no value with such a reference, each as a sentence that says why."""
    for rule in deployment.policy.rules:
        if not isinstance(rule.window, int):
            continue
        reasons = [_silent(column, rule.window) for column in _columns(rule, reference)]
        said = [reason for reason in reasons if reason is not None]
        if said and len(said) == len(reasons):
            why = Counter(said).most_common(1)[0][0]
            over = format_duration(rule.window)
            yield f"rule {rule.id}: {rule.metric} over {over} has no value: {why}"


def _columns(rule: RuleSettings, reference: Reference) -> list[Distribution]:
    """Those that a rule on a calibrated metric rests on."""
    if rule.metric in CALIBRATED_PREDICTIONS:
        return list(reference.predictions.values())
    if rule.metric not in CALIBRATED:
        return []
    feature = rule.labels.get("feature")
    return [d for name, d in reference.features.items() if feature in (None, name)]


def _silent(column: Distribution, window_ns: int) -> str | None:
    """Why a window of this length is never judged; None where it may be."""
    calibration = column.calibration
    if calibration is None:
        return "the reference was built without times"
    if calibration.fault is not None or calibration.design_effect is None:
        return f"the reference is not calibrated, {calibration.fault}"
    if window_ns < DAY_NS and calibration.cycles < MIN_CYCLES:
        return f"the reference has {calibration.cycles} daily cycles of {MIN_CYCLES}"
    filled = min(MAX_GROUPS, sum(1 for count in column.counts if count)) + (column.null_count > 0)
    due = calibration.events_per_s * window_ns / 1e9
    worth, needed = due / max(1.0, calibration.design_effect), N_EFF_PER_BIN * filled
    if worth >= needed:
        return None
    enough = format_duration(int(-(-window_ns * needed / worth // (60 * 10**9)) * 60 * 10**9))
    return f"it is worth about {worth:.0f} independent values of the {needed} needed; {enough} would do"
