"""The story in four acts: what breaks when, which decisions must follow, and what to say about them.

Pure: from a seed and a start come the messages, from the events that were published a judgement. Who plays it
and who shows it is elsewhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from monitor.demo.desk import Desk, DeskHabits, Shift
from monitor.demo.faults import Fault, FaultKind, Faults
from monitor.demo.market import FEATURE_NAMES, LISTINGS, Market
from monitor.demo.message import Message, write_streams
from monitor.demo.serving import predictor
from monitor.models.artifact import load_artifact
from monitor.stats.reference import Reference, build_reference

MODELS = Path(__file__).parent / "models"
"""The artifacts that ship with the package: `v6` (previous), `v7` (active), `v8` (shadow)."""

DEPLOYMENT = "demo"
SECONDS = 375
DEFAULT_SPEED = 5.0
DEFAULT_SEED = 7
RECORDED_START_NS = 1_767_607_200 * 10**9
"""Where a story that is written to files begins: 2026-01-05T10:00:00Z."""

_MINUTE_NS, _DAY_NS = 60 * 10**9, 86_400 * 10**9
_REFERENCE_SEED, _REFERENCE_SECONDS = 1_000_003, 1200

SHADOW_BREAKS_S, SERVING_BREAKS_S, ROLLED_BACK_S = 155.0, 235.0, 285.0
BLEEDING_S, HALTED_S = 300.0, 345.0
BROKEN_FEATURE = FEATURE_NAMES.index("f05")

FAULTS = Faults(
    (
        Fault(FaultKind.FEATURE_SCALE, 20.0, SHADOW_BREAKS_S, SECONDS, BROKEN_FEATURE),
        Fault(FaultKind.SERVED_ERRORS, 0.08, SERVING_BREAKS_S, ROLLED_BACK_S),
        Fault(FaultKind.SERVED_LATENCY, 8.0, SERVING_BREAKS_S, ROLLED_BACK_S),
        Fault(FaultKind.ADVERSE_FILLS, 40.0, BLEEDING_S, SECONDS),
    )
)
"""The vendor of f05 changes its unit 25 s before a full minute, at which drift is evaluated: enough for the
window of a minute to show it, too little for the shadow's rank correlation to have been low long enough."""

SHIFTS = (Shift(0.0, "v7"), Shift(ROLLED_BACK_S, "v6"))


class Act(NamedTuple):
    """`start_s` seconds into the story; `words` for the person who watches."""

    start_s: float
    title: str
    words: str


ACTS = (
    Act(
        0.0,
        "All is well",
        "Production trades five symbols on the active model v7, promoted ten minutes ago. The shadow v8 is "
        "scored beside it on every feature event; it moves no money.",
    ),
    Act(
        SHADOW_BREAKS_S,
        "The shadow goes wrong",
        "The vendor of feature f05 changes its unit: values come twenty times too large. v8 leans on f05, v7 "
        "does not look at it. Expect a drift alert, then the shadow's demotion; the active is left alone.",
    ),
    Act(
        SERVING_BREAKS_S,
        "The active misbehaves in production",
        "Production's model server answers eight times slower and fails on 8 % of the requests. Expect a "
        "latency alert, then a rollback of the active to v6.",
    ),
    Act(
        BLEEDING_S,
        "The account bleeds",
        "The desk has gone back to v6 and serves well again, but its fills now come 40 bps worse than the "
        "quote. Expect the kill switch when the session's drawdown passes 2 % of capital.",
    ),
)


class Decision(NamedTuple):
    """What identifies a decision of the story: type (`demote`), subject, rule, phase (`firing`)."""

    type: str
    subject: str
    rule: str
    phase: str = "firing"

    def __str__(self) -> str:
        return f"{self.type} of {self.subject} by rule {self.rule} ({self.phase})"


EXPECTED = (
    Decision("alert", "deployment", "feature-drift"),
    Decision("demote", "shadow", "shadow-agrees"),
    Decision("alert", "active", "serving-is-fast"),
    Decision("rollback", "active", "serving-answers"),
    Decision("kill_switch", "deployment", "drawdown"),
)
"""All decisions of the story, in order; a run that shows others, or fewer, has failed."""

