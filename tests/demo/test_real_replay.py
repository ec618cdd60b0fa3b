"""The real run through the whole core, held against SciPy, NumPy and exact fractions.

Every expectation is an identity between the replay's outputs and its inputs, true whatever the market did.
"""

from collections import Counter, defaultdict
from decimal import Decimal
from fractions import Fraction

import msgspec
import numpy as np
import orjson
import pytest
import yaml
from cli.command_cases import replayed
from scipy.stats import spearmanr
from trading.reference_desk import ReferenceDesk
from trading.reference_figures import Rules, assert_effects_add_up, assert_figures, begun, instants
from trading.reference_market import Broker, quote_of

from monitor.demo import real_desk
from monitor.settings.quantities import parse_duration
from monitor.stats.reference import load_reference
from monitor.trading.units import InstrumentUnits
from monitor.wire.messages import ExecutionReport

TICK_NS = 100_000_000
WHOLE_S = 1800
"""The longer window; the twenty minutes of the run lie in it."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("real")
    real_desk.make_real(directory)
    replayed(directory)
    return directory


def lines(path):
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def report(run):
    return orjson.loads((run / "out" / "report.json").read_bytes())["deployments"][real_desk.DEPLOYMENT]


@pytest.fixture(scope="module")
def predictions(run):
    return lines(run / "out" / "predictions.jsonl")


@pytest.fixture(scope="module")
def features(run):
    return np.array([event["features"] for event in lines(run / "features.jsonl")], np.float64)


def psi(distribution, column):
    """PSI on the reference's bins as it joins them; bins that are empty on both sides do not count."""
    live = np.bincount(
        np.searchsorted(distribution.edges, column, side="right"), minlength=len(distribution.counts)
    )
    before, now = (np.add.reduceat(c, distribution.psi_starts) for c in (np.array(distribution.counts), live))
    if distribution.null_count:
        before, now = np.append(before, distribution.null_count), np.append(now, 0)
    p, q = ((c[(before + now) > 0] + 0.5) for c in (before, now))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def test_every_row_is_counted_once(run, report, predictions):
    assert {key: n for key, n in report["counts"].items() if n} == {
        "accepted{stream=features}": 51_310,
        "accepted{stream=orders}": 881,
    }
    assert (run / "out" / "dead-letters.jsonl").read_bytes() == b""
    ids = [event["event_id"] for event in lines(run / "features.jsonl")]
    assert Counter(p["event_id"] for p in predictions) == Counter(ids)


def test_production_served_what_the_monitor_scores(run, predictions):
    scored = {p["event_id"]: p["roles"]["active"]["value"] for p in predictions}
    for event in lines(run / "features.jsonl"):
        served = event["served"]["prediction"]
        assert served is None or served == pytest.approx(scored[event["event_id"]], abs=1e-6)


def test_rank_correlation_is_spearmans(report, predictions):
    active, shadow = ([p["roles"][role]["value"] for p in predictions] for role in ("active", "shadow"))
    found = report["metrics"][f"rank_correlation{{role=shadow}}@{WHOLE_S}"]
    assert found["n"] == len(predictions)
    assert found["value"] == pytest.approx(spearmanr(active, shadow)[0], abs=1e-12)


def test_psi_of_features_and_predictions_is_that_of_the_same_bins(run, report, features, predictions):
    reference = load_reference(run / "reference.json")
    names = [name for name, _ in orjson.loads((run / "features.schema.json").read_bytes())]
    for i, name in enumerate(names):
        found = report["metrics"][f"psi{{feature={name}}}@{WHOLE_S}"]
        assert found["value"] == pytest.approx(psi(reference.features[name], features[:, i]), rel=1e-12), name
    for role in ("active", "shadow"):
        manifest = orjson.loads((run / "models" / role / "manifest.json").read_bytes())
        distribution = reference.predictions[manifest["files"][0]["sha256"]]
        values = np.array([p["roles"][role]["value"] for p in predictions])
        found = report["metrics"][f"prediction_psi{{role={role}}}@{WHOLE_S}"]
        assert found["value"] == pytest.approx(psi(distribution, values), rel=1e-12), role


