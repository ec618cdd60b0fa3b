"""Two small models for the real sample, trained in plain NumPy and written as ONNX.

A ridge regression, and a network of one hidden layer whose first weights are drawn and whose last are a ridge
fit: both are closed-form, so the same data gives the same model. Needs the package `onnx` (extra `dev`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
CLIP_SIGMA = 5.0
"""Standardised inputs are clipped here: one wild value must not decide a prediction."""


@dataclass(frozen=True, slots=True)
class Network:
    """`y = g(clip((x - mean) / scale)) @ weights + intercept`, g the identity or tanh of a linear map.

    `mean`, `scale` (F,); `hidden` (F, H) and `bias` (H,), both None for a linear model; `weights` (F or H,).
    """

    mean: Matrix
    scale: Matrix
    hidden: Matrix | None
    bias: Matrix | None
    weights: Matrix
    intercept: float

    def predict(self, features: Matrix) -> Matrix:
        """(n, F) -> (n,) in float64; the ONNX form answers the same within float32."""
        return _basis(features, self.mean, self.scale, self.hidden, self.bias) @ self.weights + self.intercept


def fit(features: Matrix, target: Matrix, *, penalty: float, hidden: int = 0, seed: int = 0) -> Network:
    """Least squares with an L2 `penalty` per row on standardised inputs; `hidden` > 0 for the network.

    `features` (n, F) and `target` (n,), all finite.
    """
    mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-12)
    weights_in = bias = None
    if hidden:
        rng = np.random.Generator(np.random.PCG64(seed))
        weights_in = rng.standard_normal((features.shape[1], hidden)) / np.sqrt(features.shape[1])
        bias = rng.standard_normal(hidden)
    basis = _basis(features, mean, scale, weights_in, bias)
    middle, intercept = basis.mean(axis=0), float(target.mean())
    centred = basis - middle
    gram = centred.T @ centred + penalty * len(target) * np.eye(basis.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (target - intercept))
    return Network(mean, scale, weights_in, bias, weights, intercept - float(middle @ weights))


def onnx_bytes(network: Network) -> bytes:
    """The network as an ONNX file: input `features` (n, F) float32, output `prediction` (n, 1) float32."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes: list[Any] = []
    constants: list[Any] = []

    def step(operator: str, name: str, *values: Matrix | float) -> None:
        inputs = [nodes[-1].output[0] if nodes else "features"]
        for i, value in enumerate(values):
            inputs.append(f"{name}_{i}")
            constants.append(numpy_helper.from_array(np.asarray(value, np.float32), inputs[-1]))
        nodes.append(helper.make_node(operator, inputs, [name]))

    step("Sub", "centred", network.mean)
    step("Div", "standardised", network.scale)
    step("Clip", "clipped", -CLIP_SIGMA, CLIP_SIGMA)
    if network.hidden is not None and network.bias is not None:
        step("MatMul", "mixed", network.hidden)
        step("Add", "biased", network.bias)
        step("Tanh", "activated")
    step("MatMul", "weighted", network.weights[:, None])
    step("Add", "prediction", network.intercept)
    width = len(network.mean)
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None, 1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _basis(
    features: Matrix, mean: Matrix, scale: Matrix, hidden: Matrix | None, bias: Matrix | None
) -> Matrix:
    standardised = np.clip((features - mean) / scale, -CLIP_SIGMA, CLIP_SIGMA)
    return standardised if hidden is None or bias is None else np.tanh(standardised @ hidden + bias)
