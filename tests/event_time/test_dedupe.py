from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.event_time.dedupe import Dedupe

WINDOW = 100
Fold = tuple[int, int, int]
"""Key, own time, effective time."""


steps = st.tuples(
    st.integers(0, 4),
    st.sampled_from([0, 0, 1, 30, 99, 100, 101, 250, 1000]),
    st.sampled_from([0, 0, 0, 1, 60, 100, 140]),
)


def in_order(batches: list[list[tuple[int, int, int]]]) -> list[list[Fold]]:
    """Batches in folding order: effective times never fall, own times are not above them."""
    now, out = 1_000, []
    for batch in batches:
        out.append([])
        for key, gap, age in batch:
            now += gap
            out[-1].append((key, now - age, now))
    return out


folded = st.lists(st.lists(steps, max_size=8), max_size=8).map(in_order)


def judge(dedupe: Dedupe, batch: list[Fold]) -> list[bool]:
    keys, own, eff = (np.array(c, np.int64) for c in (list(zip(*batch, strict=True)) or [(), (), ()]))
    return dedupe.judge(keys.astype(np.uint64), own, eff).tolist()


def plainly(rows: list[Fold]) -> list[bool]:
    return [
        any(k == key and earlier >= eff - WINDOW for k, earlier, _ in rows[:at])
        for at, (key, _, eff) in enumerate(rows)
    ]


@settings(max_examples=250, deadline=None)
@given(folded)
def test_a_duplicate_is_a_key_folded_within_the_window_whatever_the_batches(
    batches: list[list[Fold]],
) -> None:
    dedupe = Dedupe(WINDOW)
    found = [d for batch in batches for d in judge(dedupe, batch)]
    assert found == plainly([row for batch in batches for row in batch])


@settings(max_examples=200, deadline=None)
@given(folded, st.integers(0, 30))
def test_refilled_from_the_log_it_judges_as_if_it_had_never_stopped(
    batches: list[list[Fold]], at: int
) -> None:
    rows = [row for batch in batches for row in batch]
    at = min(at, len(rows))
    before, after = rows[:at], rows[at:]
    watermark = after[0][2] if after else 0
    dedupe = Dedupe(WINDOW)
    kept = [row for row in before if row[1] >= watermark - WINDOW]
    for part in (kept[: len(kept) // 2], kept[len(kept) // 2 :]):
        keys, own, _ = (np.array(c, np.int64) for c in (list(zip(*part, strict=True)) or [(), (), ()]))
        dedupe.refill(keys.astype(np.uint64), own)
    found = [d for row in after for d in judge(dedupe, [row])]
    assert found == plainly(rows)[at:]


@pytest.mark.parametrize("step", [50, 100, 101, 500])
def test_memory_holds_a_few_windows_of_keys_however_many_came(step: int) -> None:
    dedupe = Dedupe(WINDOW)
    for batch in range(300):
        eff = np.full(10, 10_000 + batch * step, np.int64)
        keys = np.arange(batch * 10, batch * 10 + 10, dtype=np.uint64)
        assert not dedupe.judge(keys, eff, eff).any()
    assert len(dedupe) <= 10 * (3 * WINDOW // step + 3)
