"""Error metrics of rows written by hand: what counts, out of what, and what is no data."""

import numpy as np
import pytest
from engine_cases import MS, START, S
from hypothesis import given, settings
from hypothesis import strategies as st
from window_of_rows import MINUTE, features, order, orders, scores, value, window

from monitor.engine.measures import errors
from monitor.engine.rows import ScoreStatus
from monitor.event_time.timing import Fate
from monitor.stats.estimate import Status
from monitor.wire.dead_letters import REASON_CODES

OK, ERROR, INCOMPLETE = ScoreStatus.OK, ScoreStatus.ERROR, ScoreStatus.INCOMPLETE


def test_uptime_is_the_share_of_slots_with_demand_that_had_an_answer():
    at = [1, 4, 12, 17, 33, 38, 55, 90]
    status = [ERROR, OK, ERROR, ERROR, OK, OK, ERROR, INCOMPLETE]
    view = window(100 * S, features([s * S for s in at]), answers=scores(status))
    found = value(view, errors.uptime, role="shadow")
    assert (found.value, found.n, found.extra) == (2 / 4, 4, {"source": "scored"})


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([20 * S, 5 * MINUTE, 60 * MINUTE]),
)
def test_uptime_is_exact_whatever_panes_cut_its_slots(of_rows, window_ns):
    of_rows.sort()
    at = np.array([s for s, _ in of_rows]) * S + 1
    view = window(
        401 * S,
        features(at.tolist()),
        answers=scores([OK if ok else ERROR for _, ok in of_rows]),
        window_ns=window_ns,
    )
    times = START + at
    inside = (times >= view.from_ns) & (times < view.to_ns)
    demanded = set((times[inside] // (10 * S)).tolist())
    answered = set((times[inside & np.array([ok for _, ok in of_rows])] // (10 * S)).tolist())
    found = value(view, errors.uptime, role="shadow")
    if demanded:
        assert (found.value, found.n) == (len(answered) / len(demanded), len(demanded))
        assert found.low <= found.value <= found.high
    else:
        assert found.status is Status.INSUFFICIENT


def test_uptime_of_the_active_is_productions_where_it_is_recorded():
    at = [s * S for s in (1, 12, 25, 38)]
    served = features(at, served=[1, 2, 2, 0])
    view = window(100 * S, served, answers=scores([OK, OK, ERROR, OK]))
    found = value(view, errors.uptime, role="active")
    assert (found.value, found.n) == (1 / 3, 3)
    assert found.extra == {"source": "served", "scored": 3 / 4}
    own = value(window(100 * S, features(at)), errors.uptime, role="active")
    assert (own.value, own.extra) == (1.0, {"source": "scored"})


def test_the_event_rate_of_a_young_deployment_is_not_thinned_by_time_before_its_first_row():
    view = window(20 * S, features([i * 100 * MS for i in range(1, 200)]))
    found = value(view, errors.event_rate, stream="features")
    assert found.value == pytest.approx(10, rel=0.01)
    assert found.extra == {"seconds": pytest.approx(19.9)}
    assert view.to_ns - view.from_ns >= 5 * MINUTE
    full = window(400 * S, features([i * 100 * MS for i in range(1, 3950)]))
    found = value(full, errors.event_rate, stream="features")
    assert found.value == pytest.approx(found.n / ((full.to_ns - full.from_ns) / S))
    assert found.extra == {}


def test_a_lone_row_makes_no_absurd_rate_and_a_silent_stream_none():
    view = window(1, features([0]))
    assert value(view, errors.event_rate, stream="features").value == 1.0
    assert value(view, errors.event_rate, stream="orders").status is Status.INSUFFICIENT


def test_a_count_of_nothing_among_rows_is_zero_and_without_rows_there_is_none():
    quiet = window(20 * S, features([S, 2 * S]))
    for metric in (errors.schema_violations, errors.late_events, errors.duplicate_events):
        found = value(quiet, metric)
        assert (found.status, found.value, found.n) == (Status.OK, 0, 2)
    empty = window(20 * S, features([0]), window_ns=10 * S)
    for metric in (errors.schema_violations, errors.late_events, errors.duplicate_events):
        assert value(empty, metric).status is Status.INSUFFICIENT


def test_schema_violations_are_what_is_wrong_in_the_message_itself():
    reasons = ["", "ill_typed", "unknown_schema", "misrouted", "unknown_symbol", "ill_typed"]
    codes = np.array([REASON_CODES[reason] for reason in reasons], np.int8)
    fates = np.where(codes == 0, Fate.ACCEPTED, Fate.REJECTED).astype(np.int8)
    rows = features([i * S for i in range(6)], reason=codes, fate=fates)
    found = value(window(20 * S, rows), errors.schema_violations)
    assert (found.value, found.n) == (3, 6)
    assert found.extra == {"reasons": {"ill_typed": 2, "unknown_schema": 1}}


def test_late_and_duplicate_messages_are_counted_over_streams():
    fates = np.array([Fate.LATE, Fate.ACCEPTED, Fate.DUPLICATE, Fate.LATE, Fate.QUARANTINED], np.int8)
    rows = features([i * S for i in range(5)], fate=fates)
    applied = np.array([Fate.LATE_APPLIED, Fate.DUPLICATE], np.int8)
    reports = orders([order(S, None), order(2 * S, None)], fate=applied)
    view = window(20 * S, rows, reports)
    late, duplicate = value(view, errors.late_events), value(view, errors.duplicate_events)
    assert (late.value, late.n) == (3, 7)
    assert late.extra == {"streams": {"features": 2, "orders": 1}, "applied": 1}
    assert (duplicate.value, duplicate.n) == (2, 7)
    assert duplicate.extra == {"streams": {"features": 1, "orders": 1}}


def test_disorder_is_what_lateness_did_not_put_in_order_and_says_what_would_have():
    # Lateness is 200 ms: the front lies that far above the bound.
    front = START + np.arange(10) * S
    behind = np.array([0, 50, 100, 900, 0, 0, 0, 0, 0, 5000]) * MS
    fates = np.full(10, Fate.ACCEPTED, np.int8)
    fates[[3, 9]] = Fate.LATE
    rows = features((front - START).tolist(), ts=front - behind, bound_before=front - 200 * MS, fate=fates)
    found = value(window(20 * S, rows), errors.disorder, stream="features")
    assert (found.value, found.n, found.extra["out_of_order"]) == (0.2, 10, 0.4)
    assert found.extra["behind_s"]["1"] == pytest.approx(5.0, rel=0.01)
    assert found.extra["behind_s"]["0.5"] == pytest.approx(0.1, rel=0.01)
    assert found.low < 0.2 < found.high
    tidy = value(window(20 * S, features([0, S])), errors.disorder, stream="features")
    assert (tidy.value, tidy.n, tidy.extra) == (0.0, 2, {})


def test_orders_whose_event_does_not_come_in_time_are_unpaired_and_so_are_events():
    came = features([0, S, 2 * S, 8 * S])
    placed = [order(5 * MS, "x0"), order(6 * MS, "x0"), order(S, "never"), order(7100 * MS, "x2")]
    view = window(30 * S, came, orders(placed))
    found = value(view, errors.unpaired_orders)
    assert (found.value, found.n) == (2, 4)
    assert found.extra == {"share": 0.5, "unnamed_events": 3}
    waiting = value(window(4 * S, came.take(slice(0, 3)), orders(placed[:3])), errors.unpaired_orders)
    assert (waiting.value, waiting.n) == (0, 2)
    assert value(window(30 * S, came), errors.unpaired_orders).status is Status.INSUFFICIENT


def test_error_rates_carry_the_rows_they_rest_on_and_their_interval():
    rows = features([i * 100 * MS for i in range(1000)])
    answers = scores([ERROR if i % 20 == 0 else OK for i in range(1000)])
    found = value(window(110 * S, rows, answers=answers), errors.error_rate, role="shadow")
    assert (found.value, found.n) == (0.05, 1000)
    assert found.low < 0.05 < found.high
    assert 900 < found.n_eff <= 1000
    burst = scores([ERROR if 100 <= i < 150 else OK for i in range(1000)])
    found = value(window(110 * S, rows, answers=burst), errors.error_rate, role="shadow")
    assert found.value == 0.05
    assert found.n_eff < 100
