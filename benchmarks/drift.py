"""What drift costs: update and evaluation, as ratios to the typed decode of the same rows in the same run.

    python benchmarks/drift.py

32 features, 20 symbols, 512 rows at a time; the floor is that of `decode.py`. Beside it river, which takes
an event at a time, does the least of the same: mean and variance, a histogram, the last value of a feature.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from decode import NAMES, ROWS, START, STEP_NS, WIDTH, Event, feature_events, only_decode, seconds
from numpy.typing import NDArray

from monitor.engine.catalogue import Catalogue
from monitor.engine.family import Metric
from monitor.engine.measures import drift
from monitor.engine.measures.drift import DRIFT_EVERY_NS
from monitor.engine.measures.feature_readings import Features
from monitor.engine.memories.previous import Previous
from monitor.engine.panes import Pane
from monitor.engine.rings import WindowView
from monitor.engine.scope import Batch, Scope
from monitor.stats.reference import Reference, build_reference
from monitor.wire.keys import hash64
from monitor.wire.table import Table

SIZE = 512
PANES, PANE_NS, PANE_ROWS = 60, 60 * 10**9, 600
EVALUATIONS, RIVER_ROWS = 50, 500
DAYS, ROWS_A_DAY = 6, 14_400


def reference_of(rng: np.random.Generator) -> Reference:
    """Six days of every feature, so that windows of an hour are calibrated."""
    n = DAYS * ROWS_A_DAY
    times = START + np.arange(n) * (86_400 * 10**9 // ROWS_A_DAY)
    return build_reference({name: rng.normal(size=n) for name in NAMES}, ts_ns=times)


def scope_of(reference: Reference) -> Scope:
    return Scope(
        roles=("active", "shadow"),
        streams=("features",),
        windows_ns=(3600 * 10**9,),
        limits_ns=(),
        rank_k=1000,
        reference=reference,
        columns=tuple(range(WIDTH)),
        artifacts={"active": "a", "shadow": "s"},
        kinds={"active": "return", "shadow": "return"},
        lateness_ns=0,
        join_window_ns=0,
        mine=lambda report: True,
    )


def batches(values: NDArray[np.float64]) -> list[Batch]:
    """The rows as a task folds them, 512 at a time, interleaved over 20 symbols."""
    keys = np.array([hash64(f"SYM{i:02d}".encode()) for i in range(20)], np.uint64)
    symbols = (np.arange(len(values)) % 20).astype(np.int32)
    times = START + np.arange(len(values)) * STEP_NS
    whole = Table(
        {"values": values, "symbol": symbols, "symbol_key": keys[symbols], "eff": times, "ts": times}
    )
    parts = [whole.take(slice(start, start + SIZE)) for start in range(0, len(values), SIZE)]
    return [Batch({"features": part}, part, {}) for part in parts]


def updates(scope: Scope, rows: list[Batch]) -> dict[str, Callable[[], None]]:
    """By name the parts of the update, and all of it as fold 1 does it."""
    sources = {source.key: source for source in drift.sources(scope)}
    pane = Pane({key: source.kind for key, source in sources.items()}, PANE_NS)

    def feed(key: str) -> Callable[[], None]:
        def work() -> None:
            for batch in rows:
                sources[key].feed(pane.statistic(key), batch)

        return work

    memory = Previous(scope.columns)

    def still() -> None:
        for batch in rows:
            derived = memory.take(batch)
            sources["staleness"].feed(pane.statistic("staleness"), Batch({}, batch.features, {}, derived))

    def everything() -> None:
        for batch in rows:
            derived = memory.take(batch)
            full = Batch(batch.streams, batch.features, {}, derived)
            for key, source in sources.items():
                source.feed(pane.statistic(key), full)

    return {
        "bins and missing values": feed("features"),
        "mean shift": feed("moments"),
        "repetitions and ages": still,
        "all": everything,
    }


def view_of(scope: Scope, rng: np.random.Generator) -> WindowView:
    """An hour of closed minutes."""
    sources = {source.key: source for source in drift.sources(scope)}
    kinds = {key: source.kind for key, source in sources.items()}
    memory = Previous(scope.columns)
    panes = []
    for minute in range(PANES):
        panes.append(Pane(kinds, PANE_NS))
        for batch in batches(rng.normal(size=(PANE_ROWS, WIDTH))):
            full = Batch(batch.streams, batch.features, {}, memory.take(batch))
            for key, source in sources.items():
                source.feed(panes[minute].statistic(key), full)
    begin = START - START % PANE_NS
    starts = tuple(begin + i * PANE_NS for i in range(PANES))
    end = begin + PANES * PANE_NS
    return WindowView(kinds, tuple(panes), starts, begin, end, begin)


def evaluate(view: WindowView, metrics: list[Metric]) -> Callable[[], None]:
    """Every drift metric of a window, as the owner reads it: nothing is known from an earlier look."""

    def work() -> None:
        for _ in range(EVALUATIONS):
            fresh = WindowView(view.kinds, view.panes, view.starts, view.from_ns, view.to_ns, view.filled_ns)
            for metric in metrics:
                metric.value(fresh)

    return work


def river_update(values: NDArray[np.float64]) -> Callable[[], None]:
    """The same rows, event by event."""
    from river import sketch, stats

    rows = values[:RIVER_ROWS].tolist()

    def work() -> None:
        moments = [stats.Var() for _ in range(WIDTH)]
        histograms = [sketch.Histogram(max_bins=64) for _ in range(WIDTH)]
        shifts = [stats.Shift(1) for _ in range(WIDTH)]
        for row in rows:
            for x, moment, histogram, shift in zip(row, moments, histograms, shifts, strict=True):
                moment.update(x)
                histogram.update(x)
                shift.update(x)

    return work


def river_evaluation(values: NDArray[np.float64]) -> Callable[[], None]:
    """River's own drift statistic of 32 features, from the values of a window to its value."""
    from river import stats

    rows = values[:RIVER_ROWS].tolist()

    def work() -> None:
        for _ in range(WIDTH):
            distance = stats.KolmogorovSmirnov(statistic="ks")
            for row in rows:
                distance.update(row[0], row[1])
            distance.get()

    return work


