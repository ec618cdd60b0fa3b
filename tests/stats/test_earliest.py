"""The first rows of all that came, whatever their order and the panes that they lay in."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.stats.earliest import Earliest

TEXT = st.sampled_from(["", "a", "b", "\n", "\x00é"])
ROWS = st.lists(st.tuples(st.integers(-3, 2**62), st.tuples(TEXT, TEXT)))


@given(ROWS, st.integers(0, 2**32), st.integers(1, 5))
def test_cut_and_shuffled_as_you_like_the_same_rows_stand(rows, seed, panes):
    rng = random.Random(seed)
    whole = Earliest(4)
    whole.update(rows)
    assert whole.rows == tuple(sorted(rows)[:4])
    assert whole.empty == (not rows)
    parts = [Earliest(4) for _ in range(panes)]
    for row in rng.sample(rows, len(rows)):
        rng.choice(parts).update([row])
    merged = Earliest.from_bytes(parts[0].to_bytes(), 4)
    for part in rng.sample(parts[1:], panes - 1):
        before = part.to_bytes()
        merged.merge(part.copy())
        assert part.to_bytes() == before
    assert merged.to_bytes() == whole.to_bytes()
    assert Earliest.from_bytes(whole.to_bytes(), 4).rows == whole.rows


def test_a_copy_stands_alone_and_other_lengths_do_not_merge():
    first = Earliest(1)
    twin = first.copy()
    twin.update([(1, ("a",))])
    assert first.empty
    with pytest.raises(ValueError, match="do not merge"):
        first.merge(Earliest(2))


def test_bytes_that_are_no_rows_are_refused():
    with pytest.raises(StateError):
        Earliest.from_bytes(b"\xc1", 8)
