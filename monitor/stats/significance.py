"""Which of many p-values are significant together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Correction = Literal["holm", "bonferroni"]


def significant(
    p_values: Sequence[float | None], alpha: float, method: Correction = "holm"
) -> tuple[bool, ...]:
    """Whether each p-value is significant, at most `alpha` being the chance of any false one among them.

    Valid under any dependence between features. Bonferroni: `p <= alpha / m`; Holm (never less powerful):
    the i-th smallest against `alpha / (m - i + 1)` until the first fails. A feature without a p-value (None)
    still counts in m, so that features that come and go do not move the others' limit.

    >>> significant([0.001, 0.03, 0.02, None], 0.05, "bonferroni")
    (True, False, False, False)
    >>> significant([0.001, 0.03, 0.012], 0.05)
    (True, True, True)

    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6 (1979).
    """
    if method == "bonferroni":
        return tuple(p is not None and p * len(p_values) <= alpha for p in p_values)
    found = [False] * len(p_values)
    left = len(p_values)
    for p, place in sorted((p, place) for place, p in enumerate(p_values) if p is not None):
        if p * left > alpha:
            break
        found[place] = True
        left -= 1
    return tuple(found)
