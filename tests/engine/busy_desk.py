"""A deployment with everything on, 32 features and one shadow; and rows that fill whatever it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import msgspec
import numpy as np
from engine_cases import MS, ROLES, START, House, S, execution_keys

from monitor.engine.catalogue import sources
from monitor.engine.drift_rules import DriftRules
from monitor.engine.markout_rules import MarkoutRules
from monitor.engine.measures.sequences import CHANGES
from monitor.engine.panes import pane_length
from monitor.engine.rows import Scores, ScoreStatus
from monitor.engine.scope import Scope, Source
from monitor.engine.sequence_rules import SequenceRules
from monitor.engine.skill_rules import Forward, LabelJoin
from monitor.event_time.timing import Fate
from monitor.settings.deployment import LabelSettings, MarkoutSettings, SkillSettings
from monitor.stats.betting import Harm
from monitor.stats.reference import Reference, build_reference, freeze
from monitor.trading.units import InstrumentUnits
from monitor.wire.keys import combine, hash64_many
from monitor.wire.messages import ExecutionReport, Tags
from monitor.wire.table import Table

FEATURES = tuple(f"f{i:02}" for i in range(32))
SAMPLED = FEATURES[:1]
SYMBOLS = tuple(f"SYM{i:02}" for i in range(20))
MINUTE, HOUR, DAY = 60 * S, 3600 * S, 86_400 * S
WINDOWS = (5 * MINUTE, HOUR, DAY, 30 * DAY)
KEYS = hash64_many(SYMBOLS)
UNITS = tuple(InstrumentUnits.of(s, Decimal("0.01"), Decimal("0.1"), Decimal(1), "USD") for s in SYMBOLS)


def reference_of(rows: int = 4_000) -> Reference:
    """Of normal features, some with a sample of values, and of predictions within (0, 1)."""
    rng = np.random.default_rng(11)
    features = {name: rng.normal(size=rows) for name in FEATURES}
    made = build_reference(features, {role * 8: rng.random(rows) for role in ROLES})
    sampled = {name: freeze(features[name], sample=features[name]) for name in SAMPLED}
    return msgspec.structs.replace(made, features={**made.features, **sampled})


@dataclass(frozen=True)
class BusyDesk(House):
    """`kind`: what its models put out."""

    windows_ns: tuple[int, ...] = WINDOWS
    rank_k: int = 10_000
    limits_ns: tuple[int, ...] = (200 * MS, 250 * MS, 500 * MS)
    rules: tuple = ()
    units: tuple[InstrumentUnits, ...] = UNITS
    kind: str = "return"

    @cached_property
    def _reference(self) -> Reference:
        return reference_of()

    @cached_property
    def scope(self) -> Scope:
        return Scope(
            roles=ROLES,
            streams=("features", "orders", "outcomes"),
            windows_ns=self.windows_ns,
            limits_ns=self.limits_ns,
            rank_k=self.rank_k,
            reference=self._reference,
            columns=tuple(range(len(FEATURES))),
            artifacts={role: role * 8 for role in ROLES},
            kinds=dict.fromkeys(ROLES, self.kind),
            evaluation_ns=self.evaluation,
            lateness_ns=200 * MS,
            join_window_ns=5 * S,
            mine=lambda report: True,
            forward=Forward(
                horizons_ns=(MINUTE,),
                lag_ns=50 * MS,
                cost_bps=4.0,
                limit=SkillSettings().limit,
                symbols=len(SYMBOLS),
                max_spread=0.01,
                evaluation_ns=self.evaluation,
            ),
            markouts=MarkoutRules(
                horizons_ns=(S, 5 * S, 30 * S, MINUTE),
                limit=MarkoutSettings().limit,
                symbols=len(SYMBOLS),
                max_spread=0.01,
                evaluation_ns=self.evaluation,
                stale_ns=5 * S,
            ),
            labels=LabelJoin(wait_ns=2 * MINUTE, limit=LabelSettings().limit),
            drift=DriftRules(ks_features=SAMPLED),
            sequences=SequenceRules(
                block_ns=10 * MINUTE,
                pane_ns=max(MINUTE, pane_length(min(self.windows_ns))),
                loss_bound=1.0,
                pnl=Harm(1.0),
                changes=frozenset(CHANGES),
            ),
        )

    def sources_of(self) -> tuple[Source, ...]:
        """Its pane statistics."""
        return tuple(sources(self.scope))


_KINDS, _FIRST = ("new", "ack", "new", "fill", "fill"), (0, 0, 2, 0, 2)
"""Reports of two orders: of which kind they are, and in which place their order began."""


@dataclass(frozen=True)
class Stream:
    """Rows at a rate, each second alike in kind and different in content."""

    rate: int
    orders_a_second: int = 5
    labelled: bool = True

    def second(self, number: int) -> tuple[dict[str, Table], dict[str, Scores]]:
        """Rows of one second."""
        rng = np.random.default_rng([3, number])
        features = self._features(rng, number)
        tables = {"features": features, "orders": self._orders(rng, number, features)}
        if self.labelled:
            tables["outcomes"] = self._outcomes(rng, number)
        return tables, self._scores(rng)

    def _times(self, number: int, n: int) -> np.ndarray:
        return START + number * S + np.arange(n, dtype=np.int64) * (S // n)

    def _symbols(self) -> np.ndarray:
        return (np.arange(self.rate) % len(SYMBOLS)).astype(np.int32)

    def _ids(self, number: int) -> list[str]:
        return [f"event-{number}-{i}" for i in range(self.rate)]

    def _features(self, rng: np.random.Generator, number: int) -> Table:
        n = self.rate
        eff, symbol = self._times(number, n), self._symbols()
        middle = 100 + np.sin(number / 50) + 0.01 * rng.normal(size=n).cumsum()
        sample_key = hash64_many(self._ids(number))
        behind = rng.exponential(20 * MS, n).astype(np.int64)
        return Table(
            {
                "offset": number * n + np.arange(n),
                "eff": eff,
                "ts": eff,
                "record_ts": eff + rng.lognormal(16, 1, n).astype(np.int64),
                "bound_before": eff - 200 * MS + behind * (rng.random(n) < 0.2),
                "fate": np.full(n, Fate.ACCEPTED, np.int8),
                "reason": np.zeros(n, np.int8),
                "symbol": symbol,
                "symbol_key": KEYS[symbol],
                "sample_key": sample_key,
                "dedupe_key": combine(KEYS[symbol], sample_key),
                "values": rng.normal(size=(n, len(FEATURES))),
                "bid": np.round(middle - 0.01, 2),
                "ask": np.round(middle + 0.01, 2),
                "price": np.round(middle, 2),
                "served": np.where(rng.random(n) < 0.01, 2, 1).astype(np.int8),
                "served_latency": rng.lognormal(15, 1, n).astype(np.int64),
                "served_prediction": rng.random(n),
                "store_lookups": np.full(n, 4),
                "store_hits": np.full(n, 3),
            }
        )

    def _orders(self, rng: np.random.Generator, number: int, features: Table) -> Table:
        rows = np.sort(rng.integers(0, self.rate, self.orders_a_second))
        reports = np.empty(len(rows), object)
        for place, row in enumerate(rows.tolist()):
            first = _FIRST[place % len(_FIRST)]
            reports[place] = ExecutionReport(
                order_id=f"o{number}-{place - place % len(_FIRST) + first}",
                exec_id=f"e{number}-{place}",
                ts_ns=int(features["eff"][row]) + 2 * MS,
                symbol=SYMBOLS[int(features["symbol"][rows[place - place % len(_FIRST) + first]])],
                kind="position" if number % 60 == 30 and place == 0 else _KINDS[place % len(_KINDS)],
                order_type=("market", "limit", "ioc", "stop", None)[number % 5],
                quantity=Decimal(1),
                side="buy" if (number + place) % 4 < 2 else "sell",
                last_quantity=Decimal(1),
                last_price=Decimal("100.01"),
                price=Decimal(100),
                feature_event_id=f"event-{number}-{row}",
                tags=Tags(inference_latency_ms=1.5),
            )
        eff = np.minimum(features["eff"][rows] + 2 * MS, START + (number + 1) * S - 1)
        n = len(rows)
        return Table(
            {
                "offset": number * n + np.arange(n),
                "eff": eff,
                "ts": eff,
                "record_ts": eff + MS,
                "bound_before": eff - 200 * MS,
                "fate": np.full(n, Fate.ACCEPTED, np.int8),
                "reason": np.zeros(n, np.int8),
                "dedupe_key": execution_keys(reports),
                "symbol_key": hash64_many([report.symbol for report in reports]),
                "report": reports,
            }
        )

    def _outcomes(self, rng: np.random.Generator, number: int) -> Table:
        """Of most events a minute ago."""
        n, eff = self.rate, self._times(number, self.rate)
        event_key = hash64_many(self._ids(number - 60))
        symbol = self._symbols()
        outcomes = Table(
            {
                "offset": number * n + np.arange(n),
                "eff": eff,
                "ts": eff,
                "record_ts": eff + MS,
                "bound_before": eff - 200 * MS,
                "fate": np.full(n, Fate.ACCEPTED, np.int8),
                "reason": np.zeros(n, np.int8),
                "symbol": symbol,
                "symbol_key": KEYS[symbol],
                "event_key": event_key,
                "dedupe_key": combine(KEYS[symbol], event_key),
                "label": (rng.random(n) < 0.5).astype(float),
            }
        )
        return outcomes.take(np.flatnonzero(rng.random(n) < 0.98))

    def _scores(self, rng: np.random.Generator) -> dict[str, Scores]:
        value = rng.random(self.rate)
        made = {}
        for role in ROLES:
            status = np.where(rng.random(self.rate) < 0.005, ScoreStatus.ERROR, ScoreStatus.OK).astype(
                np.int8
            )
            answer = np.where(status == ScoreStatus.OK, (value + 0.2 * rng.random(self.rate)) / 1.2, np.nan)
            made[role] = Scores(answer, status, rng.lognormal(11, 1, self.rate).astype(np.int64))
        return made
