"""A desk that trades 20 real stocks at each close: its files, and its book day by day in fractions.

The active bets against the day's move, the shadow on the month's; the desk itself follows the month, with
costs. Days on which nobody trades have no rows, but they pass.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from models.model_builders import linear, write_artifact
from numpy.typing import NDArray
from trading.daily_prices import Daily, daily_prices

S = 1_000_000_000
DAY = 86_400 * S
CLOSE = 21 * 3_600 * S
"""After midnight, UTC."""
MONTH = 20
"""Days of the slow signal."""
SHARES = 300
SLIPPAGE, FEE = Fraction(1, 1000), Fraction(5, 1000)
"""Of a share."""
CAPITAL = 500_000
COLUMNS = {"active": "reversal", "shadow": "momentum"}


@dataclass(frozen=True)
class Desk:
    """From `first` to `last`, with the days before that the signals need."""

    first: str
    last: str

    @cached_property
    def _whole(self) -> Daily:
        return daily_prices()

    @cached_property
    def _rows(self) -> NDArray[np.intp]:
        days = self._whole.days
        return np.flatnonzero((days >= np.datetime64(self.first)) & (days <= np.datetime64(self.last)))

    @property
    def symbols(self) -> tuple[str, ...]:
        return self._whole.symbols

    @cached_property
    def price(self) -> NDArray[np.float64]:
        """(days, stocks)"""
        return self._whole.price[self._rows]

    @cached_property
    def ts(self) -> list[int]:
        """The close of each day."""
        days = self._whole.days[self._rows].astype("datetime64[ns]").astype(np.int64)
        return [int(day) + CLOSE for day in days]

    @cached_property
    def signals(self) -> dict[str, NDArray[np.float64]]:
        """(days, stocks), in the precision of the models."""
        price, rows = self._whole.price, self._rows
        fast, slow = (price[rows] / price[rows - back] - 1.0 for back in (1, MONTH))
        return {"reversal": np.float32(-fast).astype(float), "momentum": np.float32(slow).astype(float)}

    @cached_property
    def trades(self) -> NDArray[np.int64]:
        """Shares bought at each close, (days, stocks)."""
        target = SHARES * np.sign(self.signals["momentum"]).astype(np.int64)
        return np.diff(target, axis=0, prepend=0)

    @cached_property
    def equity(self) -> list[Fraction]:
        """After each close: cash + quantity x price."""
        cash, held, out = Fraction(0), np.zeros(len(self.symbols), np.int64), []
        for traded, prices in zip(self.trades, self.price, strict=True):
            exact = [Fraction(str(p)) for p in prices.tolist()]
            for lots, price in zip(traded.tolist(), exact, strict=True):
                cash -= lots * price + abs(lots) * (SLIPPAGE + FEE)
            held = held + traded
            out.append(cash + sum(q * p for q, p in zip(held.tolist(), exact, strict=True)))
        return out

    def equity_at(self, instant: int) -> Fraction:
        """Of all closes before an instant."""
        done = int(np.searchsorted(self.ts, instant))
        return self.equity[done - 1] if done else Fraction(0)

    def price_at(self, instant: int) -> NDArray[np.float64]:
        """Of the last close at or before an instant, (stocks,)."""
        return self.price[int(np.searchsorted(self.ts, instant, side="right")) - 1]

    def write(self, directory: Path) -> None:
        """Configuration, models and streams."""
        features, orders = [], []
        for day, ts in enumerate(self.ts):
            for place, symbol in enumerate(self.symbols):
                price = float(self.price[day, place])
                values = {name: float(signal[day, place]) for name, signal in self.signals.items()}
                about = {"event_id": f"{day}", "ts_ns": ts, "symbol": symbol}
                features.append({**about, "features": values, "bid": price, "ask": price})
                lots = int(self.trades[day, place])
                if lots:
                    orders.append(_fill(f"{symbol}{day}", ts, symbol, lots, price))
        for stream, rows in (("features", features), ("orders", orders)):
            (directory / f"{stream}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for role, column in COLUMNS.items():
            home = directory / role
            home.mkdir()
            write_artifact(home, linear(np.ones(1)), (column,), kind="return", horizon_ns=DAY, name=role)
        (directory / "config.yaml").write_text(yaml.safe_dump(self._configuration()))

    def _configuration(self) -> dict[str, Any]:
        instrument = {"tick_size": "0.001", "lot_size": "1", "currency": "USD"}
        return {
            "version": 1,
            "transport": {"kind": "memory", "group": "daily"},
            "event_time": {"max_future": "40d", "dedupe_window": "1d"},
            "instruments": dict.fromkeys(self.symbols, instrument),
            "deployments": {
                "daily": {
                    "models": {"active": "active/artifact", "shadows": {"shadow": "shadow/artifact"}},
                    "capital": {"amount": str(CAPITAL), "currency": "USD"},
                    "books": {"start_flat": True, "mark_staleness": "6d", "mark_band_bps": "100000"},
                    "paper": {"quantity": "1", "latency": "0s", "holding": "1d"},
                    "windows": ["30d", "365d"],
                    "samples": {"rank_k": 100_000},
                    "skill": {"lag": "0s", "limit": 20_000},
                    "markouts": {"horizons": ["1d", "5d"], "limit": 20_000},
                    "grids": {"evaluation_interval": "12h", "tick": "12h"},
                    "performance": {"grid": "12h"},
                }
            },
        }


def _fill(order: str, ts: int, symbol: str, lots: int, price: float) -> dict[str, Any]:
    paid = Fraction(str(price)) + (SLIPPAGE if lots > 0 else -SLIPPAGE)
    return {
        "order_id": order,
        "exec_id": order,
        "ts_ns": ts,
        "symbol": symbol,
        "kind": "fill",
        "side": "buy" if lots > 0 else "sell",
        "quantity": str(abs(lots)),
        "last_quantity": str(abs(lots)),
        "cum_quantity": str(abs(lots)),
        "last_price": f"{float(paid):.3f}",
        "fee": f"{float(abs(lots) * FEE):.3f}",
        "fee_currency": "USD",
    }
