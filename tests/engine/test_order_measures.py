"""Metrics of orders and fills, each against a case worked out by hand."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from engine_cases import MS, START, House, S
from window_of_rows import features, order, orders, scores, value, window

from monitor.engine.measures import agreement, fills, latency
from monitor.engine.measures import orders as of_orders
from monitor.engine.scope import NO_ROWS, Batch
from monitor.event_time.timing import Fate
from monitor.stats.estimate import Status
from monitor.trading.trades import Capped
from monitor.wire.messages import Tags, Undoes
from monitor.wire.table import Table

FULL = Tags(
    model_version="v7",
    model_run_id="r",
    feature_version="2",
    dataset_manifest_id="d",
    onnx_model="m.onnx",
    inference_latency_ms=1.0,
    deployed_at=0,
)


def told(kind: str, at: int, name: str, **fields):
    """A report of the order `name`, at a time (ns since START)."""
    exact = ("quantity", "limit_price", "last_quantity", "last_price", "cum_quantity", "fee", "price")
    given = {k: Decimal(str(v)) if k in exact and v is not None else v for k, v in fields.items()}
    known = {"order_id": name, "exec_id": f"{name}/{kind}/{at}", "kind": kind, "side": "buy"}
    return order(at, None, **(known | given))


def filled(at: int, name: str, quantity, price="100", kind: str = "fill", **fields):
    return told(kind, at, name, last_quantity=quantity, last_price=price, **fields)


def over(*reports, feature_rows=None, **columns):
    """A window of 20 s over these reports."""
    placed = sorted(reports, key=lambda report: report.ts_ns)
    return window(20 * S, feature_rows, orders(placed, **columns))


def test_acknowledgements_are_timed_from_the_new_report_whichever_comes_first():
    view = over(
        told("new", 0, "a"),
        told("ack", 20 * MS, "a"),
        told("ack", 90 * MS, "a"),
        told("new", S, "b"),
        told("ack", S + 700 * MS, "b"),
        told("ack", 3 * S, "c"),
        told("new", 3 * S + MS, "c"),
    )
    median = value(view, latency.order_ack_latency, quantile="0.5")
    assert (median.n, median.extra) == (2, {"negative": 1})
    assert median.value == pytest.approx(0.02, rel=0.01)
    above = value(view, latency.order_ack_latency_above, limit="0.5")
    assert (above.value, above.n) == (0.5, 2)


def test_time_to_fill_runs_to_the_report_after_which_nothing_is_left():
    view = over(
        told("new", 0, "a", quantity=3),
        filled(S, "a", 1, kind="partial_fill"),
        filled(2 * S, "a", 2),
        told("new", 3 * S, "b", quantity=3),
        filled(4 * S, "b", 1, kind="partial_fill"),
        told("cancel", 5 * S, "b"),
    )
    found = value(view, latency.time_to_fill, quantile="0.5")
    assert found.n == 1
    assert found.value == pytest.approx(2.0, rel=0.01)


def test_fill_rate_is_by_quantity_and_by_count_of_orders_that_ended():
    view = over(
        told("new", 0, "a", quantity=10, order_type="LIMIT"),
        filled(S, "a", 4, kind="partial_fill"),
        told("cancel", 2 * S, "a"),
        told("new", 0, "b", quantity=30, order_type="limit"),
        filled(S, "b", 30),
        told("new", 0, "open", quantity=99, order_type="limit"),
        filled(S, "open", 98, kind="partial_fill"),
        told("new", 0, "refused", quantity=50, order_type="limit"),
        told("reject", S, "refused"),
        told("new", 0, "odd", quantity=2, order_type="peg"),
        told("expire", S, "odd"),
        told("expire", S, "unheard", quantity=9, order_type="limit"),
    )
    found = value(view, fills.fill_rate, fills="real", order_type="limit")
    assert (found.value, found.n, found.extra) == (34 / 40, 2, {"by_count": 0.5})
    assert found.n_eff == pytest.approx(40**2 / (10**2 + 30**2))
    assert 0 < found.low < found.value < found.high <= 1
    other = value(view, fills.fill_rate, fills="real", order_type="other")
    assert (other.value, other.n) == (0.0, 1)
    assert value(view, fills.fill_rate, fills="real", order_type="market").status is Status.INSUFFICIENT
    unknown = value(view, of_orders.unknown_orders)
    assert (unknown.value, unknown.n, unknown.extra) == (1, 6, {"unmeasured": 1})


def test_what_happens_to_an_order_after_its_end_counts_in_place_of_what_was_said():
    placed = [
        told("new", 0, "a", quantity=10, order_type="limit"),
        told("cancel", S, "a"),
        told("new", 0, "b", quantity=10, order_type="limit"),
        filled(S, "b", 10),
    ]
    terms = Undoes(side="buy", last_quantity=Decimal(4), last_price=Decimal(100))
    late = [
        filled(2 * S, "a", 4, kind="partial_fill"),
        filled(3 * S, "b", 10, kind="bust"),
        filled(4 * S, "a", 5, kind="correct", undoes=terms),
    ]
    first = value(over(*placed), fills.fill_rate, fills="real", order_type="limit")
    assert (first.value, first.extra) == (0.5, {"by_count": 0.5})
    then = value(over(*placed, *late), fills.fill_rate, fills="real", order_type="limit")
    assert (then.value, then.n, then.extra) == (5 / 20, 2, {"by_count": 0.0})


def test_paper_and_real_fill_rates_are_held_against_each_other_by_type():
    came = [0, S, 2 * S, 3 * S]
    quoted = features(came, bid=np.full(4, 99.99), ask=np.full(4, 100.01))
    reports = [
        report
        for n in range(4)
        for report in (
            told("new", n * S, f"o{n}", quantity=2, order_type="market"),
            filled(n * S + MS, f"o{n}", 2 if n else 1, kind="fill" if n else "partial_fill"),
            *([] if n else [told("cancel", n * S + 2 * MS, "o0")]),
        )
    ]
    view = over(*reports, feature_rows=quoted)
    paper = value(view, fills.fill_rate, fills="paper", order_type="market")
    real = value(view, fills.fill_rate, fills="real", order_type="market")
    assert (paper.value, real.value, real.n) == (1.0, 7 / 8, 4)
    found = value(view, fills.fill_rate_mismatch, order_type="market")
    assert found.value == pytest.approx(1 / 8)
    assert (found.extra["paper"], found.extra["real"], found.extra["signed"]) == (1.0, 7 / 8, 1 / 8)
    pooled = (paper.n + 3) / (paper.n + 4)
    expected = (1 - 3 / 4) / math.sqrt(pooled * (1 - pooled) * (1 / paper.n + 1 / 4))
    assert found.extra["z"] == pytest.approx(expected)
    assert found.n == min(paper.n, 4)
    assert value(view, fills.fill_rate_mismatch, order_type="limit").status is Status.INSUFFICIENT


def test_rejects_are_shares_of_answers_and_counted_by_bounded_reasons():
    view = over(
        told("new", 0, "a"),
        told("ack", 1, "a"),
        filled(2, "a", 1),
        told("new", 0, "b"),
        filled(2, "b", 1),
        told("new", 0, "c"),
        told("reject", 3, "c", reason="Risk-Limit"),
        told("reject", 4, "c", reason="risk limit"),
        told("reject", 5, "d", reason="3"),
        told("new", 0, "e"),
        told("reject", 6, "e", reason="the cat sat on it"),
        told("new", 0, "f"),
    )
    found = value(view, of_orders.reject_rate)
    assert (found.value, found.n) == (3 / 5, 5)
    by_reason = {
        reason: value(view, of_orders.rejects, reason=reason).value
        for reason in ("risk_limit", "order_exceeds_limit", "other", "stale_order")
    }
    assert by_reason == {"risk_limit": 1, "order_exceeds_limit": 1, "other": 1, "stale_order": 0}
    passed = value(view, of_orders.pre_trade_pass_rate)
    assert (passed.value, passed.n) == (4 / 6, 6)


def test_a_window_that_stops_more_orders_than_began_in_it_passes_none():
    reports = [
        *(told("new", n, f"o{n}") for n in range(3)),
        told("new", 15 * S, "o3"),
        *(told("reject", 16 * S + n, f"o{n}", reason="self trade") for n in range(3)),
    ]
    view = window(20 * S, None, orders(reports), window_ns=10 * S)
    found = value(view, of_orders.pre_trade_pass_rate)
    assert (found.value, found.n) == (0.0, 1)
    assert value(over(told("ack", 0, "a")), of_orders.pre_trade_pass_rate).status is Status.INSUFFICIENT


def test_tags_are_complete_where_all_seven_are_said():
    view = over(
        told("new", 0, "a", tags=FULL),
        told("new", 1, "b", tags=Tags(model_version="v8", onnx_model="")),
        told("new", 2, "c"),
        told("ack", 3, "c", tags=FULL),
        told("new", 4, "d", tags=FULL),
    )
    found = value(view, of_orders.tag_completeness)
    assert (found.value, found.n) == (0.5, 4)
    assert found.extra["missing"]["model_version"] == 1
    assert found.extra["missing"]["onnx_model"] == 2
    version = value(view, of_orders.version_mismatch_rate)
    assert (version.value, version.n, version.extra) == (1 / 3, 3, {"untagged": 1})


def test_order_rate_is_of_the_window_or_of_the_time_there_was():
    view = over(*[told("new", n * S, f"o{n}", quantity=n) for n in range(10)])
    found = value(view, of_orders.order_rate)
    assert found.n == 10
    assert found.value == pytest.approx(10 / found.extra["seconds"])
    assert 19 < found.extra["seconds"] <= 20


def test_repeated_orders_are_counted_among_new_ones():
    same = {"quantity": 2, "order_type": "limit", "limit_price": "9"}
    view = over(
        *[told("new", n * 400 * MS, f"o{n}", **same) for n in range(4)], told("new", 9 * S, "z", **same)
    )
    found = value(view, of_orders.repeated_orders)
    assert (found.value, found.n) == (3, 5)


def test_execution_gaps_are_counted_and_closed_by_what_comes_late():
    view = over(
        told("new", 0, "a", quantity=9),
        filled(S, "a", 1, kind="partial_fill", cum_quantity=1),
        filled(3 * S, "a", 1, kind="partial_fill", cum_quantity=4),
    )
    found = value(view, of_orders.execution_gaps)
    assert (found.value, found.n, found.extra) == (1, 3, {})
    assert value(over(told("new", 0, "a")), of_orders.execution_gaps).value == 0


def test_late_reports_have_their_own_time_in_latencies_and_close_gaps():
    reports = [
        told("new", 0, "a", quantity=9),
        filled(3 * S, "a", 1, kind="partial_fill", cum_quantity=3),
        filled(2 * S, "a", 2, kind="partial_fill", cum_quantity=2),
        told("ack", S, "a"),
    ]
    eff = START + np.array([0, 3 * S, 4 * S, 4 * S])
    fate = np.array([Fate.ACCEPTED, Fate.ACCEPTED, Fate.LATE_APPLIED, Fate.LATE_APPLIED], np.int8)
    view = window(20 * S, None, orders(reports, eff=eff, fate=fate))
    gaps = value(view, of_orders.execution_gaps)
    assert (gaps.value, gaps.extra) == (1, {"closed": 1})
    assert value(view, latency.order_ack_latency, quantile="0.5").value == pytest.approx(1.0, rel=0.01)


def test_a_position_report_that_contradicts_the_ledger_is_a_break():
    known = filled(0, "a", 1)
    agreed = told("position", S, "p", quantity=1, price="100")
    wrong = told("position", 2 * S, "q", quantity=5, price="100")
    assert value(over(known, agreed), of_orders.reconciliation_breaks).value == 0
    found = value(over(known, agreed, wrong), of_orders.reconciliation_breaks)
    [broken] = found.extra["breaks"]
    assert (found.value, found.n, broken["booked"], broken["reported"]) == (1, 2, "1", "5")
    quiet = window(20 * S, features([0, S]))
    assert value(quiet, of_orders.reconciliation_breaks).value == 0
    assert value(window(20 * S), of_orders.reconciliation_breaks).status is Status.INSUFFICIENT


def quotes(*mids: float, spread: float = 0.1):
    """A quote of the first symbol each second."""
    middle = np.array(mids)
    return features([n * S for n in range(len(mids))], bid=middle - spread / 2, ask=middle + spread / 2)


def test_slippage_is_delay_and_spread_against_the_arrival_mid():
    view = over(
        told("new", 0, "a", quantity=3),
        filled(S, "a", 1, "100.30", kind="partial_fill", fee="0.02"),
        filled(2 * S, "a", 2, "100.10", fee="0.03"),
        told("new", 3 * S, "b", quantity=4, side="sell"),
        filled(3 * S + MS, "b", 4, "99.90", side="sell", fee="-0.01"),
        feature_rows=quotes(100.0, 100.2, 100.1, 100.0),
    )
    bought = [(1, 100.2 - 100, 100.30 - 100.2), (2, 100.1 - 100, 100.10 - 100.1)]
    sold = [(4, 0.0, 100.0 - 99.90)]
    notional = sum(q * 100.0 for q, _, _ in bought + sold)
    delay = sum(q * 100 * d / 100 for q, d, _ in bought + sold) / notional * 1e4
    spread = sum(q * 100 * s / 100 for q, _, s in bought + sold) / notional * 1e4
    whole = value(view, fills.slippage_bps)
    parts = [value(view, each) for each in (fills.slippage_delay_bps, fills.slippage_spread_bps)]
    assert parts[0].value == pytest.approx(delay, rel=1e-9)
    assert parts[1].value == pytest.approx(spread, rel=1e-9)
    assert whole.value == parts[0].value + parts[1].value
    assert (whole.n, whole.extra) == (3, {"missing": 0, "by_notional": True})
    assert whole.low < whole.value < whole.high
    fee = value(view, fills.fees_bps)
    paid = 1 * 100.30 + 2 * 100.10 + 4 * 99.90
    assert fee.value == pytest.approx((0.02 + 0.03 - 0.01) / paid * 1e4)


def test_fills_without_a_mid_or_a_fee_of_the_currency_are_counted_apart_and_are_no_zero():
    came = quotes(100.0, 100.2)
    reports = [
        told("new", MS, "a", quantity=2),
        filled(S, "a", 1, "100.2", kind="partial_fill", fee="0.1", fee_currency="BTC"),
        filled(9 * S, "a", 1, "100.2", kind="partial_fill"),
        filled(S, "unheard", 1, "100.2"),
    ]
    found = value(over(*reports, feature_rows=came), fills.slippage_bps)
    assert (found.n, found.extra["missing"]) == (1, 2)
    assert found.value == pytest.approx(20.0)
    fee = value(over(*reports, feature_rows=came), fills.fees_bps)
    assert (fee.status, fee.value, fee.extra["missing"]) == (Status.UNKNOWN, None, 3)
    alone = value(over(*reports), fills.slippage_bps)
    assert (alone.status, alone.value) == (Status.UNKNOWN, None)
    wide = value(over(*reports, feature_rows=quotes(100.0, 100.2, spread=30.0)), fills.slippage_bps)
    assert wide.status is Status.UNKNOWN


def test_a_row_folded_behind_its_time_has_no_mid():
    reports = [told("new", 0, "a", quantity=2), filled(S, "a", 2, "100.2")]
    eff = START + np.array([0, 2 * S])
    fate = np.array([Fate.ACCEPTED, Fate.LATE_APPLIED], np.int8)
    view = window(20 * S, quotes(100.0, 100.2, 140.0), orders(reports, eff=eff, fate=fate))
    assert value(view, fills.slippage_bps).status is Status.UNKNOWN


def test_without_served_answers_parity_is_of_predictions_that_orders_say():
    came = features([0, S, 2 * S])
    said = [
        order(MS, "x0", order_id="a", prediction=0.5),
        order(S + MS, "x1", order_id="b", prediction=0.6),
        order(2 * S - MS, "x2", order_id="c", prediction=0.5),
        order(2 * S + MS, "x2", order_id="d"),
    ]
    found = value(window(20 * S, came, orders(said)), agreement.serving_parity)
    assert (found.value, found.n, found.extra["selected"]) == (2 / 3, 3, True)
    served = features([0, S, 2 * S], served=[1, 1, 1], served_prediction=[0.5, np.nan, np.nan])
    found = value(window(20 * S, served, orders(said)), agreement.serving_parity)
    assert (found.value, found.n, "selected" in found.extra) == (1.0, 1, False)
    silent = window(20 * S, came, orders(said), answers=scores([2, 2, 2]))
    assert value(silent, agreement.serving_parity).status is Status.INSUFFICIENT


def test_paper_orders_that_caps_cut_are_counted_by_cap_and_role():
    (source,) = [each for each in fills.sources(House().scope) if each.key == "capped_orders/shadow"]
    counts = source.kind.empty(S)
    capped = [0, Capped.EXPOSURE, Capped.EXPOSURE | Capped.PARTICIPATION, Capped.TURNOVER]
    rows = Table({"book": np.array([2, 2, 2, 1]), "capped": np.array(capped, np.int8)})
    source.feed(counts, Batch({}, NO_ROWS, {}, {source.takes: rows}))
    assert [counts[name] for name in ("ended", "exposure", "turnover", "participation")] == [3, 2, 0, 1]


def test_a_paper_order_that_caps_leave_nothing_of_is_no_order_in_fill_rates():
    said = fills.sources(House().scope)
    (source,) = [each for each in said if each.key == "ended_orders/paper/market"]
    sums = source.kind.empty(S)
    ordered, filled = np.array([0.0, 4.0, 2.0, 0.0]), np.array([0.0, 1.0, 2.0, 0.0])
    rows = Table({"book": np.ones(4, np.int8), "ordered": ordered, "filled": filled})
    source.feed(sums, Batch({}, NO_ROWS, {}, {source.takes: rows}))
    assert [sums.sum(name) for name in ("orders", "whole", "ordered", "filled")] == [2, 1, 6, 3]
