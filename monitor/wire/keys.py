"""Hashes that the contract rests on: sample keys, partition numbers and feature schema checksums.

None of them protects against an adversary; they choose samples, partitions and layouts.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

PARTITIONERS = ("murmur2", "crc32", "unchecked")

_MASK = 0xFFFFFFFFFFFFFFFF
_GOLDEN = 0x9E3779B97F4A7C15
_MIX1, _MIX2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_BLOCK_BYTES = 256
"""Longer strings are hashed one by one, so that a single huge one does not widen the block of all."""


def hash64(data: bytes) -> int:
    """64-bit hash of bytes taken as zero-padded little-endian 8-byte words.

    `h = len * 0x9E3779B97F4A7C15`, then `h = splitmix64(h ^ word)` for each word within the length; the
    mixer is Steele, Lea and Flood's SplitMix64 (OOPSLA 2014, constants of Stafford's variant 13).

    >>> hash64(b"")
    0
    """
    h = len(data) * _GOLDEN & _MASK
    for start in range(0, len(data), 8):
        z = (h ^ int.from_bytes(data[start : start + 8], "little")) + _GOLDEN & _MASK
        z = (z ^ z >> 30) * _MIX1 & _MASK
        z = (z ^ z >> 27) * _MIX2 & _MASK
        h = z ^ z >> 31
    return h


def hash64_many(strings: Sequence[str]) -> NDArray[np.uint64]:
    """`hash64` of the UTF-8 bytes of each string: (n,) uint64, the same values as the scalar form."""
    raw = [s.encode() for s in strings]
    lengths = np.array(list(map(len, raw)), np.uint64)
    longest = int(lengths.max(initial=0))
    if longest > _BLOCK_BYTES:
        return np.fromiter(map(hash64, raw), np.uint64, len(raw))
    h = lengths * np.uint64(_GOLDEN)
    if longest == 0:
        return h
    width = -(-longest // 8)
    words = np.array(raw, dtype=f"S{8 * width}").view("<u8").reshape(len(raw), width)
    shortest = int(lengths.min())
    for i in range(width):
        mixed = _splitmix64(h ^ words[:, i])
        h = mixed if 8 * i < shortest else np.where(lengths > 8 * i, mixed, h)
    return h


def combine(*columns: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One hash of several hash columns, row by row: `hash64` of their little-endian bytes in that order."""
    h = np.full(len(columns[0]), len(columns) * 8 * _GOLDEN & _MASK, np.uint64)
    for column in columns:
        h = _splitmix64(h ^ column)
    return h


def execution_key(account: str | None, symbol: str, exec_id: str) -> int:
    """The hash by which an execution is known, `combine` of those of its three names.

    A million executions of a symbol share one with a chance of 3e-8.
    """
    parts = (account or "", symbol, exec_id)
    return hash64(b"".join(hash64(part.encode()).to_bytes(8, "little") for part in parts))


def _splitmix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = x + np.uint64(_GOLDEN)
    z = (z ^ z >> np.uint64(30)) * np.uint64(_MIX1)
    z = (z ^ z >> np.uint64(27)) * np.uint64(_MIX2)
    mixed: NDArray[np.uint64] = z ^ z >> np.uint64(31)
    return mixed


def category_code(text: str) -> float:
    """A category as a number: the upper 53 bits of `hash64`, a whole number that float64 holds exactly.

    Two of 5,000 categories share a code with a chance of 1e-9.

    >>> category_code("XNAS")
    3226232225639168.0
    """
    return float(hash64(text.encode()) >> 11)


def murmur2(key: bytes) -> int:
    """Kafka's Java key hash (`Utils.murmur2`, MurmurHash2 with seed 0x9747b28c), masked to 31 bits as its
    default partitioner does."""
    length = len(key)
    m, h = 0x5BD1E995, 0x9747B28C ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(key[start : start + 4], "little") * m & 0xFFFFFFFF
        k = (k ^ k >> 24) * m & 0xFFFFFFFF
        h = (h * m & 0xFFFFFFFF) ^ k
    if whole < length:
        h = (h ^ int.from_bytes(key[whole:], "little")) * m & 0xFFFFFFFF
    h = (h ^ h >> 13) * m & 0xFFFFFFFF
    return (h ^ h >> 15) & 0x7FFFFFFF


def crc32_partition(key: bytes, n: int) -> int:
    """Partition of `key` among `n` by librdkafka's `consistent` partitioner: CRC32 modulo n."""
    return zlib.crc32(key) % n


def partition_of(key: bytes, n: int, partitioner: str) -> int:
    """Partition of `key` among `n` as the producers' partitioner chooses it.

    Raises:
        ValueError: `partitioner` does not place keys (`unchecked`) or is unknown.
    """
    if partitioner == "murmur2":
        return murmur2(key) % n
    if partitioner == "crc32":
        return crc32_partition(key, n)
    raise ValueError(f"partitioner {partitioner!r} places no keys; use murmur2 or crc32")


def feature_schema_crc32(pairs: Sequence[tuple[str, str]]) -> int:
    """CRC32 of the UTF-8 JSON array of `[name, dtype]` pairs in column order, no spaces."""
    return zlib.crc32(msgspec.json.encode([[name, dtype] for name, dtype in pairs]))
