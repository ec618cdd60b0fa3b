"""Scripted answers are a function of the row, the role and the seed, and of nothing else."""

from __future__ import annotations

import asyncio

import numpy as np
from scipy.stats import spearmanr

from monitor.engine.rows import TIMEOUT_NS, UNMEASURED_NS, Scores, ScoreStatus
from monitor.models.scripted import ScriptedScorer
from monitor.wire.keys import hash64_many
from monitor.wire.table import Table

N = 4000
KEYS = hash64_many([f"e{i}" for i in range(N)])
VALUES = np.random.default_rng(4).standard_normal((N, 3))


def score(scorer: ScriptedScorer, rows: np.ndarray, values: np.ndarray = VALUES) -> dict[str, Scores]:
    return asyncio.run(scorer.score(values[rows], Table({"sample_key": KEYS[rows]})))


def test_answers_do_not_depend_on_batch_or_order() -> None:
    scorer = ScriptedScorer(("active", "shadow"), seed=7, faults=0.1)
    whole = score(scorer, np.arange(N))
    order = np.random.default_rng(5).permutation(N)
    for part in np.array_split(order, 13):
        again = score(scorer, part)
        for role in ("active", "shadow"):
            assert again[role].value.tobytes() == whole[role].value[part].tobytes()
            assert again[role].status.tolist() == whole[role].status[part].tolist()
            assert again[role].latency.tolist() == whole[role].latency[part].tolist()


def test_every_way_to_fail_occurs_in_its_share_and_keeps_its_value_to_itself() -> None:
    scores = score(ScriptedScorer(("active",), faults=0.2), np.arange(N))["active"]
    failing = scores.status != ScoreStatus.OK
    assert abs(failing.mean() - 0.2) < 0.03
    assert set(scores.status[failing]) == {2, 3, 4, 5}
    assert (np.isnan(scores.value) == failing).all()
    assert (scores.latency[scores.status == ScoreStatus.TIMEOUT] == TIMEOUT_NS).all()
    assert (scores.latency[~failing] >= 20_000).all()


def test_row_without_its_first_value_is_incomplete() -> None:
    values = VALUES.copy()
    values[3, 0] = np.nan
    scores = score(ScriptedScorer(("active",), faults=1.0), np.arange(5), values)["active"]
    assert scores.status[3] == ScoreStatus.INCOMPLETE
    assert scores.latency[3] == UNMEASURED_NS


def test_roles_agree_without_being_twins_and_seeds_differ() -> None:
    scorer = ScriptedScorer(("active", "shadow"), seed=1)
    scores = score(scorer, np.arange(N))
    assert 0.8 < spearmanr(scores["active"].value, scores["shadow"].value)[0] < 0.99
    other = score(ScriptedScorer(("active", "shadow"), seed=2), np.arange(N))
    assert (other["active"].value != scores["active"].value).all()
