"""Paper books equal a broker that goes row by row in fractions, however the rows are sliced."""

import math
import random
from decimal import Decimal
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trading.reference_market import Broker, Dealt, Ended, ReferenceMarks, ReferencePaper, quote_of
from trading_cases import BTC, FUTURE, INSTRUMENTS, MS, START, Market, cuts, random_market

from monitor.trading.marks import MarkRules, Marks
from monitor.trading.paper import PaperBook
from monitor.trading.paper_rules import HOUR_NS, PaperRules
from monitor.trading.targets import Linear, Quantile, Sign, Target
from monitor.trading.trades import Capped, PaperOrder, Trade

NAN = float("nan")
MARKS = MarkRules(band_bps=Decimal(50), max_spread_bps=Decimal(20))
INF = float("inf")


def random_rules(rng: random.Random) -> PaperRules:
    quantities = {"BTC/USD": Decimal("0.5"), "FGBL": Decimal("2.5")}
    return PaperRules(
        quantity=rng.choice([Decimal(1), Decimal(3), Decimal(7)]),
        quantities=rng.choice([{}, {}, quantities]),
        holding_ns=rng.choice([0, 1, 200 * MS, 1000 * MS]),
        latency_ns=rng.choice([0, 1, 50 * MS, 500 * MS]),
        slippage_bps=rng.choice([Decimal(0), Decimal("0.7"), Decimal(3)]),
        fee_bps=rng.choice([Decimal(0), Decimal(2), Decimal("-0.3"), Decimal("0.0000000000001")]),
        half_spread_bps=rng.choice([Decimal(0), Decimal("1.3")]),
        share=rng.choice([None, Decimal("0.1"), Decimal("0.333")]),
        max_exposure=rng.choice([None, None, Decimal(250_000), Decimal(300_000), Decimal("700000.01")]),
        max_turnover=rng.choice([None, None, Decimal(600_000), Decimal(5_000_000)]),
    )


def random_target(rng: random.Random) -> Target:
    threshold, neutral = rng.choice([0.0, 0.4, 0.5]), rng.choice([0.0, 0.5])
    return rng.choice(
        [Sign(threshold, neutral), Linear(rng.choice([0.7, 3.0]), threshold, neutral), Quantile(-0.5, 0.5)]
    )


def broker_of(rules: PaperRules, target: Target) -> Broker:
    told = {name: getattr(rules, name) for name in ("quantity", "share", "max_exposure", "max_turnover")}
    told |= {name: getattr(rules, name) for name in ("half_spread_bps", "slippage_bps", "fee_bps")}
    if isinstance(target, Quantile):
        wish = {"target": "quantile", "bounds": (target.lower, target.upper)}
    else:
        wish = {"threshold": target.threshold, "neutral": target.neutral}
        if isinstance(target, Linear):
            wish |= {"target": "linear", "scale": target.scale}
    return Broker(
        **{name: None if value is None else Fraction(value) for name, value in told.items()},
        **wish,
        holding_ns=rules.holding_ns,
        latency_ns=rules.latency_ns,
        quantities={symbol: Fraction(quantity) for symbol, quantity in rules.quantities.items()},
    )


def random_signal(rng: random.Random, n: int) -> np.ndarray:
    """Predictions that stay for some rows, missing at times."""
    found: list[float] = []
    while len(found) < n:
        found += [rng.choice([0.0, 0.4, 0.6, -0.6, 2.0, -2.0])] * rng.choice([1, 1, 2, 20, 100])
    return np.array([NAN if rng.random() < 0.1 else value for value in found[:n]])


def by_definition(market: Market, rules: PaperRules, target: Target) -> ReferencePaper:
    marks, paper = ReferenceMarks(INSTRUMENTS), ReferencePaper(INSTRUMENTS, broker_of(rules, target))
    for place, prediction in enumerate(market.predictions["active"].tolist()):
        row = market.row(place, INSTRUMENTS)
        quote = quote_of(paper.units[row.symbol], row.bid, row.ask, row.price)
        fresh = marks.quote(row.symbol, row.ts_ns, quote)
        wanted = None if math.isnan(prediction) else prediction
        paper.row(row.symbol, row.ts_ns, quote if fresh else None, wanted, row.volume)
    return paper