RESOLVED = "resolved"
"""Phase of the end of an episode: said where what was wrong is no longer so; no decision of its own."""

MEANING = {
    "feature-drift": "A feature no longer looks like the reference. Nobody is blamed: drift moves nothing.",
    "shadow-agrees": "The shadow ranks the market otherwise than the active. It leaves the experiment.",
    "serving-is-fast": "Production answers too slowly. One late minute is a reason to look, not to act.",
    "serving-answers": "Production fails too often. The trading engine goes back to the model before.",
    "drawdown": "The account lost more than it may in a session. Trading stops until a person resets it.",
}
"""What a decision of each rule means, in words."""


def decision_of(event: Mapping[str, Any]) -> Decision:
    """The identity of a published CloudEvent."""
    data = event["data"]
    kind = str(event["type"]).removeprefix("io.shadowmonitor.").removesuffix(".v1")
    return Decision(kind, data["subject"], data["rule"], data["phase"])


def judge(decisions: Sequence[Decision]) -> list[str]:
    """What is wrong with the decisions of a whole story, in words; empty when they are as expected."""
    fired = [d for d in decisions if d.phase != RESOLVED]
    problems = [f"missing: {d}" for d in EXPECTED if d not in fired]
    problems += [f"not expected: {d}" for d in fired if d not in EXPECTED]
    if not problems and tuple(fired) != EXPECTED:
        problems = ["the decisions came in another order, or one came twice: " + "; ".join(map(str, fired))]
    ended = [d for d in decisions if d.phase == RESOLVED]
    problems += [f"ended, but never began: {d}" for d in ended if d._replace(phase="firing") not in EXPECTED]
    return problems


