"""Makes the models of the demo: `python -m monitor.demo.make_models [DIR]` writes v6, v7, v8, their schema.

Each is a linear signal plus a small tanh layer, set by hand, in units of return over one second:

    y = SCALE * (w . x + TANH_SHARE * sum_j tanh(u_j . x))

The market moves on f00..f03 in the proportions 0.6 : 0.5 : 0.4 : 0.3. The active (v7) knows them nearly. The
shadow (v8) sees the same signal but also believes in f04..f07, which mean nothing: they agree at a Spearman
correlation near 0.9 on standard normal inputs. The previous model (v6) has no tanh layer and less of the
signal. Needs the package `onnx` (extra `dev`); what it makes ships with the package.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from monitor.models.packing import Description, pack_model

FEATURE_NAMES: Final = tuple(f"f{i:02d}" for i in range(32))
SHIPPED: Final = Path(__file__).parent / "models"
SCHEMA_FILE: Final = "features.schema.json"

HORIZON_NS: Final = 1_000_000_000
SCALE: Final = 2.6e-4
"""Return over the horizon at a signal of one standard deviation: 0.3 bps in the first step of 50 ms, 0.9 of
the last in each further one."""

TANH_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Recipe:
    """`linear`: weight by feature. `units`: the tanh units, each the weights in its sum."""

    version: str
    parent: str | None
    linear: Mapping[str, float]
    units: tuple[Mapping[str, float], ...]


ACTIVE_UNITS: Final[tuple[Mapping[str, float], ...]] = (
    {"f00": 1.0, "f02": 1.0},
    {"f01": 1.0, "f03": 1.0},
    {"f00": 1.0, "f01": -1.0},
    {"f02": 0.5, "f08": 0.5},
)

RECIPES: Final = (
    Recipe("v6", None, {"f00": 0.70, "f01": 0.45, "f02": 0.30}, ()),
    Recipe("v7", "demo_v6", {"f00": 0.62, "f01": 0.53, "f02": 0.40, "f03": 0.28, "f09": 0.03}, ACTIVE_UNITS),
    Recipe(
        "v8",
        "demo_v7",
        {
            "f00": 0.58,
            "f01": 0.50,
            "f02": 0.44,
            "f03": 0.34,
            "f04": 0.22,
            "f05": -0.22,
            "f06": 0.20,
            "f07": -0.20,
        },
        (
            {"f00": 1.0, "f01": 1.0},
            {"f02": 1.0, "f03": 1.0},
            {"f04": 1.0, "f06": -1.0},
            {"f05": 0.5, "f10": 0.5},
        ),
    ),
)


def onnx_bytes(recipe: Recipe) -> bytes:
    """The model as an ONNX file: `features` (rows, 32) float32 -> `prediction` (rows, 1) float32."""
    initializers = {"linear": SCALE * _column(recipe.linear)}
    nodes = [helper.make_node("MatMul", ["features", "linear"], ["signal"])]
    if recipe.units:
        initializers["units"] = np.hstack([_column(unit) for unit in recipe.units])
        initializers["share"] = np.full((len(recipe.units), 1), SCALE * TANH_SHARE)
        nodes += [
            helper.make_node("MatMul", ["features", "units"], ["sums"]),
            helper.make_node("Tanh", ["sums"], ["bent"]),
            helper.make_node("MatMul", ["bent", "share"], ["bend"]),
            helper.make_node("Add", ["signal", "bend"], ["prediction"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["signal"], ["prediction"]))
    graph = helper.make_graph(
        nodes,
        f"demo_{recipe.version}",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", len(FEATURE_NAMES)])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def make_models(directory: Path) -> None:
    """Write the feature schema and one artifact a recipe into `directory`; none of them may exist yet."""
    directory.mkdir(parents=True, exist_ok=True)
    schema = directory / SCHEMA_FILE
    schema.write_bytes(orjson.dumps([[name, "float32"] for name in FEATURE_NAMES]) + b"\n")
    for recipe in RECIPES:
        with tempfile.TemporaryDirectory() as scratch:
            model = Path(scratch) / "model.onnx"
            model.write_bytes(onnx_bytes(recipe))
            about = Description(
                name="demo",
                version=recipe.version,
                kind="return",
                horizon_ns=HORIZON_NS,
                dataset_id="demo-market",
                parent=recipe.parent,
            )
            pack_model(model, schema, directory / recipe.version, about)


def _column(weights: Mapping[str, float]) -> NDArray[np.float64]:
    return np.array([[weights.get(name, 0.0)] for name in FEATURE_NAMES])


if __name__ == "__main__":
    make_models(Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED)
