"""Differences of books: what the model makes, what execution makes, and whether paper can be believed.

Every difference is challenger minus incumbent: positive is good for the challenger. Both P&Ls are over the
same instants, or there is no difference: from the first of the window at which both books of the active were
known; where there was none, from the first of the window, if that is one for both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from monitor.engine.books.books import REAL_BOOK, TWIN_BOOK, Books, Reading, Window, model_of
from monitor.engine.books.course import Course, Opening
from monitor.engine.books.figures import inapplicable, is_daily, unknown
from monitor.engine.books.returns import Returns
from monitor.engine.books.series import Labels, paper_of
from monitor.engine.books.standing import LEAST_ANSWERED
from monitor.stats.estimate import NO_RATE, Estimate, Status
from monitor.trading import performance
from monitor.trading.units import MONEY, format_money

SILENT = "silent"
"""In `extra` of a difference: roles whose models answered too little for it (`LEAST_ANSWERED`)."""

ANSWERED = "answered"
"""In `extra` of a difference: share of the rows that a model answered, by role, of those below 1."""


BEGAN = "began"
"""In `extra` of a difference: from when on challenger and incumbent are known, ns, where that differs."""


class Side(NamedTuple):
    """One of two books, from where on they are compared."""

    reading: Reading
    opening: Opening

    @property
    def profit(self) -> int:
        """P&L after costs since."""
        return self.reading.standing.profit - self.opening.totals.profit

    @property
    def traded(self) -> int:
        """Notional traded since."""
        return self.reading.standing.traded - self.opening.totals.traded

    @property
    def answered(self) -> float | None:
        """Share of the rows since that its model answered."""
        return self.reading.standing.totals.share_answered(self.opening.totals)


class Gap(NamedTuple):
    """Two books over the same instants; `sound`: both are. `doubts`: why they are not believed, where they
    are not. `answered`: by role, of models that did not answer all rows."""

    challenger: Side
    incumbent: Side
    sound: bool
    doubts: dict[str, Any]
    answered: dict[str, float]

    @property
    def value(self) -> int:
        """Challenger minus incumbent."""
        return performance.difference(self.challenger.profit, self.incumbent.profit)

    @property
    def n(self) -> int:
        """Sound instants, of the book that has fewer."""
        return min(self.challenger.reading.course.instants, self.incumbent.reading.course.instants)


def pnl_divergence(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """P&L of {shadow, paper} - that of {active, real}: model effect + execution effect, exactly.

    Part of it is the model and part the optimism of paper: which, the two effects say. All three begin with
    the first instant of the window at which both books of the active were known (`from_ns`). Unknown where
    the shadow's book was not known then (`extra.began`), and where a model behind a paper book answered fewer
    than half of the rows since (`extra.silent`): a position that stands since nobody decides is no evidence.
    `extra.answered`: by role, the share of rows answered, where that is below 1. So is every difference.
    """
    return _money(_gap(books, paper_of(labels), REAL_BOOK, window), at)


def model_effect(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """P&L of {shadow, paper} - that of {active, paper}: what the challenger's signals are worth.

    Both are filled by the same rules on the same marks. It decides about the model. Where the real book was
    not known in the window, it begins with the window. Unknown where a model was silent, as `pnl_divergence`.
    """
    return _money(_gap(books, paper_of(labels), TWIN_BOOK, window), at)


def execution_effect(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """P&L of {active, paper} - that of {active, real}: implementation shortfall.

    The same model on paper and in fact: what is left is delay, spread, fees, fills that did not come, and
    what paper gets wrong. It decides whether the model effect can be believed.

    Source: Perold, The implementation shortfall, Journal of Portfolio Management 14 (1988).
    """
    return _money(_gap(books, TWIN_BOOK, REAL_BOOK, window), at)


def pnl_divergence_bps_traded(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """P&L divergence D in bps of the mean notional that the two books traded: 1e4 D / max((N_a + N_b) / 2,
    `performance.floor_bps` of the capital). Insufficient where that is 0, and where busts took back more than
    a book traded in the window. `extra`: D and both notionals.
    """
    gap = _gap(books, paper_of(labels), REAL_BOOK, window)
    if gap is None:
        return unknown(at)
    ours, theirs = gap.challenger.traded, gap.incumbent.traded
    extra: dict[str, Any] = {"traded": format_money(ours), "traded_real": format_money(theirs)}
    return _ratio(gap, performance.bps_traded(gap.value, ours, theirs, books.rules.floor), **extra)


def pnl_divergence_bps_capital(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """P&L divergence in bps of the allocated capital. It shows the model that only trades more."""
    return _of_capital(books, _gap(books, paper_of(labels), REAL_BOOK, window), at)


def model_effect_bps_capital(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """Model effect in bps of the allocated capital."""
    return _of_capital(books, _gap(books, paper_of(labels), TWIN_BOOK, window), at)


def pnl_divergence_z(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """Paired z of the divergence: sum(d) / (s_d sqrt(n)), d the difference of returns over the same steps.

    Steps are those of `sharpe`. `n`: steps at which both books have a return; insufficient below
    `performance.min_returns` and where they do not differ from step to step. `extra`: the sum of d, and its
    noise s_d sqrt(n). It is no test that may be looked at at any time: `pnl_e_value` is.
    """
    gap = _gap(books, paper_of(labels), REAL_BOOK, window)
    if gap is None:
        return unknown(at)
    course, rules = gap.challenger.reading.course, books.rules
    daily = is_daily(books, gap.challenger.reading, window)
    d = (course.paired_daily if daily else course.paired) or Returns(0)
    noise = performance.noise(d.n, d.total, d.squares)
    extra: dict[str, Any] = {
        "grid_s": "session" if daily else rules.grid_ns / 1e9,
        "sum": format_money(d.total),
        "noise": None if noise is None else noise / MONEY,
    }
    z = performance.z_score(d.n, d.total, d.squares) if d.n >= rules.min_returns else None
    return _ratio(gap, z, d.n, **extra)


def pnl_divergence_relative(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """Gap of twins, the same model on paper and in fact: D / max(|dE_b|, `performance.floor_bps` of capital).

    b is the real book. Insufficient while |dE_b| < 3 s_b sqrt(n), s_b the standard deviation of its returns
    over the `n` steps of the window, and below `performance.min_returns` steps: a P&L that is mere noise is
    no denominator. Signed, as every difference: positive where paper earns more; who minds both sides writes
    two rules, one `above` and one `below`. Not applicable without capital, and to a shadow that is no twin:
    of two good but different models it trips in two windows out of three. A twin runs the active's model on
    the same features in the same order, and its output is read as the same kind.
    """
    if books.rules.capital is None:
        return inapplicable(at)
    gap = _gap(books, paper_of(labels), REAL_BOOK, window)
    if gap is None:
        return unknown(at)
    real, profit = gap.incumbent.reading, gap.incumbent.profit
    daily = is_daily(books, real, window)
    returns = (real.course.daily if daily else real.course.grid) or Returns(0)
    noise = performance.noise(returns.n, returns.total, returns.squares)
    extra: dict[str, Any] = {
        "pnl_real": format_money(profit),
        "noise": None if noise is None else noise / MONEY,
        "grid_s": "session" if daily else books.rules.grid_ns / 1e9,
    }
    value = None
    if noise is not None and returns.n >= books.rules.min_returns and abs(profit) >= 3 * noise:
        value = performance.relative_divergence(gap.value, profit, books.rules.floor)
    return _ratio(gap, value, returns.n, **extra)


def position_gap(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    """How far the active's paper positions are from the real ones: mean over instants of sum |q_paper -
    q_real| x mark, over the mean of sum |q_real| x mark: a fraction.

    0 where paper holds what is held in fact; 1 where it holds nothing. Large, `execution_effect` compares two
    different books, and the model effect rests on paper that is not what is traded. `n`: instants at which
    both books were sound. Insufficient where nothing was held in fact.
    """
    gap = _pair(books, TWIN_BOOK, REAL_BOOK, window)
    if gap is None:
        return unknown(at)
    course = gap.challenger.reading.course
    return _ratio(gap, _mean_gap(course), course.gaps[0], shown=False)


def _mean_gap(course: Course) -> float | None:
    _, gap, base = course.gaps
    return gap / base if base else None


def _gap(books: Books, challenger: str, incumbent: str, window: Window) -> Gap | None:
    """Two books, believed only where paper holds what is held in fact, if that is asked for."""
    gap, limit = _pair(books, challenger, incumbent, window), books.rules.max_position_gap
    if gap is None or limit is None:
        return gap
    held, real = books.reading(TWIN_BOOK, window), books.reading(REAL_BOOK, window)
    apart = None
    if held is not None and real is not None and _sound(held) and _sound(real):
        apart = _mean_gap(held.course)
    nothing = held is not None and held.course.gaps[0] > 0 and not any(held.course.gaps[1:])
    if nothing or (apart is not None and apart <= limit):
        return gap
    doubts = {**gap.doubts, "position_gap": apart, "max_position_gap": limit}
    if real is not None and real.standing.no_rate:
        doubts[NO_RATE] = list(real.standing.no_rate)
    return gap._replace(doubts=doubts)


def _pair(books: Books, challenger: str, incumbent: str, window: Window) -> Gap | None:
    """Two books, believed where both are over the same instants and no model of theirs was silent. None where
    one is not known."""
    ours, theirs = books.reading(challenger, window), books.reading(incumbent, window)
    if ours is None or theirs is None or ours.at != theirs.at:
        return None
    if not (ours.standing.readable and theirs.standing.readable):
        return None
    challenging, standing = (Side(each, each.course.common or each.course.opening) for each in (ours, theirs))
    shares = {
        role: share
        for book, side in ((challenger, challenging), (incumbent, standing))
        if (role := model_of(book)) is not None and (share := side.answered) is not None and share < 1
    }
    silent = [role for role, share in shares.items() if share < LEAST_ANSWERED]
    doubts: dict[str, Any] = {SILENT: silent} if silent else {}
    began = [side.opening.at for side in (challenging, standing)]
    if began[0] != began[1]:
        doubts[BEGAN] = began
    return Gap(challenging, standing, _sound(ours) and _sound(theirs), doubts, shares)


def _sound(reading: Reading) -> bool:
    return reading.standing.status is Status.OK


def _money(gap: Gap | None, at: int) -> Estimate:
    if gap is None:
        return unknown(at)
    return _ratio(gap, gap.value, shown=False)


def _of_capital(books: Books, gap: Gap | None, at: int) -> Estimate:
    capital = books.rules.capital
    if capital is None:
        return inapplicable(at)
    if gap is None:
        return unknown(at)
    return _ratio(gap, performance.bps_of(gap.value, capital), capital=format_money(capital))


def _ratio(
    gap: Gap, value: float | int | None, n: int | None = None, *, shown: bool = True, **extra: Any
) -> Estimate:
    """A figure of two books; None: too little for it. What is not believed has no value."""
    shown = shown and BEGAN not in gap.doubts
    more: dict[str, Any] = {"difference": format_money(gap.value)} if shown else {}
    if gap.answered:
        more[ANSWERED] = gap.answered
    believed = not gap.doubts
    sound = believed and gap.sound
    status = Status.UNKNOWN if not sound else Status.INSUFFICIENT if value is None else Status.OK
    return Estimate(
        value=value if believed else None,
        n=gap.n if n is None else n,
        status=status,
        from_ns=gap.challenger.opening.at,
        to_ns=gap.challenger.reading.at,
        stale=value is not None and believed and status is Status.UNKNOWN,
        extra={**more, **extra, **gap.doubts},
    )
