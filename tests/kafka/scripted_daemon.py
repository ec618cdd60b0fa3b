"""The daemon with scripted answers and latencies, so that every run over the same log is the same run.

`python scripted_daemon.py CONFIG INSTANCE`; all else is the daemon's own.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from monitor.cli.configuration import load_configuration
from monitor.cli.run import kafka
from monitor.daemon.app import App
from monitor.daemon.deployed import Deployed
from monitor.daemon.group import Group
from monitor.models.scripted import ScriptedScorer
from monitor.observe.http import serve
from monitor.observe.logs import configure
from monitor.observe.metrics import Exporter
from monitor.observe.readiness import Readiness


def scripted(deployed: Deployed) -> ScriptedScorer:
    """A scorer that fails on one row in 50."""
    return ScriptedScorer(deployed.scope.roles, seed=3, faults=0.02)


def main(config: Path, instance: str) -> int:
    group = Group(load_configuration(config), config)
    log = configure(group.settings.log.format, group.settings.log.level)
    readiness = Readiness()
    exporter = Exporter(group, readiness)

    async def listen() -> None:
        await serve("127.0.0.1", 0, exporter, readiness, bound=lambda url: log.info("http", url=url))

    app = App(
        group,
        kafka(group.settings, config, instance),
        lambda: group.scorers(scripted),
        log,
        exporter,
        measured=False,
        services=(listen,),
    )
    return asyncio.run(app.run())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
