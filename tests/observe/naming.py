"""The rules of `promtool check metrics` for names, types, help and labels, after its source (promlint)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from prometheus_client.metrics_core import Metric

NON_BASE = {
    *("minutes", "hours", "days", "weeks", "months", "milliseconds", "microseconds", "nanoseconds"),
    *("ms", "us", "ns", "millis", "kilobytes", "megabytes", "gigabytes", "bits", "percent", "percents"),
    *("fahrenheit", "kelvin", "kelvins", "inches", "yards", "miles", "kilometers", "calories", "bps"),
}
TYPES = ("gauge", "counter", "summary", "histogram", "untyped")
SUMMED = ("summary", "histogram")


def complaints(families: Iterable[Metric]) -> list[str]:
    """What promtool would say of the families, as `family: complaint`."""
    return [f"{f.name}: {said}" for f in families for said in _of(f)]


def _of(family: Metric) -> Iterable[str]:
    words = family.name.split("_")
    if not family.documentation:
        yield "no help text"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", family.name):
        yield "a name is lower case, without colons"
    if found := NON_BASE & set(words):
        yield f"use base units instead of {found}"
    if set(words[1:]) & set(TYPES):
        yield "the type does not belong into the name"
    for sample in family.samples:
        yield from _of_sample(family, sample.name, sample.labels)


def _of_sample(family: Metric, name: str, labels: dict[str, str]) -> Iterable[str]:
    if (family.type == "counter") != name.endswith("_total"):
        yield f"{name}: _total belongs to counters, to all of them and to no other"
    if name.endswith(("_count", "_sum")) and family.type not in SUMMED:
        yield f"{name}: _count and _sum belong to summaries and histograms"
    if name.endswith("_bucket") and family.type != "histogram":
        yield f"{name}: _bucket belongs to histograms"
    if "quantile" in labels and family.type != "summary":
        yield f"{name}: quantile is a label of summaries"
    if "le" in labels and family.type != "histogram":
        yield f"{name}: le is a label of histograms"
    for label in labels:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", label):
            yield f"{name}: label {label!r} is not in snake case"