def dealt(trade: Trade) -> Dealt:
    units = INSTRUMENTS[trade.symbol]
    paid, fee = (Fraction(amount, 10**18) for amount in (trade.paid, trade.fee))
    return Dealt(units.symbol, trade.eff_ns, Fraction(units.lot_size) * trade.lots, paid, fee)


def came_to_an_end(order: PaperOrder) -> Ended:
    units = INSTRUMENTS[order.symbol]
    ordered, filled = (Fraction(units.lot_size) * lots for lots in (order.ordered, order.filled))
    capped = frozenset(flag.name.lower() for flag in order.capped if flag.name)
    return Ended(units.symbol, order.eff_ns, ordered, filled, capped)


def by_symbol(rows: list[Dealt] | list[Ended]) -> list[Dealt] | list[Ended]:
    """In order within each symbol."""
    return sorted(rows, key=lambda row: row.symbol)


@given(st.integers(0, 2**32))
def test_a_paper_book_equals_its_definition_however_the_rows_are_sliced(seed: int) -> None:
    rng = random.Random(seed)
    rules, target = random_rules(rng), random_target(rng)
    market = random_market(rng, rng.randint(1, 150), INSTRUMENTS, ["active"])
    market.predictions["active"] = random_signal(rng, len(market))
    market.eff[rng.randint(0, len(market)) :] += rng.choice([0, HOUR_NS])
    reference = by_definition(market, rules, target)
    for slices in ([(0, len(market))], cuts(rng, len(market)), [(i, i + 1) for i in range(len(market))]):
        quotes, paper = Marks(INSTRUMENTS, MARKS), PaperBook(INSTRUMENTS, rules, "active", 4, target)
        trades: list[Trade] = []
        ended: list[PaperOrder] = []
        for start, end in slices:
            part = market.cut(start, end)
            seen = quotes.update(part.symbol, part.eff, part.bid, part.ask, part.price)
            some, gone = paper.fold(seen, part.predictions["active"], part.volume)
            trades, ended = trades + some, ended + gone
            if rng.random() < 0.3:
                stored = paper.records(dirty_only=False)
                paper = PaperBook(INSTRUMENTS, rules, "active", 4, target)
                paper.restore({key: raw for key, raw in stored.items() if raw is not None})
                assert paper.records(dirty_only=False) == stored
        for units in INSTRUMENTS:
            held = Fraction(units.lot_size) * paper.book.quantity(units.symbol)
            assert held == reference.accounts[units.symbol].quantity
        assert {c: Fraction(x, 10**18) for c, x in paper.book.cash.items()} == reference.cash
        assert {each.book for each in (*trades, *ended)} <= {4}
        assert by_symbol([dealt(each) for each in trades]) == by_symbol(reference.fills)
        assert by_symbol([came_to_an_end(each) for each in ended]) == by_symbol(reference.ended)


def test_random_markets_trade_enough_to_prove_something() -> None:
    market = random_market(random.Random(5), 3000, INSTRUMENTS, ["active"])
    reference = by_definition(market, PaperRules(quantity=Decimal(1), holding_ns=200 * MS), Sign())
    assert len(reference.fills) > 200
    market.predictions["active"] = random_signal(random.Random(5), len(market))
    market.eff += np.arange(len(market)) // 300 * HOUR_NS
    capped = PaperRules(Decimal(7), 200 * MS, share=Decimal("0.1"), max_exposure=Decimal(250_000))
    capped = msgspec.structs.replace(capped, max_turnover=Decimal(400_000))
    reference = by_definition(market, capped, Linear(1.0))
    told = {"exposure", "turnover", "participation", "stopped", "again", "in_parts"}
    assert min(reference.counted[name] for name in told) > 3, reference.counted
    assert any(0 < each.filled < each.ordered for each in reference.ended)


