"""Marks and the paper broker by their definitions: row by row, in fractions of whole units."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from trading.reference_books import Line

from monitor.trading.units import InstrumentUnits

MS = 1_000_000
HOUR_NS = 3_600_000 * MS
BPS = Fraction(1, 10_000)
UNIT = Fraction(1, 10**18)
NOTHING = Fraction(0)


@dataclass(frozen=True)
class Quote:
    """What one may trade at; `bare`: a price without bid and ask stands for both."""

    bid: Fraction
    ask: Fraction
    bare: bool

    @property
    def mid(self) -> Fraction:
        return (self.bid + self.ask) / 2


def quote_of(
    units: InstrumentUnits, bid: float | None, ask: float | None, price: float | None
) -> Quote | None:
    """Bid and ask to the nearest tick, a price alone to the nearest half-tick; None where one side misses."""
    tick = Fraction(units.tick_size)
    if bid is None and ask is None:
        if price is None:
            return None
        last = round(Fraction(price) / tick * 2) * tick / 2
        return Quote(last, last, bare=True)
    if bid is None or ask is None:
        return None
    return Quote(*(round(Fraction(side) / tick) * tick for side in (bid, ask)), bare=False)


@dataclass
class Mark:
    """The mark of a symbol, and a jump that does not count yet."""

    value: Fraction | None = None
    ts_ns: int = 0
    jump: Fraction | None = None
    jump_ts_ns: int = 0
    since_ns: int = 0
    quotes: int = 0


@dataclass
class ReferenceMarks:
    """Mids of uncrossed quotes within the spread; a jump beyond the band counts when it has stood for three
    quotes and 500 ms, or an execution confirms it."""

    instruments: Sequence[InstrumentUnits]
    band_bps: Fraction = Fraction(50)
    max_spread_bps: Fraction = Fraction(20)
    marks: dict[str, Mark] = field(default_factory=lambda: defaultdict(Mark))

    def quote(self, symbol: str, ts_ns: int, quote: Quote | None) -> bool:
        """Fold a row; whether it renewed the mark, so that one may trade on it."""
        if quote is None or quote.bid > quote.ask:
            return False
        mid, mark = quote.mid, self.marks[symbol]
        if quote.ask - quote.bid > self.max_spread_bps * BPS * abs(mid):
            return False
        if mark.value is not None and self._beyond(mid, mark.value):
            if mark.jump is None or self._beyond(mid, mark.jump):
                mark.since_ns, mark.quotes = ts_ns, 0
            mark.jump, mark.jump_ts_ns = mid, ts_ns
            mark.quotes += 1
            if mark.quotes < 3 or ts_ns - mark.since_ns < 500 * MS:
                return False
        mark.value, mark.ts_ns, mark.jump = mid, ts_ns, None
        return True

    def fill(self, symbol: str, price: Fraction) -> None:
        """An execution at a price, which is read to the nearest half-tick."""
        mark = self.marks[symbol]
        half = next(Fraction(u.tick_size) for u in self.instruments if u.symbol == symbol) / 2
        if mark.jump is not None and not self._beyond(round(price / half) * half, mark.jump):
            mark.value, mark.ts_ns, mark.jump = mark.jump, mark.jump_ts_ns, None

    def _beyond(self, price: Fraction, level: Fraction) -> bool:
        return abs(price - level) > self.band_bps * BPS * abs(level)


@dataclass(frozen=True)
class Broker:
    """Rules of the paper broker, as its settings have them. `quantities`: of symbols that have their own;
    `neutral`: 0.5 of probabilities; `bounds`: of target `quantile`; `share`: of the volume shown; caps in
    money, None: none."""

    quantity: Fraction
    target: str = "sign"
    threshold: float = 0.0
    scale: float = 1.0
    bounds: tuple[float, float] = (0.0, 0.0)
    holding_ns: int = 1_000 * MS
    latency_ns: int = 50 * MS
    half_spread_bps: Fraction = NOTHING
    slippage_bps: Fraction = NOTHING
    fee_bps: Fraction = NOTHING
    share: Fraction | None = None
    max_exposure: Fraction | None = None
    max_turnover: Fraction | None = None
    quantities: Mapping[str, Fraction] = field(default_factory=dict)
    neutral: float = 0.0

    def wish(self, prediction: float, units: InstrumentUnits) -> Fraction:
        """The position that a prediction wants."""
        quantity = self.quantities.get(units.symbol, self.quantity)
        if self.target == "quantile":
            lower, upper = self.bounds
            return ((prediction > upper) - (prediction < lower)) * quantity
        value = prediction - self.neutral
        if abs(value) <= self.threshold:
            return NOTHING
        part = Fraction(1 if value > 0 else -1)
        if self.target == "linear":
            part = max(Fraction(-1), min(Fraction(1), Fraction(value) / Fraction(self.scale)))
        lot = Fraction(units.lot_size)
        return round(part * quantity / lot) * lot


@dataclass
class Working:
    """An order: the position that was decided on, when it reaches the market, what caps leave of it, whether
    it has met a quote, what it filled, which caps cut it, and whether a quote gave less than was left."""

    wish: Fraction
    due_ns: int
    goal: Fraction
    met: bool = False
    filled: Fraction = NOTHING
    cut: set[str] = field(default_factory=set)
    starved: bool = False


@dataclass(frozen=True)
class Ended:
    """An order that ended. `ordered`: after caps on exposure and turnover."""

    symbol: str
    ts_ns: int
    ordered: Fraction
    filled: Fraction
    capped: frozenset[str]


@dataclass(frozen=True)
class Dealt:
    """A fill."""

    symbol: str
    ts_ns: int
    quantity: Fraction
    paid: Fraction
    fee: Fraction


@dataclass
class Account:
    """One symbol of a paper book. `hour`: of the UTC clock, and what was traded in it at quoted prices.
    `stopped`: what was decided on when caps last ended an order short of it, until something else is."""

    line: Line = field(default_factory=Line)
    order: Working | None = None
    free_ns: int = 0
    hour: tuple[int, Fraction] = (0, NOTHING)
    stopped: Fraction | None = None

    @property
    def quantity(self) -> Fraction:
        """What is held."""
        return self.line.quantity


@dataclass
class ReferencePaper:
    """A paper book. A row fills what is due, then decides: a prediction that wants another position than was
    last ordered, or is held where nothing is ordered, makes an order, once the holding time has passed and
    none is on its way to the market. An order without latency may fill on the row that places it, unless the
    row filled another. What caps stopped is ordered again where a quote comes at which they leave enough, or
    when something else was wanted meanwhile."""

    instruments: Sequence[InstrumentUnits]
    broker: Broker
    accounts: dict[str, Account] = field(default_factory=lambda: defaultdict(Account))
    cash: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    fees: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    traded: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    transfers: dict[str, Fraction] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    fills: list[Dealt] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.units = {units.symbol: units for units in self.instruments}

    def row(
        self,
        symbol: str,
        ts_ns: int,
        quote: Quote | None,
        prediction: float | None,
        volume: float | None = None,
    ) -> None:
        """Fold a row: `quote` where one may trade on it."""
        account, units = self.accounts[symbol], self.units[symbol]
        met = self._meet(account, units, ts_ns, quote, volume)
        if prediction is None or ts_ns < account.free_ns:
            return
        wish = self.broker.wish(prediction, units)
        if account.order is not None:
            if ts_ns < account.order.due_ns or wish == account.order.wish:
                return
            self._end(account, symbol, ts_ns)
            self.counted["replaced"] += 1
        elif wish == account.stopped:
            if quote is None or not self._leave_enough(account, units, wish, ts_ns, quote):
                self.counted["stopped"] += 1
                return
            self.counted["again"] += 1
        account.stopped = None
        if wish != account.quantity:
            account.order = Working(wish, ts_ns + self.broker.latency_ns, wish)
            if not met:
                self._meet(account, units, ts_ns, quote, volume)

    def _meet(
        self, account: Account, units: InstrumentUnits, ts_ns: int, quote: Quote | None, volume: float | None
    ) -> bool:
        """Whether an order came to a quote that it may trade on."""
        order, broker = account.order, self.broker
        if order is None or quote is None or ts_ns < order.due_ns:
            return False
        lot = Fraction(units.lot_size)
        shown = None
        if broker.share is not None:
            shown = NOTHING if volume is None else broker.share * Fraction(volume) // lot * lot
            if shown <= 0:
                order.starved = True
                return False
        side, price = side_of(account.quantity, order.goal, units, quote)
        wanted, within, rest = self._left(account, units, order.goal, ts_ns, quote)
        order.cut |= {"exposure"} if within < wanted else set()
        order.cut |= {"turnover"} if rest < within else set()
        order.goal = account.quantity + side * rest
        if not order.met:
            order.met, account.free_ns = True, ts_ns + broker.holding_ns
        taken = rest if shown is None else min(rest, shown)
        if taken:
            self._trade(account, units, ts_ns, side * taken, price, bare=quote.bare)
            order.filled += taken
            account.hour = (ts_ns // HOUR_NS, self._this_hour(account, ts_ns) + taken * abs(price))
        if taken == rest:
            account.stopped = order.wish if order.wish != account.quantity else None
            self._end(account, units.symbol, ts_ns)
        else:
            order.starved = True
            self.counted["in_parts"] += 1
        return True

    def _end(self, account: Account, symbol: str, ts_ns: int) -> None:
        order = account.order
        assert order is not None
        account.order = None
        rest = abs(order.goal - account.quantity)
        capped = order.cut | ({"participation"} if rest and order.starved else set())
        self.counted.update(capped)
        self.ended.append(Ended(symbol, ts_ns, order.filled + rest, order.filled, frozenset(capped)))

    def _left(
        self, account: Account, units: InstrumentUnits, goal: Fraction, ts_ns: int, quote: Quote
    ) -> tuple[Fraction, Fraction, Fraction]:
        """What is missing to a goal, what the cap on exposure leaves of it, and the one on turnover."""
        broker, lot = self.broker, Fraction(units.lot_size)
        side, price = side_of(account.quantity, goal, units, quote)
        mid = abs(quote.mid) * Fraction(units.multiplier)
        within = wanted = abs(goal - account.quantity)
        if broker.max_exposure is not None and mid:
            # Towards zero and through it up to the cap on the other side.
            within = min(
                within, max(NOTHING, broker.max_exposure / mid // lot * lot - side * account.quantity)
            )
        left = within
        if broker.max_turnover is not None and price:
            room = broker.max_turnover - self._this_hour(account, ts_ns)
            left = min(left, max(NOTHING, room / abs(price) // lot * lot))
        return wanted, within, left

    def _leave_enough(
        self, account: Account, units: InstrumentUnits, wish: Fraction, ts_ns: int, quote: Quote
    ) -> bool:
        """Whether caps leave all that is missing, or whole lots that are 1 % of the quantity or more."""
        lot = Fraction(units.lot_size)
        wanted, _, left = self._left(account, units, wish, ts_ns, quote)
        quantity = self.broker.quantities.get(units.symbol, self.broker.quantity)
        return left >= min(wanted, math.ceil(quantity / 100 / lot) * lot)

    @staticmethod
    def _this_hour(account: Account, ts_ns: int) -> Fraction:
        hour, traded = account.hour
        return traded if hour == ts_ns // HOUR_NS else NOTHING

    def _trade(
        self,
        account: Account,
        units: InstrumentUnits,
        ts_ns: int,
        quantity: Fraction,
        price: Fraction,
        *,
        bare: bool,
    ) -> None:
        paid = quantity * price
        if bare:
            paid += against_us(abs(paid) * self.broker.half_spread_bps * BPS)
        paid += against_us(abs(paid) * self.broker.slippage_bps * BPS)
        fee = against_us(abs(paid) * self.broker.fee_bps * BPS)
        account.line.trade(quantity, paid, fee)
        self.cash[units.currency] -= paid + fee
        self.fees[units.currency] += fee
        self.traded[units.currency] += abs(paid)
        self.fills.append(Dealt(units.symbol, ts_ns, quantity, paid, fee))
        self.counted["trades"] += 1

    @property
    def lines(self) -> dict[str, Line]:
        """By symbol."""
        return {symbol: account.line for symbol, account in self.accounts.items()}

    @property
    def positions(self) -> dict[str, Fraction]:
        """What is held."""
        return {symbol: account.quantity for symbol, account in self.accounts.items() if account.quantity}

    @property
    def dealt(self) -> set[str]:
        """Symbols that were ever traded."""
        return {symbol for symbol, account in self.accounts.items() if account.line.trades}


def side_of(held: Fraction, goal: Fraction, units: InstrumentUnits, quote: Quote) -> tuple[int, Fraction]:
    """+1 where a goal is bought, -1 where it is sold, and the price of a unit on that side."""
    side = 1 if goal > held else -1
    return side, (quote.ask if side > 0 else quote.bid) * Fraction(units.multiplier)


def against_us(cost: Fraction) -> Fraction:
    """A cost, rounded up to a money unit."""
    return math.ceil(cost / UNIT) * UNIT


def decimal_text(amount: Fraction) -> str:
    """Exact decimal text: no exponent, no trailing zeros."""
    places = 0
    while (amount * 10**places).denominator != 1:
        places += 1
        assert places <= 40, f"{amount} has no end"
    digits = str(abs(int(amount * 10**places))).rjust(places + 1, "0")
    text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{text}" if amount < 0 else text
