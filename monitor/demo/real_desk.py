"""A desk on a real market: models trained on the first third of the order-book sample, traded on the rest.

`python -m monitor.demo.real_desk DIR` leaves in DIR what `replay` takes: streams, configuration, models and
reference. The quotes, their times and the features are real; the desk, its orders and its server's latencies
are simulated on them. Needs the extras `sample` and `dev`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from monitor.demo.book_features import book_features, forward_return_bps
from monitor.demo.desk import Desk, DeskHabits, Predict, Shift, feature_schema
from monitor.demo.market import Listing, MarketSlice
from monitor.demo.message import write_streams
from monitor.demo.order_book import (
    LOTS_PER_COIN,
    SAMPLE_EVENTS,
    TICK_USD,
    BookStates,
    read_events,
    replay_book,
)
from monitor.demo.serving import predictor
from monitor.demo.training import Network, fit, onnx_bytes
from monitor.models.artifact import Artifact
from monitor.models.packing import Description, pack_model
from monitor.stats.reference import build_reference

SYMBOL = "BTCUSD"
DEPLOYMENT = "book"
HORIZON_S = 5
TRAINING_SHARE = 1 / 3
SEED = 7

ACTIVE_FEATURES = (
    "imbalance_1",
    "imbalance_5",
    "imbalance_20",
    "microprice_bps",
    "spread_ticks",
    "order_flow_1s",
    "order_flow_5s",
    "return_1s_bps",
)
"""What stands in the book and what just came to it: a ridge regression."""

SHADOW_FEATURES = (
    "imbalance_5",
    "gap_bid_ticks",
    "gap_ask_ticks",
    "return_1s_bps",
    "return_5s_bps",
    "return_30s_bps",
    "volatility_30s_bps",
    "placed_rate_5s",
    "taken_rate_5s",
    "placing_5s",
    "taking_5s",
)
"""How the book and the price moved: a network of one hidden layer."""

ACTIVE_VERSION, SHADOW_VERSION = "ridge-1", "net-1"

HABITS = DeskHabits(hold_s=2.0, account="real-1", strategy="book", dataset="ob-analytics-sample")
"""Its `threshold` is set from the training third: half a standard deviation of the active's predictions."""


class RealSample(NamedTuple):
    """The sample as features. `values` (n, F) float64 in the order of `names`; `split` is the first row that
    was not trained on; `return_bps` (n,) what the mid did in the next `HORIZON_S`."""

    book: BookStates
    names: tuple[str, ...]
    values: NDArray[np.float64]
    return_bps: NDArray[np.float64]
    split: int


@dataclass(frozen=True, slots=True)
class RealRun:
    """What was made. `correlation` by role: of the predictions with what the mid then did, on rows that the
    model was not trained on."""

    events: int
    states: int
    evicted: int
    trained_rows: int
    messages: dict[str, int]
    correlation: dict[str, float]


def load_sample() -> RealSample:
    """The whole sample, cleaned; rows of one instant are never split.

    Raises:
        ValueError: the installed package ships other data than this was written for.
    """
    events = read_events()
    if len(events) != SAMPLE_EVENTS:
        raise ValueError(
            f"the order-book sample has {len(events)} events, not {SAMPLE_EVENTS}; "
            "install the version of ob-analytics that the extra `sample` asks for"
        )
    book = replay_book(events)
    columns = book_features(book)
    split = int(np.searchsorted(book.ts_ms, book.ts_ms[int(len(book) * TRAINING_SHARE)]))
    return RealSample(
        book=book,
        names=tuple(columns),
        values=np.column_stack(list(columns.values())),
        return_bps=forward_return_bps(book, HORIZON_S),
        split=split,
    )


def train(sample: RealSample, names: Sequence[str], hidden: int) -> tuple[Network, int]:
    """A model of the named columns from the rows whose outcome was known before the split; and how many."""
    known = sample.book.ts_ms + HORIZON_S * 1000 < sample.book.ts_ms[sample.split]
    columns = [sample.names.index(name) for name in names]
    rows = known & np.isfinite(sample.values).all(axis=1) & np.isfinite(sample.return_bps)
    features = sample.values[rows][:, columns]
    return fit(features, sample.return_bps[rows], penalty=1e-3, hidden=hidden, seed=SEED), int(rows.sum())


def make_real(directory: Path, sample: RealSample | None = None) -> RealRun:
    """Train, pack, and write streams, configuration, models and reference into `directory`.

    Raises:
        ArtifactError: `directory` holds models already.
    """
    sample = sample or load_sample()
    active, trained_rows = train(sample, ACTIVE_FEATURES, hidden=0)
    shadow, _ = train(sample, SHADOW_FEATURES, hidden=24)
    directory.mkdir(parents=True, exist_ok=True)
    features = sample.values.astype(np.float32)
    models: dict[str, Predict] = {}
    predictions: dict[str, NDArray[np.float64]] = {}
    sha256: dict[str, str] = {}
    for role, version, network, names in (
        ("active", ACTIVE_VERSION, active, ACTIVE_FEATURES),
        ("shadow", SHADOW_VERSION, shadow, SHADOW_FEATURES),
    ):
        artifact = _pack(directory / "models" / role, version, network, names)
        sha256[role], models[role] = artifact.sha256, predictor(artifact.dir, sample.names)
        complete = np.isfinite(features[:, [sample.names.index(name) for name in names]]).all(axis=1)
        predictions[role] = np.full(len(features), np.nan)
        predictions[role][complete] = models[role](features[complete])
    trained = features[: sample.split].astype(np.float64)
    reference = build_reference(
        {name: trained[:, i] for i, name in enumerate(sample.names)},
        {sha256[role]: values[: sample.split] for role, values in predictions.items()},
    )
    (directory / "reference.json").write_bytes(reference.to_bytes() + b"\n")
    (directory / "features.schema.json").write_bytes(orjson.dumps(feature_schema(sample.names)) + b"\n")
    (directory / "config.yaml").write_text(_CONFIG, encoding="utf-8")
    threshold = float(np.nanstd(predictions["active"][: sample.split])) / 2
    messages = write_streams(directory, _desk(sample, models["active"], threshold).messages(_slices(sample)))
    unseen = np.flatnonzero(np.isfinite(sample.return_bps[sample.split :])) + sample.split
    correlation = {
        role: float(np.corrcoef(values[unseen], sample.return_bps[unseen])[0, 1])
        for role, values in predictions.items()
    }
    return RealRun(SAMPLE_EVENTS, len(sample.book), sample.book.evicted, trained_rows, messages, correlation)


