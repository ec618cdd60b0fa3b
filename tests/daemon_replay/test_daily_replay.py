"""Two real years, a row a stock and day, through a whole replay: equal to SciPy and fractions, row by row."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.command_cases import replayed
from daemon_replay.daily_desk import CAPITAL, COLUMNS, DAY, SLIPPAGE, Desk, S
from scipy.stats import spearmanr

HALF = DAY // 2


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk("2019-01-02", "2020-12-31")


@pytest.fixture(scope="module")
def files(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("daily")
    desk.write(directory)
    return replayed(directory)


@pytest.fixture(scope="module")
def metrics(files: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files["report.json"])["deployments"]["daily"]["metrics"]
    return found


WINDOWS = (30, 365)


def bounds(desk: Desk, window: int) -> tuple[int, int]:
    """Of a window of so many days, in panes of half a day, as of the last row."""
    end = desk.ts[-1] + 1
    return end // HALF * HALF - window * DAY, end


def said(at: int) -> int:
    """The instant of evaluation after something ended."""
    return at // HALF * HALF + HALF


def ended(at: int, low: int, high: int) -> bool:
    """Whether what ended then counts in a window."""
    return low < said(at) and at < high


def test_every_row_counts(desk: Desk, files: dict[str, bytes]) -> None:
    counts = json.loads(files["report.json"])["deployments"]["daily"]["counts"]
    assert counts["accepted{stream=features}"] == 20 * len(desk.ts) > 10_000
    assert counts["accepted{stream=orders}"] == np.count_nonzero(desk.trades) > 1_000


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("role", COLUMNS)
def test_the_ic_across_stocks_is_the_mean_of_scipys_day_by_day(
    desk: Desk, metrics: dict[str, Any], role: str, window: int
) -> None:
    low, high = bounds(desk, window)
    rho, still, hits = [], 0, []
    for day, ts in enumerate(desk.ts):
        if ended(ts + DAY, low, high):
            signal = desk.signals[COLUMNS[role]][day]
            change = desk.price_at(ts + DAY) / desk.price[day] - 1.0
            hits += (np.sign(signal) * np.sign(change)).tolist()
            if change.any():
                rho.append(spearmanr(signal, change).statistic)
            else:
                still += 1
    found = metrics[f"ic_cross_section{{role={role}}}@{window * DAY // S}"]
    assert (found["status"], found["n"], found["extra"]["exact"]) == ("ok", len(rho), True)
    assert found["extra"]["instants_left_out"] == still >= window // 7, "what follows a Friday says nothing"
    assert found["value"] == pytest.approx(np.mean(rho), abs=1e-12)
    error = np.std(rho, ddof=1) / math.sqrt(found["n_eff"])
    assert found["extra"]["standard_error"] == pytest.approx(error, rel=1e-9)
    rate = metrics[f"hit_rate{{role={role}}}@{window * DAY // S}"]
    assert (rate["n"], rate["extra"]["zeros"]) == (np.count_nonzero(hits), hits.count(0.0))
    assert rate["value"] == hits.count(1.0) / rate["n"]


def test_the_book_is_that_of_fractions(desk: Desk, files: dict[str, bytes]) -> None:
    book = json.loads(files["report.json"])["deployments"]["daily"]["books"]["role=active,fills=real"]
    assert Fraction(book["equity"]) == desk.equity[-1]
    held = {symbol: Fraction(at["quantity"]) for symbol, at in book["positions"].items()}
    assert held == dict(zip(desk.symbols, desk.trades.sum(axis=0).tolist(), strict=True))


@pytest.mark.parametrize("window", [*WINDOWS, "promotion"])
def test_drawdown_is_that_of_the_half_days_of_the_window(
    desk: Desk, metrics: dict[str, Any], window: int | str
) -> None:
    low, high = bounds(desk, window) if isinstance(window, int) else (desk.ts[0], desk.ts[-1] + 1)
    instants = [*range(said(low - 1), high, HALF), high]
    opened = desk.equity_at(low)
    equity = [CAPITAL + desk.equity_at(at) - opened for at in instants]
    top = max(CAPITAL, *equity)
    name = window * DAY // S if isinstance(window, int) else window
    found = metrics[f"drawdown{{fills=real,role=active}}@{name}"]
    assert (found["status"], found["value"]) == ("ok", float((top - equity[-1]) / top))
    assert Fraction(found["extra"]["high_water"]) == top
    assert Fraction(found["extra"]["equity"]) == equity[-1]
    profit = metrics[f"pnl_after_costs{{fills=real,role=active}}@{name}"]
    assert Fraction(profit["value"]) == equity[-1] - CAPITAL


@pytest.mark.parametrize("window", WINDOWS)
def test_the_sharpe_ratio_is_that_of_every_day_of_the_year(
    desk: Desk, metrics: dict[str, Any], window: int
) -> None:
    low, high = bounds(desk, window)
    closes = range(low // DAY * DAY + DAY, high, DAY)
    made = np.array([float(desk.equity_at(at) - desk.equity_at(at - DAY)) for at in closes])
    found = metrics[f"sharpe{{fills=real,role=active}}@{window * DAY // S}"]
    assert (found["status"], found["n"], found["extra"]["void"]) == ("ok", len(made), 0)
    assert np.count_nonzero(made) < 0.72 * len(made), "nobody trades at weekends, and those days count"
    ratio = made.mean() / made.std(ddof=1)
    assert found["value"] == pytest.approx(ratio * math.sqrt(365), rel=1e-9)
    error = math.sqrt((1 + ratio**2 / 2) / len(made) * 365)
    assert (found["low"], found["high"]) == pytest.approx(
        (found["value"] - 1.96 * error, found["value"] + 1.96 * error), rel=1e-4
    )


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("days", [1, 5])
def test_markouts_are_weighted_by_what_was_paid(
    desk: Desk, metrics: dict[str, Any], window: int, days: int
) -> None:
    low, high = bounds(desk, window)
    value, weight = [], []
    for day, ts in enumerate(desk.ts):
        if ended(ts + days * DAY, low, high):
            bought, price = desk.trades[day], desk.price[day]
            for place in np.flatnonzero(bought).tolist():
                side = np.sign(bought[place])
                paid = round(price[place] + float(SLIPPAGE) * side, 3)
                value.append(1e4 * side * (desk.price_at(ts + days * DAY)[place] - paid) / paid)
                weight.append(abs(bought[place]) * paid)
    found = metrics[f"markout{{fills=real,horizon={days * DAY // S},role=active}}@{window * DAY // S}"]
    assert (found["status"], found["n"], found["extra"]["missing"]) == ("ok", len(value), 0)
    assert found["value"] == pytest.approx(np.average(value, weights=weight), rel=1e-9)
    assert found["extra"]["unweighted"] == pytest.approx(np.mean(value), rel=1e-9)
    assert found["extra"]["skipped"] == 0
    assert found["low"] < found["value"] < found["high"]


def test_batches_and_tasks_change_no_byte(tmp_path: Path) -> None:
    Desk("2020-09-01", "2020-12-31").write(tmp_path)
    whole = replayed(tmp_path, "base")
    assert replayed(tmp_path, "again", "--batch-size", "333", "--tasks", "3") == whole
