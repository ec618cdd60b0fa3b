"""A bad message is kept with its proof, and too many of them stop the daemon whatever the batches."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages_in import record

from monitor.wire.dead_letters import KEPT_BYTES, REASONS, DeadLetterLimit, dead_letter


def test_reasons_fit_their_column_and_zero_means_fine() -> None:
    assert REASONS[0] == ""
    assert len(set(REASONS)) == len(REASONS) <= 127


def test_a_dead_letter_keeps_the_bytes_and_says_where_they_lie() -> None:
    value = b"\xff" * (KEPT_BYTES + 1)
    letter = dead_letter(record(value, 17, b"BTCUSD"), "md.features", 3, "undecodable", "not UTF-8 " * 200)
    headers = dict(letter.headers)
    assert letter.topic == "dead-letters"
    assert letter.key == b"BTCUSD"
    assert letter.value == value[:KEPT_BYTES]
    assert headers["reason"] == b"undecodable"
    assert headers["length"] == b"65537"
    assert headers["sha256"].decode() == hashlib.sha256(value).hexdigest()
    assert (headers["source-topic"], headers["source-partition"], headers["source-offset"]) == (
        b"md.features",
        b"3",
        b"17",
    )
    assert headers["schema-version"] == b"1"
    assert len(headers["detail"]) == 500


def test_a_record_without_key_or_value_has_a_dead_letter_too() -> None:
    letter = dead_letter(record(None), "features", 0, "empty", "")
    assert (letter.key, letter.value, dict(letter.headers)["length"]) == (b"", b"", b"0")


@pytest.mark.parametrize("reason", ["", "because"])
def test_a_reason_outside_the_list_is_refused(reason: str) -> None:
    with pytest.raises(ValueError, match="reason"):
        dead_letter(record(b"x"), "features", 0, reason, "")


def stops_at(flags: list[bool], max_share: float, max_run: int) -> int | None:
    """Record by record, in the words of the configuration."""
    for end in range(1, len(flags) + 1):
        run = next((i for i, bad in enumerate(reversed(flags[:end])) if not bad), end)
        if run >= max_run:
            return end
        if end >= 1000 and sum(flags[end - 1000 : end]) / 1000 > max_share:
            return end
    return None


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_the_limit_stops_at_the_same_record_for_any_batches(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 2**32))
    share = data.draw(st.sampled_from([0.02, 0.3, 0.5, 0.9]))
    rng = np.random.default_rng(seed)
    flags = rng.random(2300) < np.repeat(rng.choice([0.0, share, 1.0], 23, p=[0.3, 0.6, 0.1]), 100)
    max_share, max_run = (
        data.draw(st.sampled_from([0.1, 0.5, 1.0])),
        data.draw(st.sampled_from([5, 150, 5000])),
    )
    expected = stops_at(flags.tolist(), max_share, max_run)
    size = data.draw(st.sampled_from([1, 7, 512, 1000, 4096]))
    limit = DeadLetterLimit(max_share, max_run)
    stopped = None
    for start in range(0, len(flags), size):
        if limit.update(flags[start : start + size]):
            stopped = start
            break
    assert stopped == (None if expected is None else (expected - 1) // size * size)


def test_a_full_share_alone_never_stops() -> None:
    limit = DeadLetterLimit(1.0, 10_000)
    assert limit.update(np.ones(9_999, np.bool_)) is None
    assert "10000 records in a row" in (limit.update(np.ones(1, np.bool_)) or "")


def test_too_large_a_share_says_which_setting_it_was() -> None:
    flags = np.tile([True, True, False], 400)
    assert "max_share" in (DeadLetterLimit(0.5, 1000).update(flags) or "")
