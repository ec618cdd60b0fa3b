"""The story: every message is accepted, and each decision follows from the streams with room to spare.

The values that the rules judge are computed here by NumPy and SciPy from the messages alone.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import spearmanr

from monitor.demo import story
from monitor.demo.market import FEATURE_NAMES, LISTINGS
from monitor.demo.serving import predictor
from monitor.settings.loading import load
from monitor.stats.reference import load_reference
from monitor.transport.contract import FEATURES, ORDERS, Record
from monitor.wire.dead_letters import REASONS
from monitor.wire.features import FeatureDecoder, FeatureSpace
from monitor.wire.keys import feature_schema_crc32
from monitor.wire.orders import OrderDecoder
from monitor.wire.symbols import SymbolTable

START_NS = story.RECORDED_START_NS
BROKEN = FEATURE_NAMES[story.BROKEN_FEATURE]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    path = tmp_path_factory.mktemp("story") / "config.yaml"
    path.write_text(story.story_config(START_NS), encoding="utf-8")
    return load(path)


@pytest.fixture(scope="module")
def rules(settings):
    return {rule.id: rule for rule in settings.deployments[story.DEPLOYMENT].policy.rules}


@pytest.fixture(scope="module")
def reference():
    return story.story_reference()


def decode(settings, messages):
    """The messages as the monitor's own decoders see them."""
    crc = feature_schema_crc32([(name, "float32") for name in FEATURE_NAMES])
    space = FeatureSpace(FEATURE_NAMES, {crc: FEATURE_NAMES})
    symbols = SymbolTable(settings.instruments.listed)

    def records(stream):
        return [Record(i, m.ts_ns, m.key, m.value) for i, m in enumerate(messages) if m.stream == stream]

    features = FeatureDecoder(space, symbols).decode(records(FEATURES))
    return features, OrderDecoder(symbols).decode(records(ORDERS))


@pytest.fixture(scope="module", params=[0, 7, 20])
def told(request, settings):
    """A story of a seed as columns; times in seconds since it began."""
    features, orders = decode(settings, list(story.story(request.param, START_NS)))
    rows = features["values"].astype(np.float32)
    return SimpleNamespace(
        features=features,
        orders=orders,
        t=(features["ts"] - START_NS) / 1e9,
        active=predictor(story.MODELS / "v7", FEATURE_NAMES)(rows),
        shadow=predictor(story.MODELS / "v8", FEATURE_NAMES)(rows),
    )


def last_minute(told, second):
    return (told.t >= second - 60) & (told.t < second)


def psi(distribution, column):
    """The textbook formula on the reference's bins, joined as the reference says, half a count in each."""
    places = np.searchsorted(distribution.edges, column, side="right")
    live = np.bincount(places, minlength=len(distribution.counts))
    p, q = (np.add.reduceat(c, distribution.psi_starts) + 0.5 for c in (np.array(distribution.counts), live))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def drawdown(told):
    """(times, drawdown) of the account, marked at every event."""
    capital, cash, stock, marks, rows = 1e6, 0.0, {}, {}, []
    events = [(ts, 1, r) for ts, r in zip(told.orders["ts"], told.orders["report"], strict=True)]
    quotes = zip(told.features["ts"], told.features["symbol"], told.features["price"], strict=True)
    events += [(ts, 0, (LISTINGS_BY_CODE[code], price)) for ts, code, price in quotes]
    for ts, is_order, what in sorted(events, key=lambda e: e[:2]):
        if is_order and what.last_quantity is not None:
            signed = float(what.last_quantity) * (1 if what.side == "buy" else -1)
            cash -= signed * float(what.last_price) + float(what.fee)
            stock[what.symbol] = stock.get(what.symbol, 0.0) + signed
        elif not is_order:
            marks[what[0]] = what[1]
            rows.append(((ts - START_NS) / 1e9, capital + cash + sum(q * marks[s] for s, q in stock.items())))
    t, equity = np.array(rows).T
    high = np.maximum.accumulate(np.maximum(equity, capital))
    return t, (high - equity) / high


LISTINGS_BY_CODE = sorted(x.symbol for x in LISTINGS)


def test_every_message_is_accepted_by_the_monitors_own_decoders(told):
    assert len(told.features) == story.SECONDS * 100
    for table in (told.features, told.orders):
        assert {REASONS[code] for code in table["reason"]} == {REASONS[0]}


def test_drift_shows_at_the_first_full_minute_after_the_break_and_in_one_feature_only(told, rules, reference):
    limit = rules["feature-drift"].threshold
    for second in range(60, story.SECONDS, 60):
        window = last_minute(told, second)
        assert window.sum() >= rules["feature-drift"].min_samples
        for i, name in enumerate(FEATURE_NAMES):
            value = psi(reference.features[name], told.features["values"][window, i])
            if name == BROKEN and second > story.SHADOW_BREAKS_S:
                assert value > 1.5 * limit
            else:
                assert value < limit / 3


def test_the_shadow_agrees_until_it_breaks_and_is_demoted_after_the_drift_alert(told, rules):
    rule = rules["shadow-agrees"]
    alerted_s = 180

    def agreement(second):
        window = last_minute(told, second)
        symbols = told.features["symbol"]
        each = [window & (symbols == code) for code in range(len(LISTINGS))]
        return np.average(
            [spearmanr(told.active[rows], told.shadow[rows])[0] for rows in each],
            weights=[r.sum() for r in each],
        )

    assert min(agreement(s) for s in range(10, int(story.SHADOW_BREAKS_S), 5)) > rule.threshold + 0.3
    low = next(
        s for s in range(int(story.SHADOW_BREAKS_S), story.SECONDS, 5) if agreement(s) < rule.threshold
    )
    held_s = rule.persistence.duration_ns / 1e9
    assert low + held_s > alerted_s + 5
    assert low + held_s < story.SERVING_BREAKS_S - 20
    for second in range(low + 5, int(low + held_s) + 10, 5):
        assert agreement(second) < rule.threshold


