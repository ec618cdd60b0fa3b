"""What each row is answered, and that a shadow costs the active no more than the deadline."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import model_builders as build
import numpy as np
import pytest

from monitor.engine.rows import TIMEOUT_NS, UNMEASURED_NS, Scores, ScoreStatus
from monitor.errors import ArtifactError
from monitor.models.artifact import load_artifact
from monitor.models.model import Model, RowModel
from monitor.models.scoring import OnnxScorer, ReplayScorer
from monitor.models.session import WrongShape
from monitor.wire.table import Table

DEADLINE_NS = 200_000_000
NO_COLUMNS = Table({})


class SlowModel:
    """A `RowModel` in Python whose every run does what the test says first."""

    def __init__(self, before: Callable[[], None] = lambda: None, row_ns: int = 1000) -> None:
        self.features = build.NAMES
        self.fill = np.full(build.WIDTH, np.nan)
        self.dtype = np.dtype("float32")
        self.independent = True
        self.row_ns = row_ns
        self.runs: list[int] = []
        self._before = before

    def run(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        self.runs.append(len(rows))
        self._before()
        return rows.sum(axis=1).astype(np.float64)

    def interrupt(self) -> None:
        """Python cannot be interrupted."""


def rows(n: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal((n, build.WIDTH))


def load(directory: Path, model: bytes, **about: Any) -> Model:
    return Model.load(load_artifact(build.write_artifact(directory, model, **about)))


def replay(model: RowModel, values: np.ndarray[Any, Any], space: tuple[str, ...] = build.NAMES) -> Scores:
    return asyncio.run(ReplayScorer({"active": model}, space).score(values, NO_COLUMNS))["active"]


@pytest.fixture
def scorers() -> Iterator[Callable[..., OnnxScorer]]:
    """Live scorers that are closed afterwards."""
    made: list[OnnxScorer] = []

    def make(
        active: RowModel, clock: Callable[[], int] = time.perf_counter_ns, **shadows: RowModel
    ) -> OnnxScorer:
        made.append(OnnxScorer({"active": active, **shadows}, build.NAMES, DEADLINE_NS, clock))
        return made[-1]

    yield make
    for scorer in made:
        scorer.close()


def test_values_are_what_the_model_gives_for_columns_taken_by_name(tmp_path: Path) -> None:
    values = rows(20)
    space = ("other", *reversed(build.NAMES), "another")
    superset = np.full((20, len(space)), np.nan)
    superset[:, 1:-1] = values[:, ::-1]
    scores = replay(load(tmp_path, build.linear()), superset, space)
    expected = (values.astype("f4") * build.WEIGHTS.astype("f4")).sum(axis=1)
    np.testing.assert_allclose(scores.value, expected, rtol=1e-5)
    assert set(scores.status) == {ScoreStatus.OK}
    assert set(scores.latency) == {UNMEASURED_NS}


def test_model_that_needs_a_column_no_message_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"'active': no message carries c1, c3\. Remedy"):
        replay(load(tmp_path, build.linear()), rows(1), ("c0", "c2", "c4"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_row_with_a_value_the_model_cannot_see_is_not_scored(bad: float, tmp_path: Path) -> None:
    values = rows(4)
    values[2, 1] = bad
    scores = replay(load(tmp_path, build.linear()), values)
    assert scores.status.tolist() == [0, 0, ScoreStatus.INCOMPLETE, 0]
    assert np.isnan(scores.value).tolist() == [False, False, True, False]
    assert scores.latency[2] == UNMEASURED_NS


def test_declared_fill_takes_the_place_of_a_missing_value_in_its_column_alone(tmp_path: Path) -> None:
    model = load(tmp_path, build.linear(), fill={"c2": 0.25})
    values = rows(3)
    filled = values.copy()
    filled[0, 2] = filled[1, 2] = 0.25
    values[0, 2], values[1, 2], values[2, 3] = np.nan, np.inf, np.nan
    scores = replay(model, values)
    assert scores.status.tolist() == [0, 0, ScoreStatus.INCOMPLETE]
    assert scores.value[:2].tolist() == replay(model, filled).value[:2].tolist()


def test_answer_that_is_not_finite_is_counted_and_kept_from_the_values(tmp_path: Path) -> None:
    values = rows(50)
    scores = replay(load(tmp_path, build.log_of_first()), values)
    expected = np.where(values[:, 0] > 0, ScoreStatus.OK, ScoreStatus.NON_FINITE)
    assert scores.status.tolist() == expected.tolist()
    assert np.isnan(scores.value).tolist() == (values[:, 0] <= 0).tolist()


@pytest.mark.parametrize(
    ("model", "value", "status"),
    [(build.picky, 99.0, ScoreStatus.ERROR), (build.dropping, -99.0, ScoreStatus.WRONG_SHAPE)],
)
def test_one_failing_row_spoils_no_other(
    model: Callable[[], bytes], value: float, status: ScoreStatus, tmp_path: Path
) -> None:
    values = rows(9)
    values[4, 0] = value
    scores = replay(load(tmp_path, model()), values)
    assert scores.status.tolist() == [0, 0, 0, 0, status, 0, 0, 0, 0]


def test_scorer_says_why_a_role_failed(tmp_path: Path) -> None:
    scorer = ReplayScorer({"active": SlowModel(), "shadow": load(tmp_path, build.picky())}, build.NAMES)
    assert scorer.failures() == {}
    asyncio.run(scorer.score(np.full((2, build.WIDTH), 99.0), NO_COLUMNS))
    assert list(scorer.failures()) == ["shadow"]
    assert "out of data bounds" in scorer.failures()["shadow"]


def test_batch_that_fails_as_a_whole_is_run_row_by_row() -> None:
    def fail_batches() -> None:
        if model.runs[-1] > 1:
            raise WrongShape("a batch")

    model = SlowModel(fail_batches)
    scores = replay(model, rows(5))
    assert model.runs == [5, 1, 1, 1, 1, 1]
    assert set(scores.status) == {ScoreStatus.OK}


def test_no_rows_get_no_answers(tmp_path: Path) -> None:
    scores = replay(load(tmp_path, build.linear()), rows(0))
    assert (len(scores.value), len(scores.status), len(scores.latency)) == (0, 0, 0)


async def test_live_and_replay_give_the_same_answers(
    tmp_path: Path, scorers: Callable[..., OnnxScorer]
) -> None:
    models = {
        "active": load(tmp_path, build.linear()),
        "shadow": load(tmp_path, build.picky(), out="picky"),
        "twin": load(tmp_path, build.log_of_first(), out="log"),
    }
    values = rows(300)
    values[::7, 3] = np.nan
    live = await scorers(**models).score(values, NO_COLUMNS)
    again = await ReplayScorer(models, build.NAMES).score(values, NO_COLUMNS)
    assert list(live) == list(again) == ["active", "shadow", "twin"]
    for role in live:
        assert live[role].value.tobytes() == again[role].value.tobytes()
        assert live[role].status.tolist() == again[role].status.tolist()


async def test_latency_is_that_of_the_run_the_row_sat_in(scorers: Callable[..., OnnxScorer]) -> None:
    clock = count(0, 5)
    values = rows(6)
    values[1, 0] = np.nan
    scores = (await scorers(SlowModel(row_ns=1_000_000), clock.__next__).score(values, NO_COLUMNS))["active"]
    assert scores.latency.tolist() == [5, UNMEASURED_NS, 5, 5, 5, 5]


async def test_active_lets_the_loop_breathe_between_slices(scorers: Callable[..., OnnxScorer]) -> None:
    active = SlowModel(row_ns=500_000)
    breaths: list[int] = []

    async def breathe() -> None:
        while True:
            breaths.append(sum(active.runs))
            await asyncio.sleep(0)

    breathing = asyncio.create_task(breathe())
    await scorers(active).score(rows(10), NO_COLUMNS)
    breathing.cancel()
    assert active.runs == [4, 4, 2]
    assert {4, 8} <= set(breaths)


async def test_shadow_that_hangs_costs_the_deadline_once_and_then_nothing(
    scorers: Callable[..., OnnxScorer],
) -> None:
    release = threading.Event()
    shadow = SlowModel(lambda: release.wait(20) and None)
    scorer = scorers(SlowModel(), shadow=shadow)
    try:
        begin = time.perf_counter()
        first = await scorer.score(rows(8), NO_COLUMNS)
        cost = time.perf_counter() - begin
        assert DEADLINE_NS / 1e9 * 0.9 < cost < DEADLINE_NS / 1e9 + 0.5
        assert set(first["active"].status) == {ScoreStatus.OK}
        assert set(first["shadow"].status) == {ScoreStatus.TIMEOUT}
        assert set(first["shadow"].latency) == {TIMEOUT_NS}
        begin = time.perf_counter()
        for _ in range(20):
            later = await scorer.score(rows(8), NO_COLUMNS)
            assert set(later["shadow"].status) == {ScoreStatus.TIMEOUT}
        assert time.perf_counter() - begin < DEADLINE_NS / 1e9
        assert len(shadow.runs) == 1, "batches queued up behind the hanging one"
    finally:
        release.set()
    await asyncio.sleep(0.1)
    assert set((await scorer.score(rows(8), NO_COLUMNS))["shadow"].status) == {ScoreStatus.OK}


async def test_incomplete_rows_stay_incomplete_when_the_shadow_times_out(
    scorers: Callable[..., OnnxScorer],
) -> None:
    values = rows(3)
    values[1] = np.nan
    scorer = scorers(SlowModel(), shadow=SlowModel(lambda: time.sleep(0.5)))
    status = (await scorer.score(values, NO_COLUMNS))["shadow"].status
    assert status.tolist() == [ScoreStatus.TIMEOUT, ScoreStatus.INCOMPLETE, ScoreStatus.TIMEOUT]


async def test_what_a_slow_shadow_answered_in_time_counts(scorers: Callable[..., OnnxScorer]) -> None:
    gate = threading.Event()
    shadow = SlowModel(lambda: len(shadow.runs) > 2 and gate.wait(20) and None, row_ns=DEADLINE_NS // 20)
    try:
        scores = (await scorers(SlowModel(), shadow=shadow).score(rows(20), NO_COLUMNS))["shadow"]
    finally:
        gate.set()
    assert shadow.runs[0] == 5
    assert scores.status.tolist() == [ScoreStatus.OK] * 10 + [ScoreStatus.TIMEOUT] * 10


async def test_shadow_past_its_deadline_leaves_the_rest_of_the_batch(
    scorers: Callable[..., OnnxScorer],
) -> None:
    shadow = SlowModel(lambda: time.sleep(0.05), row_ns=DEADLINE_NS // 4)
    scorer = scorers(SlowModel(), shadow=shadow)
    await scorer.score(rows(100), NO_COLUMNS)
    await asyncio.sleep(0.2)
    assert len(shadow.runs) <= 6


async def test_two_hanging_shadows_cost_one_deadline(scorers: Callable[..., OnnxScorer]) -> None:
    slow = {name: SlowModel(lambda: time.sleep(0.6)) for name in ("a", "b", "c")}
    scorer = scorers(SlowModel(), quick=SlowModel(), **slow)
    begin = time.perf_counter()
    scores = await scorer.score(rows(4), NO_COLUMNS)
    assert time.perf_counter() - begin < 2 * DEADLINE_NS / 1e9
    assert set(scores["quick"].status) == {ScoreStatus.OK}
    assert {scores[name].status[0] for name in slow} == {ScoreStatus.TIMEOUT}


async def test_cancelled_call_leaves_the_shadow_thread_free_again(scorers: Callable[..., OnnxScorer]) -> None:
    shadow = SlowModel(lambda: time.sleep(0.02), row_ns=DEADLINE_NS)
    scorer = scorers(SlowModel(), shadow=shadow)
    scoring = asyncio.create_task(scorer.score(rows(100), NO_COLUMNS))
    await asyncio.sleep(0.01)
    scoring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scoring
    await asyncio.sleep(0.1)
    assert (await scorer.score(rows(1), NO_COLUMNS))["shadow"].status[0] == ScoreStatus.OK


@pytest.mark.parametrize(
    "shadow", ["SlowModel(lambda: time.sleep(60))", "load(Path(sys.argv[1]), build.endless(60_000_000))"]
)
def test_hanging_shadow_does_not_hold_up_or_spoil_the_end_of_the_process(shadow: str, tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import asyncio, sys, time, numpy as np
        from pathlib import Path
        from test_scoring import DEADLINE_NS, NO_COLUMNS, SlowModel, build, load, rows
        from monitor.models.scoring import OnnxScorer

        async def main():
            scorer = OnnxScorer(
                {{"active": SlowModel(), "shadow": {shadow}}}, build.NAMES, DEADLINE_NS, time.perf_counter_ns
            )
            scores = await scorer.score(np.full((1, build.WIDTH), 99.0), NO_COLUMNS)
            scorer.close()
            return int(scores["shadow"].status[0])

        print(asyncio.run(main()))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=Path(__file__).parent,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{ScoreStatus.TIMEOUT:d}\n", "")


def test_interrupted_model_answers_the_next_row(tmp_path: Path) -> None:
    model = load(tmp_path, build.endless(60_000_000))
    quick, slow = np.zeros((1, build.WIDTH), "f4"), np.full((1, build.WIDTH), 99, "f4")
    timer = threading.Timer(0.1, model.interrupt)
    timer.start()
    with pytest.raises(Exception, match="terminate"):
        model.run(slow)
    assert model.run(quick).shape == (1,)


def test_loading_and_scoring_needs_no_onnx_package(tmp_path: Path) -> None:
    artifact = build.write_artifact(tmp_path, build.linear())
    program = textwrap.dedent(
        f"""
        import sys
        sys.modules["onnx"] = None
        from pathlib import Path
        from monitor.models.artifact import load_artifact
        from monitor.models.model import Model
        Model.load(load_artifact(Path({str(artifact)!r})))
        """
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, cwd=Path(__file__).parents[2])
