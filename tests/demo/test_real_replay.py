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
from trading.reference_books import ReferenceLedger
from trading.reference_market import Broker, ReferenceMarks, ReferencePaper, decimal_text, quote_of

from monitor.demo import real_desk
from monitor.settings.quantities import parse_duration
from monitor.stats.reference import load_reference
from monitor.trading.units import InstrumentUnits
from monitor.wire.messages import ExecutionReport

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


class BruteForce:
    """Every book from the rows alone, one by one, in fractions of dollars and coins: what is held, what was
    paid, and the mark. `profit` by book at the instants asked for, of the rows before them."""

    def __init__(self, run, predictions, instants=()):
        section = yaml.safe_load((run / "config.yaml").read_text())
        listed = section["instruments"][real_desk.SYMBOL]
        units = InstrumentUnits.of(
            real_desk.SYMBOL, *(Decimal(listed[k]) for k in ("tick_size", "lot_size", "multiplier")), "USD"
        )
        paper = section["deployments"][real_desk.DEPLOYMENT]["paper"]
        assert set(paper) == {"target", "threshold", "quantity", "holding", "latency", "fee_bps"}
        broker = Broker(
            quantity=Fraction(paper["quantity"]),
            target=paper["target"],
            threshold=paper["threshold"],
            holding_ns=parse_duration(paper["holding"]),
            latency_ns=parse_duration(paper["latency"]),
            fee_bps=Fraction(paper["fee_bps"]),
        )
        self.units, self.marks = units, ReferenceMarks([units])
        self.papers = {role: ReferencePaper([units], broker) for role in ("active", "shadow")}
        self.real = ReferenceLedger([units])
        self.profit = {}
        asked = sorted(instants)
        scored = {p["event_id"]: p["roles"] for p in predictions}
        for ts, stream, _, row in self._rows(run):
            while asked and asked[0] <= ts:
                self.profit[asked.pop(0)] = self.equity()
            if stream == 0:
                self._feature(row, scored[row["event_id"]])
            else:
                self._order(msgspec.convert(row, ExecutionReport, strict=False))
        self.profit |= dict.fromkeys(asked, self.equity())

    @staticmethod
    def _rows(run):
        """In folding order: by time, features first, then as they came. No row of this run is late."""
        rows = [
            (row["ts_ns"], stream, place, row)
            for stream, name in enumerate(("features", "orders"))
            for place, row in enumerate(lines(run / f"{name}.jsonl"))
        ]
        return sorted(rows, key=lambda each: each[:3])

    def _feature(self, row, roles):
        quote = quote_of(self.units, row.get("bid"), row.get("ask"), row.get("price"))
        fresh = self.marks.quote(row["symbol"], row["ts_ns"], quote)
        for role, paper in self.papers.items():
            paper.row(row["symbol"], row["ts_ns"], quote if fresh else None, roles[role]["value"])

    def _order(self, report):
        if self.real.apply(report, report.ts_ns) and report.kind in ("fill", "partial_fill"):
            self.marks.fill(report.symbol, Fraction(report.last_price))

    def books(self):
        papers = {f"role={role},fills=paper": paper for role, paper in self.papers.items()}
        return {"role=active,fills=real": self.real, **papers}

    def equity(self):
        mark = self.marks.marks[real_desk.SYMBOL].value or 0
        return {
            name: book.cash["USD"] + book.positions.get(real_desk.SYMBOL, 0) * mark
            for name, book in self.books().items()
        }


@pytest.fixture(scope="module")
def brute_force(run, report, predictions):
    windows = {
        instant
        for name, found in report["metrics"].items()
        if name.startswith(("pnl", "model_effect", "execution_effect"))
        for instant in (found["from_ns"], found["to_ns"])
    }
    return BruteForce(run, predictions, windows)


def test_every_book_is_that_of_a_broker_who_goes_row_by_row_in_fractions(report, brute_force):
    mark = brute_force.marks.marks[real_desk.SYMBOL]
    for name, book in brute_force.books().items():
        found = report["books"][name]
        assert found["cash"] == decimal_text(book.cash["USD"])
        assert found["equity"] == decimal_text(brute_force.equity()[name])
        assert found["positions"] == {
            symbol: {
                "quantity": decimal_text(quantity),
                "mark": decimal_text(mark.value),
                "mark_ts_ns": mark.ts_ns,
                "multiplier": "1",
            }
            for symbol, quantity in book.positions.items()
        }
    assert min(paper.counted["trades"] for paper in brute_force.papers.values()) > 100
