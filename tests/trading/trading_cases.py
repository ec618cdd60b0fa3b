"""Instruments, markets and reports for the tests of the books; oracles written from the definitions."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np

from monitor.trading.units import InstrumentUnits
from monitor.wire.keys import execution_key
from monitor.wire.messages import ExecutionReport, Undoes

MS = 1_000_000
START = 1_700_000_000_000_000_000

BTC = InstrumentUnits.of("BTC/USD", Decimal("0.01"), Decimal("0.00000001"), Decimal(1), "USD")
FUTURE = InstrumentUnits.of("ES", Decimal("0.25"), Decimal(1), Decimal(50), "USD")
BUND = InstrumentUnits.of("FGBL", Decimal("0.01"), Decimal("0.5"), Decimal("1000"), "EUR")
INSTRUMENTS = [BTC, FUTURE, BUND]
LEVELS = {"BTC/USD": 6_500_000, "ES": 20_000, "FGBL": 13_000}
"""Where each symbol trades, in ticks."""


def key_of(each: ExecutionReport) -> int:
    """The hash by which a decoded report is known."""
    return execution_key(each.account, each.symbol, each.exec_id)


def report(kind: str, exec_id: str, symbol: str = "ES", **fields: object) -> ExecutionReport:
    """An execution report; decimal fields may be given as text."""
    exact = ("quantity", "price", "last_quantity", "last_price", "fee", "amount")
    cast = {k: Decimal(str(v)) if k in exact and v is not None else v for k, v in fields.items()}
    return ExecutionReport(order_id="o", exec_id=exec_id, ts_ns=START, symbol=symbol, kind=kind, **cast)  # type: ignore[arg-type]


def fill(exec_id: str, lots_text: str, price: str, symbol: str = "ES", **fields: object) -> ExecutionReport:
    """A fill of a signed quantity."""
    quantity = Decimal(lots_text)
    side = "buy" if quantity > 0 else "sell"
    return report("fill", exec_id, symbol, side=side, last_quantity=abs(quantity), last_price=price, **fields)


def undoing(old: ExecutionReport) -> Undoes:
    """The terms that a correction of `old` takes back."""
    assert old.side is not None
    assert old.last_quantity is not None
    assert old.last_price is not None
    return Undoes(
        side=old.side,
        last_quantity=old.last_quantity,
        last_price=old.last_price,
        fee=old.fee,
        fee_currency=old.fee_currency,
    )


class Chain(msgspec.Struct):
    """The reports of one execution in their true order, and the one whose terms hold in the end, if any."""

    reports: list[ExecutionReport]
    in_force: ExecutionReport | None


def random_execution(rng: random.Random, exec_id: str, units: InstrumentUnits, kind: str) -> ExecutionReport:
    """Economics of an execution: prices off the tick grid too, rebates, fees in another currency or none."""
    lots = rng.choice([1, 2, 3, 5, 8, 1000, 123_456_789])
    price = Decimal(LEVELS[units.symbol] + rng.randint(-500, 500)) * units.tick_size
    price += rng.choice([Decimal(0), Decimal(0), Decimal("0.0001"), units.tick_size / 2])
    fee = rng.choice([None, "0", "1.25", "-0.3", "0.000000000000000001"])
    return report(
        kind,
        exec_id,
        units.symbol,
        side=rng.choice(["buy", "sell"]),
        last_quantity=units.lot_size * lots,
        last_price=price,
        fee=fee,
        fee_currency=rng.choice([None, "USD", "BNB"]) if fee is not None else None,
    )


def random_chain(rng: random.Random, name: str, units: InstrumentUnits) -> Chain:
    """A fill, perhaps corrected (by its own id or the last correction's), perhaps busted at the end."""
    current = random_execution(rng, name, units, rng.choice(["fill", "partial_fill"]))
    reports = [current]
    # A desk that leaves fees out names what it undoes.
    terse = rng.random() < 0.5
    for turn in range(rng.choice([0, 0, 0, 1, 2])):
        new = random_execution(rng, f"{name}.c{turn}", units, "correct")
        reference = current.exec_id if terse else rng.choice([name, current.exec_id])
        undoes = undoing(current)
        if terse:
            undoes = msgspec.structs.replace(undoes, fee=None, fee_currency=None)
        elif undoes.fee is None:
            undoes = msgspec.structs.replace(undoes, fee=Decimal(0))
        new = msgspec.structs.replace(new, exec_ref_id=reference, undoes=undoes)
        reports.append(new)
        current = new
    if rng.random() < 0.3:
        bust = msgspec.structs.replace(
            current, kind="bust", exec_id=f"{name}.b", exec_ref_id=current.exec_id, undoes=None
        )
        if rng.random() < 0.5:
            bust = msgspec.structs.replace(bust, fee=None, fee_currency=None)
        return Chain([*reports, bust], None)
    return Chain(reports, current)


def oracle_totals(
    terms: Sequence[ExecutionReport], instruments: Sequence[InstrumentUnits]
) -> tuple[dict[str, Fraction], dict[str, Fraction], dict[str, Fraction]]:
    """Quantity by symbol, cash and fees by currency of executions in force, in fractions of whole units."""
    by_symbol = {units.symbol: units for units in instruments}
    quantity: dict[str, Fraction] = {}
    cash: dict[str, Fraction] = {}
    fees: dict[str, Fraction] = {}
    for term in terms:
        units = by_symbol[term.symbol]
        assert term.last_quantity is not None
        assert term.last_price is not None
        signed = Fraction(term.last_quantity) * (1 if term.side == "buy" else -1)
        quantity[term.symbol] = quantity.get(term.symbol, Fraction(0)) + signed
        paid = signed * Fraction(term.last_price) * Fraction(units.multiplier)
        cash[units.currency] = cash.get(units.currency, Fraction(0)) - paid
        if term.fee is not None:
            currency = term.fee_currency or units.currency
            cash[currency] = cash.get(currency, Fraction(0)) - Fraction(term.fee)
            fees[currency] = fees.get(currency, Fraction(0)) + Fraction(term.fee)
    return quantity, cash, fees


class Row(NamedTuple):
    """A row of a market, None where a value is absent or no number."""

    symbol: str
    ts_ns: int
    bid: float | None
    ask: float | None
    price: float | None
    volume: float | None


class Market(msgspec.Struct):
    """Feature rows of several symbols in folding order: `symbol` index, `eff` ns, quotes, predictions."""

    symbol: np.ndarray
    eff: np.ndarray
    bid: np.ndarray
    ask: np.ndarray
    price: np.ndarray
    volume: np.ndarray
    predictions: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.eff)

    def row(self, place: int, instruments: Sequence[InstrumentUnits]) -> Row:
        """One row."""
        columns = (self.bid, self.ask, self.price, self.volume)
        values = (column[place].item() for column in columns)
        symbol = instruments[self.symbol[place]].symbol
        return Row(symbol, self.eff[place].item(), *(x if math.isfinite(x) else None for x in values))

    def cut(self, start: int, end: int) -> Market:
        """Rows `start` to `end`."""
        return Market(
            *(getattr(self, name)[start:end] for name in ("symbol", "eff", "bid", "ask", "price", "volume")),
            {role: column[start:end] for role, column in self.predictions.items()},
        )


