"""The order book: what it shows is never crossed, and is the sum of what rests; the sample is clean."""

import heapq
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.demo.book_features import book_features, forward_return_bps
from monitor.demo.order_book import (
    LEVELS,
    PATIENCE_MS,
    SAMPLE_EVENTS,
    BookStates,
    OrderBook,
    OrderEvents,
    read_events,
    replay_book,
)

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["place", "take_off", "wait"]),
        st.booleans(),
        st.integers(90, 110),
        st.integers(1, 5),
        st.integers(0, 60),
    ),
    max_size=120,
)


@given(ACTIONS)
@settings(max_examples=200, deadline=None)
def test_the_book_is_never_crossed_and_shows_exactly_what_rests(actions):
    book, live, now_ms = OrderBook(), {}, 0
    for number, (what, is_bid, price, volume, which) in enumerate(actions):
        now_ms += 40
        if what == "place":
            book.place(number, is_bid, price, volume, now_ms)
            live[number] = (is_bid, price, volume)
        elif what == "take_off" and live:
            order_id = sorted(live)[which % len(live)]
            # An order that was evicted is no longer known; every other one is, held ones too.
            if not book.take_off(order_id):
                assert book.evicted > 0
            del live[order_id]
            assert not book.take_off(order_id)
        else:
            now_ms += PATIENCE_MS
        book.settle(now_ms)
        bid, ask = book.bids.best(), book.asks.best()
        assert bid is None or ask is None or bid < ask
        for side, is_bid_side in ((book.bids, True), (book.asks, False)):
            resting = Counter()
            for orders in side.orders.values():
                for order_id, resting_volume in orders.items():
                    own_side, own_price, own_volume = live[order_id]
                    assert (own_side, own_volume) == (is_bid_side, resting_volume)
                    resting[own_price] += resting_volume
            prices = sorted(resting, reverse=is_bid_side)[:LEVELS]
            assert side.top() == (tuple(prices), tuple(resting[p] for p in prices))


def test_an_order_that_crosses_is_held_and_evicts_what_it_outlives():
    book = OrderBook()
    book.place(1, False, 100, 5, 0)
    book.place(2, False, 101, 5, 0)
    book.place(3, True, 100, 2, 1000)
    book.settle(1000 + PATIENCE_MS - 1)
    assert (book.bids.best(), book.asks.best()) == (None, 100)
    book.settle(1000 + PATIENCE_MS)
    assert (book.bids.best(), book.asks.best(), book.evicted) == (100, 101, 1)
    assert not book.take_off(1)


def test_an_order_that_takes_liquidity_and_goes_was_never_shown():
    book = OrderBook()
    book.place(1, False, 100, 5, 0)
    book.place(2, True, 100, 2, 10)
    assert book.take_off(2)
    book.settle(10 + PATIENCE_MS)
    assert (book.bids.best(), book.asks.best(), book.evicted) == (None, 100, 0)


def test_a_held_order_rests_as_soon_as_what_it_crosses_is_gone():
    book = OrderBook()
    book.place(1, False, 100, 5, 0)
    book.place(2, True, 100, 2, 10)
    book.take_off(1)
    book.settle(11)
    assert (book.bids.best(), book.asks.best(), book.evicted) == (100, None, 0)


def test_events_out_of_time_are_refused():
    n = 3
    ones, no = np.ones(n, np.int64), np.zeros(n, bool)
    events = OrderEvents(np.arange(n), np.array([1, 3, 2]), ones, ones, ones, ~no, no, no)
    with pytest.raises(ValueError, match="exchange time goes back"):
        replay_book(events)


def made_up_book(n=400, seed=1):
    """States of a book that drifts, with equal times, thin levels and gaps."""
    rng = np.random.default_rng(seed)
    ts_ms = np.cumsum(rng.choice([0, 0, 3, 40, 900], n)) + 1_000_000
    bid = 10_000 + np.cumsum(rng.integers(-1, 2, n))
    spread = rng.integers(1, 4, n)
    steps = np.arange(LEVELS)
    return BookStates(
        ts_ms=ts_ms,
        bid_price=bid[:, None] - steps,
        bid_volume=rng.integers(1, 10**9, (n, LEVELS)),
        ask_price=(bid + spread)[:, None] + steps,
        ask_volume=rng.integers(1, 10**9, (n, LEVELS)),
        flow=rng.integers(0, 4, (n, 4)),
        evicted=0,
    )


def cut(book, rows):
    """The first rows of a book."""
    columns = ("ts_ms", "bid_price", "bid_volume", "ask_price", "ask_volume", "flow")
    return BookStates(**{name: getattr(book, name)[:rows] for name in columns}, evicted=0)


@pytest.mark.parametrize("rows", [1, 57, 250])
def test_features_know_nothing_of_what_comes_later(rows):
    book = made_up_book()
    whole, part = book_features(book), book_features(cut(book, rows))
    for name, column in part.items():
        assert np.array_equal(column, whole[name][:rows], equal_nan=True), name


