"""Orders from report to report: equal to what all their reports come to, however untidily they come."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple
from trading.order_streams import MS, START, Row, known, report, stream

from monitor.trading.lifecycle import Lifecycle, LifecycleRules
from monitor.trading.orders import Changes, Ended, Order

TYPES = ("market", "limit")
RULES = LifecycleRules(order_types=TYPES)
DAY = 86_400_000 * MS


def folded(*reports, rules=RULES) -> Changes:
    changes = Changes()
    lifecycle = Lifecycle(rules)
    for each in reports:
        lifecycle.apply(each, each.ts_ns, each.ts_ns, changes)
    return changes


def standing(changes: Changes) -> list[tuple[int, float, float, bool]]:
    """Ended orders that have not been taken back: type, ordered, filled, whether whole."""
    rows = Counter()
    for sign, *row in map(astuple, changes.ended):
        rows[tuple(row)] += sign
    assert all(count >= 0 for count in rows.values()), "nothing is taken back that was not said"
    return sorted(rows.elements())


def run(rows: list[Row], restarts: frozenset[int] = frozenset(), sweep: bool = False) -> Changes:
    """All rows; at `restarts` another lifecycle goes on from the records of all that went before."""
    lifecycle, changes, store = Lifecycle(RULES), Changes(), {}
    for number, row in enumerate(rows):
        if number in restarts:
            for key, data in lifecycle.records().items():
                if data is None:
                    store.pop(key, None)
                else:
                    store[key] = data
            lifecycle = Lifecycle(RULES)
            lifecycle.restore(store)
        lifecycle.apply(row.report, row.report.ts_ns, row.eff, changes)
        if sweep:
            lifecycle.sweep(row.eff)
    return changes


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.sets(st.integers(0, 60)))
def test_what_is_said_of_orders_is_what_all_their_reports_come_to(seed, restarts):
    rows = stream(seed)
    changes = run(rows, frozenset(restarts), sweep=bool(seed % 2))
    by_order = {}
    for row in rows:
        by_order.setdefault((row.report.symbol, row.report.order_id), []).append(row.report)
    expected = [known(reports) for reports in by_order.values()]
    assert changes.reports == len(rows)
    assert changes.new == sum(one.new for one in expected)
    assert changes.unknown == sum(one.unknown for one in expected)
    assert changes.found == sum(one.unknown and one.new for one in expected)
    assert changes.accepted == sum(one.accepted for one in expected)
    assert len(changes.rejects) == sum(one.rejected for one in expected)
    assert sorted(changes.acks) == sorted(ns for one in expected for ns in one.acks)
    assert sorted(changes.fills) == sorted(ns for one in expected for ns in one.fills)
    assert (changes.gaps, changes.closed, changes.beyond) == tuple(
        sum(getattr(one, name) for one in expected) for name in ("gaps", "closed", "beyond")
    )
    rows_expected = []
    for one in expected:
        if one.ended is not None:
            named, ordered, filled = one.ended
            place = {"market": 0, "limit": 1}.get((named or "").lower(), 2)
            rows_expected.append((place, float(ordered), float(filled), filled >= ordered))
    assert standing(changes) == sorted(rows_expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 30))
def test_orders_of_one_symbol_do_not_depend_on_those_of_another(seed, cut):
    rows = stream(seed)
    alone = [run([row for row in rows if row.report.symbol == symbol]) for symbol in ("AAA", "BBB")]
    both = run(rows)
    assert both.new == sum(each.new for each in alone)
    assert both.repeated == sum(each.repeated for each in alone)
    assert standing(both) == sorted(row for each in alone for row in standing(each))


def test_a_fill_after_a_cancel_takes_the_place_of_what_was_said():
    changes = folded(
        report("new", 0, quantity=4, order_type="limit"),
        report("partial_fill", MS, last_quantity=1, last_price=9),
        report("cancel", 2 * MS),
        report("fill", 3 * MS, last_quantity=3, last_price=9),
        report("bust", 4 * MS, last_quantity=1, last_price=9),
    )
    assert changes.ended == [
        Ended(1, 1, 4.0, 1.0, False),
        Ended(-1, 1, 4.0, 1.0, False),
        Ended(1, 1, 4.0, 4.0, True),
        Ended(-1, 1, 4.0, 4.0, True),
        Ended(1, 1, 4.0, 3.0, False),
    ]
    assert changes.fills == [3 * MS]


def test_an_order_that_was_rejected_after_all_is_taken_back_and_counted_once():
    changes = folded(
        report("new", 0, quantity=4),
        report("cancel", MS),
        report("reject", 2 * MS, reason="late"),
        report("reject", 3 * MS, reason="again"),
    )
    assert standing(changes) == []
    assert changes.rejects == [("late", True)]


def test_partial_fills_that_leave_nothing_end_an_order():
    changes = folded(
        report("new", 0, quantity="0.3"),
        report("partial_fill", MS, last_quantity="0.1", last_price=9),
        report("partial_fill", 2 * MS, last_quantity="0.2", last_price=9),
        report("cancel", 3 * MS),
    )
    assert changes.ended == [Ended(1, 2, 0.3, 0.3, True)]
    assert changes.fills == [2 * MS]


def test_what_is_stated_to_be_filled_shows_what_is_missing_until_it_comes():
    reports = [
        report("new", 0, quantity=9),
        report("partial_fill", 10, last_quantity=1, last_price=9, cum_quantity=1),
        report("partial_fill", 30, last_quantity=2, last_price=9, cum_quantity=5),
        report("partial_fill", 40, last_quantity=1, last_price=9, cum_quantity=6),
    ]
    changes = folded(*reports)
    assert (changes.gaps, changes.closed, changes.beyond) == (1, 0, 0)
    late = report("partial_fill", 20, last_quantity=2, last_price=9, cum_quantity=3)
    changes = folded(*reports, late)
    assert (changes.gaps, changes.closed, changes.beyond) == (1, 1, 0)
    changes = folded(*reports, late, report("cancel", 50, cum_quantity=5))
    assert (changes.gaps, changes.closed, changes.beyond) == (1, 1, 1)


def test_a_fill_that_ends_an_order_states_all_of_it():
    changes = folded(report("new", 0, quantity=9), report("fill", 1, last_quantity=4, last_price=9))
    assert changes.gaps == 1
    assert standing(changes) == [(2, 9.0, 4.0, False)]


def test_two_fills_of_one_time_leave_no_gap_when_the_later_comes_first():
    pair = [
        report("partial_fill", 10, last_quantity=2, last_price=9, cum_quantity=3),
        report("partial_fill", 10, last_quantity=1, last_price=9, cum_quantity=1),
    ]
    changes = folded(report("new", 0, quantity=9), *pair)
    assert (changes.gaps, changes.closed, changes.beyond) == (1, 1, 0)
    changes = folded(report("new", 0, quantity=9), *reversed(pair))
    assert (changes.gaps, changes.closed, changes.beyond) == (0, 0, 0)


def test_an_order_whose_new_comes_last_is_found_and_measured():
    changes = folded(
        report("ack", 5 * MS),
        report("fill", 9 * MS, last_quantity=2, last_price=9, quantity=2),
        report("new", MS, quantity=2, order_type="MARKET"),
    )
    assert (changes.unknown, changes.found, changes.new, changes.unmeasured) == (1, 1, 1, 1)
    assert (changes.acks, changes.fills) == ([4 * MS], [8 * MS])
    assert standing(changes) == [(0, 2.0, 2.0, True)]


def test_without_its_new_an_order_is_in_no_fill_rate():
    changes = folded(report("fill", 9, last_quantity=2, last_price=9, quantity=2))
    assert (changes.ended, changes.unknown, changes.unmeasured) == ([], 1, 1)


def test_orders_of_two_accounts_may_have_one_id():
    changes = folded(report("new", 0, account="a"), report("new", 1, account="b"))
    assert (changes.new, changes.unknown) == (2, 0)


def test_an_id_that_is_used_again_after_its_order_ended_is_another_order():
    first = [report("new", 0, quantity=1), report("fill", 1, last_quantity=1, last_price=9)]
    again = [report("new", DAY // 2, quantity=5), report("cancel", DAY // 2 + 1)]
    changes = folded(*first, *again)
    assert changes.new == 2
    assert standing(changes) == [(2, 1.0, 1.0, True), (2, 5.0, 0.0, False)]


def test_an_order_repeats_the_symbols_order_before_it_within_a_time():
    same = {"quantity": 2, "limit_price": "9.5", "order_type": "limit"}
    reports = [
        report("new", 0, "a", **same),
        report("new", 1000 * MS, "b", **(same | {"quantity": "2.0"})),
        report("new", 2001 * MS, "c", **same),
        report("new", 2002 * MS, "d", **same, side="sell"),
        report("new", 2003 * MS, "e", **same, symbol="BBB"),
        report("new", 2004 * MS, "f", quantity=None),
        report("new", 2005 * MS, "g", quantity=None),
    ]
    assert folded(*reports).repeated == 1


def test_beyond_the_limits_orders_are_forgotten_by_their_rank_within_the_symbol():
    rules = LifecycleRules(order_types=TYPES, open_limit=2, ended_limit=2)
    opened = [report("new", n, f"o{n}", quantity=1) for n in range(3)]
    others = [report("new", 3, f"x{n}", quantity=1, symbol="BBB") for n in range(2)]
    changes = folded(*opened, *others, report("ack", 4, "o0"), rules=rules)
    assert (changes.forgotten, changes.unknown) == (2, 1)
    ended = [
        each
        for n in range(3)
        for each in (report("new", n, f"o{n}", quantity=1), report("cancel", n, f"o{n}"))
    ]
    late = [report("partial_fill", 9, f"o{n}", last_quantity=1, last_price=9) for n in range(3)]
    changes = folded(*ended, *late, rules=rules)
    assert changes.unknown == 1
    assert standing(changes) == [(2, 1.0, 0.0, False), (2, 1.0, 1.0, True), (2, 1.0, 1.0, True)]


def test_ended_orders_are_forgotten_after_the_horizon_and_open_ones_are_not():
    rules = LifecycleRules(order_types=TYPES, horizon_ns=DAY)
    orders = [report("new", 0, "a", quantity=2), report("new", 0, "b", quantity=2), report("cancel", 5, "a")]
    fills = {"last_quantity": 1, "last_price": 9}
    within = folded(*orders, report("partial_fill", DAY + 5, "a", **fills), rules=rules)
    assert (within.unknown, standing(within)) == (0, [(2, 2.0, 1.0, False)])
    beyond = folded(*orders, report("partial_fill", DAY + 6, "a", **fills), rules=rules)
    assert (beyond.unknown, standing(beyond)) == (1, [(2, 2.0, 0.0, False)])
    assert folded(*orders, report("cancel", 9 * DAY, "b"), rules=rules).unknown == 0


def test_memory_and_state_are_those_of_orders_that_are_remembered():
    rules = LifecycleRules(order_types=TYPES, ended_limit=10, horizon_ns=1000 * MS)
    lifecycle, store = Lifecycle(rules), {}
    most = 0
    for n in range(3000):
        symbol = f"S{n // 100}"
        for kind in ("new", "cancel"):
            each = report(kind, n * 10 * MS, f"o{n}", symbol=symbol, quantity=1)
            lifecycle.apply(each, each.ts_ns, each.ts_ns, Changes())
        lifecycle.sweep(START + n * 10 * MS)
        for key, data in lifecycle.records().items():
            if data is None:
                store.pop(key, None)
            else:
                store[key] = data
        most = max(most, len(lifecycle), len(store))
    assert most <= 40
    again = Lifecycle(rules)
    again.restore(store)
    assert len(again) == len(lifecycle)


def test_quantities_are_exact_beyond_the_precision_of_usual_decimals():
    tiny, huge = "0.000000000000000000000000000000000001", "999999999999999999999999"
    changes, lifecycle = Changes(), Lifecycle(RULES)
    for kind, quantity in (("partial_fill", huge), ("partial_fill", tiny), ("bust", huge)):
        each = report(kind, 1, last_quantity=quantity, last_price=9)
        order, _ = lifecycle.apply(each, each.ts_ns, each.ts_ns, changes)
    assert isinstance(order, Order)
    assert Fraction(order.filled) == Fraction(tiny)
    assert math.isnan(order.mid)
