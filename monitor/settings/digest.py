"""Digests of what decides: two configurations with one digest make the same decisions from the same input."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import orjson

from monitor.errors import ConfigError, Problem
from monitor.settings.configuration import Settings
from monitor.settings.rules import PolicySettings


def config_sha256(settings: Settings, deployment: str) -> str:
    """SHA-256 of all that shapes the decisions of `deployment`, its policy apart.

    In: its section, instruments, event time, fx, the content of feature schemas, decoder, trust in commands.
    Out: transport, topics, batch sizes, replicas, HTTP, log, dead-letter limits, tenant, other deployments.
    Paths count as they lie from the configuration file, so that a copied directory keeps its digest.

    Raises:
        ConfigError: a feature schema cannot be read.
    """
    section = settings.deployments[deployment].model_dump(exclude={"policy", "tenant"})
    return _sha256(
        {
            "deployment": deployment,
            "section": section,
            "instruments": settings.instruments,
            "event_time": settings.event_time.model_dump(),
            "fx": settings.fx,
            "feature_schemas": [schema_content(path) for path in settings.feature_schemas],
            "decoder": settings.decoder,
            "commands": settings.commands.model_dump(),
        },
        settings.directory,
    )


def policy_sha256(policy: PolicySettings) -> str:
    """SHA-256 of a policy: its name and rules in order, defaults written out."""
    return _sha256(policy.model_dump(), Path())


def _sha256(value: object, directory: Path) -> str:
    return hashlib.sha256(orjson.dumps(_canonical(value, directory), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _canonical(value: object, directory: Path) -> Any:
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _canonical(item, directory) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item, directory) for item in value]
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, Path):
        return Path(os.path.relpath(value, directory)).as_posix()
    return value


def schema_content(path: Path) -> Any:
    """What a feature schema says.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        remedy = "give the path of a JSON array of [name, dtype] pairs"
        raise ConfigError(
            [Problem(str(path), "feature_schemas", f"cannot be read: {error}", remedy)]
        ) from None
