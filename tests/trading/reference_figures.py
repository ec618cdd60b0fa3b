"""Figures of books by their definitions, from what they were worth at every instant."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
from trading.reference_desk import NOTHING, REAL, Moment, Worth, paper_of
from trading.reference_market import decimal_text

BPS = 10_000
YEAR_NS = 365 * 86_400 * 10**9
TWIN = paper_of("active")
MONEY = ("pnl", "pnl_after_costs", "pnl_divergence", "model_effect", "execution_effect")


@dataclass(frozen=True)
class Rules:
    """What figures hang on beside the books."""

    capital: Fraction
    grid_ns: int
    min_returns: int
    floor_bps: Fraction = Fraction(1)


@dataclass(frozen=True)
class Stretch:
    """Books over the instants of a window, its first one included."""

    moments: Sequence[Moment]
    before: Sequence[Moment]
    rules: Rules

    def worths(self, book: str) -> list[Worth]:
        return [moment.books[book] for moment in self.moments]

    def gain(self, book: str, name: str = "profit") -> Fraction:
        """Change of a sum over the window."""
        first, *_, last = self.worths(book)
        change: Fraction = getattr(last, name) - getattr(first, name)
        return change

    def returns(self, book: str) -> dict[int, Fraction]:
        """By the end of each step of the grid that ends after the first instant and lies in what was seen."""
        grid = self.rules.grid_ns
        # The one before the first row is no instant of the grid.
        known = [*self.before, *self.moments][1:]
        seen = {m.at: m.books[book].profit for m in known if m.at % grid == 0}
        first = self.moments[0].at
        return {at: seen[at] - seen[at - grid] for at in seen if at > first and at - grid in seen}

    def of_book(self, name: str, book: str) -> float | Fraction | None:
        """A figure of a book; None: insufficient."""
        worths = self.worths(book)
        match name:
            case "pnl_after_costs":
                return self.gain(book)
            case "pnl":
                return self.gain(book) + self.gain(book, "fees")
            case "drawdown":
                allocated = [self.rules.capital + worth.profit - worths[0].profit for worth in worths]
                return (max(allocated) - allocated[-1]) / max(allocated)
            case "win_rate":
                ended, won, lost = (b - a for a, b in zip(worths[0].trips, worths[-1].trips, strict=True))
                assert ended >= won + lost
                return Fraction(won, won + lost) if won + lost else None
            case "turnover":
                gross = sum((worth.gross for worth in worths), Fraction(0))
                traded = self.gain(book, "traded")
                return traded * len(worths) / gross if gross and traded >= 0 else None
            case "sharpe":
                return self._ratio(list(self.returns(book).values()), annual=True)
        raise KeyError(name)

    def apart(self, name: str, role: str) -> float | Fraction | None:
        """A figure of two books: challenger less incumbent."""
        paper = paper_of(role)
        gap = self.gain(paper) - self.gain(TWIN if name.startswith("model") else REAL)
        floor = self.rules.floor_bps * self.rules.capital / BPS
        match name:
            case "pnl_divergence" | "model_effect" | "execution_effect":
                return gap
            case "pnl_divergence_bps_capital" | "model_effect_bps_capital":
                return gap * BPS / self.rules.capital
            case "pnl_divergence_bps_traded":
                both = self.gain(paper, "traded"), self.gain(REAL, "traded")
                return gap * BPS / max(sum(both) / 2, floor) if min(both) >= 0 else None
            case "pnl_divergence_z":
                ours, theirs = self.returns(paper), self.returns(REAL)
                return self._ratio([ours[at] - theirs[at] for at in ours], annual=False)
            case "pnl_divergence_relative":
                returns, real = list(self.returns(REAL).values()), self.gain(REAL)
                if (
                    len(returns) < max(2, self.rules.min_returns)
                    or abs(real) < 3 * statistics.stdev(map(float, returns)) * len(returns) ** 0.5
                ):
                    return None
                return gap / max(abs(real), floor)
            case "position_gap":
                return self._position_gap()
        raise KeyError(name)

    def _ratio(self, returns: Sequence[Fraction], *, annual: bool) -> float | None:
        """Mean over standard deviation, annualised or times the root of n."""
        if len(returns) < self.rules.min_returns or len(set(returns)) == 1:
            return None
        mean = sum(returns, Fraction(0)) / len(returns)
        variance = sum(((each - mean) ** 2 for each in returns), Fraction(0)) / (len(returns) - 1)
        periods = YEAR_NS / self.rules.grid_ns if annual else len(returns)
        return math.copysign(math.sqrt(mean * mean / variance * Fraction(periods)), mean)

    def _position_gap(self) -> Fraction | None:
        gaps, base = Fraction(0), Fraction(0)
        for moment in self.moments:
            paper, real = moment.books[TWIN], moment.books[REAL]
            for symbol in paper.held.keys() | real.held.keys():
                apart = paper.held.get(symbol, Fraction(0)) - real.held.get(symbol, Fraction(0))
                gaps += abs(apart * moment.marks[symbol])
            base += real.gross
        return gaps / base if base else None

    def benchmark(self) -> Fraction:
        """Worth of buying and holding what was traded, at the end, less at the start."""
        first = self.moments[0].at
        worths = bought_and_held([*self.before, *self.moments], self.rules.capital)
        return worths[-1] - worths[[m.at for m in [*self.before, *self.moments]].index(first)]


def bought_and_held(moments: Sequence[Moment], capital: Fraction) -> list[Fraction]:
    """Equal shares of all there is in each symbol that has been traded and has a mark, bought anew whenever
    one joins."""
    held: dict[str, Fraction] = {}
    cash, worths = capital, []
    for moment in moments:
        worth = cash + sum((q * moment.marks[s] for s, q in held.items()), Fraction(0))
        joined = {s for s in moment.traded if moment.marks.get(s, 0) > 0}
        if joined - held.keys():
            held = {s: worth / len(joined) / moment.marks[s] for s in joined}
            cash = Fraction(0)
        worths.append(worth)
    return worths


def instants(first_ns: int, last_ns: int, tick_ns: int) -> list[int]:
    """The grid from the first instant after the first row on, and the end: after the last one."""
    first = (first_ns // tick_ns + 1) * tick_ns
    return [*range(first, last_ns + 1, tick_ns), last_ns + 1]


def begun(moments: Sequence[Moment], tick_ns: int) -> list[Moment]:
    """With the instant before the first, at which books that start flat are worth nothing."""
    books = dict.fromkeys(moments[0].books, NOTHING)
    return [Moment(moments[0].at - tick_ns, books, {}, frozenset()), *moments]


def assert_figures(metrics: Mapping[str, Any], moments: Sequence[Moment], rules: Rules) -> dict[str, int]:
    """All figures of books over all windows of a report; how many of each kind were numbers."""
    seen: dict[str, int] = {}
    stretches: dict[int, Stretch] = {}
    for key, found in metrics.items():
        series, _, window = key.rpartition("@")
        name, _, labels = series.rstrip("}").partition("{")
        label = dict(each.split("=") for each in labels.split(",") if each)
        if window == "0" or not name.startswith(PREFIXES):
            continue
        if name == "pnl_divergence_relative" and label["role"] != "active":
            assert found["status"] == "not_applicable", key
            continue
        start = found["from_ns"]
        if name in ("sharpe", "pnl_divergence_z"):
            start = metrics[PNL.format(window)]["from_ns"]
        if start not in stretches:
            place = next(i for i, moment in enumerate(moments) if moment.at == start)
            stretches[start] = Stretch(moments[place:], moments[:place], rules)
        stretch = stretches[start]
        expected = _expected(stretch, name, label)
        if expected is None:
            assert found["status"] == "insufficient", (key, found)
            continue
        assert found["status"] == "ok", (key, found)
        seen[name] = seen.get(name, 0) + 1
        if name in MONEY:
            assert found["value"] == decimal_text(Fraction(expected)), key
        elif name == "pnl_vs_benchmark":
            assert float(found["value"]) == pytest.approx(float(expected), abs=1e-12, rel=1e-15), key
        else:
            assert found["value"] == pytest.approx(float(expected), rel=1e-12, abs=1e-15), key
    return seen


PREFIXES = (
    "pnl", "drawdown", "sharpe", "win_rate", "turnover", "model_effect", "execution_effect", "position_gap"
)  # fmt: skip
PNL = "pnl{{fills=real,role=active}}@{}"


def _expected(stretch: Stretch, name: str, label: Mapping[str, str]) -> float | Fraction | None:
    if "fills" in label:
        book = f"role={label['role']},fills={label['fills']}"
        if name == "pnl_vs_benchmark":
            return stretch.gain(book) - stretch.benchmark()
        return stretch.of_book(name, book)
    return stretch.apart(name, label.get("role", "active"))


def assert_effects_add_up(metrics: Mapping[str, Any], roles: Sequence[str]) -> int:
    """Model effect + execution effect = divergence, to the last digit, wherever all three are known."""
    sums = 0
    for role in roles:
        for key, found in metrics.items():
            if not key.startswith(f"pnl_divergence{{role={role}}}@"):
                continue
            window = key.rpartition("@")[2]
            parts = [metrics[f"model_effect{{role={role}}}@{window}"], metrics[f"execution_effect@{window}"]]
            if all(each["status"] == "ok" for each in (found, *parts)):
                assert sum(Fraction(part["value"]) for part in parts) == Fraction(found["value"])
                sums += 1
    return sums
