"""`Session`: one ONNX Runtime session made from bytes, one thread, one float per row.

Only `models` imports onnxruntime, and within it only this file.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from monitor.errors import MonitorError
from monitor.models.manifest import Tensor, TensorDtype

RUNTIME_VERSION: Final[str] = ort.__version__

_DTYPES: Final[dict[str, TensorDtype]] = {"tensor(float)": "float32", "tensor(double)": "float64"}


class Unusable(MonitorError):
    """ONNX Runtime refuses the model, or its inputs and outputs are of a kind that is not served."""


class WrongShape(MonitorError):
    """A run did not give one value a row."""


class Session:
    """Runs rows of one model. Safe to call from several threads."""

    __slots__ = ("_feed", "_ort", "_run_options", "inputs", "outputs")

    def __init__(self, model_bytes: bytes) -> None:
        """Raises:
        Unusable: with ONNX Runtime's words, or naming the input or output that is not served.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1  # with more, answers depend on the batch
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # it logs each failed run, which is raised and counted as well
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        # Not ORT's own format, which it would recognise by itself and which nothing has scanned.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            self._ort = ort.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class
            raise Unusable(f"ONNX Runtime {RUNTIME_VERSION} refuses the model: {error}") from error
        self.inputs = tuple(_tensor(node) for node in self._ort.get_inputs())
        self.outputs = tuple(_tensor(node) for node in self._ort.get_outputs())
        if len(self.inputs) != 1 or len(self.outputs) != 1:
            raise Unusable(
                f"{len(self.inputs)} inputs and {len(self.outputs)} outputs; "
                "models with other than one input and one output are not served yet"
            )
        self._check_shapes()
        self._feed = self.inputs[0].name
        self._run_options = ort.RunOptions()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of the input rows."""
        return np.dtype(self.inputs[0].dtype)

    @property
    def width(self) -> int:
        """Columns of the input."""
        width = self.inputs[0].shape[1]
        assert width is not None
        return width

    @property
    def batches(self) -> bool:
        """Whether the input takes more than one row a run."""
        return self.inputs[0].shape[0] is None

    def run(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """One run over rows (n, width) of `dtype`, C-contiguous; the answers (n,).

        Raises:
            WrongShape: the model gave something else than (n,) or (n, 1). Whatever ONNX Runtime raises.
        """
        answer: NDArray[Any] = self._ort.run(None, {self._feed: rows}, self._run_options)[0]
        n = len(rows)
        if answer.shape not in ((n,), (n, 1)):
            raise WrongShape(f"{n} rows gave an output of shape {answer.shape}")
        return answer.reshape(n).astype(np.float64)

    def interrupt(self) -> None:
        """Make the runs under way raise, between two operators; later runs are not touched."""
        under_way, self._run_options = self._run_options, ort.RunOptions()
        under_way.terminate = True

    def _check_shapes(self) -> None:
        rows, answers = self.inputs[0], self.outputs[0]
        if len(rows.shape) != 2 or rows.shape[1] is None or rows.shape[0] not in (None, 1):
            raise Unusable(
                f"input {rows.name!r} has shape {rows.shape}; served is (rows, features), features fixed"
            )
        if answers.shape and (len(answers.shape) > 2 or answers.shape[1:] not in ((), (1,), (None,))):
            raise Unusable(f"output {answers.name!r} has shape {answers.shape}; served is one value a row")


def _tensor(node: Any) -> Tensor:
    if node.type not in _DTYPES:
        raise Unusable(f"{node.name!r} is {node.type}; served are {', '.join(_DTYPES)}")
    shape = tuple(d if isinstance(d, int) and d >= 0 else None for d in node.shape)
    return Tensor(name=node.name, dtype=_DTYPES[node.type], shape=shape)
