"""`drift`: once, over a file: has the data moved away from the reference, which features, and how far."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from monitor.cli.baseline import BAD_USAGE, counted_share, listed, staleness_of, wide_console
from monitor.cli.drift_plot import Panel, plot_svg
from monitor.cli.feature_files import (
    FeatureRows,
    check_names,
    check_target,
    read_features,
    read_schema,
    schema_space,
    unwritable,
)
from monitor.errors import ArtifactError, ConfigError, MonitorError, Problem
from monitor.stats.binning import BinCounts, Binner
from monitor.stats.calibration import PANE_NS
from monitor.stats.drift import DriftReader, DriftReading
from monitor.stats.ks import exact_ks
from monitor.stats.moments import LEAST_VALUES, MAX_BLOCKS, Moments, Scale, mean_shifts
from monitor.stats.psi import collapse
from monitor.stats.reference import Distribution, Reference, load_reference
from monitor.stats.season import DAY_NS, SLOT_NS
from monitor.stats.significance import Correction, significant
from monitor.wire.features import FeatureSpace

DRIFTED: Final = 1
ALPHA: Final = 0.01
MATERIAL: Final = 0.1

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


def drift(
    reference: Annotated[Path, typer.Option(help="What `baseline` wrote.")],
    data: Annotated[Path, typer.Option(help="Feature rows, in any form that `baseline` reads.")],
    schema: Annotated[
        Path | None, typer.Option(help="JSON array of [name, dtype] pairs, for messages with arrays.")
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            help="Drift is this instead, of any feature: such as `psi>0.25`; repeatable. Measures: "
            f"{', '.join(MEASURES)}. Of `mean_shift_sigma` the magnitude is compared, up or down."
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help=f"Chance of any false finding among all features (default {ALPHA})."),
    ] = None,
    material: Annotated[float, typer.Option(min=0.0, help="Excess PSI that must be passed too.")] = MATERIAL,
    correction: Annotated[Correction, typer.Option(help="For the number of features.")] = "holm",
    plot: Annotated[Path | None, typer.Option(help="Write reference and data, by feature, as SVG.")] = None,
) -> None:
    """Hold data against a reference.

    Exit 0: every feature was judged, none drifted; 1: some feature drifted; 2: none did, but some could not
    be judged for want of data, or bad usage.
    """
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    try:
        conditions = [_condition(text) for text in fail_on or ()]
        if conditions and alpha is not None:
            raise _misused("--fail-on", "conditions need no --alpha.", "give one of the two")
        if alpha is not None and not 0 < alpha < 1:
            raise _misused("--alpha", f"{alpha:g} is no chance.", "give a number between 0 and 1")
        if not math.isfinite(material):
            raise _misused("--material", f"{material:g} is never passed.", "give a finite number")
        if plot is not None:
            check_target("--plot", plot, [data, reference, *([schema] if schema else [])])
        frozen = load_reference(reference)
        space = _space(reference, frozen, schema)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            rows = read_features(data, space, progress)
        found = findings(frozen, space, rows)
        if conditions:
            found = [_by_conditions(finding, conditions) for finding in found]
        else:
            found = by_significance(found, ALPHA if alpha is None else alpha, material, correction)
        if plot is not None:
            _write_plot(plot, data, reference, found)
    except MonitorError as error:
        console.print(f"drift: {error}")
        raise typer.Exit(BAD_USAGE) from error
    shown = wide_console()
    shown.print(_table(found))
    drifted = sum(finding.drifted is True for finding in found)
    judged = sum(finding.drifted is not None for finding in found)
    short = [f"{finding.feature} ({finding.wanted})" for finding in found if finding.wanted]
    beside = len(found) - judged - len(short)
    unmet = f", no condition applies to {beside}" if beside else ""
    refused = f", refused: {listed(rows.refused)}" if rows.refused else ""
    shown.print(
        f"{drifted} of {judged} features drifted, {len(short)} could not be judged{unmet}; "
        f"{len(rows)} rows{refused}",
        markup=False,
    )
    if short:
        console.print(
            f"drift: not judged for want of data: {', '.join(short)}. Remedy: feed what is lacking, "
            "as a rule more rows, or ask for less with `--fail-on`."
        )
    elif not judged:
        why = "no condition applies to any feature" if found else "the reference has no feature"
        console.print(f"drift: nothing could be judged: {why}. Remedy: see `--fail-on` and `--reference`.")
    if drifted:
        raise typer.Exit(DRIFTED)
    if short or not judged:
        raise typer.Exit(BAD_USAGE)


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


def _by_conditions(finding: Finding, conditions: Sequence[Condition]) -> Finding:
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


def _condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    try:
        limit = float(match[3]) if match is not None else math.nan
    except ValueError:
        limit = math.nan
    if match is None or match[1] not in MEASURES or not math.isfinite(limit):
        remedy = f"write psi>0.25, with a finite number; of {', '.join(MEASURES)}"
        raise _misused("--fail-on", f"{text!r} is no condition.", remedy)
    if match[1] == "mean_shift_sigma" and limit < 0:
        remedy = f"write mean_shift_sigma>{-limit:g}, which is either way"
        raise _misused("--fail-on", f"{text!r}: a magnitude is never negative.", remedy)
    return Condition(match[1], match[2] == ">", limit)


def _misused(option: str, message: str, remedy: str) -> ConfigError:
    return ConfigError([Problem("drift", option, message, f"{remedy}.")])


def _space(path: Path, reference: Reference, schema: Path | None) -> FeatureSpace:
    """The features of the reference; laid out as a schema says, where one is given."""
    categorical = frozenset(n for n, d in reference.features.items() if d.kind == "categorical")
    names = tuple(reference.features)
    check_names(path, names)
    if schema is None:
        return FeatureSpace(names, {}, categorical)
    laid_out = schema_space(read_schema(schema))
    lacking = sorted(set(names) - set(laid_out.names))
    wrong = lacking or sorted((laid_out.categorical & set(names)) ^ categorical)
    if wrong:
        what = "lacks" if lacking else "takes otherwise"
        raise ArtifactError(f"{schema}: {what} {', '.join(wrong)} of the reference. Remedy: give its schema.")
    return FeatureSpace(names, laid_out.schemas, categorical)


def _table(found: Sequence[Finding]) -> Table:
    table = Table(title="drift", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("feature", overflow="fold", min_width=8)
    infinite = ["infinite"] if any(finding.infinite for finding in found) else []
    for head in ("values", "missing", *infinite, "PSI", "excess", "p", "KS", "mean shift"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold", min_width=12)
    for finding in found:
        values, reading = finding.values, finding.reading
        bound = f" to {reading.ks_bound:.3f}" if finding.ks_method == "binned" and reading.ks_bound else ""
        shift = values["mean_shift_sigma"]
        style = "bold red" if finding.drifted else "" if finding.drifted is False else "yellow"
        table.add_row(
            finding.feature,
            str(reading.n - finding.counts[-1]),
            f"{reading.null_rate:.2%}" if finding.counts[-1] else "",
            *(counted_share(finding.infinite, reading.n) for _ in infinite),
            _short(values["psi"]),
            _short(values["psi_excess"]),
            _chance(reading.psi_p) if reading.psi_p is not None else "",
            f"{_short(values['ks'])}{bound}",
            f"{shift:+.3f} \u03c3" if shift is not None else "",
            finding.verdict,
            style=style,
        )
    return table


def _chance(p: float) -> str:
    return f"{p:.2g}" if p > 0 else "< 1e-300"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _write_plot(path: Path, data: Path, reference: Path, found: Sequence[Finding]) -> None:
    order = sorted(found, key=lambda f: (not f.drifted, -(f.reading.psi_excess or 0.0)))
    svg = plot_svg(f"{data.name} against {reference.name}", [_panel(finding) for finding in order])
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise unwritable(path, "--plot", error) from error


def _panel(finding: Finding) -> Panel:
    d, values = finding.distribution, finding.values
    parts = []
    if values["psi"] is not None:
        parts.append(f"PSI {values['psi']:.3f}")
    elif finding.drifted is None:
        parts.append("not judged: too few values")
    if finding.reading.psi_p is not None:
        parts.append(f"p {_chance(finding.reading.psi_p)}")
    if values["mean_shift_sigma"] is not None:
        parts.append(f"mean {values['mean_shift_sigma']:+.2f} \u03c3")
    groups = len(d.psi_starts)
    if d.kind == "categorical":
        marks = [(0.5, "commonest"), (groups - 1.5, "rare"), (groups - 0.5, "new")]
    else:
        edges = [d.edges[start - 1] for start in d.psi_starts[1:]]
        chosen = sorted({0, len(edges) // 2, len(edges) - 1}) if edges else []
        marks = [(place + 1.0, f"{edges[place]:.3g}") for place in chosen]
    return Panel(
        title=finding.feature,
        subtitle=" \u00b7 ".join(parts) or finding.verdict,
        reference=tuple(collapse((*d.counts, d.null_count), d.psi_starts)),
        live=tuple(collapse(finding.counts, d.psi_starts)),
        marks=tuple(marks),
        drifted=finding.drifted,
    )
