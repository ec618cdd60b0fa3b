"""Going on where the log says a task was: what of its state still fits, and where its inputs go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.daemon.group import Group
from monitor.daemon.keeping import bond, held, symbol_of
from monitor.errors import StateError
from monitor.state.records import META, Meta, decode_meta, record_key, unseal
from monitor.transport.contract import STATE, Outgoing


@dataclass(frozen=True, slots=True)
class Restored:
    """A task's committed state.

    `records`: what fits, by scope and deployment; `misfits`: keys of what does not, to be deleted with the
    next commit, by deployment; `strangers`: deployments that are not configured, whose state is left alone.
    """

    meta: Meta | None
    records: Mapping[tuple[str, str], Mapping[str, bytes]]
    misfits: Mapping[str, tuple[bytes, ...]]
    strangers: tuple[str, ...]

    def deletions(self, task: int) -> list[Outgoing]:
        """Records that delete the misfits: under a later configuration they must not fit again."""
        return [Outgoing(STATE, task, key, None) for keys in self.misfits.values() for key in keys]


def restore(state: Mapping[bytes, bytes], group: Group, partitions: int) -> Restored:
    """Read the records of a task's `state` partition.

    What was made under another configuration and hangs on it restarts; what is held, and what a person must
    reset, is kept.

    Raises:
        StateError: unreadable, of another version or partition count, a book in other units or of others.
    """
    meta = decode_meta(state[META]) if META in state else None
    if meta is not None and meta.partitions != partitions:
        raise StateError(
            f"the state was written for {meta.partitions} partitions, the topics now have {partitions}. "
            "Remedy: set the partition count back; a changed one needs new topics and a new prefix."
        )
    records: dict[tuple[str, str], dict[str, bytes]] = {}
    misfits: dict[str, tuple[bytes, ...]] = {}
    strangers = set()
    for (scope, name), found in unseal(state).items():
        deployed = group.deployments.get(name)
        if deployed is None:
            strangers.add(name)
            continue
        kept = records.setdefault((scope, name), {})
        for key, (sealed_under, value) in found.items():
            now = bond(group, deployed, scope, key)
            if sealed_under == now:
                kept[key] = value
            elif held(key):
                raise StateError(
                    f"deployment {name}: the book of {symbol_of(key)} is kept in {sealed_under}; the "
                    f"configuration now says: {now}. Remedy: set instrument and filter back; to begin "
                    "with other units, or another account or strategy, give the deployment a new name."
                )
            else:
                misfits[name] = (*misfits.get(name, ()), record_key(scope, name, key))
    return Restored(meta, records, misfits, tuple(sorted(strangers)))