def run(rules: PaperRules, *rows: tuple[float, ...], target: Target = Sign()) -> list[int]:  # noqa: B008
    """Rows (ms, bid, ask, prediction, and perhaps volume) of one future; lots held after each."""
    marks, paper = Marks([FUTURE], MARKS), PaperBook([FUTURE], rules, "shadow", 1, target)
    held = []
    for ms, bid, ask, prediction, *volume in rows:
        one = [np.array([x]) for x in (START + int(ms * MS), bid, ask, NAN)]
        quotes = marks.update(np.zeros(1, np.int32), *one)
        paper.fold(quotes, np.array([prediction]), np.array(volume) if volume else None)
        held.append(paper.book.quantity("ES"))
    return held


def ended_after(
    rules: PaperRules, *rows: tuple[float, ...], start: int = START
) -> list[tuple[int, int, int]]:
    """(ordered, filled, capped) of the paper orders of one future that ended."""
    marks, paper = Marks([FUTURE], MARKS), PaperBook([FUTURE], rules, "shadow")
    found = []
    for ms, bid, ask, prediction, volume in rows:
        one = [np.array([x]) for x in (start + int(ms * MS), bid, ask, NAN)]
        quotes = marks.update(np.zeros(1, np.int32), *one)
        _, ended = paper.fold(quotes, np.array([prediction]), np.array([volume]))
        found += [(each.ordered, each.filled, each.capped) for each in ended]
    return found


def test_an_order_fills_on_the_first_good_quote_after_the_latency() -> None:
    rules = PaperRules(quantity=Decimal(2), latency_ns=50 * MS, holding_ns=0)
    rows = [
        (0, 5000, 5000.25, 1.0),
        (49, 5000, 5000.25, NAN),
        (50, 5000, 4990, NAN),
        (60, 7000, 7000.25, NAN),
    ]
    assert run(rules, *rows, (70, 5000, 5000.25, NAN)) == [0, 0, 0, 0, 2]


def test_a_position_is_held_for_the_holding_time_from_its_fill() -> None:
    rules = PaperRules(quantity=Decimal(2), latency_ns=0, holding_ns=1000 * MS)
    rows = [(ms, 5000, 5000.25, sign) for ms, sign in ((0, 1.0), (999, -1.0), (1000, -1.0), (1001, 1.0))]
    assert run(rules, *rows) == [2, 2, -2, -2]


def test_no_prediction_is_no_decision_and_a_weak_one_is_flat() -> None:
    rules = PaperRules(quantity=Decimal(1), latency_ns=0, holding_ns=0)
    rows = [(ms, 5000, 5000.25, p) for ms, p in enumerate((0.5, 0.6, NAN, -0.5, -0.6))]
    assert run(rules, *rows, target=Sign(threshold=0.5)) == [0, 1, 1, 0, -1]


def test_a_probability_wants_no_position_at_one_half() -> None:
    rules = PaperRules(quantity=Decimal(2), latency_ns=0, holding_ns=0)
    rows = [(ms, 5000, 5000.25, p) for ms, p in enumerate((0.5, 0.51, 0.1, 0.5))]
    assert run(rules, *rows, target=Sign(neutral=0.5)) == [0, 2, -2, 0]


def test_a_linear_target_is_rounded_half_even_to_lots() -> None:
    rules = PaperRules(quantity=Decimal(5), latency_ns=0, holding_ns=0)
    rows = [(ms, 5000, 5000.25, p) for ms, p in enumerate((0.2, 0.6, -0.2, 0.24, 9.0, -9.0))]
    assert run(rules, *rows, target=Linear(scale=2.0)) == [0, 2, 0, 1, 5, -5]


def test_a_quantile_target_is_flat_between_its_quantiles() -> None:
    rules = PaperRules(quantity=Decimal(1), latency_ns=0, holding_ns=0)
    rows = [(ms, 5000, 5000.25, p) for ms, p in enumerate((0.2, 0.31, 0.3, 0.1, 0.05))]
    assert run(rules, *rows, target=Quantile(lower=0.1, upper=0.3)) == [0, 1, 0, 0, -1]


