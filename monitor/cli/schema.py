"""`schema`: the JSON Schemas of all that crosses the walls, written or compared with what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from monitor.policy.events import Decision, Heartbeat
from monitor.wire.schema import MESSAGES, schema_files


def schema(
    out: Annotated[Path, typer.Option(help="Directory of the schema files.")] = Path("schemas"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file is stale.")] = False,
) -> None:
    """Write schemas/*.schema.json (JSON Schema 2020-12) from the message types."""
    files = schema_files({**MESSAGES, "decision": Decision, "heartbeat": Heartbeat})
    console = Console(markup=False, highlight=False, soft_wrap=True)
    if check:
        stale = sorted(name for name, body in files.items() if _read(out / name) != body)
        stale += sorted(path.name for path in out.glob("*.schema.json") if path.name not in files)
        for name in stale:
            console.print(f"{out / name} is stale. Remedy: shadow-monitor schema --out {out}")
        if stale:
            raise typer.Exit(1)
        console.print(f"{len(files)} schemas in {out} are up to date")
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, body in files.items():
        (out / name).write_bytes(body)
    console.print(f"wrote {len(files)} schemas to {out}")


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
