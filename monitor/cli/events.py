"""`events`: decisions as a person reads them, followed as they come, or their audit chain verified; of a file
or of the alert topic of a running daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.text import Text

from monitor.cli.configuration import load_configuration, show_problems
from monitor.errors import ConfigError, MonitorError
from monitor.policy.chain import Head, verify
from monitor.policy.events import EventType

FAILED: Final = 1
BAD_USAGE: Final = 2
POLL_S: Final = 0.2

_SHORT = {kind.name.lower(): kind for kind in EventType}
_STYLES = {
    EventType.KILL_SWITCH: "bold white on red",
    EventType.ROLLBACK: "bold red",
    EventType.REDUCE: "bold red",
    EventType.DEMOTE: "bold yellow",
    EventType.ALERT: "yellow",
    EventType.RESET: "bold green",
    EventType.COMMAND: "cyan",
    EventType.HEARTBEAT: "dim",
}
_SIGNS = {"above": ">", "below": "<"}


def events(
    file: Annotated[
        Path | None, typer.Argument(help="Events, one JSON object a line, as `replay` writes them.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Instead of a file: a daemon's configuration, for its alert topic."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as events come.")] = False,
    check: Annotated[
        bool, typer.Option("--verify", help="Verify the audit chain: exit 1 with what is wrong.")
    ] = False,
    kind: Annotated[
        str | None, typer.Option("--type", help=f"Only events of a type: {', '.join(_SHORT)}.")
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(help="DEPLOYMENT:SEQUENCE:HASH that --verify must reach, as a heartbeat says it."),
    ] = None,
    first: Annotated[int, typer.Option(help="Sequence at which the retained part begins.", min=1)] = 1,
    audit_key: Annotated[
        Path | None, typer.Option(help="File with the key, where the chain is one of HMACs.")
    ] = None,
) -> None:
    """Show decisions, or verify that none was changed, lost, moved, added or cut off."""
    console = Console(markup=False, highlight=False, soft_wrap=True)
    if check and (follow or kind):
        raise _bad_usage("--verify reads a whole chain. Remedy: leave out --follow and --type.")
    wanted = None if kind is None else _event_type(kind)
    try:
        lines = _source(file, config, follow)
        if check:
            key = None if audit_key is None else audit_key.read_bytes().strip()
            holds = asyncio.run(show_verification(lines, console, _heads(head or []), first, key))
        else:
            holds = asyncio.run(show(lines, console, wanted))
    except KeyboardInterrupt:
        return
    except ConfigError as error:
        show_problems(Console(stderr=True), error.problems)
        raise typer.Exit(BAD_USAGE) from None
    except MonitorError as error:
        console.print(f"events: {error}", style="red")
        raise typer.Exit(FAILED) from None
    if not holds:
        raise typer.Exit(FAILED)


def _source(file: Path | None, config: Path | None, follow: bool) -> AsyncIterator[bytes]:
    if (file is None) == (config is None):
        raise _bad_usage("one source is needed. Remedy: name a FILE, or the daemon's --config.")
    if config is not None:
        # Reading a file needs no client.
        from monitor.cli.kafka import read_alerts

        return read_alerts(load_configuration(config), config, follow)
    assert file is not None
    if not file.is_file():
        raise _bad_usage(f"{file}: no such file. Remedy: name an events.jsonl.")
    return read_lines(file, follow)


async def read_lines(file: Path, follow: bool) -> AsyncIterator[bytes]:
    """Complete lines of a file without their ends; with `follow` for ever, as it grows.

    Without `follow` a last line without an end counts too.
    """
    with file.open("rb") as stream:
        rest = b""
        while True:
            chunk = stream.read(1 << 20)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line
            if chunk:
                continue
            if not follow:
                break
            await asyncio.sleep(POLL_S)
    if rest:
        yield rest


async def show(lines: AsyncIterator[bytes], console: Console, wanted: EventType | None) -> bool:
    """Print events, of one type or all but heartbeats; False if a line was none."""
    good, position = True, 0
    async for line in lines:
        position += 1
        if not line.strip():
            continue
        event = _parse(line)
        if event is None:
            console.print(f"line {position} is no event: {line[:80]!r}", style="red")
            good = False
        elif event.get("type") == wanted or (wanted is None and event.get("type") != EventType.HEARTBEAT):
            console.print(describe(event))
    return good


async def show_verification(
    lines: AsyncIterator[bytes], console: Console, heads: Mapping[str, Head], first: int, key: bytes | None
) -> bool:
    """Print what is wrong with the chains, or that they hold; whether they do."""
    found: list[Mapping[str, Any]] = []
    complaints, position = [], 0
    async for line in lines:
        position += 1
        event = _parse(line) if line.strip() else {}
        if event is None:
            complaints.append(f"line {position} is no event: changed or inserted")
        elif event:
            found.append(event)
    complaints += verify(found, heads, first, key)
    for complaint in complaints:
        console.print(complaint, style="red")
    if complaints:
        return False
    beats = {event["source"] for event in found if event.get("type") == EventType.HEARTBEAT}
    ends = {event["source"]: event["data"] for event in found if event.get("type") != EventType.HEARTBEAT}
    for source in sorted(ends):
        console.print(f"{source}: holds up to sequence {ends[source]['sequence']}, {ends[source]['hash']}")
        if source not in beats and source not in heads:
            console.print(f"{source}: no head is known, so a tail cut off would not show (--head).")
    if not ends:
        console.print("no events")
    return True


def describe(event: Mapping[str, Any]) -> Text:
    """An event on two lines: when, what, whom, which rule, value against threshold; and the reason."""
    kind, data = str(event.get("type", "")), event.get("data")
    data = data if isinstance(data, Mapping) else {}
    short = next((name for name, full in _SHORT.items() if full == kind), kind)
    style = next((style for full, style in _STYLES.items() if full == kind), "")
    resolved = data.get("phase") == "resolved"
    line = Text(f"{event.get('time', '')}  ", style="dim")
    line.append(f"{short}{' resolved' if resolved else ''}", style="green" if resolved else style)
    line.append(f"  {event.get('source', '')}/{event.get('subject', '')}", style="bold")
    if data.get("rule"):
        line.append(f"  {data['rule']}")
    if data.get("metric"):
        line.append(f"  {_measured(data)}")
    if data.get("state_from") != data.get("state_to"):
        line.append(f"  {data.get('state_from')} -> {data.get('state_to')} (epoch {data.get('epoch')})")
    if data.get("reason"):
        line.append(f"\n    {data['reason']}", style="")
    return line


def _measured(data: Mapping[str, Any]) -> str:
    labels = ",".join(f"{name}={value}" for name, value in sorted((data.get("labels") or {}).items()))
    name = f"{data['metric']}{'{' + labels + '}' if labels else ''}"
    limit = f"limit {_SIGNS.get(str(data.get('comparator')), '')} {data.get('threshold')}"
    if data.get("value") is None:
        return f"{name} without a value ({data.get('status')}; {limit})"
    return f"{name} = {data['value']} ({limit})"


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


def _event_type(text: str) -> EventType:
    for short, kind in _SHORT.items():
        if text in (short, kind.value):
            return kind
    raise _bad_usage(f"--type {text}: no such type. Remedy: one of {', '.join(_SHORT)}.")


def _heads(texts: list[str]) -> dict[str, Head]:
    heads = {}
    for text in texts:
        parts = text.rsplit(":", 2)
        if len(parts) != 3 or not parts[1].isdecimal():
            raise _bad_usage(
                f"--head {text}: not DEPLOYMENT:SEQUENCE:HASH. Remedy: copy it from a heartbeat."
            )
        heads[parts[0]] = Head(int(parts[1]), parts[2])
    return heads


def _bad_usage(message: str) -> typer.Exit:
    Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(f"events: {message}")
    return typer.Exit(BAD_USAGE)