def test_every_book_is_worth_its_cash_and_its_stock_exactly(report):
    assert set(report["books"]) == {
        "role=active,fills=real",
        "role=active,fills=paper",
        "role=shadow,fills=paper",
    }
    for book in report["books"].values():
        stock = sum(
            Fraction(p["quantity"]) * Fraction(p["mark"]) * Fraction(p["multiplier"])
            for p in book["positions"].values()
        )
        assert Fraction(book["equity"]) == Fraction(book["cash"]) + stock


def test_the_real_book_is_what_its_executions_add_up_to(run, report):
    cash, stock = Fraction(0), defaultdict(Fraction)
    for fill in lines(run / "orders.jsonl"):
        if "last_price" in fill:
            signed = Fraction(fill["last_quantity"]) * (1 if fill["side"] == "buy" else -1)
            cash -= signed * Fraction(fill["last_price"]) + Fraction(fill["fee"])
            stock[fill["symbol"]] += signed
    book = report["books"]["role=active,fills=real"]
    assert Fraction(book["cash"]) == cash
    assert {s: Fraction(p["quantity"]) for s, p in book["positions"].items()} == {
        s: q for s, q in stock.items() if q or s in book["positions"]
    }


def test_the_mark_is_the_last_real_mid(run, report):
    last = max(lines(run / "features.jsonl"), key=lambda event: (event["ts_ns"], event["event_id"]))
    mark = report["books"]["role=active,fills=paper"]["positions"]["BTCUSD"]
    assert mark["mark_ts_ns"] <= last["ts_ns"]
    assert Fraction(mark["mark"]) == (Fraction(last["bid"]) + Fraction(last["ask"])) / 2


@pytest.fixture(scope="module")
def brute_force(run, predictions):
    """Every book from the rows alone, one by one, in fractions; no row of this run is late."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    listed = config["instruments"][real_desk.SYMBOL]
    units = InstrumentUnits.of(
        real_desk.SYMBOL, *(Decimal(listed[k]) for k in ("tick_size", "lot_size", "multiplier")), "USD"
    )
    paper = config["deployments"][real_desk.DEPLOYMENT]["paper"]
    assert set(paper) == {"target", "threshold", "quantity", "holding", "latency", "fee_bps"}
    broker = Broker(
        quantity=Fraction(paper["quantity"]),
        target=paper["target"],
        threshold=paper["threshold"],
        holding_ns=parse_duration(paper["holding"]),
        latency_ns=parse_duration(paper["latency"]),
        fee_bps=Fraction(paper["fee_bps"]),
    )
    scored = {p["event_id"]: {role: p["roles"][role]["value"] for role in p["roles"]} for p in predictions}
    rows = [
        (row["ts_ns"], stream, place, row)
        for stream, name in enumerate(("features", "orders"))
        for place, row in enumerate(lines(run / f"{name}.jsonl"))
    ]
    rows.sort(key=lambda each: each[:3])
    desk = ReferenceDesk([units], broker)
    desk.ask(instants(rows[0][0], rows[-1][0], TICK_NS))
    for at, stream, _, row in rows:
        if stream == 0:
            quote = quote_of(units, row.get("bid"), row.get("ask"), row.get("price"))
            desk.feature(at, row["symbol"], quote, scored[row["event_id"]])
        else:
            desk.order(at, msgspec.convert(row, ExecutionReport, strict=False))
    desk.pass_to(rows[-1][0] + 1)
    return desk


def test_every_book_is_that_of_a_broker_who_goes_row_by_row_in_fractions(report, brute_force):
    assert report["books"] == brute_force.report()
    assert min(paper.counted["trades"] for paper in brute_force.papers.values()) > 100


def test_every_figure_of_a_book_is_that_of_its_definition_over_the_instants(report, brute_force):
    rules = Rules(Fraction(100_000), grid_ns=60 * 10**9, min_returns=20)
    seen = assert_figures(report["metrics"], begun(brute_force.moments, TICK_NS), rules)
    assert {"pnl", "drawdown", "win_rate", "turnover", "position_gap", "pnl_vs_benchmark"} <= seen.keys()


def test_model_and_execution_effect_are_the_divergence_to_the_last_digit(report):
    assert assert_effects_add_up(report["metrics"], ["shadow"]) == 4
