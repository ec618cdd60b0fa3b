"""Five symbols whose features really predict: the seeded market that the demo desk trades on.

It knows features and quotes, nothing of models, orders or messages. Per symbol one event in every 50 ms of
event time, at a random instant within it, so 100 events a second over all. Features are independent AR(1)
processes of unit variance; the log mid moves each step by `DRIFT_BPS * s + NOISE_BPS * e`, where the signal
s (unit variance) is a fixed combination of the first four features and e is standard normal noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.demo.faults import FaultKind, Faults

FEATURE_COUNT = 32
FEATURE_NAMES = tuple(f"f{i:02d}" for i in range(FEATURE_COUNT))
SIGNAL_WEIGHTS = (0.6, 0.5, 0.4, 0.3)
"""Of f00..f03, before scaling to unit variance; the shipped models know them with noise."""

STEP_NS = 50_000_000
STEPS_PER_SLICE = 20
DRIFT_BPS = 0.3
NOISE_BPS = 0.5
SIGNAL_PERSISTENCE = 0.9
"""AR(1) coefficient per step of the signal features: the edge of a prediction decays within half a second."""

NOISE_PERSISTENCE = (0.5, 0.8)
"""Range of the coefficients of the other features."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What trades: grid of prices and quantities, opening mid, half the quoted spread."""

    symbol: str
    tick: Decimal
    lot: Decimal
    open: Decimal
    half_spread_bps: float
    currency: str = "USD"


LISTINGS = (
    Listing("BTCUSD", Decimal("0.01"), Decimal("0.00000001"), Decimal("64000"), 0.3),
    Listing("ETHUSD", Decimal("0.01"), Decimal("0.000001"), Decimal("3200"), 0.3),
    Listing("SOLUSD", Decimal("0.001"), Decimal("0.0001"), Decimal("150"), 0.4),
    Listing("XRPUSD", Decimal("0.00001"), Decimal("0.1"), Decimal("0.6"), 0.4),
    Listing("ADAUSD", Decimal("0.00001"), Decimal("0.1"), Decimal("0.45"), 0.5),
)


@dataclass(frozen=True, slots=True)
class MarketSlice:
    """One second of the market, rows by `ts_ns`.

    `ts_ns` (n,) int64; `listing` (n,) int64 index into the market's listings; `number` (n,) int64, the
    event's running number within its symbol; `features` (n, 32) float32; `bid`, `ask` (n,) int64 in ticks,
    always `bid < ask`.
    """

    ts_ns: NDArray[np.int64]
    listing: NDArray[np.int64]
    number: NDArray[np.int64]
    features: NDArray[np.float32]
    bid: NDArray[np.int64]
    ask: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ts_ns)


class Market:
    """The stream of a seed: same seed and start, same slices. Faults change features, never the prices."""

    def __init__(
        self, seed: int, start_ns: int, faults: Faults | None = None, listings: Sequence[Listing] = LISTINGS
    ) -> None:
        self.start_ns = start_ns
        self.listings = tuple(listings)
        self._faults = faults or Faults()
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 1])))
        low, high = NOISE_PERSISTENCE
        self._persistence = np.linspace(low, high, FEATURE_COUNT)
        self._persistence[: len(SIGNAL_WEIGHTS)] = SIGNAL_PERSISTENCE
        self._innovation = np.sqrt(1.0 - self._persistence**2)
        weights = np.asarray(SIGNAL_WEIGHTS)
        self._weights = weights / np.sqrt(np.sum(weights**2))
        self._tick = np.array([float(x.tick) for x in self.listings])
        self._half_spread = np.array([x.half_spread_bps * 1e-4 for x in self.listings])

    def slices(self, seconds: int) -> Iterator[MarketSlice]:
        """The first `seconds` seconds, one slice each; memory does not grow with time. Call once."""
        count = len(self.listings)
        state = self._rng.standard_normal((count, FEATURE_COUNT))
        log_mid = np.log([float(x.open) for x in self.listings])
        for second in range(seconds):
            shape = (STEPS_PER_SLICE, count)
            noise = self._rng.standard_normal((*shape, FEATURE_COUNT))
            surprise = self._rng.standard_normal(shape)
            jitter_us = self._rng.integers(0, STEP_NS // 1000, shape)
            features = np.empty((*shape, FEATURE_COUNT))
            log_mids = np.empty(shape)
            for step in range(STEPS_PER_SLICE):
                signal = state[:, : len(SIGNAL_WEIGHTS)] @ self._weights
                log_mid = log_mid + (DRIFT_BPS * signal + NOISE_BPS * surprise[step]) * 1e-4
                state = self._persistence * state + self._innovation * noise[step]
                features[step], log_mids[step] = state, log_mid
            steps = second * STEPS_PER_SLICE + np.arange(STEPS_PER_SLICE)
            ts_ns = self.start_ns + steps[:, None] * STEP_NS + jitter_us * 1000
            yield self._slice(ts_ns, steps, features, np.exp(log_mids))

    def _slice(
        self,
        ts_ns: NDArray[np.int64],
        steps: NDArray[np.int64],
        features: NDArray[np.float64],
        mid: NDArray[np.float64],
    ) -> MarketSlice:
        shape = ts_ns.shape
        bid = np.floor(mid * (1.0 - self._half_spread) / self._tick).astype(np.int64)
        ask = np.ceil(mid * (1.0 + self._half_spread) / self._tick).astype(np.int64)
        ask = np.maximum(ask, bid + 1)
        self._break(features, ts_ns)
        listing = np.broadcast_to(np.arange(shape[1]), shape)
        number = np.broadcast_to(steps[:, None], shape)
        order = np.argsort(ts_ns, axis=None, kind="stable")

        def column(values: NDArray[Any]) -> NDArray[Any]:
            return values.reshape(-1)[order]

        return MarketSlice(
            ts_ns=column(ts_ns),
            listing=column(listing),
            number=column(number),
            features=features.reshape(-1, FEATURE_COUNT)[order].astype(np.float32),
            bid=column(bid),
            ask=column(ask),
        )

    def _break(self, features: NDArray[np.float64], ts_ns: NDArray[np.int64]) -> None:
        elapsed_s = (ts_ns - self.start_ns) * 1e-9
        for fault in self._faults.faults:
            hit = (elapsed_s >= fault.start_s) & (elapsed_s < fault.end_s)
            if fault.kind is FaultKind.FEATURE_SCALE:
                features[..., fault.feature] *= np.where(hit, fault.dose, 1.0)
            elif fault.kind is FaultKind.FEATURE_SHIFT:
                features[..., fault.feature] += np.where(hit, fault.dose, 0.0)
