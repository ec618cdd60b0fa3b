"""What an ONNX file refers to, read from its bytes before ONNX Runtime sees them: external data, operator
domains.

A walk over the protobuf wire format that knows only the messages in which such references can stand
(field numbers: `onnx.proto` of the ONNX project, stable since IR version 3). It needs no protobuf library.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

MAX_DEPTH: Final = 64

_CHILDREN: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "function": {7: "node", 11: "attribute"},
}
_TEXTS: Final[dict[str, dict[int, str]]] = {
    "tensor": {8: "name"},
    "node": {4: "operator", 7: "domain"},
    "function": {10: "domain"},
}
_TENSOR_EXTERNAL_DATA, _TENSOR_LOCATION = 13, 14


class Malformed(ValueError):
    """The bytes are no protobuf message, or end in the middle of one."""


@dataclass(slots=True)
class References:
    """`external`: tensors whose data lies in another file. `operators`: (domain, operator) of every node.
    `functions`: domains of functions that the file itself defines."""

    external: list[str] = field(default_factory=list)
    operators: set[tuple[str, str]] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    graphs: int = 0


def scan(data: bytes) -> References:
    """All references in the bytes of an ONNX file.

    Raises:
        Malformed: not an ONNX file, or a truncated one.
    """
    found = References()
    _walk(memoryview(data), "model", found, 0)
    if not found.graphs:
        raise Malformed("there is no graph in it")
    return found


def _walk(data: memoryview, kind: str, found: References, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Malformed(f"graphs nested deeper than {MAX_DEPTH}")
    children, texts = _CHILDREN.get(kind, {}), _TEXTS.get(kind, {})
    text: dict[str, str] = {}
    external = False
    for number, value in _fields(data):
        if isinstance(value, int):
            external |= kind == "tensor" and number == _TENSOR_LOCATION and value == 1
        elif number in children:
            found.graphs += children[number] == "graph"
            _walk(value, children[number], found, depth + 1)
        elif number in texts:
            text[texts[number]] = bytes(value[:200]).decode("utf-8", "replace")
        else:
            external |= kind == "tensor" and number == _TENSOR_EXTERNAL_DATA
    if external:
        found.external.append(text.get("name") or "(unnamed)")
    if kind == "node":
        found.operators.add((text.get("domain", ""), text.get("operator", "")))
    if kind == "function":
        found.functions.add(text.get("domain", ""))


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of one message: an integer, or the bytes of a length-delimited field."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire_type == 2:
            size, at = _varint(data, at)
        elif wire_type in (1, 5):
            size = 8 if wire_type == 1 else 4
        else:
            raise Malformed("it is no protobuf message")
        if number == 0 or at + size > end:
            raise Malformed("it is cut off or no protobuf message")
        if wire_type == 2:
            yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise Malformed("it is cut off or no protobuf message")
