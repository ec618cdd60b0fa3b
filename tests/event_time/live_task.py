"""A partition task's life in miniature: a growing log, a clock, fetches, commits, crashes; and its replay."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plain_rows import LATE_APPLIES, STREAMS, Folded, PlainTask, Row, flat, judged_rows, table

from monitor.event_time.sequencer import Behind, InputMeta, Sequencer, Step
from monitor.event_time.timing import Timing
from monitor.wire.table import NO_TIME

TIMING = Timing(
    allowed_lateness=20,
    idle_after=25,
    idle_grace=200,
    max_future=500,
    dedupe_window=150,
    buffer_limit=10**9,
)

Arrivals = dict[str, list[tuple[int, Row]]]
"""By stream, in offset order: (arrival, row)."""


def arrivals(
    seed: int,
    *,
    tame: bool,
    span: int = 900,
    gaps: Sequence[int] = (4, 25, 18),
    streams: tuple[str, ...] = STREAMS,
) -> Arrivals:
    """Rows of a market: out of order, twice, late, far in the future, unreadable, silent for a while.

    `tame`: all but the broken ones arrive within the lateness, as they would on a healthy day.
    """
    random_ = random.Random(seed)
    out: Arrivals = {}
    for stream, gap in zip(streams, gaps, strict=True):
        rows, now, key = [], 1_000, 0
        while now < 1_000 + span:
            key += 1
            delay = (
                random_.randrange(18) if tame or random_.random() < 0.8 else random_.choice((0, 25, 60, 240))
            )
            first = (now + delay, Row(now, now + delay, key))
            rows.append(first)
            chance = random_.random()
            if chance < 0.06:
                again = now + delay + (random_.randrange(2) if tame else random_.randrange(300))
                rows.append((again, Row(now, again, key)))
            elif chance < 0.10 and (stream != "orders" or not tame):
                rows.append((now + delay, Row(now - 21 - random_.randrange(60), now + delay, key + 500_000)))
            elif chance < 0.12:
                rows.append((now + delay, Row(now + 5_000, now + delay, key)))
            elif chance < 0.14:
                rows.append((now + delay, Row(0, now + delay, sound=False)))
            now += max(0, int(random_.expovariate(1 / gap)))
            if not tame and random_.random() < 0.01:
                now += 300
        out[stream] = sorted(rows, key=lambda arrival: arrival[0])
    return out


@dataclass
class Commit:
    """What a transaction made durable."""

    watermark: int = NO_TIME
    metas: Mapping[str, InputMeta] | None = None
    folded: list[Folded] = field(default_factory=list)
    behind: dict[tuple[str, int], Behind] = field(default_factory=dict)


@dataclass
class Life:
    """What became of a run: what was committed last, and how often it was disturbed."""

    committed: Commit
    crashes: int = 0
    fullest: int = 0
    stood_still: int = 0


def live(
    seed: int,
    log: Arrivals,
    timing: Timing = TIMING,
    *,
    crashes: int = 0,
    batches: Sequence[int] = (1, 2, 5, 64),
    pause: bool = False,
    start: int = 990,
    until: int | None = None,
    plain: PlainTask | None = None,
) -> Life:
    """Runs until the clock has passed everything, or to `until`, crashing `crashes` times on the way.

    `plain`: is shown the same fetches, and must fold the same rows in the same order.
    """
    random_ = random.Random(seed)
    streams = tuple(log)
    judged = {s: judged_rows([row for _, row in log[s]], timing) for s in log}
    last = max(at for rows in log.values() for at, _ in rows)
    end = until if until is not None else last + 10 * timing.idle_grace
    crash_at = sorted(random_.randrange(start, last) for _ in range(crashes))
    life, clock = Life(Commit()), start
    sequencer, folded, behind, at = _begin(timing, streams, life.committed)
    while clock < end:
        clock += random_.choice((0, 1, 1, 2, 5)) if clock < last + 300 else 40
        if pause and random_.random() < 0.01:
            clock += 120
        sequencer.time.remember(clock)
        wanted = sequencer.wanted(random_.choice(batches))
        if plain is not None:
            plain.past.append((clock, dict(plain.front)))
        sent = clock
        fetched = {
            s: [r for r in enumerate(log[s][at[s] : at[s] + wanted[s]], at[s]) if r[1][0] <= sent]
            for s in wanted
            if random_.random() < 0.7
        }
        if pause and random_.random() < 0.02:
            clock += 90
        for stream, got in fetched.items():
            rows = [row for _, (_, row) in got]
            position = at[stream] + len(rows)
            steps = sequencer.read(stream, table(rows, at[stream]), position, clock)
            _fold(steps, streams, folded, behind)
            if plain is not None:
                numbered = [(o, row, judged[stream][o]) for o, (_, row) in got]
                plain.read(stream, numbered, clock)
            at[stream] = position
            if not rows:
                sequencer.silent(stream, clock, sent)
                if plain is not None:
                    plain.silent(stream, clock, sent, NO_TIME)
        before = sequencer.watermark
        refilling = any(at[s] < m.read for s, m in (life.committed.metas or {}).items())
        _fold(sequencer.release(), streams, folded, behind)
        assert not refilling or sequencer.watermark == before
        life.stood_still += refilling
        if plain is not None:
            plain.release()
            assert folded == plain.folded
        life.fullest = max(life.fullest, sequencer.buffered)
        if crash_at and clock >= crash_at[0]:
            crash_at.pop(0)
            life.crashes += 1
            sequencer, folded, behind, at = _begin(timing, streams, life.committed)
        elif random_.random() < 0.3 or clock >= end:
            life.committed = Commit(sequencer.watermark, sequencer.metas(), list(folded), dict(behind))
    return life


def _begin(
    timing: Timing, streams: tuple[str, ...], commit: Commit
) -> tuple[Sequencer, list[Folded], dict[tuple[str, int], Behind], dict[str, int]]:
    sequencer = Sequencer(
        timing, streams, late_applies=LATE_APPLIES, watermark=commit.watermark, metas=commit.metas
    )
    seek = {s: commit.metas[s].seek if commit.metas else 0 for s in streams}
    return sequencer, list(commit.folded), dict(commit.behind), seek


def _fold(
    steps: list[Step],
    streams: tuple[str, ...],
    folded: list[Folded],
    behind: dict[tuple[str, int], Behind],
) -> None:
    for step in steps:
        rows = flat([step], streams)
        assert all(row.eff == step.watermark if step.behind else row.eff < step.watermark for row in rows)
        for row in rows:
            if step.behind:
                behind[row.stream, row.offset] = Behind(step.watermark, len(behind))
        folded += rows


def replay(
    log: Mapping[str, Sequence[Row]],
    timing: Timing = TIMING,
    *,
    batch: int = 7,
    ended: Commit | None = None,
) -> list[Folded]:
    """The log from its start as replay reads it: the input that holds time back first. `ended`: the run whose
    journal is followed, to where it ended."""
    streams = tuple(log)
    sequencer = Sequencer(
        timing,
        streams,
        late_applies=LATE_APPLIES,
        journal=ended.behind if ended else None,
        until=ended.watermark if ended else None,
    )
    at, steps = dict.fromkeys(streams, 0), []
    limit = {s: ended.metas[s].read if ended and ended.metas else len(log[s]) for s in streams}
    while slowest := sequencer.time.slowest():
        stream = min(slowest, key=streams.index)
        rows = log[stream][at[stream] : min(at[stream] + batch, limit[stream])]
        position = at[stream] + len(rows) if rows else 0
        steps += sequencer.read(stream, table(rows, at[stream]), position, 0, end=not rows)
        at[stream] += len(rows)
        if not rows:
            sequencer.end(stream)
        steps += sequencer.release()
    last = sequencer.last
    steps += sequencer.finish(ended.watermark if ended else last + 1 if last != NO_TIME else 0)
    return flat(steps, streams)
