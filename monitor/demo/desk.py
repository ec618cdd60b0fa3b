"""A production desk: serves the live model for every feature event, trades its signal, reports executions.

It turns market slices into wire messages. Everything it does follows from the seed, the market and the
predictions; it knows no transport and no monitor.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from monitor.demo.faults import FaultKind, Faults
from monitor.demo.market import Listing, MarketSlice
from monitor.demo.message import Message
from monitor.transport.contract import FEATURES, ORDERS
from monitor.wire.keys import feature_schema_crc32

Predict = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""A model: all features of the market (n, F) float32 -> predictions (n,) float64."""

_TIMEOUT_S = 0.1
_CENT_OF_A_CENT = Decimal("0.00000001")


class Shift(NamedTuple):
    """From `start_s` seconds into the stream, production runs `model_version`."""

    start_s: float
    model_version: str


@dataclass(frozen=True, slots=True)
class DeskHabits:
    """How the desk trades. Times in seconds, `notional` in the listing's currency a symbol.

    `threshold` is the size of a prediction below which the desk wants to be flat.
    """

    notional: Decimal = Decimal("50000")
    threshold: float = 8e-5
    hold_s: float = 1.5
    fee_bps: Decimal = Decimal("0.2")
    partial_share: float = 0.15
    cancel_share: float = 0.03
    latency_median_s: float = 0.0012
    latency_sigma: float = 0.45
    error_share: float = 0.0005
    account: str = "demo-1"
    strategy: str = "demo"
    dataset: str = "demo-market"
    halted_s: float = float("inf")
    """Seconds into the stream from which the desk places no order any more."""

    def lots(self, listing: Listing) -> int:
        """What it holds of a symbol when it is not flat."""
        return int(self.notional / listing.open / listing.lot)


@dataclass(slots=True)
class _Working:
    """An order on its way; `legs` are the quantities (lots) still to be filled, in order."""

    order_id: str
    listing: int
    sign: int
    quantity: int
    legs: list[int]
    cancel: bool
    common: dict[str, Any]
    tags: dict[str, Any]
    filled: int = 0
    reports: int = 0


@dataclass(slots=True)
class _Line:
    """The desk's view of one symbol."""

    listing: Listing
    size: int
    bid: int = 0
    ask: int = 0
    position: int = 0
    decide_ns: int = 0
    working: bool = False
    orders: int = 0


@dataclass(order=True, slots=True)
class _Action:
    """Something the venue does to an order at `ts_ns`; `sequence` keeps equal times in order of planning."""

    ts_ns: int
    sequence: int
    kind: str = field(compare=False)
    order: _Working = field(compare=False)


