"""`replay`: recorded or plain streams through the daemon's own core, to files; the same bytes every time."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from monitor.cli.configuration import BAD_CONFIGURATION, load_configuration, show_problems
from monitor.cli.events import describe
from monitor.cli.summary import show
from monitor.daemon.deployed import Deployed
from monitor.daemon.group import Group
from monitor.daemon.pipeline import Output
from monitor.daemon.recording import count_partitions, dead_letter_line, read_journal, recorded, sources
from monitor.daemon.replay import Replay, Replayed
from monitor.daemon.report import report
from monitor.daemon.warnings import log_warnings
from monitor.errors import ConfigError, MonitorError, Poisoned
from monitor.models.scoring import ReplayScorer, Scorer
from monitor.observe.logs import configure
from monitor.policy.events import Decision, EventType, encode
from monitor.settings.configuration import Settings
from monitor.transport.contract import FEATURES, ORDERS, OUTCOMES
from monitor.transport.files import LineWriter


def replay(
    config: Annotated[Path, typer.Option(help="The configuration.")],
    features: Annotated[Path, typer.Option(help="Feature events: JSONL, .gz, .zst or Parquet.")],
    orders: Annotated[Path, typer.Option(help="Execution reports.")],
    out: Annotated[Path, typer.Option(help="Directory for events, predictions, dead letters, report.")],
    outcomes: Annotated[Path | None, typer.Option(help="Outcomes.")] = None,
    journal: Annotated[Path | None, typer.Option(help="Journal of the run, from `record`.")] = None,
    tasks: Annotated[int, typer.Option(min=1, help="Tasks to split plain files into.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Records read at a time.")] = 4096,
    fail_on: Annotated[
        list[str] | None, typer.Option(help="Exit 1 when an event of this type fires; repeatable.")
    ] = None,
) -> None:
    """Run the daemon's core over files and write what it would have published."""
    console = Console(stderr=True, emoji=False, soft_wrap=True)
    wanted = [_event_type(text) for text in fail_on or ()]
    try:
        settings = load_configuration(config)
        group = Group(settings if outcomes is None else _with_outcomes(settings), config)
        log_warnings(group, time.time_ns(), configure(settings.log.format, settings.log.level))
        streams = {FEATURES: features, ORDERS: orders}
        if outcomes is not None:
            streams[OUTCOMES] = outcomes
        done = _run(group, streams, journal, tasks, batch_size, out, console)
    except ConfigError as error:
        show_problems(console, error.problems)
        raise typer.Exit(BAD_CONFIGURATION) from None
    except Poisoned as error:
        console.print(f"replay: {error}", markup=False, style="red")
        raise typer.Exit(1) from None
    except (MonitorError, OSError) as error:
        console.print(f"replay: {error}", markup=False, style="red")
        raise typer.Exit(BAD_CONFIGURATION) from None
    decisions = _decisions(done)
    for event in decisions:
        console.print(describe(_plain(event)))
    for name, fold in done.folds.items():
        show(console, name, fold, done.as_of_ns[name])
    console.print(f"{len(decisions)} events, report in {out / 'report.json'}", markup=False)
    if any(event.type in wanted and event.data.phase != "resolved" for event in decisions):
        raise typer.Exit(1)


def _with_outcomes(settings: Settings) -> Settings:
    """A file of outcomes is a stream of them, also where no topic is named."""
    topics = settings.topics
    if topics.outcomes is not None:
        return settings
    return settings.model_copy(update={"topics": topics.model_copy(update={"outcomes": OUTCOMES})})


def _run(
    group: Group,
    files: dict[str, Path],
    journal: Path | None,
    tasks: int,
    batch_size: int,
    out: Path,
    console: Console,
) -> Replayed:
    told = read_journal(journal) if journal is not None else None
    enveloped = recorded(files[FEATURES])
    partitions: int | None = None
    if enveloped:
        metas = list(told.metas.values()) if told else []
        partitions = metas[0].partitions if metas else count_partitions(files)
    out.mkdir(parents=True, exist_ok=True)
    bar = Progress(
        TextColumn("replay"), BarColumn(), TextColumn("{task.completed:,} rows"), TimeElapsedColumn(),
        console=console,
    )  # fmt: skip

    def scorer(deployed: Deployed) -> Scorer:
        return ReplayScorer(deployed.models, group.space.names)

    with ExitStack() as stack:
        parts = partitions or 1
        spools = [
            (
                stack.enter_context(_spool(out, "predictions", part, parts)),
                stack.enter_context(_spool(out, "dead-letters", part, parts)),
            )
            for part in range(parts)
        ]

        def sink(partition: int, output: Output) -> None:
            predictions, dead = spools[partition]
            for record in output.predictions:
                predictions.write(record.value or b"")
            for record in output.dead_letters:
                dead.write(dead_letter_line(record.value, record.headers))

        shown = stack.enter_context(bar)
        row = shown.add_task("replay", total=None)
        done = asyncio.run(
            Replay(
                group,
                sources(files, batch_size, partitions),
                scorer,
                sink,
                plain=partitions is None,
                tasks=tasks,
                journal=told,
                progress=lambda rows: shown.advance(row, rows),
            ).run()
        )
    for name in ("predictions", "dead-letters"):
        _join(out, name, partitions or 1)
    with LineWriter(out / "events.jsonl") as events:
        for event in _decisions(done):
            events.write(encode(event))
    (out / "report.json").write_bytes(report(group, done.folds, done.as_of_ns))
    return done


def _spool(out: Path, name: str, part: int, parts: int) -> LineWriter:
    return LineWriter(out / (f"{name}.jsonl" if parts == 1 else f"{name}.{part}.part"))


def _join(out: Path, name: str, parts: int) -> None:
    """One file of the parts, in order of partitions: the same whatever order they were read in."""
    if parts == 1:
        return
    with (out / f"{name}.jsonl").open("wb") as whole:
        for part in range(parts):
            path = out / f"{name}.{part}.part"
            whole.write(path.read_bytes())
            path.unlink()


def _decisions(done: Replayed) -> list[Decision]:
    """All decisions, ordered by (time, deployment, sequence)."""
    events = [event for fold in done.folds.values() for event in fold.decisions]
    return sorted(events, key=lambda event: (event.time, event.source, event.data.sequence))


def _plain(event: Decision) -> dict[str, object]:
    import orjson

    plain: dict[str, object] = orjson.loads(encode(event))
    return plain


def _event_type(text: str) -> EventType:
    for kind in EventType:
        if text in (kind.value, kind.value.split(".")[2]):
            return kind
    names = ", ".join(kind.value.split(".")[2] for kind in EventType)
    raise typer.BadParameter(f"{text!r} is no type of event; use one of {names}")
