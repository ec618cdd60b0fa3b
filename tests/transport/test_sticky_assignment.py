"""Partition tasks are spread evenly, and move only where they must."""

from __future__ import annotations

from aiokafka.cluster import ClusterMetadata
from hypothesis import given
from hypothesis import strategies as st

from monitor.transport.kafka.assignor import StickyByNumber, distribute

claims = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.lists(st.integers(0, 20), max_size=12),
    min_size=1,
    max_size=6,
)


@given(owned=claims, partitions=st.integers(1, 16))
def test_every_number_has_one_owner_and_shares_differ_by_one_at_most(
    owned: dict[str, list[int]], partitions: int
) -> None:
    result = distribute(partitions, owned)
    assert sorted(p for numbers in result.values() for p in numbers) == list(range(partitions))
    sizes = [len(numbers) for numbers in result.values()]
    assert max(sizes) - min(sizes) <= 1


@given(partitions=st.integers(1, 16), members=st.integers(1, 6))
def test_a_balanced_group_stays_as_it_is(partitions: int, members: int) -> None:
    first = distribute(partitions, {f"m{i}": [] for i in range(members)})
    assert distribute(partitions, first) == first


@given(partitions=st.integers(2, 16), members=st.integers(2, 6), gone=st.integers(0, 5))
def test_when_one_leaves_the_others_keep_all_they_had(partitions: int, members: int, gone: int) -> None:
    before = distribute(partitions, {f"m{i}": [] for i in range(members)})
    before.pop(f"m{gone % members}")
    after = distribute(partitions, before)
    assert all(set(before[m]) <= set(after[m]) for m in before)


def test_a_newcomer_takes_only_its_share() -> None:
    after = distribute(4, {"old": [0, 1, 2, 3], "new": []})
    assert after == {"old": [0, 1], "new": [2, 3]}


def metadata_of(topics: dict[str, int]) -> ClusterMetadata:
    cluster = ClusterMetadata()
    cluster._partitions = {topic: dict.fromkeys(range(count)) for topic, count in topics.items()}
    return cluster


def test_co_partitioned_topics_go_together_and_a_returning_member_does_not_win_back() -> None:
    cluster = metadata_of({"features": 4, "orders": 4})
    topics = ["features", "orders"]
    stayed, away = StickyByNumber(), StickyByNumber()
    both = stayed.assign(cluster, {"s": stayed.metadata(topics), "a": away.metadata(topics)})
    for member, assignment in both.items():
        by_topic = {topic: set(numbers) for topic, numbers in assignment.assignment}
        assert by_topic["features"] == by_topic["orders"]
        (stayed if member == "s" else away).on_assignment(assignment)
    alone = stayed.assign(cluster, {"s": stayed.metadata(topics)})
    stayed.on_assignment(alone["s"])
    # Both now claim what `away` once had; the one that was told later is right, and keeps its share.
    again = stayed.assign(cluster, {"s": stayed.metadata(topics), "a": away.metadata(topics)})
    owned = {member: set(a.assignment[0][1]) for member, a in again.items()}
    assert owned == {"s": {0, 1}, "a": {2, 3}}
