"""Going on where the log says a task was: what of its state still fits, and where its inputs go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.daemon.group import Deployed
from monitor.errors import StateError
from monitor.state.records import META, OWN, TASK, Meta, decode_meta, unseal


@dataclass(frozen=True, slots=True)
class Restored:
    """A task's committed state. `dropped`: deployments whose state was made under another configuration."""

    meta: Meta | None
    records: Mapping[tuple[str, str], Mapping[str, bytes]]
    dropped: tuple[str, ...]


def restore(state: Mapping[bytes, bytes], deployments: Mapping[str, Deployed], partitions: int) -> Restored:
    """Read the records of a task's `state` partition.

    State of a deployment whose configuration has changed no longer fits: its statistics and books restart.
    What a person must reset, latches, epoch and audit chain, is kept.

    Raises:
        StateError: unreadable, of another version, or of another partition count.
    """
    meta = decode_meta(state[META]) if META in state else None
    if meta is not None and meta.partitions != partitions:
        raise StateError(
            f"the state was written for {meta.partitions} partitions, the topics now have {partitions}. "
            "Remedy: set the partition count back; a changed one needs new topics and a new prefix."
        )
    dropped = set()
    records: dict[tuple[str, str], dict[str, bytes]] = {}
    for (scope, name), found in unseal(state).items():
        if name not in deployments:
            dropped.add(name)
            continue
        kept = {}
        for key, (digest, value) in found.items():
            if digest == deployments[name].digest or _outlives(scope, key):
                kept[key] = value
            else:
                dropped.add(name)
        records[scope, name] = kept
    return Restored(meta, records, tuple(sorted(dropped)))


def _outlives(scope: str, key: str) -> bool:
    """Books and latches do not hang on a policy or a window: what is held is held."""
    if scope == TASK:
        return key.startswith(("ledger/", "marks/", "exec/"))
    return scope == OWN and key.startswith(
        ("policy/latch/", "policy/epoch", "policy/chain", "policy/commands")
    )
