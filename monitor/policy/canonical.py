"""Canonical JSON: the one spelling of a value that is hashed, signed and published.

Sorted keys, no spaces, UTF-8; integers verbatim, floats as orjson writes them (shortest text that reads back
the same), NaN and infinities as null. Integers beyond 64 bits are refused: money travels as decimal text.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson


def canonical_json(value: Any) -> bytes:
    """The canonical bytes of a tree of dicts (string keys), lists, strings, numbers, booleans and None.

    Raises:
        TypeError: a key that is no string, an integer beyond 64 bits, or a type JSON does not have.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
