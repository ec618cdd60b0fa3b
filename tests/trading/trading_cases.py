"""Instruments, markets and reports for the tests of the books; oracles written from the definitions."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import msgspec
import numpy as np

from monitor.trading.marks import MarkRules
from monitor.trading.paper_rules import PaperRules
from monitor.trading.targets import Linear, Quantile, Sign, Target
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


class SlowMarks:
    """The marks by their definition, row by row, in fractions of whole prices."""

    def __init__(self, instruments: Sequence[InstrumentUnits], rules: MarkRules) -> None:
        self.instruments = instruments
        self.band, self.spread = Fraction(rules.band_bps) / 10_000, Fraction(rules.max_spread_bps) / 10_000
        self.mark: dict[int, Fraction] = {}
        self.ts: dict[int, int] = {}
        self.pending: dict[int, tuple[Fraction, int, int, int]] = {}

    def quote(
        self, code: int, ts: int, bid: float, ask: float, price: float
    ) -> tuple[Fraction, Fraction] | None:
        """The (bid, ask) to trade on where this row renewed the mark, else None."""
        tick = Fraction(self.instruments[code].tick_size)
        if math.isnan(bid) and math.isnan(ask) and math.isfinite(price):
            sides = (round(Fraction(price) / tick * 2) * tick / 2,) * 2
        elif math.isfinite(bid) and math.isfinite(ask):
            sides = (round(Fraction(bid) / tick) * tick, round(Fraction(ask) / tick) * tick)
        else:
            return None
        mid = (sides[0] + sides[1]) / 2
        if sides[0] > sides[1] or sides[1] - sides[0] > self.spread * abs(mid):
            return None
        if code in self.mark and abs(mid - self.mark[code]) > self.band * abs(self.mark[code]):
            level, _, since, quotes = self.pending.get(code, (None, ts, ts, 0))
            if level is None or abs(mid - level) > self.band * abs(level):
                since, quotes = ts, 0
            self.pending[code] = (mid, ts, since, quotes + 1)
            if quotes + 1 < 3 or ts - since < 500 * MS:
                return None
        self.pending.pop(code, None)
        self.mark[code], self.ts[code] = mid, ts
        return sides

    def fill(self, code: int, price: Decimal) -> None:
        """An execution."""
        if code in self.pending:
            level, ts, _, _ = self.pending[code]
            half = Fraction(self.instruments[code].tick_size) / 2
            if abs(round(Fraction(price) / half) * half - level) <= self.band * abs(level):
                del self.pending[code]
                self.mark[code], self.ts[code] = level, ts


def wish_of(target: Target, prediction: float, units: InstrumentUnits, quantity: Decimal) -> Fraction | None:
    """The position that a prediction wants, in units of quantity; None where there is no prediction."""
    if math.isnan(prediction):
        return None
    if isinstance(target, Quantile):
        part = float((prediction > target.upper) - (prediction < target.lower))
    elif abs(prediction - target.neutral) <= target.threshold:
        part = 0.0
    elif isinstance(target, Linear):
        part = min(1.0, max(-1.0, (prediction - target.neutral) / target.scale))
    else:
        part = math.copysign(1.0, prediction - target.neutral)
    lot = Fraction(units.lot_size)
    return round(part * float(quantity / units.lot_size)) * lot


class SlowOrder(msgspec.Struct):
    """An order of `SlowPaper`, in units of quantity."""

    wish: Fraction
    due: int
    goal: Fraction
    filled: Fraction = Fraction(0)
    met: bool = False
    capped: int = 0


class SlowPaper:
    """A paper book by its definition, row by row, in fractions."""

    def __init__(
        self, instruments: Sequence[InstrumentUnits], rules: PaperRules, target: Target | None = None
    ) -> None:
        self.instruments, self.rules, self.target = instruments, rules, target or Sign()
        self.quantity = dict.fromkeys(range(len(instruments)), Fraction(0))
        self.cash: dict[str, Fraction] = {}
        self.free = dict.fromkeys(range(len(instruments)), 0)
        self.order: dict[int, SlowOrder] = {}
        self.hour: dict[tuple[int, int], Fraction] = {}
        self.trades: list[tuple[int, int, Fraction, Fraction, Fraction]] = []
        """(symbol, ts, quantity, paid, fee)."""
        self.ended: list[tuple[int, int, Fraction, Fraction, int]] = []
        """(symbol, ts, ordered, filled, capped)."""

    def row(
        self,
        code: int,
        ts: int,
        sides: tuple[Fraction, Fraction] | None,
        prediction: float,
        *,
        bare: bool = False,
        volume: float = math.nan,
    ) -> None:
        """Fill what is due, decide, and fill where that came without latency and nothing filled yet."""
        came = self._fill(code, ts, sides, bare, volume)
        wish = wish_of(self.target, prediction, self.instruments[code], self.rules.quantity)
        if wish is None or ts < self.free[code]:
            return
        order = self.order.get(code)
        if order is not None:
            if ts < order.due or wish == order.wish:
                return
            self._end(code, ts)
        if wish != self.quantity[code]:
            self.order[code] = SlowOrder(wish, ts + self.rules.latency_ns, wish)
            if not came:
                self._fill(code, ts, sides, bare, volume)

    def _fill(
        self, code: int, ts: int, sides: tuple[Fraction, Fraction] | None, bare: bool, volume: float
    ) -> bool:
        """Whether an order came to a quote."""
        order, rules, units = self.order.get(code), self.rules, self.instruments[code]
        if sides is None or order is None or ts < order.due:
            return False
        lot, multiplier = Fraction(units.lot_size), Fraction(units.multiplier)
        held = self.quantity[code]
        side = 1 if order.goal > held else -1
        rest = abs(order.goal - held)
        given = rest
        if rules.share is not None:
            if not math.isfinite(volume) or volume <= 0:
                return False
            given = Fraction(rules.share) * Fraction(volume) // lot * lot
            if not given:
                return False
        price, mid = sides[side > 0] * multiplier, sum(sides) / 2 * multiplier
        left = rest
        if rules.max_exposure is not None and mid:
            room = Fraction(rules.max_exposure) / abs(mid) // lot * lot - side * held
            if room < left:
                left, order.capped = max(Fraction(0), room), order.capped | 1
        hour = code, ts // (3600 * 1000 * MS)
        if rules.max_turnover is not None and price:
            room = (Fraction(rules.max_turnover) - self.hour.get(hour, Fraction(0))) / abs(price) // lot * lot
            if room < left:
                left, order.capped = max(Fraction(0), room), order.capped | 2
        order.goal = held + side * left
        traded = min(left, given)
        if traded < left:
            order.capped |= 4
        if not order.met:
            order.met = True
            self.free[code] = ts + rules.holding_ns
        if traded:
            self._trade(code, ts, side * traded, price, bare)
            self.hour[hour] = self.hour.get(hour, Fraction(0)) + traded * abs(price)
            order.filled += traded
        if traded == left:
            self._end(code, ts)
        return True

    def _trade(self, code: int, ts: int, quantity: Fraction, price: Fraction, bare: bool) -> None:
        rules, currency = self.rules, self.instruments[code].currency
        paid = quantity * price
        if bare:
            paid += _up(abs(paid) * Fraction(rules.half_spread_bps) / 10_000)
        paid += _up(abs(paid) * Fraction(rules.slippage_bps) / 10_000)
        fee = _up(abs(paid) * Fraction(rules.fee_bps) / 10_000)
        self.quantity[code] += quantity
        self.cash[currency] = self.cash.get(currency, Fraction(0)) - paid - fee
        self.trades.append((code, ts, quantity, paid, fee))

    def _end(self, code: int, ts: int) -> None:
        order = self.order.pop(code)
        ordered = order.filled + abs(order.goal - self.quantity[code])
        self.ended.append((code, ts, ordered, order.filled, order.capped))


def _up(amount: Fraction) -> Fraction:
    return Fraction(math.ceil(amount * 10**18), 10**18)


def cuts(rng: random.Random, n: int) -> list[tuple[int, int]]:
    """A random slicing of n rows, empty slices included."""
    edges = sorted([0, n, *(rng.randint(0, n) for _ in range(rng.randint(0, 12)))])
    return list(pairwise(edges))
