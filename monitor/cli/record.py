"""`record`: a run's streams, journal and decisions from Kafka into files that `replay` takes."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from monitor.cli.configuration import BAD_CONFIGURATION, load_configuration, show_problems
from monitor.cli.kafka import kafka_log
from monitor.daemon.recorder import Ends, Recorder
from monitor.errors import ConfigError, MonitorError, TransportError
from monitor.transport.contract import ALERTS, INPUTS, JOURNAL, PREDICTIONS, STATE
from monitor.transport.kafka import KafkaLog

FOLLOW_S: Final = 2.0
RETRY_S: Final = 5.0


def record(
    config: Annotated[Path, typer.Option(help="The configuration that the daemon ran with.")],
    out: Annotated[Path, typer.Option(help="Directory for streams, journal and events.")],
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until interrupted; the files appear then.")
    ] = False,
) -> None:
    """Record a run, while it goes on or after it stopped: `replay --journal` makes its events again."""
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    try:
        settings = load_configuration(config)
        used = settings.topics.by_stream()
        topics = [t for t in (*INPUTS, PREDICTIONS, JOURNAL, STATE, ALERTS) if t in used]
        ends = asyncio.run(_record(kafka_log(settings, config, topics), topics, out, follow, console))
    except ConfigError as error:
        show_problems(console, error.problems)
        raise typer.Exit(BAD_CONFIGURATION) from None
    except MonitorError as error:
        console.print(f"record: {error}", style="red")
        raise typer.Exit(1) from None
    if not ends.metas:
        console.print("record: no task has committed anything yet; what is recorded is empty.", style="red")
        raise typer.Exit(1)
    files = " ".join(f"--{s} {out / s}.jsonl.gz" for s in INPUTS if s in topics)
    console.print(f"{len(ends.metas)} tasks recorded. Replay them with:")
    console.print(
        f"  shadow-monitor replay --config {config} {files} --journal {out / 'journal.jsonl'} --out DIR"
    )


async def _record(log: KafkaLog, topics: list[str], out: Path, follow: bool, console: Console) -> Ends:
    stop = asyncio.Event()
    if follow:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    columns = TextColumn("record"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeElapsedColumn()
    with Progress(*columns, console=console) as shown:
        row = shown.add_task("record", total=0)

        def progress(rows: int, left: int) -> None:
            shown.advance(row, rows)
            if left:
                shown.update(row, total=shown.tasks[row].completed + left)

        with Recorder(log, topics, out, progress) as recorder:
            async with log:
                while True:
                    last = stop.is_set()
                    pause = FOLLOW_S
                    try:
                        await recorder.advance()
                    except TransportError as error:
                        if not follow or last:
                            raise
                        console.print(f"record: {error}; goes on in {RETRY_S:g} s", style="yellow")
                        pause = RETRY_S
                    if not follow or last:
                        return recorder.ends
                    try:
                        async with asyncio.timeout(pause):
                            await stop.wait()
                    except TimeoutError:
                        continue
