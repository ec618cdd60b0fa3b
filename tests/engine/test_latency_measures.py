"""Latency metrics of rows written by hand: whose latency, in which clock, and what is beyond the range."""

from decimal import Decimal

import numpy as np
import pytest
from engine_cases import MS, START, S
from window_of_rows import features, order, orders, scores, value, window

from monitor.engine.measures import latency
from monitor.engine.rows import TIMEOUT_NS, UNMEASURED_NS, ScoreStatus
from monitor.event_time.timing import Fate
from monitor.stats.estimate import Status
from monitor.wire.table import NO_TIME

EVENTS = [i * S for i in range(10)]
CAME = features(EVENTS)


def test_an_orders_latency_runs_from_its_feature_event_to_its_new_report():
    placed = [order(at + (i + 1) * 3 * MS, f"x{i}") for i, at in enumerate(EVENTS)]
    view = window(20 * S, CAME, orders(placed))
    median = value(view, latency.end_to_end_latency, quantile="0.5")
    assert (median.status, median.n) == (Status.OK, 10)
    assert median.value == pytest.approx(0.015, rel=0.01)
    assert median.low <= median.value <= median.high
    assert value(view, latency.end_to_end_latency_above, limit="0.01").value == 0.7


def test_only_new_reports_of_the_deployments_orders_count():
    reports = [
        order(5 * MS, "x0"),
        order(6 * MS, "x0", kind="ack"),
        order(S + 7 * MS, "x1", strategy="theirs"),
        order(2 * S + 7 * MS, "x2", symbol="BBB"),
        order(3 * S + 7 * MS, None),
    ]
    view = window(20 * S, CAME, orders(reports))
    assert value(view, latency.end_to_end_latency, quantile="0.5").n == 1


def test_an_order_may_come_before_its_event_is_folded_and_late_ones_count():
    early = features([S + 300 * MS], ts=[START + 100 * MS], event_id=["x0"])
    fate = np.array([Fate.LATE_APPLIED], np.int8)
    view = window(20 * S, early, orders([order(S, "x0")], fate=fate))
    found = value(view, latency.end_to_end_latency, quantile="0.5")
    assert found.value == pytest.approx(0.9, rel=0.01)


def test_orders_before_their_events_say_that_clocks_differ():
    both = [order(2 * MS, "x0"), order(S - 4 * MS, "x1")]
    found = value(window(20 * S, CAME, orders(both)), latency.end_to_end_latency, quantile="0.5")
    assert (found.n, found.extra) == (1, {"negative": 1})
    alone = value(window(20 * S, CAME, orders(both[1:])), latency.end_to_end_latency, quantile="0.5")
    assert (alone.status, alone.n, alone.extra) == (Status.UNKNOWN, 0, {"negative": 1})


def test_production_latency_comes_from_what_was_served():
    served = features(EVENTS, served=[1] * 9 + [2], served_latency=[2 * MS] * 8 + [-1, TIMEOUT_NS])
    view = window(20 * S, served, orders([order(5 * MS, "x0", tagged=90.0)]))
    median = value(view, latency.serve_latency, quantile="0.5")
    assert (median.n, median.extra) == (9, {"timeouts": 1})
    assert median.value == pytest.approx(0.002, rel=0.01)
    assert value(view, latency.serve_latency_above, limit="0.5").value == 1 / 9


def test_without_served_answers_tags_of_orders_stand_in_and_say_so():
    tagged = [4.0, 4.0, 700.0, None, -1.0]
    placed = [order(i * S + 5 * MS, f"x{i}", tagged=ms) for i, ms in enumerate(tagged)]
    fills = [
        order(
            6 * S,
            "x0",
            kind="fill",
            tagged=9000.0,
            side="buy",
            last_quantity=Decimal(1),
            last_price=Decimal(1),
        )
    ]
    view = window(20 * S, CAME, orders([*placed, *fills]))
    median = value(view, latency.serve_latency, quantile="0.5")
    assert (median.n, median.extra) == (3, {"selected": True})
    assert median.value == pytest.approx(0.004, rel=0.01)
    above = value(view, latency.serve_latency_above, limit="0.5")
    assert (above.value, above.extra) == (1 / 3, {"selected": True})


def test_a_quantile_that_a_timeout_reaches_is_a_lower_bound():
    waited = features(EVENTS, served=[2] * 10, served_latency=[2 * MS] * 5 + [TIMEOUT_NS] * 5)
    view = window(20 * S, waited)
    found = value(view, latency.serve_latency, quantile="0.95")
    assert (found.value, found.high, found.extra) == (100.0, None, {"bound": "above", "timeouts": 5})
    assert "bound" not in value(view, latency.serve_latency, quantile="0.5").extra
    quick = features(EVENTS, served=[1] * 10, served_latency=[500] * 10)
    found = value(window(20 * S, quick), latency.serve_latency, quantile="0.5")
    assert (found.value, found.low, found.extra) == (1e-6, None, {"bound": "below", "underflow": 10})


def test_event_lag_takes_either_sign_and_needs_a_log_with_timestamps():
    lags = np.array([-30, -20, 5, 10, 15, 20, 25, 30, 35]) * MS
    stamped = features(EVENTS, record_ts=[*(START + np.array(EVENTS[:9]) + lags), NO_TIME])
    view = window(20 * S, stamped)
    median = value(view, latency.event_lag, quantile="0.5")
    assert (median.n, median.extra) == (9, {"negative": 2})
    assert median.value == pytest.approx(0.015, rel=0.01)
    assert median.low < 0
    assert value(window(20 * S, CAME), latency.event_lag, quantile="0.5").status is Status.INSUFFICIENT


def test_own_latency_is_unknown_where_nothing_was_measured():
    unmeasured = scores([ScoreStatus.OK] * 10, [UNMEASURED_NS] * 10)
    view = window(20 * S, CAME, answers=unmeasured)
    assert value(view, latency.inference_latency, quantile="0.5", role="shadow").status is Status.UNKNOWN
    slow = scores([ScoreStatus.OK] * 8 + [ScoreStatus.TIMEOUT, ScoreStatus.INCOMPLETE], [20 * MS] * 10)
    view = window(20 * S, CAME, answers=slow)
    found = value(view, latency.inference_latency_above, limit="0.5", role="shadow")
    assert (found.value, found.n) == (1 / 9, 9)
    assert 0 < found.low < 1 / 9 < found.high < 1
