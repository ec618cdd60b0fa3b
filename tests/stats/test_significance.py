"""Many p-values at once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats.significance import significant

p_values = st.lists(st.one_of(st.none(), st.floats(0, 0.2)), max_size=12)


def by_definition(p_values, alpha):
    """Holm: p_i is significant where every p_j up to it passes alpha / (m - its rank)."""
    known = sorted(p for p in p_values if p is not None)
    limit = -1.0
    for rank, p in enumerate(known):
        if p * (len(p_values) - rank) > alpha:
            break
        limit = p
    return tuple(p is not None and p <= limit for p in p_values)


@given(p_values, st.floats(1e-4, 0.3))
def test_holm_equals_its_definition_and_finds_all_that_bonferroni_finds(p_values, alpha):
    holm = significant(p_values, alpha, "holm")
    assert holm == by_definition(p_values, alpha)
    bonferroni = significant(p_values, alpha, "bonferroni")
    assert all(h or not b for h, b in zip(holm, bonferroni, strict=True))
    assert bonferroni == tuple(p is not None and p * len(p_values) <= alpha for p in p_values)


def test_a_feature_that_falls_silent_does_not_move_the_limit_of_the_others():
    assert significant([0.02, 0.9, 0.9], 0.05) == (False, False, False)
    assert significant([0.02, None, None], 0.05) == (False, False, False)
    assert significant([], 0.05) == ()


def test_false_finds_among_many_are_as_rare_as_declared():
    rng = np.random.default_rng(3)
    for method in ("holm", "bonferroni"):
        false = sum(any(significant(row, 0.05, method)) for row in rng.random((4_000, 32)).tolist())
        assert 0.03 <= false / 4_000 <= 0.06
