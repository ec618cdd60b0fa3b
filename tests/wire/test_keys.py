"""Hashes must be the ones that producers and earlier runs used: golden values, and both forms alike."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.wire import keys


def reference_hash64(data: bytes) -> int:
    """The words of docs/architecture.md, written out again."""
    padded = np.frombuffer(data + b"\0" * (-len(data) % 8), "<u8")
    h = len(data) * 0x9E3779B97F4A7C15 % 2**64
    for word in padded.tolist():
        z = ((h ^ word) + 0x9E3779B97F4A7C15) % 2**64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        h = z ^ (z >> 31)
    return h


def test_mixer_is_splitmix64() -> None:
    # The first output of SplitMix64 seeded with 1234567 (published test vector); one word of 8 bytes.
    seed = 1234567 ^ (8 * 0x9E3779B97F4A7C15 % 2**64)
    assert keys.hash64(seed.to_bytes(8, "little")) == 6457827717110365317


@given(st.binary(max_size=80))
def test_scalar_hash_follows_its_definition(data: bytes) -> None:
    assert keys.hash64(data) == reference_hash64(data)


@given(st.lists(st.text(max_size=40)))
def test_a_batch_hashes_like_each_string_alone(strings: list[str]) -> None:
    assert keys.hash64_many(strings).tolist() == [keys.hash64(s.encode()) for s in strings]


@pytest.mark.parametrize("length", [1, 7, 8, 9, 256, 257, 5000])
def test_a_long_string_changes_no_neighbour(length: int) -> None:
    strings = ["a", "b" * length, "", "ab\0", "ab"]
    assert keys.hash64_many(strings).tolist() == [keys.hash64(s.encode()) for s in strings]
    assert len(set(keys.hash64_many(strings).tolist())) == 5


@given(st.lists(st.tuples(*[st.integers(0, 2**64 - 1)] * 3), min_size=1))
def test_combining_hashes_their_bytes(rows: list[tuple[int, int, int]]) -> None:
    columns = [np.array(column, np.uint64) for column in zip(*rows, strict=True)]
    expected = [keys.hash64(b"".join(x.to_bytes(8, "little") for x in row)) for row in rows]
    assert keys.combine(*columns).tolist() == expected


@pytest.mark.parametrize(
    ("key", "java"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(key: bytes, java: int) -> None:
    assert keys.murmur2(key) == java & 0x7FFFFFFF


def test_murmur2_agrees_with_the_client_that_writes() -> None:
    from aiokafka.partitioner import murmur2

    for length in range(40):
        key = bytes(range(200, 200 + length % 50)) + b"x" * (length // 7)
        assert keys.murmur2(key) == murmur2(key) & 0x7FFFFFFF


def test_partitioners_place_the_same_key_differently() -> None:
    assert keys.partition_of(b"BTCUSD", 7, "murmur2") == keys.murmur2(b"BTCUSD") % 7
    assert keys.partition_of(b"BTCUSD", 7, "crc32") == zlib.crc32(b"BTCUSD") % 7
    with pytest.raises(ValueError, match="unchecked"):
        keys.partition_of(b"BTCUSD", 7, "unchecked")


def test_feature_schema_checksum_is_of_compact_utf8_json() -> None:
    pairs = [("größe", "float32"), ("a/b", "int64"), ('q"', "string")]
    text = json.dumps([list(pair) for pair in pairs], separators=(",", ":"), ensure_ascii=False)
    assert keys.feature_schema_crc32(pairs) == zlib.crc32(text.encode())
