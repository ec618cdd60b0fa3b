"""What is sealed is unsealed; what is damaged or of another version is refused with its key."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.state.records import (
    META,
    OWN,
    TASK,
    VERSION,
    InputOffsets,
    Meta,
    OwnerOffsets,
    decode_meta,
    encode_meta,
    read_value,
    record_key,
    seal,
    unseal,
)

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)
OFFSETS = st.integers(-(2**63), 2**63 - 1)

RECORD = Meta(
    partitions=3,
    watermark=1_767_607_200_123_456_789,
    inputs={"features": InputOffsets(4, -(2**63), 9)},
    sequence=7,
    owners={"d": OwnerOffsets([1, 0, 5])},
)


@given(st.dictionaries(st.tuples(st.sampled_from([TASK, OWN]), NAMES, KEYS), st.binary(max_size=40)))
def test_what_is_sealed_is_unsealed_by_scope_deployment_and_key(values):
    records = dict(seal(*where, "digest", value) for where, value in values.items())
    records[META] = encode_meta(RECORD)
    found = unseal(records)
    flat = {(*whose, key): value for whose, kept in found.items() for key, value in kept.items()}
    assert flat == {where: ("digest", value) for where, value in values.items()}
    assert {record_key(*where) for where in values} == records.keys() - {META}


@given(
    st.dictionaries(NAMES, st.builds(InputOffsets, OFFSETS, OFFSETS, OFFSETS)),
    st.dictionaries(NAMES, st.builds(OwnerOffsets, st.lists(OFFSETS, max_size=5))),
    OFFSETS,
)
def test_meta_comes_back_to_the_last_bit(inputs, owners, watermark):
    meta = Meta(partitions=5, watermark=watermark, inputs=inputs, sequence=2**62, owners=owners)
    assert decode_meta(encode_meta(meta)) == meta


def test_meta_of_another_version_is_refused_whatever_else_it_holds():
    for text in (
        b'{"version":2,"partitions":3,"other":{}}',
        encode_meta(msgspec.structs.replace(RECORD, version=9)),
    ):
        with pytest.raises(StateError, match="version"):
            decode_meta(text)


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_damaged_meta_is_refused(place):
    text = encode_meta(RECORD)
    with pytest.raises(StateError, match="meta"):
        decode_meta(text[: place * len(text) // 100])
    with pytest.raises(StateError, match="meta"):
        decode_meta(b"\xff" + text)


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_damaged_record_is_refused_with_its_key(cut):
    key, value = seal(TASK, "d", "ledger/x", "digest", b"value")
    with pytest.raises(StateError, match="task/d/ledger/x"):
        unseal({key: value[:-cut]})
    with pytest.raises(StateError, match="task/d/ledger/x"):
        unseal({key: b"\xc1" + value})


def test_a_record_of_another_version_is_refused_with_its_key():
    key, _ = seal(TASK, "d", "pane", "digest", b"")
    for later in ((VERSION + 1, "digest", b""), (VERSION + 1, "digest", b"", "more"), (0, "digest", b"")):
        with pytest.raises(StateError, match=r"task/d/pane.*version"):
            unseal({key: msgspec.msgpack.encode(later)})


@pytest.mark.parametrize("key", [b"", b"task", b"task/d", b"\xff/d/x"])
def test_a_key_of_something_else_is_refused(key):
    _, value = seal(TASK, "d", "pane", "digest", b"")
    with pytest.raises(StateError, match="key"):
        unseal({key: value})


def test_a_value_of_another_form_is_refused_with_its_key():
    assert read_value(tuple[int, str], "k", msgspec.msgpack.encode((1, "x"))) == (1, "x")
    for data in (
        b"",
        b"\xc1",
        b"\x92\x01\xa1\xff",
        msgspec.msgpack.encode((1, 2)),
        msgspec.msgpack.encode({}),
    ):
        with pytest.raises(StateError, match="'k'"):
            read_value(tuple[int, str], "k", data)
