"""Streams for simulated runs: a small market whose rules fire, and all that goes wrong on the way in."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MS = 1_000_000
SECOND = 1_000 * MS
START_NS = 1_767_607_254 * SECOND + 500 * MS
"""2026-01-05T10:00:54.5Z: drift is evaluated at the full minute, rank agreement every five seconds."""

LATENESS_NS = 100 * MS
SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE")
TICK = 0.01


class Sent(NamedTuple):
    """A message as a producer sends it, at `clock_ns` of the log."""

    clock_ns: int
    stream: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None


@dataclass(slots=True)
class Script:
    """What is sent, by clock. `timely`: no row comes behind a watermark that nothing but rows has moved."""

    seed: int
    seconds: float = 14.0
    start_ns: int = START_NS
    timely: bool = False
    symbols: tuple[str, ...] = SYMBOLS
    gap_ms: float = 70.0
    order_gap_ms: float = 400.0
    faults: bool = True
    outcomes: bool = False
    sent: list[Sent] = field(default_factory=list)

    def messages(self) -> list[Sent]:
        """All messages in order of sending."""
        rng = random.Random(self.seed)
        silences = self._silences(rng)
        for symbol in self.symbols:
            prices = self._features(rng, symbol, silences)
            self._orders(rng, symbol, prices, silences)
        if not self.timely:
            self._bursts(rng)
        order = {id(sent): place for place, sent in enumerate(self.sent)}
        return sorted(self.sent, key=lambda sent: (sent.clock_ns, order[id(sent)]))

    def _silences(self, rng: random.Random) -> list[tuple[int, int]]:
        """Stretches in which nothing is sent at all."""
        if self.timely or not self.faults:
            return []
        begin = self.start_ns + rng.randrange(2, 9) * SECOND
        return [(begin, begin + rng.choice((400, 1500, 3500)) * MS)]

    def _delay(self, rng: random.Random) -> int:
        if self.timely:
            return rng.choice((0, 0, 1, 5, 20, 60, 80)) * MS
        if rng.random() < 0.2:
            return rng.choice((90, 120, 300, 900)) * MS
        return rng.randrange(0, 80) * MS

    def _features(self, rng: random.Random, symbol: str, silences: list[tuple[int, int]]) -> dict[int, int]:
        ts, number, cents = self.start_ns, 0, 10_000 + 100 * rng.randrange(50)
        end, prices = self.start_ns + int(self.seconds * SECOND), {}
        broken = self.start_ns + int(self.seconds * 0.3 * SECOND)
        failing = self.start_ns + int(self.seconds * 0.5 * SECOND)
        while ts < end:
            cents += rng.choice((-2, -1, 0, 1, 2)) + (200 * rng.choice((-1, 1)) if rng.random() < 0.01 else 0)
            prices[ts] = cents
            # From `broken` on the first column says nothing: models agree no more, and it has drifted.
            first = 7.0 if self.faults and ts >= broken else round(rng.gauss(0, 3), 3)
            bad = self.faults and failing <= ts < failing + 2 * SECOND and rng.random() < 0.3
            served = {"status": "error"} if bad else {"status": "ok", "latency_ms": rng.choice((1, 2, 40))}
            event = feature(f"{symbol}-{number}", ts, symbol, first, cents, served)
            delay = 0 if number == 0 else self._delay(rng)
            if not any(a <= ts < b for a, b in silences):
                self._send(rng, "features", symbol, event, ts, delay)
                if self.outcomes and rng.random() < 0.5:
                    outcome = {"event_id": event["event_id"], "ts_ns": ts + 200 * MS, "symbol": symbol}
                    self._send(rng, "outcomes", symbol, outcome | {"label": 0.5}, ts + 200 * MS, delay)
            number += 1
            step = int(rng.expovariate(1 / self.gap_ms) * MS)
            # Many feeds stamp several rows with one instant.
            ts += 0 if number > 1 and rng.random() < 0.1 else max(step, MS)
        return prices

    def _orders(
        self, rng: random.Random, symbol: str, prices: dict[int, int], silences: list[tuple[int, int]]
    ) -> None:
        ts, number = self.start_ns + rng.randrange(20, 300) * MS, 0
        end = self.start_ns + int(self.seconds * SECOND)
        bleeding = self.start_ns + int(self.seconds * 0.7 * SECOND)
        known = sorted(prices)
        while ts < end:
            cents = prices[max((t for t in known if t <= ts), default=known[0])]
            side = rng.choice(("buy", "sell"))
            # Late in the story fills come far worse than the quote: the account bleeds.
            worse = 300 if self.faults and ts >= bleeding else 1
            paid = cents + (worse if side == "buy" else -worse)
            report = fill(f"{symbol}-x{number}", ts, symbol, side, rng.choice((10, 50, 100)), paid)
            if not any(a <= ts < b for a, b in silences):
                self._send(rng, "orders", symbol, report, ts, self._delay(rng))
            number += 1
            ts += max(MS, int(rng.expovariate(1 / self.order_gap_ms) * MS))

    def _send(
        self, rng: random.Random, stream: str, symbol: str, message: dict[str, Any], ts: int, delay: int
    ) -> None:
        key = symbol.encode()
        body = encode(message)
        at = ts + delay
        self.sent.append(Sent(at, stream, key, body))
        if not self.faults:
            return
        draw = rng.random()
        if draw < 0.06:
            again = rng.randrange(0, max(1, (80 * MS - delay))) if self.timely else rng.randrange(3000) * MS
            self.sent.append(Sent(at + max(again, 0), stream, key, body))
        # A row without a time of its own is placed at its input's bound, which must not lag behind others.
        if self.timely and (delay or stream != "features"):
            return
        ident = "exec_id" if stream == "orders" else "event_id"
        if 0.06 <= draw < 0.09:
            late = message | {"ts_ns": ts - LATENESS_NS - rng.randrange(1, 500) * MS}
            self.sent.append(Sent(at, stream, key, encode(late | {ident: message[ident] + "-late"})))
        elif draw < 0.11:
            future = message | {"ts_ns": ts + 3600 * SECOND, ident: message[ident] + "-future"}
            self.sent.append(Sent(at, stream, key, encode(future)))
        elif draw < 0.13:
            self.sent.append(Sent(at, stream, key, body[: len(body) // 2]))

    def _bursts(self, rng: random.Random) -> None:
        """Many rows of one instant at once."""
        at = self.start_ns + rng.randrange(1, int(self.seconds) + 1) * SECOND // 2
        symbol = rng.choice(self.symbols)
        for number in range(150):
            event = feature(f"{symbol}-burst{number}", at, symbol, 1.0, 10_000, None)
            self.sent.append(Sent(at + 3 * MS, "features", symbol.encode(), encode(event)))


def steady(symbols: tuple[str, ...], seconds: float, gap_ms: int = 100) -> list[Sent]:
    """A steady stream: every symbol a row each `gap_ms`, 5 ms on its way."""
    return [
        Sent(
            START_NS + at * MS + 5 * MS,
            "features",
            symbol.encode(),
            encode(feature(f"{symbol}-{at}", START_NS + at * MS, symbol, at % 7 - 3, 10_000 + at % 5, None)),
        )
        for at in range(0, int(seconds * 1000), gap_ms)
        for symbol in symbols
    ]


def order(symbol: str, at_ms: int) -> Sent:
    """One fill, 5 ms on its way."""
    at = START_NS + at_ms * MS
    report = fill(f"{symbol}-{at_ms}", at, symbol, "buy", 1, 10_000)
    return Sent(at + 5 * MS, "orders", symbol.encode(), encode(report))


def feature(
    event_id: str, ts_ns: int, symbol: str, first: float, cents: int, served: dict[str, Any] | None
) -> dict[str, Any]:
    """A feature event of the three columns that the simulated models know."""
    return {
        "event_id": event_id,
        "ts_ns": ts_ns,
        "symbol": symbol,
        "features": {"c0": first, "c1": 1.0, "c2": None},
        "bid": round((cents - 1) * TICK, 2),
        "ask": round((cents + 1) * TICK, 2),
        **({"served": served} if served else {}),
    }


def fill(exec_id: str, ts_ns: int, symbol: str, side: str, lots: int, cents: int) -> dict[str, Any]:
    """An execution report of a fill."""
    return {
        "order_id": f"o-{exec_id}",
        "exec_id": exec_id,
        "ts_ns": ts_ns,
        "symbol": symbol,
        "kind": "fill",
        "side": side,
        "quantity": lots,
        "last_quantity": lots,
        "last_price": f"{cents / 100:.2f}",
        "fee": "0.02",
        "account": "a1",
        "strategy": "desk",
    }


def encode(message: dict[str, Any]) -> bytes:
    """As a producer writes it."""
    return json.dumps(message).encode()