def test_a_fill_takes_at_most_its_share_of_the_volume_and_the_rest_fills_on_later_quotes() -> None:
    rules = PaperRules(quantity=Decimal(5), latency_ns=0, holding_ns=0, share=Decimal("0.1"))
    shown = [20.0, NAN, 0.0, -3.0, INF, 9.99, 10.0, 1e9, 1e9]
    rows = [(ms, 5000, 5000.25, 1.0, volume) for ms, volume in enumerate(shown)]
    assert run(rules, *rows) == [2, 2, 2, 2, 2, 2, 3, 5, 5]
    assert ended_after(rules, *rows) == [(5, 5, 0)], "it came whole, if late"


def test_a_newer_decision_ends_an_order_that_is_partly_filled() -> None:
    rules = PaperRules(quantity=Decimal(5), latency_ns=0, holding_ns=2 * MS, share=Decimal("0.1"))
    rows = [(0, 5000, 5000.25, 1.0, 20.0), (1, 5000, 5000.25, -1.0, NAN), (2, 5000, 5000.25, -1.0, NAN)]
    last = (3, 5000, 5000.25, NAN, 1e6)
    assert run(rules, *rows, last) == [2, 2, 2, -5]
    assert ended_after(rules, *rows, last) == [(5, 2, Capped.PARTICIPATION), (7, 7, 0)]


def test_an_order_on_its_way_cannot_be_replaced_and_one_that_found_no_quote_can() -> None:
    rules = PaperRules(quantity=Decimal(5), latency_ns=10 * MS, holding_ns=0)
    rows = [
        (0, 5000, 5000.25, 1.0, NAN),
        (9, 5000, 5000.25, -1.0, NAN),
        (10, 5000, 4990, -1.0, NAN),
        (20, 5000, 5000.25, NAN, NAN),
    ]
    assert ended_after(rules, *rows) == [(5, 0, 0), (5, 5, 0)]
    assert run(rules, *(row[:4] for row in rows)) == [0, 0, 0, -5]


def test_a_wish_for_what_is_held_takes_the_order_back() -> None:
    rules = PaperRules(quantity=Decimal(5), latency_ns=0, holding_ns=0, share=Decimal("0.1"))
    rows = [(0, 5000, 5000.25, 1.0, NAN), (1, 5000, 5000.25, 0.0, NAN), (2, 5000, 5000.25, NAN, 1e9)]
    assert ended_after(rules, *rows) == [(5, 0, Capped.PARTICIPATION)]


def test_participation_capped_an_order_that_ended_short_after_a_quote_that_gave_too_little() -> None:
    rules = PaperRules(quantity=Decimal(5), latency_ns=10 * MS, holding_ns=0, share=Decimal("0.1"))
    too_little = [(0, 5000, 5000.25, 1.0, 9.0), (12, 5000, 5000.25, NAN, 9.0), (15, 5000, 5000.25, -1.0, 9.0)]
    assert ended_after(rules, *too_little) == [(5, 0, Capped.PARTICIPATION)]
    no_quote = [(0, 5000, 5000.25, 1.0, 9.0), (12, 5000, 4990, NAN, 9.0), (15, 5000, 4990, -1.0, 9.0)]
    assert ended_after(rules, *no_quote) == [(5, 0, 0)]
    on_its_way = [(0, 5000, 5000.25, 1.0, 9.0), (9, 5000, 5000.25, NAN, 9.0), (15, 5000, 4990, -1.0, 9.0)]
    assert ended_after(rules, *on_its_way) == [(5, 0, 0)]


def test_exposure_is_capped_at_the_mid_and_reductions_are_not() -> None:
    # One lot is worth 5000.125 x 50 at the mid.
    rules = PaperRules(quantity=Decimal(3), latency_ns=0, holding_ns=0, max_exposure=Decimal("500012.50"))
    rows = [(ms, 5000, 5000.25, p, NAN) for ms, p in enumerate((1.0, 0.0, -1.0))]
    assert run(rules, *(row[:4] for row in rows)) == [2, 0, -2]
    assert ended_after(rules, *rows) == [
        (2, 2, Capped.EXPOSURE),
        (2, 2, 0),
        (2, 2, Capped.EXPOSURE),
    ]