def test_production_is_slow_before_it_has_failed_often_enough_for_a_rollback(told, rules):
    latency_s = told.features["served_latency"] / 1e9
    failed = told.features["served"] == 2

    def slow(second):
        return np.quantile(latency_s[last_minute(told, second)], 0.99) > rules["serving-is-fast"].threshold

    def failing(second):
        return failed[last_minute(told, second)].mean() > rules["serving-answers"].threshold

    broken_s = int(story.SERVING_BREAKS_S)
    assert not any(slow(s) or failing(s) for s in range(5, broken_s))
    first_slow = next(s for s in range(broken_s, story.SECONDS) if slow(s))
    first_failing = next(s for s in range(broken_s, story.SECONDS) if failing(s))
    assert first_slow <= broken_s + 4
    assert first_slow + 5 < first_failing < story.ROLLED_BACK_S - 20
    # Once the active is rolled back its rules sleep; until the desk obeys nothing heals.
    assert all(slow(s) and failing(s) for s in range(first_failing, int(story.ROLLED_BACK_S)))


def test_the_account_is_sound_until_it_bleeds_and_dies_before_the_end(told, rules):
    limit = rules["drawdown"].threshold
    t, value = drawdown(told)
    assert value[t < story.BLEEDING_S].max() < limit / 10
    first = t[np.argmax(value > limit)]
    assert story.BLEEDING_S + 10 < first < story.HALTED_S - 5
    assert value.max() > 1.2 * limit


def test_each_playing_on_a_broker_has_its_own_group_and_topics(tmp_path):
    names = []
    for start_ns in (START_NS, START_NS + 60 * 10**9):
        path = tmp_path / f"{start_ns}.yaml"
        path.write_text(
            story.story_config(start_ns, kind="kafka", bootstrap_servers="a:1,b:2"), encoding="utf-8"
        )
        found = load(path)
        assert found.transport.client["bootstrap_servers"] == "a:1,b:2"
        names.append({found.transport.group, *found.topics.by_stream().values()})
    assert not names[0] & names[1]


def test_the_active_does_not_look_at_the_broken_feature():
    rows = np.zeros((2, len(FEATURE_NAMES)), np.float32)
    rows[1, story.BROKEN_FEATURE] = 50.0
    active, previous, shadow = (predictor(story.MODELS / v, FEATURE_NAMES)(rows) for v in ("v7", "v6", "v8"))
    assert active[0] == active[1]
    assert previous[0] == previous[1]
    assert shadow[0] != shadow[1]


def test_the_acts_stand_in_the_order_of_their_faults():
    starts = [act.start_s for act in story.ACTS]
    assert starts == sorted(starts)
    assert set(starts[1:]) <= {fault.start_s for fault in story.FAULTS.faults}


def test_every_expected_decision_has_its_rule_and_its_words(rules):
    kinds = {"alert": "alert", "demote": "demote", "rollback": "rollback", "kill": "kill_switch"}
    assert [(d.rule, d.subject, d.type) for d in story.EXPECTED] == [
        (rule.id, rule.subject, kinds[rule.action]) for rule in rules.values()
    ]
    assert set(story.MEANING) == set(rules)


def test_a_decision_is_read_off_a_published_event():
    data = {"subject": "shadow", "rule": "shadow-agrees", "phase": "firing", "value": 0.4}
    event = {"type": "io.shadowmonitor.demote.v1", "source": "demo", "data": data}
    assert story.decision_of(event) == story.EXPECTED[1]


def test_only_exactly_the_expected_decisions_satisfy():
    expected = list(story.EXPECTED)
    assert story.judge(expected) == []
    assert story.judge(expected[:-1]) == [f"missing: {expected[-1]}"]
    extra = story.Decision("alert", "deployment", "task-silent")
    assert story.judge([*expected, extra]) == [f"not expected: {extra}"]
    assert len(story.judge([expected[1], expected[0], *expected[2:]])) == 1
    assert len(story.judge([*expected, expected[0]])) == 1
    assert len(story.judge([])) == len(expected)


@pytest.mark.parametrize("offset_s", [0, 1, 59, 60, 86_399, 86_400 - 375, 86_400 - 374, 43_210])
def test_a_live_story_begins_at_a_full_minute_and_ends_within_the_session(offset_s):
    day_ns = 86_400 * 10**9
    now_ns = 20_000 * day_ns + offset_s * 10**9
    start_ns = story.live_start_ns(now_ns)
    assert start_ns >= now_ns
    assert start_ns % (60 * 10**9) == 0
    assert start_ns // day_ns == (start_ns + story.SECONDS * 10**9) // day_ns


def test_what_is_written_is_whole_and_a_function_of_the_seed(tmp_path, reference):
    story.write_story(tmp_path, seed=5)
    settings = load(tmp_path / "config.yaml")
    deployment = settings.deployments[story.DEPLOYMENT]
    models = deployment.models
    needed = [models.active, models.previous, *models.shadows.values(), *settings.feature_schemas]
    assert all(path.exists() for path in needed)
    assert load_reference(deployment.reference) == reference
    messages = list(story.story(5, START_NS))
    for stream in (FEATURES, ORDERS):
        lines = (tmp_path / f"{stream}.jsonl").read_bytes().splitlines()
        assert lines == [m.value for m in messages if m.stream == stream]