def random_market(
    rng: random.Random, n: int, instruments: Sequence[InstrumentUnits], roles: Sequence[str]
) -> Market:
    """Equal timestamps, bad ticks, lasting jumps; wide, crossed, one-sided, missing quotes; ugly volumes."""
    volumes = np.random.default_rng(rng.getrandbits(32)).choice(
        [math.nan, -1.0, 0.0, math.inf, 1e-9, 0.3, 5.0, 10.0, 25.0, 1e7], n
    )
    rows: dict[str, list[float]] = {name: [] for name in ("symbol", "eff", "bid", "ask", "price")}
    predictions: dict[str, list[float]] = {role: [] for role in roles}
    level = dict(LEVELS)
    now = START
    for _ in range(n):
        now += rng.choice([0, 0, 1, 20 * MS, 130 * MS, 400 * MS])
        code = rng.randrange(len(instruments))
        units = instruments[code]
        name = units.symbol
        level[name] += rng.randint(-3, 3)
        if rng.random() < 0.03:
            level[name] += rng.choice([-1, 1]) * level[name] // 50
        low = level[name]
        if rng.random() < 0.05:
            low = rng.choice([1, 2 * low, 10 * low, low - low // 80])
        width = rng.choice([0, 1, 1, 2, 4])
        kind = rng.choice(["quote"] * 12 + ["wide", "crossed", "price", "bid", "none", "infinite"])
        high = low + {"wide": low // 10, "crossed": -2}.get(kind, width)
        tick = float(units.tick_size)
        nan = math.nan
        bid = nan if kind in ("price", "none") else low * tick
        ask = nan if kind in ("price", "none", "bid") else (math.inf if kind == "infinite" else high * tick)
        price = nan if kind == "none" else low * tick
        for key, value in zip(rows, (code, now, bid, ask, price), strict=True):
            rows[key].append(value)
        for role in roles:
            predictions[role].append(rng.choice([nan, 0.0, 0.4, 0.6, -0.6, 2.0, -2.0]))
    return Market(
        np.array(rows["symbol"], np.int32),
        np.array(rows["eff"], np.int64),
        *(np.array(rows[name], np.float64) for name in ("bid", "ask", "price")),
        volumes,
        {role: np.array(column, np.float64) for role, column in predictions.items()},
    )


def cuts(rng: random.Random, n: int) -> list[tuple[int, int]]:
    """A random slicing of n rows, empty slices included."""
    edges = sorted([0, n, *(rng.randint(0, n) for _ in range(rng.randint(0, 12)))])
    return list(pairwise(edges))