def test_a_target_that_caps_leave_nothing_of_is_ordered_once_while_the_signal_asks_for_it() -> None:
    rules = PaperRules(Decimal(1), latency_ns=0, holding_ns=0, max_exposure=Decimal(1000))
    rows = [(ms, 5000, 5000.25, 1.0, NAN) for ms in range(60)]
    assert ended_after(rules, *rows) == [(0, 0, Capped.EXPOSURE)]
    partly = msgspec.structs.replace(rules, quantity=Decimal(3), max_exposure=Decimal("500012.50"))
    assert ended_after(partly, *rows) == [(2, 2, Capped.EXPOSURE)]
    part = msgspec.structs.replace(partly, share=Decimal("0.1"))
    assert ended_after(part, *((*row[:4], 10.0) for row in rows)) == [(2, 2, Capped.EXPOSURE)]


def test_a_target_that_caps_stopped_is_ordered_again_once_something_else_was_wanted() -> None:
    rules = PaperRules(Decimal(1), latency_ns=0, holding_ns=0, max_exposure=Decimal(1000))
    signal = (1.0, 1.0, NAN, 1.0, 0.0, 1.0, 1.0, -1.0, -1.0, 1.0)
    rows = [(ms, 5000, 5000.25, wanted, NAN) for ms, wanted in enumerate(signal)]
    assert ended_after(rules, *rows) == [(0, 0, Capped.EXPOSURE)] * 4


def test_a_stopped_target_is_ordered_again_where_a_quote_leaves_a_hundredth_of_the_quantity() -> None:
    # A lot is worth 250,006.25 at 5000.125; 203 of them fit below 4926.
    rules = PaperRules(Decimal(300), latency_ns=0, holding_ns=0, max_exposure=Decimal("250006.25") * 200)
    down = [(0, 5000, 5000.25), (1, 4980, 4980.25), (2, 4975, 4980), (3, 4960, 4960.25)]
    down += [(4, 4940, 4940.25), (5, 4924, 4924.25)]
    rows = [(ms, bid, ask, 1.0, NAN) for ms, bid, ask in down]
    assert run(rules, *(row[:4] for row in rows)) == [200, 200, 200, 200, 200, 203]
    assert ended_after(rules, *rows) == [(200, 200, Capped.EXPOSURE), (3, 3, Capped.EXPOSURE)]


def test_turnover_stops_a_target_until_the_next_hour() -> None:
    rules = PaperRules(Decimal(3), latency_ns=0, holding_ns=0, max_turnover=Decimal("500025.00"))
    start = START - START % HOUR_NS + HOUR_NS - 3 * MS
    rows = [(ms, 5000, 5000.25, 1.0, NAN) for ms in range(6)]
    assert ended_after(rules, *rows, start=start) == [(2, 2, Capped.TURNOVER), (1, 1, 0)]


def test_a_stopped_target_stays_stopped_over_a_restart() -> None:
    rules = PaperRules(Decimal(3), latency_ns=0, holding_ns=0, max_exposure=Decimal("500012.50"))
    marks, ended = Marks([FUTURE], MARKS), []
    stored: dict[str, bytes | None] = {}
    for ms in range(6):
        paper = PaperBook([FUTURE], rules, "shadow")
        paper.restore({key: raw for key, raw in stored.items() if raw is not None})
        one = [np.array([x]) for x in (START + ms * MS, 5000.0, 5000.25, NAN)]
        ended += paper.fold(marks.update(np.zeros(1, np.int32), *one), np.array([1.0]))[1]
        stored = paper.records(dirty_only=False)
    assert [(each.ordered, each.capped) for each in ended] == [(2, Capped.EXPOSURE)]
    free = PaperBook([FUTURE], msgspec.structs.replace(rules, max_exposure=None), "shadow")
    free.restore({key: raw for key, raw in stored.items() if raw is not None})
    free.fold(marks.update(np.zeros(1, np.int32), *one), np.array([1.0]))
    assert free.book.quantity("ES") == 3, "caps that were taken away stop nothing"


