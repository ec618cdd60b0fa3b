"""Confusion: how often a classifier is right, and in which way it errs. Counts in, ratios out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = ("true_positive", "false_positive", "true_negative", "false_negative", "right")
"""Places of the counts. `right`: answer equals label, of all classes; the others are about the class 1."""

THRESHOLD = 0.5
"""From here on a probability says yes."""

RATIOS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "accuracy": (("right",), CELLS[:4]),
    "precision": (("true_positive",), ("true_positive", "false_positive")),
    "recall": (("true_positive",), ("true_positive", "false_negative")),
    "false_positive_rate": (("false_positive",), ("false_positive", "true_negative")),
    "false_negative_rate": (("false_negative",), ("true_positive", "false_negative")),
}
"""Metric -> counters above and below the line. `f1` = 2 J / (1 + J) with J = `JACCARD`."""

JACCARD = (("true_positive",), ("true_positive", "false_positive", "false_negative"))


def confuse(answer: NDArray[np.float64], label: NDArray[np.float64]) -> NDArray[np.int64]:
    """Classes said against classes that came true, (n,) numbers each: (5,) counts in the order of `CELLS`.

    `accuracy`: share of rows whose class is the label's, any classes. The others are about class 1, every
    other class being negative: `precision` = TP / (TP + FP), `recall` = TP / (TP + FN), `f1` their harmonic
    mean, `false_positive_rate` = FP / (FP + TN), `false_negative_rate` = FN / (TP + FN). A probability says
    class 1 from 0.5 on; where its label is neither 0 nor 1 the row is left out, and counted by
    `label_coverage`.

    Exact counts over all rows that met their label in the window; `n` is what stands below the line, and
    where that is 0 the metric is `insufficient`. Wilson's interval on the rows that the scatter of panes
    leaves.

    >>> confuse(np.array([1.0, 1.0, 0.0, 2.0, 0.0]), np.array([1.0, 0.0, 0.0, 0.0, 1.0])).tolist()
    [1, 1, 2, 1, 2]

    Source: Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27 (2006).
    """
    said, true = answer == 1.0, label == 1.0
    pairs = (said & true, said & ~true, ~said & ~true, ~said & true, answer == label)
    return np.array([np.count_nonzero(cell) for cell in pairs], np.int64)


def f1_of(jaccard: float) -> float:
    """F1, the harmonic mean of precision and recall, from J = TP / (TP + FP + FN): 2 J / (1 + J).

    It rises with J, so an interval of J is one of F1.

    >>> f1_of(6 / (6 + 2 + 2))
    0.7499999999999999
    """
    return 2.0 * jaccard / (1.0 + jaccard)
