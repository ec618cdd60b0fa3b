"""`report.json`: all metrics, books, latches and counts of a replay, as of its end. Values only; no clock."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import orjson

from monitor.daemon.group import Group
from monitor.engine.catalogue import BY_NAME
from monitor.engine.deployment import DeploymentFold
from monitor.engine.family import Labels, seconds_text
from monitor.engine.measures.errors import FATES
from monitor.engine.readings import Value
from monitor.stats.counts import Counts
from monitor.stats.estimate import Estimate
from monitor.trading.units import InstrumentUnits, format_money


def report(group: Group, folds: Mapping[str, DeploymentFold], as_of_ns: Mapping[str, int]) -> bytes:
    """The report as JSON with sorted keys; money and quantities as decimal text."""
    units = {u.symbol: u for u in group.listed(0)}
    body = {
        "platform": _platform(),
        "deployments": {
            name: _deployment(fold, as_of_ns[name], units, group.streams) for name, fold in folds.items()
        },
    }
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)


def series(name: str, labels: Labels, window: int | str | None = None) -> str:
    """`name{label=value,...}@window`; braces left out where there are no labels."""
    braced = "{" + ",".join(f"{k}={v}" for k, v in labels) + "}" if labels else ""
    if window is None:
        return name + braced
    return f"{name}{braced}@{window if isinstance(window, str) else seconds_text(window)}"


def _deployment(
    fold: DeploymentFold, as_of_ns: int, units: Mapping[str, InstrumentUnits], streams: Sequence[str]
) -> dict[str, Any]:
    return {
        "as_of_ns": as_of_ns,
        "metrics": {series(v.name, v.labels, v.window): _estimate(v) for v in fold.values()},
        "books": _books(fold, units),
        "latches": fold.decider.latches.states,
        "epoch": fold.decider.latches.epoch,
        "counts": _counts(fold, streams),
    }


def _estimate(value: Value) -> dict[str, Any]:
    estimate: Estimate = value.estimate
    shown: Any = estimate.value
    if shown is not None and BY_NAME[value.name].unit == "money":
        shown = format_money(int(shown))
    return {
        "value": shown,
        "n": estimate.n,
        "n_eff": estimate.n_eff,
        "status": str(estimate.status),
        "from_ns": estimate.from_ns,
        "to_ns": estimate.to_ns,
        "low": estimate.low,
        "high": estimate.high,
        "stale": estimate.stale,
        **({"extra": estimate.extra} if estimate.extra else {}),
    }


def _books(fold: DeploymentFold, units: Mapping[str, InstrumentUnits]) -> dict[str, Any]:
    books = {}
    for name in fold.books.books:
        standing = fold.books.standing(name)
        positions: dict[str, dict[str, Any]] = {}
        for state in fold.books.tasks(name).values():
            for symbol, held in state.holdings.items():
                unit = units[symbol]
                positions[symbol] = {
                    "quantity": unit.format_quantity(held.quantity),
                    "mark": unit.format_price(held.mark) if held.mark_ts else None,
                    "mark_ts_ns": held.mark_ts or None,
                    "multiplier": format(unit.multiplier, "f"),
                }
        books[name] = {
            "currency": fold.books.currency,
            "cash": format_money(standing.cash) if standing else "0",
            "equity": format_money(standing.equity) if standing and standing.readable else None,
            "status": str(standing.status) if standing else "unknown",
            "positions": positions,
            **fold.books.blind(name),
        }
    return books


def _counts(fold: DeploymentFold, streams: Sequence[str]) -> dict[str, int]:
    """Fates by stream over the whole input, zeros too, and rejections by reason, of those that there were."""
    out: dict[str, int] = {}
    totals = fold.totals
    for stream in streams:
        fates = totals.get(f"fates/{stream}", Counts(FATES))
        for fate in FATES:
            out[series(fate, (("stream", stream),))] = fates[fate]
        rejected = totals.get(f"rejected/{stream}")
        for reason in rejected.spec if rejected else ():
            assert rejected is not None
            if rejected[reason]:
                key = series("dead_letters", (("reason", reason),))
                out[key] = out.get(key, 0) + rejected[reason]
    return out


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _platform() -> dict[str, str]:
    """Bytes are promised on one platform: same wheels, same CPU features; sessions on the same calendars."""
    enabled = getattr(getattr(np, "_core", None), "_multiarray_umath", None)
    features = getattr(enabled, "__cpu_features__", {})
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "numpy": np.__version__,
        "onnxruntime": version("onnxruntime"),
        **{name: _installed(name) for name in ("tzdata", "exchange_calendars")},
        "cpu_features": " ".join(sorted(name for name, on in features.items() if on)),
    }