def main() -> None:
    rng = np.random.default_rng(7)
    floor = seconds(only_decode(feature_events(), Event)) / ROWS
    scope = scope_of(reference_of(rng))
    print(f"floor: typed decode of an event of {WIDTH} features: {floor * 1e6:.2f} us")
    print(f"\nupdate, {SIZE} rows x {WIDTH} features at a time{'':13}us a row   ns a value   in floors")
    continuous = rng.normal(size=(ROWS, WIDTH))
    discrete = continuous.copy()
    discrete[:, : WIDTH // 4] = np.rint(discrete[:, : WIDTH // 4])
    sparse = np.where(rng.random(continuous.shape) < 0.05, np.nan, continuous)
    for kind, values in (
        ("continuous", continuous),
        ("a quarter of features discrete", discrete),
        ("5 % missing", sparse),
    ):
        for name, work in updates(scope, batches(values)).items():
            cost = seconds(work) / ROWS
            show(f"{kind}: {name}" if name == "all" else f"  {name}", cost, floor)
    cost = seconds(river_update(continuous)) / RIVER_ROWS
    show("river: variance, histogram, last value", cost, floor)

    drift_metrics = [m for m in Catalogue(scope).metrics if m.family.group == "drift"]
    view = view_of(scope, rng)
    readings = [m for m in drift_metrics if m.family.name in ("psi", "ks", "psi_p_value", "ks_p_value")]
    features = scope.once(Features)
    print(f"\nevaluation, {WIDTH} features x 64 bins x {PANES} panes{'':20}ms   in decodes of a message")
    for name, metrics in (("PSI, KS and their p-values", readings), ("every drift metric", drift_metrics)):
        cost = seconds(evaluate(view, metrics)) / EVALUATIONS
        print(f"{f'{name} ({len(metrics)} values)':58}{cost * 1e3:8.2f}{cost / floor:12.0f}")
    assert features.readings(view), "the window holds rows"
    cost = seconds(river_evaluation(continuous))
    print(f"{f'river: KS of {RIVER_ROWS} values a feature':58}{cost * 1e3:8.2f}{cost / floor:12.0f}")
    print(f"\nevery {DRIFT_EVERY_NS // 10**9} s; a task says its open pane as often")


def show(name: str, cost: float, floor: float) -> None:
    print(f"{name:52}{cost * 1e6:10.3f}{cost / WIDTH * 1e9:13.1f}{cost / floor:12.2f}")


if __name__ == "__main__":
    main()
