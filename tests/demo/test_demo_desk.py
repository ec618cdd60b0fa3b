"""The demo desk: messages of the contract, orders that live as orders do, faults that bite where they say."""

from collections import defaultdict
from decimal import Decimal
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from monitor.demo.desk import Desk, DeskHabits, Shift, feature_schema
from monitor.demo.faults import Fault, FaultKind, Faults
from monitor.demo.market import FEATURE_NAMES, LISTINGS, SIGNAL_WEIGHTS, Market
from monitor.transport.contract import FEATURES, ORDERS
from monitor.wire.keys import feature_schema_crc32
from monitor.wire.messages import REQUIRED_BY_KIND, ExecutionReport, FeatureEvent

START_NS = 1_767_607_200 * 10**9
TICK = {x.symbol: x.tick for x in LISTINGS}
LOT = {x.symbol: x.lot for x in LISTINGS}
SECONDS = 120


def signal(features):
    """A perfect model of the market, in the units of the shipped ones."""
    weights = np.array(SIGNAL_WEIGHTS) / np.linalg.norm(SIGNAL_WEIGHTS)
    return 2.6e-4 * (features[:, : len(weights)].astype(float) @ weights)


def opposite(features):
    return -signal(features)


ALWAYS_V7 = (Shift(0.0, "v7"),)


def messages(faults=(), seed=3, shifts=ALWAYS_V7, habits=None, seconds=SECONDS):
    faults = Faults(tuple(faults))
    market = Market(seed, START_NS, faults)
    models = {"v7": signal, "v6": opposite}
    desk = Desk(seed, START_NS, LISTINGS, FEATURE_NAMES, models, shifts, faults, habits)
    return list(desk.messages(market.slices(seconds)))


def decoded(stream, found):
    kind = {FEATURES: FeatureEvent, ORDERS: ExecutionReport}[stream]
    return [msgspec.json.decode(m.value, type=kind) for m in found if m.stream == stream]


def result(orders, prices):
    """Cash and stock at the last price, after fees, in exact decimals."""
    total = Decimal(0)
    for report in orders:
        if report.last_quantity is not None:
            signed = report.last_quantity if report.side == "buy" else -report.last_quantity
            total += signed * (Decimal(str(prices[report.symbol])) - report.last_price) - report.fee
    return total


@pytest.fixture(scope="module")
def healthy():
    return messages()


@pytest.fixture(scope="module")
def features(healthy):
    return decoded(FEATURES, healthy)


@pytest.fixture(scope="module")
def orders(healthy):
    return decoded(ORDERS, healthy)


@pytest.fixture(scope="module")
def lives(orders):
    """Reports by order."""
    found = defaultdict(list)
    for report in orders:
        found[report.order_id].append(report)
    return found


def test_a_seed_gives_the_same_bytes_and_another_seed_others(healthy):
    assert messages() == healthy
    assert messages(seed=4, seconds=2) != messages(seed=3, seconds=2)


def test_messages_come_by_publication_time_after_the_event_they_tell_of(healthy):
    published = [m.ts_ns for m in healthy]
    assert published == sorted(published)
    for message in healthy:
        event_ns = msgspec.json.decode(message.value)["ts_ns"]
        assert 0 < message.ts_ns - event_ns < 100_000_000


def test_each_message_is_keyed_by_its_symbol(healthy):
    assert all(m.key.decode() == msgspec.json.decode(m.value)["symbol"] for m in healthy)


def test_features_follow_their_schema_and_prices_lie_on_the_tick(features):
    crc = feature_schema_crc32(feature_schema(FEATURE_NAMES))
    assert len({f.event_id for f in features}) == len(features) == SECONDS * 100
    for f in features:
        assert f.schema_crc32 == crc
        assert len(f.features) == len(FEATURE_NAMES)
        bid, ask = Decimal(str(f.bid)), Decimal(str(f.ask))
        assert bid % TICK[f.symbol] == ask % TICK[f.symbol] == 0
        assert bid < ask
        assert Decimal(str(f.price)) == (bid + ask) / 2


def test_production_answers_with_the_model_that_is_live(features):
    answered = [f for f in features if f.served.status == "ok"]
    assert len(answered) / len(features) > 0.995
    values = signal(np.array([f.features for f in answered], np.float32))
    assert [f.served.prediction for f in answered] == pytest.approx(values.tolist(), rel=1e-12)
    assert {f.served.model_version for f in features} == {"v7"}
    assert np.quantile([f.served.latency_ms for f in features], 0.99) == pytest.approx(3.4, rel=0.15)


def test_reports_carry_what_their_kind_requires_on_lot_and_tick(orders):
    assert len({(r.account, r.symbol, r.exec_id) for r in orders}) == len(orders)
    for report in orders:
        assert all(getattr(report, name) is not None for name in REQUIRED_BY_KIND.get(report.kind, ()))
        assert report.quantity % LOT[report.symbol] == 0
        if report.last_quantity is not None:
            assert report.last_quantity > 0
            assert report.last_quantity % LOT[report.symbol] == 0
            assert report.last_price % TICK[report.symbol] == 0
            notional = report.last_quantity * report.last_price
            assert report.fee == pytest.approx(notional * Decimal("0.00002"), abs=Decimal("1e-8"))


