"""Sets of slots against Python's sets; exact however panes cut them, compact however long."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.stats.slots import MOST_SLOTS, Slots

S = 10**9
SLOT = 10 * S
rows = st.lists(st.tuples(st.integers(0, 3_000 * S), st.booleans()), max_size=40)


def slots_of(of_rows):
    slots = Slots(SLOT)
    slots.update(np.array([at for at, _ in of_rows], np.int64), np.array([ok for _, ok in of_rows], bool))
    return slots


@given(rows)
def test_slots_with_demand_and_with_an_answer_are_counted_once(of_rows):
    slots = slots_of(of_rows)
    assert slots.demanded == len({at // SLOT for at, _ in of_rows})
    assert slots.answered == len({at // SLOT for at, ok in of_rows if ok})


@given(rows, st.sampled_from([S, 5 * S, 60 * S, 43_200 * S]))
def test_a_window_of_panes_of_any_length_is_the_window_of_its_rows(of_rows, pane):
    whole = Slots(SLOT)
    for start in {at // pane for at, _ in of_rows}:
        part = slots_of([row for row in of_rows if row[0] // pane == start])
        whole.merge(Slots.from_bytes(part.to_bytes(), SLOT))
    assert whole.to_bytes() == slots_of(of_rows).to_bytes()


def test_one_answer_saves_a_slot_and_one_failure_does_not_spoil_it():
    assert slots_of([(1, False), (2, True), (3, False)]).answered == 1


def test_half_a_day_without_a_gap_takes_few_bytes_and_its_worst_case_is_bounded():
    at = np.arange(0, 43_200 * S, SLOT)
    steady, ugly = Slots(SLOT), Slots(SLOT)
    steady.update(at, np.ones(at.size, bool))
    ugly.update(at, np.arange(at.size) % 2 == 0)
    assert len(steady.to_bytes()) <= 4
    assert len(ugly.to_bytes()) <= at.size + 8


@pytest.mark.parametrize("data", [b"\xff", b"\x01\xff\xff\xff\xff\x7f"])
def test_bytes_of_something_else_are_refused(data):
    with pytest.raises(StateError):
        Slots.from_bytes(data, SLOT)


def test_slots_of_different_lengths_or_decades_apart_do_not_merge():
    slots, later = slots_of([(1, True)]), slots_of([((MOST_SLOTS + 1) * SLOT, True)])
    with pytest.raises(ValueError, match="too far apart"):
        slots.merge(later)
    with pytest.raises(ValueError, match="different specifications"):
        slots.merge(Slots(S))


@given(rows, st.integers(1, 60))
def test_blocks_hold_every_slot_with_demand_once(of_rows, most):
    if not of_rows:
        return
    slots = slots_of(of_rows)
    answered, demanded = slots.blocks(most)
    assert len(demanded) == min(most, slots.demanded)
    assert (int(answered.sum()), int(demanded.sum())) == (slots.answered, slots.demanded)
    assert demanded.max() - demanded.min() <= 1
