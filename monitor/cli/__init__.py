"""The command line: one file a command; this one only names them."""

from __future__ import annotations

import typer


def main() -> None:
    """The command `shadow-monitor`."""
    from monitor.cli.baseline import baseline
    from monitor.cli.check import check
    from monitor.cli.demo import demo
    from monitor.cli.drift import drift
    from monitor.cli.events import events
    from monitor.cli.metrics import metrics
    from monitor.cli.pack import pack
    from monitor.cli.record import record
    from monitor.cli.replay import replay
    from monitor.cli.run import run
    from monitor.cli.schema import schema

    app = typer.Typer(
        name="shadow-monitor",
        help="Watches an active and a shadow trading model side by side, and decides.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for command in (run, demo, replay, record, check, pack, baseline, drift, events, metrics, schema):
        app.command()(command)
    app()
