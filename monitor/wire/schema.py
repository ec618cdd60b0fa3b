"""JSON Schemas (2020-12) of message types, as bytes that are the same on every machine. Writes no file."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from monitor.wire.messages import (
    REQUIRED_BY_KIND,
    SCHEMA_VERSION,
    Command,
    ExecutionReport,
    FeatureEvent,
    Outcome,
    PredictionRecord,
    StatusRecord,
)

MESSAGES: dict[str, Any] = {
    "features": FeatureEvent,
    "orders": ExecutionReport,
    "outcomes": Outcome,
    "commands": Command,
    "predictions": PredictionRecord,
    "status": StatusRecord,
}
"""Type by the name of its schema, which is its topic's."""


def _given(*names: str) -> dict[str, Any]:
    return {"required": list(names), "properties": {name: {"not": {"type": "null"}} for name in names}}


_CONDITIONS: dict[str, list[dict[str, Any]]] = {
    "features": [
        {"if": {"properties": {"features": {"type": "array"}}}, "then": _given("schema_crc32")},
    ],
    "orders": [
        {"if": {"properties": {"kind": {"const": kind}}}, "then": _given(*names)}
        for kind, names in REQUIRED_BY_KIND.items()
    ],
}


def schema_files(messages: Mapping[str, Any]) -> dict[str, bytes]:
    """File name -> contents of the schema of each type, indented JSON ending in a newline."""
    return {f"{name}.schema.json": _schema(name, message) for name, message in messages.items()}


def _schema(name: str, message: Any) -> bytes:
    (root,), components = msgspec.json.schema_components([message], ref_template="#/$defs/{name}")
    body = components.pop(root["$ref"].rpartition("/")[2])
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:shadow-monitor:schema:{name}:{SCHEMA_VERSION}",
        **body,
        "title": name,
    }
    if name in _CONDITIONS:
        document["allOf"] = _CONDITIONS[name]
    if components:
        document["$defs"] = components
    return msgspec.json.format(msgspec.json.encode(_plain(document), order="deterministic"), indent=2) + b"\n"


def _plain(node: Any) -> Any:
    """Descriptions without the indentation of their source; decimals as they may come, text or number."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _plain(item) for key, item in node.items()}
    if plain.get("format") == "decimal":
        plain["type"] = ["string", "number"]
    if isinstance(plain.get("description"), str):
        plain["description"] = inspect.cleandoc(plain["description"])
    return plain
