"""Sharpe ratio, drawdown and cross-sectional IC on 33 years of real daily prices, against NumPy and SciPy."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from trading.daily_prices import PACKAGE, daily_prices

from monitor.engine.books.returns import Returns
from monitor.stats.cross_section import InstantSample, cross_section_correlation
from monitor.stats.estimate import Status
from monitor.stats.newey_west import newey_west
from monitor.trading.performance import drawdown, effective_returns, sharpe_error, sharpe_ratio
from monitor.trading.units import MONEY
from monitor.wire.keys import combine

DAILY = daily_prices()
DAY = 86_400 * 10**9
CAPITAL = 10**6 * MONEY


def money(returns: np.ndarray) -> list[int]:
    """What a book makes that holds its capital in a stock and is set back to it each day, 1e-18."""
    return [round(r * 10**6 * MONEY) for r in returns.tolist()]


def test_they_are_all_there_and_the_package_is_never_imported():
    assert DAILY.price.shape == (8_313, 20)
    assert (DAILY.price > 0).all()
    assert (np.diff(DAILY.days).astype(int) > 0).all()
    assert PACKAGE not in sys.modules


@pytest.mark.parametrize("symbol", DAILY.symbols)
def test_the_sharpe_ratio_of_daily_money_is_that_of_returns(symbol):
    returns = DAILY.returns[:, DAILY.symbols.index(symbol)]
    for part in (returns, returns[:30], returns[-252:], returns[2_500:5_000]):
        made = money(part)
        found = sharpe_ratio(len(made), sum(made), sum(x * x for x in made))
        if not part.any():
            assert (symbol, found) == ("RRC", None), "it stood still for the first 30 days: no ratio"
            continue
        assert found == pytest.approx(part.mean() / part.std(ddof=1), rel=1e-12)
    assert math.sqrt(252) * sharpe_error(found, 252) == pytest.approx(1.0, abs=0.02)


def test_returns_that_are_joined_year_by_year_are_those_of_the_whole():
    returns = DAILY.returns[:, DAILY.symbols.index("XOM")]
    years = DAILY.days[1:].astype("datetime64[Y]")
    whole, begun = Returns(0), 0
    for year in np.unique(years):
        part = Returns(0)
        for each in money(returns[years == year]):
            part.take(each, begun, begun := begun + DAY)
        whole.join(part)
    assert (whole.n, whole.from_ns, whole.to_ns) == (8_312, 0, 8_312 * DAY)
    ratio = sharpe_ratio(whole.n, whole.total, whole.squares)
    assert ratio == pytest.approx(returns.mean() / returns.std(ddof=1), rel=1e-12)
    u = returns - returns.mean()
    assert whole.lag1 == pytest.approx((u[1:] * u[:-1]).mean() / u.var(), abs=1e-5)
    assert whole.lag1 < 0
    assert effective_returns(whole.n, whole.lag1) == whole.n


def test_the_error_of_a_sharpe_ratio_is_how_far_years_scatter():
    """Over 33 years and 20 stocks: mostly normal enough, days nearly independent."""
    years = DAILY.days[1:].astype("datetime64[Y]")
    gaps = []
    for year in np.unique(years):
        part = DAILY.returns[years == year]
        for returns in part.T:
            made = money(returns)
            ratio = sharpe_ratio(len(made), sum(made), sum(x * x for x in made))
            gaps.append(ratio / sharpe_error(ratio, len(made)))
    scatter = np.array(gaps).reshape(-1, 20)
    within = (scatter - scatter.mean(axis=0)).std(axis=0, ddof=1)
    assert 0.8 < within.mean() < 1.25


def drawdowns(made: list[int]) -> list[float]:
    """After each day, the capital at the start being the first high-water mark."""
    high = equity = CAPITAL
    out = []
    for each in made:
        equity += each
        high = max(high, equity)
        out.append(drawdown(high, equity))
    return out


@pytest.mark.parametrize("symbol", DAILY.symbols)
def test_drawdown_starts_from_the_starting_equity(symbol):
    returns = DAILY.returns[:, DAILY.symbols.index(symbol)]
    # From the worst day on: whoever forgets the starting equity begins with the loss as his high.
    for begin in (0, int(returns.argmin())):
        path = 1.0 + np.cumsum(returns[begin : begin + 1_000])
        high = np.maximum.accumulate(np.maximum(path, 1.0))
        found = drawdowns(money(returns[begin : begin + 1_000]))
        assert found == pytest.approx(((high - path) / high).tolist(), abs=1e-12)
    assert found[0] == pytest.approx(-returns.min(), rel=1e-12)


def signals() -> dict[str, np.ndarray]:
    """(days, stocks), known at the close of the day; the first 20 days have none."""
    price = DAILY.price
    change = DAILY.returns[19:]
    return {"reversal": -change, "momentum": price[20:] / price[:-20] - 1.0}


def spearman_by_row(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (rankdata(x, axis=1) - (x.shape[1] + 1) / 2 for x in (a, b))
    return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))


@pytest.mark.parametrize("name", ["reversal", "momentum"])
def test_the_ic_across_20_stocks_is_scipys_day_by_day(name):
    signal, after = signals()[name][:-1], DAILY.returns[20:]
    n, stocks = signal.shape
    days = DAILY.days[20:-1].astype("datetime64[ns]").astype(np.int64)
    sample = InstantSample(10**6)
    order = np.random.default_rng(1).permutation(n * stocks)
    ts = np.repeat(days, stocks)
    symbols = np.tile(np.arange(stocks, dtype=np.uint64), n)
    for part in np.array_split(order, 7):
        hashes = combine(ts[part].astype(np.uint64))
        sample.update(hashes, ts[part], symbols[part], signal.ravel()[part], after.ravel()[part])
    window = InstantSample.join([sample], 10**6)
    found = cross_section_correlation(window, int(days[0]), int(days[-1]) + 1)
    rho = spearman_by_row(signal, after)
    assert rho[::1_000].tolist() == pytest.approx(
        [spearmanr(a, b).statistic for a, b in zip(signal[::1_000], after[::1_000], strict=True)]
    )
    assert (found.status, found.n) == (Status.OK, n)
    assert found.extra["pairs"] == n * stocks
    assert found.value == pytest.approx(rho.mean(), abs=1e-12)
    for lag in (0, 5, 21):
        u = rho - rho.mean()
        weights = [1.0, *(2.0 * (1.0 - step / (lag + 1)) for step in range(1, lag + 1))]
        gammas = [(u[: n - step] * u[step:]).sum() / n for step in range(lag + 1)]
        expected = math.sqrt(np.dot(weights, gammas) / (n - 1))
        error = newey_west(rho, lag)
        assert error == pytest.approx(expected, rel=1e-9)
        # The product's own error, by an effective number of days, says about the same.
        assert found.extra["t_statistic"] == pytest.approx(rho.mean() / error, rel=0.2, abs=0.3)
    assert found.low < rho.mean() < found.high
