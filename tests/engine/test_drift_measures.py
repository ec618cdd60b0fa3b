"""Drift metrics are what a plain reading of the rows gives, judged by the rules of the deployment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from engine_cases import START, House, S, made_up, told
from scipy.stats import ks_2samp

from monitor.daemon.report import series
from monitor.engine.drift_rules import DriftRules
from monitor.engine.family import share
from monitor.engine.measures import drift, prediction_drift, store
from monitor.engine.measures.drift import DRIFT_EVERY_NS
from monitor.engine.measures.feature_readings import of_present, rates
from monitor.engine.panes import Pane
from monitor.engine.rings import WindowView
from monitor.engine.rows import Scores
from monitor.engine.scope import Batch, Scope
from monitor.stats.drift import DriftReader
from monitor.stats.estimate import Estimate, Status
from monitor.stats.reference import Reference, build_reference, freeze
from monitor.wire.keys import category_code
from monitor.wire.table import Table

MINUTE = 60 * S
DAY = 1440 * MINUTE
BEGIN = START - START % DAY
GROUPS = (drift, prediction_drift, store)
NAMES = ("calm", "moved", "side", "venue")
VENUES = np.array([category_code(name) for name in ("XNAS", "XNYS", "NEWX")])


def columns(rng: np.random.Generator, n: int, *, shift: float = 0.0, new: float = 0.0) -> np.ndarray:
    venue = np.where(rng.random(n) < new, 2, rng.integers(0, 2, n))
    side = np.where(rng.random(n) < 0.1, np.nan, rng.choice([-1.0, 1.0], n))
    return np.column_stack([rng.normal(size=n), rng.normal(size=n) + shift, side, VENUES[venue]])


def reference(days: int = 6, rows_a_minute: int = 10, sample: str | None = "calm") -> Reference:
    n = days * 1440 * rows_a_minute
    rng = np.random.default_rng(1)
    values = columns(rng, n)
    times = BEGIN - days * DAY + np.arange(n) * (MINUTE // rows_a_minute)
    made = build_reference(
        dict(zip(NAMES, values.T, strict=True)),
        {role: rng.normal(size=n) for role in ("active", "shadow")},
        ts_ns=times,
        categorical=("venue",),
    )
    if sample is None:
        return made
    chosen = tuple(np.sort(values[:5000, NAMES.index(sample)]).tolist())
    with_sample = msgspec.structs.replace(made.features[sample], sample=chosen)
    return msgspec.structs.replace(made, features=made.features | {sample: with_sample})


REFERENCE = reference()


def scope(**changes: Any) -> Scope:
    return replace(
        House().scope,
        reference=REFERENCE,
        columns=(0, 1, 2, 3),
        artifacts={"active": "active", "shadow": "shadow"},
        windows_ns=(60 * MINUTE,),
        **changes,
    )


def view(of: Scope, values: np.ndarray, *, minutes: int = 60) -> WindowView:
    """A window of closed minutes that hold these rows, and scores drawn from the first column."""
    sources = {source.key: source for group in GROUPS for source in group.sources(of)}
    kinds = {key: source.kind for key, source in sources.items()}
    memory, *_ = drift.memories(of)
    n = len(values)
    times = BEGIN + np.arange(n) * (minutes * MINUTE // n)
    table = Table(
        {
            "values": values,
            "eff": times,
            "ts": times,
            "symbol": np.zeros(n, np.int32),
            "symbol_key": np.full(n, 7, np.uint64),
            "sample_key": np.random.default_rng(0).integers(0, 2**63, n).astype(np.uint64),
            "store_hits": np.full(n, 3),
            "store_lookups": np.full(n, 4),
        }
    )
    panes = [Pane(kinds, MINUTE) for _ in range(minutes)]
    minute = (times - BEGIN) // MINUTE
    for i, pane in enumerate(panes):
        part = table.take(np.flatnonzero(minute == i))
        if not len(part):
            continue
        ok = np.zeros(len(part), np.int8)
        scores = {
            role: Scores(part["values"][:, 0] * scale, ok, np.full(len(part), 1))
            for role, scale in (("active", 1.0), ("shadow", 3.0))
        }
        batch = Batch({"features": part}, part, scores)
        full = replace(batch, derived=memory.take(batch))
        for key, source in sources.items():
            source.feed(pane.statistic(key), full)
    starts = tuple(BEGIN + i * MINUTE for i in range(minutes))
    return WindowView(kinds, tuple(panes), starts, BEGIN, BEGIN + minutes * MINUTE, BEGIN)


def read(of: Scope, found: WindowView, family: Any) -> dict[str, Estimate]:
    """Estimates of a family by the value of its label."""
    return {
        dict(labels).get("feature", dict(labels).get("role", "")): value(found)
        for labels, value in family(of)
    }


@pytest.fixture(scope="module")
def moved() -> tuple[Scope, WindowView, np.ndarray]:
    values = columns(np.random.default_rng(2), 36_000, shift=0.5, new=0.2)
    values[1::2, 0] = values[::2, 0]
    of = scope(drift=DriftRules(ks_features=("calm",), ks_k=4000))
    return of, view(of, values), values


def test_what_moved_counts_as_drifted_and_nothing_else(moved):
    of, found, _ = moved
    (drifted,) = read(of, found, drift.features_drifted).values()
    assert (drifted.value, drifted.n) == (2, 4)
    assert drifted.extra["features"] == ["moved", "venue"]
    assert drifted.extra["alpha"] == pytest.approx(1 / 6000)
    (score,) = read(of, found, drift.drift_score).values()
    excesses = read(of, found, drift.psi_excess)
    assert score.value == max(e.value for e in excesses.values())
    assert score.extra["feature"] == max(excesses, key=lambda name: excesses[name].value)
    p_values = read(of, found, drift.psi_p_value)
    assert p_values["moved"].value < 1e-9
    assert p_values["side"].value > 1e-4


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (DriftRules(material_excess=0.3), ["venue"]),
        (DriftRules(material_excess=5.0), []),
        (DriftRules(correction="holm", material_excess=0.0), ["moved", "venue"]),
    ],
)
def test_the_rules_decide_what_is_material(moved, rules, expected):
    found = moved[1]
    (drifted,) = read(scope(drift=rules), found, drift.features_drifted).values()
    assert set(expected) <= set(drifted.extra["features"])
    if rules.material_excess:
        assert drifted.extra["features"] == expected


def test_without_calibration_nothing_is_judged_and_that_is_no_pass():
    bare = build_reference({"calm": np.random.default_rng(0).normal(size=5000)})
    of = replace(scope(), reference=bare, columns=(0,))
    found = view(of, columns(np.random.default_rng(3), 6000)[:, :1])
    (drifted,) = read(of, found, drift.features_drifted).values()
    assert (drifted.status, drifted.value) == (Status.INSUFFICIENT, None)
    assert drifted.extra["unjudged"] == 1
    assert "without times" in drifted.extra["reasons"][0]
    assert read(of, found, drift.psi)["calm"].status is Status.OK
    assert read(of, found, drift.psi_p_value)["calm"].status is Status.INSUFFICIENT


def test_rates_are_counted_from_the_rows(moved):
    of, found, values = moved
    missing = read(of, found, drift.null_rate)
    assert missing["side"].value == np.isnan(values[:, 2]).mean()
    assert missing["calm"].value == 0.0
    assert missing["side"].low < missing["side"].value < missing["side"].high
    assert missing["side"].extra["reference"] == REFERENCE.features["side"].null_rate
    unseen = read(of, found, drift.unseen_rate)
    assert unseen["venue"].value == (values[:, 3] == VENUES[2]).mean()
    assert unseen["calm"].status is Status.NOT_APPLICABLE
    frozen = read(of, found, drift.frozen_rate)
    assert frozen["calm"].value == pytest.approx(0.5, abs=1e-4)
    assert frozen["moved"].value == 0.0
    ages = read(of, found, drift.feature_age)
    assert ages["calm"].value == pytest.approx(0.05)
    assert ages["moved"].value == 0.0
    (hits,) = read(of, found, store.feature_hit_rate).values()
    assert (hits.value, hits.n) == (0.75, 4 * len(values))


def test_rates_of_all_columns_are_those_of_each(moved):
    found = moved[1]
    rng = np.random.default_rng(4)
    totals = rng.integers(0, 50, (60, 5))
    totals[:, 4] = 0
    events = rng.binomial(totals, [0.0, 1.0, 0.3, 0.01, 0.5])
    for place, estimate in enumerate(rates(found, events, totals, [None] * 5)):
        assert estimate == share(found, events[:, place], totals[:, place], extra={"reference": None}) or (
            estimate.n == 0
        )


def test_mean_shifts_are_in_sigma_of_the_reference_and_of_numbers_alone(moved):
    of, found, values = moved
    shifts = read(of, found, drift.mean_shift_sigma)
    known = REFERENCE.features["moved"]
    assert shifts["moved"].value == pytest.approx((values[:, 1].mean() - known.mean) / known.std, abs=1e-6)
    assert shifts["moved"].low < 0.5 < shifts["moved"].high
    assert shifts["venue"].status is Status.NOT_APPLICABLE


def test_ks_is_exact_on_a_sample_where_one_is_named_and_bounded_where_not(moved):
    of, found, values = moved
    distances = read(of, found, drift.ks)
    binned = distances["moved"]
    raw = columns(np.random.default_rng(1), 6 * 1440 * 10)
    true = ks_2samp(raw[:, 1], values[:, 1]).statistic
    assert binned.extra["method"] == "binned"
    assert binned.value <= true + 1e-12
    assert true <= binned.extra["upper"] + 1e-12
    exact = distances["calm"]
    assert exact.extra["method"] == "sample"
    assert exact.extra["sample_n"] == 4000
    true = ks_2samp(raw[:, 0], values[:, 0]).statistic
    assert abs(exact.value - true) <= exact.extra["error"]
    assert distances["venue"].status is Status.NOT_APPLICABLE


def test_a_shadow_diverges_from_the_active_on_the_actives_bins(moved):
    of, found, values = moved
    psi = read(of, found, prediction_drift.prediction_divergence_psi)
    ks = read(of, found, prediction_drift.prediction_divergence_ks)
    assert list(psi) == ["shadow"]
    assert psi["shadow"].value > 0.5
    true = ks_2samp(values[:, 0], 3 * values[:, 0]).statistic
    assert ks["shadow"].value <= true <= ks["shadow"].extra["upper"]
    assert read(of, found, prediction_drift.prediction_psi)["active"].value < 0.05
    assert read(of, found, prediction_drift.prediction_psi)["shadow"].value > 0.5
    shift = read(of, found, prediction_drift.prediction_mean_shift_sigma)["active"]
    assert shift.value == pytest.approx(
        (values[:, 0].mean() - REFERENCE.predictions["active"].mean) / REFERENCE.predictions["active"].std,
        abs=1e-5,
    )


def test_one_look_reads_a_window_once_for_all_metrics(moved, monkeypatch):
    of, found, _ = moved
    fresh = replace(found, _once={}, _made={}, _joined={})
    looks = []
    original = DriftReader.read
    monkeypatch.setattr(DriftReader, "read", lambda *a: looks.append(1) or original(*a))
    for family in (drift.psi, drift.psi_excess, drift.ks, drift.features_drifted, drift.drift_score):
        read(of, fresh, family)
    assert len(looks) == 1


def test_drift_of_both_folds_is_the_same_for_any_tasks_and_batches():
    known = House().scope
    mine = tuple(source for group in GROUPS for source in group.sources(known))
    house = House(windows_ns=(60 * S,), sources=mine, memories=lambda: drift.memories(known), rules=())
    rows = made_up(77, seconds=90.0, n=2500)
    end = START + 91 * S
    once = told(house, rows, end, steps=1, tasks=1)
    many = told(house, rows, end, steps=60, tasks=3)
    names = ("psi", "ks", "null_rate", "frozen_rate", "feature_age", "mean_shift_sigma", "feature_hit_rate",
             "prediction_mean_shift_sigma", "prediction_divergence_ks", "drift_score")  # fmt: skip
    picked = [
        {series(v.name, v.labels, v.window): v.estimate for v in run.values if v.name in names}
        for run in (once, many)
    ]
    assert picked[0] == picked[1]
    ok = {key.split("{")[0].split("@")[0] for key, e in picked[0].items() if e.status is Status.OK}
    assert ok == set(names)
    assert DRIFT_EVERY_NS == MINUTE


def test_a_distance_of_values_that_are_not_there_is_not_said():
    distribution = freeze(np.random.default_rng(1).normal(size=2000))
    reader = DriftReader((distribution,))
    live = np.zeros((1, reader.stride), np.int64)
    for present, status in ((0, Status.INSUFFICIENT), (149, Status.INSUFFICIENT), (640, Status.OK)):
        live[0, : reader.stride - 1] = present // (reader.stride - 1)
        live[0, 0] += present - live[0, :-1].sum()
        live[0, -1] = 5000
        (reading,) = reader.read(live, [(0, S)])
        found = of_present(reading, present, reading.estimates(0, S))
        assert (found["ks"].status, found["ks"].n) == (status, present)
        assert (found["ks"].value is None) == (status is Status.INSUFFICIENT)
        assert found["psi"].n == present + 5000, "missing values are a group of PSI"
