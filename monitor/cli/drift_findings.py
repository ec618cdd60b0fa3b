"""`Finding`: what rows say of one feature against a reference, and whether that is drift."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import msgspec
import numpy as np

from monitor.cli.baseline import staleness_of
from monitor.cli.feature_files import (
    FeatureRows,
)
from monitor.errors import ConfigError, Problem
from monitor.stats.binning import BinCounts, Binner
from monitor.stats.calibration import PANE_NS
from monitor.stats.drift import DriftReader, DriftReading
from monitor.stats.ks import exact_ks
from monitor.stats.moments import LEAST_VALUES, MAX_BLOCKS, Moments, Scale, mean_shifts
from monitor.stats.reference import Distribution, Reference
from monitor.stats.season import DAY_NS, SLOT_NS
from monitor.stats.significance import Correction, significant
from monitor.wire.features import FeatureSpace

MEASURES: Final[tuple[str, ...]] = (
    "psi", "psi_excess", "psi_p_value", "ks", "ks_p_value", "mean_shift_sigma", "null_rate", "unseen_rate",
    "frozen_rate", "feature_age",
)  # fmt: skip
"""What a condition can name; `mean_shift_sigma` counts without its sign."""

_CONDITION = re.compile(r"\s*([a-z_]+)\s*([<>])\s*([^<>\s]+)\s*")
_MANY_SPANS = 3_000


class Condition(NamedTuple):
    """`measure` above or below `limit` is drift."""

    measure: str
    above: bool
    limit: float

    def met(self, value: float | None) -> bool:
        """False where there is no value."""
        return value is not None and (value > self.limit if self.above else value < self.limit)

    def __str__(self) -> str:
        return f"{self.measure} {'>' if self.above else '<'} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One feature of the data beside the reference; `values` by measure, None where one could not be said.

    `wanting`: by measure, what is lacking to say it; those without a value that are not in it do not apply.
    `drifted` None: not judged, `verdict` says why; `wanted`: what of data it would take, "" where nothing
    applies.
    """

    feature: str
    distribution: Distribution
    reading: DriftReading
    counts: tuple[int, ...]
    infinite: int
    values: dict[str, float | None]
    wanting: dict[str, str]
    ks_method: str
    drifted: bool | None = None
    verdict: str = ""
    wanted: str = ""


def findings(reference: Reference, space: FeatureSpace, rows: FeatureRows) -> list[Finding]:
    """What the data says of each feature of the reference, not yet judged."""
    names = tuple(reference.features)
    distributions = tuple(reference.features.values())
    places = [space.names.index(name) for name in names]
    values = rows.values[:, places]
    binned = BinCounts(Binner(distributions))
    binned.update(values)
    readings = _readings(distributions, binned, rows)
    shifts = _mean_shifts(distributions, values)
    still = staleness_of(replace(rows, values=values))
    found = []
    for place, (name, d, reading) in enumerate(zip(names, distributions, readings, strict=True)):
        counts = binned.column(place)
        present = reading.n - int(counts[-1])
        estimates = reading.estimates(0, 1)
        said = {measure: estimates[measure].value for measure in MEASURES if measure in estimates}
        exact = (
            exact_ks(np.array(d.sample), values[:, place]) if d.sample and reading.ks is not None else None
        )
        said |= {
            "ks": exact if exact is not None else reading.ks,
            "mean_shift_sigma": shifts.get(place),
            "null_rate": reading.null_rate,
            "unseen_rate": int(counts[d.unseen_bin]) / present
            if d.unseen_bin is not None and present
            else None,
            "frozen_rate": _number(still.frozen_rate(place)) if still else None,
            "feature_age": _number(still.mean_age_s(place)) if still and rows.ts_ns is not None else None,
        }
        infinite = binned.infinite(place)
        wanting = {
            measure: why
            for measure, why in _wanting(d, reading, rows, present, present - infinite).items()
            if said[measure] is None
        }
        method = "exact" if exact is not None else "binned"
        found.append(Finding(name, d, reading, tuple(counts.tolist()), infinite, said, wanting, method))
    return found


def _wanting(
    d: Distribution, reading: DriftReading, rows: FeatureRows, present: int, finite: int
) -> dict[str, str]:
    """By measure that applies to such a feature: what is lacking, should it have no value."""
    size = f"{reading.n} of {reading.n_needed} rows"
    law = size
    if reading.psi is not None:
        law = reading.fault or "no p-value"
        if reading.n_eff is not None:
            law += f", {reading.n_eff:.0f} of {reading.n_eff_needed}"
    mean = f"{finite} of {LEAST_VALUES} values" if d.mean is not None else "the reference has no finite value"
    repeats = f"{present} values, none with one before it of its symbol" if present else "no value"
    still = repeats if rows.symbol_key is not None else "the data has no `symbol`"
    found = {
        "psi": size,
        "psi_excess": size,
        "psi_p_value": law,
        "null_rate": "no row",
        "frozen_rate": still,
        "feature_age": still if rows.ts_ns is not None else "the data has no `ts_ns`",
    }
    if d.kind == "categorical":
        return found | {"unseen_rate": "no value"}
    return found | {"ks": size, "ks_p_value": law, "mean_shift_sigma": mean}


