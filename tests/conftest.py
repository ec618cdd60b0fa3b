"""What all tests share: a real Kafka, started once a session, and the long proofs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from broker.kafka_broker import running_broker

pytest_plugins = ["proofs"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Bootstrap servers of a real Apache Kafka: the one named in KAFKA_BOOTSTRAP_SERVERS, else our own.

    Where neither can be had the tests fail: a suite that skips them proves nothing.
    """
    named = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if named:
        yield named
        return
    with running_broker() as broker:
        yield broker.bootstrap
