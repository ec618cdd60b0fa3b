"""Which partition a key belongs to, as the common Kafka producers decide it. Pure; knows no client."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Literal

Partitioner = Literal["murmur2", "crc32", "unchecked"]
"""How producers key: Java and aiokafka murmur2, librdkafka by CRC-32 unless told; `unchecked` trusts them."""

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 with the seed of Java's `Utils.murmur2`, as an unsigned number."""
    length = len(data)
    h = (0x9747B28C ^ length) & _MASK
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = h * _M & _MASK ^ k
    if whole < length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def murmur2_partition(key: bytes, partitions: int) -> int:
    """Partition of Java's default partitioner for a key: positive murmur2 modulo `partitions`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def crc32_partition(key: bytes, partitions: int) -> int:
    """Partition of librdkafka's `consistent` partitioners for a key: CRC-32 modulo `partitions`."""
    return zlib.crc32(key) % partitions


PARTITIONERS: dict[str, Callable[[bytes, int], int]] = {
    "murmur2": murmur2_partition,
    "crc32": crc32_partition,
}
"""By the name in the configuration; `unchecked` has none, because nothing is known."""