def _readings(
    distributions: Sequence[Distribution], binned: BinCounts, rows: FeatureRows
) -> list[DriftReading]:
    if rows.ts_ns is None:
        bare = [msgspec.structs.replace(d, calibration=None) for d in distributions]
        told = "uncalibrated: the data has no times"
        readings = DriftReader(bare).read(binned.columns(), [(0, DAY_NS)])
        return [msgspec.structs.replace(reading, fault=told) for reading in readings]
    for length in (PANE_NS, SLOT_NS):
        starts, sizes = np.unique(rows.ts_ns // length, return_counts=True)
        if starts.size <= _MANY_SPANS:
            break
    spans = [(start, start + length) for start in (starts * length).tolist()]
    return DriftReader(distributions).read(binned.columns(), spans, sizes.tolist())


def _mean_shifts(
    distributions: Sequence[Distribution], values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> dict[int, float | None]:
    """Mean shift by place of the features that have a mean."""
    places = [place for place, d in enumerate(distributions) if d.mean is not None]
    if not places:
        return {}
    scale = Scale(
        [distributions[p].mean or 0.0 for p in places], [distributions[p].std or 0.0 for p in places]
    )
    blocks = []
    for part in np.array_split(values[:, places], MAX_BLOCKS):
        blocks.append(Moments(scale))
        blocks[-1].update(part)
    estimates = mean_shifts(blocks, 0, 1)
    return {place: estimate.value for place, estimate in zip(places, estimates, strict=True)}


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def by_significance(
    found: Sequence[Finding], alpha: float, material: float, method: Correction
) -> list[Finding]:
    """Drifted: significant after the correction, and excess PSI beyond `material`; by that alone where the
    reference is not calibrated for such data."""
    certain = significant([finding.reading.psi_p for finding in found], alpha, method)
    judged = []
    for finding, beyond in zip(found, certain, strict=True):
        excess, p = finding.reading.psi_excess, finding.reading.psi_p
        if excess is None:
            judged.append(_insufficient(finding, finding.wanting["psi_excess"]))
        elif p is None:
            drifted = excess > material
            why = finding.reading.fault or "no p-value"
            verdict = f"{'drift by size alone' if drifted else 'small'}; {why}"
            judged.append(replace(finding, drifted=drifted, verdict=verdict))
        else:
            drifted = beyond and excess > material
            minor = "significant, not material" if beyond else "clean"
            judged.append(replace(finding, drifted=drifted, verdict="drift" if drifted else minor))
    return judged


def _insufficient(finding: Finding, wanted: str) -> Finding:
    return replace(finding, drifted=None, verdict=f"insufficient: {wanted}", wanted=wanted)


def by_conditions(finding: Finding, conditions: Sequence[Condition]) -> Finding:
    """Drifted where a condition is met; else not judged where one might be, were its value known."""
    values = finding.values
    met = [
        condition
        for condition in conditions
        if condition.met(_magnitude(condition.measure, values[condition.measure]))
    ]
    if met:
        return replace(finding, drifted=True, verdict=", ".join(map(str, met)))
    lacking = dict.fromkeys(c.measure for c in conditions if c.measure in finding.wanting)
    if lacking:
        wanted = "; ".join(f"{measure} {finding.wanting[measure]}" for measure in lacking)
        return _insufficient(finding, wanted)
    if all(values[condition.measure] is None for condition in conditions):
        return replace(finding, drifted=None, verdict="not applicable")
    return replace(finding, drifted=False, verdict="clean")


def _magnitude(measure: str, value: float | None) -> float | None:
    return abs(value) if value is not None and measure == "mean_shift_sigma" else value


def condition_of(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    try:
        limit = float(match[3]) if match is not None else math.nan
    except ValueError:
        limit = math.nan
    if match is None or match[1] not in MEASURES or not math.isfinite(limit):
        remedy = f"write psi>0.25, with a finite number; of {', '.join(MEASURES)}"
        raise misused("--fail-on", f"{text!r} is no condition.", remedy)
    if match[1] == "mean_shift_sigma" and limit < 0:
        remedy = f"write mean_shift_sigma>{-limit:g}, which is either way"
        raise misused("--fail-on", f"{text!r}: a magnitude is never negative.", remedy)
    return Condition(match[1], match[2] == ">", limit)


def misused(option: str, message: str, remedy: str) -> ConfigError:
    return ConfigError([Problem("drift", option, message, f"{remedy}.")])
