"""Who owns which partition task: sticky, by partition number across the co-partitioned topics.

aiokafka's round-robin would give one member `features-0` and another `orders-0`; its range assignor moves
tasks that need not move. Pure but for the memory of what this member owned.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata


def distribute(partitions: int, owned: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Partition numbers by member: everyone gets his share (+-1), keeps of his own what fits in it.

    `owned` has every member, with the numbers it claims, the most trustworthy claims first; a number claimed
    twice goes to the first. The result depends on nothing else.
    """
    members = list(owned)
    share, larger = divmod(partitions, len(members))
    free = set(range(partitions))
    result: dict[str, list[int]] = {}
    for member in members:
        claimed = [p for p in sorted(set(owned[member])) if p in free]
        room = share + (1 if larger and len(claimed) > share else 0)
        if room > share:
            larger -= 1
        result[member] = claimed[:room]
        free.difference_update(result[member])
    left = sorted(free)
    for member in members:
        while len(result[member]) < share:
            result[member].append(left.pop(0))
    for member in members:
        if left and len(result[member]) == share:
            result[member].append(left.pop(0))
    return {member: sorted(numbers) for member, numbers in result.items()}


class StickyByNumber(AbstractPartitionAssignor):  # type: ignore[misc]
    """One for each consumer: remembers what this member owned and tells the group's leader at each join."""

    name = "shadow-monitor-sticky"
    version = 0

    def __init__(self) -> None:
        self._round = 0
        self._owned: list[int] = []

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        claim = json.dumps({"round": self._round, "owned": self._owned}).encode()
        return ConsumerProtocolMemberMetadata(self.version, sorted(topics), claim)

    def assign(
        self, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        topics = sorted({topic for member in members.values() for topic in member.subscription})
        counts = [len(cluster.partitions_for_topic(topic) or ()) for topic in topics]
        claims = {name: json.loads(member.user_data or b"{}") for name, member in members.items()}
        # A member that was away claims what it lost meanwhile: the later round is right.
        trusted = sorted(claims, key=lambda name: (-claims[name].get("round", 0), name))
        numbers = distribute(min(counts), {name: claims[name].get("owned", []) for name in trusted})
        said = json.dumps(1 + max(claim.get("round", 0) for claim in claims.values())).encode()
        return {
            name: ConsumerProtocolMemberAssignment(
                self.version, [(topic, numbers[name]) for topic in topics], said
            )
            for name in members
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        self._round = int(json.loads(assignment.user_data or b"0"))
        self._owned = sorted({p for _, numbers in assignment.assignment for p in numbers})
