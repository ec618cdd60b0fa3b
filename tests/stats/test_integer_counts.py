"""Counts come back from their bytes, equal counts give equal bytes, and damaged bytes are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.stats.counts import Counts
from monitor.stats.integer_counts import decode_counts, encode_counts

counts = st.lists(st.one_of(st.just(0), st.integers(0, 300), st.integers(0, 2**63 - 1)), max_size=60)


@given(counts)
def test_counts_come_back_from_their_bytes(values):
    vector = np.array(values, np.int64)
    assert decode_counts(encode_counts(vector), vector.size).tolist() == values


@given(counts, counts)
def test_bytes_are_equal_exactly_where_counts_are(first, second):
    size = max(len(first), len(second))
    one, two = (np.array(v + [0] * (size - len(v)), np.int64) for v in (first, second))
    assert (encode_counts(one) == encode_counts(two)) == (one.tolist() == two.tolist())


def test_mostly_zeros_take_few_bytes():
    vector = np.zeros(10_000, np.int64)
    vector[[3, 9_000]] = 5, 60
    assert len(encode_counts(vector)) <= 6
    assert encode_counts(np.zeros(10_000, np.int64)) == b""


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",
        b"\x02\x02\x02\x02",
        b"\x80" * 11 + b"\x01",
        b"\xff\xff\x7f\x02",
        (b"\xff" * 9 + b"\x01") * 2 + b"\x02",
    ],
)
def test_bytes_that_do_not_fit_are_refused(data):
    with pytest.raises(StateError):
        decode_counts(data, 3)


def test_statistics_of_different_names_do_not_merge():
    with pytest.raises(ValueError, match="different specifications"):
        Counts(("ok",)).merge(Counts(("bad",)))


def test_named_counters_add_up_and_only_rise():
    counts = Counts(("ok", "failed"))
    assert counts.empty
    counts.update("ok", 2)
    counts.update_all(np.array([1, 1]))
    assert (counts["failed"], counts.total(["ok", "failed"]), counts.places(["failed"])) == (1, 4, [1])
    assert not counts.empty
    with pytest.raises(ValueError, match="only rise"):
        counts.update("ok", -1)
    with pytest.raises(ValueError, match="only rise"):
        counts.update_all(np.array([0, -1]))


def test_a_copy_lives_on_its_own():
    counts = Counts(("ok",))
    twin = counts.copy()
    twin.update("ok")
    assert counts.empty
    assert twin["ok"] == 1