class Desk:
    """Serves and trades one stream. `models` by version; `shifts` say which one is live when.

    Args:
        seed: of the desk's own randomness (latencies, errors, partial fills).
        start_ns: event time at which the stream begins; also makes ids unique between runs.
        feature_names: of the columns of the market's slices, all float32.
    """

    def __init__(
        self,
        seed: int,
        start_ns: int,
        listings: Sequence[Listing],
        feature_names: Sequence[str],
        models: Mapping[str, Predict],
        shifts: Sequence[Shift],
        faults: Faults | None = None,
        habits: DeskHabits | None = None,
    ) -> None:
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 2])))
        self._start_ns = start_ns
        self._run = f"{start_ns // 1_000_000_000:x}"
        self._habits = habits or DeskHabits()
        self._halted_ns = start_ns + self._habits.halted_s * 1e9
        self._faults = faults or Faults()
        self._schema_crc32 = feature_schema_crc32(feature_schema(feature_names))
        self._models = models
        self._shifts = sorted(shifts)
        self._lines = [_Line(x, self._habits.lots(x)) for x in listings]
        self._actions: list[_Action] = []
        self._outbox: list[tuple[int, int, Message]] = []
        self._sequence = 0

    def messages(self, slices: Iterable[MarketSlice]) -> Iterator[Message]:
        """Feature messages with production's answer, and execution reports, by publication time."""
        for market in slices:
            yield from self._trade(market)
        self._run_actions(np.iinfo(np.int64).max)
        yield from self._publish_before(np.iinfo(np.int64).max)

    def _trade(self, market: MarketSlice) -> Iterator[Message]:
        elapsed_s = float(market.ts_ns[0] - self._start_ns) * 1e-9
        shift = [s for s in self._shifts if s.start_s <= elapsed_s][-1]
        predictions = np.asarray(self._models[shift.model_version](market.features), np.float64)
        n = len(market)
        habits = self._habits
        latency_s = habits.latency_median_s * np.exp(habits.latency_sigma * self._rng.standard_normal(n))
        latency_s = np.minimum(
            latency_s * self._faults.factor(FaultKind.SERVED_LATENCY, elapsed_s), _TIMEOUT_S
        )
        failed = self._rng.random(n) < habits.error_share + self._faults.total(
            FaultKind.SERVED_ERRORS, elapsed_s
        )
        latency_ns = np.rint(latency_s * 1e6).astype(np.int64) * 1000
        for row in range(n):
            ts_ns = int(market.ts_ns[row])
            self._run_actions(ts_ns)
            yield from self._publish_before(ts_ns)
            line = self._lines[int(market.listing[row])]
            line.bid, line.ask = int(market.bid[row]), int(market.ask[row])
            event_id = f"{line.listing.symbol}-{self._run}-{int(market.number[row])}"
            answered_ns = ts_ns + int(latency_ns[row])
            prediction = None if failed[row] else float(predictions[row])
            served = {
                "model_version": shift.model_version,
                "arm": "active",
                "prediction": prediction,
                "status": "error" if failed[row] else "ok",
                "latency_ms": int(latency_ns[row]) / 1e6,
            }
            self._send(
                FEATURES,
                line.listing.symbol,
                answered_ns,
                {
                    "event_id": event_id,
                    "ts_ns": ts_ns,
                    "symbol": line.listing.symbol,
                    "features": market.features[row],
                    "schema_crc32": self._schema_crc32,
                    "price": _price(line.bid + line.ask, line.listing.tick / 2),
                    "bid": _price(line.bid, line.listing.tick),
                    "ask": _price(line.ask, line.listing.tick),
                    "served": served,
                },
            )
            if prediction is not None and not line.working and line.decide_ns <= ts_ns < self._halted_ns:
                self._decide(int(market.listing[row]), event_id, answered_ns, prediction, served)

    def _decide(
        self, listing: int, event_id: str, now_ns: int, prediction: float, served: Mapping[str, Any]
    ) -> None:
        line, habits = self._lines[listing], self._habits
        wanted = 0 if abs(prediction) <= habits.threshold else line.size * (1 if prediction > 0 else -1)
        change = wanted - line.position
        if change == 0:
            return
        line.orders += 1
        line.working = True
        line.decide_ns = now_ns + int(habits.hold_s * 1e9)
        quantity = abs(change)
        legs = [quantity]
        cancel = False
        if self._rng.random() < habits.partial_share and quantity > 1:
            first = max(1, int(quantity * self._rng.uniform(0.2, 0.8)))
            cancel = bool(self._rng.random() < habits.cancel_share / habits.partial_share)
            legs = [first] if cancel else [first, quantity - first]
        order = _Working(
            order_id=f"{line.listing.symbol}-{self._run}-o{line.orders}",
            listing=listing,
            sign=1 if change > 0 else -1,
            quantity=quantity,
            legs=legs,
            cancel=cancel,
            common={
                "symbol": line.listing.symbol,
                "side": "buy" if change > 0 else "sell",
                "order_type": "market",
                "time_in_force": "IOC",
                "quantity": _decimal(quantity, line.listing.lot),
                "account": habits.account,
                "strategy": habits.strategy,
                "feature_event_id": event_id,
                "prediction": prediction,
            },
            tags={
                "model_version": served["model_version"],
                "model_run_id": f"run-{served['model_version']}",
                "feature_version": "1",
                "dataset_manifest_id": habits.dataset,
                "onnx_model": f"{served['model_version']}/model.onnx",
                "inference_latency_ms": served["latency_ms"],
                "deployed_at": self._start_ns,
            },
        )
        sent_ns = now_ns + self._delay_ns(0.0003, 0.001)
        acked_ns = sent_ns + self._delay_ns(0.001, 0.003)
        self._plan(sent_ns, "new", order)
        self._plan(acked_ns, "ack", order)
        at_ns = acked_ns
        for _ in order.legs:
            at_ns += self._delay_ns(0.002, 0.01)
            self._plan(at_ns, "fill", order)
        if cancel:
            self._plan(at_ns + self._delay_ns(0.002, 0.01), "cancel", order)

    def _plan(self, ts_ns: int, kind: str, order: _Working) -> None:
        self._sequence += 1
        heapq.heappush(self._actions, _Action(ts_ns, self._sequence, kind, order))

    def _run_actions(self, until_ns: int) -> None:
        while self._actions and self._actions[0].ts_ns <= until_ns:
            action = heapq.heappop(self._actions)
            order, line = action.order, self._lines[action.order.listing]
            report: dict[str, Any] = {}
            kind = action.kind
            if kind == "fill":
                report = self._fill(order, line, action.ts_ns)
                kind = "fill" if order.filled == order.quantity else "partial_fill"
            if kind in ("fill", "cancel"):
                line.working = False
            order.reports += 1
            body = {
                "order_id": order.order_id,
                "exec_id": f"{order.order_id}.{order.reports}",
                "ts_ns": action.ts_ns,
                "kind": kind,
                **order.common,
                **report,
                "cum_quantity": _decimal(order.filled, line.listing.lot),
                "tags": order.tags,
            }
            self._send(ORDERS, line.listing.symbol, action.ts_ns + self._delay_ns(0.0002, 0.001), body)

    def _fill(self, order: _Working, line: _Line, ts_ns: int) -> dict[str, Any]:
        """Fills the next leg at the quote that stands, worse by the fault's basis points."""
        quantity = order.legs.pop(0)
        order.filled += quantity
        line.position += order.sign * quantity
        adverse_bps = self._faults.total(FaultKind.ADVERSE_FILLS, (ts_ns - self._start_ns) * 1e-9)
        quote = line.ask if order.sign > 0 else line.bid
        ticks = quote + order.sign * round(quote * adverse_bps * 1e-4)
        notional = ticks * line.listing.tick * quantity * line.listing.lot
        fee = (notional * self._habits.fee_bps / 10_000).quantize(_CENT_OF_A_CENT, ROUND_HALF_UP)
        return {
            "last_quantity": _decimal(quantity, line.listing.lot),
            "last_price": _decimal(ticks, line.listing.tick),
            "fee": f"{fee:f}",
            "fee_currency": line.listing.currency,
        }

    def _delay_ns(self, low_s: float, high_s: float) -> int:
        return int(self._rng.uniform(low_s, high_s) * 1e6) * 1000

    def _send(self, stream: str, symbol: str, published_ns: int, body: dict[str, Any]) -> None:
        value = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
        self._sequence += 1
        message = Message(stream, symbol.encode(), value, published_ns)
        heapq.heappush(self._outbox, (published_ns, self._sequence, message))

    def _publish_before(self, ts_ns: int) -> Iterator[Message]:
        while self._outbox and self._outbox[0][0] < ts_ns:
            yield heapq.heappop(self._outbox)[2]


def feature_schema(names: Sequence[str]) -> list[tuple[str, str]]:
    """The `[name, dtype]` pairs of columns that are all float32."""
    return [(name, "float32") for name in names]


def _decimal(units: int, unit: Decimal) -> str:
    return f"{units * unit:f}"


def _price(units: int, unit: Decimal) -> float:
    return float(units * unit)