def test_look_backs_equal_a_plain_loop():
    book = made_up_book()
    columns = book_features(book)
    mid = (book.bid_price[:, 0] + book.ask_price[:, 0]) / 2
    for i in range(len(book)):
        earlier = [j for j in range(len(book)) if j <= i and book.ts_ms[j] <= book.ts_ms[i] - 5000]
        if not earlier:
            assert np.isnan(columns["return_5s_bps"][i])
            assert np.isnan(columns["placed_rate_5s"][i])
            continue
        j = earlier[-1]
        assert columns["return_5s_bps"][i] == pytest.approx((mid[i] / mid[j] - 1) * 1e4)
        placed = book.flow[j + 1 : i + 1, :2].sum(axis=0)
        assert columns["placed_rate_5s"][i] == pytest.approx(placed.sum() / 5)
        balance = (placed[0] - placed[1]) / placed.sum() if placed.sum() else 0.0
        assert columns["placing_5s"][i] == pytest.approx(balance)


def test_the_forward_return_is_the_mid_at_the_horizon_and_unknown_at_the_end():
    book = made_up_book()
    mid = (book.bid_price[:, 0] + book.ask_price[:, 0]) / 2
    found = forward_return_bps(book, 2.0)
    for i in range(len(book)):
        if book.ts_ms[i] + 2000 > book.ts_ms[-1]:
            assert np.isnan(found[i])
        else:
            then = [j for j in range(len(book)) if book.ts_ms[j] <= book.ts_ms[i] + 2000][-1]
            assert found[i] == pytest.approx((mid[then] / mid[i] - 1) * 1e4, abs=1e-9)


@pytest.fixture(scope="module")
def events():
    return read_events()


@pytest.fixture(scope="module")
def real_book(events):
    return replay_book(events)


def test_the_sample_is_the_one_this_was_written_for(events):
    assert len(events) == SAMPLE_EVENTS
    market_orders = (events.price == 0) | (events.price == 999_999_999)
    assert market_orders.sum() == 51
    # All of the snapshot carries one exchange time; what happened in the gap after it was not recorded.
    assert (events.exchange_ms == events.exchange_ms[0]).sum() == 6_512
    assert events.exchange_ms[6_512] - events.exchange_ms[0] == 741


def test_a_naive_replay_of_the_sample_is_crossed_nearly_throughout(events):
    """Why cleaning is needed: every event taken at its word."""
    heaps, live = ([], []), {}
    crossed = 0
    columns = (events.order_id, events.price, events.deleted, events.is_bid)
    for order_id, price, deleted, is_bid in zip(*(c.tolist() for c in columns), strict=True):
        if deleted:
            live.pop(order_id, None)
        else:
            live[order_id] = price
            heapq.heappush(heaps[is_bid], (-price if is_bid else price, price, order_id))
        for heap in heaps:
            while heap and live.get(heap[0][2]) != heap[0][1]:
                heapq.heappop(heap)
        crossed += all(heaps) and heaps[1][0][1] >= heaps[0][0][1]
    assert crossed > 0.9 * len(events)


def test_the_real_book_is_never_crossed_and_long_enough(real_book):
    assert (real_book.bid_price[:, 0] < real_book.ask_price[:, 0]).all()
    # Deterministic: integers of fixed data. More than 50,000 remain when a third is trained on.
    assert len(real_book) == 76_964
    assert real_book.evicted == 2
    assert (np.diff(real_book.ts_ms) >= 0).all()
    assert (np.diff(real_book.bid_price, axis=1) < 0).all()
    assert (np.diff(real_book.ask_price, axis=1) > 0).all()
    assert min(real_book.bid_volume.min(), real_book.ask_volume.min()) > 0


def test_real_trades_happened_at_the_cleaned_quotes(real_book):
    """An independent witness: the recorder's trades, which the book was not made from."""
    ob_analytics = pytest.importorskip("ob_analytics")
    from pyarrow import csv

    trades = csv.read_csv(str(ob_analytics.sample_data_dir() / "trades.csv"))
    ts_ms, price = trades["exchange_timestamp"].to_numpy(), trades["price"].to_numpy()
    bought = trades["side"].to_numpy() == "buy"
    before = np.searchsorted(real_book.ts_ms, ts_ms) - 1
    assert (before >= 0).all()
    bid, ask = real_book.bid_price[before, 0], real_book.ask_price[before, 0]
    through = np.where(bought, price - ask, bid - price)
    # An aggressor trades at the touch or sweeps deeper, never better; two of 284 trades fall into one
    # millisecond with the quote they followed.
    assert (through >= 0).mean() > 0.99
    assert (through == 0).mean() > 0.65
    assert through.max() < 20


def test_real_features_are_finite_after_the_longest_look_back_and_within_bounds(real_book):
    columns = book_features(real_book)
    assert len(columns) >= 12
    warm = real_book.ts_ms >= real_book.ts_ms[0] + 30_000
    for name, column in columns.items():
        assert np.isfinite(column[warm]).all(), name
        if name.startswith(("imbalance", "placing", "taking_5s", "order_flow")):
            assert np.abs(column[warm]).max() <= 1.0, name
    assert min(columns["spread_ticks"]) >= 1
