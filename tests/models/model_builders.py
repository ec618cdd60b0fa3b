"""ONNX models built by hand, good ones and bad ones, and artifacts of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from monitor.models.packing import Description, pack_model

WIDTH = 5
NAMES = tuple(f"c{i}" for i in range(WIDTH))
WEIGHTS = np.array([0.5, -0.25, 1.0, 2.0, -0.125])


def graph_bytes(
    nodes: Sequence[NodeProto],
    constants: dict[str, Any] | None = None,
    *,
    width: int = WIDTH,
    rows: int | str = "rows",
    output: Sequence[int | str | None] = ("rows", 1),
    outputs: Sequence[str] = ("y",),
    domains: Sequence[str] = (),
    element: int = TensorProto.FLOAT,
) -> bytes:
    """A model from `x` (rows, width) to `y`."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", element, [rows, width])],
        [helper.make_tensor_value_info(name, element, list(output)) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(d, 1) for d in domains)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def node(kind: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs.split(), output.split(), **attributes)


def linear(weights: np.ndarray[Any, Any] = WEIGHTS) -> bytes:
    """y = x . weights: rows do not touch each other."""
    column = weights.astype(np.float32).reshape(-1, 1)
    return graph_bytes([node("MatMul", "x w", "y")], {"w": column}, width=len(weights))


def centred_on_batch() -> bytes:
    """y = x . w less its mean over the batch: every row depends on its neighbours."""
    return graph_bytes(
        [
            node("MatMul", "x w", "s"),
            node("ReduceMean", "s", "m", axes=[0], keepdims=1),
            node("Mul", "m h", "hm"),
            node("Sub", "s hm", "y"),
        ],
        {"w": WEIGHTS.astype(np.float32).reshape(-1, 1), "h": np.float32(0.5)},
    )


def dynamically_quantised() -> bytes:
    """int8 weights, the input quantised by the range of the whole batch: what `quantize_dynamic` makes."""
    return graph_bytes(
        [
            node("DynamicQuantizeLinear", "x", "q scale zero"),
            node("MatMulInteger", "q w zero", "sum"),
            node("Cast", "sum", "whole", to=TensorProto.FLOAT),
            node("Mul", "whole scale", "y"),
        ],
        {"w": np.array([[5], [-3], [10], [20], [-1]], np.int8)},
    )


def log_of_first() -> bytes:
    """y = log(first column): NaN where that is negative."""
    return graph_bytes(
        [node("Gather", "x i", "c", axis=1), node("Log", "c", "y")], {"i": np.array([0], np.int64)}
    )


def picky() -> bytes:
    """y = table[int(first column)]: raises for a row beyond the table of 64."""
    return graph_bytes(
        [
            node("Gather", "x i", "c", axis=1),
            node("Abs", "c", "a"),
            node("Cast", "a", "k", to=TensorProto.INT64),
            node("Squeeze", "k one", "flat"),
            node("Gather", "t flat", "y", axis=0),
        ],
        {
            "i": np.array([0], np.int64),
            "one": np.array([1], np.int64),
            "t": np.linspace(0, 1, 64, dtype=np.float32),
        },
        output=("rows",),
    )


def dropping() -> bytes:
    """Leaves out rows whose first column lies below -50: an output of the wrong shape."""
    return graph_bytes(
        [
            node("Gather", "x i", "c", axis=1),
            node("Squeeze", "c one", "flat"),
            node("Greater", "flat low", "keep"),
            node("Compress", "flat keep", "y", axis=0),
        ],
        {"i": np.array([0], np.int64), "one": np.array([1], np.int64), "low": np.float32(-50)},
        output=("kept",),
    )


def endless(rounds: int) -> bytes:
    """y = sin(sin(... x . w)): once, but `rounds` times where the first column exceeds 50; one row a run."""
    step = helper.make_graph(
        [node("Sin", "v_in", "v_out"), node("Identity", "go_in", "go_out")],
        "step",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_in", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_out", TensorProto.FLOAT, None),
        ],
    )
    return graph_bytes(
        [
            node("MatMul", "x w", "s"),
            node("Gather", "x i", "c", axis=1),
            node("ReduceMax", "c", "top", keepdims=0),
            node("Greater", "top fifty", "slow"),
            node("Where", "slow many once", "n"),
            helper.make_node("Loop", ["n", "", "s"], ["y"], body=step),
        ],
        {
            "w": WEIGHTS.astype(np.float32).reshape(-1, 1),
            "i": np.array([0], np.int64),
            "fifty": np.float32(50),
            "many": np.int64(rounds),
            "once": np.int64(1),
        },
        rows=1,
        output=(1, 1),
    )


def random_answers() -> bytes:
    """y = x . w plus noise: cannot be repeated."""
    return graph_bytes(
        [
            node("MatMul", "x w", "s"),
            node("RandomNormalLike", "s", "r", scale=1e-9),
            node("Add", "s r", "y"),
        ],
        {"w": WEIGHTS.astype(np.float32).reshape(-1, 1)},
    )


def one_row_only() -> bytes:
    """Exported with a fixed batch of one."""
    column = WEIGHTS.astype(np.float32).reshape(-1, 1)
    return graph_bytes([node("MatMul", "x w", "y")], {"w": column}, rows=1, output=(1, 1))


def write_schema(directory: Path, names: Sequence[str] = NAMES, dtype: str = "float32") -> Path:
    file = directory / "features.schema.json"
    file.write_text(json.dumps([[name, dtype] for name in names]))
    return file


def write_artifact(
    directory: Path,
    model: bytes,
    names: Sequence[str] = NAMES,
    *,
    out: str = "artifact",
    **about: Any,
) -> Path:
    """Pack `model` as `directory/out`."""
    source = directory / "source.onnx"
    source.write_bytes(model)
    description = Description(**{"name": "m", "version": "v1", "kind": "return", **about})
    pack_model(source, write_schema(directory, names), directory / out, description)
    return directory / out


def edit_manifest(artifact: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    file = artifact / "manifest.json"
    manifest = json.loads(file.read_text())
    edit(manifest)
    file.write_text(json.dumps(manifest))


def replace_model(artifact: Path, model: bytes) -> None:
    """Other bytes, with the manifest brought to agree in size and hash."""
    (artifact / "model.onnx").write_bytes(model)

    def agree(manifest: dict[str, Any]) -> None:
        manifest["files"][0].update(size=len(model), sha256=hashlib.sha256(model).hexdigest())

    edit_manifest(artifact, agree)
