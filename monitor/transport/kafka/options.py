"""Client options: what a configuration passes through to aiokafka, and what this program decides itself.

Knows the signatures of aiokafka's clients; an option goes to every client that has it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

DEFAULTS: dict[str, Any] = {
    "client_id": "shadow-monitor",
    "request_timeout_ms": 10_000,
    "session_timeout_ms": 6_000,
    "heartbeat_interval_ms": 1_000,
    "fetch_max_wait_ms": 100,
}
"""Ours where the configuration says nothing. A JoinGroup may take a session timeout: requests outlast it."""

DECIDED = frozenset(
    {
        "group_id",
        "group_instance_id",
        "enable_auto_commit",
        "auto_offset_reset",
        "isolation_level",
        "partition_assignment_strategy",
        "key_deserializer",
        "value_deserializer",
        "key_serializer",
        "value_serializer",
        "partitioner",
        "transactional_id",
        "transaction_timeout_ms",
        "enable_idempotence",
        "acks",
        "max_poll_records",
        "loop",
        "api_version",
    }
)
"""What exactly-once rests on, or what has its own place in the configuration."""


def _parameters(client: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(client).parameters)


_CLIENTS = (AIOKafkaConsumer, AIOKafkaProducer, AIOKafkaAdminClient)


def refused_options(options: Mapping[str, Any]) -> list[str]:
    """One sentence for each option that cannot be passed through; empty when all can."""
    known = frozenset().union(*(_parameters(client) for client in _CLIENTS)) - {"topics"}
    problems = [f"{name} is decided by shadow-monitor and cannot be set" for name in DECIDED & options.keys()]
    problems += [f"{name} is no option of aiokafka" for name in options.keys() - known]
    return sorted(problems)


class ClientOptions:
    """Options for each kind of client: ours, overridden by the configuration's, then by what is decided."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = {**DEFAULTS, **options}
        servers = self._options.get("bootstrap_servers", "localhost:9092")
        self.bootstrap = servers if isinstance(servers, str) else ",".join(servers)

    def consumer(self, **decided: Any) -> AIOKafkaConsumer:
        """A reader of committed data that commits nothing by itself and never silently resets a position."""
        return AIOKafkaConsumer(
            **self._for(AIOKafkaConsumer),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            **decided,
        )

    def producer(self, **decided: Any) -> AIOKafkaProducer:
        """A producer that batches up to a message's largest size and retries a busy coordinator soon."""
        options = {"max_batch_size": 1 << 20, "retry_backoff_ms": 20, **self._for(AIOKafkaProducer)}
        return AIOKafkaProducer(**options, **decided)

    def admin(self) -> AIOKafkaAdminClient:
        """A client for topics."""
        return AIOKafkaAdminClient(**self._for(AIOKafkaAdminClient))

    def _for(self, client: Callable[..., Any]) -> dict[str, Any]:
        known = _parameters(client)
        return {name: value for name, value in self._options.items() if name in known}