def test_turnover_is_capped_by_the_hour_of_the_utc_clock() -> None:
    # A lot costs 250,000 at the bid and 250,012.50 at the ask.
    rules = PaperRules(Decimal(1), latency_ns=0, holding_ns=0, max_turnover=Decimal("750012.50"))
    start = START - START % HOUR_NS + HOUR_NS - 3 * MS
    rows = [(ms, 5000, 5000.25, p, NAN) for ms, p in enumerate((1.0, -1.0, 1.0, 1.0))]
    assert ended_after(rules, *rows, start=start) == [
        (1, 1, 0),
        (2, 2, 0),
        (0, 0, Capped.TURNOVER),
        (2, 2, 0),
    ]


def test_a_row_with_a_price_alone_fills_half_a_spread_away_from_it() -> None:
    rules = PaperRules(Decimal(1), latency_ns=0, holding_ns=0, half_spread_bps=Decimal(2))
    marks, paper = Marks([FUTURE], MARKS), PaperBook([FUTURE], rules, "shadow")
    for at, sign in enumerate((1.0, -1.0)):
        one = [np.array([x]) for x in (START + at, NAN, NAN, 5000.0)]
        paper.fold(marks.update(np.zeros(1, np.int32), *one), np.array([sign]))
    assert paper.book.cash == {"USD": (-5001 + 2 * 4999) * 50 * 10**18}


def test_holding_begins_with_the_first_fill_of_an_order() -> None:
    rules = PaperRules(quantity=Decimal(3), latency_ns=0, holding_ns=10 * MS, share=Decimal("0.1"))
    rows = [(ms, 5000, 5000.25, 1.0 if ms < 10 else -1.0, 10.0) for ms in (0, 4, 9, 10, 11)]
    assert run(rules, *rows) == [1, 2, 3, 2, 1]


def test_buys_at_the_ask_sells_at_the_bid_and_rounds_costs_against_the_book() -> None:
    rules = PaperRules(
        quantity=Decimal(1), latency_ns=0, holding_ns=0, slippage_bps=Decimal(1), fee_bps=Decimal("1e-20")
    )
    marks, paper = Marks([FUTURE], MARKS), PaperBook([FUTURE], rules, "shadow")
    one = [np.array([x]) for x in (START, 5000.0, 5000.25, NAN)]
    paper.fold(marks.update(np.zeros(1, np.int32), *one), np.array([1.0]))
    paid = 5000_25 * 50 * 10**16
    paper.fold(marks.update(np.zeros(1, np.int32), *one), np.array([-1.0]))
    received = 2 * 5000 * 50 * 10**18
    assert paper.book.cash == {"USD": -paid - paid // 10_000 - 1 + received - received // 10_000 - 1}
    assert paper.book.fees == {"USD": 2}


def test_a_quantity_that_is_no_multiple_of_a_lot_is_refused() -> None:
    with pytest.raises(ValueError, match="not a multiple of lot_size"):
        PaperBook([FUTURE], PaperRules(quantity=Decimal("0.1")), "active")


def test_more_lots_than_a_float_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 2\\^53 lots"):
        PaperBook([BTC], PaperRules(quantity=Decimal(10**8)), "active")


def test_each_symbol_has_its_own_quantity_or_that_of_all() -> None:
    rules = PaperRules(Decimal("0.1"), latency_ns=0, holding_ns=0, quantities={"ES": Decimal(2)})
    marks, paper = Marks([BTC, FUTURE], MARKS), PaperBook([BTC, FUTURE], rules, "active")
    both = [np.array(x) for x in ([START] * 2, [6e4, 5e3], [6e4 + 0.01, 5000.25], [NAN] * 2)]
    paper.fold(marks.update(np.array([0, 1], np.int32), *both), np.array([1.0, -1.0]))
    assert (paper.book.quantity("BTC/USD"), paper.book.quantity("ES")) == (10**7, -2)
    with pytest.raises(ValueError, match="BTC/USD: no quantity"):
        PaperBook([BTC], PaperRules(None, quantities={"ES": Decimal(2)}), "active")
