"""Differences of books: they add up, over the same instants, and are believed only where they can be."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import numpy as np
import pytest
from book_cases import HOUR, MINUTE, OF_SHADOW, REAL, SHADOW, TWIN, S, apart, holding, made, ns, take
from engine_cases import BOOKS, House, keep
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine.books.divergence import pnl_divergence_relative
from monitor.engine.books.series import each_twin
from monitor.stats.estimate import Status
from monitor.trading.units import MONEY, format_money

MONDAY = ns("2026-03-02T00:00:00+00:00")
WINDOWS = (48 * S, 300 * S, "session", "promotion")
ACTIVE = (("role", "active"),)
USD = MONEY


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_model_and_execution_effect_are_the_divergence_exactly_whenever_all_three_are_ok(seed, flat):
    rng = np.random.default_rng(seed)
    make = {"windows_ns": WINDOWS[:2], "tick_ns": S, "grid_ns": 3 * S, "flat": BOOKS if flat else BOOKS[1:]}
    books, store, held, compared = made(**make), {}, {}, 0
    for at in range(MONDAY - 100 * S, MONDAY + 260 * S, S):
        for name in BOOKS:
            if rng.random() < 0.5:
                complete = bool(rng.random() < 0.9) or name != REAL
                held[name] = holding(int(rng.integers(-9, 9)), int(rng.integers(-9, 9)), complete=complete)
        take(books, at, held, missing=bool(rng.random() < 0.05))
        keep(store, books.records())
        if rng.random() < 0.05:
            books = made(**make)
            books.restore(store)
        for window in WINDOWS:
            names = ("model_effect", "execution_effect", "pnl_divergence")
            model, execution, whole = (
                apart(books, n, window, at, OF_SHADOW if n != names[1] else ()) for n in names
            )
            if {e.status for e in (model, execution, whole)} == {Status.OK}:
                assert model.value + execution.value == whole.value
                assert model.from_ns == execution.from_ns == whole.from_ns
                compared += 1
    assert compared > 100


def course(books, profits: dict[str, list[int]], **more) -> int:
    """A minute an instant; all books say what they made."""
    at = MONDAY
    for minute in range(len(next(iter(profits.values())))):
        at = MONDAY + minute * MINUTE
        take(books, at, {name: holding(made_so_far[minute], **more) for name, made_so_far in profits.items()})
    return at


def test_the_paired_z_is_that_of_differences_over_the_same_steps():
    rng = np.random.default_rng(3)
    real, shadow = (np.cumsum(rng.integers(-50, 50, 40)).tolist() for _ in range(2))
    books = made()
    at = course(books, {REAL: real, SHADOW: shadow})
    d = [(b - a) - (y - x) for (a, b), (x, y) in zip(pairwise(shadow), pairwise(real), strict=True)]
    found = apart(books, "pnl_divergence_z", HOUR, at)
    assert found.n == 39
    assert found.value == pytest.approx(sum(d) / (statistics.stdev(d) * math.sqrt(39)), rel=1e-12)
    assert found.extra["noise"] * USD == pytest.approx(statistics.stdev(d) * math.sqrt(39), rel=1e-12)
    fewer = made(min_returns=40)
    assert apart(fewer, "pnl_divergence_z", HOUR, course(fewer, {REAL: real, SHADOW: shadow})).value is None
    alike = made()
    at = course(alike, {REAL: real, SHADOW: real})
    assert apart(alike, "pnl_divergence_z", HOUR, at).status is Status.INSUFFICIENT
    assert apart(alike, "pnl_divergence", HOUR, at).value == 0


def worked(profit_real: int, difference: int) -> dict[str, float]:
    """100 minutes, in which both books trade 4.9 and 5.0 million and s_d sqrt(n) is 148."""
    n, spread = 100, 14.8
    zigzag = [spread * math.sqrt((n - 1) / n) * (1 if k % 2 else -1) for k in range(n)]
    real = [round(k * profit_real * USD / n) for k in range(n + 1)]
    gaps = np.cumsum([0.0, *(z + difference / n for z in zigzag)])
    shadow = [r + round(g * USD) for r, g in zip(real, gaps.tolist(), strict=True)]
    books = made(windows_ns=(4 * HOUR,), capital=5_000_000 * USD)
    at = MONDAY
    for minute in range(n + 1):
        at = MONDAY + minute * MINUTE
        traded = {SHADOW: 4_900_000, REAL: 5_000_000}
        profits = {SHADOW: shadow[minute], REAL: real[minute]}
        take(books, at, {b: holding(profits[b], traded=traded[b] * USD * minute // n) for b in traded})
    names = ("pnl_divergence", "pnl_divergence_bps_traded", "pnl_divergence_bps_capital", "pnl_divergence_z")
    return {name: apart(books, name, "session", at).value for name in names}


def test_the_two_worked_examples_of_the_docs():
    quiet = worked(2, 118)
    assert quiet["pnl_divergence"] / USD == pytest.approx(118)
    assert round(quiet["pnl_divergence_bps_traded"], 2) == 0.24
    assert round(quiet["pnl_divergence_z"], 1) == 0.8
    trips = worked(1, -4_001)
    assert round(trips["pnl_divergence_bps_traded"], 1) == -8.1
    assert round(trips["pnl_divergence_bps_capital"], 1) == -8.0
    assert round(trips["pnl_divergence_z"]) == -27


def test_basis_points_of_what_was_traded_have_a_floor_and_none_without_trades():
    books = made(capital=1_000_000, floor_bps=100)
    at = course(books, {REAL: [0, 0], SHADOW: [0, 20]})
    found = apart(books, "pnl_divergence_bps_traded", HOUR, at)
    assert found.value == 20 * 10_000 / 10_000
    bare = made(capital=None)
    at = course(bare, {REAL: [0, 0], SHADOW: [0, 20]})
    assert apart(bare, "pnl_divergence_bps_traded", HOUR, at).status is Status.INSUFFICIENT
    assert apart(bare, "pnl_divergence_bps_capital", HOUR, at).status is Status.NOT_APPLICABLE
    assert apart(bare, "model_effect_bps_capital", HOUR, at).status is Status.NOT_APPLICABLE
    assert apart(bare, "pnl_divergence_relative", HOUR, at, ACTIVE).status is Status.NOT_APPLICABLE


def test_the_relative_gap_of_twins_waits_until_the_real_profit_is_more_than_noise():
    for step, expected in ((1, Status.INSUFFICIENT), (10, Status.OK)):
        real = [step * k + (4 if k % 2 else 0) for k in range(31)]
        twin = [profit + k for k, profit in enumerate(real)]
        books = made(capital=1_000_000)
        at = course(books, {REAL: real, TWIN: twin})
        found = apart(books, "pnl_divergence_relative", HOUR, at, ACTIVE)
        assert found.status is expected
        returns = [b - a for a, b in pairwise(real)]
        noise = statistics.stdev(returns) * math.sqrt(len(returns))
        assert (abs(real[-1]) >= 3 * noise) == (expected is Status.OK)
    assert found.value == 30 / real[-1]


def test_only_a_shadow_with_the_actives_model_has_a_relative_gap():
    labels = {series.labels[0][1]: series for series in each_twin(pnl_divergence_relative)(House().scope)}
    books = made()
    at = course(books, {REAL: [0, 50], TWIN: [0, 50], SHADOW: [0, 60]})
    other = labels["shadow"].value(books, OF_SHADOW, HOUR, at)
    assert other.status is Status.NOT_APPLICABLE
    assert labels["active"].value is pnl_divergence_relative


def gapped(books, gaps: list[int], grosses: list[int]) -> int:
    at = MONDAY
    for minute, (gap, gross) in enumerate(zip(gaps, grosses, strict=True)):
        at = MONDAY + minute * MINUTE
        take(books, at, {REAL: holding(-gross, gross), TWIN: holding(0, gap=gap), SHADOW: holding(minute)})
    return at


def test_the_position_gap_is_a_ratio_of_means_over_the_instants_of_the_window():
    books = made()
    at = gapped(books, [0, 30, 10, 0], [0, 40, 40, 0])
    found = apart(books, "position_gap", HOUR, at, ())
    assert (found.value, found.n) == (0.5, 4)
    empty = made()
    assert apart(empty, "position_gap", HOUR, gapped(empty, [0, 5], [0, 0]), ()).status is Status.INSUFFICIENT


@pytest.mark.parametrize(
    ("gaps", "grosses", "believed"),
    [([0, 4], [40, 40], True), ([0, 20], [40, 40], False), ([0, 5], [0, 0], False), ([0, 0], [0, 0], True)],
)
def test_above_the_largest_position_gap_no_effect_is_believed(gaps, grosses, believed):
    books = made(max_position_gap=0.1)
    at = gapped(books, gaps, grosses)
    for name in ("model_effect", "execution_effect", "pnl_divergence", "model_effect_bps_capital"):
        found = apart(books, name, HOUR, at, () if name == "execution_effect" else OF_SHADOW)
        if believed:
            assert found.status is Status.OK
        else:
            assert (found.status, found.value, found.stale) == (Status.UNKNOWN, None, False)
            assert found.extra["max_position_gap"] == 0.1
            assert "position_gap" in found.extra


def test_while_a_task_is_missing_effects_are_stale_and_where_a_book_is_not_known_there_is_none():
    books = made()
    at = course(books, {REAL: [0, 1], TWIN: [0, 3], SHADOW: [0, 7]})
    take(books, at + MINUTE, missing=True)
    found = apart(books, "pnl_divergence", HOUR, at + MINUTE)
    assert (found.value, found.status, found.stale) == (6, Status.UNKNOWN, True)
    take(books, at + 2 * MINUTE, {REAL: holding(1, complete=False)})
    found = apart(books, "pnl_divergence", HOUR, at + 2 * MINUTE)
    assert (found.value, found.status, found.stale) == (None, Status.UNKNOWN, False)
    assert apart(books, "model_effect", HOUR, at + 2 * MINUTE).value == 4


def from_late(books, late: str, known_from: int, seconds: int = 120, profits=(5, 3, 4), store=None) -> int:
    """A second an instant; `late` is not known before `known_from`. Books earn so much a second."""
    at = MONDAY
    for second in range(1, seconds + 1):
        at = MONDAY + second * S
        says = {
            name: holding(made * second, complete=name != late or second >= known_from, traded=10 * second)
            for name, made in zip(BOOKS, profits, strict=True)
        }
        take(books, at, says)
        if store is not None:
            keep(store, books.records())
    return at


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("known_from", [3, 50, 70])
@pytest.mark.parametrize("window", ["session", "promotion", 300 * S])
def test_effects_against_a_real_book_that_is_known_late_are_from_then_on(window, known_from, restarted):
    make = {"windows_ns": WINDOWS[:2], "tick_ns": S, "grid_ns": 3 * S, "flat": BOOKS[1:]}
    books, store = made(**make), {}
    at = from_late(books, REAL, known_from, store=store)
    if restarted:
        books = made(**make)
        books.restore(store)
        at += S
        take(books, at)
    passed = 120 - known_from
    for name, effect in (("model_effect", 1), ("execution_effect", -2), ("pnl_divergence", -1)):
        found = apart(books, name, window, at, () if name == "execution_effect" else OF_SHADOW)
        assert (found.status, found.value) == (Status.OK, effect * passed)
        assert found.from_ns == MONDAY + known_from * S
    traded = apart(books, "pnl_divergence_bps_traded", window, at)
    assert (traded.extra["traded"], traded.extra["traded_real"]) == (format_money(10 * passed),) * 2


def test_until_the_real_book_is_known_the_model_effect_is_that_of_the_whole_window():
    books = made(windows_ns=(300 * S,), tick_ns=S, flat=BOOKS[1:])
    at = from_late(books, REAL, 1000)
    found = apart(books, "model_effect", "session", at)
    assert (found.status, found.value, found.from_ns) == (Status.OK, 120, MONDAY)
    assert apart(books, "execution_effect", "session", at, ()).status is Status.UNKNOWN


def test_a_shadow_that_is_known_later_than_both_of_the_active_has_no_effect_and_says_why():
    books = made(windows_ns=(300 * S,), tick_ns=S, flat=BOOKS[:2])
    at = from_late(books, SHADOW, 30)
    for name in ("model_effect", "pnl_divergence_bps_capital", "pnl_divergence"):
        found = apart(books, name, "session", at)
        assert (found.status, found.value, found.stale) == (Status.UNKNOWN, None, False)
        assert found.extra["began"] == [MONDAY + 30 * S, MONDAY]
        assert "difference" not in found.extra
    assert apart(books, "execution_effect", "session", at, ()).value == -240


def test_after_a_reset_of_the_shadow_effects_go_on_from_the_reset():
    books = made(windows_ns=(300 * S,), tick_ns=S)
    reset = from_late(books, "none", 0)
    books.restart(BOOKS[1:])
    at = reset
    for second in range(121, 131):
        at = MONDAY + second * S
        take(books, at, {name: holding(made * second) for name, made in zip(BOOKS, (5, 3, 4), strict=True)})
    for window in ("session", "promotion", 300 * S):
        assert apart(books, "pnl_divergence", window, at).value == -9
        assert apart(books, "execution_effect", window, at, ()).value == -18
        assert apart(books, "model_effect", window, at).value == 9


def test_where_paper_begins_anew_beside_a_real_book_that_goes_on_effects_begin_there():
    make = {"windows_ns": (300 * S,), "tick_ns": S}
    books, store = made(**make), {}
    at = from_late(books, "none", 0, store=store)
    books = made(**make)
    books.restore({key: data for key, data in store.items() if "fills=paper" not in key})
    for second in range(1, 31):
        at += S
        says = {REAL: holding(5 * 120 + 5 * second), TWIN: holding(3 * second), SHADOW: holding(4 * second)}
        take(books, at, says)
    for window in ("session", "promotion", 300 * S):
        assert apart(books, "execution_effect", window, at, ()).value == -58
        assert apart(books, "pnl_divergence", window, at).value == -29
