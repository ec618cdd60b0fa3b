"""`Model`: a loaded artifact that proved itself: it takes and gives what the manifest says, gives the
golden answers, and showed whether its rows may be scored together."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.models.artifact import MANIFEST_FILE, Artifact, refusal
from monitor.models.manifest import MODEL_FILE, Manifest, Tensor
from monitor.models.probe import ProbeReport, aligned_copy, probe, probe_rows
from monitor.models.session import Session, Unusable

WARM_UP_RUNS = 32


class RowModel(Protocol):
    """What a scorer needs of a model: its columns, what fills a missing one, and answers to whole rows."""

    @property
    def features(self) -> tuple[str, ...]:
        """Columns by name, in the order in which rows hold them."""
        ...

    @property
    def fill(self) -> NDArray[np.float64]:
        """(F,) what replaces a missing or non-finite value of a column; NaN: nothing, the row is not
        scored."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def independent(self) -> bool:
        """Whether a row's bits do not depend on the rows it is scored with."""
        ...

    @property
    def row_ns(self) -> int:
        """Measured cost of a row, the way it is scored."""
        ...

    def run(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """The answers (n,) to rows (n, F) of `dtype`, all finite.

        Raises:
            WrongShape: not one value a row. Anything else: the model failed.
        """
        ...

    def interrupt(self) -> None:
        """Make the runs under way fail soon; called from another thread."""
        ...


class Model:
    """A `RowModel` from an artifact. Safe to run from several threads."""

    __slots__ = ("_session", "artifact", "features", "fill", "probe_report")

    def __init__(self, artifact: Artifact, session: Session, probe_report: ProbeReport) -> None:
        self.artifact = artifact
        self._session = session
        self.probe_report = probe_report
        self.features = artifact.features
        self.fill = np.array([np.nan if f.fill is None else f.fill for f in artifact.manifest.features])

    @classmethod
    def load(cls, artifact: Artifact, clock: Callable[[], int] = time.perf_counter_ns) -> Model:
        """Session, signature, golden vectors, probe (it costs 10 to 80 ms), warm-up. `clock` in ns.

        Raises:
            ArtifactError: naming what the model does otherwise than its manifest says.
        """
        file = artifact.dir / MODEL_FILE
        try:
            session = Session(artifact.model_bytes)
        except Unusable as unusable:
            raise refusal(file, str(unusable), "export the model again and pack it") from unusable
        _check_signature(artifact, session)
        golden = np.array(artifact.golden.rows, session.dtype)
        _check_golden(artifact, session, golden)
        report = probe(session.run, probe_rows(golden), session.batches, clock)
        if not report.repeatable:
            raise refusal(
                file,
                "the same row scored twice gave two answers",
                "remove random operators (dropout, sampling): what cannot be repeated cannot be replayed",
            )
        model = cls(artifact, session, report)
        for i in range(WARM_UP_RUNS):
            model.run(golden[i % len(golden)][None])
        return model

    @property
    def manifest(self) -> Manifest:
        return self.artifact.manifest

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._session.dtype

    @property
    def independent(self) -> bool:
        return self.probe_report.independent

    @property
    def row_ns(self) -> int:
        return self.probe_report.row_ns

    def run(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """The answers (n,) to rows (n, F) of `dtype`; one row a run where the rows are not independent.

        Raises:
            WrongShape: not one value a row. Whatever ONNX Runtime raises.
        """
        if self.independent:
            return self._session.run(rows)
        return run_single(self._session, rows)

    def interrupt(self) -> None:
        self._session.interrupt()


def run_single(session: Session, rows: NDArray[Any]) -> NDArray[np.float64]:
    """The answers (n,) to rows (n, F), each run by itself from the same place in memory."""
    answers = np.empty(len(rows))
    row = aligned_copy(rows[:1])
    for i in range(len(rows)):
        row[0] = rows[i]
        answers[i] = session.run(row)[0]
    return answers


def _check_signature(artifact: Artifact, session: Session) -> None:
    pairs = zip(
        (*artifact.manifest.inputs, *artifact.manifest.outputs),
        (*session.inputs, *session.outputs),
        strict=True,
    )
    for claimed, found in pairs:
        if claimed != found:
            raise refusal(
                artifact.dir / MANIFEST_FILE,
                f"the manifest says {_describe(claimed)}, the model has {_describe(found)}",
                "manifest and model do not belong together; pack the model again",
            )


def _check_golden(artifact: Artifact, session: Session, rows: NDArray[Any]) -> None:
    golden = artifact.golden
    file = artifact.dir / MODEL_FILE
    try:
        answers = run_single(session, rows)
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise refusal(file, f"a golden row cannot be scored: {error}", "pack the model again") from error
    off = np.abs(answers - np.array(golden.outputs))
    worst = int(np.argmax(np.where(np.isnan(off), np.inf, off)))
    if not off[worst] <= golden.tolerance:
        raise refusal(
            file,
            f"golden row {worst} gave {answers[worst]!r}, recorded is {golden.outputs[worst]!r}"
            f" (tolerance {golden.tolerance:g})",
            "this is another model, or computed otherwise here: pack it again, or with a wider tolerance",
        )


def _describe(tensor: Tensor) -> str:
    shape = ", ".join("any" if d is None else str(d) for d in tensor.shape)
    return f"{tensor.name!r} {tensor.dtype} ({shape})"