def test_an_order_is_new_then_acknowledged_then_filled_or_cancelled(lives):
    for reports in lives.values():
        kinds = [r.kind for r in reports]
        assert kinds[:2] == ["new", "ack"]
        assert kinds[2:] in (["fill"], ["partial_fill", "fill"], ["partial_fill", "cancel"])
        assert all(a.ts_ns < b.ts_ns for a, b in pairwise(reports))
        filled = sum(r.last_quantity or 0 for r in reports)
        assert reports[-1].cum_quantity == filled
        assert (filled == reports[0].quantity) == (kinds[-1] == "fill")


def test_every_sort_of_order_life_occurs(lives):
    ends = [tuple(r.kind for r in reports[2:]) for reports in lives.values()]
    assert {("fill",), ("partial_fill", "fill"), ("partial_fill", "cancel")} <= set(ends)
    assert 0.05 < sum(len(end) > 1 for end in ends) / len(ends) < 0.3


def test_an_order_follows_the_answer_it_trades_on_and_fills_at_the_quote(features, lives):
    by_id = {f.event_id: f for f in features}
    quotes = defaultdict(list)
    for f in features:
        quotes[f.symbol].append(f)
    times = {symbol: np.array([f.ts_ns for f in found]) for symbol, found in quotes.items()}
    for reports in lives.values():
        cause = by_id[reports[0].feature_event_id]
        assert cause.symbol == reports[0].symbol
        assert cause.served.prediction == reports[0].prediction
        answered_ns = cause.ts_ns + round(cause.served.latency_ms * 1e6)
        assert answered_ns < reports[0].ts_ns < answered_ns + 2_000_000
        for report in reports:
            if report.last_price is not None:
                row = np.searchsorted(times[report.symbol], report.ts_ns) - 1
                quote = quotes[report.symbol][row]
                assert report.last_price == Decimal(str(quote.ask if report.side == "buy" else quote.bid))


def test_one_order_a_symbol_at_a_time_and_never_more_than_the_wanted_size(lives):
    position, end_ns = defaultdict(Decimal), {}
    for reports in sorted(lives.values(), key=lambda r: r[0].ts_ns):
        symbol = reports[0].symbol
        assert reports[0].ts_ns > end_ns.get(symbol, 0)
        end_ns[symbol] = reports[-1].ts_ns
        for r in reports:
            if r.last_quantity is not None:
                position[symbol] += r.last_quantity if r.side == "buy" else -r.last_quantity
        full = DeskHabits().notional / next(x.open for x in LISTINGS if x.symbol == symbol)
        assert abs(position[symbol]) <= full


def test_a_good_model_earns_more_than_its_costs(features, orders):
    prices = {f.symbol: f.price for f in features}
    # This seed earns 2,579; the limit only tells a desk that trades its signal from one that pays its costs.
    assert result(orders, prices) > 300


def test_served_errors_and_latency_hold_only_in_their_window(features):
    faults = [
        Fault(FaultKind.SERVED_ERRORS, 0.08, 60.0, 120.0),
        Fault(FaultKind.SERVED_LATENCY, 8.0, 60.0, 120.0),
    ]
    broken = decoded(FEATURES, messages(faults))
    late = [f for f in broken if f.ts_ns >= START_NS + 60 * 10**9]
    early = [f for f in broken if f.ts_ns < START_NS + 60 * 10**9]
    assert early == features[: len(early)]
    # 6,000 draws at 8 %: a standard deviation of 0.35 points.
    assert sum(f.served.status != "ok" for f in late) / len(late) == pytest.approx(0.08, abs=0.018)
    assert all((f.served.prediction is None) == (f.served.status != "ok") for f in broken)
    assert np.median([f.served.latency_ms for f in late]) == pytest.approx(8 * 1.2, rel=0.1)


def test_adverse_fills_cost_their_basis_points():
    faults = [Fault(FaultKind.ADVERSE_FILLS, 40.0, 0.0, 60.0)]
    broken = messages(faults, seconds=60)
    fair = messages(seconds=60)
    prices = {f.symbol: f.price for f in decoded(FEATURES, fair)}
    fills = decoded(ORDERS, broken)
    traded = sum(r.last_quantity * r.last_price for r in fills if r.last_quantity is not None)
    lost = result(decoded(ORDERS, fair), prices) - result(fills, prices)
    assert lost == pytest.approx(traded * Decimal("0.0040"), rel=Decimal("0.02"))


def test_a_shift_changes_who_answers_and_how_orders_are_tagged():
    found = messages(shifts=(Shift(0.0, "v7"), Shift(30.0, "v6")), seconds=60)
    change_ns = START_NS + 30 * 10**9
    for f in decoded(FEATURES, found):
        assert f.served.model_version == ("v7" if f.ts_ns < change_ns else "v6")
    tags = {r.tags.model_version for r in decoded(ORDERS, found) if r.ts_ns > change_ns + 10**9}
    assert tags == {"v6"}


def test_a_halted_desk_finishes_its_orders_and_places_no_more():
    found = decoded(ORDERS, messages(habits=DeskHabits(halted_s=30.0), seconds=60))
    new = [r for r in found if r.kind == "new"]
    assert new
    assert max(r.ts_ns for r in found) < START_NS + 30.2 * 1e9
    assert sum(r.kind in ("fill", "cancel") for r in found) == len(new)