def _pack(directory: Path, version: str, network: Network, names: Sequence[str]) -> Artifact:
    with tempfile.TemporaryDirectory() as scratch:
        model, schema = Path(scratch) / "model.onnx", Path(scratch) / "schema.json"
        model.write_bytes(onnx_bytes(network))
        schema.write_bytes(orjson.dumps(feature_schema(names)))
        about = Description(
            name="book",
            version=version,
            kind="return",
            horizon_ns=HORIZON_S * 1_000_000_000,
            units="bps",
            dataset_id=HABITS.dataset,
        )
        return pack_model(model, schema, directory, about)[0]


def _desk(sample: RealSample, active: Predict, threshold: float) -> Desk:
    start_ms = int(sample.book.ts_ms[sample.split])
    mid = (sample.book.bid_price[sample.split, 0] + sample.book.ask_price[sample.split, 0]) / 2
    listing = Listing(SYMBOL, Decimal(TICK_USD), Decimal(1) / LOTS_PER_COIN, Decimal(str(mid)), 0.0)
    return Desk(
        SEED,
        start_ms * 1_000_000,
        [listing],
        sample.names,
        {ACTIVE_VERSION: active},
        [Shift(0.0, ACTIVE_VERSION)],
        habits=replace(HABITS, threshold=threshold),
    )


def _slices(sample: RealSample) -> Iterator[MarketSlice]:
    """The rows after the split, a second at a time."""
    book, first = sample.book, sample.split
    seconds = book.ts_ms[first:] // 1000
    cuts = [first, *(first + 1 + np.flatnonzero(np.diff(seconds))).tolist(), len(book)]
    for start, end in pairwise(cuts):
        rows = slice(start, end)
        yield MarketSlice(
            ts_ns=book.ts_ms[rows] * 1_000_000,
            listing=np.zeros(end - start, np.int64),
            number=np.arange(start, end),
            features=sample.values[rows].astype(np.float32),
            bid=book.bid_price[rows, 0],
            ask=book.ask_price[rows, 0],
        )


_CONFIG = f"""\
version: 1
transport: {{kind: memory, group: real, start: earliest}}
topics: {{features: features, orders: orders, commands: commands, prefix: sm-}}
instruments:
  {SYMBOL}: {{tick_size: "{TICK_USD}", lot_size: "0.00000001", multiplier: "1", currency: USD}}
feature_schemas: [features.schema.json]
deployments:
  {DEPLOYMENT}:
    capital: {{amount: "100000", currency: USD}}
    filter: {{strategy: {HABITS.strategy}}}
    models: {{active: models/active, shadows: {{shadow: models/shadow}}}}
    reference: reference.json
    books: {{start_flat: true, mark_staleness: 10s}}
    paper: {{target: sign, threshold: 0.1, quantity: "0.5", holding: 2s, latency: 10ms, fee_bps: "0.2"}}
    windows: [5m, 30m]
    samples: {{rank_k: 100000}}
    policy:
      name: real
      rules:
        # Far above the textbook's 0.25: ten minutes of a market say little about the next twenty.
        - {{id: feature-drift, subject: deployment, metric: psi, window: 30m, above: 0.5, min_samples: 25000,
           schedule: 60s, keep_firing_for: 10m, no_data: hold, severity: info, action: alert}}
        - {{id: shadow-agrees, subject: shadow, metric: rank_correlation, labels: {{role: shadow}},
           window: 5m, below: 0.1, min_samples: 1000, for: 60s, schedule: 5s, no_data: hold,
           severity: warning, action: demote}}
        - {{id: drawdown, subject: deployment, metric: drawdown, labels: {{role: active, fills: real}},
           window: session, schedule: tick, above: 0.02, keep_firing_for: 10m, no_data: alert,
           severity: critical, action: kill, scope: trading}}
"""


def main(directory: Path) -> None:
    """Make the run and say what it is made of."""
    run = make_real(directory)
    found = ", ".join(f"{role} {value:.3f}" for role, value in run.correlation.items())
    print(
        f"{run.events} real order events -> {run.states} states of the book, never crossed "
        f"({run.evicted} stale snapshot orders evicted)\n"
        f"trained on {run.trained_rows} rows of the first third\n"
        f"correlation with the mid's next {HORIZON_S} s on the rest: {found}\n"
        f"wrote {run.messages['features']} features and {run.messages['orders']} orders to {directory}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
