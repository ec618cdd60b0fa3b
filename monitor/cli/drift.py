"""`drift`: once, over a file: has the data moved away from the reference, which features, and how far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from monitor.cli.baseline import BAD_USAGE, counted_share, listed, wide_console
from monitor.cli.drift_findings import (
    MEASURES,
    Finding,
    by_conditions,
    by_significance,
    condition_of,
    findings,
    misused,
)
from monitor.cli.drift_plot import Panel, plot_svg
from monitor.cli.feature_files import (
    check_names,
    check_target,
    read_features,
    read_schema,
    schema_space,
    unwritable,
)
from monitor.errors import ArtifactError, MonitorError
from monitor.stats.psi import collapse
from monitor.stats.reference import Reference, load_reference
from monitor.stats.significance import Correction
from monitor.wire.features import FeatureSpace

DRIFTED: Final = 1
ALPHA: Final = 0.01
MATERIAL: Final = 0.1


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
        conditions = [condition_of(text) for text in fail_on or ()]
        if conditions and alpha is not None:
            raise misused("--fail-on", "conditions need no --alpha.", "give one of the two")
        if alpha is not None and not 0 < alpha < 1:
            raise misused("--alpha", f"{alpha:g} is no chance.", "give a number between 0 and 1")
        if not math.isfinite(material):
            raise misused("--material", f"{material:g} is never passed.", "give a finite number")
        if plot is not None:
            check_target("--plot", plot, [data, reference, *([schema] if schema else [])])
        frozen = load_reference(reference)
        space = _space(reference, frozen, schema)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            rows = read_features(data, space, progress)
        found = findings(frozen, space, rows)
        if conditions:
            found = [by_conditions(finding, conditions) for finding in found]
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
