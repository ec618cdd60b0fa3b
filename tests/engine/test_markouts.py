"""Markouts of trades: of mids as of their horizons, bounded, the same for any batches, restarts and tasks."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from engine_cases import MARKOUTS, MS, START, House, S, fold1, made_up
from hypothesis import given, settings
from hypothesis import strategies as st
from test_skill_memories import features, passed

from monitor.engine.catalogue import Catalogue
from monitor.engine.markout_rules import MarkoutRules
from monitor.engine.measures import markouts
from monitor.engine.memories.markouts import SKIPPED, TRADES, Markouts, derived, quota_of
from monitor.engine.panes import Pane
from monitor.engine.rings import WindowView
from monitor.engine.scope import NO_ROWS, Batch
from monitor.errors import StateError
from monitor.stats.estimate import Estimate, Status
from monitor.wire.table import Table

BOOKS = 3
RULES = MarkoutRules((S, 3 * S, 500 * MS), 10**6, 3, 0.002, S, 2 * S)


def trades(eff, symbol, book, side, price, notional) -> Table:
    return Table(
        {
            "eff": np.asarray(eff, np.int64),
            "symbol_key": np.asarray(symbol, np.uint64),
            "book": np.asarray(book, np.int8),
            "side": np.asarray(side, np.int8),
            "quantity": np.ones(len(eff)),
            "price": np.asarray(price, np.float64),
            "notional": np.asarray(notional, np.float64),
            "fee": np.zeros(len(eff)),
        }
    )


def market(rng: np.random.Generator, quotes: int, fills: int, seconds: int = 12) -> tuple[Table, Table]:
    """Quotes with gaps, wide, crossed and wild ones; trades on instants, of equal times, of no price."""
    eff = np.sort(rng.choice(seconds * 10, quotes)) * 100 * MS + rng.choice([0, 0, 7 * MS], quotes)
    eff = START + np.sort(np.where(eff % (5 * S) < 2 * S, eff, eff // (5 * S) * 5 * S))
    middle = 100 + np.cumsum(rng.normal(0, 0.02, quotes))
    middle[rng.random(quotes) < 0.02] *= 1000
    half = rng.choice([0.01, 0.05, 0.2, -0.01], quotes, p=[0.6, 0.3, 0.05, 0.05])
    rows = features(eff, rng.integers(0, 3, quotes), middle - half, middle + half)
    at = START + np.sort(rng.choice(seconds * 10, fills)) * 100 * MS
    price = np.where(rng.random(fills) < 0.05, np.nan, 100 + rng.normal(0, 0.1, fills))
    book, side = rng.integers(0, BOOKS, fills), rng.choice([-1, 1], fills)
    return rows, trades(at, rng.integers(0, 3, fills), book, side, price, rng.choice([0.0, 50.0, 1e6], fills))


def steps(rows: Table, done: Table, cuts: list[int], end: int = 60 * S):
    """Batches between some times, none over an instant of evaluation; trades book by book, as ticks do."""
    times = np.unique(np.concatenate([rows["eff"], done["eff"]]))
    edges = {int(times[0]), int(times[-1]) + 1, *(times - times % S).tolist()}
    edges |= {int(times[c]) for c in cuts if c < len(times)}
    for low, high in pairwise(sorted(edges)):
        mine, theirs = (t.take(slice(*np.searchsorted(t["eff"], [low, high]).tolist())) for t in (rows, done))
        theirs = theirs.take(np.argsort(theirs["book"], kind="stable"))
        streams = {"features": mine} if len(mine) else {}
        if len(mine) or len(theirs):
            more = {TRADES: theirs} if len(theirs) else {}
            yield low, Batch(streams, mine if len(mine) else NO_ROWS, {}, more)
    yield START + end, None


def expected(
    rules: MarkoutRules, rows: Table, done: Table, horizon: int
) -> list[tuple[int, int, float, float]]:
    """(instant said, book, notional, markout) of each trade, by going through the quotes one by one."""
    out = []
    for i in range(len(done)):
        at, found = int(done["eff"][i]) + horizon, math.nan
        for j in range(len(rows)):
            bid, ask = float(rows["bid"][j]), float(rows["ask"][j])
            mid = bid / 2 + ask / 2
            of = rows["symbol_key"][j] == done["symbol_key"][i] and rows["eff"][j] <= at
            if of and bid <= ask and ask - bid <= rules.max_spread * mid:
                found = mid if at - int(rows["eff"][j]) <= rules.stale_ns else math.nan
        price = float(done["price"][i])
        if found > 2 * price or price > 2 * found:
            found = math.nan
        value = 1e4 * int(done["side"][i]) * ((found - price) / price)
        out.append((at // S * S + S, int(done["book"][i]), float(done["notional"][i]), value))
    return sorted(out, key=str)


def said_of(said, horizon: int) -> list[tuple[int, int, float, float]]:
    return sorted(
        (
            (at, book, *row)
            for at, name, c in said
            for book in range(BOOKS)
            if name == derived(book, horizon)
            for row in zip(c["notional"], c["markout"], strict=True)
        ),
        key=str,
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6), st.lists(st.integers(1, 99), max_size=12), st.sets(st.integers(0, 30), max_size=6)
)
def test_a_trade_meets_the_mid_as_of_its_horizon_for_any_batches_and_restarts(seed, cuts, restarts):
    rows, done = market(np.random.default_rng(seed), 80, 60)
    said, last = passed(
        Markouts(RULES, BOOKS), lambda: Markouts(RULES, BOOKS), steps(rows, done, cuts), restarts
    )
    for horizon in RULES.horizons_ns:
        assert str(said_of(said, horizon)) == str(expected(RULES, rows, done, horizon))
    assert not any(name == SKIPPED for _, name, _ in said)
    assert (len(last), last.due) == (0, None)


def test_what_is_good_for_the_book_is_positive_on_both_sides():
    rows = features([START, START + 900 * MS], [1, 1], [99.99, 100.01], [100.01, 100.03])
    done = trades([START] * 3, [1] * 3, [0, 0, 1], [1, -1, 1], [100.01, 100.01, 50.0], [1.0] * 3)
    said, _ = passed(Markouts(RULES, BOOKS), None, steps(rows, done, []), set())
    (buy, sell, wild) = [v for _, _, _, v in said_of(said, S)]
    assert sorted([buy, sell]) == pytest.approx([-1e4 * 0.01 / 100.01, 1e4 * 0.01 / 100.01])
    assert math.isnan(wild), "a mid of twice the price comes of a bad tick"


def test_a_symbol_of_a_book_waits_with_so_many_of_each_slot_whoever_else_trades():
    rules = replace(RULES, horizons_ns=(3 * S,), limit=120)
    quota = quota_of(rules, BOOKS)
    assert (quota.slot_ns, quota.rows) == (S, 2)
    rows, done = market(np.random.default_rng(3), 300, 900)

    def said(symbols, books):
        mine = np.isin(done["symbol_key"], symbols) & np.isin(done["book"], books)
        out, _ = passed(Markouts(rules, BOOKS), None, steps(rows, done.take(np.flatnonzero(mine)), []), set())
        return out

    whole = said([0, 1, 2], [0, 1, 2])
    alone = [each for s in range(3) for b in range(BOOKS) for each in said([s], [b])]
    assert str(said_of(alone, 3 * S)) == str(said_of(whole, 3 * S))
    slots = np.column_stack([done["symbol_key"].astype(int), done["book"], done["eff"] // S])
    counts = np.unique(slots, axis=0, return_counts=True)[1]
    assert len(said_of(whole, 3 * S)) == np.minimum(counts, 2).sum() < 900
    skipped = sum(len(c["book"]) for _, name, c in whole if name == SKIPPED)
    assert skipped + np.minimum(counts, 2).sum() == 900


@pytest.mark.parametrize(("symbols", "horizon_s"), [(1, 300), (500, 300), (20, 1), (64, 86_400)])
def test_what_waits_is_bounded_at_any_rate(symbols, horizon_s):
    rules = replace(RULES, horizons_ns=(horizon_s * S,), limit=4_000, symbols=symbols)
    quota = quota_of(rules, BOOKS)
    slots = (horizon_s * S + S) // quota.slot_ns + 2
    assert quota.rows * slots * symbols * BOOKS <= max(4_000, 4 * symbols * BOOKS)


def test_a_record_that_cannot_be_read_is_named():
    for key in ("rows/0", "mids/3", "passed"):
        with pytest.raises(StateError, match="cannot be read"):
            Markouts(RULES, BOOKS).restore({key: b"\xc1"})


def read(rules: MarkoutRules, said, **labels: str) -> Estimate:
    """The metric over a window in which all that was derived lies, one pane a second."""
    scope = replace(House().scope, markouts=rules)
    sources = list(markouts.sources(scope))
    kinds = {source.key: source.kind for source in sources}
    panes = {at: Pane(kinds, S) for at, _, _ in said}
    for at, name, columns in said:
        batch = Batch({}, NO_ROWS, {}, {name: Table({c: np.array(v) for c, v in columns.items()})})
        for source in sources:
            if source.takes == name:
                source.feed(panes[at].statistic(source.key), batch)
    starts = tuple(sorted(panes))
    view = WindowView(kinds, tuple(panes[at] for at in starts), starts, START, START + 60 * S, START)
    metric = Catalogue(scope).find("markout", tuple(sorted(labels.items())))
    assert metric is not None
    return metric.value(view)


@pytest.mark.parametrize("by_notional", [True, False])
def test_the_metric_is_the_mean_by_notional_of_the_trades_of_a_book(by_notional):
    rules = replace(RULES, by_notional=by_notional)
    rows, done = market(np.random.default_rng(11), 300, 400)
    said, _ = passed(Markouts(rules, BOOKS), None, steps(rows, done, []), set())
    of = [("active", "real"), ("active", "paper"), ("shadow", "paper")]
    for number, (role, fills) in enumerate(of):
        for horizon, text in ((S, "1"), (3 * S, "3"), (500 * MS, "0.5")):
            found = read(rules, said, role=role, fills=fills, horizon=text)
            mine = [(w, v) for _, b, w, v in expected(rules, rows, done, horizon) if b == number]
            w, v = np.array([pair for pair in mine if not math.isnan(pair[1])]).T
            assert found.status is Status.OK
            assert found.value == pytest.approx(np.average(v, weights=w if by_notional else None), rel=1e-12)
            assert found.extra["unweighted"] == pytest.approx(v.mean(), rel=1e-12)
            assert (found.n, found.extra["missing"]) == (len(v), len(mine) - len(v))
            assert 0 < found.extra["missing"] < len(v)
            assert found.low < found.value < found.high
            assert found.n_eff <= (w.sum() ** 2 / (w**2).sum() if by_notional else len(v)) + 1e-9


def test_no_trade_is_insufficient_and_trades_without_a_mid_are_unknown():
    rows = features([START], [1], [99.99], [100.01])
    done = trades([START] * 2, [2, 2], [0, 0], [1, 1], [100.0, 100.0], [1.0, 1.0])
    said, _ = passed(Markouts(RULES, BOOKS), None, steps(rows, done, []), set())
    real = read(RULES, said, role="active", fills="real", horizon="1")
    assert (real.status, real.value, real.n) == (Status.UNKNOWN, None, 0)
    paper = read(RULES, said, role="active", fills="paper", horizon="1")
    assert (paper.status, paper.value, paper.n) == (Status.INSUFFICIENT, None, 0)


def test_what_the_books_of_a_task_trade_is_held_against_the_mids_after_it():
    """Through fold 1: real and paper trades of all symbols, however the rows were cut."""
    house, rows = House(), made_up(8, n=800)
    assert house.scope.markouts == MARKOUTS

    def summed(watermarks: list[int], restart: frozenset[int] = frozenset()) -> dict[str, bytes]:
        total: dict[str, dict[int, bytes]] = {}
        for partials in fold1(house, rows, START + 60 * S, watermarks, restart=restart):
            for partial in partials:
                for closed in partial.closed:
                    for key, data in closed.pane.statistics.items():
                        if key.startswith("markout"):
                            total.setdefault(key, {})[closed.start] = data
        return total

    end = START + 50 * S
    whole = summed([end])
    assert {f"markout/{book}/{h}" for book in range(3) for h in MARKOUTS.horizons_ns} <= whole.keys()
    ends = np.linspace(START, end, 41).astype(np.int64).tolist()
    assert summed(ends, frozenset(ends)) == whole
