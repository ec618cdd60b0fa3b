"""Random execution reports as venues send them: fills, corrections of corrections, busts, out of order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import msgspec

from monitor.trading.units import InstrumentUnits
from monitor.wire.messages import ExecutionReport, Undoes

MS = 1_000_000
START = 1_767_607_200_000_000_000
LATENESS_NS = 200 * MS

_TICKS = ("0.01", "0.25", "0.005", "0.00000001", "1", "0.015625", "5")
_LOTS = ("0.00000001", "0.1", "1", "0.5", "0.001")
_MULTIPLIERS = ("1", "1", "50", "0.01", "1000", "12.5")
STRATEGY = "mine"
_CURRENCIES = ("USD", "EUR")
_FEES = ("0", "1.25", "-0.3", "-0.000000000000000001", "0.123456789012345678", "7")
ACCOUNTS = (None, "a", "b")


def random_instruments(
    rng: random.Random, n: int, currencies: Sequence[str] = _CURRENCIES, name: str = "S"
) -> list[InstrumentUnits]:
    """Ticks, lots, multipliers and currencies of all sorts."""
    found: list[InstrumentUnits] = []
    while len(found) < n:
        tick, lot, multiplier = (Decimal(rng.choice(each)) for each in (_TICKS, _LOTS, _MULTIPLIERS))
        try:
            units = InstrumentUnits.of(f"{name}{len(found)}/X", tick, lot, multiplier, rng.choice(currencies))
        except ValueError:
            continue
        found.append(units)
    return found


def finest_price(units: InstrumentUnits) -> Decimal:
    """The decimal step at which a price of one lot is still a whole number of money units."""
    per_price = units.lot_size * units.multiplier
    exponent = per_price.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return Decimal(1).scaleb(-18 - exponent)


@dataclass(frozen=True)
class ReportStream:
    """Reports in order of their `ts_ns`, each once; `standing`: executions whose terms hold in the end."""

    instruments: list[InstrumentUnits]
    reports: list[ExecutionReport]
    standing: list[ExecutionReport]

    @property
    def end_ns(self) -> int:
        """After all of them."""
        return max((each.ts_ns for each in self.reports), default=START) + 1


class Venue:
    """Makes reports. It knows what it holds, so that many fills close or turn a position exactly. `level`:
    where prices begin, in ticks."""

    def __init__(
        self,
        rng: random.Random,
        instruments: Sequence[InstrumentUnits],
        gap_ns: int,
        level: int | None = None,
        fee_currencies: Sequence[str | None] = (None, *_CURRENCIES, "BNB"),
    ) -> None:
        self._fee_currencies = fee_currencies
        self._rng, self.instruments, self._gap_ns = rng, instruments, gap_ns
        self._held = dict.fromkeys((units.symbol for units in instruments), 0)
        levels = [20, 5_000, 6_500_000] if level is None else [level]
        self._level = {units.symbol: rng.choice(levels) for units in instruments}
        self._named: Counter[tuple[str | None, str]] = Counter()

    def stream(self, n: int) -> ReportStream:
        """About `n` reports."""
        rng, reports, standing, now = self._rng, [], [], START
        while len(reports) < n:
            now += rng.choice([0, 1, 1, 20, 20, 20]) * self._gap_ns
            units = rng.choice(self.instruments)
            chain, stands = self._chain(units, now)
            reports += chain
            standing += [stands] if stands else []
        reports.sort(key=lambda each: each.ts_ns)
        return ReportStream(list(self.instruments), reports, standing)

    def _chain(
        self, units: InstrumentUnits, now: int
    ) -> tuple[list[ExecutionReport], ExecutionReport | None]:
        """A fill and what became of it; some of it has an earlier time than what it undoes."""
        rng = self._rng
        account = rng.choice(ACCOUNTS)
        # Unique within its account and symbol only.
        self._named[account, units.symbol] += 1
        name = f"x{self._named[account, units.symbol]}"
        current = self._execution(name, units, rng.choice(["fill", "partial_fill"]), now, account)
        reports = [current]
        # A desk that leaves fees out names what it undoes.
        terse = rng.random() < 0.3
        for turn in range(rng.choice([*[0] * 12, 1, 2, 3])):
            new = self._execution(f"{name}.c{turn}", units, "correct", self._later(now), account)
            reference = current.exec_id if terse else rng.choice([name, current.exec_id])
            undoes = _old_terms(current)
            if terse:
                undoes = msgspec.structs.replace(undoes, fee=None, fee_currency=None)
            elif undoes.fee is None:
                undoes = msgspec.structs.replace(undoes, fee=Decimal(0))
            reports.append(msgspec.structs.replace(new, exec_ref_id=reference, undoes=undoes))
            self._held[units.symbol] -= _lots(current, units)
            current = reports[-1]
        if rng.random() > 0.15:
            return reports, current
        bust = msgspec.structs.replace(
            current,
            kind="bust",
            exec_id=f"{name}.b",
            exec_ref_id=current.exec_id,
            undoes=None,
            ts_ns=self._later(now),
        )
        if rng.random() < 0.3:
            bust = msgspec.structs.replace(bust, fee=None, fee_currency=None)
        self._held[units.symbol] -= _lots(current, units)
        return [*reports, bust], None

    def _later(self, now: int) -> int:
        return now + self._rng.choice([-3, -1, 0, 1, 5, 40, 2000]) * self._gap_ns

    def _execution(
        self, exec_id: str, units: InstrumentUnits, kind: str, now: int, account: str | None
    ) -> ExecutionReport:
        rng, symbol = self._rng, units.symbol
        held = self._held[symbol]
        lots = rng.choice([-1, 1]) * rng.choice([1, 2, 3, 5, 7, rng.choice([7, 1000, 123_456_789])])
        draw = rng.random()
        if held and draw < 0.25:
            lots = -held
        elif held and draw < 0.5:
            lots = -held - (1 if held > 0 else -1) * rng.randint(1, 9)
        elif held and draw < 0.65:
            lots = -(held // rng.randint(2, 7)) or 1
        self._held[symbol] += lots
        self._level[symbol] += rng.randint(-3, 3)
        fee = rng.choice((None, *_FEES))
        return ExecutionReport(
            order_id=f"o{exec_id}",
            exec_id=exec_id,
            ts_ns=max(now, 1),
            symbol=symbol,
            kind=kind,  # type: ignore[arg-type]
            side="buy" if lots > 0 else "sell",
            last_quantity=abs(lots) * units.lot_size,
            last_price=self._price(units),
            fee=None if fee is None else Decimal(fee),
            fee_currency=None if fee is None else rng.choice(self._fee_currencies),
            account=account,
            strategy=STRATEGY,
        )

    def _price(self, units: InstrumentUnits) -> Decimal:
        """On the tick, the half-tick, or as fine as money is; now and then zero or below."""
        rng, level = self._rng, self._level[units.symbol]
        price = level * units.tick_size
        kind = rng.random()
        if kind < 0.2:
            price += units.tick_size / 2
        elif kind < 0.4:
            price += rng.randint(-999, 999) * finest_price(units)
        elif kind < 0.44:
            price = rng.choice([Decimal(0), -price])
        return price


def _old_terms(report: ExecutionReport) -> Undoes:
    assert report.side is not None
    assert report.last_quantity is not None
    assert report.last_price is not None
    return Undoes(
        side=report.side,
        last_quantity=report.last_quantity,
        last_price=report.last_price,
        fee=report.fee,
        fee_currency=report.fee_currency,
    )


def _lots(report: ExecutionReport, units: InstrumentUnits) -> int:
    assert report.last_quantity is not None
    lots = Fraction(report.last_quantity) / Fraction(units.lot_size)
    assert lots.denominator == 1
    return int(lots) * (1 if report.side == "buy" else -1)


def arriving(
    rng: random.Random, reports: Sequence[ExecutionReport], lateness_ns: int = LATENESS_NS
) -> list[ExecutionReport]:
    """In an order of arrival in which each comes less than `lateness_ns` after its time."""
    return sorted(reports, key=lambda each: each.ts_ns + rng.randrange(lateness_ns))


def repeated(rng: random.Random, reports: Sequence[ExecutionReport], share: float) -> list[ExecutionReport]:
    """With some sent again soon after, some of them with other content: the first counts."""
    places: list[tuple[float, ExecutionReport]] = list(enumerate(reports))
    for place, each in enumerate(reports):
        if rng.random() < share:
            again = each if rng.random() < 0.7 else msgspec.structs.replace(each, fee=Decimal(99))
            places.append((place + rng.choice([0.5, 3.5, 40.5]), again))
    return [each for _, each in sorted(places, key=lambda found: found[0])]


def with_statements(rng: random.Random, stream: ReportStream, n: int) -> list[ExecutionReport]:
    """Among them `n` reports that state a position (some rightly, once a symbol is traded) or move cash."""
    reports = list(stream.reports)
    for place in range(n):
        units = rng.choice(stream.instruments)
        at = rng.randrange(len(reports) + 1)
        ts_ns = reports[at - 1].ts_ns if at else START
        common = {"order_id": "", "ts_ns": ts_ns, "symbol": units.symbol, "strategy": STRATEGY}
        if rng.random() < 0.5:
            quantity = rng.choice([0, 0, 1, -3, 250]) * units.lot_size
            price = 7 * units.tick_size
            said = ExecutionReport(
                exec_id=f"p{place}", kind="position", quantity=quantity, price=price, **common
            )
        else:
            amount, reason = Decimal(rng.choice(_FEES)), rng.choice(["funding", "transfer", None])
            currency = rng.choice([*_CURRENCIES, "BNB"])
            said = ExecutionReport(
                exec_id=f"m{place}", kind="cash", amount=amount, currency=currency, reason=reason, **common
            )
        reports.insert(at, said)
    return reports
