"""Commands called as from a shell, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from monitor.cli.check import check
from monitor.cli.configuration import load_configuration
from monitor.cli.replay import replay
from monitor.daemon.group import Group
from monitor.errors import ConfigError


def call(command: Callable[..., None], *arguments: object, **env: str) -> Result:
    """What a command says and its exit code; an exception that it lets through fails the test."""
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "200", **env})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def replayed(
    directory: Path,
    out: str = "out",
    *options: object,
    config: str = "config.yaml",
    streams: Sequence[str] = ("features", "orders"),
) -> dict[str, bytes]:
    """Replays the streams that lie in a directory into another one below it; what it wrote there, by name."""
    files = [part for stream in streams for part in (f"--{stream}", directory / f"{stream}.jsonl")]
    result = call(replay, "--config", directory / config, *files, "--out", directory / out, *options)
    assert result.exit_code == 0, result.output
    return {path.name: path.read_bytes() for path in sorted((directory / out).iterdir())}


def refused(path: Path) -> str:
    """What `check` and a start both say."""
    result = call(check, path, COLUMNS="300")
    assert result.exit_code == 2, result.output
    with pytest.raises(ConfigError) as failed:
        Group(load_configuration(path), path)
    said = " ".join(result.output.split())
    for problem in failed.value.problems:
        assert problem.message in said
        assert problem.remedy in said
    return said