def live_start_ns(now_ns: int) -> int:
    """The full minute at or after `now_ns` from which the story fits into one UTC day (a session)."""
    start = -(-now_ns // _MINUTE_NS) * _MINUTE_NS
    if start // _DAY_NS != (start + SECONDS * 10**9) // _DAY_NS:
        start = -(-start // _DAY_NS) * _DAY_NS
    return start


def story(seed: int, start_ns: int, models: Path = MODELS) -> Iterator[Message]:
    """All messages of the story, by publication time."""
    market = Market(seed, start_ns, FAULTS)
    live = {
        version: predictor(models / version, FEATURE_NAMES) for version in {s.model_version for s in SHIFTS}
    }
    habits = DeskHabits(halted_s=HALTED_S)
    desk = Desk(seed, start_ns, LISTINGS, FEATURE_NAMES, live, SHIFTS, FAULTS, habits)
    return desk.messages(market.slices(SECONDS))


def story_reference(models: Path = MODELS) -> Reference:
    """What features and predictions look like in twenty healthy minutes of another seed."""
    slices = Market(_REFERENCE_SEED, 0).slices(_REFERENCE_SECONDS)
    features = np.concatenate([s.features for s in slices])
    predictions = {}
    for version in ("v7", "v8"):
        predictions[load_artifact(models / version).sha256] = predictor(models / version, FEATURE_NAMES)(
            features
        )
    columns = features.astype(np.float64)
    return build_reference({name: columns[:, i] for i, name in enumerate(FEATURE_NAMES)}, predictions)


def write_story(directory: Path, seed: int, start_ns: int = RECORDED_START_NS) -> None:
    """Leave streams, configuration, models and reference in `directory`, ready for `replay` and `run`.

    `features.jsonl` and `orders.jsonl` (plain messages, a line each), `config.yaml`, `models/`,
    `reference.json`.
    """
    shutil.copytree(MODELS, directory / "models", dirs_exist_ok=True)
    (directory / "reference.json").write_bytes(story_reference().to_bytes() + b"\n")
    config = story_config(start_ns, kind="kafka", port=9464, bootstrap_servers="localhost:9092", run="demo")
    (directory / "config.yaml").write_text(config, encoding="utf-8")
    write_streams(directory, story(seed, start_ns))


def story_config(
    start_ns: int,
    *,
    kind: str = "memory",
    models: Path = Path("models"),
    port: int = 0,
    bootstrap_servers: str | None = None,
    run: str | None = None,
) -> str:
    """The configuration of the story as YAML; `models` absolute or relative to the file.

    `run` names the consumer group and prefixes the topics. Left out, it is `demo` without a broker; on one it
    bears the story's start, so that each playing finds fresh topics and no state.
    """
    if run is None:
        run = "demo" if bootstrap_servers is None else f"demo-{start_ns // 10**9:x}"
    instruments = "\n".join(
        f'  {x.symbol}: {{tick_size: "{x.tick:f}", lot_size: "{x.lot:f}", currency: {x.currency}}}'
        for x in LISTINGS
    )
    quantities = ", ".join(f'{x.symbol}: "{DeskHabits().lots(x) * x.lot:f}"' for x in LISTINGS)
    promoted = datetime.fromtimestamp((start_ns - 10 * _MINUTE_NS) // 10**9, UTC)
    return _CONFIG.format(
        kind=kind,
        client=f', client: {{bootstrap_servers: "{bootstrap_servers}"}}' if bootstrap_servers else "",
        run=run,
        instruments=instruments,
        quantities=quantities,
        models=models,
        promoted=promoted.strftime("%Y-%m-%dT%H:%M:%SZ"),
        port=port,
        deployment=DEPLOYMENT,
    )


_CONFIG = """\
version: 1
transport: {{kind: {kind}, group: {run}, partitioner: murmur2, start: earliest{client}}}
topics: {{features: {run}-features, orders: {run}-orders, commands: {run}-commands, prefix: {run}-}}
event_time: {{idle_grace: 5s, max_future: 1h}}
instruments:
{instruments}
feature_schemas: [{models}/features.schema.json]
http: {{host: 127.0.0.1, port: {port}}}
log: {{format: console, level: warning}}
deployments:
  {deployment}:
    tenant: demo
    calendar: always
    capital: {{amount: "1000000", currency: USD}}
    filter: {{strategy: demo}}
    models:
      active: {models}/v7
      previous: {models}/v6
      shadows: {{shadow: {models}/v8}}
      shadow_deadline: 50ms
      promoted_at: {promoted}
    reference: reference.json
    books: {{start_flat: true, mark_staleness: 5s, mark_band_bps: 50, max_spread_bps: 20, exec_horizon: 1d}}
    paper:
      {{target: sign, threshold: 0.00008, holding: 1500ms, latency: 5ms, fee_bps: "0.2",
       quantity: {{{quantities}}}}}
    windows: [1m, 5m]
    grids: {{evaluation_interval: 1s, tick: 100ms, task_deadline: 30s}}
    policy:
      name: demo
      rules:
        - {{id: feature-drift, subject: deployment, metric: psi, window: 1m, above: 0.25,
           min_samples: 3000, schedule: 60s, no_data: hold, severity: warning, action: alert}}
        - {{id: shadow-agrees, subject: shadow, metric: rank_correlation, labels: {{role: shadow}},
           window: 1m, below: 0.5, min_samples: 500, for: 15s, schedule: 5s, no_data: hold,
           severity: warning, action: demote}}
        - {{id: serving-is-fast, subject: active, metric: serve_latency, labels: {{quantile: "0.99"}},
           window: 1m, above: 0.010, min_samples: 500, for: 3, no_data: hold, severity: warning,
           action: alert}}
        - {{id: serving-answers, subject: active, metric: served_error_rate, window: 1m, above: 0.02,
           min_samples: 500, for: 3, no_data: hold, severity: critical, action: rollback}}
        - {{id: drawdown, subject: deployment, metric: drawdown, labels: {{role: active, fills: real}},
           window: session, schedule: tick, above: 0.02, keep_firing_for: 10m, no_data: alert,
           severity: critical, action: kill, scope: trading}}
"""
