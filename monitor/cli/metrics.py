"""`metrics`: what each metric means, on the terminal and as docs/metrics.md.

Made from the catalogue and the docstrings that it names.
"""

from __future__ import annotations

import difflib
import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown

from monitor.engine.catalogue import BY_NAME, FAMILIES
from monitor.engine.family import Family
from monitor.observe.series import PREFIX, catalogue_names, metric_name, metric_type
from monitor.policy.durations import format_duration

BAD_USAGE = 2

PREFACE = """# Metrics

Every metric there is, by group: what it means, how it is computed, what it does with too little or bad
data. Made from the catalogue and the docstrings of the statistics by `shadow-monitor metrics --write
docs/metrics.md`.

**How to read one.** A value stands with `n` (rows it rests on), where it can be said with `n_eff`
(independent rows that tell as much: neighbours in time resemble each other) and a 95 % interval `low` to
`high`, and with `status`: `ok`; `insufficient`, too few samples; `unknown`, something is missing, stale or
not finite; `not_applicable`, there is no such thing for this model. Only `ok` may pass, fail or resolve a
rule. A window spans the closed panes and the open one, so it holds between its length and one pane more;
`from_ns` and `to_ns` are the exact bounds. *Schedule* is the shortest useful one; *blames* says whom a bad
value accuses, and so which actions `check` lets a rule take. Rows that are joined (labels, returns, orders
and their events) belong to the moment at which they met, or their wait ended. A value of a book may stand
with `unknown` and `stale`: the last there was, on which hard limits still act.
"""

BLAMES = {
    "shadow": "the shadow named by `role`",
    "role": "the role in its label",
    "model": "the role in its label, and is no reason to stop trading",
    "active": "the active model in production",
    "fills": "the active's fills; what is half of paper stops no trading",
    "book": "whose book it is; only the real one stops trading or rolls back",
    "twin": "the shadow in its label; that of the active is the desk's execution",
    "deployment": "no model, but may stop trading",
    "nobody": "nobody",
}


def metrics(
    name: Annotated[str | None, typer.Argument(help="A metric; without one, a line for each.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write all of it as Markdown to this file.")] = None,
    check: Annotated[Path | None, typer.Option(help="Exit 1 if this file is stale.")] = None,
) -> None:
    """Explain a metric: meaning, formula, units, source, and what it does with too little data."""
    console = Console(markup=False, highlight=False, soft_wrap=True)
    errors = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    if check is not None:
        fault = _fault(check)
        if fault:
            console.print(f"{check} {fault}. Remedy: shadow-monitor metrics --write {check}")
            raise typer.Exit(1)
        console.print(f"{check} is up to date")
    elif write is not None:
        try:
            write.write_text(handbook(), encoding="utf-8")
        except OSError as error:
            errors.print(
                f"metrics: {write}: cannot be written: {error.strerror}. "
                "Remedy: name a file in a writable directory with --write."
            )
            raise typer.Exit(BAD_USAGE) from error
        console.print(f"wrote {len(FAMILIES)} metrics to {write}")
    elif name is None:
        for family in FAMILIES:
            console.print(f"{signature(family):44} {family.meaning}")
    elif (meant := named(name)) is not None:
        console.print(Markdown("\n".join(entry(meant, set()))))
    else:
        near = difflib.get_close_matches(_bare(name), BY_NAME, 3)
        remedy = " or ".join(near) or "list them with `shadow-monitor metrics`"
        errors.print(f"metrics: there is no {name!r}. Remedy: {remedy}.")
        raise typer.Exit(BAD_USAGE)


def named(text: str) -> Family | None:
    """The metric that is meant: by name, in any case, with labels, as Prometheus has it, or with its unit."""
    bare = _bare(text)
    meant = BY_NAME.get(bare) or BY_NAME.get(catalogue_names().get(PREFIX + bare, ""))
    by_unit = {f"{family.name}_{family.unit.replace(' ', '_')}": family for family in FAMILIES}
    return meant or by_unit.get(bare)


def _bare(text: str) -> str:
    """Without labels and prefix, in lower case."""
    return text.partition("{")[0].strip().lower().removeprefix(PREFIX)


def _fault(page: Path) -> str:
    """What is wrong with a file that should be the handbook; nothing where it is."""
    try:
        return "" if page.read_bytes() == handbook().encode() else "is stale"
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def handbook() -> str:
    """docs/metrics.md."""
    told: set[Any] = set()
    lines = [PREFACE]
    for group, families in itertools.groupby(FAMILIES, key=lambda family: family.group):
        lines += [f"## {group.replace('_', ' ').capitalize()}", ""]
        for family in families:
            lines += [*entry(family, told), ""]
    return "\n".join(lines).rstrip() + "\n"


def signature(family: Family) -> str:
    """`psi{feature}`."""
    return family.name + (f"{{{','.join(family.labels)}}}" if family.labels else "")


def entry(family: Family, told: set[Any]) -> Iterator[str]:
    """One metric; statistics in `told` are named, not told again."""
    yield f"### `{signature(family)}`"
    yield ""
    yield family.meaning
    yield ""
    facts = [f"unit: {family.unit}", f"blames {BLAMES[family.blame]}"]
    if family.every_ns:
        facts.append(f"schedule: {format_duration(family.every_ns)}")
    if family.kinds:
        facts.append(f"only of models whose output is a {' or '.join(family.kinds)}")
    if family.stream:
        facts.append(f"needs the topic `{family.stream}`")
    yield "; ".join(facts) + f". Prometheus: `{metric_name(family)}` ({metric_type(family)})."
    known = [f"`{_name(statistic)}`" for statistic in family.made_of if statistic in told]
    for statistic in family.made_of:
        if statistic not in told:
            told.add(statistic)
            yield ""
            yield f"**{_name(statistic)}.**"
            yield from _docstring(statistic)
    if known:
        yield ""
        yield f"See above: {', '.join(known)}."


def _name(statistic: Any) -> str:
    """In words: `share_interval` -> `share interval`, `LatencyHistogram` as it is."""
    name: str = statistic.__qualname__.split("<locals>.")[-1]
    return name if name[0].isupper() else name.replace("_", " ")


def _docstring(statistic: Any) -> Iterator[str]:
    """As Markdown: examples become code."""
    example = False
    for line in (inspect.getdoc(statistic) or "").splitlines():
        if line.startswith(">>>") and not example:
            yield "```python"
            example = True
        elif not line.strip() and example:
            yield "```"
            example = False
        yield line
    if example:
        yield "```"
